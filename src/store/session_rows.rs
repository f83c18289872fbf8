//! Open logins inside a transaction, for the use cases that open and end them.

use super::codec::{Row as _, SessionRow};
use super::error::{Unavailable, unreadable};
use super::tables::{Tables, Transaction, WriteTables};
use super::trail;
use crate::domain::session::MAX_SESSIONS;
use crate::domain::{Action, Actor, AdminId, NewAuditEntry, Session, SessionId, Timestamp};

/// Opens a session, in the place of those of its admin that are over, and of
/// the oldest where there are too many.
pub(super) fn open(
    tables: &mut WriteTables<'_>,
    session: &Session,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let mut others = of_admin(tables, session.admin)?;
    others.sort_by_key(|other| (!other.is_over(now), other.created_at));
    let over = others.iter().filter(|other| other.is_over(now)).count();
    let gone = over.max((others.len() + 1).saturating_sub(MAX_SESSIONS));
    for other in others.iter().take(gone) {
        tables.sessions.remove(SessionRow::key(other.admin, other.id))?;
    }
    put(tables, session)
}

/// Puts a session in the place of the one of its id.
pub(super) fn put(tables: &mut WriteTables<'_>, session: &Session) -> Result<(), Unavailable> {
    tables.sessions.put(SessionRow::key(session.admin, session.id), &SessionRow::from_session(session))
}

/// Removes all sessions of an admin but `kept`.
pub(super) fn remove_all(
    tables: &mut WriteTables<'_>,
    admin: AdminId,
    kept: Option<SessionId>,
) -> Result<(), Unavailable> {
    for session in of_admin(tables, admin)? {
        if Some(session.id) != kept {
            tables.sessions.remove(SessionRow::key(admin, session.id))?;
        }
    }
    Ok(())
}

/// The session of an admin with this id, over or not.
pub(super) fn load(
    tables: &Tables<'_, impl Transaction>,
    admin: AdminId,
    id: SessionId,
) -> Result<Option<Session>, Unavailable> {
    let key = SessionRow::key(admin, id);
    tables.sessions.get(key)?.map(|row| of_row(key, row)).transpose()
}

/// The sessions of an admin, over or not.
pub(super) fn of_admin(
    tables: &Tables<'_, impl Transaction>,
    admin: AdminId,
) -> Result<Vec<Session>, Unavailable> {
    let range = SessionRow::key(admin, SessionId(0))..=SessionRow::key(admin, SessionId(u64::MAX));
    tables.sessions.between(range)?.map(|entry| entry.and_then(|(key, row)| of_row(key, row))).collect()
}

/// The session of a row.
pub(super) fn of_row(key: u128, row: SessionRow) -> Result<Session, Unavailable> {
    row.into_session(key).map_err(|error| unreadable(SessionRow::TABLE, error))
}

/// Leaves an entry on an admin in the audit trail.
pub(super) fn note(
    tables: &mut WriteTables<'_>,
    action: Action,
    by: &Actor,
    admin: &str,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let admin = Some(admin.to_owned());
    trail::append(tables, NewAuditEntry { admin, ..NewAuditEntry::of(action, by, now) })
}
