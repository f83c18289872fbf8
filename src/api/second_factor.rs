//! The second factor of an admin, and who is logged in.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};

use super::app::App;
use super::authority::{Asker, Authority};
use super::fields::{Body, Fields, Json, Readable};
use super::problem::{Failure, Problem, failure};
use super::qr;
use super::scope;
use super::tag::Group;
use super::wire::{Nullable, Time};
use crate::auth::initial_password;
use crate::auth::random::{NoRandomness, random_bytes};
use crate::clock::now;
use crate::domain::second_factor::RECOVERY_CODES;
use crate::domain::{
    Action, OtpSecret, RecoveryCode, SecondFactor, Session, SessionId, Timestamp, TypedCode, Username,
};
use crate::store::{BeginRefused, ConfirmRefused, RemoveRefused};

/// A second factor that was begun.
#[derive(Object)]
#[oai(rename = "OtpSecret")]
struct SecretDocument {
    /// To be typed into an authenticator app: base 32 (RFC 4648), 160 bits.
    /// Shown this once.
    secret: String,
    /// The same as apps take it: `otpauth://totp/…`.
    uri: String,
    /// The same as a QR code, in SVG.
    qr_svg: String,
}

/// A code.
#[derive(Object)]
#[oai(rename = "Otp", example)]
pub struct CodeDocument {
    /// Six digits of the authenticator app, with or without spaces, or (where
    /// a second factor is on already) a recovery code.
    otp: String,
}

impl Example for CodeDocument {
    fn example() -> Self {
        Self { otp: "123456".to_owned() }
    }
}

impl Readable for TypedCode {
    type Document = CodeDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        fields.required("otp")
    }
}

/// What lets the admin in when the device is lost.
#[derive(Object)]
#[oai(rename = "RecoveryCodes")]
struct RecoveryDocument {
    /// Ten codes, each good for one login in the place of `otp`. Shown this
    /// once.
    recovery_codes: Vec<String>,
}

/// An open login.
#[derive(Object)]
#[oai(rename = "Session")]
pub struct SessionDocument {
    /// Its id.
    id: String,
    /// When it began.
    created_at: Time,
    /// When it ends.
    expires_at: Time,
    /// Address that the login came from.
    ip: String,
    /// By what: `password`, `password+totp` or `password+recovery_code`.
    means: String,
    /// When the second factor was last shown; null: it was not.
    second_factor_at: Nullable<Time>,
}

impl From<Session> for SessionDocument {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            created_at: Time(session.created_at),
            expires_at: Time(session.expires_at),
            ip: session.ip.to_string(),
            means: session.means.as_str().to_owned(),
            second_factor_at: Nullable(session.second_factor_at.map(Time)),
        }
    }
}

/// An admin, with what concerns logins.
#[derive(Object)]
#[oai(rename = "AdminLogins")]
pub struct LoginsDocument {
    /// Number in order of creation, from 1.
    id: u64,
    /// Name.
    username: String,
    /// Always `sysadmin`.
    role: String,
    /// When the admin was created.
    created_at: Time,
    /// Whether logins need a code.
    second_factor: bool,
    /// How many recovery codes were not used yet; null without a second factor.
    recovery_codes_left: Nullable<u64>,
    /// Until when no code of the app counts, after too many wrong ones;
    /// null: codes count.
    codes_paused_until: Nullable<Time>,
    /// Whether the password is still the one that lies in the file
    /// `initial-admin-password`.
    password_in_file: bool,
    /// The open logins, newest first.
    sessions: Vec<SessionDocument>,
}

impl LoginsDocument {
    /// That of the admin `username`.
    ///
    /// # Errors
    /// [`Problem::no_such_admin`].
    pub(super) async fn of(app: &App, username: Username, now: Timestamp) -> Result<Self, Problem> {
        let admin = app.store.admin_named(username).await?.ok_or_else(Problem::no_such_admin)?;
        let factor = match app.store.second_factor(admin.id).await? {
            Some(SecondFactor::On(factor)) => Some(factor),
            Some(SecondFactor::Begun(_)) | None => None,
        };
        let sessions = app.store.sessions(admin.id, now).await?;
        let paused = factor.as_ref().and_then(|factor| factor.wrong.pause_at(now));
        let left = factor.as_ref().map(|factor| u64::try_from(factor.recovery.len()).unwrap_or_default());
        Ok(Self {
            id: admin.id,
            role: "sysadmin".to_owned(),
            created_at: Time(admin.created_at),
            second_factor: factor.is_some(),
            recovery_codes_left: Nullable(left),
            codes_paused_until: Nullable(paused.map(Time)),
            password_in_file: initial_password::is_kept_for(&app.data_dir, &admin.username),
            username: admin.username.as_str().to_owned(),
            sessions: sessions.into_iter().map(SessionDocument::from).collect(),
        })
    }
}

/// Done, with nothing to tell.
#[derive(ApiResponse)]
enum DoneAnswer {
    /// Done.
    #[oai(status = 204)]
    Done,
}

const ADMIN: u16 = failure::SYSADMIN | failure::MALFORMED | failure::NOT_FOUND;
const OWN: u16 = ADMIN | failure::FORBIDDEN | failure::CONFLICT;
const BODY: u16 = failure::MALFORMED | failure::BODY | failure::INVALID;

/// The routes under `/api/admins/{username}` that concern logins.
pub struct SecondFactorApi;

#[OpenApi(prefix_path = "/api/admins", tag = "Group::Admins")]
impl SecondFactorApi {
    /// Begin a second factor
    ///
    /// Gives a secret for an authenticator app (TOTP, RFC 6238: SHA-1, 6
    /// digits, 30 s), for the admin who asks; on the host, for any. Logins
    /// need no code before it is confirmed. Begun again before that, the later
    /// secret counts; 409 where a second factor is on.
    #[oai(path = "/:username/otp", method = "post", operation_id = "begin_otp")]
    async fn begin(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// Name of the admin; upper and lower case are the same.
        username: Path<String>,
    ) -> Result<Json<SecretDocument>, Failure<OWN>> {
        let username = own(&admin, &username)?;
        let secret = OtpSecret::from_random_bits(random_bytes()?);
        let begun = app.store.begin_second_factor(username, secret.clone()).await?;
        let of = begun.map_err(|refused| match refused {
            BeginRefused::NoSuchAdmin => Problem::no_such_admin(),
            BeginRefused::AlreadyOn => {
                Problem::conflict("this admin has a second factor: take it off before you set up another")
            }
        })?;
        let uri = secret.uri(of.username.as_str());
        let qr_svg = qr::svg(&uri).ok_or_else(|| Problem::internal("the URI is too long for a QR code"))?;
        Ok(Json(SecretDocument { secret: secret.base32(), uri, qr_svg }))
    }

    /// Confirm a second factor
    ///
    /// With a code of the app that has the secret now. From here on logins of
    /// this admin need a code; those that are open end, but for the one that
    /// asks. The answer has ten recovery codes, shown this once: keep them
    /// apart from the device.
    #[oai(path = "/:username/otp/confirm", method = "post", operation_id = "confirm_otp")]
    async fn confirm(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// Name of the admin; upper and lower case are the same.
        username: Path<String>,
        body: Body<TypedCode>,
    ) -> Result<Json<RecoveryDocument>, Failure<{ OWN | BODY }>> {
        let username = own(&admin, &username)?;
        let codes = (0..RECOVERY_CODES)
            .map(|_| random_bytes().map(RecoveryCode::from_random_bits))
            .collect::<Result<Vec<_>, NoRandomness>>()?;
        let hashes = codes.iter().map(RecoveryCode::hash).collect();
        let kept = admin.session().map(|session| session.id);
        let by = admin.actor();
        let confirmed = app.store.confirm_second_factor(username, body.0, hashes, kept, by, now()).await?;
        confirmed.map_err(|refused| match refused {
            ConfirmRefused::NoSuchAdmin => Problem::no_such_admin(),
            ConfirmRefused::NotBegun => Problem::conflict("no second factor was begun: begin one first"),
            ConfirmRefused::AlreadyOn => Problem::conflict("the second factor of this admin is on already"),
            ConfirmRefused::WrongCode => Problem::invalid_field(
                "otp",
                "is not the code that the app shows now: check the clock of the device, and that it has the \
                 secret that was shown last",
            ),
        })?;
        Ok(Json(RecoveryDocument { recovery_codes: codes.iter().map(RecoveryCode::expose).collect() }))
    }

    /// Take a second factor off
    ///
    /// By the admin whose it is, with a code of the last 10 minutes; on the
    /// host for any admin, which is how somebody who has lost the device and
    /// the recovery codes gets back in.
    #[oai(path = "/:username/otp", method = "delete", operation_id = "remove_otp")]
    async fn remove(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// Name of the admin; upper and lower case are the same.
        username: Path<String>,
    ) -> Result<DoneAnswer, Failure<OWN>> {
        let username = own(&admin, &username)?;
        admin.with_recent_code(&app).await?;
        let action = if admin.session().is_some() { Action::OtpDisabled } else { Action::OtpReset };
        let removed = app.store.remove_second_factor(username, action, admin.actor(), now()).await?;
        removed.map_err(|refused| match refused {
            RemoveRefused::NoSuchAdmin => Problem::no_such_admin(),
            RemoveRefused::NotOn => Problem::conflict("this admin has no second factor"),
        })?;
        Ok(DoneAnswer::Done)
    }

    /// End all logins of an admin
    ///
    /// Every access token of that admin ends at once.
    #[oai(path = "/:username/sessions", method = "delete", operation_id = "end_sessions")]
    async fn end_all(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// Name of the admin; upper and lower case are the same.
        username: Path<String>,
    ) -> Result<DoneAnswer, Failure<{ ADMIN | failure::FORBIDDEN }>> {
        admin.in_person()?;
        let username = known(&username)?;
        admin.with_recent_code(&app).await?;
        let of = app.store.admin_named(username.clone()).await?.ok_or_else(Problem::no_such_admin)?;
        app.unsaved_sessions.end(of.id, None);
        let ended = app.store.end_sessions(username, None, admin.actor(), now()).await?;
        ended.map_err(|_| Problem::no_such_admin())?;
        Ok(DoneAnswer::Done)
    }

    /// End a login
    ///
    /// Its access token ends at once.
    #[oai(path = "/:username/sessions/:id", method = "delete", operation_id = "end_session")]
    async fn end(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// Name of the admin; upper and lower case are the same.
        username: Path<String>,
        /// Id of the login, as the admin's `sessions` tell it.
        id: Path<String>,
    ) -> Result<DoneAnswer, Failure<{ ADMIN | failure::FORBIDDEN }>> {
        admin.in_person()?;
        let username = known(&username)?;
        let id: SessionId = id.0.parse().map_err(|_| Problem::no_such_session())?;
        admin.with_recent_code(&app).await?;
        let of = app.store.admin_named(username.clone()).await?.ok_or_else(Problem::no_such_admin)?;
        app.unsaved_sessions.end(of.id, Some(id));
        let ended = app.store.end_sessions(username, Some(id), admin.actor(), now()).await?;
        ended.map_err(|_| Problem::no_such_session())?;
        Ok(DoneAnswer::Done)
    }
}

/// The admin that a path names. What cannot be a name names nobody.
fn known(username: &Path<String>) -> Result<Username, Problem> {
    username.0.parse().map_err(|_| Problem::no_such_admin())
}

/// As [`known`], where it is the one who asks, or a user of the host does.
fn own(admin: &Asker, username: &Path<String>) -> Result<Username, Problem> {
    admin.in_person()?;
    let username = known(username)?;
    if admin.may_answer_for(&username) { Ok(username) } else { Err(Problem::of_another_admin()) }
}
