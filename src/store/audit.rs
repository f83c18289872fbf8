//! The audit trail: written in the transaction of the change it tells of.

use redb::{ReadableTable, ReadableTableMetadata};

use super::codec::{self, AuditRow, Row};
use super::tables::{WriteTables, meta, unreadable};
use super::{Store, Unavailable};
use crate::domain::{Action, Actor, AuditEntry, FieldChange, SiteId, Timestamp};

/// Most entries that one transaction prunes, so that writers do not wait.
const PRUNE_AT_ONCE: usize = 1000;

/// What a change says of itself in the trail.
pub(super) struct Record<'a> {
    pub(super) at: Timestamp,
    pub(super) actor: &'a Actor,
    pub(super) action: Action,
    pub(super) site_id: Option<SiteId>,
    pub(super) admin: Option<String>,
    pub(super) changes: Vec<FieldChange>,
}

/// Which entries are shown.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only those of this site.
    pub site_id: Option<SiteId>,
    /// Only those in which this admin acted or was acted on, without regard
    /// to case.
    pub admin: Option<String>,
    /// Only those from this time on.
    pub since: Option<Timestamp>,
    /// Only those before this time.
    pub until: Option<Timestamp>,
}

/// A page of the trail, newest first.
#[derive(Debug)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// How many entries the filter lets through, on all pages.
    pub total: u64,
    /// The number to continue before, while there is more.
    pub next: Option<u64>,
}

/// Adds an entry to the trail.
pub(super) fn record(tables: &mut WriteTables<'_>, record: Record<'_>) -> Result<(), Unavailable> {
    let id = tables.next_number(meta::NEXT_AUDIT)?;
    let entry = AuditEntry {
        id,
        at: record.at,
        actor: record.actor.clone(),
        action: record.action,
        site_id: record.site_id,
        admin: record.admin,
        changes: record.changes,
    };
    tables.audit.insert(id, codec::encode(&AuditRow::from_entry(&entry))?.as_slice())?;
    Ok(())
}

impl Store {
    /// Adds a failed login to the trail.
    pub async fn record_failed_login(&self, actor: Actor, now: Timestamp) -> Result<(), Unavailable> {
        let admin = Some(actor.name.clone());
        self.record_alone(Action::LoginFailed, actor, admin, now).await
    }

    /// Adds to the trail that an admin had the certificate renewed.
    pub async fn record_renewal_request(&self, actor: Actor, now: Timestamp) -> Result<(), Unavailable> {
        self.record_alone(Action::CertificateRenewalRequested, actor, None, now).await
    }

    /// Adds what changes no record.
    async fn record_alone(
        &self,
        action: Action,
        actor: Actor,
        admin: Option<String>,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        self.write_always(move |tables| {
            let record_of = Record {
                at: now,
                actor: &actor,
                action,
                site_id: None,
                admin: admin.clone(),
                changes: Vec::new(),
            };
            record(tables, record_of)
        })
        .await
    }

    /// At most `limit` entries that `filter` lets through, before number
    /// `before` (`None`: from the newest). Without a filter it reads the page
    /// alone; with one it reads every entry, to tell how many there are.
    pub async fn audit(
        &self,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, Unavailable> {
        self.read(move |tables| {
            let admin = filter.admin.as_deref().map(str::to_lowercase);
            let unfiltered = filter.site_id.is_none()
                && admin.is_none()
                && filter.since.is_none()
                && filter.until.is_none();
            let mut page = AuditPage { entries: Vec::new(), total: 0, next: None };
            let mut more = false;
            let end = before.filter(|_| unfiltered).unwrap_or(u64::MAX);
            for row in tables.audit.range(..end)?.rev() {
                let (key, value) = row?;
                let id = key.value();
                if unfiltered && page.entries.len() == limit {
                    more = true;
                    break;
                }
                let entry = codec::decode::<AuditRow>(value.value())
                    .and_then(|row| row.into_entry(id))
                    .map_err(|error| unreadable(AuditRow::TABLE, error))?;
                if !passes(&filter, admin.as_deref(), &entry) {
                    continue;
                }
                page.total += 1;
                if before.is_none_or(|before| id < before) {
                    if page.entries.len() < limit {
                        page.entries.push(entry);
                    } else {
                        more = true;
                    }
                }
            }
            if unfiltered {
                page.total = tables.audit.len()?;
            }
            page.next = page.entries.last().map(|entry| entry.id).filter(|_| more);
            Ok(page)
        })
        .await
    }

    /// Forgets entries older than `before`, at most [`PRUNE_AT_ONCE`] in one
    /// call; tells how many.
    pub async fn prune_audit(&self, before: Timestamp) -> Result<usize, Unavailable> {
        self.write_always(move |tables| {
            let mut old = Vec::new();
            for row in tables.audit.iter()?.take(PRUNE_AT_ONCE) {
                let (key, value) = row?;
                let id = key.value();
                let entry = codec::decode::<AuditRow>(value.value())
                    .and_then(|row| row.into_entry(id))
                    .map_err(|error| unreadable(AuditRow::TABLE, error))?;
                if entry.at >= before {
                    break;
                }
                old.push(id);
            }
            for id in &old {
                tables.audit.remove(id)?;
                tables.written = true;
            }
            Ok(old.len())
        })
        .await
    }
}

fn passes(filter: &AuditFilter, admin: Option<&str>, entry: &AuditEntry) -> bool {
    let concerns = |admin: &str| {
        entry.actor.name.to_lowercase() == admin
            || entry.admin.as_deref().is_some_and(|name| name.to_lowercase() == admin)
    };
    filter.site_id.is_none_or(|site_id| entry.site_id == Some(site_id))
        && admin.is_none_or(concerns)
        && filter.since.is_none_or(|since| entry.at >= since)
        && filter.until.is_none_or(|until| entry.at < until)
}
