//! Limits on heartbeats, by the generic cell rate algorithm (governor).
//!
//! An address may fail so often a minute, then it is answered 429 in place of
//! 401; a right key passes all the same, since another site may sit behind the
//! same address. Each site has an allowance of its own for heartbeats that were
//! accepted.
//!
//! State is bounded: past the bound strangers share one count, and what has
//! recovered is swept away every minute.

use std::hash::Hash;
use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::retry_after::RetryAfter;
use crate::domain::Network;

/// Most networks whose failures are remembered.
const MAX_NETWORKS: usize = 16_384;

type Keyed<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

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
        Some(limit) => {
            limit.check_key(key).map_err(|refused| RetryAfter::waiting(refused.wait_time_from(clock.now())))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn network(n: u32) -> Network {
        Network::of(std::net::IpAddr::from(n.to_be_bytes()))
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
    fn zero_switches_a_limit_off() {
        let heartbeats = HeartbeatThrottle::new(0, 0, 0, FakeRelativeClock::default());
        for _ in 0..1000 {
            heartbeats.accept(1).unwrap();
            heartbeats.fail(network(1)).unwrap();
        }
    }
}
