//! A copy of the database as of one moment, that may itself be copied.
//!
//! A plain copy of the live file can be torn. A snapshot is a database file of
//! its own, made from one read transaction while writes go on: it is written,
//! closed, synced, opened again and read whole, and only then given its name.
//! The key that signs tokens is not in it (`copied` in [`super::tables`]).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase};

use super::disk::{AnyBackend, FileBytes, Overlay, Unsynced};
use super::engine::open_backend;
use super::error::{Unavailable, unreadable};
use super::tables::{self, ReadTables, WriteTables};
use super::{files, inspect};

/// Bytes of redb's page cache while it writes a snapshot: what does not fit
/// is written on the way.
const CACHE_BYTES: usize = 64 << 20;

/// Why no snapshot was made. What stood in its place before still does.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The database could not be read.
    #[error("reading the database: {0}")]
    Source(Unavailable),
    /// Making it panicked: a bug, or the database is damaged.
    #[error(
        "making it panicked, which is a bug unless the database is damaged: stop the server and check the file"
    )]
    Panicked,
    /// The snapshot could not be written.
    #[error("writing {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The snapshot could not be written as a database.
    #[error("writing {path}: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// redb's word.
        reason: String,
    },
    /// There is too little room, and a full disk would stop all writes.
    #[error("{path} needs {needed} bytes, and its disk has {free} free: make room")]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Bytes to be had before it is begun.
        needed: u64,
        /// Bytes that there are.
        free: u64,
    },
    /// What was written does not read as it should: it was not written well,
    /// or the database holds what cannot be read.
    #[error("{path} does not hold what was written ({reason}); it was removed")]
    Verify {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl SnapshotError {
    /// Whether it was the database, and not the place of the snapshot, that
    /// something is wrong with.
    pub(super) fn casts_doubt_on_the_database(&self) -> bool {
        match self {
            Self::Source(fault) => matches!(fault, Unavailable::Record { .. }),
            Self::Panicked | Self::Verify { .. } => true,
            Self::Io { .. } | Self::Write { .. } | Self::NoRoom { .. } => false,
        }
    }
}

/// Writes what `transaction` sees into `file`, which is empty and stands at
/// `path`, and checks it. Returns its size in bytes.
pub(super) fn write(transaction: &ReadTransaction, file: &File, path: &Path) -> Result<u64, SnapshotError> {
    let io_error = |source| SnapshotError::Io { path: path.to_owned(), source };
    let failed =
        |error: redb::Error| SnapshotError::Write { path: path.to_owned(), reason: error.to_string() };
    let source = ReadTables::of(transaction);
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let copy = file.try_clone().map_err(io_error)?;
    let database =
        builder.create_with_backend(Unsynced(FileBytes(copy))).map_err(|error| failed(error.into()))?;
    let target = database.begin_write().map_err(|error| failed(error.into()))?;
    // Either side may have failed; the source's faults show there too.
    let mut tables = WriteTables::of(&target);
    let copied = tables.make_missing().and_then(|()| tables.copy(&source));
    drop(tables);
    let expected = copied.map_err(SnapshotError::Source)?;
    target.commit().map_err(|error| failed(error.into()))?;
    database.close().map_err(|error| failed(error.into()))?;
    file.sync_all().map_err(io_error)?;
    verify(file, &expected)
        .map_err(|reason| SnapshotError::Verify { path: path.to_owned(), reason: reason.to_string() })?;
    Ok(file.metadata().map_err(io_error)?.len())
}

/// Opens what was written as a start would, without changing it, counts, and
/// reads every record: one that cannot be read would be copied for what it is,
/// and the good copies that there are would be replaced by those of damage.
fn verify(file: &File, expected: &[(&'static str, u64)]) -> Result<(), Unavailable> {
    let fault = |error: DatabaseError| Unavailable::Storage(std::sync::Arc::new(error));
    let bytes = file.try_clone().map(FileBytes).and_then(Overlay::over);
    let bytes = bytes.map_err(|error| fault(DatabaseError::Storage(redb::StorageError::Io(error))))?;
    let database = open_backend(AnyBackend::new(bytes)).map_err(fault)?;
    tables::schema_version(&database)?;
    let transaction = database.begin_read()?;
    let tables = ReadTables::of(&transaction);
    if tables.counts()? != expected {
        return Err(unreadable("the snapshot", "its tables have other numbers of rows"));
    }
    inspect::read_all(&tables).map(drop)
}

/// Makes a file that only its owner may read; an older one of that name,
/// which some crash left, goes first.
pub(super) fn create(path: &Path) -> Result<File, SnapshotError> {
    files::create_private(path).map_err(|source| SnapshotError::Io { path: path.to_owned(), source })
}

/// Makes sure that a file of `bytes` fits beside the database, with a quarter
/// to spare, before it is begun.
pub(super) fn check_room(path: &Path, bytes: u64) -> Result<(), SnapshotError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(directory)
        .map_err(|source| SnapshotError::Io { path: directory.to_owned(), source: source.into() })?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = bytes.saturating_add(bytes / 4);
    if free < needed {
        return Err(SnapshotError::NoRoom { path: path.to_owned(), needed, free });
    }
    Ok(())
}
