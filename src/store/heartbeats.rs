//! Heartbeats: the write that nearly all traffic is. It opens three tables and
//! reads of them no more than it needs.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::codec::{CallingSite, LastSeen, SeenRow};
use super::error::Outcome;
use super::handle::Store;
use crate::domain::{Delivered, Heartbeat, KeyHash, Seen, SiteId, Timestamp, Verdict};

/// Why a heartbeat was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatRefused<R> {
    /// No such site, or not its key: the caller must not learn which.
    Unknown,
    /// The site is known and `admit` said no.
    NotAdmitted(R),
}

impl Store {
    /// Checks the key, records the heartbeat and gives the verdict, all in
    /// one transaction: a lock that was answered before is in the verdict.
    ///
    /// `admit` is asked with the site's number once the key has proved right,
    /// so that strangers cannot use up what a site is allowed. It is asked
    /// once, however often the transaction has to be run.
    pub async fn record_heartbeat<R, A>(
        &self,
        site_id: SiteId,
        key: KeyHash,
        heartbeat: Heartbeat,
        ip: IpAddr,
        now: Timestamp,
        admit: A,
    ) -> Outcome<Verdict, HeartbeatRefused<R>>
    where
        R: Copy + Send + 'static,
        A: Fn(u64) -> Result<(), R> + Send + 'static,
    {
        let admitted = OnceLock::new();
        let rules = Arc::clone(&self.rules);
        self.write(move |tables| {
            let Some(id) = tables.site_ids.get(site_id.as_u128())? else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            let Some(site) = tables.sites.get_as(id, CallingSite::read)? else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            let Some(key_generation) = site.keys.matching(&key, now) else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            if let Err(refusal) = admitted.get_or_init(|| admit(id)) {
                return Ok(Err(HeartbeatRefused::NotAdmitted(*refusal)));
            }
            let last = tables.heartbeats.get_as(id, LastSeen::read)?;
            let revision = site.verdict_revision.at(&site.terms, &rules, now);
            let delivered = last.as_ref().map_or(Delivered::default(), |last| last.delivered);
            let seen = Seen {
                at: now,
                ip,
                heartbeat: heartbeat.clone(),
                key_generation,
                delivered: delivered.after(None, revision.number, now),
                lease: last.as_ref().and_then(|last| last.lease),
            };
            let seen = seen.not_before(last.map(|last| last.at));
            tables.heartbeats.put(id, &SeenRow::from_seen(&seen))?;
            Ok(Ok(Verdict::of(&site.terms, &rules, now)))
        })
        .await
    }
}
