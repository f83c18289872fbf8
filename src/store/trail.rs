//! How an entry gets into the audit trail, and is read out of it.
//!
//! What the entry on a registration tells stands in the site's row as well,
//! and as long as it does, it stands only there. Before the row changes or
//! goes, the entry gets it: nobody can tell the difference, and neither can the
//! chain, whose hashes are over what an entry tells ([`crate::domain::chain`]).
//!
//! To add an entry takes the hash of the one before, and nothing else of the
//! chain. Where that one is gone or cannot be read, the change is made all the
//! same, and the chain shows the break: a site must be locked whatever became
//! of the trail.

use super::codec::{AuditRow, ChainRow, Row as _, SiteRow};
use super::error::{Unavailable, unreadable};
use super::tables::{Tables, Transaction, WriteTables, meta};
use crate::domain::chain::{Chain, ChainHash, ChainHead, ChainReport, ForgottenRun, Verifier};
use crate::domain::{AuditEntry, NewAuditEntry};

/// Adds an entry to the trail.
pub(super) fn append(tables: &mut WriteTables<'_>, entry: NewAuditEntry) -> Result<(), Unavailable> {
    let id = tables.next_number(meta::NEXT_AUDIT)?;
    let entry = entry.numbered(id);
    let hash = hash_before(tables, id)?.after(&entry);
    tables.audit.put(id, &AuditRow::from_entry(&entry, hash))
}

/// Adds an entry on the registration of the site with this number, whose row
/// tells what the entry would; gives the entry's number, for the row.
pub(super) fn append_registration(
    tables: &mut WriteTables<'_>,
    entry: NewAuditEntry,
    site: u64,
) -> Result<u64, Unavailable> {
    let id = tables.next_number(meta::NEXT_AUDIT)?;
    let entry = entry.numbered(id);
    let hash = hash_before(tables, id)?.after(&entry);
    tables.audit.put(id, &AuditRow::of_registration(entry, site, hash))?;
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
    let hash = row.chain();
    let entry = entry_of(tables, id, row)?;
    tables.audit.put(id, &AuditRow::from_entry(&entry, hash))
}

/// The hash that the entry `id` goes on from.
fn hash_before(tables: &Tables<'_, impl Transaction>, id: u64) -> Result<ChainHash, Unavailable> {
    let last = id.saturating_sub(1);
    if last == 0 {
        return Ok(ChainHash::START);
    }
    match tables.audit.get_as(last, AuditRow::hash_in) {
        Ok(Some(hash)) => Ok(hash),
        Ok(None) => Ok(chain(tables)?.hash_at(last).unwrap_or(ChainHash::START)),
        Err(Unavailable::Record { .. }) => Ok(ChainHash::START),
        Err(fault) => Err(fault),
    }
}

/// What there is of the chain beside the entries.
fn chain(tables: &Tables<'_, impl Transaction>) -> Result<Chain, Unavailable> {
    Ok(tables.meta.value(meta::CHAIN)?.map(ChainRow::into_chain).unwrap_or_default())
}

/// The newest number that was given.
fn newest(tables: &Tables<'_, impl Transaction>) -> Result<u64, Unavailable> {
    Ok(tables.meta.value(meta::NEXT_AUDIT)?.unwrap_or(1).saturating_sub(1))
}

/// The head of the chain, as it is stored.
pub(super) fn head(tables: &Tables<'_, impl Transaction>) -> Result<ChainHead, Unavailable> {
    let number = newest(tables)?;
    Ok(ChainHead { number, hash: hash_before(tables, number.saturating_add(1))? })
}

/// Holds all entries against the chain, and the chain against `expected`.
pub(super) fn verify(
    tables: &Tables<'_, impl Transaction>,
    expected: Option<ChainHead>,
) -> Result<ChainReport, Unavailable> {
    let mut verifier = Verifier::new(chain(tables)?, expected);
    for id in tables.audit.keys()? {
        let id = id?;
        let read = tables.audit.get(id).and_then(|row| {
            let told = |row: AuditRow| Ok((row.chain(), entry_of(tables, id, row)?));
            row.map(told).transpose()
        });
        let told = match read {
            Ok(told) => told,
            Err(Unavailable::Record { .. }) => None,
            Err(fault) => return Err(fault),
        };
        if !verifier.take(id, told.as_ref().map(|(hash, entry)| (*hash, entry))) {
            break;
        }
    }
    Ok(verifier.end(newest(tables)?))
}

/// Forgets these entries, which are old, and notes what the chain goes on from
/// in their place; gives how many. Those that are gone already are passed over.
pub(super) fn forget(tables: &mut WriteTables<'_>, old: &[u64]) -> Result<usize, Unavailable> {
    let mut known = chain(tables)?;
    let mut forgotten = 0;
    for &id in old {
        let hash = match tables.audit.get_as(id, AuditRow::hash_in) {
            Ok(Some(hash)) => hash,
            Ok(None) => continue,
            // The chain breaks here anyway.
            Err(Unavailable::Record { .. }) => ChainHash::START,
            Err(fault) => return Err(fault),
        };
        if known.forget(ForgottenRun { first: id, last: id, hash }) {
            tables.audit.remove(id)?;
            forgotten += 1;
        }
    }
    if forgotten > 0 {
        tables.meta.set(meta::CHAIN, &ChainRow::from_chain(&known))?;
    }
    Ok(forgotten)
}

/// Makes the chain of a trail that has none: what an older version left. What
/// is missing in it counts as forgotten.
pub(super) fn chain_all(tables: &mut WriteTables<'_>) -> Result<(), Unavailable> {
    let ids = tables.audit.keys()?.collect::<Result<Vec<_>, _>>()?;
    let (mut hash, mut next, mut made) = (ChainHash::START, 1, Chain::default());
    made.upgraded = newest(tables)?;
    for id in ids {
        if id > next {
            let _ = made.forget(ForgottenRun { first: next, last: id.saturating_sub(1), hash });
        }
        let Some(row) = tables.audit.get(id)? else { continue };
        let entry = entry_of(tables, id, row)?;
        hash = hash.after(&entry);
        tables.audit.put(id, &AuditRow::from_entry(&entry, hash))?;
        next = id.saturating_add(1);
    }
    if made.upgraded >= next {
        let _ = made.forget(ForgottenRun { first: next, last: made.upgraded, hash });
    }
    tables.meta.set(meta::CHAIN, &ChainRow::from_chain(&made))
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
