//! The life of the server, and the only place where everything is wired
//! together.
//!
//! ```text
//! check    what is configured can work; nothing has been touched
//!   │
//! bind     addresses, database, first admin, signing key, certificate,
//!   │      control socket. Clients can connect and wait in the system's queue
//! run      accept, answer, and what goes on beside: sweeps, the watchdog,
//!   │      the upkeep of the certificate. SIGHUP reloads
//!   │      ── SIGTERM or SIGINT
//! drain    no new connections; running requests have 30 s to end
//!   │
//! close    the database: what waits to be written is, the last backup is made
//! ```
//!
//! Each phase is a value that the one before gives, so none can be left out or
//! come twice. The addresses come first in `bind`: a second server by mistake
//! fails there, and leaves no trace. From the moment at which the database is
//! open, every way out leads through `close`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::MonotonicClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::backup_schedule::schedule_backups;
use super::budget::Budget;
use super::certificate_setup::{self, CertificateSetup};
use super::check::check;
use super::control::{self, ControlSocket};
use super::door::{Answers, Door};
use super::error::StartError;
use super::listener::{self, Listener};
use super::peer::Proxies;
use super::reload::Reload;
use super::scrape::Scrape;
use super::signals::{Signal, Signals};
use super::{data_dir, first_start, lease_key, notify, signing_key, sweep};
use crate::api::envelope::Api;
use crate::api::{App, SigningKeyPlace};
use crate::auth::failed_login_trail::FailedLoginTrail;
use crate::auth::heartbeat_throttle::HeartbeatThrottle;
use crate::auth::login_throttle::LoginThrottle;
use crate::auth::password::Passwords;
use crate::auth::random::random_bytes;
use crate::auth::token::Tokens;
use crate::certificate::CertificateState;
use crate::clock;
use crate::config::{Config, TlsMode};
use crate::domain::Rules;
use crate::metrics::Metrics;
use crate::store::{self, Store};
use crate::telemetry::Announcer;

/// How long requests that run may take to end after a signal to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves until SIGTERM or SIGINT, then lets running requests end and closes
/// the database; reloads on SIGHUP. Blocks.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub fn run(config: &Config, reload: &Reload) -> Result<(), StartError> {
    // Before the first thread is started, which would have the old limit.
    let descriptors = listener::raise_descriptor_limit();
    check(config)?;
    control::check_runtime_directory(&config.control_socket)?;
    data_dir::prepare(&config.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| StartError::System { what: "start the runtime", source })?;
    runtime.block_on(async {
        let server = Server::bind(config, reload, descriptors).await?;
        let serving = server.run(reload).await;
        let store = serving.drain().await;
        close(store).await;
        Ok(())
    })
}

/// Closes the database, and says so. The writer is joined where blocking is
/// allowed.
async fn close(store: Store) {
    let closed = tokio::task::spawn_blocking(move || store.close()).await;
    tracing::info!(clean = closed.is_ok(), "stopped");
}

/// A server whose addresses are bound and whose database is open, and which
/// answers nobody yet.
pub struct Server {
    config: Config,
    signals: Signals,
    announcer: Announcer,
    app: Arc<App>,
    is_first_start: bool,
    door: Arc<Door>,
    listeners: Vec<Listener>,
    control: ControlSocket,
    scrape: Option<Scrape>,
    certificate: CertificateSetup,
}

impl Server {
    /// Takes what the server needs: its addresses, its database with all that
    /// a first start makes in it, its certificate. `descriptors` is how many
    /// files and sockets the process may have open.
    ///
    /// # Errors
    /// [`StartError`]; the database is closed then.
    pub async fn bind(config: &Config, reload: &Reload, descriptors: usize) -> Result<Self, StartError> {
        let listeners = listener::bind_all(&config.listen, config.limits.write)?;
        let store = Store::open(&config.data_dir.join(store::FILE_NAME))?.with_rules(config.rules.clone());
        schedule_backups(config, &store)?;
        let wired = Self::wire(config, reload.log.announcer(), store.clone(), listeners, descriptors).await;
        if wired.is_err() {
            close(store).await;
        }
        let server = wired?;
        let metrics_app = Arc::clone(&server.app);
        let scrape = match config.metrics_listen {
            Some(address) => Scrape::bind(address, metrics_app, reload.log.lines().clone()).await,
            None => None,
        };
        Ok(Self { scrape, ..server })
    }

    /// Puts the parts together, over an open database.
    async fn wire(
        config: &Config,
        announcer: Announcer,
        store: Store,
        listeners: Vec<Listener>,
        descriptors: usize,
    ) -> Result<Self, StartError> {
        let signals = Signals::new()?;
        // Before anything is recorded by it.
        if let Err(error) = store.look_at_clock(clock::now()).await {
            tracing::warn!(%error, "the clock could not be judged; trying again in a minute");
        }
        let passwords = Passwords::default();
        let is_first_start =
            first_start::make_first_admin(&store, &passwords, &config.data_dir, announcer).await?;
        first_start::replace_counted_epochs(&store).await?;
        let least_revision = store.go_on(random_bytes()?, clock::now()).await?;
        let rules = Rules { least_revision, ..config.rules.clone() };
        let store = store.with_rules(rules);
        let lease_keys = lease_key::keys(&store, config).await?;
        let given = signing_key::given(config)?;
        let signing_key_place = SigningKeyPlace::new(given.is_some());
        let signing_key = match given {
            Some(key) => key,
            None => signing_key::stored(&store).await?,
        };
        let state = Arc::new(CertificateState::new(certificate_setup::mode(&config.tls)));
        let certificate = CertificateSetup::new(config, &store, &state, announcer).await?;
        let control = ControlSocket::bind(&config.control_socket).await?;
        let limits = &config.limits;
        let app = Arc::new(App {
            store,
            passwords,
            tokens: Tokens::new(&signing_key, config.token_minutes),
            unsaved_sessions: Default::default(),
            signing_key: signing_key_place,
            lease_keys,
            logins: LoginThrottle::new(limits.failed_logins_per_minute, MonotonicClock),
            past_logins: Default::default(),
            failed_logins: FailedLoginTrail::new(MonotonicClock),
            heartbeats: HeartbeatThrottle::new(
                limits.failed_heartbeats_per_minute,
                limits.heartbeats_per_hour,
                limits.heartbeat_burst,
                MonotonicClock,
            ),
            metrics: Metrics::new().map_err(|error| StartError::System {
                what: "set up the metrics",
                source: io::Error::other(error),
            })?,
            store_health: Default::default(),
            data_dir: config.data_dir.clone(),
            backup_turn: Default::default(),
            certificate: state,
        });
        let observed = Arc::downgrade(&app);
        app.store.observe_commits(move |commit| {
            if let Some(app) = observed.upgrade() {
                app.metrics.commit(commit);
            }
        });
        let door = Arc::new(Door {
            answers: Answers::Api(Api::new(Arc::clone(&app))),
            acceptor: certificate.acceptor(),
            limits: limits.clone(),
            proxies: Proxies::new(config.trusted_proxies.clone(), config.trusted_header),
            proxies_only: config.tls == TlsMode::Off && !config.trusted_proxies.is_empty(),
            admission: Arc::new(Admission::new(limits, descriptors)),
            budget: Arc::new(Budget::new(limits)),
            stopping: CancellationToken::new(),
            connections: TaskTracker::new(),
        });
        Ok(Self {
            config: config.clone(),
            signals,
            announcer,
            app,
            is_first_start,
            door,
            listeners,
            control,
            scrape: None,
            certificate,
        })
    }

    /// Answers until a signal to stop comes; meanwhile reloads at each SIGHUP.
    pub async fn run(self, reload: &Reload) -> Serving {
        let Self { config, mut signals, announcer, app, door, control, scrape, mut certificate, .. } = self;
        if !self.is_first_start {
            tokio::spawn(first_start::look_at_initial_password(Arc::clone(&app)));
        }
        let mut background = vec![
            tokio::spawn(notify::feed_watchdog(app.store.clone())),
            tokio::spawn(sweep::sweep(Arc::clone(&app), config.audit_keep_days)),
        ];
        let recalling = Arc::clone(&app);
        background.push(tokio::spawn(async move { recalling.remember_logins(clock::now()).await }));
        let scheme = if door.acceptor.is_some() { "https" } else { "http" };
        for listener in &self.listeners {
            let url = listener.url(scheme);
            announcer.say(&format!("listening on {url}"), "listening on", &[("url", &url)]);
        }
        let mut accepting = vec![tokio::spawn(control.accept_into(Arc::clone(&door)))];
        accepting.extend(scrape.map(|scrape| tokio::spawn(scrape.accept_into(Arc::clone(&door)))));
        if let (CertificateSetup::Acme { plain, .. }, Some(https)) =
            (&mut certificate, self.listeners.first())
        {
            let plain_door = Arc::new(door.beside(Answers::Redirect(plain.redirect(https.port()))));
            for listener in plain.listeners.drain(..) {
                let url = listener.url("http");
                announcer.say(&format!("redirecting from {url}"), "redirecting from", &[("url", &url)]);
                accepting.push(tokio::spawn(listener.accept_into(Arc::clone(&plain_door))));
            }
        }
        for listener in self.listeners {
            accepting.push(tokio::spawn(listener.accept_into(Arc::clone(&door))));
        }
        let files = certificate.files();
        background.extend(certificate.keep_up());
        notify::ready();

        let mut running = config;
        let signal = loop {
            match signals.next().await {
                Signal::Stop(name) => break name,
                Signal::Reload => reload.run(&mut running, files.as_deref()).await,
            }
        };
        notify::stopping();
        tracing::info!(signal, "stopping: no new connections, running requests may end");
        Serving { store: app.store.clone(), door, accepting, background }
    }
}

/// A server that has been told to stop, and still answers.
pub struct Serving {
    store: Store,
    door: Arc<Door>,
    accepting: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
}

impl Serving {
    /// Takes no more connections, lets running requests end, and gives the
    /// database back, which nobody else uses then.
    pub async fn drain(self) -> Store {
        let Self { store, door, accepting, background } = self;
        door.stopping.cancel();
        for task in accepting {
            let _ = task.await;
        }
        door.connections.close();
        if tokio::time::timeout(DRAIN, door.connections.wait()).await.is_err() {
            tracing::warn!(
                connections = door.connections.len(),
                "some requests did not end in 30 s and were cut off"
            );
        }
        for task in background {
            task.abort();
        }
        store
    }
}
