//! The API: wire types, authority and status codes.
//!
//! One file per group of routes. A handler reads the clock and the request,
//! calls one method of the store and shapes the answer; rules live in the
//! domain, transactions in the store. Every answer passes the [`envelope`],
//! which gives it its request id, its headers and its line in the log.

pub mod admins;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod batch;
pub mod docs;
pub mod envelope;
mod etag;
pub mod fields;
mod file;
mod gzip;
pub mod health;
pub mod heartbeat;
mod idempotency;
pub mod object;
pub mod page;
pub mod problem;
mod query;
pub mod signing_key;
pub mod sites;
#[path = "api/specification/complete.rs"]
mod specification;
pub mod tls;
pub mod wire;
#[path = "api/specification/yaml.rs"]
mod yaml;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use governor::clock::MonotonicClock;
use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::{EndpointExt, IntoEndpoint, Route, RouteMethod};
use poem_openapi::registry::{MetaOperation, MetaParamIn};
use poem_openapi::{OpenApi, OpenApiService, Tags};

use crate::auth::host_user::HostUser;
use crate::auth::password::Passwords;
use crate::auth::throttle::{FailedLoginTrail, HeartbeatThrottle, LoginThrottle};
use crate::auth::token::Tokens;
use crate::certificate::CertificateState;
use crate::domain::site::SilentAfterHours;
use crate::metrics::Metrics;
use crate::store::Store;

/// What the handlers work with.
pub struct App {
    /// The database.
    pub store: Store,
    /// Password hashing.
    pub passwords: Passwords,
    /// Access tokens.
    pub tokens: Tokens,
    /// Where the key that signs them comes from.
    pub signing_key: signing_key::SigningKeyPlace,
    /// Limit on failed logins.
    pub logins: LoginThrottle<MonotonicClock>,
    /// Limit on what failed logins may write.
    pub failed_logins: FailedLoginTrail<MonotonicClock>,
    /// Limits on heartbeats.
    pub heartbeats: HeartbeatThrottle<MonotonicClock>,
    /// When a site counts as silent.
    pub silent_after: SilentAfterHours,
    /// What monitoring reads.
    pub metrics: Metrics,
    /// The last word of the store on whether it takes writes.
    pub store_health: health::StoreHealth,
    /// Where everything lies that is kept.
    pub data_dir: PathBuf,
    /// Whose turn it is to take a backup.
    pub backup_turn: backup::BackupTurn,
    /// How the certificate stands.
    pub certificate: Arc<CertificateState>,
}

impl App {
    /// For the host's own users while no server runs: they need no token, so
    /// none is made that counts, and nobody is there to be limited. The
    /// signing key may be `signing_key_given` by the configuration.
    ///
    /// # Errors
    /// When the metrics cannot be set up; a bug.
    pub fn at_rest(store: Store, data_dir: PathBuf, signing_key_given: bool) -> prometheus::Result<Self> {
        Ok(Self {
            store,
            passwords: Passwords::default(),
            tokens: Tokens::new(&[], 0),
            signing_key: signing_key::SigningKeyPlace::new(signing_key_given),
            logins: LoginThrottle::new(0, MonotonicClock),
            failed_logins: FailedLoginTrail::new(MonotonicClock),
            heartbeats: HeartbeatThrottle::new(0, 0, 0, MonotonicClock),
            silent_after: SilentAfterHours(0),
            metrics: Metrics::new()?,
            store_health: Default::default(),
            data_dir,
            backup_turn: Default::default(),
            certificate: Default::default(),
        })
    }
}

/// The address of whoever sent the request, put there by the server.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// How a request came in, put there by the server.
#[derive(Debug, Clone)]
pub enum Caller {
    /// By a listening address: anybody, until a token proves otherwise.
    Stranger,
    /// By the control socket.
    System(HostUser),
}

/// The groups in which the operations are listed.
#[derive(Tags)]
enum Group {
    /// Log in and find out who you are.
    #[oai(rename = "Login")]
    Login,
    /// Register sites, extend their licences, lock and unlock them.
    #[oai(rename = "Sites")]
    Sites,
    /// What a site's local backend calls every 6 hours.
    #[oai(rename = "Heartbeat")]
    Heartbeat,
    /// Who may log in.
    #[oai(rename = "Admins")]
    Admins,
    /// Who changed what.
    #[oai(rename = "Audit")]
    Audit,
    /// Take a copy of everything.
    #[oai(rename = "Backup")]
    Backup,
    /// The server's certificate.
    #[oai(rename = "Certificate")]
    Tls,
    /// For whoever watches the server.
    #[oai(rename = "Health")]
    Health,
}

type Groups = (
    auth::AuthApi,
    sites::SitesApi,
    batch::BatchApi,
    heartbeat::HeartbeatApi,
    admins::AdminsApi,
    audit::AuditApi,
    backup::BackupApi,
    tls::TlsApi,
    signing_key::SigningKeyApi,
    health::HealthApi,
);

fn groups() -> Groups {
    (
        auth::AuthApi,
        sites::SitesApi,
        batch::BatchApi,
        heartbeat::HeartbeatApi,
        admins::AdminsApi,
        audit::AuditApi,
        backup::BackupApi,
        tls::TlsApi,
        signing_key::SigningKeyApi,
        health::HealthApi,
    )
}

fn service() -> OpenApiService<Groups, ()> {
    docs::describe(OpenApiService::new(groups(), "sitewarden", env!("CARGO_PKG_VERSION")))
}

/// All routes, without the envelope.
fn routes(app: Arc<App>) -> BoxEndpoint<'static> {
    // Not nested at "/", which would take the front page as well.
    let service = Arc::new(service().into_endpoint());
    Route::new()
        .nest_no_strip("/api", Arc::clone(&service))
        .at("/health", service)
        .at("/", RouteMethod::new().get(poem::endpoint::make_sync(|_| docs::to_docs())))
        .at("/docs", RouteMethod::new().get(poem::endpoint::make_sync(docs::page)))
        .at("/docs/:asset", RouteMethod::new().get(poem::endpoint::make_sync(docs::asset)))
        .at("/openapi.json", RouteMethod::new().get(poem::endpoint::make_sync(docs::json_file)))
        .at("/openapi.yaml", RouteMethod::new().get(poem::endpoint::make_sync(docs::yaml_file)))
        .data(app)
        .map_to_response()
        .boxed()
}

/// What a path takes with one method.
struct Operation {
    method: Method,
    /// Whether only a sysadmin may do it.
    is_for_sysadmins: bool,
    /// The names of the parameters that its query may have.
    parameters: Vec<String>,
}

impl Operation {
    fn described(operation: MetaOperation) -> Self {
        let parameters =
            operation.params.into_iter().filter(|parameter| parameter.in_type == MetaParamIn::Query);
        Self {
            method: operation.method,
            is_for_sysadmins: !operation.security.is_empty(),
            parameters: parameters.map(|parameter| parameter.name).collect(),
        }
    }

    fn open_page() -> Self {
        Self { method: Method::GET, is_for_sysadmins: false, parameters: Vec::new() }
    }
}

/// The operations of each path pattern.
fn operations() -> HashMap<String, Vec<Operation>> {
    let mut operations: HashMap<String, Vec<Operation>> = HashMap::new();
    for path in Groups::meta().into_iter().flat_map(|api| api.paths) {
        let taken = path.operations.into_iter().map(Operation::described);
        operations.entry(path.path).or_default().extend(taken);
    }
    for path in ["/", "/docs", "/docs/{asset}", "/openapi.json", "/openapi.yaml"] {
        operations.insert(path.to_owned(), vec![Operation::open_page()]);
    }
    operations
}
