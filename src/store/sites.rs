//! Sites, as they are read and written down.

use super::codec::{Row as _, SeenRow, SiteRow};
use super::error::{Unavailable, unreadable};
use super::handle::Store;
use super::tables::{Tables, Transaction, WriteTables};
use super::trail;
use crate::domain::{Site, SiteId};

impl Store {
    /// The site, or `None`.
    pub async fn site(&self, site_id: SiteId) -> Result<Option<Site>, Unavailable> {
        self.read(move |tables| of_id(tables, site_id)).await
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
    of_number(tables, id)
}

/// The site with this number, its last heartbeat included.
pub(super) fn of_number(tables: &Tables<'_, impl Transaction>, id: u64) -> Result<Option<Site>, Unavailable> {
    tables.sites.get(id)?.map(|row| of_row(tables, id, row)).transpose()
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

/// Removes a site, its last heartbeat and its history.
pub(super) fn remove(tables: &mut WriteTables<'_>, site: &Site) -> Result<(), Unavailable> {
    complete_entry(tables, site.id)?;
    tables.site_ids.remove(site.site_id.as_u128())?;
    tables.sites.remove(site.id)?;
    tables.heartbeats.remove(site.id)?;
    tables.history.remove(site.id)
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
