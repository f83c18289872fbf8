//! The open database as the rest of the program holds it. The use cases are
//! in the other rooms, each with its subject.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::backups::{BackupState, Backups, Schedule};
use super::changes::Changes;
use super::clock_watch::{ClockWatch, Known};
use super::engine::Engine;
use super::error::{OpenError, Outcome, Unavailable};
use super::files::FILE_NAME;
use super::snapshot::{self, SnapshotError};
use super::tables::meta::{Entry, Value};
use super::tables::{ReadTables, WriteTables};
use super::writer::{Commit, Writer};
use super::{migrate, open};
use crate::domain::Rules;

/// The open database. Cheap to clone; closed when [`Store::close`] has joined
/// the writer or the last clone is gone.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    writer: Arc<Writer>,
    changes: Arc<Changes>,
    pub(super) clock: Arc<ClockWatch>,
    backups: Arc<Mutex<Option<Backups>>>,
    /// What holds for all sites.
    pub(super) rules: Arc<Rules>,
}

impl Store {
    /// Opens the database in `path`, or makes a new one when there is none;
    /// brings an older one up to date. Blocks: call it before the runtime, or
    /// where blocking is allowed.
    ///
    /// # Errors
    /// [`OpenError`]; the file is then as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = open::open(path, migrate::STEPS)?;
        Self::start(opened).map_err(|source| OpenError::Io { path: path.to_owned(), source })
    }

    /// The same, with other rules for all sites than [`Rules::default`].
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules: Arc::new(rules), ..self }
    }

    /// What holds for all sites.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Opens what lies on a disk of a test.
    #[cfg(test)]
    pub(super) fn on_disk(disk: Arc<dyn super::disk::Disk>) -> Result<Self, redb::Error> {
        let database = open::open_disk(&*disk, migrate::STEPS, false)?;
        Self::start(open::Opened { disk, lock: None, database }).map_err(redb::Error::Io)
    }

    fn start(open::Opened { disk, lock, database }: open::Opened) -> io::Result<Self> {
        let changes = Arc::new(Changes::default());
        let engine = Arc::new(Engine::start(disk, lock, database)?);
        let writer = Writer::start(Arc::clone(&engine), Arc::clone(&changes))?;
        let clock = Arc::new(ClockWatch::new());
        Ok(Self {
            engine,
            writer: Arc::new(writer),
            changes,
            clock,
            backups: Arc::default(),
            rules: Arc::default(),
        })
    }

    /// Keeps backups from now on.
    ///
    /// # Errors
    /// When their directory cannot be made or used.
    pub fn keep_backups(&self, schedule: Schedule) -> io::Result<()> {
        // Before anything is recorded by a clock that may be wrong.
        match self.engine.read(|transaction| Known::read(&ReadTables::of(transaction))) {
            Ok(known) => self.clock.begin(known),
            Err(error) => tracing::warn!(%error, "the database does not tell what time was known last"),
        }
        let clock = Arc::clone(&self.clock);
        let backups = Backups::start(Arc::clone(&self.engine), Arc::clone(&self.changes), clock, schedule)?;
        *self.backups.lock().unwrap_or_else(PoisonError::into_inner) = Some(backups);
        Ok(())
    }

    /// How the last backups went; `None` when none are kept.
    pub fn backup_state(&self) -> Option<BackupState> {
        self.backups.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Backups::state)
    }

    /// Lets the writer finish what it was given, makes a last backup when
    /// anything changed, and closes the file. What comes later, through
    /// clones, is refused as [`Unavailable::Closed`].
    pub fn close(self) {
        self.writer.stop();
        drop(self.backups.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.engine.close();
    }

    /// Calls `observer` on every commit from now on; it must be quick:
    /// the writer waits for it. Only the first observer counts.
    pub fn observe_commits(&self, observer: impl Fn(Commit) + Send + Sync + 'static) {
        self.writer.observe(Box::new(observer));
    }

    /// How many writes wait for the writer.
    pub fn writes_waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Whether writes are taken at this moment, as far as is known.
    pub fn takes_writes(&self) -> bool {
        self.engine.takes_writes()
    }

    /// A snapshot as an open file without a name, made in `directory`, which
    /// is the database's own, and its size in bytes. The file is gone when the last handle is.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub async fn snapshot(&self, directory: &Path) -> Result<(File, u64), SnapshotError> {
        let engine = Arc::clone(&self.engine);
        let path = directory.join(format!(".{}.part", uuid::Uuid::new_v4().simple()));
        let database = directory.join(FILE_NAME);
        let make = move || {
            snapshot::check_room(&path, database.metadata().map_or(0, |found| found.len()))?;
            let transaction = engine.begin_read().map_err(SnapshotError::Source)?;
            let file = snapshot::create(&path)?;
            std::fs::remove_file(&path).map_err(|source| SnapshotError::Io { path: path.clone(), source })?;
            let bytes = snapshot::write(&transaction, &file, &path)?;
            Ok((file, bytes))
        };
        let made = match tokio::task::spawn_blocking(make).await {
            Ok(result) => result,
            Err(_) => Err(SnapshotError::Panicked),
        };
        made.inspect_err(|error| {
            if error.casts_doubt_on_the_database() {
                self.engine.distrust();
            }
        })
    }

    /// Runs `work` on a snapshot, where blocking is allowed. After a fault of
    /// the disk it is run again, from the start.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Fn(&ReadTables<'_>) -> Result<T, Unavailable> + Send + 'static,
    {
        let engine = Arc::clone(&self.engine);
        let read = move || engine.read(|transaction| work(&ReadTables::of(transaction)));
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
            self.engine.distrust();
            Err(Unavailable::Panicked)
        })
    }

    /// Queues `work` for the writer and waits until it is on disk. `work`
    /// decides first and writes after: when it returns a refusal it must have
    /// written nothing. It may be run again, from the start, when another
    /// write of its batch failed.
    pub(super) async fn write<T, E, F>(&self, work: F) -> Outcome<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(&mut WriteTables<'_>) -> Outcome<T, E> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// As [`Store::write`], for work that the rules cannot refuse.
    pub(super) async fn write_always<T, F>(&self, work: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Fn(&mut WriteTables<'_>) -> Result<T, Unavailable> + Send + 'static,
    {
        match self.writer.run(move |tables| work(tables).map(Ok::<T, std::convert::Infallible>)).await? {
            Ok(value) => Ok(value),
        }
    }

    /// Returns when reader and writer have both answered, whatever they said.
    pub async fn answers(&self) {
        let _ = self.read(|_| Ok(())).await;
        let _ = self.write_always(|_| Ok(())).await;
    }

    /// Whether the store can take a write: one empty durable commit.
    ///
    /// # Errors
    /// [`Unavailable`] with the reason why it cannot.
    pub async fn probe(&self) -> Result<(), Unavailable> {
        self.write_always(|tables| {
            tables.commit_nothing();
            Ok(())
        })
        .await
    }

    /// The value of `entry`, or `None`.
    pub(super) async fn value<V: Value + Send + 'static>(
        &self,
        entry: Entry<V>,
    ) -> Result<Option<V>, Unavailable> {
        self.read(move |tables| tables.meta.value(entry)).await
    }

    /// Sets the value of `entry`.
    pub(super) async fn set_value<V: Value + Send + 'static>(
        &self,
        entry: Entry<V>,
        value: V,
    ) -> Result<(), Unavailable> {
        self.write_always(move |tables| tables.meta.set(entry, &value)).await
    }
}
