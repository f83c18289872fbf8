//! The one file: every record, every transaction.
//!
//! # Promises
//! - A method that returned `Ok` for a change has it on disk (fsync). A
//!   process or machine that dies the next moment loses nothing of it.
//! - One method is one use case is one transaction: rules are decided by the
//!   domain inside the transaction that writes, so two callers can never both
//!   act on the same old state.
//! - No redb type leaves this module, and nothing here knows HTTP.
//!
//! # How
//! redb keeps one writer at a time and an fsync costs far more than a write,
//! so all writes go through one thread ([`writer`]) that commits those which
//! wait together at once. Reads use snapshots of their own and never wait for
//! a write. The heartbeat row of a site lies apart from its registration, so
//! that a heartbeat rewrites some tens of bytes.
//!
//! The open file survives faults of its disk ([`engine`]). Beside it lies a
//! snapshot that is always safe to copy ([`backups`], [`snapshot`]).
//!
//! # Rejected
//! A cache in front (a read takes some 20 µs, see docs/performance.md); a
//! trait for other engines (there is none yet); redb's multi-process mode (one
//! process, one way in).

mod acme;
mod admins;
mod audit;
pub mod backups;
pub mod batch;
mod clock;
mod codec;
mod disk;
mod engine;
mod file_copy;
mod heartbeats;
pub mod inspect;
mod keyring;
mod migrate;
mod open;
pub mod requests;
pub mod restore;
mod seal;
mod sites;
mod snapshot;
mod statistics;
pub mod strangers;
mod tables;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageError;

pub use self::acme::{AcmeAccount, AcmeCertificate, AcmeSetback};
pub use self::admins::{CreateRefused, DeleteRefused, NoSuchAdmin};
pub use self::audit::{AuditFilter, AuditPage};
use self::backups::{BackupState, Backups, Changes, Schedule};
pub use self::clock::ClockReport;
use self::clock::{ClockWatch, Known};
use self::engine::Engine;
pub use self::heartbeats::HeartbeatRefused;
pub use self::keyring::{NoSigningKey, SigningKey, TlsIdentity};
pub use self::sites::{ChangeRefused, SiteFilter, SitePage, UpdateRefused};
pub use self::snapshot::SnapshotError;
pub use self::statistics::SiteStatistics;
use self::tables::{ReadTables, WriteTables};
pub use self::writer::Commit;
use self::writer::Writer;

/// The database's name in the data directory, and that of the snapshot in the
/// directory of backups.
pub const FILE_NAME: &str = "sitewarden.redb";

/// The schema that this build writes, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = migrate::newest(migrate::STEPS);

/// The open database. Cheap to clone; closed when [`Store::close`] has joined
/// the writer or the last clone is gone.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    writer: Arc<Writer>,
    changes: Arc<Changes>,
    clock: Arc<ClockWatch>,
    backups: Arc<Mutex<Option<Backups>>>,
}

/// Why a database could not be opened. Displays as one line for the operator,
/// naming the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the file.
    #[error("{0} is in use by another process: stop the other sitewarden, or choose another data_dir")]
    InUse(PathBuf),
    /// The file is not a sitewarden database, or is damaged.
    #[error("{path} is not a sitewarden database or is damaged ({reason}), and was left as it is: {remedy}")]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What redb found wrong.
        reason: String,
        /// What to do: the newest good backup, and the command that puts it
        /// in place.
        remedy: String,
    },
    /// There is no file, but there are copies of one: to begin anew would put
    /// an empty one in their place.
    #[error("{path} is missing, and there are copies of it: {remedy}, or move the copies away to begin anew")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// The file is of an older version and could not be brought up to date.
    #[error("cannot bring {path} up to date: {reason}: it was left as it is")]
    Upgrade {
        /// The file.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// A newer sitewarden wrote the file.
    #[error(
        "{path} has schema version {found}, written by a newer sitewarden, and this one reads up to {supported}: install the newer version again, or put a copy from before the upgrade in its place"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest that this build reads.
        supported: u32,
    },
    /// The operating system refused.
    #[error(
        "cannot open {path}: {source}: check that the user that runs sitewarden may read and write it and its directory"
    )]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// The store could not do its work now. What the caller asked for did not
/// happen; it may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Too many writes wait already.
    #[error("the write queue is full")]
    QueueFull,
    /// The writer has stopped: the store is closing.
    #[error("the store is closed")]
    Closed,
    /// The write panicked and was undone; this is a bug.
    #[error("a write panicked and was undone")]
    Panicked,
    /// Reading or writing the file failed.
    #[error("the database failed: {0}")]
    Storage(Arc<redb::Error>),
    /// A record cannot be read: damaged, or newer than this build.
    #[error("a record in {table} cannot be read: {reason}")]
    Record {
        /// The table that holds it.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
}

macro_rules! storage_error {
    ($($error:ty),*) => { $(
        impl From<$error> for Unavailable {
            fn from(error: $error) -> Self {
                Self::Storage(Arc::new(error.into()))
            }
        }
    )* };
}
storage_error!(StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

/// A use case's answer: what the rules said (`Ok` or the refusal `E`), unless
/// the store was [`Unavailable`].
pub type Outcome<T, E> = Result<Result<T, E>, Unavailable>;

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

    /// Opens what lies on a disk of a test.
    #[cfg(test)]
    fn on_disk(disk: Arc<dyn disk::Disk>) -> Result<Self, redb::Error> {
        let database = open::open_disk(&*disk, migrate::STEPS, false)?;
        Self::start(open::Opened { disk, lock: None, database }).map_err(redb::Error::Io)
    }

    fn start(open::Opened { disk, lock, database }: open::Opened) -> io::Result<Self> {
        let changes = Arc::new(Changes::default());
        let engine = Arc::new(Engine::start(disk, lock, database)?);
        let writer = Writer::start(Arc::clone(&engine), Arc::clone(&changes))?;
        let clock = Arc::new(ClockWatch::new());
        Ok(Self { engine, writer: Arc::new(writer), changes, clock, backups: Arc::default() })
    }

    /// Keeps backups from now on.
    ///
    /// # Errors
    /// When their directory cannot be made or used.
    pub fn keep_backups(&self, schedule: Schedule) -> io::Result<()> {
        // Before anything is recorded by a clock that may be wrong.
        match self.engine.read(|transaction| Known::read(&ReadTables::open(transaction)?)) {
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

    /// Has every commit from now on told to `observer`, which must be quick:
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
    async fn read<T, F>(&self, work: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Fn(&ReadTables) -> Result<T, Unavailable> + Send + 'static,
    {
        let engine = Arc::clone(&self.engine);
        let read = move || engine.read(|transaction| work(&ReadTables::open(transaction)?));
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
            self.engine.distrust();
            Err(Unavailable::Panicked)
        })
    }

    /// Queues `work` for the writer and waits until it is on disk. `work`
    /// decides first and writes after: when it returns a refusal it must have
    /// written nothing. It may be run again, from the start, when another
    /// write of its batch failed.
    async fn write<T, E, F>(&self, work: F) -> Outcome<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(&mut WriteTables<'_>) -> Outcome<T, E> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// As [`Store::write`], for work that the rules cannot refuse.
    async fn write_always<T, F>(&self, work: F) -> Result<T, Unavailable>
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
            tables.touched = true;
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests;
