//! The last heartbeat of a site, as the next one and counts read it where it lies.

use std::net::IpAddr;

use super::bytes::{DecodeError, text, time};
use super::site::{SeenRowInPlace, delivered};
use crate::domain::heartbeat::LastLease;
use crate::domain::{AppVersion, Delivered, Timestamp, Today};

/// What the next heartbeat needs of the last one.
pub(in crate::store) struct LastSeen {
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) delivered: Delivered,
    pub(in crate::store) lease: Option<LastLease>,
    pub(in crate::store) today: Option<Today>,
    pub(in crate::store) ip: IpAddr,
    /// `None`: the version that the next one reports too.
    pub(in crate::store) other_version: Option<AppVersion>,
}

impl LastSeen {
    /// Of the bytes of a [`super::SeenRow`], for a heartbeat that reports `version`.
    pub(in crate::store) fn read(bytes: &[u8], version: &AppVersion) -> Result<Self, DecodeError> {
        let row = SeenRowInPlace::read(bytes)?;
        let other_version = Some(row.fields.version).filter(|last| *last != version.as_str());
        Ok(Self {
            today: row.today.map(|today| today.into_today(row.fields.at)).transpose()?,
            ip: row.fields.ip,
            other_version: other_version.map(|version| text("last_version", version)).transpose()?,
            at: time("last_seen_at", row.fields.at)?,
            delivered: delivered(row.answered, row.acknowledged)?,
            lease: row.lease.map(|lease| lease.read(row.fields.at)).transpose()?,
        })
    }

    /// The last lease alone, of the bytes of a [`super::SeenRow`].
    pub(in crate::store) fn lease_in(bytes: &[u8]) -> Result<Option<LastLease>, DecodeError> {
        let row = SeenRowInPlace::read(bytes)?;
        row.lease.map(|lease| lease.read(row.fields.at)).transpose()
    }
}
