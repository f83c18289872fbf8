//! What the store answers where it did not do what it was asked for.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What reading or writing the file came to, in the words of whatever reads
/// and writes it. Shared, since one fault may end many writes.
pub type StorageFault = Arc<dyn Error + Send + Sync>;

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
    /// There is no file, but there are copies of one: to begin a new one would put
    /// an empty one in their place.
    #[error(
        "{path} is missing, and there are copies of it: {remedy}, or move the copies away to begin with an empty database"
    )]
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
        /// What the system said.
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
    Storage(StorageFault),
    /// A record cannot be read: damaged, or newer than this build.
    #[error("a record in {table} cannot be read: {reason}")]
    Record {
        /// The table that holds it.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// A use case's answer: what the rules said (`Ok` or the refusal `E`), unless
/// the store was [`Unavailable`].
pub type Outcome<T, E> = Result<Result<T, E>, Unavailable>;

/// The error for a record that makes no sense.
pub(super) fn unreadable(table: &'static str, reason: impl ToString) -> Unavailable {
    Unavailable::Record { table, reason: reason.to_string() }
}
