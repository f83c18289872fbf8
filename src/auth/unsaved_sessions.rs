//! Logins that the database could not take. Whoever looks after a full disk
//! has to get in; such a login ends with the process, or with its time.

use parking_lot::Mutex;

use crate::domain::{AdminId, Session, SessionId, Timestamp};

/// Most that are held; the oldest ends when one more begins.
const MOST: usize = 64;

/// Logins that are in no database.
#[derive(Debug, Default)]
pub struct UnsavedSessions(Mutex<Vec<Session>>);

impl UnsavedSessions {
    /// Holds `session`.
    pub fn hold(&self, session: Session, now: Timestamp) {
        let mut held = self.0.lock();
        held.retain(|held| !held.is_over(now));
        if held.len() >= MOST {
            held.remove(0);
        }
        held.push(session);
    }

    /// The session of this admin and id.
    pub fn get(&self, admin: AdminId, id: SessionId) -> Option<Session> {
        self.0.lock().iter().find(|held| held.admin == admin && held.id == id).cloned()
    }

    /// Ends the session `id` of an admin, or all of them (`None`).
    pub fn end(&self, admin: AdminId, id: Option<SessionId>) {
        self.0.lock().retain(|held| held.admin != admin || id.is_some_and(|id| held.id != id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Means, SessionKind};

    #[test]
    fn what_no_database_took_is_held_until_its_end_and_bounded() {
        let at = |seconds| Timestamp::from_unix(seconds).unwrap();
        let session = |id, end| Session {
            id: SessionId(id),
            admin: 1,
            kind: SessionKind::Token,
            created_at: at(0),
            expires_at: at(end),
            ip: [127, 0, 0, 1].into(),
            means: Means::Password,
            second_factor_at: None,
        };
        let held = UnsavedSessions::default();
        held.hold(session(0, 10), at(0));
        for id in 1..=64 {
            held.hold(session(id, 900), at(10));
        }
        assert_eq!((held.get(1, SessionId(0)), held.get(2, SessionId(1))), (None, None));
        assert!(held.get(1, SessionId(1)).is_some());
        held.hold(session(65, 900), at(10));
        assert_eq!(held.get(1, SessionId(1)), None, "the oldest went");
        held.end(1, Some(SessionId(2)));
        assert!(held.get(1, SessionId(2)).is_none() && held.get(1, SessionId(3)).is_some());
        held.end(1, None);
        assert_eq!(held.get(1, SessionId(3)), None);
    }
}
