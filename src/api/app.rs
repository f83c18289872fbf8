//! What the handlers work with, and what the server puts into each request.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::MonotonicClock;
use tokio::sync::{Mutex, OnceCell, Semaphore};

use crate::auth::failed_login_trail::FailedLoginTrail;
use crate::auth::heartbeat_throttle::HeartbeatThrottle;
use crate::auth::host_user::HostUser;
use crate::auth::lease_key::LeaseKeys;
use crate::auth::login_throttle::LoginThrottle;
use crate::auth::password::Passwords;
use crate::auth::token::Tokens;
use crate::auth::unsaved_sessions::UnsavedSessions;
use crate::certificate::CertificateState;
use crate::domain::{Network, Timestamp};
use crate::metrics::Metrics;
use crate::store::{Store, Unavailable};

/// What the handlers work with.
pub struct App {
    /// The database.
    pub store: Store,
    /// Password hashing.
    pub passwords: Passwords,
    /// Access tokens.
    pub tokens: Tokens,
    /// Logins that the database could not take.
    pub unsaved_sessions: UnsavedSessions,
    /// Where the key that signs them comes from.
    pub signing_key: SigningKeyPlace,
    /// The keys that sign leases.
    pub lease_keys: LeaseKeys,
    /// Limit on failed logins.
    pub logins: LoginThrottle<MonotonicClock>,
    /// Whether the throttle knows the logins of before this start.
    pub past_logins: PastLogins,
    /// Limit on what failed logins may write.
    pub failed_logins: FailedLoginTrail<MonotonicClock>,
    /// Limits on heartbeats.
    pub heartbeats: HeartbeatThrottle<MonotonicClock>,
    /// What monitoring reads.
    pub metrics: Metrics,
    /// The last word of the store on whether it takes writes.
    pub store_health: StoreHealth,
    /// Where everything lies that is kept.
    pub data_dir: PathBuf,
    /// Whose turn it is to take a backup.
    pub backup_turn: BackupTurn,
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
            unsaved_sessions: Default::default(),
            signing_key: SigningKeyPlace::new(signing_key_given),
            lease_keys: LeaseKeys::new(String::new(), Vec::new(), false),
            logins: LoginThrottle::new(0, MonotonicClock),
            past_logins: Default::default(),
            failed_logins: FailedLoginTrail::new(MonotonicClock),
            heartbeats: HeartbeatThrottle::new(0, 0, 0, MonotonicClock),
            metrics: Metrics::new()?,
            store_health: Default::default(),
            data_dir,
            backup_turn: Default::default(),
            certificate: Default::default(),
        })
    }
}

impl App {
    /// Has the throttle know the networks from which admins have logged in
    /// before this start, which come first in line. Without it they are
    /// strangers until they log in again.
    ///
    /// It reads thousands of entries of the audit trail, which heartbeats and
    /// the start need not wait for: a login does, for what is left of it. It is
    /// done once, however often it is asked for.
    pub async fn remember_logins(&self, now: Timestamp) {
        self.past_logins.0.get_or_init(|| self.look_for_past_logins(now)).await;
    }

    async fn look_for_past_logins(&self, now: Timestamp) {
        match self.store.recent_logins().await {
            Ok(logins) => self.logins.remember(logins.into_iter().map(|(ip, at)| {
                let age = u64::try_from(now.seconds_since(at)).unwrap_or_default();
                (Network::of(ip), Duration::from_secs(age))
            })),
            Err(error) => tracing::warn!(%error, "the logins of before this start could not be read"),
        }
    }
}

/// Whether the logins of before this start have been looked for.
#[derive(Debug, Default)]
pub struct PastLogins(OnceCell<()>);

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

/// How long the word of one probe stands: anyone may ask, and each probe is a
/// write.
const PROBE_STANDS: Duration = Duration::from_secs(5);

/// What the last probe said.
#[derive(Default)]
pub struct StoreHealth(Mutex<Option<Instant>>);

impl StoreHealth {
    /// Whether `store` takes writes, probed at most every 5 s while it does.
    ///
    /// # Errors
    /// [`Unavailable`] when it does not.
    pub async fn check(&self, store: &Store) -> Result<(), Unavailable> {
        let mut good = self.0.lock().await;
        if store.takes_writes() && good.is_some_and(|since| since.elapsed() < PROBE_STANDS) {
            return Ok(());
        }
        *good = None;
        store.probe().await?;
        *good = Some(Instant::now());
        Ok(())
    }
}

/// Lets one backup be made and sent at a time: each takes as much room on
/// disk as the database.
pub struct BackupTurn(pub(super) Arc<Semaphore>);

impl Default for BackupTurn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Where the signing key comes from, and whose turn it is to replace it.
#[derive(Debug)]
pub struct SigningKeyPlace {
    /// It is given by a file or by a credential of systemd's, and not ours to
    /// replace.
    pub(super) given: bool,
    /// What is in the database and what the server signs with must not be of
    /// two requests.
    pub(super) turn: Mutex<()>,
}

impl SigningKeyPlace {
    /// `given`: by a file or by a credential; else it is in the database.
    pub fn new(given: bool) -> Self {
        Self { given, turn: Mutex::new(()) }
    }
}
