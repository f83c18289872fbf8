//! Admins: names, password hashes, and what makes their tokens void.

use redb::{ReadableTable, ReadableTableMetadata};

use super::codec::{self, AdminRow, Row};
use super::tables::{meta, unreadable};
use super::{Store, Unavailable};
use crate::domain::{Admin, AdminId, Timestamp, Username};

impl Store {
    /// The admin with this number, or `None`.
    pub async fn admin(&self, id: AdminId) -> Result<Option<Admin>, Unavailable> {
        self.read(move |tables| load(&tables.admins, id)).await
    }

    /// The admin of this name, without regard to case, or `None`.
    pub async fn admin_named(&self, username: Username) -> Result<Option<Admin>, Unavailable> {
        self.read(move |tables| match tables.admin_names.get(username.folded().as_str())? {
            Some(id) => load(&tables.admins, id.value()),
            None => Ok(None),
        })
        .await
    }

    /// Whether there is any admin.
    pub async fn has_admin(&self) -> Result<bool, Unavailable> {
        self.read(|tables| Ok(!tables.admins.is_empty()?)).await
    }

    /// Creates the first admin; `false`, and no change, when there is one
    /// already.
    pub async fn create_first_admin(
        &self,
        username: Username,
        password_hash: String,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        self.write_always(move |tables| {
            if !tables.admins.is_empty()? {
                return Ok(false);
            }
            let id = tables.next_number(meta::NEXT_ADMIN)?;
            let admin = Admin {
                id,
                username: username.clone(),
                password_hash: password_hash.clone(),
                token_epoch: 1,
                created_at: now,
            };
            tables.admins.insert(id, codec::encode(&AdminRow::from_admin(&admin))?.as_slice())?;
            tables.admin_names.insert(username.folded().as_str(), id)?;
            Ok(true)
        })
        .await
    }
}

fn load(admins: &impl ReadableTable<u64, &'static [u8]>, id: AdminId) -> Result<Option<Admin>, Unavailable> {
    let Some(row) = admins.get(id)? else {
        return Ok(None);
    };
    codec::decode::<AdminRow>(row.value())
        .and_then(|row| row.into_admin(id))
        .map(Some)
        .map_err(|error| unreadable(AdminRow::TABLE, error))
}
