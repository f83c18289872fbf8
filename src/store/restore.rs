//! A backup takes the place of the database, or the other way round, while
//! the server is down.
//!
//! Root may be the one who does it, in a directory that is the service's: a
//! file is made there with a name that nothing has, and worked on through its
//! handle, never by a name that may meanwhile be another's link.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::files::{self, FILE_NAME, RESTORE_NAME};
use super::inspect::{self, CheckError, Report};
use super::{engine, file_copy};
use crate::domain::Timestamp;

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
/// other. What it makes is the caller's, who should be the directory's owner;
/// it holds no signing key: the server makes one, and whoever had the backup
/// has no login.
///
/// # Errors
/// [`RestoreError`]; the database is then as it was.
pub fn restore(backup: &File, data_dir: &Path, now: Timestamp) -> Result<Restored, RestoreError> {
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
    let part = data_dir.join(RESTORE_NAME);
    let prepared = files::copy_open(backup, &part).map_err(error(&part)).and_then(|copy| {
        inspect::check_open(&copy, &part)?;
        // Copies that version 0.1.0 made hold the key that signs tokens.
        file_copy::strip(&copy).map_err(error(&part))?;
        Ok(inspect::check_open(&copy, &part)?)
    });
    let report = prepared.inspect_err(|_| {
        let _ = files::remove_if_there(&part);
    })?;
    let kept = database
        .exists()
        .then(|| data_dir.join(format!("{FILE_NAME}.before-restore-{}", files::file_time(now))));
    if let Some(kept) = &kept {
        std::fs::hard_link(&database, kept).or_else(|_| files::copy(&database, kept)).map_err(error(kept))?;
    }
    let placed = if kept.is_some() {
        std::fs::rename(&part, &database)
    } else {
        // Nothing was there to lock: fails where a server has started since.
        std::fs::hard_link(&part, &database).and_then(|()| std::fs::remove_file(&part))
    };
    placed.and_then(|()| files::sync_directory(&database)).map_err(error(&database))?;
    Ok(Restored { kept, report })
}

/// Copies the database of a server that is down to `to`, which is replaced;
/// the key that signs tokens is left out, as it is from every copy. Gives the
/// copy, open.
///
/// # Errors
/// [`RestoreError`]; [`RestoreError::Running`] when the server is not down.
pub fn copy_at_rest(database: &Path, to: &Path) -> Result<File, RestoreError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Io { path, source }
    };
    let file = File::open(database).map_err(error(database))?;
    // Held while it is copied.
    if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Err(RestoreError::Running(database.to_owned()));
    }
    file_copy::make(&file, to).map_err(error(to))
}

/// Makes the file of a backup, for its owner alone to read; what is at `path`
/// goes first, and is never opened.
///
/// # Errors
/// When it cannot be made, or another process made one meanwhile.
pub fn create(path: &Path) -> io::Result<File> {
    files::create_private(path)
}
