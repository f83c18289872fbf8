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
//! # Rejected
//! A cache in front (a read costs about a microsecond); a trait for other
//! engines (there is none yet); redb's multi-process mode (one process, one
//! way in).

mod admins;
mod audit;
pub mod batch;
mod codec;
mod heartbeats;
mod keyring;
pub mod requests;
mod sites;
mod statistics;
mod tables;
mod writer;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase, StorageError};

pub use self::admins::{CreateRefused, DeleteRefused, NoSuchAdmin};
pub use self::audit::{AuditFilter, AuditPage};
pub use self::heartbeats::HeartbeatRefused;
pub use self::keyring::{SigningKey, TlsIdentity};
pub use self::sites::{NoSuchSite, SiteFilter, SitePage, UpdateRefused};
pub use self::statistics::SiteStatistics;
use self::tables::{ReadTables, SCHEMA_VERSION, WriteTables};
pub use self::writer::Commit;
use self::writer::Writer;

/// The database's name in the data directory.
pub const FILE_NAME: &str = "sitewarden.redb";

/// Bytes of redb's page cache. Its own default, 1 GiB, is more than the whole
/// process should take.
const CACHE_BYTES: usize = 32 << 20;

/// The open database. Cheap to clone; closed when [`Store::close`] has joined
/// the writer or the last clone is gone.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    writer: Arc<Writer>,
}

/// Why a database could not be opened. Displays as one line for the operator,
/// naming the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the file.
    #[error("{0} is in use by another process: stop the other sitewarden, or choose another data_dir")]
    InUse(PathBuf),
    /// The file is not a sitewarden database, or is damaged.
    #[error(
        "{path} is not a sitewarden database or is damaged ({reason}): it was left as it is; put a good copy in its place, or choose another data_dir"
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What redb found wrong.
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
    /// Opens the database in `path`, or makes a new one when there is none.
    /// Blocks: call it before the runtime, or where blocking is allowed.
    ///
    /// # Errors
    /// [`OpenError`]; the file is then as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let database = open_database(path)?;
        let schema = tables::prepare(&database).map_err(|error| not_a_database(path, &error))?;
        if schema > SCHEMA_VERSION {
            return Err(OpenError::Newer { path: path.to_owned(), found: schema, supported: SCHEMA_VERSION });
        }
        let database = Arc::new(database);
        let writer = Writer::start(Arc::clone(&database))
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { database, writer: Arc::new(writer) })
    }

    /// Lets the writer finish what it was given and closes the file. Later
    /// writes, through clones, are refused as [`Unavailable::Closed`].
    pub fn close(self) {
        self.writer.stop();
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

    /// Runs `work` on a snapshot, where blocking is allowed.
    async fn read<T, F>(&self, work: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTables) -> Result<T, Unavailable> + Send + 'static,
    {
        let database = Arc::clone(&self.database);
        let read = move || work(&ReadTables::open(&database.begin_read()?)?);
        match tokio::task::spawn_blocking(read).await {
            Ok(result) => result,
            Err(_) => Err(Unavailable::Panicked),
        }
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
        self.write_always(|tables| tables.touch()).await
    }
}

fn open_database(path: &Path) -> Result<Database, OpenError> {
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    // Only a file that is missing or empty is made into a database, readable
    // by its owner alone: it holds the server's secrets.
    let opened = match path.metadata() {
        Ok(found) if found.len() > 0 => builder.open(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => {
            OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(io_error)?;
            builder.create(path)
        }
    };
    opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.to_owned()),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            io_error(error)
        }
        other => not_a_database(path, &other),
    })
}

fn not_a_database(path: &Path, reason: &dyn std::fmt::Display) -> OpenError {
    OpenError::NotADatabase { path: path.to_owned(), reason: reason.to_string() }
}
