//! Tokens for programs: made, listed, ended.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};

use super::app::App;
use super::authority::{Asker, Authority, Proof};
use super::field_errors::FieldErrors;
use super::fields::{Body, Fields, Json, Readable};
use super::moment::bound;
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::tag::Group;
use super::wire::{Day, Nullable, PathNumber, Time};
use crate::auth::random::random_bytes;
use crate::clock::now;
use crate::domain::api_token::MAX_TOKENS;
use crate::domain::{
    Admin, ApiToken, Moment, Scope, TokenName, TokenNetworks, TokenRequest, TokenSecret, Username,
};
use crate::store::TokenNotMade;

/// What a token may do.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "Scope", rename_all = "snake_case")]
pub enum ScopeDocument {
    /// See sites, the audit trail and statistics.
    Read,
    /// That, and register, change, lock and unlock sites, and rotate keys.
    Operate,
    /// `GET /api/backup` alone.
    Backup,
    /// All that an admin may.
    Admin,
}

impl From<Scope> for ScopeDocument {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Read,
            Scope::Operate => Self::Operate,
            Scope::Backup => Self::Backup,
            Scope::Admin => Self::Admin,
        }
    }
}

/// A token for programs, without its text.
#[derive(Object)]
#[oai(rename = "Token")]
pub struct TokenDocument {
    /// Number in order of creation, from 1.
    id: u64,
    /// What it is called.
    name: String,
    /// Whose it is: the admin for whom it acts.
    admin: String,
    /// What it may do.
    scope: ScopeDocument,
    /// When it was made.
    created_at: Time,
    /// The time from which it counts no more.
    expires_at: Time,
    /// The networks from which it counts; none: it counts from anywhere.
    networks: Vec<String>,
    /// The day (UTC) on which it was used last, such as `2026-11-25`; null
    /// before its first use.
    last_used_on: Nullable<String>,
}

impl TokenDocument {
    fn new(token: ApiToken, admin: &Admin) -> Self {
        Self {
            id: token.id,
            name: token.name.as_str().to_owned(),
            admin: admin.username.as_str().to_owned(),
            scope: token.scope.into(),
            created_at: Time(token.created_at),
            expires_at: Time(token.expires_at),
            networks: token.networks.iter().map(ToString::to_string).collect(),
            last_used_on: Nullable(token.last_used_on.map(|day| day.to_string())),
        }
    }
}

/// A token for programs that was made.
#[derive(Object)]
#[oai(rename = "CreatedToken")]
pub struct CreatedTokenDocument {
    #[oai(flatten)]
    made: TokenDocument,
    /// To be sent as `Authorization: Bearer …`; shown this once. `swt_`, 32
    /// random base62 characters, and 6 of the CRC-32 of all before them.
    token: String,
}

/// A token for programs to make.
#[derive(Object)]
#[oai(rename = "NewToken", example)]
pub struct NewTokenDocument {
    /// What it is called, 1 to 64 characters; unique among its admin's.
    name: String,
    /// What it may do: no more than the token that you ask with.
    scope: ScopeDocument,
    /// The time from which it counts no more: RFC 3339 with any offset, at
    /// most 400 days ahead; without it, 90 days from now.
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Time>,
    /// Its last day, in `licence.time_zone`; not together with `expires_at`.
    #[oai(skip_serializing_if_is_none)]
    expires_on: Option<Day>,
    /// The networks (`192.0.2.0/24`) or addresses from which it counts, at
    /// most 20; without any it counts from anywhere.
    #[oai(skip_serializing_if_is_none)]
    networks: Option<Vec<String>>,
    /// Whose it is. On the control socket alone, where nobody has logged in,
    /// and needed there where there is more than one admin.
    #[oai(skip_serializing_if_is_none)]
    admin: Option<String>,
}

impl Example for NewTokenDocument {
    fn example() -> Self {
        Self {
            name: "nightly backup".to_owned(),
            scope: ScopeDocument::Backup,
            expires_at: None,
            expires_on: None,
            networks: None,
            admin: None,
        }
    }
}

/// A token to make, checked.
struct NewTokenBody {
    name: TokenName,
    scope: Scope,
    expires: Option<Moment>,
    networks: Option<TokenNetworks>,
    admin: Option<Username>,
}

impl Readable for NewTokenBody {
    type Document = NewTokenDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required::<TokenName>("name");
        let scope = fields.required::<Scope>("scope");
        let expires = fields.optional_moment("expires_at", "expires_on");
        let networks = fields.optional_texts("networks").and_then(|words| {
            TokenNetworks::of(words).map_err(|error| fields.refuse("networks", error)).ok()
        });
        let admin = fields.optional("admin");
        Some(Self { name: name?, scope: scope?, expires, networks, admin })
    }
}

/// A token made.
#[derive(ApiResponse)]
enum CreateAnswer {
    /// Made. Note the `token` now: it is not shown again.
    #[oai(status = 201)]
    Created(Json<CreatedTokenDocument>),
}

/// A token ended.
#[derive(ApiResponse)]
enum EndAnswer {
    /// Ended; it opens nothing any more.
    #[oai(status = 204)]
    Ended,
}

const BODY: u16 = failure::MALFORMED | failure::BODY | failure::INVALID;

/// The routes under `/api/tokens`.
pub struct TokensApi;

#[OpenApi(prefix_path = "/api/tokens", tag = "Group::Tokens")]
impl TokensApi {
    /// List tokens
    ///
    /// Those of all admins, in the order of their ids, also those that have
    /// expired. Their texts are not among what the server keeps.
    #[oai(path = "/", method = "get", operation_id = "list_tokens")]
    async fn list(
        &self,
        _asker: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
    ) -> Result<Json<Vec<TokenDocument>>, Failure<{ failure::SYSADMIN }>> {
        let tokens = app.store.list_tokens().await?;
        Ok(Json(tokens.into_iter().map(|(token, admin)| TokenDocument::new(token, &admin)).collect()))
    }

    /// Make a token for a program
    ///
    /// Answers with the `token`, shown this once. Whatever is done with it is
    /// done in your name; the audit trail has the name of the token besides.
    /// It ends when it expires, when it is ended here, and with you as an
    /// admin, but not with a change of your password. An admin has at most
    /// 100. A token that makes another one gives it no more than it has: in
    /// scope, time and networks.
    #[oai(path = "/", method = "post", operation_id = "create_token")]
    async fn create(
        &self,
        asker: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        body: Body<NewTokenBody>,
    ) -> Result<CreateAnswer, Failure<{ failure::SYSADMIN | BODY | failure::CONFLICT }>> {
        asker.with_recent_code(&app).await?;
        let now = now();
        let Body(NewTokenBody { name, scope, expires, networks, admin }, _) = body;
        let mut errors = FieldErrors::default();
        let calendar = app.store.rules().calendar(None);
        let expires_at = bound(expires, "expires_on", |day| calendar.end_of(day), &mut errors);
        let request = TokenRequest { name, scope, expires_at, networks };
        let owner = owner(&app, &asker, admin).await?;
        let maker = match asker.proof() {
            Proof::Token(_, token) => Some(token),
            Proof::Login(..) | Proof::Host(_) => None,
        };
        let new = request.decide(maker, now).map_err(|faults| {
            for fault in faults {
                let field = match (fault.field(), expires) {
                    ("expires_at", Some(Moment::EndOf(_))) => "expires_on",
                    (field, _) => field,
                };
                errors.push(field, fault.to_string());
            }
            Problem::invalid(errors)
        })?;
        let secret = TokenSecret::from_random_bits(random_bytes()?);
        match app.store.create_token(owner.id, secret.hash(), new, asker.actor(), now).await? {
            Ok(token) => {
                let made = TokenDocument::new(token, &owner);
                let token = secret.expose().to_owned();
                Ok(CreateAnswer::Created(Json(CreatedTokenDocument { made, token })))
            }
            Err(refused) => Err(not_made(refused).into()),
        }
    }

    /// End a token
    ///
    /// It opens nothing any more from this moment on.
    #[oai(path = "/:id", method = "delete", operation_id = "end_token")]
    async fn end(
        &self,
        asker: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// The token's `id`.
        id: Path<PathNumber>,
    ) -> Result<EndAnswer, Failure<{ failure::SYSADMIN | failure::MALFORMED | failure::NOT_FOUND }>> {
        let id = id.0.0.ok_or_else(|| {
            let errors = FieldErrors::one("id", "must be a whole number");
            Problem { errors, ..Problem::malformed("the path does not hold the id of a token") }
        })?;
        asker.with_recent_code(&app).await?;
        match app.store.end_token(id, asker.actor(), now()).await? {
            Ok(()) => Ok(EndAnswer::Ended),
            Err(_) => Err(Problem::no_such_token().into()),
        }
    }
}

/// Whose a token becomes: whoever asks, or, on the control socket, the admin
/// who is named, or the only one that there is.
async fn owner(app: &App, asker: &Asker, named: Option<Username>) -> Result<Admin, Problem> {
    match (asker.proof(), named) {
        (Proof::Login(admin, _) | Proof::Token(admin, _), None) => Ok(admin.clone()),
        (Proof::Login(..) | Proof::Token(..), Some(_)) => Err(Problem::invalid_field(
            "admin",
            "must be left out: the token is yours; only on the control socket one is made for somebody else",
        )),
        (Proof::Host(_), Some(name)) => {
            let found = app.store.admin_named(name).await?;
            found.ok_or_else(|| Problem::invalid_field("admin", "must be the name of an admin"))
        }
        (Proof::Host(_), None) => {
            let mut admins = app.store.list_admins().await?;
            match (admins.pop(), admins.is_empty()) {
                (Some(only), true) => Ok(only),
                _ => Err(Problem::invalid_field(
                    "admin",
                    "is required on the control socket: say whose the token shall be",
                )),
            }
        }
    }
}

fn not_made(refused: TokenNotMade) -> Problem {
    match refused {
        TokenNotMade::NoSuchAdmin => Problem::conflict("the admin whose the token would be has been deleted"),
        TokenNotMade::NameTaken => Problem::conflict(
            "there is a token of this name: end it first (an expired one too), or choose another name",
        ),
        TokenNotMade::TooMany => Problem::conflict(&format!(
            "an admin has at most {MAX_TOKENS} tokens, expired ones included: end one first"
        )),
    }
}
