//! The record of an admin.

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, text, time};
use crate::domain::{Admin, TokenEpoch};

/// An admin. The number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct AdminRow {
    pub(super) username: String,
    pub(super) password_hash: String,
    pub(super) token_epoch: u64,
    pub(super) created_at: i64,
}

impl AdminRow {
    pub(in crate::store) fn from_admin(admin: &Admin) -> Self {
        Self {
            username: admin.username.as_str().to_owned(),
            password_hash: admin.password_hash.clone(),
            token_epoch: admin.token_epoch.0,
            created_at: admin.created_at.unix(),
        }
    }

    pub(in crate::store) fn into_admin(self, id: u64) -> Result<Admin, DecodeError> {
        Ok(Admin {
            id,
            username: text("username", &self.username)?,
            password_hash: self.password_hash,
            token_epoch: TokenEpoch(self.token_epoch),
            created_at: time("created_at", self.created_at)?,
        })
    }
}
