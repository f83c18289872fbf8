//! The record of a request that was done once, and of what it did.

use serde::{Deserialize, Serialize};

use super::bytes::DecodeError;
use crate::domain::SiteId;
use crate::domain::operation::{Effect, Refused};

/// A request that was done once (see [`crate::store::requests`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct RequestRow {
    pub(in crate::store) at: i64,
    pub(in crate::store) body: [u8; 32],
    pub(in crate::store) salt: [u8; 32],
    pub(in crate::store) effects: Vec<EffectRow>,
}

/// What became of one operation of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct EffectRow {
    pub(super) what: u8,
    pub(super) site_id: u128,
}

impl EffectRow {
    const REGISTERED: u8 = 1;
    const CHANGED: u8 = 2;
    const DELETED: u8 = 3;
    const NOT_FOUND: u8 = 4;
    const TOO_FAR_AHEAD: u8 = 5;
    const STALE: u8 = 6;
    const ALREADY_LOCKED: u8 = 7;
    const LOCK_ENDS_TOO_EARLY: u8 = 8;
    const TOO_MANY_TAGS: u8 = 20;
    /// Not an effect on one site, but how many were matched and how many
    /// changed.
    const COUNTED: u8 = 21;

    pub(in crate::store) fn done(effect: Effect, site_id: SiteId) -> Self {
        let what = match effect {
            Effect::Registered => Self::REGISTERED,
            Effect::Changed => Self::CHANGED,
            Effect::Deleted => Self::DELETED,
        };
        Self { what, site_id: site_id.as_u128() }
    }

    pub(in crate::store) fn refused(refusal: Refused) -> Self {
        let what = match refusal {
            Refused::NotFound => Self::NOT_FOUND,
            Refused::TooFarAhead => Self::TOO_FAR_AHEAD,
            Refused::Stale => Self::STALE,
            Refused::AlreadyLocked => Self::ALREADY_LOCKED,
            Refused::LockEndsTooEarly => Self::LOCK_ENDS_TOO_EARLY,
            Refused::TooManyTags => Self::TOO_MANY_TAGS,
        };
        Self { what, site_id: 0 }
    }

    /// What a change of many sites came to.
    pub(in crate::store) fn counted(matched: u64, changed: u64) -> Self {
        Self { what: Self::COUNTED, site_id: u128::from(matched) << 64 | u128::from(changed) }
    }

    /// How many sites were matched, and how many changed.
    pub(in crate::store) fn read_counts(&self) -> Result<(u64, u64), DecodeError> {
        let part = |part: u128| u64::try_from(part).map_err(|_| DecodeError::Field("site_id"));
        match self.what {
            Self::COUNTED => Ok((part(self.site_id >> 64)?, part(self.site_id & u128::from(u64::MAX))?)),
            _ => Err(DecodeError::Field("what")),
        }
    }

    pub(in crate::store) fn read(&self) -> Result<Result<(Effect, SiteId), Refused>, DecodeError> {
        let done = |effect| Ok(Ok((effect, SiteId::from_u128(self.site_id))));
        match self.what {
            Self::REGISTERED => done(Effect::Registered),
            Self::CHANGED => done(Effect::Changed),
            Self::DELETED => done(Effect::Deleted),
            Self::NOT_FOUND => Ok(Err(Refused::NotFound)),
            Self::TOO_FAR_AHEAD => Ok(Err(Refused::TooFarAhead)),
            Self::STALE => Ok(Err(Refused::Stale)),
            Self::ALREADY_LOCKED => Ok(Err(Refused::AlreadyLocked)),
            Self::LOCK_ENDS_TOO_EARLY => Ok(Err(Refused::LockEndsTooEarly)),
            Self::TOO_MANY_TAGS => Ok(Err(Refused::TooManyTags)),
            _ => Err(DecodeError::Field("what")),
        }
    }
}
