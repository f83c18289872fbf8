//! Logging in, and the proof of having done so.

use std::net::IpAddr;
use std::sync::Arc;

use poem::http::header;
use poem::web::Data;
use poem::{Error, Request, RequestBody};
use poem_openapi::registry::{
    MetaMediaType, MetaOAuthFlow, MetaOAuthFlows, MetaRequest, MetaSecurityScheme, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi};

use super::app::{App, Caller, Peer};
use super::fields::{Fields, Json, Readable, bytes_of, is_json, media_type_of};
use super::object::Object as JsonObject;
use super::problem::{Failure, Problem, failure};
use super::sender::ProvedSender;
use super::tag::Group;
use super::wire::{Nullable, Time};
use crate::auth::host_user::HostUser;
use crate::auth::password::TypedPassword;
use crate::auth::retry_after::RetryAfter;
use crate::clock::now;
use crate::domain::{Actor, ActorKind, Admin, Network, NewPassword, Username};
use crate::metrics::Throttle;

/// Where tokens are got; also the OAuth2 token URL in the specification.
pub(super) const LOGIN_PATH: &str = "/api/auth/login";
/// Names of the two ways, in the specification, to send a token.
const PASSWORD_SCHEME: &str = "password";
const BEARER_SCHEME: &str = "bearer";

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
    /// Ignored: there is one role.
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
            1..=NewPassword::MAX_BYTES => Ok(Self(text.to_owned())),
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
}

/// Somebody who has proved to be a sysadmin: the authority to change sites.
pub struct Sysadmin {
    proof: Proof,
    /// Where the request came from; `None`: the control socket.
    ip: Option<IpAddr>,
}

enum Proof {
    /// An access token.
    Token(Admin),
    /// The control socket.
    Socket(HostUser),
}

impl Sysadmin {
    /// For the audit trail.
    pub fn actor(&self) -> Actor {
        let (kind, name) = match &self.proof {
            Proof::Token(admin) => (ActorKind::Admin, admin.username.as_str()),
            Proof::Socket(user) => (ActorKind::System, user.name.as_str()),
        };
        Actor { kind, name: name.to_owned(), ip: self.ip }
    }
}

impl<'a> ApiExtractor<'a> for Sysadmin {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = |ty, description| MetaSecurityScheme {
            ty,
            description: Some(description),
            name: None,
            key_in: None,
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(
            PASSWORD_SCHEME,
            MetaSecurityScheme {
                flows: Some(MetaOAuthFlows {
                    implicit: None,
                    password: Some(MetaOAuthFlow {
                        authorization_url: None,
                        token_url: Some(LOGIN_PATH),
                        refresh_url: None,
                        scopes: Vec::new(),
                    }),
                    client_credentials: None,
                    authorization_code: None,
                }),
                ..scheme(
                    "oauth2",
                    "Enter the name and password of an admin; leave client_id and client_secret empty.",
                )
            },
        );
        registry.create_security_scheme(
            BEARER_SCHEME,
            MetaSecurityScheme {
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
                ..scheme("http", "Paste an access token from POST /api/auth/login.")
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![PASSWORD_SCHEME, BEARER_SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self, Error> {
        let app = request.data::<Arc<App>>().ok_or_else(|| Problem::internal("no App in the request"))?;
        Ok(Self::who_sent(app, request).await?)
    }
}

impl Sysadmin {
    /// The sysadmin that `request` comes from: the control socket's user, or
    /// the admin whose token it carries.
    ///
    /// # Errors
    /// [`Problem::unauthorized`] when it carries none that holds.
    pub async fn who_sent(app: &App, request: &Request) -> Result<Self, Problem> {
        let sysadmin = Self::proved_by(app, request).await?;
        if let Some(sender) = request.data::<ProvedSender>() {
            let Actor { kind, name, .. } = sysadmin.actor();
            sender.note(kind, &name);
        }
        Ok(sysadmin)
    }

    async fn proved_by(app: &App, request: &Request) -> Result<Self, Problem> {
        if let Some(Caller::System(user)) = request.data() {
            return Ok(Self { proof: Proof::Socket(user.clone()), ip: None });
        }
        let token = bearer_token(request).ok_or_else(Problem::unauthorized)?;
        let claims = app.tokens.check(token, now()).ok_or_else(Problem::unauthorized)?;
        let admin = app.store.admin(claims.admin).await?;
        match admin {
            Some(admin) if admin.token_epoch == claims.epoch() && admin.username.as_str() == claims.sub => {
                Ok(Self { proof: Proof::Token(admin), ip: request.data::<Peer>().map(|peer| peer.0) })
            }
            _ => Err(Problem::unauthorized()),
        }
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750, section 2.1).
fn bearer_token(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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
        app.remember_logins(now()).await;
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
        sender.note(ActorKind::Admin, admin.username.as_str());
        let token = app.tokens.issue(admin, now())?;
        let name = admin.username.as_str().to_owned();
        let actor = Actor { kind: ActorKind::Admin, name, ip: Some(peer.0.0) };
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
    async fn me(&self, admin: Sysadmin) -> Result<Json<MeDocument>, Failure<{ failure::SYSADMIN }>> {
        let (id, username, created_at) = match admin.proof {
            Proof::Token(admin) => {
                (Some(admin.id), admin.username.as_str().to_owned(), Some(admin.created_at))
            }
            Proof::Socket(user) => (None, user.name, None),
        };
        Ok(Json(MeDocument {
            id: Nullable(id),
            username,
            role: "sysadmin".to_owned(),
            created_at: Nullable(created_at.map(Time)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use governor::clock::MonotonicClock;
    use poem::http::Method;
    use poem::{Endpoint as _, EndpointExt as _};

    use super::*;
    use crate::api::routes::routes;
    use crate::auth::login_throttle::LoginThrottle;
    use crate::auth::queue::Standing;
    use crate::store::{FILE_NAME, Store};

    #[tokio::test]
    async fn a_login_finds_those_of_before_the_start_remembered_though_the_start_did_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join(FILE_NAME)).unwrap();
        let here = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        let admin = Actor { kind: ActorKind::Admin, name: "anna".to_owned(), ip: Some(here) };
        store.record_login(admin, now()).await.unwrap();
        let app = App::at_rest(store, dir.path().to_owned(), true).unwrap();
        let app = Arc::new(App { logins: LoginThrottle::new(5, MonotonicClock), ..app });
        let standing = || app.logins.claim(Network::of(here)).unwrap().standing;
        assert_eq!(standing(), Standing::New);
        let mut login = Request::builder()
            .method(Method::POST)
            .uri_str(LOGIN_PATH)
            .content_type("application/json")
            .body(r#"{"username":"anna","password":"wrong"}"#);
        login.set_data(Peer(here));
        login.set_data(Caller::Stranger);
        login.set_data(ProvedSender::default());
        let answer = routes(Arc::clone(&app)).map_to_response().get_response(login).await;
        assert_eq!(answer.status(), poem::http::StatusCode::UNAUTHORIZED);
        assert_eq!(standing(), Standing::Known);
    }
}
