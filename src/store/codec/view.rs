//! What lists look at of a site, read where its records lie.

use std::borrow::Cow;

use super::bytes::{DecodeError, time};
use super::site::{SeenRowInPlace, SiteRowInPlace, delivered};
use crate::domain::{Delivered, SiteId, SiteView};

/// Of the bytes of a site's registration and of its last heartbeat, what lists
/// look at. Does not check what it does not look at: whoever shows a site
/// reads it whole.
pub(in crate::store) fn read_view<'a>(
    id: u64,
    site: &'a [u8],
    seen: Option<&'a [u8]>,
) -> Result<SiteView<'a>, DecodeError> {
    let row = SiteRowInPlace::read(site)?;
    let seen = seen.map(SeenRowInPlace::read).transpose()?;
    let seen_at = seen.as_ref().map(|seen| time("last_seen_at", seen.fields.at)).transpose()?;
    let today = seen.as_ref().and_then(|seen| seen.today.as_ref());
    let today = today.map(|today| Ok((today.date()?, today.heartbeats))).transpose()?;
    let told = seen.as_ref().map(|seen| delivered(seen.answered, seen.acknowledged)).transpose()?;
    Ok(SiteView {
        id,
        site_id: SiteId::from_u128(row.fields.site_id),
        name: row.fields.name,
        owner_name: row.fields.owner_name,
        contact_email: row.fields.contact_email,
        tags: Cow::Borrowed(row.tags),
        notes: row.notes,
        terms: Cow::Owned(row.terms()?),
        verdict_revision: row.verdict_revision()?,
        last_seen_at: seen_at,
        last_version: seen.map(|seen| seen.fields.version),
        today,
        delivered: told.unwrap_or_else(Delivered::default),
    })
}
