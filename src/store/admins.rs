//! Admins: names, password hashes, and what makes their tokens void.

use super::codec::{AdminRow, Row as _};
use super::error::{Outcome, Unavailable, unreadable};
use super::handle::Store;
use super::tables::{Tables, Transaction, WriteTables, meta};
use super::{session_rows, tokens, trail};
use crate::domain::{Action, Actor, Admin, AdminId, NewAuditEntry, Timestamp, TokenEpoch, Username};

impl Store {
    /// The admin with this number, or `None`.
    pub async fn admin(&self, id: AdminId) -> Result<Option<Admin>, Unavailable> {
        self.read(move |tables| load(tables, id)).await
    }

    /// The admin of this name, without regard to case, or `None`.
    pub async fn admin_named(&self, username: Username) -> Result<Option<Admin>, Unavailable> {
        self.read(move |tables| named(tables, &username)).await
    }

    /// Whether there is any admin.
    pub async fn has_admin(&self) -> Result<bool, Unavailable> {
        self.read(|tables| Ok(!tables.admins.is_empty()?)).await
    }

    /// All admins, in the order of their numbers.
    pub async fn list_admins(&self) -> Result<Vec<Admin>, Unavailable> {
        self.read(|tables| {
            tables.admins.iter()?.map(|entry| entry.and_then(|(id, row)| of_row(id, row))).collect()
        })
        .await
    }

    /// Creates the first admin; `false`, and no change, when there is one
    /// already. No entry in the audit trail: nobody did it.
    pub async fn create_first_admin(
        &self,
        username: Username,
        password_hash: String,
        epoch: TokenEpoch,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        self.write_always(move |tables| {
            if !tables.admins.is_empty()? {
                return Ok(false);
            }
            insert(tables, &username, &password_hash, epoch, now)?;
            Ok(true)
        })
        .await
    }

    /// Creates an admin, whose tokens carry `epoch`.
    pub async fn create_admin(
        &self,
        username: Username,
        password_hash: String,
        epoch: TokenEpoch,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Admin, CreateRefused> {
        self.write(move |tables| {
            if tables.admin_names.has(&username.folded())? {
                return Ok(Err(CreateRefused::NameTaken));
            }
            let admin = insert(tables, &username, &password_hash, epoch, now)?;
            note(tables, &by, Action::AdminCreated, &admin, now)?;
            Ok(Ok(admin))
        })
        .await
    }

    /// Changes an admin's password, and ends all tokens of that admin with
    /// this commit: the next ones carry `epoch`.
    pub async fn change_password(
        &self,
        username: Username,
        password_hash: String,
        epoch: TokenEpoch,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Admin, NoSuchAdmin> {
        self.write(move |tables| {
            let Some(mut admin) = named(tables, &username)? else {
                return Ok(Err(NoSuchAdmin));
            };
            admin.password_hash.clone_from(&password_hash);
            admin.token_epoch = epoch;
            put(tables, &admin)?;
            session_rows::remove_all(tables, admin.id, None)?;
            note(tables, &by, Action::AdminPasswordChanged, &admin, now)?;
            Ok(Ok(admin))
        })
        .await
    }

    /// Ends all tokens of an admin that carry `known`: the next ones carry
    /// `epoch`. No entry in the audit trail: nobody did it.
    pub async fn renew_token_epoch(
        &self,
        id: AdminId,
        known: TokenEpoch,
        epoch: TokenEpoch,
    ) -> Result<(), Unavailable> {
        self.write_always(move |tables| match load(tables, id)? {
            Some(admin) if admin.token_epoch == known => put(tables, &Admin { token_epoch: epoch, ..admin }),
            _ => Ok(()),
        })
        .await
    }

    /// Deletes an admin, and ends all tokens of that admin, those for programs
    /// too, with this commit.
    pub async fn delete_admin(
        &self,
        username: Username,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<(), DeleteRefused> {
        self.write(move |tables| {
            let Some(admin) = named(tables, &username)? else {
                return Ok(Err(DeleteRefused::NotFound));
            };
            if tables.admins.len()? == 1 {
                return Ok(Err(DeleteRefused::LastAdmin));
            }
            tables.admins.remove(admin.id)?;
            tables.second_factors.remove(admin.id)?;
            session_rows::remove_all(tables, admin.id, None)?;
            tables.admin_names.remove(&username.folded())?;
            tokens::remove_all_of(tables, admin.id)?;
            note(tables, &by, Action::AdminDeleted, &admin, now)?;
            Ok(Ok(()))
        })
        .await
    }
}

/// Why an admin was not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateRefused {
    /// There is one of that name, but for case.
    NameTaken,
}

/// There is no admin of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchAdmin;

/// Why an admin was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteRefused {
    /// There is no admin of that name.
    NotFound,
    /// It is the last one: nobody could log in any more.
    LastAdmin,
}

fn insert(
    tables: &mut WriteTables<'_>,
    username: &Username,
    password_hash: &str,
    token_epoch: TokenEpoch,
    now: Timestamp,
) -> Result<Admin, Unavailable> {
    let admin = Admin {
        id: tables.next_number(meta::NEXT_ADMIN)?,
        username: username.clone(),
        password_hash: password_hash.to_owned(),
        token_epoch,
        created_at: now,
    };
    put(tables, &admin)?;
    tables.admin_names.put(&username.folded(), &admin.id)?;
    Ok(admin)
}

fn put(tables: &mut WriteTables<'_>, admin: &Admin) -> Result<(), Unavailable> {
    tables.admins.put(admin.id, &AdminRow::from_admin(admin))
}

pub(super) fn named(
    tables: &Tables<'_, impl Transaction>,
    username: &Username,
) -> Result<Option<Admin>, Unavailable> {
    match tables.admin_names.get(&username.folded())? {
        Some(id) => load(tables, id),
        None => Ok(None),
    }
}

pub(super) fn load(tables: &Tables<'_, impl Transaction>, id: AdminId) -> Result<Option<Admin>, Unavailable> {
    tables.admins.get(id)?.map(|row| of_row(id, row)).transpose()
}

fn of_row(id: AdminId, row: AdminRow) -> Result<Admin, Unavailable> {
    row.into_admin(id).map_err(|error| unreadable(AdminRow::TABLE, error))
}

/// Leaves an entry on an admin in the audit trail.
fn note(
    tables: &mut WriteTables<'_>,
    by: &Actor,
    action: Action,
    admin: &Admin,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let admin = Some(admin.username.as_str().to_owned());
    trail::append(tables, NewAuditEntry { admin, ..NewAuditEntry::of(action, by, now) })
}
