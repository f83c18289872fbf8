//! Heartbeats: the write that nearly all traffic is. It opens three tables and
//! reads of them no more than it needs.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::codec::{CallingSite, LastSeen, Row as _, SeenRow, SiteRow};
use super::error::{Outcome, Unavailable, unreadable};
use super::handle::Store;
use super::history;
use super::tables::WriteTables;
use super::trail;
use crate::domain::audit::{Field, FieldChange, FieldValue};
use crate::domain::heartbeat::LastLease;
use crate::domain::lease::LeaseRequest;
use crate::domain::site::Watch;
use crate::domain::slot;
use crate::domain::{
    Action, Actor, ActorKind, Delivered, Heartbeat, KeyHash, Lease, NewAuditEntry, Seen, SiteId, Timestamp,
    Verdict,
};

/// A heartbeat as it comes in.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who it says that it is.
    pub site_id: SiteId,
    /// The hash of the key that it proves that with.
    pub key: KeyHash,
    /// What it reports.
    pub heartbeat: Heartbeat,
    /// Where it comes from.
    pub ip: IpAddr,
    /// The last change that the local backend says it has applied.
    pub applied: Option<u64>,
    /// The lease that it wants; `None`: the verdict alone.
    pub lease: Option<LeaseRequest>,
}

/// What a heartbeat is answered with.
#[derive(Debug)]
pub struct Answer {
    /// What the site may do.
    pub verdict: Verdict,
    /// The number of the last change of that.
    pub revision: u64,
    /// Seconds until it is to call again.
    pub wait_seconds: i64,
    /// The lease that it wanted.
    pub lease: Option<Lease>,
}

/// Why a heartbeat was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatRefused<R> {
    /// No such site, or not its key: the caller must not learn which.
    Unknown,
    /// The site is known and `admit` said no.
    NotAdmitted(R),
}

impl Store {
    /// Checks the key, records the heartbeat and gives the answer, all in one
    /// transaction: a lock that was answered before is in the verdict.
    ///
    /// `admit` is asked with the site's number once the key has proved right,
    /// so that strangers cannot use up what a site is allowed. It is asked
    /// once, however often the transaction has to be run.
    pub async fn record_heartbeat<R, A>(
        &self,
        call: Call,
        now: Timestamp,
        admit: A,
    ) -> Outcome<Answer, HeartbeatRefused<R>>
    where
        R: Copy + Send + 'static,
        A: Fn(u64) -> Result<(), R> + Send + 'static,
    {
        let admitted = OnceLock::new();
        let rules = Arc::clone(&self.rules);
        self.write(move |tables| {
            let Some(id) = tables.site_ids.get(call.site_id.as_u128())? else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            let Some(site) = tables.sites.get_as(id, CallingSite::read)? else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            let Some(key_generation) = site.keys.matching(&call.key, now) else {
                return Ok(Err(HeartbeatRefused::Unknown));
            };
            if let Err(refusal) = admitted.get_or_init(|| admit(id)) {
                return Ok(Err(HeartbeatRefused::NotAdmitted(*refusal)));
            }
            let version = &call.heartbeat.version;
            let last = tables.heartbeats.get_as(id, |bytes| LastSeen::read(bytes, version))?;
            let (at, before, last_lease) = match &last {
                Some(last) => (Some(last.at), last.delivered, last.lease),
                None => (None, Delivered::default(), None),
            };
            let today = history::count(tables, id, last, (call.ip, version), &rules, now)?;
            let revision = site.verdict_revision.at(&site.terms, &rules, now).number;
            let delivered = before.after(call.applied, revision, now);
            let slot = slot::seconds_to_next(call.site_id, now);
            let wait_seconds = Watch::seconds_to_next(site.watch, slot, now);
            let lease = call.lease.as_ref().map(|asked| {
                Lease::of(call.site_id, &site.terms, &rules, revision, asked, last_lease, wait_seconds, now)
            });
            let given = lease
                .as_ref()
                .zip(call.lease.as_ref())
                .map(|(lease, asked)| LastLease { issued_at: lease.issued_at, newest_key: asked.newest_key });
            let seen = Seen {
                at: now,
                ip: call.ip,
                heartbeat: call.heartbeat.clone(),
                key_generation,
                delivered,
                lease: given.or(last_lease),
                today,
            };
            tables.heartbeats.put(id, &SeenRow::from_seen(&seen.not_before(at)))?;
            if delivered.acknowledged != before.acknowledged {
                note_acknowledgement(tables, id, &call, before, delivered, now)?;
            }
            let verdict = Verdict::of(&site.terms, &rules, now);
            Ok(Ok(Answer { verdict, revision, wait_seconds, lease }))
        })
        .await
    }
}

/// Adds to the trail that the local backend has applied a change.
fn note_acknowledgement(
    tables: &mut WriteTables<'_>,
    id: u64,
    call: &Call,
    before: Delivered,
    after: Delivered,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let name = match tables.sites.get(id)? {
        Some(row) => {
            row.into_site(id, None).map_err(|error| unreadable(SiteRow::TABLE, error))?.name.to_string()
        }
        None => String::new(),
    };
    let number = |delivered: Delivered| {
        delivered.acknowledged.map(|acknowledged| FieldValue::Number(acknowledged.revision))
    };
    let change = FieldChange { field: Field::VerdictRevision, before: number(before), after: number(after) };
    let actor = Actor { kind: ActorKind::Site, name, token: None, ip: Some(call.ip) };
    let entry = NewAuditEntry::of(Action::ChangeAcknowledged, &actor, now);
    trail::append(tables, NewAuditEntry { site_id: Some(call.site_id), changes: vec![change], ..entry })
}
