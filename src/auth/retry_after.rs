//! How long to wait after a refusal.

use std::time::Duration;

/// Refused for now; may be tried again after [`RetryAfter::seconds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter(Duration);

impl RetryAfter {
    /// Whole seconds to wait, rounded up, at least 1.
    pub fn seconds(self) -> u64 {
        (self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)).max(1)
    }

    /// Refused for a second.
    pub fn a_second() -> Self {
        Self(Duration::from_secs(1))
    }

    /// Refused for so long.
    pub(super) fn waiting(wait: Duration) -> Self {
        Self(wait)
    }
}
