//! How many failed logins are recorded one by one.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Failed logins that are recorded one by one in an hour; more are only counted.
pub const FAILED_LOGINS_RECORDED_PER_HOUR: NonZeroU32 = NonZeroU32::MIN.saturating_add(599);

type Single<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Limits how many failed logins an hour are recorded in the database, so that
/// strangers cannot keep the disk busy with them; the metrics count all.
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

    /// Whether one more may be recorded; if not, counts it as left out.
    pub fn may_record(&self) -> bool {
        let may = self.allowance.check().is_ok();
        if !may {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// How many were left out since the last call.
    pub fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn the_trail_of_failed_logins_is_bounded() {
        let clock = FakeRelativeClock::default();
        let trail = FailedLoginTrail::new(clock.clone());
        assert_eq!((0..1000).filter(|_| trail.may_record()).count(), 600);
        assert_eq!((trail.take_left_out(), trail.take_left_out()), (400, 0));
        clock.advance(Duration::from_secs(3600));
        assert_eq!((0..1000).filter(|_| trail.may_record()).count(), 600);
    }
}
