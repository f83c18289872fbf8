//! How the sites stand as a whole.

use std::sync::Arc;

use super::error::Unavailable;
use super::handle::Store;
use super::sites;
use crate::domain::{SiteStatus, Timestamp};

/// How near an expiry is that is counted, in seconds: 14 days.
const EXPIRING_SECONDS: i64 = 14 * 86_400;

/// Counts of the sites.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SiteStatistics {
    /// How many there are in each status, in the order of
    /// [`SiteStatus::ALL`].
    pub by_status: [u64; SiteStatus::ALL.len()],
    /// How many are licensed, but for no more than 14 days.
    pub expiring: u64,
    /// Seconds since the last heartbeat of the site, among those online or
    /// silent, that was heard longest ago; 0 when there is none.
    pub longest_silence_seconds: i64,
}

impl Store {
    /// Counts the sites. Reads every one of them.
    pub async fn site_statistics(&self, now: Timestamp) -> Result<SiteStatistics, Unavailable> {
        let rules = Arc::clone(&self.rules);
        self.read(move |tables| {
            let mut counted = SiteStatistics::default();
            for entry in tables.sites.iter()? {
                let (id, row) = entry?;
                let site = sites::of_row(tables, id, row)?;
                let status = site.status(&rules, now);
                for (known, count) in SiteStatus::ALL.iter().zip(&mut counted.by_status) {
                    *count += u64::from(*known == status);
                }
                let left = site.terms.licence_ends_at(&rules).seconds_since(now);
                counted.expiring += u64::from(site.terms.licensed(&rules, now) && left <= EXPIRING_SECONDS);
                if let (SiteStatus::Online | SiteStatus::Silent, Some(seen)) = (status, &site.seen) {
                    counted.longest_silence_seconds =
                        counted.longest_silence_seconds.max(now.seconds_since(seen.at));
                }
            }
            Ok(counted)
        })
        .await
    }
}
