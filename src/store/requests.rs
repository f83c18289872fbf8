//! Requests that must be done once, however often they are sent.
//!
//! A client that lost an answer sends the same request again, with the same
//! `Idempotency-Key`. What was done the first time is found here, for a day.
//!
//! The answer may hold secret keys, of which the store keeps hashes only. So
//! a key that is made under an `Idempotency-Key` is derived: from that, from
//! the site's id and from a salt of this one request. The salt alone lies
//! here; the `Idempotency-Key` does not, only its hash. Who repeats the
//! request brings the missing part. Who has a copy of the file has it not,
//! and when the day is over the salt is gone too. Rejected: deriving from a
//! secret of the server that stays, which would let a copy of the file and an
//! old `Idempotency-Key` together give away a key for ever.

use super::codec::RequestRow;
use super::error::Unavailable;
use super::handle::Store;
use super::tables::WriteTables;
use crate::domain::Timestamp;

/// Most requests that are remembered; the oldest are forgotten first.
pub const MAX_REQUESTS: u64 = 4096;
/// How long a request is remembered, in seconds.
pub const REMEMBERED_SECONDS: i64 = 86_400;

/// A request to do once.
#[derive(Clone)]
pub struct Once {
    /// SHA-256 of its caller, its route and its `Idempotency-Key`.
    pub request: [u8; 32],
    /// SHA-256 of its body.
    pub body: [u8; 32],
    /// 256 fresh random bits, from which its secret keys were derived.
    pub salt: [u8; 32],
}

/// The request was sent before with another body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherBody;

/// What was done when `once` came before; `None` when it did not.
pub(super) fn recall(
    tables: &WriteTables<'_>,
    once: &Once,
    now: Timestamp,
) -> Result<Result<Option<RequestRow>, OtherBody>, Unavailable> {
    let Some(row) = tables.requests.get(once.request.as_slice())? else {
        return Ok(Ok(None));
    };
    Ok(if is_over(&row, now) {
        Ok(None)
    } else if row.body == once.body {
        Ok(Some(row))
    } else {
        Err(OtherBody)
    })
}

/// Remembers what was done, and forgets the oldest where there is no room.
pub(super) fn remember(
    tables: &mut WriteTables<'_>,
    once: &Once,
    row: &RequestRow,
) -> Result<(), Unavailable> {
    if tables.requests.len()? >= MAX_REQUESTS {
        let mut oldest: Option<(i64, Vec<u8>)> = None;
        for entry in tables.requests.iter()? {
            let (key, row) = entry?;
            if oldest.as_ref().is_none_or(|(earliest, _)| row.at < *earliest) {
                oldest = Some((row.at, key));
            }
        }
        if let Some((_, key)) = oldest {
            tables.requests.remove(key.as_slice())?;
        }
    }
    tables.requests.put(once.request.as_slice(), row)
}

impl Store {
    /// Forgets the requests of more than a day ago, and with them the salts
    /// of their keys; tells how many. To be called about once a minute.
    pub async fn forget_requests(&self, now: Timestamp) -> Result<usize, Unavailable> {
        self.write_always(move |tables| {
            let mut old = Vec::new();
            for entry in tables.requests.iter()? {
                let (key, row) = entry?;
                if is_over(&row, now) {
                    old.push(key);
                }
            }
            for key in &old {
                tables.requests.remove(key.as_slice())?;
            }
            Ok(old.len())
        })
        .await
    }
}

fn is_over(row: &RequestRow, now: Timestamp) -> bool {
    now.unix().saturating_sub(row.at) >= REMEMBERED_SECONDS
}
