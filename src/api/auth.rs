//! Logging in, and who one is then.

use std::sync::Arc;

use parking_lot::Mutex;
use poem::web::Data;
use poem_openapi::{Object, OpenApi};

use super::app::{App, Peer};
use super::authority::{Authority, Proof};
use super::fields::Json;
use super::login::Login;
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::sender::ProvedSender;
use super::tag::Group;
use super::tokens::ScopeDocument;
use super::wire::{Nullable, Time};
use crate::auth::login_throttle::Attempt;
use crate::auth::random::random_bytes;
use crate::auth::retry_after::RetryAfter;
use crate::auth::token::AccessToken;
use crate::clock::now;
use crate::domain::{
    Actor, ActorKind, Means, Network, SecondFactor, Session, SessionId, SessionKind, Timestamp,
};
use crate::metrics::Throttle;
use crate::store::{CodeFault, CodeOutcome, LoginClaim};

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

impl TokenDocument {
    pub(super) fn of(token: AccessToken) -> Self {
        Self {
            access_token: token.text,
            token_type: "Bearer".to_owned(),
            expires_in: token.expires_in_seconds,
            expires_at: Time(token.expires_at),
        }
    }
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
    /// When that token or the login ends; null for a user of the host.
    expires_at: Nullable<Time>,
    /// Id of the login; null for a token for programs and for a user of the
    /// host.
    session: Nullable<String>,
    /// By what the login was made: `password`, `password+totp` or
    /// `password+recovery_code`; null where there is none.
    means: Nullable<String>,
    /// Whether logins of this admin need a code.
    second_factor: bool,
    /// When this login last showed a code; null: it did not.
    second_factor_at: Nullable<Time>,
    /// How many recovery codes were not used yet; null without a second factor,
    /// and for a token for programs.
    recovery_codes_left: Nullable<u64>,
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
    /// it. Where the admin has a second factor, a code is needed: `otp` in
    /// JSON, behind the password and a space in the form. What was wrong, name,
    /// password or code, the answer does not tell.
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
        let (admin, needs_code) = app.store.admin_for_login(login.username.clone()).await?.unzip();
        let needs_code = needs_code.unwrap_or_default();
        let (password, code) = login.proofs(needs_code);
        let stored = admin.as_ref().map(|admin| admin.password_hash.clone());
        // Whether it failed is settled by the code, where there is one to be.
        let unsettled = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&unsettled);
        let settle = move |right| match attempt {
            Some(attempt) if right && needs_code => *kept.lock() = Some(attempt),
            Some(attempt) if right => attempt.succeeded(),
            Some(attempt) => attempt.failed(),
            None => {}
        };
        let right = turn.verify(password, stored, settle).await?;
        let Some(admin) = admin.clone().filter(|_| right) else {
            let kept = app.failed_logins.may_record();
            app.metrics.failed_login(kept);
            if kept {
                let named = admin.map(|admin| admin.username);
                app.store.record_failed_login(named, peer.0.0, now()).await?;
            } else {
                // A commit all the same, as a wrong code takes: how long the
                // answer takes must not tell which of them was wrong.
                app.store.probe().await?;
            }
            return Err(Problem::wrong_login().into());
        };
        let name = admin.username.as_str().to_owned();
        sender.note(&Actor { kind: ActorKind::Admin, name, token: None, ip: Some(peer.0.0) });
        let now = now();
        let claim = LoginClaim {
            admin: admin.id,
            epoch: admin.token_epoch,
            code,
            session: SessionId(u64::from_le_bytes(random_bytes()?)),
            expires_at: app.tokens.end_of_login(now),
            ip: peer.0.0,
            keeps_refusal: !needs_code || app.failed_logins.may_record(),
        };
        let attempt = unsettled.lock().take();
        // To its end, though the client may go away: a wrong code counts.
        let opening = tokio::spawn(open_session(Arc::clone(app.0), claim, needs_code, attempt, now));
        let session = opening.await.map_err(|_| Problem::internal("opening a session panicked"))??;
        Ok(Json(TokenDocument::of(app.tokens.issue(&admin, &session, now)?)))
    }

    /// Who am I
    ///
    /// Tells whom the access token speaks for, until when, and how the second
    /// factor stands.
    #[oai(path = "/me", method = "get", operation_id = "me")]
    async fn me(
        &self,
        asker: Authority<scope::Read>,
        app: Data<&Arc<App>>,
    ) -> Result<Json<MeDocument>, Failure<{ failure::SYSADMIN }>> {
        let (admin, token, session) = match asker.proof() {
            Proof::Login(admin, session) => (Some(admin), None, Some(session)),
            Proof::Token(admin, token) => (Some(admin), Some(token), None),
            Proof::Host(_) => (None, None, None),
        };
        let ends = session.map(|session| session.expires_at).or(token.map(|token| token.expires_at));
        let factor = match admin {
            Some(admin) => app.store.second_factor(admin.id).await?,
            None => None,
        };
        let left = match factor {
            Some(SecondFactor::On(factor)) => Some(u64::try_from(factor.recovery.len()).unwrap_or_default()),
            Some(SecondFactor::Begun(_)) | None => None,
        };
        Ok(Json(MeDocument {
            id: Nullable(admin.map(|admin| admin.id)),
            username: asker.actor().name,
            role: "sysadmin".to_owned(),
            created_at: Nullable(admin.map(|admin| Time(admin.created_at))),
            scope: asker.scope().into(),
            token: Nullable(token.map(|token| token.name.as_str().to_owned())),
            expires_at: Nullable(ends.map(Time)),
            session: Nullable(session.map(|session| session.id.to_string())),
            means: Nullable(session.map(|session| session.means.as_str().to_owned())),
            second_factor: left.is_some(),
            second_factor_at: Nullable(session.and_then(|session| session.second_factor_at).map(Time)),
            recovery_codes_left: Nullable(left.filter(|_| token.is_none())),
        }))
    }
}

/// Opens the session of a login whose password was right. Where the database
/// takes no writes, a login that needs no code is held in memory: whoever
/// looks after a full disk has to get in. One that needs a code cannot be, since
/// it would count again.
async fn open_session(
    app: Arc<App>,
    claim: LoginClaim,
    needs_code: bool,
    attempt: Option<Attempt>,
    now: Timestamp,
) -> Result<Session, Problem> {
    let opened = match app.store.log_in(claim.clone(), now).await {
        Err(error) if !needs_code => {
            tracing::error!(%error, ip = %claim.ip, "a login is held in memory, and not in the audit trail");
            let session = Session {
                id: claim.session,
                admin: claim.admin,
                kind: SessionKind::Token,
                created_at: now,
                expires_at: claim.expires_at,
                ip: claim.ip,
                means: Means::Password,
                second_factor_at: None,
            };
            app.unsaved_sessions.hold(session.clone(), now);
            return Ok(session);
        }
        opened => opened?,
    };
    app.metrics.code(&opened);
    match opened {
        CodeOutcome::Opened(session) => {
            if let Some(attempt) = attempt {
                attempt.succeeded();
            }
            Ok(session)
        }
        CodeOutcome::Refused(fault) => {
            if let Some(attempt) = attempt {
                attempt.failed();
            }
            app.metrics.failed_login(claim.keeps_refusal);
            if matches!(fault, CodeFault::Code(_)) {
                tracing::warn!(ip = %claim.ip, "a right password was followed by a code that does not count");
            }
            Err(Problem::wrong_login())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use governor::clock::MonotonicClock;
    use poem::http::Method;
    use poem::{Endpoint as _, EndpointExt as _, Request};

    use super::*;
    use crate::api::app::Caller;
    use crate::api::authority::LOGIN_PATH;
    use crate::api::routes::routes;
    use crate::auth::login_throttle::LoginThrottle;
    use crate::auth::queue::Standing;
    use crate::domain::TokenEpoch;
    use crate::store::{FILE_NAME, Store};

    #[tokio::test]
    async fn a_login_finds_those_of_before_the_start_remembered_though_the_start_did_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join(FILE_NAME)).unwrap();
        let here = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        let (epoch, hash) = (TokenEpoch(1), "no hash".to_owned());
        assert!(store.create_first_admin("anna".parse().unwrap(), hash, epoch, now()).await.unwrap());
        let admin = store.admin_named("anna".parse().unwrap()).await.unwrap().unwrap().id;
        let claim = LoginClaim {
            admin,
            epoch,
            code: None,
            session: SessionId(1),
            expires_at: now(),
            ip: here,
            keeps_refusal: false,
        };
        assert!(matches!(store.log_in(claim, now()).await, Ok(CodeOutcome::Opened(_))));
        let app = App::at_rest(store, dir.path().to_owned(), true).unwrap();
        let app = Arc::new(App { logins: LoginThrottle::new(5, MonotonicClock), ..app });
        let standing = || app.logins.claim(Network::of(here)).unwrap().standing;
        assert_eq!(standing(), Standing::New);
        let mut login = Request::builder()
            .method(Method::POST)
            .uri_str(LOGIN_PATH)
            .content_type("application/json")
            .body(r#"{"username":"maria","password":"wrong"}"#);
        login.set_data(Peer(here));
        login.set_data(Caller::Stranger);
        login.set_data(ProvedSender::default());
        let answer = routes(Arc::clone(&app)).map_to_response().get_response(login).await;
        assert_eq!(answer.status(), poem::http::StatusCode::UNAUTHORIZED);
        assert_eq!(standing(), Standing::Known);
    }
}
