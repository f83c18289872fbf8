//! Records as bytes and back, for `benches/pieces.rs`. Nobody else outside of
//! the store has to do with bytes.

use super::codec::{self, Row as _, SeenRow, SiteRow};
use super::error::{Unavailable, unreadable};
use crate::domain::{Seen, Site};

/// The record of a site.
pub fn encode_site(site: &Site) -> Result<Vec<u8>, Unavailable> {
    codec::encode(&SiteRow::from_site(site, 1))
}

/// The site of its record, without a heartbeat.
pub fn decode_site(bytes: &[u8]) -> Result<Site, Unavailable> {
    let site = codec::decode::<SiteRow>(bytes).and_then(|row| row.into_site(1, None));
    site.map_err(|error| unreadable(SiteRow::TABLE, error))
}

/// The record of a last heartbeat.
pub fn encode_seen(seen: &Seen) -> Result<Vec<u8>, Unavailable> {
    codec::encode(&SeenRow::from_seen(seen))
}

/// The last heartbeat of its record.
pub fn decode_seen(bytes: &[u8]) -> Result<Seen, Unavailable> {
    let seen = codec::decode::<SeenRow>(bytes).and_then(SeenRow::into_seen);
    seen.map_err(|error| unreadable(SeenRow::TABLE, error))
}
