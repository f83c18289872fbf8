//! Sites, as they are read and written down.

use std::sync::Arc;

use super::codec::{Row as _, SeenRow, SiteRow};
use super::error::{Unavailable, unreadable};
use super::handle::Store;
use super::tables::{Tables, Transaction, WriteTables};
use super::trail;
use crate::domain::{Site, SiteId, SiteStatus, Timestamp};

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

impl Store {
    /// The site, or `None`.
    pub async fn site(&self, site_id: SiteId) -> Result<Option<Site>, Unavailable> {
        self.read(move |tables| of_id(tables, site_id)).await
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
    ) -> Result<SitePage, Unavailable> {
        let rules = Arc::clone(&self.rules);
        self.read(move |tables| {
            let needle = filter.text.as_deref().map(str::to_lowercase);
            let filtered = filter.status.is_some() || needle.is_some();
            let all = tables.sites.len()?;
            let counting = filtered && all <= scan;
            let (mut sites, mut passed, mut looked_at, mut last, mut more) = (Vec::new(), 0, 0, after, false);
            let start = if counting { 0 } else { after.saturating_add(1) };
            for entry in tables.sites.range(start..)? {
                let (id, row) = entry?;
                if !counting && (sites.len() == limit || filtered && looked_at == scan) {
                    more = true;
                    break;
                }
                looked_at += 1;
                let site = of_row(tables, id, row)?;
                let passes = filter.status.is_none_or(|status| site.status(&rules, now) == status)
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
}

/// The site with this id, its last heartbeat included.
pub(super) fn of_id(
    tables: &Tables<'_, impl Transaction>,
    site_id: SiteId,
) -> Result<Option<Site>, Unavailable> {
    let Some(id) = tables.site_ids.get(site_id.as_u128())? else {
        return Ok(None);
    };
    match tables.sites.get(id)? {
        Some(row) => of_row(tables, id, row).map(Some),
        None => Ok(None),
    }
}

/// The site of this row, its last heartbeat included.
pub(super) fn of_row(
    tables: &Tables<'_, impl Transaction>,
    id: u64,
    row: SiteRow,
) -> Result<Site, Unavailable> {
    let seen = tables.heartbeats.get(id)?.map(SeenRow::into_seen).transpose();
    let seen = seen.map_err(|error| unreadable(SeenRow::TABLE, error))?;
    row.into_site(id, seen).map_err(|error| unreadable(SiteRow::TABLE, error))
}

/// Writes a new site down; `registration_entry` is the number of the audit
/// entry that leaves to its row what it tells.
pub(super) fn insert(
    tables: &mut WriteTables<'_>,
    site: &Site,
    registration_entry: u64,
) -> Result<(), Unavailable> {
    tables.sites.put(site.id, &SiteRow::from_site(site, registration_entry))?;
    tables.site_ids.put(site.site_id.as_u128(), &site.id)
}

/// Writes a changed site down. Its last heartbeat is no part of that.
pub(super) fn replace(tables: &mut WriteTables<'_>, site: &Site) -> Result<(), Unavailable> {
    complete_entry(tables, site.id)?;
    tables.sites.put(site.id, &SiteRow::from_site(site, 0))
}

/// Removes a site and its last heartbeat.
pub(super) fn remove(tables: &mut WriteTables<'_>, site: &Site) -> Result<(), Unavailable> {
    complete_entry(tables, site.id)?;
    tables.site_ids.remove(site.site_id.as_u128())?;
    tables.sites.remove(site.id)?;
    tables.heartbeats.remove(site.id)
}

/// The row of the site is about to go or to change: where the audit entry on
/// its registration has left to it what it tells, the entry gets that now.
fn complete_entry(tables: &mut WriteTables<'_>, id: u64) -> Result<(), Unavailable> {
    match tables.sites.get(id)? {
        Some(row) if row.registration_entry != 0 => {
            trail::complete_registration(tables, row.registration_entry)
        }
        _ => Ok(()),
    }
}
