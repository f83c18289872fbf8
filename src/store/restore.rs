//! A backup takes the place of the database, or the other way round, while
//! the server is down.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::inspect::{self, CheckError, Report};
use super::{FILE_NAME, engine, file_copy, open, snapshot};
use crate::domain::Timestamp;

/// The backup while it is copied.
const PART_NAME: &str = ".sitewarden.redb.restore";

/// What has become of the database that was there.
#[derive(Debug)]
pub struct Restored {
    /// Where it lies now; `None` when there was none.
    pub kept: Option<PathBuf>,
    /// What the new one holds.
    pub report: Report,
}

/// Why nothing was restored; all is as it was. Displays as one line for the
/// operator.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The server runs.
    #[error("sitewarden runs on {0}: stop it first (systemctl stop sitewarden), restore, and start it again")]
    Running(PathBuf),
    /// The backup, or the copy made of it, is not good.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The operating system refused.
    #[error("cannot copy the database: {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// Puts a copy of `backup` in the place of the database in `data_dir`, which
/// is kept under a name with `now` in it. At every moment there is one or the
/// other. What is put in place holds no signing key: the server makes one, and
/// whoever had the backup has no login.
///
/// # Errors
/// [`RestoreError`]; the database is then as it was.
pub fn restore(backup: &Path, data_dir: &Path, now: Timestamp) -> Result<Restored, RestoreError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Io { path, source }
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(error(data_dir))?;
    let database = data_dir.join(FILE_NAME);
    // Held until the end: the server cannot start in between.
    let _lock = if database.exists() {
        let lock = engine::lock(&database).map_err(error(&database))?;
        Some(lock.ok_or_else(|| RestoreError::Running(data_dir.to_owned()))?)
    } else {
        None
    };
    let part = data_dir.join(PART_NAME);
    let prepared = open::copy(backup, &part)
        .and_then(|()| {
            // Whoever restores may be root; the server is not.
            let owner = data_dir.metadata()?;
            std::os::unix::fs::chown(&part, Some(owner.uid()), Some(owner.gid()))
        })
        .map_err(error(&part))
        .and_then(|()| Ok(inspect::check(&part)?))
        .and_then(|_| {
            // Copies that version 0.1.0 made hold the key that signs tokens.
            file_copy::strip(&part).map_err(error(&part))?;
            Ok(inspect::check(&part)?)
        });
    let report = prepared.inspect_err(|_| {
        let _ = snapshot::remove_if_there(&part);
    })?;
    let kept = database
        .exists()
        .then(|| data_dir.join(format!("{FILE_NAME}.before-restore-{}", open::file_time(now))));
    if let Some(kept) = &kept {
        std::fs::hard_link(&database, kept).or_else(|_| open::copy(&database, kept)).map_err(error(kept))?;
    }
    std::fs::rename(&part, &database)
        .and_then(|()| snapshot::sync_directory(&database))
        .map_err(error(&database))?;
    Ok(Restored { kept, report })
}

/// Copies the database of a server that is down to `to`, which is replaced;
/// the key that signs tokens is left out, as it is from every copy.
///
/// # Errors
/// [`RestoreError`]; [`RestoreError::Running`] when the server is not down.
pub fn copy_at_rest(database: &Path, to: &Path) -> Result<(), RestoreError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Io { path, source }
    };
    let file = File::open(database).map_err(error(database))?;
    // Held while it is copied.
    if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Err(RestoreError::Running(database.to_owned()));
    }
    file_copy::make(database, to).map_err(error(to))
}
