//! An allowance of so many a minute, by the generic cell rate algorithm. Times
//! are since whatever moment its user counts from.

use std::num::NonZeroU32;
use std::time::Duration;

use super::retry_after::RetryAfter;

/// The time over which is counted.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// How much of an allowance is used, by the generic cell rate algorithm: when
/// all of it will be there again. governor, which does the same, cannot take
/// a count back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Level(Duration);

impl Level {
    /// Whether some of the allowance is used still.
    pub(super) fn is_used_at(self, now: Duration) -> bool {
        self.0 > now
    }
}

/// So many a minute, all of them at once where none came before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// For how long one counts.
    each: Duration,
}

impl Allowance {
    /// So many a minute.
    pub(super) fn per_minute(count: NonZeroU32) -> Self {
        Self { each: MINUTE / count.get() }
    }

    /// Whether one more may count.
    ///
    /// # Errors
    /// [`RetryAfter`]: when it may.
    pub(super) fn check(self, level: Level, now: Duration) -> Result<(), RetryAfter> {
        let over = (level.0.max(now) + self.each).saturating_sub(now + MINUTE);
        if over.is_zero() { Ok(()) } else { Err(RetryAfter::waiting(over)) }
    }

    /// Counts one.
    pub(super) fn count(self, level: &mut Level, now: Duration) {
        level.0 = level.0.max(now) + self.each;
    }

    /// Takes one back.
    pub(super) fn take_back(self, level: &mut Level) {
        level.0 = level.0.saturating_sub(self.each);
    }
}
