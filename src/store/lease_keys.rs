//! The keys that sign leases. They are in copies of the database as well:
//! local backends know them, and a server that goes on from a copy has to
//! sign with them.

use super::codec::{LastSeen, LeaseKeyRow, Row as _, SeenRow};
use super::error::{Outcome, Unavailable, unreadable};
use super::handle::Store;
use super::tables::{Tables, Transaction, meta};
use super::trail;
use crate::domain::lease_key::{AlreadyAnnounced, Rotation, StoredKey, rotate};
use crate::domain::{Action, Actor, NewAuditEntry, Timestamp};

/// A key as it is stored: its number and times, and itself as PKCS #8, DER.
pub type KeyWithSecret = (StoredKey, Vec<u8>);

impl Store {
    /// All keys, the oldest first; `fresh`, a key as PKCS #8, becomes the first
    /// one where there is none.
    pub async fn lease_keys_or(
        &self,
        fresh: Vec<u8>,
        now: Timestamp,
    ) -> Result<Vec<KeyWithSecret>, Unavailable> {
        self.write_always(move |tables| {
            if tables.lease_keys.len()? == 0 {
                let row =
                    LeaseKeyRow { pkcs8: fresh.clone(), created_at: now.unix(), signs_from: now.unix() };
                tables.lease_keys.put(1, &row)?;
            }
            all(tables)
        })
        .await
    }

    /// Announces `fresh`, a key as PKCS #8; or, `at_once`, has the key that is
    /// announced sign from now on, else `fresh`. Gives all keys as they are
    /// then.
    pub async fn rotate_lease_key(
        &self,
        fresh: Vec<u8>,
        at_once: bool,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Vec<KeyWithSecret>, AlreadyAnnounced> {
        self.write(move |tables| {
            let keys = all(tables)?;
            let stored: Vec<StoredKey> = keys.iter().map(|(stored, _)| *stored).collect();
            let rotation = match rotate(&stored, at_once, now) {
                Ok(rotation) => rotation,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let newest = stored.last().map_or(0, |key| key.number);
            let (number, row) = match rotation {
                Rotation::Add(from) => {
                    let pkcs8 = fresh.clone();
                    (newest + 1, LeaseKeyRow { pkcs8, created_at: now.unix(), signs_from: from.unix() })
                }
                Rotation::Promote(number) => {
                    let row = tables.lease_keys.get(number)?;
                    let row = row.ok_or_else(|| unreadable("lease_keys", format!("no key {number}")))?;
                    (number, LeaseKeyRow { signs_from: now.unix(), ..row })
                }
            };
            tables.lease_keys.put(number, &row)?;
            trail::append(tables, NewAuditEntry::of(Action::LeaseKeyRotated, &by, now))?;
            all(tables).map(Ok)
        })
        .await
    }

    /// How many sites have not been handed the key of this number. Reads every
    /// last heartbeat.
    pub async fn sites_without_lease_key(&self, number: u64) -> Result<u64, Unavailable> {
        self.read(move |tables| {
            let mut without = tables.sites.len()?;
            for seen in tables.heartbeats.stored(..)? {
                let lease =
                    LastSeen::lease_in(seen?.bytes()).map_err(|error| unreadable(SeenRow::TABLE, error))?;
                let has = lease.is_some_and(|lease| lease.newest_key >= number);
                without -= u64::from(has);
            }
            Ok(without)
        })
        .await
    }

    /// Notes that this is where the database goes on, as opposed to a copy of
    /// it; gives the least number that the next change of what a site may do
    /// is to get. A database that was a copy until now has forgotten what was
    /// decided since, and numbers that were given then may come back from
    /// local backends.
    pub async fn go_on(&self, lineage: [u8; 16], now: Timestamp) -> Result<u64, Unavailable> {
        self.write_always(move |tables| {
            let least = tables.meta.value(meta::LEAST_REVISION)?.unwrap_or(0);
            if tables.meta.value(meta::LINEAGE)?.is_some() {
                return Ok(least);
            }
            tables.meta.set(meta::LINEAGE, &lineage)?;
            // A file of before has this key, which is in no copy either.
            let was_copy = tables.meta.value(meta::SIGNING_KEY)?.is_none() && tables.sites.len()? > 0;
            if !was_copy {
                return Ok(least);
            }
            let least = (least + 1).max(now.unix().unsigned_abs());
            tables.meta.set(meta::LEAST_REVISION, &least)?;
            Ok(least)
        })
        .await
    }
}

fn all(tables: &Tables<'_, impl Transaction>) -> Result<Vec<KeyWithSecret>, Unavailable> {
    let mut keys = Vec::new();
    for entry in tables.lease_keys.iter()? {
        let (number, row) = entry?;
        let stored = row.stored(number).map_err(|error| unreadable("lease_keys", error))?;
        keys.push((stored, row.pkcs8));
    }
    Ok(keys)
}
