//! The audit trail, as it is read: written in the transaction of the change it
//! tells of ([`super::trail`]). Failed logins are not in it but beside it
//! ([`super::strangers`]), and are read as it is.

use std::net::IpAddr;

use super::clock_watch::Age;
use super::codec::{AuditRow, Row as _, StrangerRow};
use super::error::{Unavailable, unreadable};
use super::handle::Store;
use super::tables::ReadTables;
use super::trail;
use crate::domain::chain::{ChainHead, ChainReport};
use crate::domain::{Action, Actor, ActorKind, AuditEntry, NewAuditEntry, SiteId, Timestamp};

/// Most entries that one transaction prunes, so that writers do not wait.
const PRUNE_AT_ONCE: usize = 1000;
/// Most entries with a wrong date that are passed over to find those that are
/// old; all that come in by hand while a clock is wrong, and 0.1 s of reading.
const PASSED_AT_ONCE: usize = 50_000;

/// Among how many entries of the trail logins are looked for at a start.
const LOGINS_LOOKED_FOR_IN: usize = 10_000;

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

impl Store {
    /// Adds to the trail that an admin logged in, as [`Store::log_in`] does. A backup follows as after a
    /// heartbeat: nothing was changed.
    #[cfg(test)]
    pub async fn record_login(&self, admin: Actor, now: Timestamp) -> Result<(), Unavailable> {
        let name = Some(admin.name.clone());
        self.record(NewAuditEntry { admin: name, ..NewAuditEntry::of(Action::LoginSucceeded, &admin, now) })
            .await
    }

    /// From where admins have logged in, and when, newest first: what the
    /// newest [`LOGINS_LOOKED_FOR_IN`] entries of the trail tell.
    pub async fn recent_logins(&self) -> Result<Vec<(IpAddr, Timestamp)>, Unavailable> {
        self.read(|tables| {
            let mut logins = Vec::new();
            for row in tables.audit.range(..u64::MAX)?.rev().take(LOGINS_LOOKED_FOR_IN) {
                let (id, row) = row?;
                // Those of registrations, of which there are most, need a site.
                if row.needs_site().is_some() {
                    continue;
                }
                let entry = trail::entry_of(tables, id, row)?;
                if entry.action == Action::LoginSucceeded {
                    logins.extend(entry.actor.ip.map(|ip| (ip, entry.at)));
                }
            }
            Ok(logins)
        })
        .await
    }

    /// Adds to the trail that somebody took a backup. One of the server's own
    /// follows as after a heartbeat, so that whoever takes one every minute
    /// does not make it work twice.
    pub async fn record_backup(&self, actor: Actor, now: Timestamp) -> Result<(), Unavailable> {
        self.record(NewAuditEntry::of(Action::BackupTaken, &actor, now)).await
    }

    /// Adds to the trail that an admin had the certificate renewed.
    pub async fn record_renewal_request(&self, actor: Actor, now: Timestamp) -> Result<(), Unavailable> {
        self.record(NewAuditEntry::of(Action::CertificateRenewalRequested, &actor, now)).await
    }

    async fn record(&self, entry: NewAuditEntry) -> Result<(), Unavailable> {
        self.write_always(move |tables| trail::append(tables, entry.clone())).await
    }

    /// At most `limit` entries that `filter` lets through, before number
    /// `before` (`None`: from the newest). Without a filter it reads the page
    /// alone; with one it reads every entry, to tell how many there are. A
    /// filter for strangers, or for failed logins, shows those that are stored
    /// beside the trail.
    pub async fn audit(
        &self,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, Unavailable> {
        self.read(move |tables| {
            if filter.is_of_strangers() {
                let rows = tables.strangers.range(..end(&filter, before))?;
                page(rows, tables.strangers.len(), &filter, before, limit, |id, row: StrangerRow| {
                    row.into_entry(id).map_err(|error| unreadable(StrangerRow::TABLE, error))
                })
            } else {
                let rows = tables.audit.range(..end(&filter, before))?;
                page(rows, tables.audit.len(), &filter, before, limit, |id, row| {
                    trail::entry_of(tables, id, row)
                })
            }
        })
        .await
    }

    /// Forgets entries older than `before`, at most [`PRUNE_AT_ONCE`] in one
    /// call; tells how many. Looks at no more than [`PASSED_AT_ONCE`] others,
    /// which a wrong clock has dated and which stay.
    pub async fn prune_audit(&self, before: Timestamp) -> Result<usize, Unavailable> {
        let age = self.clock.age(before);
        let old = move |tables: &ReadTables<'_>| {
            let mut old = Vec::new();
            for entry in tables.audit.iter()?.take(PASSED_AT_ONCE + PRUNE_AT_ONCE) {
                let (id, row) = entry?;
                match age.of(row.at().map_err(|error| unreadable(AuditRow::TABLE, error))?) {
                    Age::Old => old.push(id),
                    Age::WronglyDated => {}
                    Age::Young => break,
                }
                if old.len() == PRUNE_AT_ONCE {
                    break;
                }
            }
            Ok(old)
        };
        // Read apart, so that writers need not wait for it.
        let old = self.read(old).await?;
        if old.is_empty() {
            return Ok(0);
        }
        self.write_always(move |tables| trail::forget(tables, &old)).await
    }

    /// The head of the chain of the trail.
    pub async fn audit_head(&self) -> Result<ChainHead, Unavailable> {
        self.read(trail::head).await
    }

    /// Holds the whole trail against its chain, and the chain against a head
    /// that somebody noted. It reads every entry.
    pub async fn verify_audit(&self, expected: Option<ChainHead>) -> Result<ChainReport, Unavailable> {
        self.read(move |tables| trail::verify(tables, expected)).await
    }
}

/// Whether `filter` lets all of what it asks for through.
fn is_open(filter: &AuditFilter) -> bool {
    let all_of_it = if filter.is_of_strangers() {
        filter.action.is_none_or(|action| action == Action::LoginFailed)
    } else {
        filter.action.is_none() && filter.actor_kind.is_none()
    };
    all_of_it
        && filter.site_id.is_none()
        && filter.admin.is_none()
        && filter.since.is_none()
        && filter.until.is_none()
}

/// Before which number the rows are read: all of them where those that pass
/// must be counted.
fn end(filter: &AuditFilter, before: Option<u64>) -> u64 {
    before.filter(|_| is_open(filter)).unwrap_or(u64::MAX)
}

/// A page of `rows`, `all` in number, which `read` makes into entries.
fn page<R>(
    rows: impl DoubleEndedIterator<Item = Result<(u64, R), Unavailable>>,
    all: Result<u64, Unavailable>,
    filter: &AuditFilter,
    before: Option<u64>,
    limit: usize,
    read: impl Fn(u64, R) -> Result<AuditEntry, Unavailable>,
) -> Result<AuditPage, Unavailable> {
    let admin = filter.admin.as_deref().map(str::to_lowercase);
    let unfiltered = is_open(filter);
    let mut page = AuditPage { entries: Vec::new(), total: 0, next: None };
    let mut more = false;
    for row in rows.rev() {
        let (id, row) = row?;
        if unfiltered && page.entries.len() == limit {
            more = true;
            break;
        }
        let entry = read(id, row)?;
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
        page.total = all?;
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
