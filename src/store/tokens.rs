//! Tokens for programs: found by the hash of their text, so that a request
//! costs the same however many there are.
//!
//! The day of a token's last use lies in a table of its own, and is written
//! once a day, beside the request and not in it: a read stays a read. Copies
//! hold tokens like all else. A restored server knows its programs, and of
//! their tokens only hashes of 190 random bits were ever in the file.

use super::codec::{AdminRow, Row as _, TokenRow};
use super::error::{Outcome, Unavailable, unreadable};
use super::handle::Store;
use super::tables::{Tables, Transaction, WriteTables, meta};
use super::trail;
use crate::domain::api_token::MAX_TOKENS;
use crate::domain::audit::token_changes;
use crate::domain::{
    Action, Actor, Admin, AdminId, ApiToken, NewAuditEntry, NewToken, Timestamp, TokenHash, UtcDay,
};

/// Why a token was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenNotMade {
    /// The admin whose it would be has been deleted.
    NoSuchAdmin,
    /// The admin has one of this name.
    NameTaken,
    /// The admin has [`MAX_TOKENS`].
    TooMany,
}

/// There is no token of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchToken;

impl Store {
    /// The token whose text has this hash and the admin whose it is, or
    /// `None`. It need not count any more: [`ApiToken::check`].
    pub async fn token(&self, hash: TokenHash) -> Result<Option<(ApiToken, Admin)>, Unavailable> {
        self.read(move |tables| {
            let Some(id) = tables.token_hashes.get(hash.0.as_slice())? else {
                return Ok(None);
            };
            let Some(row) = tables.tokens.get(id)? else {
                return Ok(None);
            };
            with_admin(tables, id, row)
        })
        .await
    }

    /// All tokens with their admins, those that have expired too, in the order
    /// of their numbers.
    pub async fn list_tokens(&self) -> Result<Vec<(ApiToken, Admin)>, Unavailable> {
        self.read(|tables| {
            let mut tokens = Vec::new();
            for entry in tables.tokens.iter()? {
                let (id, row) = entry?;
                tokens.extend(with_admin(tables, id, row)?);
            }
            Ok(tokens)
        })
        .await
    }

    /// Makes a token of this admin, whose text has this hash.
    pub async fn create_token(
        &self,
        admin: AdminId,
        hash: TokenHash,
        new: NewToken,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<ApiToken, TokenNotMade> {
        self.write(move |tables| {
            let Some(owner) = tables.admins.get(admin)? else {
                return Ok(Err(TokenNotMade::NoSuchAdmin));
            };
            let owner = admin_of(admin, owner)?;
            let mut count = 0;
            for entry in tables.tokens.iter()? {
                let (_, other) = entry?;
                if other.admin == admin {
                    count += 1;
                    if other.name == new.name.as_str() {
                        return Ok(Err(TokenNotMade::NameTaken));
                    }
                }
            }
            if count >= MAX_TOKENS {
                return Ok(Err(TokenNotMade::TooMany));
            }
            let id = tables.next_number(meta::NEXT_TOKEN)?;
            let row = TokenRow::of_new(admin, hash, &new, now);
            tables.tokens.put(id, &row)?;
            tables.token_hashes.put(hash.0.as_slice(), &id)?;
            let token = token_of(id, row, None)?;
            note(tables, &by, Action::TokenCreated, &token, &owner, now)?;
            Ok(Ok(token))
        })
        .await
    }

    /// Ends a token with this commit.
    pub async fn end_token(&self, id: u64, by: Actor, now: Timestamp) -> Outcome<(), NoSuchToken> {
        self.write(move |tables| {
            let Some(row) = tables.tokens.get(id)? else {
                return Ok(Err(NoSuchToken));
            };
            let hash = row.hash;
            let ended = with_admin(tables, id, row)?;
            remove(tables, id, &hash)?;
            if let Some((token, owner)) = ended {
                note(tables, &by, Action::TokenEnded, &token, &owner, now)?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Notes that a token was used on this day. Writes nothing where that is
    /// known, or the token has ended.
    pub async fn note_token_use(&self, id: u64, day: UtcDay) -> Result<(), Unavailable> {
        self.write_always(move |tables| {
            if tables.tokens.has(id)? && tables.token_uses.get(id)? != Some(day.number()) {
                tables.token_uses.put(id, &day.number())?;
            }
            Ok(())
        })
        .await
    }
}

/// Ends all tokens of an admin who is deleted.
pub(super) fn remove_all_of(tables: &mut WriteTables<'_>, admin: AdminId) -> Result<(), Unavailable> {
    let mut theirs = Vec::new();
    for entry in tables.tokens.iter()? {
        let (id, row) = entry?;
        if row.admin == admin {
            theirs.push((id, row.hash));
        }
    }
    theirs.into_iter().try_for_each(|(id, hash)| remove(tables, id, &hash))
}

fn remove(tables: &mut WriteTables<'_>, id: u64, hash: &[u8; 32]) -> Result<(), Unavailable> {
    tables.tokens.remove(id)?;
    tables.token_hashes.remove(hash.as_slice())?;
    tables.token_uses.remove(id)
}

/// The token of this row and its admin; `None` where the admin is gone, and
/// the token with them.
fn with_admin(
    tables: &Tables<'_, impl Transaction>,
    id: u64,
    row: TokenRow,
) -> Result<Option<(ApiToken, Admin)>, Unavailable> {
    let Some(admin) = tables.admins.get(row.admin)? else {
        return Ok(None);
    };
    let admin = admin_of(row.admin, admin)?;
    Ok(Some((token_of(id, row, tables.token_uses.get(id)?)?, admin)))
}

fn token_of(id: u64, row: TokenRow, used: Option<u64>) -> Result<ApiToken, Unavailable> {
    row.into_token(id, used).map_err(|error| unreadable(TokenRow::TABLE, error))
}

fn admin_of(id: AdminId, row: AdminRow) -> Result<Admin, Unavailable> {
    row.into_admin(id).map_err(|error| unreadable(AdminRow::TABLE, error))
}

/// Leaves an entry on a token in the audit trail.
fn note(
    tables: &mut WriteTables<'_>,
    by: &Actor,
    action: Action,
    token: &ApiToken,
    owner: &Admin,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let admin = Some(owner.username.as_str().to_owned());
    let changes = token_changes(token, action == Action::TokenEnded);
    trail::append(tables, NewAuditEntry { admin, changes, ..NewAuditEntry::of(action, by, now) })
}
