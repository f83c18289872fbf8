//! Sites: registration, licence, lock.

use redb::{ReadableTable, ReadableTableMetadata};

use super::audit::{self, Record};
use super::codec::{self, Row, SeenRow, SiteRow};
use super::tables::{WriteTables, meta, unreadable};
use super::{Outcome, Store, Unavailable};
use crate::domain::audit::differences;
use crate::domain::site::{RevisionCheck, SilentAfterHours};
use crate::domain::{
    Action, Actor, KeyHash, LockReason, NewSite, Site, SiteChange, SiteId, SiteStatus, Timestamp,
};

/// Which sites a list shows.
#[derive(Debug, Clone, Default)]
pub struct SiteFilter {
    /// Only those in this status.
    pub status: Option<SiteStatus>,
    /// Only those that mention this text (see [`Site::mentions`]).
    pub text: Option<String>,
}

/// A page of a list of sites, in the order of their numbers.
#[derive(Debug)]
pub struct SitePage {
    /// The sites.
    pub sites: Vec<Site>,
    /// How many sites the filter lets through, on all pages; `None` where
    /// not all were looked at.
    pub total: Option<u64>,
    /// The number to continue after, while there is more.
    pub next: Option<u64>,
}

/// Why a site was not updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateRefused {
    /// There is no such site.
    NotFound,
    /// It has another revision than the caller expected.
    Stale,
    /// The extension leaves the range of time.
    TooFarAhead,
}

/// Why a site was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeRefused {
    /// There is no such site.
    NotFound,
    /// It has another revision than the caller expected.
    Stale,
}

impl From<ChangeRefused> for UpdateRefused {
    fn from(refused: ChangeRefused) -> Self {
        match refused {
            ChangeRefused::NotFound => Self::NotFound,
            ChangeRefused::Stale => Self::Stale,
        }
    }
}

impl Store {
    /// Registers a site under a fresh `site_id` with the hash of its key.
    pub async fn register_site(
        &self,
        site_id: SiteId,
        new: NewSite,
        key: KeyHash,
        by: Actor,
        now: Timestamp,
    ) -> Result<Site, Unavailable> {
        self.write_always(move |tables| {
            insert(tables, Site::registered(site_id, new.clone(), key, now), &by, now)
        })
        .await
    }

    /// The site, or `None`.
    pub async fn site(&self, site_id: SiteId) -> Result<Option<Site>, Unavailable> {
        self.read(move |tables| match number_of(&tables.site_ids, site_id)? {
            Some(id) => load(&tables.sites, &tables.heartbeats, id),
            None => Ok(None),
        })
        .await
    }

    /// At most `limit` sites that `filter` lets through, after number
    /// `after`. Without a filter it reads the page alone. With one it looks
    /// at every site, to tell how many there are; or, where there are more
    /// than `scan`, at no more than `scan` of them from `after` on, so that a
    /// page may be short of sites while there is a next one.
    pub async fn list_sites(
        &self,
        filter: SiteFilter,
        after: u64,
        limit: usize,
        scan: u64,
        now: Timestamp,
        silent_after: SilentAfterHours,
    ) -> Result<SitePage, Unavailable> {
        self.read(move |tables| {
            let needle = filter.text.as_deref().map(str::to_lowercase);
            let filtered = filter.status.is_some() || needle.is_some();
            let all = tables.sites.len()?;
            let counting = filtered && all <= scan;
            let (mut sites, mut passed, mut looked_at, mut last, mut more) = (Vec::new(), 0, 0, after, false);
            let start = if counting { 0 } else { after.saturating_add(1) };
            for entry in tables.sites.range(start..)? {
                let (key, value) = entry?;
                let id = key.value();
                if !counting && (sites.len() == limit || filtered && looked_at == scan) {
                    more = true;
                    break;
                }
                looked_at += 1;
                let site = site_of(&tables.heartbeats, id, value.value())?;
                let passes = filter.status.is_none_or(|status| site.status(now, silent_after) == status)
                    && needle.as_deref().is_none_or(|needle| site.mentions(needle));
                passed += u64::from(passes);
                let on_page = passes && id > after && sites.len() < limit;
                more |= passes && id > after && !on_page;
                if on_page || !counting {
                    last = id;
                }
                if on_page {
                    sites.push(site);
                }
            }
            let total = if filtered { counting.then_some(passed) } else { Some(all) };
            Ok(SitePage { sites, total, next: more.then_some(last) })
        })
        .await
    }

    /// Applies `change`, if the site has the revision that `check` expects.
    pub async fn update_site(
        &self,
        site_id: SiteId,
        change: SiteChange,
        check: RevisionCheck,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Site, UpdateRefused> {
        self.write(move |tables| {
            let edited = edit(tables, site_id, &check, Action::SiteUpdated, &by, now, |site| {
                change.clone().apply(site, now).map_err(|_| UpdateRefused::TooFarAhead)
            })?;
            Ok(edited.map(|(site, ())| site))
        })
        .await
    }

    /// Locks the site, or changes the reason of its lock, if it has the
    /// revision that `check` expects.
    pub async fn lock_site(
        &self,
        site_id: SiteId,
        reason: LockReason,
        check: RevisionCheck,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Site, ChangeRefused> {
        self.change_site(site_id, check, Action::SiteLocked, by, now, move |site| {
            site.lock_reason = Some(reason.clone());
        })
        .await
        .map(|done| done.map(|(site, ())| site))
    }

    /// Unlocks the site, if it has the revision that `check` expects; no
    /// change when it is not locked.
    pub async fn unlock_site(
        &self,
        site_id: SiteId,
        check: RevisionCheck,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Site, ChangeRefused> {
        self.change_site(site_id, check, Action::SiteUnlocked, by, now, |site| site.lock_reason = None)
            .await
            .map(|done| done.map(|(site, ())| site))
    }

    /// Gives the site a new key (see [`Site::rotate_key`]), if it has the
    /// revision that `check` expects, and tells until when the one before goes
    /// on working.
    pub async fn rotate_key(
        &self,
        site_id: SiteId,
        key: KeyHash,
        overlap_hours: u8,
        check: RevisionCheck,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<(Site, Option<Timestamp>), ChangeRefused> {
        self.change_site(site_id, check, Action::SiteKeyRotated, by, now, move |site| {
            site.rotate_key(key, overlap_hours, now)
        })
        .await
    }

    /// Runs `rule`, which refuses nothing, on the site.
    async fn change_site<T: Send + 'static>(
        &self,
        site_id: SiteId,
        check: RevisionCheck,
        action: Action,
        by: Actor,
        now: Timestamp,
        rule: impl Fn(&mut Site) -> T + Send + 'static,
    ) -> Outcome<(Site, T), ChangeRefused> {
        self.write(move |tables| edit(tables, site_id, &check, action, &by, now, |site| Ok(rule(site)))).await
    }

    /// Deletes the site, if it has the revision that `check` expects; its key
    /// stops working with this commit.
    pub async fn delete_site(
        &self,
        site_id: SiteId,
        check: RevisionCheck,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<(), ChangeRefused> {
        self.write(move |tables| {
            let site = match expected(tables, site_id, &check)? {
                Ok(site) => site,
                Err(refusal) => return Ok(Err(refusal)),
            };
            remove(tables, &site, &by, now)?;
            Ok(Ok(()))
        })
        .await
    }
}

/// Runs `rule` on the site and, when it changed anything, writes it with the
/// next revision and an entry in the audit trail.
fn edit<T, E: From<ChangeRefused>>(
    tables: &mut WriteTables<'_>,
    site_id: SiteId,
    check: &RevisionCheck,
    action: Action,
    by: &Actor,
    now: Timestamp,
    rule: impl FnOnce(&mut Site) -> Result<T, E>,
) -> Outcome<(Site, T), E> {
    let before = match expected(tables, site_id, check)? {
        Ok(before) => before,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    let mut site = before.clone();
    let told = match rule(&mut site) {
        Ok(told) => told,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if differ(&before, &site) {
        site.revision += 1;
        replace(tables, &before, &site, action, by, now)?;
    }
    Ok(Ok((site, told)))
}

/// The site, if it has the revision that `check` expects.
fn expected(
    tables: &WriteTables<'_>,
    site_id: SiteId,
    check: &RevisionCheck,
) -> Outcome<Site, ChangeRefused> {
    let Some(id) = number_of(&tables.site_ids, site_id)? else {
        return Ok(Err(ChangeRefused::NotFound));
    };
    let Some(site) = load(&tables.sites, &tables.heartbeats, id)? else {
        return Ok(Err(ChangeRefused::NotFound));
    };
    Ok(if check.allows(site.revision) { Ok(site) } else { Err(ChangeRefused::Stale) })
}

/// Whether an admin's change made anything of `before` different.
pub(super) fn differ(before: &Site, after: &Site) -> bool {
    SiteRow::from_site(before) != SiteRow::from_site(after)
}

/// Writes a new site under the next number, and gives it with that.
pub(super) fn insert(
    tables: &mut WriteTables<'_>,
    mut site: Site,
    by: &Actor,
    now: Timestamp,
) -> Result<Site, Unavailable> {
    site.id = tables.next_number(meta::NEXT_SITE)?;
    put_site(tables, &site)?;
    tables.site_ids.insert(site.site_id.as_u128(), site.id)?;
    note(tables, by, Action::SiteRegistered, None, Some(&site), now)?;
    Ok(site)
}

/// Writes a changed site.
pub(super) fn replace(
    tables: &mut WriteTables<'_>,
    before: &Site,
    after: &Site,
    action: Action,
    by: &Actor,
    now: Timestamp,
) -> Result<(), Unavailable> {
    put_site(tables, after)?;
    note(tables, by, action, Some(before), Some(after), now)
}

/// Removes a site and its last heartbeat.
pub(super) fn remove(
    tables: &mut WriteTables<'_>,
    site: &Site,
    by: &Actor,
    now: Timestamp,
) -> Result<(), Unavailable> {
    tables.site_ids.remove(site.site_id.as_u128())?;
    tables.sites.remove(site.id)?;
    tables.heartbeats.remove(site.id)?;
    note(tables, by, Action::SiteDeleted, Some(site), None, now)
}

/// Leaves an entry on a site in the audit trail.
fn note(
    tables: &mut WriteTables<'_>,
    by: &Actor,
    action: Action,
    before: Option<&Site>,
    after: Option<&Site>,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let site_id = before.or(after).map(|site| site.site_id);
    let changes = differences(before, after);
    audit::record(tables, Record { at: now, actor: by, action, site_id, admin: None, changes })
}

fn put_site(tables: &mut WriteTables<'_>, site: &Site) -> Result<(), Unavailable> {
    tables.sites.insert(site.id, codec::encode(&SiteRow::from_site(site))?.as_slice())?;
    tables.written = true;
    Ok(())
}

/// The number of a site.
pub(super) fn number_of(
    site_ids: &impl ReadableTable<u128, u64>,
    site_id: SiteId,
) -> Result<Option<u64>, Unavailable> {
    Ok(site_ids.get(site_id.as_u128())?.map(|id| id.value()))
}

/// The site with number `id`, its last heartbeat included.
pub(super) fn load(
    sites: &impl ReadableTable<u64, &'static [u8]>,
    heartbeats: &impl ReadableTable<u64, &'static [u8]>,
    id: u64,
) -> Result<Option<Site>, Unavailable> {
    match sites.get(id)? {
        Some(row) => read_site(id, row.value(), seen_of(heartbeats, id)?).map(Some),
        None => Ok(None),
    }
}

fn seen_of(
    heartbeats: &impl ReadableTable<u64, &'static [u8]>,
    id: u64,
) -> Result<Option<SeenRow>, Unavailable> {
    let row = heartbeats.get(id)?;
    row.map(|row| codec::decode(row.value())).transpose().map_err(|error| unreadable(SeenRow::TABLE, error))
}

/// The site of this row, its last heartbeat included.
pub(super) fn site_of(
    heartbeats: &impl ReadableTable<u64, &'static [u8]>,
    id: u64,
    row: &[u8],
) -> Result<Site, Unavailable> {
    read_site(id, row, seen_of(heartbeats, id)?)
}

fn read_site(id: u64, row: &[u8], seen: Option<SeenRow>) -> Result<Site, Unavailable> {
    let seen = seen.map(SeenRow::into_seen).transpose().map_err(|error| unreadable(SeenRow::TABLE, error))?;
    codec::decode::<SiteRow>(row)
        .and_then(|row| row.into_site(id, seen))
        .map_err(|error| unreadable(SiteRow::TABLE, error))
}
