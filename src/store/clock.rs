//! The newest time that was believed, kept over restarts, and what it says of
//! the clock now (see [`crate::domain::clock`]).
//!
//! It is written while the clock is believed, an hour apart at least: what was
//! recorded under a wrong clock must not vouch for it after a restart.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redb::ReadableTable;

use super::codec::{self, AuditRow, Row};
use super::tables::{ReadTables, fixed, meta, unreadable};
use super::{Store, Unavailable};
use crate::domain::Timestamp;
use crate::domain::clock::{ClockState, ClockTrust};

/// How far the known time goes on before it is written, in seconds.
const KEPT_EVERY_SECONDS: u64 = 3600;

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
    kept: Option<Timestamp>,
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
            inner.trust = Some(ClockTrust::new(known.kept.or(known.newest_entry)));
            inner.kept = known.kept;
        }
    }

    fn has_begun(&self) -> bool {
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

    /// The time to write now, where it is time to.
    fn to_keep(&self) -> Option<Timestamp> {
        let mut inner = self.lock();
        let known = inner.trust.as_ref()?.known()?;
        if inner.state != Some(ClockState::Believed) {
            return None;
        }
        let far = inner.kept.is_none_or(|kept| known.unix().abs_diff(kept.unix()) >= KEPT_EVERY_SECONDS);
        far.then(|| *inner.kept.insert(known))
    }
}

/// What the database knows of the time.
pub(super) struct Known {
    kept: Option<Timestamp>,
    newest_entry: Option<Timestamp>,
}

impl Known {
    pub(super) fn read(tables: &ReadTables) -> Result<Self, Unavailable> {
        let out_of_bounds = || unreadable(meta::KNOWN_TIME, "out of bounds");
        let kept = match tables.meta.get(meta::KNOWN_TIME)? {
            Some(bytes) => {
                let seconds = i64::from_le_bytes(fixed(meta::KNOWN_TIME, bytes.value())?);
                Some(Timestamp::from_unix(seconds).ok_or_else(out_of_bounds)?)
            }
            None => None,
        };
        let newest_entry = match tables.audit.last()? {
            Some((id, row)) => {
                let id = id.value();
                let entry = codec::decode::<AuditRow>(row.value()).and_then(|row| row.into_entry(id));
                Some(entry.map_err(|error| unreadable(AuditRow::TABLE, error))?.at)
            }
            None => None,
        };
        Ok(Self { kept, newest_entry })
    }
}

impl Store {
    /// Judges the clock by `now`, its reading. To be called before anything
    /// is recorded by it, and about once a minute.
    pub async fn look_at_clock(&self, now: Timestamp) -> Result<ClockState, Unavailable> {
        if !self.clock.has_begun() {
            self.clock.begin(self.read(Known::read).await?);
        }
        let state = self.clock.look(now);
        if let Some(known) = self.clock.to_keep() {
            self.write_always(move |tables| {
                tables.meta.insert(meta::KNOWN_TIME, known.unix().to_le_bytes().as_slice())?;
                // No change that a backup should follow.
                tables.touched = true;
                Ok(())
            })
            .await
            .inspect_err(|_| self.clock.lock().kept = None)?;
        }
        Ok(state)
    }

    /// How the clock stood when it was judged last; `None` before that.
    pub fn clock(&self) -> Option<ClockReport> {
        let inner = self.clock.lock();
        Some(ClockReport { state: inner.state?, known: inner.trust.as_ref()?.known() })
    }
}
