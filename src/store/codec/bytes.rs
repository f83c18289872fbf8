//! A record as bytes, and back.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::error::{Unavailable, unreadable};
use crate::domain::Timestamp;
use crate::domain::text::Stored;

/// No record is larger; a length in damaged bytes must not make us allocate
/// more.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// Why bytes are no record. The reason is for the log.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum DecodeError {
    #[error("record version {found} is newer than {supported}, the newest that this build reads")]
    Newer { found: u8, supported: u8 },
    #[error("the record is empty")]
    Empty,
    #[error("the record is malformed")]
    Malformed,
    #[error("the field {0} is out of bounds")]
    Field(&'static str),
}

/// A record type with its table and version.
pub(in crate::store) trait Row: Serialize + DeserializeOwned {
    /// The table it lies in, for error messages.
    const TABLE: &'static str;
    /// The version that [`encode`] writes, and whose fields the type has.
    const VERSION: u8 = 1;

    /// Makes a record of today of the `body` of an older `version`, which is
    /// 1 or more: with [`body_of`], of the struct that that version had.
    fn upgrade(version: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let _ = (version, body);
        Err(DecodeError::Malformed)
    }
}

/// The bytes of a record.
pub(in crate::store) fn encode<R: Row>(row: &R) -> Result<Vec<u8>, Unavailable> {
    // A byte in front of the body, in one go.
    bincode::serde::encode_to_vec((R::VERSION, row), configuration())
        .map_err(|error| unreadable(R::TABLE, error))
}

/// The record of these bytes.
pub(in crate::store) fn decode<R: Row>(bytes: &[u8]) -> Result<R, DecodeError> {
    let (&version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    match version {
        0 => Err(DecodeError::Malformed),
        _ if version > R::VERSION => Err(DecodeError::Newer { found: version, supported: R::VERSION }),
        _ if version == R::VERSION => body_of(body),
        _ => R::upgrade(version, body),
    }
}

/// The record of these bytes as another struct of its fields, such as one whose
/// texts stay where they lie. It must be written in today's version.
pub(super) fn borrow<'a, R: Row, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (&version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    match version {
        _ if version > R::VERSION => Err(DecodeError::Newer { found: version, supported: R::VERSION }),
        _ if version == R::VERSION => borrow_body(body),
        _ => Err(DecodeError::Malformed),
    }
}

/// As [`body_of`], of a struct that borrows.
pub(super) fn borrow_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    match bincode::serde::borrow_decode_from_slice(body, configuration()) {
        Ok((row, used)) if used == body.len() => Ok(row),
        _ => Err(DecodeError::Malformed),
    }
}

/// What follows the version byte, as a struct of that version.
pub(in crate::store) fn body_of<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    match bincode::serde::decode_from_slice(body, configuration()) {
        Ok((row, used)) if used == body.len() => Ok(row),
        _ => Err(DecodeError::Malformed),
    }
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_RECORD_BYTES>()
}

pub(super) fn text<T: Stored>(field: &'static str, text: &str) -> Result<T, DecodeError> {
    T::from_stored(text).map_err(|_| DecodeError::Field(field))
}

pub(super) fn time(field: &'static str, seconds: i64) -> Result<Timestamp, DecodeError> {
    Timestamp::from_unix(seconds).ok_or(DecodeError::Field(field))
}
