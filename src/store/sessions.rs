//! Open logins. Not in copies: the tokens of a restored server have ended
//! anyway, since its signing key is a new one.

use super::admins;
use super::codec::SessionRow;
use super::error::{Outcome, Unavailable};
use super::handle::Store;
use super::session_rows::{load, note, of_admin, of_row};
use crate::domain::{Action, Actor, Admin, AdminId, Session, SessionId, Timestamp, Username};

/// There is no such session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchSession;

impl Store {
    /// The admin of this number, with the session `id` where it is open.
    pub async fn admin_with_session(
        &self,
        admin: AdminId,
        id: SessionId,
    ) -> Result<Option<(Admin, Option<Session>)>, Unavailable> {
        self.read(move |tables| match admins::load(tables, admin)? {
            Some(admin) => {
                let session = load(tables, admin.id, id)?;
                Ok(Some((admin, session)))
            }
            None => Ok(None),
        })
        .await
    }

    /// The open sessions of an admin at `now`, newest first.
    pub async fn sessions(&self, admin: AdminId, now: Timestamp) -> Result<Vec<Session>, Unavailable> {
        self.read(move |tables| {
            let mut open = of_admin(tables, admin)?;
            open.retain(|session| !session.is_over(now));
            open.sort_by_key(|session| std::cmp::Reverse(session.created_at));
            Ok(open)
        })
        .await
    }

    /// Ends a session because whoever has its token logs out.
    pub async fn log_out(
        &self,
        admin: AdminId,
        id: SessionId,
        by: Actor,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        self.write_always(move |tables| {
            tables.sessions.remove(SessionRow::key(admin, id))?;
            note(tables, Action::LoggedOut, &by, &by.name, now)
        })
        .await
    }

    /// Ends the session `id` of an admin, or all of them (`None`); tells how
    /// many were open.
    pub async fn end_sessions(
        &self,
        username: Username,
        id: Option<SessionId>,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<usize, NoSuchSession> {
        self.write(move |tables| {
            let Some(admin) = admins::named(tables, &username)? else {
                return Ok(Err(NoSuchSession));
            };
            let mut open = of_admin(tables, admin.id)?;
            open.retain(|session| !session.is_over(now) && id.is_none_or(|id| session.id == id));
            if open.is_empty() && id.is_some() {
                return Ok(Err(NoSuchSession));
            }
            for session in &open {
                tables.sessions.remove(SessionRow::key(admin.id, session.id))?;
            }
            if !open.is_empty() {
                note(tables, Action::SessionsEnded, &by, admin.username.as_str(), now)?;
            }
            Ok(Ok(open.len()))
        })
        .await
    }

    /// Forgets the sessions that are over; tells how many. To be called about
    /// once a minute.
    pub async fn forget_sessions(&self, now: Timestamp) -> Result<usize, Unavailable> {
        self.write_always(move |tables| {
            let mut over = Vec::new();
            for entry in tables.sessions.iter()? {
                let (key, row) = entry?;
                if of_row(key, row)?.is_over(now) {
                    over.push(key);
                }
            }
            for key in &over {
                tables.sessions.remove(*key)?;
            }
            Ok(over.len())
        })
        .await
    }
}
