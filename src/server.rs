//! The door: sockets, TLS, limits; and the only place where everything is
//! wired together.
//!
//! poem routes, but does not serve: its own server has no time limit on
//! request heads, no cap on connections, and spins when `accept` fails. With
//! no proxy in front the process meets the internet by itself, so the loop is
//! ours, over hyper and tokio-rustls.

mod acme;
mod admission;
mod budget;
mod challenges;
mod connection;
mod control;
mod files;
mod forget;
mod head;
mod handshake_buffer;
mod host;
mod listener;
mod notify;
mod patience;
mod peer;
mod redirect;
mod refusal;
mod reload;
mod scrape;
mod self_signed;
mod tls;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use governor::clock::MonotonicClock;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::admission::Admission;
use self::budget::Budget;
use self::challenges::Challenges;
use self::connection::{Answers, Door};
use self::control::ControlSocket;
use self::files::CertificateFiles;
use self::forget::forget_old;
use self::peer::Proxies;
use self::redirect::Redirect;
pub use self::reload::Reload;
use self::scrape::Scrape;
use self::self_signed::SelfSigned;
use self::tls::{Certificates, Pair};
use crate::api::App;
use crate::api::envelope::Api;
use crate::api::signing_key::SigningKeyPlace;
use crate::auth::initial_password::{self, FIRST_ADMIN};
use crate::auth::password::{PasswordFault, Passwords};
use crate::auth::random::{NoRandomness, random_bytes};
use crate::auth::throttle::{
    FAILED_LOGINS_RECORDED_PER_HOUR, FailedLoginTrail, HeartbeatThrottle, LoginThrottle,
};
use crate::auth::token::{Tokens, fresh_epoch};
use crate::certificate::{CertificateMode, CertificateState};
use crate::clock;
use crate::config::{Config, TlsMode};
use crate::domain::{NewPassword, Username};
use crate::metrics::Metrics;
use crate::store::backups::{self, Schedule};
use crate::store::{self, OpenError, SigningKey, Store, Unavailable};
use crate::telemetry::Announcer;

/// The self-signed certificate as a file, for clients that shall trust it.
pub const CERTIFICATE_FILE: &str = "tls-certificate.pem";
/// How long requests that run may take to end after a signal to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How often throttles forget what has recovered.
const SWEEP: Duration = Duration::from_secs(60);
/// How long after an admin's change a backup is made: several share one.
const BACKUP_AFTER_CHANGE: Duration = Duration::from_secs(2);
/// The least length of a signing key (RFC 7518, section 3.2).
const MIN_SIGNING_KEY_BYTES: usize = 32;

/// Why the server did not start. Displays as one line that names the thing
/// and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database, once open.
    #[error("the database cannot be used: {0}")]
    Store(#[from] Unavailable),
    /// The data directory.
    #[error(
        "cannot use the data directory {path}: {source}: make it writable for the user that runs sitewarden, or set data_dir"
    )]
    DataDir {
        /// The directory or a file in it.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A listening address.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The control socket.
    #[error("cannot use the control socket {path}: {reason}")]
    ControlSocket {
        /// Its path.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The signing key's file.
    #[error("cannot use the signing key in {path} (auth.signing_key_file): {reason}")]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that `acme` needs.
    #[error("cannot use {path} ({key}): {reason}")]
    Acme {
        /// The file.
        path: PathBuf,
        /// The setting that names it.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The first admin's password.
    #[error("cannot make the first admin: {0}")]
    FirstAdmin(#[from] PasswordFault),
    /// The operating system refused something without which nothing works.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        source: io::Error,
    },
}

/// Serves until SIGTERM or SIGINT, then lets running requests end and closes
/// the database; reloads on SIGHUP. Blocks.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub fn run(config: &Config, reload: &Reload) -> Result<(), StartError> {
    let descriptors = listener::raise_descriptor_limit();
    check(config)?;
    prepare_data_dir(&config.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| StartError::System { what: "start the runtime", source })?;
    runtime.block_on(async {
        let listeners = listener::bind_all(&config.listen, config.limits.write)?;
        let store = Store::open(&config.data_dir.join(store::FILE_NAME))?;
        keep_backups(config, &store)?;
        let served = serve(config, reload, store.clone(), listeners, descriptors).await;
        // The writer is joined where blocking is allowed.
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        tracing::info!(clean = closed.is_ok(), "stopped");
        served
    })
}

async fn serve(
    config: &Config,
    reload: &Reload,
    store: Store,
    listeners: Vec<listener::Listener>,
    descriptors: usize,
) -> Result<(), StartError> {
    let announcer = reload.log.announcer();
    let mut signals = Signals::new()?;
    // Before anything is recorded by it.
    if let Err(error) = store.look_at_clock(clock::now()).await {
        tracing::warn!(%error, "the clock could not be judged; trying again in a minute");
    }
    let passwords = Passwords::default();
    let is_first_start = make_first_admin(&store, &passwords, &config.data_dir, announcer).await?;
    renew_counted_epochs(&store).await?;
    let given = given_signing_key(config)?;
    let signing_key_place = SigningKeyPlace::new(given.is_some());
    let signing_key = match given {
        Some(key) => key,
        None => kept_signing_key(&store).await?,
    };
    let certificate = Arc::new(CertificateState::new(mode(&config.tls)));
    let keeping = keep_certificate(config, &store, &certificate, announcer).await?;
    let plain_listeners = match &config.tls {
        TlsMode::Acme(acme) => listener::bind_all(&acme.http_listen, config.limits.write)?,
        _ => Vec::new(),
    };
    let control = ControlSocket::bind(&config.control_socket).await?;
    let app = Arc::new(App {
        store,
        passwords,
        tokens: Tokens::new(&signing_key, config.token_minutes),
        signing_key: signing_key_place,
        logins: LoginThrottle::new(config.limits.failed_logins_per_minute, MonotonicClock),
        failed_logins: FailedLoginTrail::new(MonotonicClock),
        heartbeats: HeartbeatThrottle::new(
            config.limits.failed_heartbeats_per_minute,
            config.limits.heartbeats_per_hour,
            config.limits.heartbeat_burst,
            MonotonicClock,
        ),
        silent_after: config.silent_after,
        metrics: Metrics::new().map_err(|error| StartError::System {
            what: "set up the metrics",
            source: io::Error::other(error),
        })?,
        store_health: Default::default(),
        data_dir: config.data_dir.clone(),
        backup_turn: Default::default(),
        certificate,
    });
    let door = Arc::new(Door {
        answers: Answers::Api(Api::new(Arc::clone(&app))),
        acceptor: keeping.acceptor,
        limits: config.limits.clone(),
        proxies: Proxies::new(config.trusted_proxies.clone(), config.trusted_header),
        proxies_only: config.tls == TlsMode::Off && !config.trusted_proxies.is_empty(),
        admission: Arc::new(Admission::new(&config.limits, descriptors)),
        budget: Arc::new(Budget::new(&config.limits)),
        stopping: CancellationToken::new(),
        connections: TaskTracker::new(),
    });
    let observed = Arc::downgrade(&app);
    app.store.observe_commits(move |commit| {
        if let Some(app) = observed.upgrade() {
            app.metrics.commit(commit);
        }
    });
    let scrape = match config.metrics_listen {
        Some(address) => Scrape::bind(address, Arc::clone(&app), reload.log.lines().clone()).await,
        None => None,
    };
    if !is_first_start {
        tokio::spawn(look_at_initial_password(Arc::clone(&app)));
    }
    let mut background = vec![
        tokio::spawn(notify::feed_watchdog(app.store.clone())),
        tokio::spawn(sweep(app, config.audit_keep_days)),
    ];
    let scheme = if door.acceptor.is_some() { "https" } else { "http" };
    for listener in &listeners {
        let url = listener.url(scheme);
        announcer.say(&format!("listening on {url}"), "listening on", &[("url", &url)]);
    }
    let mut accepting = vec![tokio::spawn(control.accept_into(Arc::clone(&door)))];
    accepting.extend(scrape.map(|scrape| tokio::spawn(scrape.accept_into(Arc::clone(&door)))));
    if let (TlsMode::Acme(acme), Some(https_port)) = (&config.tls, listeners.first().map(|l| l.port())) {
        let redirect = Redirect::new(keeping.challenges, acme.domains.clone(), https_port);
        let plain_door = Arc::new(door.beside(Answers::Redirect(redirect)));
        for listener in plain_listeners {
            let url = listener.url("http");
            announcer.say(&format!("redirecting from {url}"), "redirecting from", &[("url", &url)]);
            accepting.push(tokio::spawn(listener.accept_into(Arc::clone(&plain_door))));
        }
    }
    for listener in listeners {
        accepting.push(tokio::spawn(listener.accept_into(Arc::clone(&door))));
    }
    // Only now can an ACME server check this one.
    let files = keeping.files;
    if let Some((own, certificates)) = keeping.own {
        background.push(tokio::spawn(own.keep(certificates)));
    }
    match keeping.keeper {
        Some(keeper) => background.push(tokio::spawn(keeper.run())),
        None => {
            if let Some(files) = files.clone() {
                background.push(tokio::spawn(async move { files.watch().await }));
            }
        }
    }

    notify::ready();

    let mut running = config.clone();
    let signal = loop {
        match signals.next().await {
            Signal::Stop(name) => break name,
            Signal::Reload => reload.run(&mut running, files.as_deref()).await,
        }
    };
    notify::stopping();
    tracing::info!(signal, "stopping: no new connections, running requests may end");
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
    Ok(())
}

/// Keeps backups from now on, as configured.
pub(crate) fn keep_backups(config: &Config, store: &Store) -> Result<(), StartError> {
    let Some(kept) = &config.backup else {
        return Ok(());
    };
    let directory = config.data_dir.join(backups::DIRECTORY);
    store
        .keep_backups(Schedule {
            directory: directory.clone(),
            after_change: BACKUP_AFTER_CHANGE,
            every: kept.every,
            keep_daily: kept.keep_daily,
            clock: clock::now,
        })
        .map_err(|source| StartError::DataDir { path: directory, source })
}

async fn sweep(app: Arc<App>, audit_keep_days: Option<u32>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        app.logins.sweep();
        app.heartbeats.sweep();
        let left_out = app.failed_logins.take_left_out();
        if left_out > 0 {
            tracing::warn!(
                count = left_out,
                "so many failed logins are not kept one by one: there are more than {FAILED_LOGINS_RECORDED_PER_HOUR} an hour"
            );
        }
        forget_old(&app.store, clock::now(), audit_keep_days).await;
    }
}

/// What the system or an operator wants.
enum Signal {
    /// SIGTERM or SIGINT, by name.
    Stop(&'static str),
    /// SIGHUP.
    Reload,
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let listen =
            |kind| signal(kind).map_err(|source| StartError::System { what: "listen for signals", source });
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

/// Refuses what is configured and cannot work, as far as that can be told
/// without making, binding or opening anything: a start that is refused for it
/// leaves nothing behind, and `config check` can say so beforehand.
///
/// # Errors
/// [`StartError`] for the first thing that is wrong.
pub fn check(config: &Config) -> Result<(), StartError> {
    match &config.tls {
        TlsMode::Files { cert, key } => drop(Pair::from_files(cert, key)?),
        TlsMode::Acme(settings) => acme::check(settings)?,
        TlsMode::SelfSigned | TlsMode::Off => {}
    }
    given_signing_key(config)?;
    control::check_path(&config.control_socket)?;
    check_data_dir(&config.data_dir)
}

/// What there is of the data directory's path must be a directory that this
/// user can use: the last part may have to be made.
fn check_data_dir(path: &Path) -> Result<(), StartError> {
    let error = |source| StartError::DataDir { path: path.to_owned(), source };
    // "data" lies in "".
    let there = path.ancestors().map(|part| if part == Path::new("") { Path::new(".") } else { part });
    match there.filter_map(|part| Some((part, part.metadata().ok()?))).next() {
        Some((_, found)) if !found.is_dir() => Err(error(io::ErrorKind::NotADirectory.into())),
        Some((part, _)) => check_usable(part).map_err(error),
        None => Ok(()),
    }
}

fn prepare_data_dir(path: &Path) -> Result<(), StartError> {
    let error = |source| StartError::DataDir { path: path.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(error)?;
    // Tells an unwritable directory from a database that cannot be opened.
    check_usable(path).map_err(error)
}

fn check_usable(directory: &Path) -> io::Result<()> {
    let all = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(directory, all).map_err(|_| io::ErrorKind::PermissionDenied.into())
}

/// Makes the first admin when there is none, and hands over its password: on
/// the terminal, where that is one for words, else in a file that only this
/// user can read. The file is
/// written before the admin is, so that a crash between leaves no admin whose
/// password nobody knows. Tells whether it made one.
async fn make_first_admin(
    store: &Store,
    passwords: &Passwords,
    data_dir: &Path,
    announcer: Announcer,
) -> Result<bool, StartError> {
    if store.has_admin().await? {
        return Ok(false);
    }
    let (Ok(username), Some(password)) = (FIRST_ADMIN.parse(), random_password()) else {
        return Err(StartError::System { what: "get random bytes", source: io::ErrorKind::Other.into() });
    };
    let hash = passwords.hash(password.clone()).await?;
    let terminal = io::stderr().is_terminal() && announcer == Announcer::Text;
    let path = initial_password::path(data_dir);
    if !terminal {
        initial_password::write(data_dir, &password)
            .map_err(|source| StartError::DataDir { path: path.clone(), source })?;
    }
    let epoch = fresh_epoch().map_err(no_random_bytes)?;
    let made = store.create_first_admin(username, hash, epoch, clock::now()).await?;
    if made {
        if terminal {
            show(&format!("first start: log in as {FIRST_ADMIN} with the password {}", password.expose()));
        } else {
            tracing::info!(
                username = FIRST_ADMIN,
                password_file = %path.display(),
                "first start: the password of the first admin is in this file, which goes when you change it"
            );
        }
    }
    Ok(made)
}

/// Warns while the password of the first start works, and removes its file
/// when it does not.
async fn look_at_initial_password(app: Arc<App>) {
    let path = initial_password::path(&app.data_dir);
    let cannot = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, password_file = %path.display(), "cannot tell whether the initial password still works");
    };
    let password = match initial_password::read(&app.data_dir) {
        Ok(Some(password)) => password,
        Ok(None) => return,
        Err(error) => return cannot(&error),
    };
    let Ok(username) = FIRST_ADMIN.parse::<Username>() else {
        return;
    };
    let admin = match app.store.admin_named(username.clone()).await {
        Ok(admin) => admin,
        Err(error) => return cannot(&error),
    };
    match initial_password::opens(password, admin, &app.passwords).await {
        Ok(true) => tracing::warn!(
            username = FIRST_ADMIN,
            password_file = %path.display(),
            "the password of the first start still works and lies in this file: change it with \
             sitewarden admin passwd {FIRST_ADMIN}, which removes the file"
        ),
        Ok(false) => initial_password::forget(&app.data_dir, &username).await,
        Err(error) => cannot(&error),
    }
}

/// Draws epochs in place of those that version 0.1 counted. Its backups hold
/// them beside the key that signs, so who has one could make tokens for ever.
async fn renew_counted_epochs(store: &Store) -> Result<(), StartError> {
    for admin in store.list_admins().await? {
        if admin.token_epoch.may_be_counted() {
            let epoch = fresh_epoch().map_err(no_random_bytes)?;
            store.renew_token_epoch(admin.id, admin.token_epoch, epoch).await?;
            tracing::info!(username = %admin.username, "ended the logins of earlier versions");
        }
    }
    Ok(())
}

fn no_random_bytes(_: NoRandomness) -> StartError {
    StartError::System { what: "get random bytes", source: io::ErrorKind::Other.into() }
}

/// Shows a secret to the person at the terminal; never goes through the log.
#[expect(clippy::print_stderr, reason = "a secret for the person who looks on, which must not be logged")]
fn show(line: &str) {
    eprintln!("{line}");
}

/// 24 characters of base64url: 144 random bits.
fn random_password() -> Option<NewPassword> {
    use base64::Engine as _;
    let bits: [u8; 18] = random_bytes().ok()?;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bits).parse().ok()
}

/// The signing key in the database, which gets one where it has none: at the
/// first start, and at the first on a restored backup.
async fn kept_signing_key(store: &Store) -> Result<Vec<u8>, StartError> {
    let fresh = random_bytes().map_err(no_random_bytes)?;
    Ok(store.signing_key_or(SigningKey(fresh)).await?.0.to_vec())
}

/// The signing key from its file, where one is configured. Reads a small file
/// at the start, where blocking delays nobody.
fn given_signing_key(config: &Config) -> Result<Option<Vec<u8>>, StartError> {
    let credential = signing_key_credential();
    let Some(path) = config.signing_key_file.as_ref().or(credential.as_ref()) else {
        return Ok(None);
    };
    let error = |reason: String| StartError::SigningKey { path: path.clone(), reason };
    let key = std::fs::read(path).map_err(|source| error(source.to_string()))?;
    let key = key.trim_ascii();
    if key.len() < MIN_SIGNING_KEY_BYTES {
        return Err(error(format!(
            "it holds {} bytes and must hold at least {MIN_SIGNING_KEY_BYTES}",
            key.len()
        )));
    }
    Ok(Some(key.to_vec()))
}

/// The signing key that systemd hands over (`LoadCredential=signing-key:…`,
/// systemd.exec(5)), where it does.
fn signing_key_credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("signing-key");
    path.exists().then_some(path)
}

fn mode(mode: &TlsMode) -> CertificateMode {
    match mode {
        TlsMode::SelfSigned => CertificateMode::SelfSigned,
        TlsMode::Files { .. } => CertificateMode::Files,
        TlsMode::Acme(_) => CertificateMode::Acme,
        TlsMode::Off => CertificateMode::Off,
    }
}

/// The certificate, and what keeps it fresh.
#[derive(Default)]
struct Keeping {
    /// `None`: plain HTTP.
    acceptor: Option<TlsAcceptor>,
    challenges: Arc<Challenges>,
    files: Option<Arc<CertificateFiles>>,
    own: Option<(SelfSigned, Arc<Certificates>)>,
    keeper: Option<acme::Keeper>,
}

async fn keep_certificate(
    config: &Config,
    store: &Store,
    state: &Arc<CertificateState>,
    announcer: Announcer,
) -> Result<Keeping, StartError> {
    let now = clock::now();
    let own = SelfSigned {
        store: store.clone(),
        listen: config.listen.clone(),
        file: config.data_dir.join(CERTIFICATE_FILE),
        announcer,
    };
    let challenges: Arc<Challenges> = Arc::default();
    let certificates = |pair| Arc::new(Certificates::new(pair, Arc::clone(&challenges), Arc::clone(state)));
    match &config.tls {
        TlsMode::Off => Ok(Keeping::default()),
        TlsMode::Files { cert, key } => {
            let pair = Pair::from_files(cert, key)?;
            if pair.facts.not_after <= now {
                let not_after = pair.facts.not_after;
                tracing::error!(cert = %cert.display(), %not_after, "the certificate has ended: put a new one in its place");
            }
            if pair.facts.not_before > now {
                let not_before = pair.facts.not_before;
                tracing::error!(cert = %cert.display(), %not_before, clock = %now, "the certificate is not valid yet: is the clock right?");
            }
            let certificates = certificates(pair);
            let acceptor = Some(certificates.acceptor(false));
            let files = Arc::new(CertificateFiles::new(cert, key, certificates, Arc::clone(state)));
            Ok(Keeping { acceptor, files: Some(files), ..Keeping::default() })
        }
        TlsMode::SelfSigned => {
            let certificates = certificates(own.certificate(now).await?);
            let acceptor = Some(certificates.acceptor(false));
            Ok(Keeping { acceptor, own: Some((own, certificates)), ..Keeping::default() })
        }
        TlsMode::Acme(settings) => {
            let kept = acme::kept(store, settings, now).await?;
            let (pair, held) = match kept {
                Some((pair, held)) => (pair, Some(held)),
                None => (own.certificate(now).await?, None),
            };
            let certificates = certificates(pair);
            let acceptor = Some(certificates.acceptor(true));
            let keeper = acme::Keeper::new(
                store.clone(),
                settings.clone(),
                certificates,
                Arc::clone(state),
                Arc::clone(&challenges),
                held,
            );
            Ok(Keeping { acceptor, challenges, keeper: Some(keeper), ..Keeping::default() })
        }
    }
}
