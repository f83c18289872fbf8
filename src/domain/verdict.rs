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
        Self {
            licensed: is_licensed(site.is_active, site.license_expires_at, now),
            lock_reason: site.lock_reason.clone(),
            expires_at: site.license_expires_at,
        }
    }
}
