//! What a local backend is told, and must do.

use super::rules::Rules;
use super::terms::Terms;
use super::text::LockReason;
use super::time::Timestamp;

/// The answer to a heartbeat: what the site may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The site is active and its licence, with its grace, holds.
    pub licensed: bool,
    /// Why the site is locked; `None` when it is not.
    pub lock_reason: Option<LockReason>,
    /// When the licence expires or expired, as agreed.
    pub expires_at: Timestamp,
}

impl Verdict {
    /// What follows at `now` from these terms.
    pub fn of(terms: &Terms, rules: &Rules, now: Timestamp) -> Self {
        Self {
            licensed: terms.licensed(rules, now),
            lock_reason: terms.locked(now).map(|lock| lock.reason.clone()),
            expires_at: terms.license_expires_at,
        }
    }
}
