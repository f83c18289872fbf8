//! How the sites stand as a whole.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::error::Unavailable;
use super::handle::Store;
use super::lists::each;
use crate::domain::statistics::{Counting, Statistics};
use crate::domain::{Date, SiteOrder, SiteStatus, Timestamp};

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
    /// Counts the sites. Looks at every one of them.
    pub async fn site_statistics(&self, now: Timestamp) -> Result<SiteStatistics, Unavailable> {
        let rules = Arc::clone(&self.rules);
        self.read(move |tables| {
            let mut counted = SiteStatistics::default();
            each(tables, SiteOrder::default(), None, |site| {
                let status = site.status(&rules, now);
                for (known, count) in SiteStatus::ALL.iter().zip(&mut counted.by_status) {
                    *count += u64::from(*known == status);
                }
                let left = site.terms.licence_ends_at(&rules).seconds_since(now);
                counted.expiring += u64::from(site.terms.licensed(&rules, now) && left <= EXPIRING_SECONDS);
                if let (SiteStatus::Online | SiteStatus::Silent, Some(seen_at)) = (status, site.last_seen_at)
                {
                    counted.longest_silence_seconds =
                        counted.longest_silence_seconds.max(now.seconds_since(seen_at));
                }
                ControlFlow::Continue(())
            })?;
            Ok(counted)
        })
        .await
    }

    /// Counts the sites by all that is told of them, and their heartbeats.
    /// Looks at every one of them.
    pub async fn statistics(&self, now: Timestamp) -> Result<Statistics, Unavailable> {
        let rules = Arc::clone(&self.rules);
        self.read(move |tables| {
            let mut counting = Counting::default();
            each(tables, SiteOrder::default(), None, |site| {
                counting.note(site, &rules, now);
                ControlFlow::Continue(())
            })?;
            for entry in tables.heartbeat_days.iter()? {
                let (number, heartbeats) = entry?;
                if let Some(date) = i32::try_from(number).ok().and_then(Date::numbered) {
                    counting.note_heartbeats(date, heartbeats);
                }
            }
            Ok(counting.finished(rules.day_at(None, now).map(|(date, _)| date)))
        })
        .await
    }
}
