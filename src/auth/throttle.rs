//! Limits on guessing, by the generic cell rate algorithm (governor).
//!
//! What each promises:
//! - [`LoginThrottle`]: an address may fail so often a minute; all addresses
//!   that have failed before may together guess at one name
//!   [`NAME_FACTOR`] times as often. An address that has not failed is never
//!   refused, whatever others do.
//! - [`HeartbeatThrottle`]: an address may fail so often a minute, then it is
//!   told 429 in place of 401; a right key passes all the same, since another
//!   site may sit behind the same address. Each site has an allowance of its
//!   own for heartbeats that were accepted.
//!
//! State is bounded: a table that is full forgives an old guesser rather than
//! refuse a newcomer, and what has recovered is swept away every minute.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};

use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::domain::Network;

/// Most networks whose failures are remembered, for each throttle.
pub const MAX_NETWORKS: usize = 16_384;
/// Most names that guesses are counted for.
const MAX_NAMES: usize = 16_384;
/// How many times an address's allowance all guessers together have on one
/// name.
pub const NAME_FACTOR: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
/// Failed logins that enter the audit trail in an hour.
pub const FAILED_LOGINS_RECORDED_PER_HOUR: NonZeroU32 = NonZeroU32::MIN.saturating_add(599);
/// Most logins from one address that wait for the one before them.
const MAX_WAITING: usize = 32;

type Keyed<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;
type Single<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Refused for now; may be tried again after [`RetryAfter::seconds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter(Duration);

impl RetryAfter {
    /// Whole seconds to wait, rounded up, at least 1.
    pub fn seconds(self) -> u64 {
        (self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)).max(1)
    }

    fn until<P: Reference>(refused: &NotUntil<P>, now: P) -> Self {
        Self(refused.wait_time_from(now))
    }
}

/// Limits failed logins.
pub struct LoginThrottle<C: Clock> {
    per_minute: Option<NonZeroU32>,
    clock: C,
    guessers: Mutex<HashMap<Network, Arc<Guesser<C>>>>,
    names: Option<Keyed<u64, C>>,
    hasher: RandomState,
}

/// What is known of one network.
struct Guesser<C: Clock> {
    /// Held while a login from there is checked: they are checked one by one,
    /// so that many at once cannot slip in before the first has failed.
    tally: Arc<tokio::sync::Mutex<Tally<C>>>,
    waiting: Semaphore,
}

struct Tally<C: Clock> {
    attempts: Single<C>,
    has_failed: bool,
    last_attempt: C::Instant,
}

/// Leave to check one password. Dropped without [`Attempt::succeeded`], it
/// counts as a failure: so does a client that went away.
pub struct Attempt<C: Clock> {
    tally: OwnedMutexGuard<Tally<C>>,
    forgiven: Single<C>,
}

impl<C: Clock> Attempt<C> {
    /// The password was right: the network's failures are forgotten.
    pub fn succeeded(mut self) {
        self.tally.has_failed = false;
        std::mem::swap(&mut self.tally.attempts, &mut self.forgiven);
    }
}

impl<C: Clock + Clone> LoginThrottle<C> {
    /// At most `per_minute` failures for each network; 0: no limit.
    pub fn new(per_minute: u32, clock: C) -> Self {
        let per_minute = NonZeroU32::new(per_minute);
        let names = per_minute.map(|per_minute| {
            let quota = Quota::per_minute(per_minute.saturating_mul(NAME_FACTOR));
            RateLimiter::hashmap_with_clock(quota, clock.clone())
        });
        Self { per_minute, clock, guessers: Mutex::default(), names, hasher: RandomState::new() }
    }

    /// Asks leave to check a password for `name` (folded) from `network`;
    /// waits for the logins from there that came before. `None`: no limit is
    /// set.
    ///
    /// # Errors
    /// [`RetryAfter`] when the network has failed too often, or has failed
    /// and the name is being guessed at from all sides.
    pub async fn admit(&self, network: Network, name: &str) -> Result<Option<Attempt<C>>, RetryAfter> {
        let Some(per_minute) = self.per_minute else {
            return Ok(None);
        };
        let quota = Quota::per_minute(per_minute);
        let guesser = self.guesser(network, quota);
        let _place = guesser.waiting.try_acquire().map_err(|_| RetryAfter(Duration::from_secs(1)))?;
        let mut tally = Arc::clone(&guesser.tally).lock_owned().await;
        let now = self.clock.now();
        tally.attempts.check().map_err(|refused| RetryAfter::until(&refused, now))?;
        if tally.has_failed {
            self.admit_name(name)?;
        }
        tally.has_failed = true;
        tally.last_attempt = now;
        Ok(Some(Attempt { tally, forgiven: RateLimiter::direct_with_clock(quota, self.clock.clone()) }))
    }

    fn admit_name(&self, name: &str) -> Result<(), RetryAfter> {
        let Some(names) = &self.names else {
            return Ok(());
        };
        // Past the bound, all names share one count until the next sweep.
        let key = if names.len() < MAX_NAMES { self.hasher.hash_one(name) } else { 0 };
        names.check_key(&key).map_err(|refused| RetryAfter::until(&refused, self.clock.now()))
    }

    fn guesser(&self, network: Network, quota: Quota) -> Arc<Guesser<C>> {
        let mut guessers = locked(&self.guessers);
        if let Some(known) = guessers.get(&network) {
            return Arc::clone(known);
        }
        if guessers.len() >= MAX_NETWORKS {
            let forgiven = guessers.keys().next().copied();
            forgiven.and_then(|network| guessers.remove(&network));
        }
        let tally = Tally {
            attempts: RateLimiter::direct_with_clock(quota, self.clock.clone()),
            has_failed: false,
            last_attempt: self.clock.now(),
        };
        let guesser = Arc::new(Guesser {
            tally: Arc::new(tokio::sync::Mutex::new(tally)),
            waiting: Semaphore::new(MAX_WAITING),
        });
        guessers.insert(network, Arc::clone(&guesser));
        guesser
    }

    /// Forgets the networks and names whose allowance is whole again. To be
    /// called about once a minute.
    pub fn sweep(&self) {
        let now = self.clock.now();
        let recovered = |tally: &Tally<C>| {
            !tally.has_failed
                || Duration::from(now.duration_since(tally.last_attempt)) > Duration::from_secs(60)
        };
        locked(&self.guessers).retain(|_, guesser| match guesser.tally.try_lock() {
            Ok(tally) => !recovered(&tally) || Arc::strong_count(guesser) > 1,
            Err(_) => true,
        });
        if let Some(names) = &self.names {
            names.retain_recent();
            names.shrink_to_fit();
        }
    }

    /// How many networks are remembered.
    pub fn remembered(&self) -> usize {
        locked(&self.guessers).len()
    }
}

/// Limits how many failed logins an hour are kept, so that strangers cannot
/// keep the disk busy with them; all are in the log and in the metrics.
pub struct FailedLoginTrail<C: Clock> {
    allowance: Single<C>,
    left_out: AtomicU64,
}

impl<C: Clock> FailedLoginTrail<C> {
    /// At most [`FAILED_LOGINS_RECORDED_PER_HOUR`].
    pub fn new(clock: C) -> Self {
        let quota = Quota::per_hour(FAILED_LOGINS_RECORDED_PER_HOUR);
        Self { allowance: RateLimiter::direct_with_clock(quota, clock), left_out: AtomicU64::new(0) }
    }

    /// Whether one more may be recorded; counts it where it may not.
    pub fn may_record(&self) -> bool {
        let may = self.allowance.check().is_ok();
        if !may {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// How many might not be recorded since this was asked last.
    pub fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }
}

/// Limits heartbeats.
pub struct HeartbeatThrottle<C: Clock> {
    clock: C,
    failures: Option<Keyed<Option<Network>, C>>,
    sites: Option<Keyed<u64, C>>,
}

impl<C: Clock + Clone> HeartbeatThrottle<C> {
    /// `failed_per_minute` for each network; `per_hour` and `burst` for each
    /// site. 0 switches a limit off.
    pub fn new(failed_per_minute: u32, per_hour: u32, burst: u32, clock: C) -> Self {
        let failures = NonZeroU32::new(failed_per_minute)
            .map(|limit| RateLimiter::hashmap_with_clock(Quota::per_minute(limit), clock.clone()));
        let sites = NonZeroU32::new(per_hour).map(|per_hour| {
            let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
            RateLimiter::hashmap_with_clock(Quota::per_hour(per_hour).allow_burst(burst), clock.clone())
        });
        Self { clock, failures, sites }
    }

    /// Counts a heartbeat that proved to be of the site with this number.
    ///
    /// # Errors
    /// [`RetryAfter`] when the site has called too often.
    pub fn accept(&self, site: u64) -> Result<(), RetryAfter> {
        check(self.sites.as_ref(), &site, &self.clock)
    }

    /// Counts a heartbeat whose id or key was wrong.
    ///
    /// # Errors
    /// [`RetryAfter`] when the network has failed too often.
    pub fn fail(&self, network: Network) -> Result<(), RetryAfter> {
        let known = self.failures.as_ref().is_some_and(|failures| failures.len() < MAX_NETWORKS);
        // Past the bound, all networks share one count until the next sweep;
        // it decides between 401 and 429 only.
        check(self.failures.as_ref(), &known.then_some(network), &self.clock)
    }

    /// Forgets the networks and sites whose allowance is whole again. To be
    /// called about once a minute.
    pub fn sweep(&self) {
        if let Some(failures) = &self.failures {
            failures.retain_recent();
            failures.shrink_to_fit();
        }
        if let Some(sites) = &self.sites {
            sites.retain_recent();
            sites.shrink_to_fit();
        }
    }

    /// How many networks and how many sites are remembered.
    pub fn remembered(&self) -> (usize, usize) {
        (self.failures.as_ref().map_or(0, Keyed::len), self.sites.as_ref().map_or(0, Keyed::len))
    }
}

fn check<K: Hash + Eq + Clone, C: Clock>(
    limit: Option<&Keyed<K, C>>,
    key: &K,
    clock: &C,
) -> Result<(), RetryAfter> {
    match limit {
        Some(limit) => limit.check_key(key).map_err(|refused| RetryAfter::until(&refused, clock.now())),
        None => Ok(()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn network(n: u32) -> Network {
        Network::of(std::net::IpAddr::from(n.to_be_bytes()))
    }

    async fn fails(throttle: &LoginThrottle<FakeRelativeClock>, from: u32, name: &str) -> Result<(), u64> {
        throttle.admit(network(from), name).await.map(drop).map_err(RetryAfter::seconds)
    }

    #[tokio::test]
    async fn an_address_that_failed_five_times_waits_to_the_second() {
        let clock = FakeRelativeClock::default();
        let throttle = LoginThrottle::new(5, clock.clone());
        for _ in 0..5 {
            assert_eq!(fails(&throttle, 1, "a").await, Ok(()));
        }
        assert_eq!(fails(&throttle, 1, "a").await, Err(12));
        clock.advance(Duration::from_millis(1500));
        assert_eq!(fails(&throttle, 1, "b").await, Err(11));
        clock.advance(Duration::from_millis(10_500));
        assert_eq!(fails(&throttle, 1, "a").await, Ok(()));
        assert_eq!(fails(&throttle, 1, "a").await, Err(12));
    }

    #[tokio::test]
    async fn a_right_password_clears_the_address() {
        let throttle = LoginThrottle::new(2, FakeRelativeClock::default());
        for _ in 0..20 {
            assert_eq!(fails(&throttle, 1, "a").await, Ok(()));
            throttle.admit(network(1), "a").await.unwrap().unwrap().succeeded();
        }
    }

    #[tokio::test]
    async fn a_clean_address_passes_while_a_thousand_others_guess_at_the_same_name() {
        let throttle = LoginThrottle::new(5, FakeRelativeClock::default());
        let mut refused = 0;
        for from in 1..=1000 {
            for _ in 0..5 {
                refused += u32::from(fails(&throttle, from, "sysadmin").await.is_err());
            }
        }
        // The first guess of each is free; all others share 20 × 5.
        assert_eq!(refused, 4000 - 100);
        assert_eq!(fails(&throttle, 5000, "sysadmin").await, Ok(()));
    }

    #[tokio::test]
    async fn logins_from_one_address_are_checked_one_by_one_and_few_may_wait() {
        let throttle = LoginThrottle::new(5, FakeRelativeClock::default());
        let first = throttle.admit(network(1), "a").await.unwrap().unwrap();
        let mut second = Box::pin(throttle.admit(network(1), "a"));
        assert!(futures_poll_once(second.as_mut()).is_none(), "the second must wait for the first");
        first.succeeded();
        second.await.unwrap().unwrap().succeeded();
        let _held = throttle.admit(network(1), "a").await.unwrap();
        let mut waiting: Vec<_> =
            (0..MAX_WAITING).map(|_| Box::pin(throttle.admit(network(1), "a"))).collect();
        for one in &mut waiting {
            assert!(futures_poll_once(one.as_mut()).is_none());
        }
        assert_eq!(fails(&throttle, 1, "a").await, Err(1));
    }

    fn futures_poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn login_state_is_bounded_and_swept() {
        let clock = FakeRelativeClock::default();
        let throttle = LoginThrottle::new(5, clock.clone());
        for from in 0..u32::try_from(MAX_NETWORKS).unwrap() + 100 {
            assert_eq!(fails(&throttle, from, "a").await, Ok(()));
        }
        assert_eq!(throttle.remembered(), MAX_NETWORKS);
        throttle.sweep();
        assert_eq!(throttle.remembered(), MAX_NETWORKS);
        clock.advance(Duration::from_secs(61));
        throttle.sweep();
        assert_eq!(throttle.remembered(), 0);
    }

    #[test]
    fn a_site_has_a_burst_and_then_an_hourly_rate_of_its_own() {
        let clock = FakeRelativeClock::default();
        let throttle = HeartbeatThrottle::new(30, 60, 10, clock.clone());
        for _ in 0..10 {
            throttle.accept(1).unwrap();
        }
        assert_eq!(throttle.accept(1).unwrap_err().seconds(), 60);
        throttle.accept(2).unwrap();
        clock.advance(Duration::from_secs(60));
        throttle.accept(1).unwrap();
        assert_eq!(throttle.accept(1).unwrap_err().seconds(), 60);
    }

    #[test]
    fn failed_heartbeats_are_counted_by_address_and_bounded() {
        let clock = FakeRelativeClock::default();
        let throttle = HeartbeatThrottle::new(30, 60, 10, clock.clone());
        for _ in 0..30 {
            throttle.fail(network(1)).unwrap();
        }
        assert_eq!(throttle.fail(network(1)).unwrap_err().seconds(), 2);
        throttle.fail(network(2)).unwrap();
        for from in 3..u32::try_from(MAX_NETWORKS).unwrap() + 100 {
            let _ = throttle.fail(network(from));
        }
        assert!(throttle.remembered().0 <= MAX_NETWORKS + 1);
        clock.advance(Duration::from_secs(121));
        throttle.sweep();
        assert_eq!(throttle.remembered(), (0, 0));
    }

    #[test]
    fn the_trail_of_failed_logins_is_bounded() {
        let clock = FakeRelativeClock::default();
        let trail = FailedLoginTrail::new(clock.clone());
        assert_eq!((0..1000).filter(|_| trail.may_record()).count(), 600);
        assert_eq!((trail.take_left_out(), trail.take_left_out()), (400, 0));
        clock.advance(Duration::from_secs(3600));
        assert_eq!((0..1000).filter(|_| trail.may_record()).count(), 600);
    }

    #[tokio::test]
    async fn zero_switches_a_limit_off() {
        let clock = FakeRelativeClock::default();
        let logins = LoginThrottle::new(0, clock.clone());
        let heartbeats = HeartbeatThrottle::new(0, 0, 0, clock);
        for _ in 0..1000 {
            assert!(logins.admit(network(1), "a").await.unwrap().is_none());
            heartbeats.accept(1).unwrap();
            heartbeats.fail(network(1)).unwrap();
        }
    }
}
