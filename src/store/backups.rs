//! The file that is always safe to copy, and its dated copies.
//!
//! One thread makes a snapshot (see [`super::snapshot`]) soon after a change
//! by an admin, and at most some minutes after a heartbeat; when nothing
//! changed it does nothing. The new one takes the place of the old with a
//! rename, so that whoever copies the file gets the whole of one or of the
//! other. The first of each day (UTC) also gets a dated name; old ones go
//! only after a newer one has proved good, and not by a clock that may be
//! wrong. One that fails, by a panic too, is told of and tried again; the one
//! before stays.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::changes::{Changed, Changes};
use super::clock_watch::ClockWatch;
use super::engine::Engine;
use super::files::{self, FILE_NAME};
use super::snapshot::{self, SnapshotError};
use crate::domain::Timestamp;

pub use super::files::DIRECTORY;

/// A snapshot that is being written.
const PART_NAME: &str = ".sitewarden.redb.part";
/// What the names of dated copies begin and end with; the day stands between.
const DATED: (&str, &str) = ("sitewarden-", ".redb");
/// How long to wait after a failure, at most.
const RETRY: Duration = Duration::from_secs(60);
/// After a snapshot the thread rests for so many times as long as it took, so
/// that snapshots never take more than a sixth of the machine's time.
const REST: u32 = 5;

/// When snapshots are made, and what is kept of them.
#[derive(Clone)]
pub struct Schedule {
    /// The directory; made when missing.
    pub directory: PathBuf,
    /// How long after an admin's change, so that several share a snapshot.
    pub after_change: Duration,
    /// How long after a heartbeat, at most.
    pub every: Duration,
    /// How many dated copies are kept; 0: none are made, and none removed.
    pub keep_daily: usize,
    /// The clock that dates them.
    pub clock: fn() -> Timestamp,
}

/// How the last snapshots went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupState {
    /// When the newest snapshot was begun: what it holds is that old.
    pub last_success_at: Option<Timestamp>,
    /// Its size.
    pub bytes: u64,
    /// How long it took.
    pub milliseconds: u64,
    /// Why the last attempt failed; `None` when it did not.
    pub last_error: Option<String>,
    /// For how long the oldest change that no snapshot holds has waited;
    /// `None` when the newest holds all, or one is being made.
    pub waiting: Option<Duration>,
}

/// The thread that makes the snapshots.
pub(super) struct Backups {
    changes: Arc<Changes>,
    state: Arc<Mutex<BackupState>>,
    thread: Option<JoinHandle<()>>,
}

impl Backups {
    /// Starts the thread. The first snapshot comes soon: what was written
    /// last before a crash may not be in the one that there is.
    pub(super) fn start(
        engine: Arc<Engine>,
        changes: Arc<Changes>,
        clock: Arc<ClockWatch>,
        schedule: Schedule,
    ) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&schedule.directory)?;
        let path = schedule.directory.join(FILE_NAME);
        files::remove_if_there(&schedule.directory.join(PART_NAME))?;
        let state = Arc::new(Mutex::new(state_of(&path)));
        changes.note(Changed::Records);
        let making = BackupThread {
            engine,
            changes: Arc::clone(&changes),
            clock,
            schedule,
            state: Arc::clone(&state),
        };
        let thread = std::thread::Builder::new().name("store-backup".into()).spawn(move || making.run())?;
        Ok(Self { changes, state, thread: Some(thread) })
    }

    /// How the last snapshots went.
    pub(super) fn state(&self) -> BackupState {
        let waiting = self.changes.oldest();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            state.last_error = Some("the thread that makes backups has ended: restart the server".to_owned());
        }
        BackupState { waiting, ..state }
    }
}

impl Drop for Backups {
    /// Makes a last snapshot when anything changed, and ends the thread.
    fn drop(&mut self) {
        self.changes.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that makes backups had panicked");
        }
    }
}

/// What the file itself tells of the snapshot before.
fn state_of(path: &Path) -> BackupState {
    let Ok(found) = path.metadata() else {
        return BackupState::default();
    };
    let seconds = found
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|age| i64::try_from(age.as_secs()).ok());
    BackupState {
        last_success_at: seconds.and_then(Timestamp::from_unix),
        bytes: found.len(),
        ..BackupState::default()
    }
}

struct BackupThread {
    engine: Arc<Engine>,
    changes: Arc<Changes>,
    clock: Arc<ClockWatch>,
    schedule: Schedule,
    state: Arc<Mutex<BackupState>>,
}

impl BackupThread {
    fn run(self) {
        let Schedule { after_change, every, .. } = self.schedule;
        let mut not_before = Instant::now();
        while let Some(waiting) = self.changes.wait(after_change, every, not_before) {
            let started = Instant::now();
            let rest = match self.try_to_make() {
                Ok(()) => started.elapsed().saturating_mul(REST).min(RETRY),
                Err(error) => {
                    tracing::error!(%error, "the backup was not made; the one before stays");
                    self.state().last_error = Some(error.to_string());
                    self.changes.put_back(waiting);
                    RETRY.min(every)
                }
            };
            not_before = Instant::now() + rest;
        }
    }

    fn state(&self) -> MutexGuard<'_, BackupState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`BackupThread::make`]; a panic is a failure like others.
    fn try_to_make(&self) -> Result<(), SnapshotError> {
        let made = catch_unwind(AssertUnwindSafe(|| self.make())).unwrap_or(Err(SnapshotError::Panicked));
        made.inspect_err(|error| {
            if error.casts_doubt_on_the_database() {
                self.engine.distrust();
            }
        })
    }

    fn make(&self) -> Result<(), SnapshotError> {
        let started = Instant::now();
        let begun_at = (self.schedule.clock)();
        let path = self.schedule.directory.join(FILE_NAME);
        let part = self.schedule.directory.join(PART_NAME);
        let known = self.state().bytes;
        let written = snapshot::check_room(&part, known).and_then(|()| {
            let transaction = self.engine.begin_read().map_err(SnapshotError::Source)?;
            let file = snapshot::create(&part)?;
            snapshot::write(&transaction, &file, &part)
        });
        let placed = written.and_then(|bytes| {
            std::fs::rename(&part, &path)
                .and_then(|()| files::sync_directory(&path))
                .map_err(|source| SnapshotError::Io { path: path.clone(), source })?;
            Ok(bytes)
        });
        let bytes = placed.inspect_err(|_| {
            let _ = files::remove_if_there(&part);
        })?;
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(bytes, milliseconds, path = %path.display(), "backup made");
        *self.state() =
            BackupState { last_success_at: Some(begun_at), bytes, milliseconds, ..BackupState::default() };
        // A date of which nobody is sure would outlive those that are right.
        if self.schedule.keep_daily > 0 && self.clock.look(begun_at).may_forget() {
            self.keep_dated(&path, begun_at)
                .map_err(|source| SnapshotError::Io { path: self.schedule.directory.clone(), source })?;
        }
        Ok(())
    }

    /// Gives the first snapshot of a day its dated name, and removes the
    /// oldest dated ones. Those of days to come, which some wrong clock made,
    /// take the place of none.
    fn keep_dated(&self, path: &Path, now: Timestamp) -> io::Result<()> {
        let day: String = now.to_string().chars().take(10).collect();
        let dated = self.schedule.directory.join(format!("{}{day}{}", DATED.0, DATED.1));
        if dated.exists() {
            return Ok(());
        }
        // The snapshot is never written to again, so that a second name is as
        // good as a second file; where there are no such names, it is copied.
        if std::fs::hard_link(path, &dated).is_err() {
            let part = self.schedule.directory.join(PART_NAME);
            std::fs::copy(path, &part)?;
            std::fs::File::open(&part)?.sync_all()?;
            std::fs::rename(&part, &dated)?;
        }
        files::sync_directory(&dated)?;
        let mut days = dated_copies(&self.schedule.directory)?;
        days.retain(|day| *day <= dated);
        days.sort();
        let surplus = days.len().saturating_sub(self.schedule.keep_daily);
        for old in days.into_iter().take(surplus) {
            std::fs::remove_file(old)?;
        }
        Ok(())
    }
}

/// The dated copies in `directory`, in no order.
fn dated_copies(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let day = name.to_str().and_then(|name| name.strip_prefix(DATED.0)?.strip_suffix(DATED.1));
        let is_day = |day: &str| {
            day.len() == 10
                && day.bytes().enumerate().all(|(at, byte)| match at {
                    4 | 7 => byte == b'-',
                    _ => byte.is_ascii_digit(),
                })
        };
        if day.is_some_and(is_day) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_ended_is_told_of() {
        let thread = std::thread::spawn(|| {});
        while !thread.is_finished() {
            std::thread::yield_now();
        }
        let backups = Backups { changes: Arc::default(), state: Arc::default(), thread: Some(thread) };
        let error = backups.state().last_error;
        assert!(error.as_deref().is_some_and(|error| error.contains("restart the server")), "{error:?}");
    }
}
