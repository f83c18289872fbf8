//! Heartbeats: the write that nearly all traffic is.

use std::net::IpAddr;
use std::sync::OnceLock;

use super::codec::{self, SeenRow};
use super::sites::{load, number_of};
use super::{Outcome, Store};
use crate::domain::{Heartbeat, KeyHash, Seen, SiteId, Timestamp, Verdict};

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
        self.write(move |tables| {
            let Some(id) = number_of(&tables.site_ids, site_id)? else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            let Some(site) = load(&tables.sites, &tables.heartbeats, id)? else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            let Some(key_generation) = site.key_matching(&key, now) else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            if let Err(refusal) = admitted.get_or_init(|| admit(id)) {
                return Ok(Err(HeartbeatRefused::NotAdmitted(*refusal)));
            }
            let seen =
                Seen { at: now, ip, heartbeat: heartbeat.clone(), key_generation }.after(site.seen.as_ref());
            tables.heartbeats.insert(id, codec::encode(&SeenRow::from_seen(&seen))?.as_slice())?;
            tables.heard = true;
            Ok(Ok(Verdict::on(&site, now)))
        })
        .await
    }
}
