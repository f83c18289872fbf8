//! The records of a site: its registration, and its last heartbeat.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, body_of, borrow, borrow_body, text, time};
use crate::domain::secret_key::{OldKey, SiteKeys};
use crate::domain::{Heartbeat, KeyHash, LockReason, Seen, Site, SiteId, Timestamp};

/// A site's registration. Its number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct SiteRow {
    pub(super) fields: SiteFields,
    /// The number of the audit entry on its registration, as long as that entry
    /// leaves to this row what it tells; else 0.
    pub(in crate::store) registration_entry: u64,
}

/// All of it that version 1 had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct SiteFields {
    pub(super) site_id: u128,
    pub(super) name: String,
    pub(super) owner_name: String,
    pub(super) contact_email: String,
    pub(super) key_hash: [u8; 32],
    pub(super) is_active: bool,
    pub(super) lock_reason: Option<String>,
    pub(super) license_expires_at: i64,
    pub(super) created_at: i64,
    pub(super) revision: u64,
    pub(super) key_generation: u64,
    pub(super) old_key: Option<OldKeyRow>,
}

/// Reads a registration of an older version.
pub(super) fn upgrade(version: u8, body: &[u8]) -> Result<SiteRow, DecodeError> {
    match version {
        1 => body_of(body).map(|fields| SiteRow { fields, registration_entry: 0 }),
        _ => Err(DecodeError::Malformed),
    }
}

impl SiteRow {
    pub(in crate::store) fn from_site(site: &Site, registration_entry: u64) -> Self {
        let fields = SiteFields {
            site_id: site.site_id.as_u128(),
            name: site.name.as_str().to_owned(),
            owner_name: site.owner_name.as_str().to_owned(),
            contact_email: site.contact_email.as_str().to_owned(),
            key_hash: *site.key.as_bytes(),
            is_active: site.is_active,
            lock_reason: site.lock_reason.as_ref().map(|reason| reason.as_str().to_owned()),
            license_expires_at: site.license_expires_at.unix(),
            created_at: site.created_at.unix(),
            revision: site.revision,
            key_generation: site.key_generation,
            old_key: site
                .old_key
                .as_ref()
                .map(|old| OldKeyRow { hash: *old.hash.as_bytes(), valid_until: old.valid_until.unix() }),
        };
        Self { fields, registration_entry }
    }

    pub(in crate::store) fn into_site(self, id: u64, seen: Option<Seen>) -> Result<Site, DecodeError> {
        let fields = self.fields;
        Ok(Site {
            id,
            site_id: SiteId::from_u128(fields.site_id),
            name: text("name", &fields.name)?,
            owner_name: text("owner_name", &fields.owner_name)?,
            contact_email: text("contact_email", &fields.contact_email)?,
            key: KeyHash::from_bytes(fields.key_hash),
            is_active: fields.is_active,
            lock_reason: fields
                .lock_reason
                .as_deref()
                .map(|reason| text("lock_reason", reason))
                .transpose()?,
            license_expires_at: time("license_expires_at", fields.license_expires_at)?,
            created_at: time("created_at", fields.created_at)?,
            revision: fields.revision,
            key_generation: fields.key_generation,
            old_key: fields.old_key.map(OldKeyRow::into_old_key).transpose()?,
            seen,
        })
    }
}

/// The key that a rotation replaced, while it still works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OldKeyRow {
    pub(super) hash: [u8; 32],
    pub(super) valid_until: i64,
}

impl OldKeyRow {
    fn into_old_key(self) -> Result<OldKey, DecodeError> {
        let valid_until = time("old_key_valid_until", self.valid_until)?;
        Ok(OldKey { hash: KeyHash::from_bytes(self.hash), valid_until })
    }
}

/// What a heartbeat needs of a site's registration.
pub(in crate::store) struct CallingSite {
    pub(in crate::store) keys: SiteKeys,
    pub(in crate::store) is_active: bool,
    pub(in crate::store) lock_reason: Option<LockReason>,
    pub(in crate::store) license_expires_at: Timestamp,
}

/// [`SiteFields`] with the texts where they lie: what a heartbeat does not need
/// is passed over.
#[derive(Deserialize)]
struct SiteRowInPlace<'a> {
    _site_id: u128,
    _name: &'a str,
    _owner_name: &'a str,
    _contact_email: &'a str,
    key_hash: [u8; 32],
    is_active: bool,
    lock_reason: Option<&'a str>,
    license_expires_at: i64,
    _created_at: i64,
    _revision: u64,
    key_generation: u64,
    old_key: Option<OldKeyRow>,
}

impl CallingSite {
    /// Of the bytes of a [`SiteRow`].
    pub(in crate::store) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        // Version 1 had no number after the fields.
        let (row, _entry): (SiteRowInPlace<'_>, u64) = match bytes.split_first() {
            Some((1, body)) => (borrow_body(body)?, 0),
            _ => borrow::<SiteRow, _>(bytes)?,
        };
        Ok(Self {
            keys: SiteKeys {
                key: KeyHash::from_bytes(row.key_hash),
                generation: row.key_generation,
                old: row.old_key.map(OldKeyRow::into_old_key).transpose()?,
            },
            is_active: row.is_active,
            lock_reason: row.lock_reason.map(|reason| text("lock_reason", reason)).transpose()?,
            license_expires_at: time("license_expires_at", row.license_expires_at)?,
        })
    }
}

/// A site's last heartbeat, rewritten at each one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct SeenRow {
    pub(super) at: i64,
    pub(super) ip: IpAddr,
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) key_generation: u64,
}

impl SeenRow {
    pub(in crate::store) fn from_seen(seen: &Seen) -> Self {
        Self {
            at: seen.at.unix(),
            ip: seen.ip,
            version: seen.heartbeat.version.as_str().to_owned(),
            uptime_seconds: seen.heartbeat.uptime_seconds,
            key_generation: seen.key_generation,
        }
    }

    /// When it came, of the bytes of a row.
    pub(in crate::store) fn read_time(bytes: &[u8]) -> Result<Timestamp, DecodeError> {
        /// What stands first in a row.
        #[derive(Deserialize)]
        struct SeenRowInPlace<'a> {
            at: i64,
            _ip: IpAddr,
            _version: &'a str,
            _uptime_seconds: u64,
            _key_generation: u64,
        }
        let row: SeenRowInPlace<'_> = borrow::<Self, _>(bytes)?;
        time("last_seen_at", row.at)
    }

    pub(in crate::store) fn into_seen(self) -> Result<Seen, DecodeError> {
        Ok(Seen {
            at: time("last_seen_at", self.at)?,
            ip: self.ip,
            heartbeat: Heartbeat {
                version: text("last_version", &self.version)?,
                uptime_seconds: self.uptime_seconds,
            },
            key_generation: self.key_generation,
        })
    }
}
