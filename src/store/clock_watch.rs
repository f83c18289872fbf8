//! What a process knows of the clock: the newest time that was believed, stored
//! over restarts, and what it says of the clock now (see [`crate::domain::clock`]).
//!
//! It is written while the clock is believed, an hour apart at least: what was
//! recorded under a wrong clock must not vouch for it after a restart.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::codec::{AuditRow, Row as _};
use super::error::{Unavailable, unreadable};
use super::tables::{ReadTables, meta};
use crate::domain::Timestamp;
use crate::domain::clock::{BELIEVED_SECONDS, ClockState, ClockTrust};

/// How far the known time goes on before it is written, in seconds.
const STORED_EVERY_SECONDS: u64 = 3600;

/// What a process knows of the clock.
pub(super) struct ClockWatch {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// `None` before the database was asked.
    trust: Option<ClockTrust>,
    /// The time that lies in the database.
    stored: Option<Timestamp>,
    state: Option<ClockState>,
}

/// How the clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReport {
    /// Whether it is believed.
    pub state: ClockState,
    /// The newest time that is.
    pub known: Option<Timestamp>,
}

impl ClockWatch {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with what the database knows, unless that is done.
    pub(super) fn begin(&self, known: Known) {
        let mut inner = self.lock();
        if inner.trust.is_none() {
            inner.trust = Some(ClockTrust::new(known.stored.or(known.newest_entry)));
            inner.stored = known.stored;
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.lock().trust.is_some()
    }

    /// Judges the clock, and says in the log where that has changed.
    pub(super) fn look(&self, now: Timestamp) -> ClockState {
        let mut inner = self.lock();
        let trust = inner.trust.get_or_insert_with(|| ClockTrust::new(None));
        let state = trust.look(now, self.started.elapsed());
        let known = trust.known().unwrap_or(now);
        let before = inner.state.replace(state);
        drop(inner);
        if before != Some(state) {
            match state {
                ClockState::Believed if before.is_none() => {}
                ClockState::Believed => tracing::info!(clock = %now, "the clock is believed again"),
                ClockState::Ahead => tracing::warn!(
                    clock = %now, %known,
                    "the clock is more than a day ahead of the newest time that is known: is it right? \
                     Nothing old is removed by it before it has gone on for 6 hours"
                ),
                ClockState::Behind => tracing::warn!(
                    clock = %now, %known,
                    "the clock is more than a day behind the newest time that is known: is it right?"
                ),
            }
        }
        state
    }

    /// How the clock stood when it was judged last; `None` before that.
    pub(super) fn report(&self) -> Option<ClockReport> {
        let inner = self.lock();
        Some(ClockReport { state: inner.state?, known: inner.trust.as_ref()?.known() })
    }

    /// The time that was to be written was not.
    pub(super) fn not_stored(&self) {
        self.lock().stored = None;
    }

    /// The time to write now, where it is time to.
    pub(super) fn to_store(&self) -> Option<Timestamp> {
        let mut inner = self.lock();
        let known = inner.trust.as_ref()?.known()?;
        if inner.state != Some(ClockState::Believed) {
            return None;
        }
        let far =
            inner.stored.is_none_or(|stored| known.unix().abs_diff(stored.unix()) >= STORED_EVERY_SECONDS);
        far.then(|| *inner.stored.insert(known))
    }
}

/// How old something is that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It may be forgotten.
    Old,
    /// It may not.
    Young,
    /// Its time lies so far ahead that the clock was wrong then: it says
    /// nothing of what was recorded after it.
    WronglyDated,
}

/// Tells the age of what was recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct AgeLimits {
    before: Timestamp,
    /// `None`: any time may be right.
    newest: Option<Timestamp>,
}

impl AgeLimits {
    /// The age of what was recorded at `at`.
    pub(super) fn of(self, at: Timestamp) -> Age {
        if at < self.before {
            Age::Old
        } else if self.newest.is_some_and(|newest| at > newest) {
            Age::WronglyDated
        } else {
            Age::Young
        }
    }
}

impl ClockWatch {
    /// Calls old what was recorded before `before`, and wrongly dated what
    /// lies more than a day ahead of the known time.
    pub(super) fn age(&self, before: Timestamp) -> AgeLimits {
        let known = self.lock().trust.as_ref().and_then(ClockTrust::known);
        AgeLimits { before, newest: known.and_then(|known| known.checked_add_seconds(BELIEVED_SECONDS)) }
    }
}

/// What the database knows of the time.
pub(super) struct Known {
    stored: Option<Timestamp>,
    newest_entry: Option<Timestamp>,
}

impl Known {
    pub(super) fn read(tables: &ReadTables<'_>) -> Result<Self, Unavailable> {
        let stored = tables.meta.value(meta::KNOWN_TIME)?;
        let newest_entry = tables.audit.last()?.map(|(_, row)| row.at()).transpose();
        let newest_entry = newest_entry.map_err(|error| unreadable(AuditRow::TABLE, error))?;
        Ok(Self { stored, newest_entry })
    }
}
