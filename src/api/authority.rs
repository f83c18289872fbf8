//! The proof of who asks, and what they may.
//!
//! A handler names the scope that its operation needs in the type of its
//! first parameter, [`Authority`], and cannot be reached without one that
//! has it. That one declaration is also what the specification says of the
//! operation: its security, with the scope, and its 403 are made of it
//! ([`security_of`]).
//!
//! There are three proofs: the control socket, a login's access token, and a
//! token for programs. The first two may do all that a sysadmin may; the third
//! what its scope says. All are looked up at each request, so that what has
//! ended is dead at once.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Deref;
use std::sync::Arc;

use poem::{Error, Request, RequestBody};
use poem_openapi::registry::{MetaOAuthFlow, MetaOAuthFlows, MetaOAuthScope, MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::app::{App, Caller, Peer};
use super::bearer::bearer_token;
use super::problem::Problem;
use super::scope::Needs;
use super::sender::ProvedSender;
use crate::auth::host_user::HostUser;
use crate::clock::now;
use crate::domain::api_token::{PREFIX, TokenRefused};
use crate::domain::{Actor, ActorKind, Admin, ApiToken, Scope, Session, Timestamp, TokenSecret, UtcDay};

/// Where access tokens are got; also the OAuth2 token URL in the
/// specification.
pub(super) const LOGIN_PATH: &str = "/api/auth/login";
/// Names of the two ways, in the specification, to send a token.
pub(super) const PASSWORD_SCHEME: &str = "password";
pub(super) const BEARER_SCHEME: &str = "bearer";

/// Somebody who has proved to have the scope `S`: the authority to do what
/// needs it.
pub struct Authority<S: Needs> {
    asker: Asker,
    scope: PhantomData<fn() -> S>,
}

impl<S: Needs> Deref for Authority<S> {
    type Target = Asker;

    fn deref(&self) -> &Asker {
        &self.asker
    }
}

/// Somebody who has proved who they are.
pub struct Asker {
    proof: Proof,
    /// Where the request came from; `None`: the control socket.
    ip: Option<IpAddr>,
}

/// What somebody proves with who they are.
pub enum Proof {
    /// A login's access token, and the login that it belongs to.
    Login(Admin, Session),
    /// A token for programs, and the admin whose it is.
    Token(Admin, ApiToken),
    /// The control socket.
    Host(HostUser),
}

impl Asker {
    /// How they have proved it.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The admin and the login, where the token of one proved it.
    pub fn login(&self) -> Option<(&Admin, &Session)> {
        match &self.proof {
            Proof::Login(admin, session) => Some((admin, session)),
            Proof::Token(..) | Proof::Host(_) => None,
        }
    }

    /// For the audit trail.
    pub fn actor(&self) -> Actor {
        let (kind, name, token) = match &self.proof {
            Proof::Login(admin, _) => (ActorKind::Admin, admin.username.as_str(), None),
            Proof::Token(admin, token) => {
                (ActorKind::Admin, admin.username.as_str(), Some(token.name.as_str().to_owned()))
            }
            Proof::Host(user) => (ActorKind::System, user.name.as_str(), None),
        };
        Actor { kind, name: name.to_owned(), token, ip: self.ip }
    }

    /// What they may.
    pub fn scope(&self) -> Scope {
        match &self.proof {
            Proof::Login(..) | Proof::Host(_) => Scope::Admin,
            Proof::Token(_, token) => token.scope,
        }
    }

    /// For what only a part of an operation's requests needs.
    ///
    /// # Errors
    /// [`Problem::insufficient_scope`].
    pub fn require(&self, needed: Scope) -> Result<(), Problem> {
        if self.scope().allows(needed) {
            Ok(())
        } else {
            Err(Problem::insufficient_scope(needed, self.scope()))
        }
    }
}

/// Who sent `request`, where they may do what needs `needed`: the control
/// socket's user, or the admin whose token it carries.
///
/// # Errors
/// [`Problem::unauthorized`] and its like when it carries no token that
/// counts, [`Problem::insufficient_scope`] when that may not do this.
pub(super) async fn who_sent(app: &App, request: &Request, needed: Scope) -> Result<Asker, Problem> {
    let asker = proved_by(app, request).await?;
    if let Some(sender) = request.data::<ProvedSender>() {
        sender.note(&asker.actor());
    }
    asker.require(needed)?;
    if let Proof::Token(_, token) = &asker.proof {
        note_use(app, token, now());
    }
    Ok(asker)
}

async fn proved_by(app: &App, request: &Request) -> Result<Asker, Problem> {
    if let Some(Caller::System(user)) = request.data() {
        return Ok(Asker { proof: Proof::Host(user.clone()), ip: None });
    }
    let ip = request.data::<Peer>().map(|peer| peer.0);
    let token = bearer_token(request).ok_or_else(Problem::unauthorized)?;
    let proof = if token.starts_with(PREFIX) {
        program(app, token, ip.unwrap_or(Ipv6Addr::UNSPECIFIED.into())).await?
    } else {
        login(app, token).await?
    };
    Ok(Asker { proof, ip })
}

async fn login(app: &App, token: &str) -> Result<Proof, Problem> {
    let claims = app.tokens.check(token, now()).ok_or_else(Problem::unauthorized)?;
    let id = claims.session().ok_or_else(Problem::unauthorized)?;
    let found = app.store.admin_with_session(claims.admin, id).await?;
    let (admin, session) = found.ok_or_else(Problem::unauthorized)?;
    let session = session.or_else(|| app.unsaved_sessions.get(admin.id, id));
    match session {
        Some(session) if admin.token_epoch == claims.epoch() && admin.username.as_str() == claims.sub => {
            Ok(Proof::Login(admin, session))
        }
        _ => Err(Problem::unauthorized()),
    }
}

async fn program(app: &App, token: &str, ip: IpAddr) -> Result<Proof, Problem> {
    let presented = TokenSecret::presented(token).map_err(|_| Problem::misspelt_token())?;
    let found = app.store.token(presented.hash()).await?;
    let (token, admin) = found.ok_or_else(Problem::unknown_token)?;
    match token.check(ip, now()) {
        Ok(()) => Ok(Proof::Token(admin, token)),
        Err(TokenRefused::Expired) => Err(Problem::expired_token(token.expires_at)),
        Err(TokenRefused::Network) => Err(Problem::foreign_token(ip)),
    }
}

/// Has the day written down, where that is the first use of it, without having
/// the request wait. Where the store takes no writes, the next use will do.
fn note_use(app: &App, token: &ApiToken, now: Timestamp) {
    let (id, day) = (token.id, UtcDay::of(now));
    if token.last_used_on != Some(day) && app.store.takes_writes() {
        let store = app.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.note_token_use(id, day).await {
                tracing::warn!(%error, token = id, "it could not be noted that a token was used today");
            }
        });
    }
}

impl<'a, S: Needs> ApiExtractor<'a> for Authority<S> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_schemes(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![declared(S::SCOPE)]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self, Error> {
        let app = request.data::<Arc<App>>().ok_or_else(|| Problem::internal("no App in the request"))?;
        let asker = who_sent(app, request, S::SCOPE).await?;
        Ok(Self { asker, scope: PhantomData })
    }
}

/// How an operation says in the framework's description that it needs this
/// scope: the framework knows of schemes there and not of scopes.
fn declared(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "scope:read",
        Scope::Operate => "scope:operate",
        Scope::Backup => "scope:backup",
        Scope::Admin => "scope:admin",
    }
}

/// The scope that an operation needs, by what it declares; `None`: anybody may
/// call it.
pub(super) fn scope_of<K: AsRef<str> + Eq + std::hash::Hash, V>(security: &[HashMap<K, V>]) -> Option<Scope> {
    let names = security.iter().flat_map(HashMap::keys);
    names.filter_map(|name| scope_declared(name.as_ref())).next()
}

/// The scope that a declaration of [`Authority`] names.
pub(super) fn scope_declared(name: &str) -> Option<Scope> {
    Scope::ALL.into_iter().find(|scope| declared(*scope) == name)
}

fn register_schemes(registry: &mut Registry) {
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
                    scopes: Scope::ALL.map(described).into(),
                }),
                client_credentials: None,
                authorization_code: None,
            }),
            ..scheme(
                "oauth2",
                "Enter the name and password of an admin; leave client_id, client_secret and the scopes empty: \
                 a login may do all that an admin may. Scopes are those of tokens for programs. Where the admin \
                 has a second factor, enter a space and the code behind the password.",
            )
        },
    );
    registry.create_security_scheme(
        BEARER_SCHEME,
        MetaSecurityScheme {
            scheme: Some("bearer"),
            ..scheme(
                "http",
                "Paste an access token from POST /api/auth/login, or a token for programs (`swt_…`) from \
                 POST /api/tokens, which may do what its scope says.",
            )
        },
    );
}

fn described(scope: Scope) -> MetaOAuthScope {
    let description = match scope {
        Scope::Read => "See sites, the audit trail and who you are",
        Scope::Operate => "Also register, change, lock and unlock sites, and rotate their keys",
        Scope::Backup => "Take a backup, and nothing else",
        Scope::Admin => "All that an admin may",
    };
    MetaOAuthScope { name: scope.as_str(), description: Some(description) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_read_as_the_scope_that_it_is() {
        for scope in Scope::ALL {
            assert_eq!(scope_of(&[HashMap::from([(declared(scope), ())])]), Some(scope));
        }
        assert_eq!(scope_of::<&str, ()>(&[]), None);
        assert_eq!(scope_declared("scope:owner"), None);
    }
}
