//! Logging in, and who one is then.

use std::sync::Arc;

use poem::web::Data;
use poem::{Error, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi};

use super::app::{App, Peer};
use super::authority::{Authority, Proof};
use super::fields::{Fields, Json, Readable, bytes_of, is_json, media_type_of};
use super::object::Object as JsonObject;
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::sender::ProvedSender;
use super::tag::Group;
use super::tokens::ScopeDocument;
use super::wire::{Nullable, Time};
use crate::auth::password::TypedPassword;
use crate::auth::throttle::RetryAfter;
use crate::clock::now;
use crate::domain::{Actor, ActorKind, Network, Timestamp, Username};
use crate::metrics::Throttle;

/// Name and password.
#[derive(Object)]
#[oai(rename = "Login", example)]
pub struct LoginDocument {
    /// Name of the admin; upper and lower case are the same.
    username: String,
    /// The admin's password.
    password: String,
}

impl poem_openapi::types::Example for LoginDocument {
    fn example() -> Self {
        Self { username: "sysadmin".to_owned(), password: "<your password>".to_owned() }
    }
}

/// Name and password as an OAuth2 password grant (RFC 6749, section 4.3.2).
#[derive(Object)]
#[oai(rename = "PasswordGrant")]
pub struct GrantDocument {
    /// `password`, where it is given.
    grant_type: Option<String>,
    /// Name of the admin; upper and lower case are the same.
    username: String,
    /// The admin's password.
    password: String,
    /// Ignored: a login may do all that an admin may.
    scope: Option<String>,
    /// Ignored: clients are not registered.
    client_id: Option<String>,
    /// Ignored: clients are not registered.
    client_secret: Option<String>,
}

/// A login, by JSON or by form.
pub struct Login {
    username: Username,
    password: TypedPassword,
}

struct AnyPassword(String);

impl std::str::FromStr for AnyPassword {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.len() {
            1..=1024 => Ok(Self(text.to_owned())),
            _ => Err("must be 1 to 1024 bytes"),
        }
    }
}

impl Readable for Login {
    type Document = LoginDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username");
        let password = fields.required::<AnyPassword>("password");
        Some(Self { username: username?, password: TypedPassword(password?.0) })
    }
}

/// A login whose form may carry what OAuth2 clients send besides.
struct Grant(Login);

impl Readable for Grant {
    type Document = GrantDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        if fields
            .optional::<String>("grant_type")
            .is_some_and(|grant| !grant.is_empty() && grant != "password")
        {
            fields.refuse("grant_type", "must be password");
        }
        for field in ["scope", "client_id", "client_secret"] {
            fields.ignore(field);
        }
        Login::read(fields).map(Self)
    }
}

impl<'a> ApiExtractor<'a> for Login {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        LoginDocument::register(registry);
        GrantDocument::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let media = |content_type, schema| MetaMediaType { content_type, schema };
        Some(MetaRequest {
            description: None,
            content: vec![
                media("application/json", LoginDocument::schema_ref()),
                media("application/x-www-form-urlencoded", GrantDocument::schema_ref()),
            ],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self, Error> {
        let media_type = media_type_of(request);
        let bytes = bytes_of(body).await?;
        if is_json(&media_type) {
            Ok(Fields::read(JsonObject::read(&bytes, None)?)?)
        } else if media_type == "application/x-www-form-urlencoded" {
            Ok(Fields::read::<Grant>(form_of(&bytes)?)?.0)
        } else {
            let problem = Problem::unsupported_media_type();
            Err(Problem {
                detail: "send JSON or a form (application/x-www-form-urlencoded)".to_owned(),
                ..problem
            }
            .into())
        }
    }
}

fn form_of(bytes: &[u8]) -> Result<JsonObject, Problem> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes)
        .map_err(|_| Problem::malformed("the body is not a valid form"))?;
    JsonObject::of_form(pairs)
}

/// An access token (RFC 6749, section 5.1).
#[derive(Object)]
#[oai(rename = "AccessToken")]
pub struct TokenDocument {
    /// To be sent as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// How long the token lasts, in seconds.
    expires_in: i64,
    /// When the token ends.
    expires_at: Time,
}

/// Whom a token speaks for.
#[derive(Object)]
#[oai(rename = "Me")]
pub struct MeDocument {
    /// Number of the admin; null for a user of the host on the control socket.
    id: Nullable<u64>,
    /// Name of the admin.
    username: String,
    /// Always `sysadmin`.
    role: String,
    /// When the admin was created; null for a user of the host.
    created_at: Nullable<Time>,
    /// What the token that you ask with may do; `admin`: all.
    scope: ScopeDocument,
    /// What that token is called; null for a login and for a user of the host.
    token: Nullable<String>,
    /// When that token ends; null for a user of the host.
    expires_at: Nullable<Time>,
}

/// The routes under `/api/auth`.
pub struct AuthApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Group::Login")]
impl AuthApi {
    /// Log in
    ///
    /// Gives an access token for 15 minutes (`auth.token_minutes`). Takes
    /// JSON, or the OAuth2 password form that the Authorize dialog sends.
    /// Failed logins are limited by address: 5 a minute unless configured
    /// otherwise. Logins are in the audit trail; failed ones are kept beside
    /// it.
    #[oai(path = "/login", method = "post", operation_id = "login")]
    async fn login(
        &self,
        app: Data<&Arc<App>>,
        peer: Data<&Peer>,
        sender: Data<&ProvedSender>,
        login: Login,
    ) -> Result<
        Json<TokenDocument>,
        Failure<
            {
                failure::MALFORMED
                    | failure::UNAUTHORIZED
                    | failure::BODY
                    | failure::INVALID
                    | failure::THROTTLED
                    | failure::UNAVAILABLE
            },
        >,
    > {
        let network = Network::of(peer.0.0);
        let turned_away = |_: &RetryAfter| app.metrics.throttled(Throttle::Login);
        let claim = app.logins.claim(network).inspect_err(turned_away)?;
        let turn = app.passwords.turn(claim).await.inspect_err(|_| app.metrics.throttled(Throttle::Queue))?;
        let attempt = app.logins.attempt(network, &login.username.folded()).inspect_err(turned_away)?;
        let admin = app.store.admin_named(login.username).await?;
        let stored = admin.as_ref().map(|admin| admin.password_hash.clone());
        let settle = move |right| match attempt {
            Some(attempt) if right => attempt.succeeded(),
            Some(attempt) => attempt.failed(),
            None => {}
        };
        let right = turn.verify(login.password, stored, settle).await?;
        let Some(admin) = admin.as_ref().filter(|_| right) else {
            let kept = app.failed_logins.may_record();
            app.metrics.failed_login(kept);
            if kept {
                let named = admin.map(|admin| admin.username);
                app.store.record_failed_login(named, peer.0.0, now()).await?;
            }
            return Err(Problem::wrong_login().into());
        };
        let token = app.tokens.issue(admin, now())?;
        let name = admin.username.as_str().to_owned();
        let actor = Actor { kind: ActorKind::Admin, name, token: None, ip: Some(peer.0.0) };
        sender.note(&actor);
        if let Err(error) = app.store.record_login(actor.clone(), now()).await {
            // Whoever looks after a full disk has to get in.
            tracing::error!(%error, admin = actor.name, ip = %peer.0.0, "a login is not in the audit trail");
        }
        Ok(Json(TokenDocument {
            access_token: token.text,
            token_type: "Bearer".to_owned(),
            expires_in: token.expires_in_seconds,
            expires_at: Time(token.expires_at),
        }))
    }

    /// Who am I
    ///
    /// Tells whom the access token speaks for.
    #[oai(path = "/me", method = "get", operation_id = "me")]
    async fn me(
        &self,
        asker: Authority<scope::Read>,
    ) -> Result<Json<MeDocument>, Failure<{ failure::SYSADMIN }>> {
        let (admin, token, expires_at) = match asker.proof() {
            Proof::Login(admin, claims) => (Some(admin), None, Timestamp::from_unix(claims.exp)),
            Proof::Token(admin, token) => {
                (Some(admin), Some(token.name.as_str().to_owned()), Some(token.expires_at))
            }
            Proof::Host(_) => (None, None, None),
        };
        Ok(Json(MeDocument {
            id: Nullable(admin.map(|admin| admin.id)),
            username: asker.actor().name,
            role: "sysadmin".to_owned(),
            created_at: Nullable(admin.map(|admin| Time(admin.created_at))),
            scope: asker.scope().into(),
            token: Nullable(token),
            expires_at: Nullable(expires_at.map(Time)),
        }))
    }
}
