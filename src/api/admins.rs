//! Admins: who may log in.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};

use super::app::App;
use super::authority::Authority;
use super::fields::{Body, Fields, Json, Readable};
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::second_factor::LoginsDocument;
use super::tag::Group;
use super::wire::Time;
use crate::auth::initial_password;
use crate::auth::token::fresh_epoch;
use crate::clock::now;
use crate::domain::{Admin, NewPassword, NewUsername, Username};
use crate::store::{CreateRefused, DeleteRefused};

/// An admin.
#[derive(Object)]
#[oai(rename = "Admin")]
pub struct AdminDocument {
    /// Number in order of creation, from 1.
    id: u64,
    /// Name, 1 to 64 characters.
    username: String,
    /// Always `sysadmin`.
    role: String,
    /// When the admin was created.
    created_at: Time,
}

impl From<Admin> for AdminDocument {
    fn from(admin: Admin) -> Self {
        Self {
            id: admin.id,
            username: admin.username.as_str().to_owned(),
            role: "sysadmin".to_owned(),
            created_at: Time(admin.created_at),
        }
    }
}

/// An admin to create.
#[derive(Object)]
#[oai(rename = "NewAdmin", example)]
pub struct NewAdminDocument {
    /// Name, 1 to 64 letters (a to z), digits and `. _ - @ +`, a letter or
    /// digit first; unique without regard to case.
    username: String,
    /// Password, at least 12 characters and at most 1024 bytes.
    password: String,
}

impl Example for NewAdminDocument {
    fn example() -> Self {
        Self { username: "night-shift".to_owned(), password: NewPassword::PLACEHOLDER.to_owned() }
    }
}

/// An admin to create, checked.
struct NewAdmin {
    username: NewUsername,
    password: NewPassword,
}

impl Readable for NewAdmin {
    type Document = NewAdminDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username");
        let password = fields.required("password");
        Some(Self { username: username?, password: password? })
    }
}

/// A password to set.
#[derive(Object)]
#[oai(rename = "NewPassword", example)]
pub struct NewPasswordDocument {
    /// Password, at least 12 characters and at most 1024 bytes.
    password: String,
}

impl Example for NewPasswordDocument {
    fn example() -> Self {
        Self { password: NewPassword::PLACEHOLDER.to_owned() }
    }
}

impl Readable for NewPassword {
    type Document = NewPasswordDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        fields.required("password")
    }
}

/// An admin created.
#[derive(ApiResponse)]
enum CreateAnswer {
    /// Created.
    #[oai(status = 201)]
    Created(Json<AdminDocument>),
}

/// Done, with nothing to tell.
#[derive(ApiResponse)]
enum DoneAnswer {
    /// Done.
    #[oai(status = 204)]
    Done,
}

const ADMIN: u16 = failure::SYSADMIN;
const BODY: u16 = failure::MALFORMED | failure::BODY | failure::INVALID;

/// The routes under `/api/admins`.
pub struct AdminsApi;

#[OpenApi(prefix_path = "/api/admins", tag = "Group::Admins")]
impl AdminsApi {
    /// List admins
    ///
    /// In the order of their ids.
    #[oai(path = "/", method = "get", operation_id = "list_admins")]
    async fn list(
        &self,
        _admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
    ) -> Result<Json<Vec<AdminDocument>>, Failure<ADMIN>> {
        let admins = app.store.list_admins().await?;
        Ok(Json(admins.into_iter().map(AdminDocument::from).collect()))
    }

    /// Create an admin
    ///
    /// Whoever it is for can log in at once, and may do all that you may.
    #[oai(path = "/", method = "post", operation_id = "create_admin")]
    async fn create(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        body: Body<NewAdmin>,
    ) -> Result<CreateAnswer, Failure<{ ADMIN | BODY | failure::CONFLICT }>> {
        admin.with_recent_code(&app).await?;
        let hash = app.passwords.hash(body.0.password).await?;
        match app.store.create_admin(body.0.username.0, hash, fresh_epoch()?, admin.actor(), now()).await? {
            Ok(created) => Ok(CreateAnswer::Created(Json(created.into()))),
            Err(CreateRefused::NameTaken) => {
                Err(Problem::conflict("there is an admin of this name already").into())
            }
        }
    }

    /// Get an admin
    ///
    /// With the second factor and the logins that are open.
    #[oai(path = "/:username", method = "get", operation_id = "get_admin")]
    async fn show(
        &self,
        _admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// Name of the admin; upper and lower case are the same.
        username: Path<String>,
    ) -> Result<Json<LoginsDocument>, Failure<{ ADMIN | failure::MALFORMED | failure::NOT_FOUND }>> {
        Ok(Json(LoginsDocument::of(&app, known(&username)?, now()).await?))
    }

    /// Change an admin's password
    ///
    /// Every access token of that admin ends at once. A second factor stays
    /// on. With the first change of the first admin's password the file
    /// `initial-admin-password` goes.
    #[oai(path = "/:username/password", method = "put", operation_id = "change_password")]
    async fn change_password(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// Name of the admin; upper and lower case are the same.
        username: Path<String>,
        body: Body<NewPassword>,
    ) -> Result<DoneAnswer, Failure<{ ADMIN | BODY | failure::NOT_FOUND }>> {
        let username = known(&username)?;
        admin.with_recent_code(&app).await?;
        let hash = app.passwords.hash(body.0).await?;
        let epoch = fresh_epoch()?;
        let changed = app.store.change_password(username.clone(), hash, epoch, admin.actor(), now()).await?;
        changed.map_err(|_| Problem::no_such_admin())?;
        initial_password::forget(&app.data_dir, &username).await;
        Ok(DoneAnswer::Done)
    }

    /// Delete an admin
    ///
    /// Every access token of that admin ends at once. The last admin cannot
    /// be deleted.
    #[oai(path = "/:username", method = "delete", operation_id = "delete_admin")]
    async fn delete(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// Name of the admin; upper and lower case are the same.
        username: Path<String>,
    ) -> Result<DoneAnswer, Failure<{ ADMIN | failure::MALFORMED | failure::NOT_FOUND | failure::CONFLICT }>>
    {
        let username = known(&username)?;
        admin.with_recent_code(&app).await?;
        match app.store.delete_admin(username.clone(), admin.actor(), now()).await? {
            Ok(()) => {
                initial_password::forget(&app.data_dir, &username).await;
                Ok(DoneAnswer::Done)
            }
            Err(DeleteRefused::NotFound) => Err(Problem::no_such_admin().into()),
            Err(DeleteRefused::LastAdmin) => {
                Err(Problem::conflict("the last admin cannot be deleted: create another one first").into())
            }
        }
    }
}

/// The admin that a path names. What cannot be a name names nobody.
fn known(username: &Path<String>) -> Result<Username, Problem> {
    username.0.parse().map_err(|_| Problem::no_such_admin())
}
