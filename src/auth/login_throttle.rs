//! Limits on guessing passwords.
//!
//! An address may fail so often a minute; all addresses that have failed in the
//! last minute may together guess at one name [`NAME_FACTOR`] times as often.
//! An address that has not failed is never refused, whatever others do. What
//! surrounds an address is counted too, by the /16 of IPv4 and the /48 of IPv6:
//! where [`SURROUNDINGS_FACTOR`] times as many guesses came from there, its
//! other addresses wait longer in line; those of a /48, which as a rule is one
//! site's (RFC 6177, section 2), also share in the allowance of the name. Only a
//! password that was checked and wrong counts: a refusal, a fault and a client
//! that goes away before its turn cost nothing.
//!
//! State is bounded: a table that is full forgives an old guesser rather than
//! refuse a newcomer, and what has recovered is swept away every minute.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, Reference as _};
use parking_lot::Mutex;

use super::allowance::{Allowance, Level, MINUTE};
use super::queue::{Claim, Standing};
use super::retry_after::RetryAfter;
use crate::domain::time::SECONDS_PER_DAY;
use crate::domain::{Network, Surroundings};

/// Most networks whose failures are remembered.
const MAX_NETWORKS: usize = 16_384;
/// Most surroundings of networks that guesses are counted for.
const MAX_SURROUNDINGS: usize = 16_384;
/// Most names that guesses are counted for.
const MAX_NAMES: usize = 16_384;
/// Most networks, and most surroundings, whose last login is remembered.
pub const MAX_KNOWN: usize = 1024;
/// For how long a network that has logged in comes before others.
pub const KNOWN_FOR: Duration = Duration::from_secs(30 * SECONDS_PER_DAY.unsigned_abs());
/// The allowance of all guessers together for one name, as a multiple of that of
/// one address.
pub const NAME_FACTOR: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
/// The allowance of an address's surroundings before all of them wait longer in
/// line, as a multiple of its own.
pub const SURROUNDINGS_FACTOR: NonZeroU32 = NonZeroU32::MIN.saturating_add(3);
/// Limits failed logins.
pub struct LoginThrottle<C: Clock> {
    clock: C,
    began: C::Instant,
    /// `None`: no limit is set.
    limits: Option<Limits>,
    hasher: RandomState,
}

struct Limits {
    network: Allowance,
    surroundings: Allowance,
    name: Allowance,
    counted: Arc<Mutex<Counted>>,
}

/// What is remembered. All times are since [`KNOWN_FOR`] before the throttle was
/// made, so that logins of before have a time too.
#[derive(Default)]
struct Counted {
    networks: HashMap<Network, Failures>,
    surroundings: HashMap<Surroundings, Level>,
    names: HashMap<u64, Level>,
    /// When each last logged in.
    known: HashMap<Network, Duration>,
    /// When somebody last logged in from there.
    familiar: HashMap<Surroundings, Duration>,
}

/// The failures of one network.
#[derive(Default)]
struct Failures {
    level: Level,
    last: Duration,
}

impl Failures {
    fn are_recent(&self, now: Duration) -> bool {
        now < self.last + MINUTE
    }
}

/// Permission to check one password. It counts as a failure only when
/// [`Attempt::failed`] is called; dropped, it counts as nothing.
#[must_use]
pub struct Attempt {
    counted: Arc<Mutex<Counted>>,
    network: Network,
    /// The name's count, where it was charged.
    name: Option<u64>,
    allowances: [Allowance; 3],
    now: Duration,
    failed: bool,
}

impl Attempt {
    /// The password was right: the network's failures are forgotten, and it
    /// comes first in the queue for the next [`KNOWN_FOR`].
    pub fn succeeded(self) {
        let mut counted = self.counted.lock();
        counted.networks.remove(&self.network);
        note_login(&mut counted.known, self.network, self.now);
        note_login(&mut counted.familiar, self.network.surroundings(), self.now);
    }

    /// The password was wrong.
    pub fn failed(mut self) {
        self.failed = true;
        let [of_network, ..] = self.allowances;
        let mut counted = self.counted.lock();
        make_room(&mut counted.networks, &self.network, MAX_NETWORKS);
        let failures = counted.networks.entry(self.network).or_default();
        of_network.count(&mut failures.level, self.now);
        failures.last = self.now;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.failed {
            return;
        }
        let [_, of_surroundings, of_name] = self.allowances;
        let mut counted = self.counted.lock();
        if let Some(level) = counted.surroundings.get_mut(&self.network.surroundings()) {
            of_surroundings.take_back(level);
        }
        if let Some(level) = self.name.and_then(|name| counted.names.get_mut(&name)) {
            of_name.take_back(level);
        }
    }
}

impl<C: Clock> LoginThrottle<C> {
    /// At most `per_minute` failures for each network; 0: no limit.
    pub fn new(per_minute: u32, clock: C) -> Self {
        let limits = NonZeroU32::new(per_minute).map(|per_minute| Limits {
            network: Allowance::per_minute(per_minute),
            surroundings: Allowance::per_minute(per_minute.saturating_mul(SURROUNDINGS_FACTOR)),
            name: Allowance::per_minute(per_minute.saturating_mul(NAME_FACTOR)),
            counted: Arc::default(),
        });
        Self { began: clock.now(), clock, limits, hasher: RandomState::new() }
    }

    /// The claim with which a login from `network` waits for its turn.
    ///
    /// # Errors
    /// [`RetryAfter`] when the network has failed too often: it need not wait.
    pub fn claim(&self, network: Network) -> Result<Claim, RetryAfter> {
        let Some(limits) = &self.limits else {
            return Ok(Claim { standing: Standing::New, network: None });
        };
        let (now, counted) = (self.now(), limits.counted.lock());
        let failures = counted.networks.get(&network);
        limits.network.check(failures.map_or(Level::default(), |failures| failures.level), now)?;
        let around = counted.surroundings.get(&network.surroundings()).copied().unwrap_or_default();
        let has_failed = failures.is_some_and(|failures| failures.are_recent(now));
        let standing = if is_lately(&counted.known, &network, now) {
            Standing::Known
        } else if has_failed {
            Standing::Suspect
        } else if limits.surroundings.check(around, now).is_err() {
            Standing::Neighbour
        } else if is_lately(&counted.familiar, &network.surroundings(), now) {
            Standing::Familiar
        } else {
            Standing::New
        };
        Ok(Claim { standing, network: Some(network) })
    }

    /// Asks whether a password for `name` (folded) from `network`, whose turn it
    /// is, may be checked. `None`: no limit is set.
    ///
    /// # Errors
    /// [`RetryAfter`] when the network has failed too often, or it or its /48
    /// guesses and the name is being guessed at from all sides.
    pub fn attempt(&self, network: Network, name: &str) -> Result<Option<Attempt>, RetryAfter> {
        let Some(limits) = &self.limits else {
            return Ok(None);
        };
        let (now, mut counted) = (self.now(), limits.counted.lock());
        let failures = counted.networks.get(&network);
        limits.network.check(failures.map_or(Level::default(), |failures| failures.level), now)?;
        let has_failed = failures.is_some_and(|failures| failures.are_recent(now));
        let (known, surroundings) = (is_lately(&counted.known, &network, now), network.surroundings());
        make_room(&mut counted.surroundings, &surroundings, MAX_SURROUNDINGS);
        let around = counted.surroundings.entry(surroundings).or_default();
        let is_of_a_guesser = surroundings.are_one_site() && limits.surroundings.check(*around, now).is_err();
        let before = *around;
        limits.surroundings.count(around, now);
        let mut charged = None;
        if !known && (has_failed || is_of_a_guesser) {
            // Past the bound, all names share one count until the next sweep.
            let hash = self.hasher.hash_one(name);
            let there = counted.names.len() < MAX_NAMES || counted.names.contains_key(&hash);
            let key = if there { hash } else { 0 };
            let level = counted.names.entry(key).or_default();
            if let Err(wait) = limits.name.check(*level, now) {
                counted.surroundings.insert(surroundings, before);
                return Err(wait);
            }
            limits.name.count(level, now);
            charged = Some(key);
        }
        drop(counted);
        Ok(Some(Attempt {
            counted: Arc::clone(&limits.counted),
            network,
            name: charged,
            allowances: [limits.network, limits.surroundings, limits.name],
            now,
            failed: false,
        }))
    }

    /// Remembers logins of before a restart, as network and age; one that is
    /// older than [`KNOWN_FOR`] counts for nothing.
    pub fn remember(&self, logins: impl IntoIterator<Item = (Network, Duration)>) {
        let Some(limits) = &self.limits else {
            return;
        };
        let (now, mut counted) = (self.now(), limits.counted.lock());
        let mut logins: Vec<_> =
            logins.into_iter().filter_map(|(from, age)| Some((now.checked_sub(age)?, from))).collect();
        // The latest of a network is what counts.
        logins.sort_by_key(|(at, _)| *at);
        for (at, network) in logins {
            note_login(&mut counted.known, network, at);
            note_login(&mut counted.familiar, network.surroundings(), at);
        }
    }

    /// Forgets the networks and names whose allowance is whole again. To be
    /// called about once a minute.
    pub fn sweep(&self) {
        let Some(limits) = &self.limits else {
            return;
        };
        let (now, mut counted) = (self.now(), limits.counted.lock());
        let is_used = |level: &Level| level.is_used_at(now);
        counted.networks.retain(|_, failures| is_used(&failures.level) || failures.are_recent(now));
        counted.surroundings.retain(|_, level| is_used(level));
        counted.names.retain(|_, level| is_used(level));
        counted.known.retain(|_, at| now < *at + KNOWN_FOR);
        counted.familiar.retain(|_, at| now < *at + KNOWN_FOR);
        counted.networks.shrink_to_fit();
        counted.surroundings.shrink_to_fit();
        counted.names.shrink_to_fit();
    }

    /// How many networks are remembered for their failures.
    pub fn remembered(&self) -> usize {
        self.limits.as_ref().map_or(0, |limits| limits.counted.lock().networks.len())
    }

    fn now(&self) -> Duration {
        KNOWN_FOR + Duration::from(self.clock.now().duration_since(self.began))
    }
}

/// Whether somebody logged in from there within [`KNOWN_FOR`].
fn is_lately<K: Hash + Eq>(logins: &HashMap<K, Duration>, from: &K, now: Duration) -> bool {
    logins.get(from).is_some_and(|at| now < *at + KNOWN_FOR)
}

/// Notes a login, in place of the one longest ago where there are too many.
fn note_login<K: Hash + Eq + Copy>(logins: &mut HashMap<K, Duration>, from: K, now: Duration) {
    if logins.len() >= MAX_KNOWN && !logins.contains_key(&from) {
        let longest_ago = logins.iter().min_by_key(|(_, at)| **at).map(|(from, _)| *from);
        longest_ago.and_then(|from| logins.remove(&from));
    }
    logins.insert(from, now);
}

/// Makes room for `newcomer` in a full table by forgetting any one entry.
fn make_room<K: Hash + Eq + Copy, V>(table: &mut HashMap<K, V>, newcomer: &K, most: usize) {
    if table.len() >= most && !table.contains_key(newcomer) {
        let forgiven = table.keys().next().copied();
        forgiven.and_then(|key| table.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn network(n: u32) -> Network {
        Network::of(std::net::IpAddr::from(n.to_be_bytes()))
    }

    fn fails(throttle: &LoginThrottle<FakeRelativeClock>, from: Network, name: &str) -> Result<(), u64> {
        let attempt = throttle.attempt(from, name).map_err(RetryAfter::seconds)?;
        attempt.unwrap().failed();
        Ok(())
    }

    fn ipv6(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    fn standing(throttle: &LoginThrottle<FakeRelativeClock>, from: Network) -> Result<Standing, u64> {
        throttle.claim(from).map(|claim| claim.standing).map_err(RetryAfter::seconds)
    }

    #[test]
    fn an_address_that_failed_five_times_waits_to_the_second() {
        let clock = FakeRelativeClock::default();
        let throttle = LoginThrottle::new(5, clock.clone());
        for _ in 0..5 {
            assert_eq!(fails(&throttle, network(1), "a"), Ok(()));
        }
        assert_eq!(fails(&throttle, network(1), "a"), Err(12));
        assert_eq!(standing(&throttle, network(1)), Err(12), "and need not wait for a turn");
        clock.advance(Duration::from_millis(1500));
        assert_eq!(fails(&throttle, network(1), "b"), Err(11));
        clock.advance(Duration::from_millis(10_500));
        assert_eq!(fails(&throttle, network(1), "a"), Ok(()));
        assert_eq!(fails(&throttle, network(1), "a"), Err(12));
    }

    #[test]
    fn a_right_password_clears_the_address() {
        let throttle = LoginThrottle::new(2, FakeRelativeClock::default());
        for _ in 0..20 {
            assert_eq!(fails(&throttle, network(1), "a"), Ok(()));
            throttle.attempt(network(1), "a").unwrap().unwrap().succeeded();
        }
    }

    #[test]
    fn an_attempt_that_came_to_nothing_costs_nothing() {
        let throttle = LoginThrottle::new(5, FakeRelativeClock::default());
        // A /48 that guesses, so that the name is charged as well.
        for subnet in 0..20 {
            fails(&throttle, ipv6(&format!("2001:db8:0:{subnet}::1")), "a").unwrap();
        }
        let (here, elsewhere) = (ipv6("2001:db8:0:ffff::1"), ipv6("2001:db8:1::1"));
        for _ in 0..1000 {
            drop(throttle.attempt(here, "a").unwrap());
            drop(throttle.attempt(elsewhere, "a").unwrap());
        }
        assert_eq!(standing(&throttle, elsewhere), Ok(Standing::New));
        for _ in 0..5 {
            assert_eq!(fails(&throttle, here, "a"), Ok(()));
        }
        assert_eq!(fails(&throttle, here, "a"), Err(12));
    }

    #[test]
    fn a_clean_address_passes_while_a_thousand_others_guess_at_the_same_name() {
        let throttle = LoginThrottle::new(5, FakeRelativeClock::default());
        let mut refused = 0;
        for from in 1..=1000 {
            for _ in 0..5 {
                refused += u32::from(fails(&throttle, network(from), "sysadmin").is_err());
            }
        }
        // The first guess of each is free; all others share 20 × 5.
        assert_eq!(refused, 4000 - 100);
        assert_eq!(fails(&throttle, network(5000), "sysadmin"), Ok(()));
    }

    #[test]
    fn who_has_failed_or_lies_among_those_who_guess_waits_longer() {
        let clock = FakeRelativeClock::default();
        let throttle = LoginThrottle::new(5, clock.clone());
        assert_eq!(standing(&throttle, network(1)), Ok(Standing::New));
        fails(&throttle, network(1), "a").unwrap();
        assert_eq!(standing(&throttle, network(1)), Ok(Standing::Suspect));
        // The /16 of IPv4 has 4 × 5.
        for from in 2..20 {
            fails(&throttle, network(from), "a").unwrap();
        }
        assert_eq!(standing(&throttle, network(30)), Ok(Standing::New));
        let underway = throttle.attempt(network(20), "a").unwrap();
        assert_eq!(standing(&throttle, network(30)), Ok(Standing::Neighbour));
        drop(underway);
        assert_eq!(standing(&throttle, network(30)), Ok(Standing::New));
        fails(&throttle, network(20), "a").unwrap();
        assert_eq!(standing(&throttle, network(30)), Ok(Standing::Neighbour));
        assert_eq!(standing(&throttle, network(0x0001_0001)), Ok(Standing::New), "another /16");
        clock.advance(Duration::from_secs(60));
        assert_eq!(standing(&throttle, network(1)), Ok(Standing::New), "a minute later");
    }

    #[test]
    fn addresses_of_a_48_that_guesses_share_the_allowance_of_the_name() {
        let throttle = LoginThrottle::new(5, FakeRelativeClock::default());
        let subnet = |n: u32| ipv6(&format!("2001:db8:0:{n:x}::1"));
        // 4 × 5 at first, each from a /64 of its own, then 20 × 5 of the name.
        let passed = (0..1000).filter(|n| fails(&throttle, subnet(*n), "sysadmin").is_ok()).count();
        assert_eq!(passed, 20 + 100);
        assert_eq!(fails(&throttle, ipv6("2001:db8:1::1"), "sysadmin"), Ok(()), "another /48");
        assert_eq!(fails(&throttle, network(1), "sysadmin"), Ok(()));
    }

    #[test]
    fn a_network_that_has_logged_in_comes_first_for_a_month_and_few_are_remembered() {
        let clock = FakeRelativeClock::default();
        let throttle = LoginThrottle::new(5, clock.clone());
        let logs_in = |from| throttle.attempt(from, "a").unwrap().unwrap().succeeded();
        logs_in(network(0));
        assert_eq!(standing(&throttle, network(9)), Ok(Standing::Familiar), "of the same /16");
        fails(&throttle, network(0), "a").unwrap();
        assert_eq!(standing(&throttle, network(0)), Ok(Standing::Known), "also after a slip");
        for from in 1..=u32::try_from(MAX_KNOWN).unwrap() {
            clock.advance(Duration::from_secs(1));
            logs_in(network(from << 16));
        }
        assert_eq!(standing(&throttle, network(9)), Ok(Standing::New), "the one longest ago made room");
        assert_eq!(standing(&throttle, network(0)), Ok(Standing::New));
        assert_eq!(standing(&throttle, network(1 << 16)), Ok(Standing::Known));
        for guess in 0..20 {
            fails(&throttle, network(0x0001_0100 + guess), "a").unwrap();
        }
        assert_eq!(standing(&throttle, network(0x0001_ffff)), Ok(Standing::Neighbour), "they guess by now");
        clock.advance(KNOWN_FOR);
        assert_eq!(standing(&throttle, network(1 << 16)), Ok(Standing::New));
        throttle.sweep();
        let counted = throttle.limits.as_ref().unwrap().counted.lock();
        assert_eq!((counted.known.len(), counted.familiar.len()), (0, 0));
    }

    #[test]
    fn logins_of_before_a_restart_are_remembered_for_what_is_left_of_their_month() {
        let clock = FakeRelativeClock::default();
        let throttle = LoginThrottle::new(5, clock.clone());
        let (day, month) = (Duration::from_secs(86_400), KNOWN_FOR);
        throttle.remember([
            (network(1 << 16), month - day),
            (network(2 << 16), Duration::ZERO),
            (network(2 << 16), 2 * month),
            (network(3 << 16), month),
        ]);
        assert_eq!(standing(&throttle, network(1 << 16)), Ok(Standing::Known));
        assert_eq!(standing(&throttle, network((1 << 16) + 1)), Ok(Standing::Familiar));
        assert_eq!(standing(&throttle, network(2 << 16)), Ok(Standing::Known));
        assert_eq!(standing(&throttle, network(3 << 16)), Ok(Standing::New), "a month ago");
        clock.advance(day);
        assert_eq!(standing(&throttle, network(1 << 16)), Ok(Standing::New));
        assert_eq!(standing(&throttle, network(2 << 16)), Ok(Standing::Known));
        LoginThrottle::new(0, clock).remember([(network(1), day)]);
    }

    #[test]
    fn who_has_logged_in_is_not_held_to_the_allowance_of_the_name() {
        let throttle = LoginThrottle::new(5, FakeRelativeClock::default());
        throttle.attempt(network(9999), "sysadmin").unwrap().unwrap().succeeded();
        for from in 1..=1000 {
            for _ in 0..2 {
                let _ = fails(&throttle, network(from), "sysadmin");
            }
        }
        for _ in 0..5 {
            assert_eq!(fails(&throttle, network(9999), "sysadmin"), Ok(()));
        }
        assert_eq!(fails(&throttle, network(9999), "sysadmin"), Err(12), "but to its own");
    }

    #[test]
    fn login_state_is_bounded_and_swept() {
        let clock = FakeRelativeClock::default();
        let throttle = LoginThrottle::new(5, clock.clone());
        for from in 0..u32::try_from(MAX_NETWORKS).unwrap() + 100 {
            assert_eq!(fails(&throttle, network(from << 16), &from.to_string()), Ok(()));
            let _ = fails(&throttle, network(from << 16), &from.to_string());
        }
        assert_eq!(throttle.remembered(), MAX_NETWORKS);
        {
            let counted = throttle.limits.as_ref().unwrap().counted.lock();
            assert_eq!(counted.surroundings.len(), MAX_SURROUNDINGS);
            assert_eq!(counted.names.len(), MAX_NAMES + 1);
        }
        throttle.sweep();
        assert_eq!(throttle.remembered(), MAX_NETWORKS);
        clock.advance(Duration::from_secs(61));
        throttle.sweep();
        assert_eq!(throttle.remembered(), 0);
        let counted = throttle.limits.as_ref().unwrap().counted.lock();
        assert_eq!((counted.surroundings.len(), counted.names.len()), (0, 0));
    }

    #[test]
    fn zero_switches_the_limit_off() {
        let logins = LoginThrottle::new(0, FakeRelativeClock::default());
        for _ in 0..1000 {
            assert!(logins.attempt(network(1), "a").unwrap().is_none());
        }
    }
}
