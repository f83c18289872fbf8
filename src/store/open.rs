//! From a path to an open database of today's schema, or to a refusal that
//! says what to do.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, StorageError};

use super::disk::{Disk, file_disk};
use super::error::OpenError;
use super::files::{self, DIRECTORY, RESTORE_NAME, data_dir, file_time, quoted};
use super::migrate::{self, Step};
use super::{engine, file_copy, inspect, seal, tables};
use crate::clock;
use crate::domain::Timestamp;

/// A new database before it is whole.
const NEW_NAME: &str = ".sitewarden.redb.new";

/// An open database, and what is needed to keep it so.
pub(super) struct Opened {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) lock: Option<File>,
    pub(super) database: Database,
}

/// Opens the file at `path`; one that is missing or empty is made into a new
/// database, readable by its owner alone, for it holds the server's secrets.
pub(super) fn open(path: &Path, steps: &[Step]) -> Result<Opened, OpenError> {
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    match path.metadata() {
        Ok(found) if found.len() > 0 => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => {
            if let Some(remedy) = remedy_for_missing(path)? {
                return Err(OpenError::Missing { path: path.to_owned(), remedy });
            }
            make(path, steps)?;
        }
    }
    let lock = engine::lock(path).map_err(io_error)?.ok_or_else(|| OpenError::InUse(path.to_owned()))?;
    // Another process may have put another file there before we had the lock.
    let (locked, there) = (lock.metadata().map_err(io_error)?, path.metadata().map_err(io_error)?);
    if locked.ino() != there.ino() {
        return Err(OpenError::InUse(path.to_owned()));
    }
    // Of a restore that was killed. One that runs holds the lock, or finds at
    // its end that a server was faster.
    files::remove_if_there(&path.with_file_name(RESTORE_NAME)).map_err(io_error)?;
    let disk = file_disk(path);
    let not_ours = |reason: &dyn std::fmt::Display| OpenError::NotADatabase {
        path: path.to_owned(),
        reason: reason.to_string(),
        remedy: remedy(path)
            .unwrap_or_else(|| "put a good copy in its place, or choose another data_dir".to_owned()),
    };
    let database = open_disk(&*disk, steps, seal::take_off(&lock)).map_err(|error| match error {
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() != io::ErrorKind::InvalidData && error.kind() != io::ErrorKind::UnexpectedEof =>
        {
            io_error(error)
        }
        other => not_ours(&other),
    })?;
    let schema = tables::schema_version(&database).map_err(|error| not_ours(&error))?;
    let newest = migrate::newest(steps);
    if schema > newest {
        return Err(OpenError::Newer { path: path.to_owned(), found: schema, supported: newest });
    }
    let failed = |reason: String| OpenError::Upgrade { path: path.to_owned(), reason };
    let database = if schema < newest {
        // Closed, so that the copy is of a whole file; the lock is still ours.
        database.close().map_err(|error| failed(error.to_string()))?;
        let kept =
            put_aside(path, schema).map_err(|error| failed(format!("cannot copy it first: {error}")))?;
        tracing::info!(from = schema, to = newest, kept = %kept.display(), "bringing the database up to date");
        engine::open(&*disk).map_err(|error| not_ours(&error))?
    } else {
        database
    };
    migrate::migrate(&database, schema, steps).map_err(|error| failed(error.to_string()))?;
    let database = if schema < newest {
        shortened(database, &*disk).map_err(|error| not_ours(&error))?
    } else {
        database
    };
    Ok(Opened { disk, lock: Some(lock), database })
}

/// Gives back to the disk what an upgrade has left free: its new rows lie beside
/// the old ones until it is committed, and the file would stay so long. Where
/// that fails the database is as it was, and only longer than it need be.
fn shortened(mut database: Database, disk: &dyn Disk) -> Result<Database, DatabaseError> {
    match database.compact() {
        Ok(_) => Ok(database),
        Err(error) => {
            tracing::warn!(%error, "the database is up to date, and its file longer than it need be");
            drop(database);
            // Its handle may be of no more use.
            engine::open(disk)
        }
    }
}

/// Makes a new database, which gets its name when it is whole: a power cut in
/// between leaves none rather than half of one.
fn make(path: &Path, steps: &[Step]) -> Result<(), OpenError> {
    let new = path.with_file_name(NEW_NAME);
    let error = |source| OpenError::Io { path: new.clone(), source };
    files::remove_if_there(&new).map_err(error)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(error)?;
    open_disk(&*file_disk(&new), steps, false)
        .and_then(Database::close)
        .map_err(|fault| error(io::Error::other(fault.to_string())))?;
    let named = if path.exists() {
        // It is empty.
        std::fs::rename(&new, path)
    } else {
        // Fails where another process was faster.
        std::fs::hard_link(&new, path).and_then(|()| std::fs::remove_file(&new))
    };
    named.and_then(|()| files::sync_directory(path)).map_err(error)
}

/// Opens what lies on `disk`; an empty one gets the tables of today. One that
/// is not `sealed` is checked whole.
pub(super) fn open_disk(disk: &dyn Disk, steps: &[Step], sealed: bool) -> Result<Database, DatabaseError> {
    let database = if sealed { engine::open_sealed(disk)? } else { engine::open(disk)? };
    tables::prepare(&database, migrate::newest(steps))
        .map_err(|error| DatabaseError::Storage(StorageError::Corrupted(error.to_string())))?;
    Ok(database)
}

/// Copies the file, as it was before an upgrade but for what does not go into
/// copies, into the directory of backups.
fn put_aside(path: &Path, schema: u32) -> io::Result<PathBuf> {
    let directory = path.with_file_name(DIRECTORY);
    std::fs::create_dir_all(&directory)?;
    let kept = directory.join(format!("pre-upgrade-v{schema}-{}.redb", file_time(clock::now())));
    file_copy::make(&File::open(path)?, &kept)?;
    Ok(kept)
}

/// What to do about a database that is missing, where there are copies of it,
/// good ones or bad. `None` when there is none.
///
/// # Errors
/// When it cannot be told: the directory of the copies cannot be read.
fn remedy_for_missing(path: &Path) -> Result<Option<String>, OpenError> {
    let directory = data_dir(path).join(DIRECTORY);
    let there = copies(&directory).map_err(|source| OpenError::Io { path: directory.clone(), source })?;
    if there.is_empty() {
        return Ok(None);
    }
    Ok(Some(remedy(path).unwrap_or_else(|| {
        format!(
            "none of those in {} is good; put a good one in place with: sitewarden restore FILE --data-dir {}",
            quoted(&directory),
            quoted(data_dir(path)),
        )
    })))
}

/// The copies of a database in `directory`, good ones or bad, in no order;
/// none where there is no such directory. A link that leads nowhere is not
/// that: the disk with the copies may only not be mounted.
fn copies(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match directory.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
                Ok(_) => {
                    let lost = "is a link that leads nowhere: mount what it leads to, or remove it";
                    Err(io::Error::new(io::ErrorKind::NotFound, lost))
                }
            };
        }
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "redb") {
            found.push(path);
        }
    }
    Ok(found)
}

/// What to do about a database that is missing or damaged: names the newest
/// good copy beside it. `None` when there is none.
fn remedy(path: &Path) -> Option<String> {
    let data_dir = data_dir(path);
    let mut found: Vec<_> = copies(&data_dir.join(DIRECTORY))
        .ok()?
        .into_iter()
        .filter_map(|path| {
            let modified = path.metadata().ok()?.modified().ok()?;
            // Of two names of one file the plain one is the first.
            Some((modified, std::cmp::Reverse(path.as_os_str().len()), path))
        })
        .collect();
    found.sort();
    let good = found.into_iter().rev().find(|(.., path)| inspect::check(path).is_ok())?;
    let (modified, _, good) = good;
    Some(format!(
        "the newest good backup is of {}; put it in place with: sitewarden restore {} --data-dir {}",
        Timestamp::from_clock(modified.into()),
        quoted(&good),
        quoted(data_dir),
    ))
}
