//! The audit trail: written in the transaction of the change it tells of.
//! Failed logins are not in it but beside it ([`super::strangers`]), and are
//! read as it is.

use redb::ReadableTable;

use super::codec::{self, AuditRow, DecodeError, Row, StrangerRow};
use super::tables::{WriteTables, meta, unreadable};
use super::{Store, Unavailable};
use crate::domain::{Action, Actor, ActorKind, AuditEntry, FieldChange, SiteId, Timestamp};

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
    /// Only those of this action.
    pub action: Option<Action>,
    /// Only those of such actors.
    pub actor_kind: Option<ActorKind>,
    /// Only those from this time on.
    pub since: Option<Timestamp>,
    /// Only those before this time.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether failed logins are asked for, in place of the trail.
    fn is_of_strangers(&self) -> bool {
        match self.actor_kind {
            Some(kind) => kind == ActorKind::Stranger,
            None => self.action == Some(Action::LoginFailed),
        }
    }
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

/// Adds an entry on a change to the trail.
pub(super) fn record(tables: &mut WriteTables<'_>, record: Record<'_>) -> Result<(), Unavailable> {
    tables.written = true;
    append(tables, record)
}

fn append(tables: &mut WriteTables<'_>, record: Record<'_>) -> Result<(), Unavailable> {
    let id = tables.take_number(meta::NEXT_AUDIT)?;
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
    /// Adds to the trail that an admin logged in. A backup follows as after a
    /// heartbeat: nothing was changed.
    pub async fn record_login(&self, admin: Actor, now: Timestamp) -> Result<(), Unavailable> {
        let name = Some(admin.name.clone());
        self.record_in_passing(Action::LoginSucceeded, admin, name, now).await
    }

    /// Adds to the trail that somebody took a backup. One of the server's own
    /// follows as after a heartbeat, so that whoever takes one every minute
    /// does not make it work twice.
    pub async fn record_backup(&self, actor: Actor, now: Timestamp) -> Result<(), Unavailable> {
        self.record_in_passing(Action::BackupTaken, actor, None, now).await
    }

    /// Adds to the trail that an admin had the certificate renewed.
    pub async fn record_renewal_request(&self, actor: Actor, now: Timestamp) -> Result<(), Unavailable> {
        self.write_always(move |tables| {
            record(tables, alone(Action::CertificateRenewalRequested, &actor, None, now))
        })
        .await
    }

    async fn record_in_passing(
        &self,
        action: Action,
        actor: Actor,
        admin: Option<String>,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        self.write_always(move |tables| {
            tables.heard = true;
            append(tables, alone(action, &actor, admin.clone(), now))
        })
        .await
    }

    /// At most `limit` entries that `filter` lets through, before number
    /// `before` (`None`: from the newest). Without a filter it reads the page
    /// alone; with one it reads every entry, to tell how many there are. A
    /// filter for strangers, or for failed logins, shows those that are kept
    /// beside the trail.
    pub async fn audit(
        &self,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, Unavailable> {
        self.read(move |tables| {
            if filter.is_of_strangers() {
                page(&tables.strangers, &filter, before, limit, |id, row| {
                    codec::decode::<StrangerRow>(row).and_then(|row| row.into_entry(id))
                })
            } else {
                page(&tables.audit, &filter, before, limit, entry_of)
            }
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
                let entry =
                    entry_of(id, value.value()).map_err(|error| unreadable(AuditRow::TABLE, error))?;
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

/// What changes no record.
fn alone(action: Action, actor: &Actor, admin: Option<String>, at: Timestamp) -> Record<'_> {
    Record { at, actor, action, site_id: None, admin, changes: Vec::new() }
}

fn entry_of(id: u64, row: &[u8]) -> Result<AuditEntry, DecodeError> {
    codec::decode::<AuditRow>(row).and_then(|row| row.into_entry(id))
}

/// A page of `table`, whose rows `read` makes into entries.
fn page(
    table: &impl ReadableTable<u64, &'static [u8]>,
    filter: &AuditFilter,
    before: Option<u64>,
    limit: usize,
    read: impl Fn(u64, &[u8]) -> Result<AuditEntry, DecodeError>,
) -> Result<AuditPage, Unavailable> {
    let admin = filter.admin.as_deref().map(str::to_lowercase);
    let all_of_it = if filter.is_of_strangers() {
        filter.action.is_none_or(|action| action == Action::LoginFailed)
    } else {
        filter.action.is_none() && filter.actor_kind.is_none()
    };
    let unfiltered = all_of_it
        && filter.site_id.is_none()
        && admin.is_none()
        && filter.since.is_none()
        && filter.until.is_none();
    let mut page = AuditPage { entries: Vec::new(), total: 0, next: None };
    let mut more = false;
    let end = before.filter(|_| unfiltered).unwrap_or(u64::MAX);
    for row in table.range(..end)?.rev() {
        let (key, value) = row?;
        let id = key.value();
        if unfiltered && page.entries.len() == limit {
            more = true;
            break;
        }
        let entry = read(id, value.value()).map_err(|error| unreadable(AuditRow::TABLE, error))?;
        if !passes(filter, admin.as_deref(), &entry) {
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
        page.total = table.len()?;
    }
    page.next = page.entries.last().map(|entry| entry.id).filter(|_| more);
    Ok(page)
}

fn passes(filter: &AuditFilter, admin: Option<&str>, entry: &AuditEntry) -> bool {
    let concerns = |admin: &str| {
        entry.actor.name.to_lowercase() == admin
            || entry.admin.as_deref().is_some_and(|name| name.to_lowercase() == admin)
    };
    filter.site_id.is_none_or(|site_id| entry.site_id == Some(site_id))
        && admin.is_none_or(concerns)
        && filter.action.is_none_or(|action| entry.action == action)
        && filter.actor_kind.is_none_or(|kind| entry.actor.kind == kind)
        && filter.since.is_none_or(|since| entry.at >= since)
        && filter.until.is_none_or(|until| entry.at < until)
}
