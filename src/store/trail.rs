//! How an entry gets into the audit trail, and is read out of it.
//!
//! What the entry on a registration tells stands in the site's row as well,
//! and as long as it does, it stands only there. Before the row changes or
//! goes, the entry gets it: nobody can tell the difference.

use super::codec::{AuditRow, Row as _, SiteRow};
use super::error::{Unavailable, unreadable};
use super::tables::{Tables, Transaction, WriteTables, meta};
use crate::domain::{AuditEntry, NewAuditEntry};

/// Adds an entry to the trail.
pub(super) fn append(tables: &mut WriteTables<'_>, entry: NewAuditEntry) -> Result<(), Unavailable> {
    let id = tables.next_number(meta::NEXT_AUDIT)?;
    tables.audit.put(id, &AuditRow::from_entry(&entry.numbered(id)))
}

/// Adds an entry on the registration of the site with this number, whose row
/// tells what the entry would; gives the entry's number, for the row.
pub(super) fn append_registration(
    tables: &mut WriteTables<'_>,
    entry: NewAuditEntry,
    site: u64,
) -> Result<u64, Unavailable> {
    let id = tables.next_number(meta::NEXT_AUDIT)?;
    tables.audit.put(id, &AuditRow::of_registration(entry, site))?;
    Ok(id)
}

/// Writes what a registration's entry tells into the entry itself, before the
/// site's row comes to hold something else. One that has been pruned needs
/// nothing, and one that cannot be read is no reason not to lock a site.
pub(super) fn complete_registration(tables: &mut WriteTables<'_>, id: u64) -> Result<(), Unavailable> {
    let row = match tables.audit.get(id) {
        Ok(Some(row)) if row.needs_site().is_some() => row,
        Ok(_) | Err(Unavailable::Record { .. }) => return Ok(()),
        Err(fault) => return Err(fault),
    };
    let entry = entry_of(tables, id, row)?;
    tables.audit.put(id, &AuditRow::from_entry(&entry))
}

/// The entry of this row, with what the row of a site tells in its place.
pub(super) fn entry_of(
    tables: &Tables<'_, impl Transaction>,
    id: u64,
    row: AuditRow,
) -> Result<AuditEntry, Unavailable> {
    let site = match row.needs_site() {
        Some(number) => tables.sites.get(number)?.map(|site| site.into_site(number, None)).transpose(),
        None => Ok(None),
    };
    let site = site.map_err(|error| unreadable(SiteRow::TABLE, error))?;
    let entry = row.into_entry(id, site.as_ref());
    entry.map_err(|error| unreadable(AuditRow::TABLE, format!("record {id}: {error}")))
}
