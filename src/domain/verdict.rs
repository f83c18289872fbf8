//! What a local backend is told: what its site may do.

use super::licence::is_licensed;
use super::site::Site;
use super::text::LockReason;
use super::time::Timestamp;

/// The answer to a heartbeat: what the site may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The site is active and its licence has not expired.
    pub licensed: bool,
    /// Why the site is locked; `None` when it is not.
    pub lock_reason: Option<LockReason>,
    /// When the licence expires or expired.
    pub expires_at: Timestamp,
}

impl Verdict {
    /// The verdict on `site` at `now`.
    pub fn on(site: &Site, now: Timestamp) -> Self {
        Self::of(site.is_active, site.lock_reason.clone(), site.license_expires_at, now)
    }

    /// The verdict at `now` on a site of which only this is known.
    pub fn of(
        is_active: bool,
        lock_reason: Option<LockReason>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self { licensed: is_licensed(is_active, expires_at, now), lock_reason, expires_at }
    }
}
