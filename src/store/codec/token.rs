//! The record of a token for programs. Scopes are numbers, listed below; they
//! are never used again for something else.

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, text, time};
use crate::domain::{AdminId, ApiToken, NewToken, Scope, Timestamp, TokenHash, TokenNetworks, UtcDay};

/// A token for programs. The number is the key of its table; the day of its
/// last use lies in a table of its own, so that a use rewrites some bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct TokenRow {
    pub(in crate::store) admin: u64,
    pub(in crate::store) name: String,
    pub(in crate::store) hash: [u8; 32],
    pub(super) scope: u8,
    pub(super) created_at: i64,
    pub(super) expires_at: i64,
    pub(super) networks: Vec<String>,
}

const fn scope_number(scope: Scope) -> u8 {
    match scope {
        Scope::Read => 1,
        Scope::Operate => 2,
        Scope::Backup => 3,
        Scope::Admin => 4,
    }
}

fn scope_of(number: u8) -> Option<Scope> {
    Scope::ALL.into_iter().find(|scope| scope_number(*scope) == number)
}

impl TokenRow {
    /// The row of a token of this admin, made at `now`.
    pub(in crate::store) fn of_new(admin: AdminId, hash: TokenHash, new: &NewToken, now: Timestamp) -> Self {
        Self {
            admin,
            name: new.name.as_str().to_owned(),
            hash: hash.0,
            scope: scope_number(new.scope),
            created_at: now.unix(),
            expires_at: new.expires_at.unix(),
            networks: new.networks.iter().map(ToString::to_string).collect(),
        }
    }

    /// The token; `used` is the number of the day of its last use.
    pub(in crate::store) fn into_token(self, id: u64, used: Option<u64>) -> Result<ApiToken, DecodeError> {
        Ok(ApiToken {
            id,
            admin: self.admin,
            name: text("name", &self.name)?,
            scope: scope_of(self.scope).ok_or(DecodeError::Field("scope"))?,
            created_at: time("created_at", self.created_at)?,
            expires_at: time("expires_at", self.expires_at)?,
            networks: TokenNetworks::of(&self.networks).map_err(|_| DecodeError::Field("networks"))?,
            last_used_on: used.and_then(UtcDay::numbered),
        })
    }
}
