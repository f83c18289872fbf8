//! The files around the database: their names, and how they are made so that
//! they are on disk, whole, and for their owner alone.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::domain::Timestamp;

/// The database's name in the data directory, and that of the snapshot in the
/// directory of backups.
pub const FILE_NAME: &str = "sitewarden.redb";
/// The directory of the snapshots, in the data directory.
pub const DIRECTORY: &str = "backup";
/// A backup while a restore copies it. A start removes what a killed restore
/// left.
pub(super) const RESTORE_NAME: &str = ".sitewarden.redb.restore";

/// Makes a file that only its owner may read; an older one of that name goes
/// first. Never opens what is there: it may be a link that somebody put in the
/// way of root.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    remove_if_there(path)?;
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Copies a file that nobody writes to, for its owner alone to read, and
/// returns when the copy is on disk under its name.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    copy_open(&File::open(from)?, to).map(drop)
}

/// As [`copy`], of a file that is open; gives the copy, open too.
pub(super) fn copy_open(mut from: &File, to: &Path) -> io::Result<File> {
    let mut target = create_private(to)?;
    let copied = from
        .rewind()
        .and_then(|()| io::copy(&mut from, &mut target))
        .and_then(|_| target.sync_all())
        .and_then(|()| sync_directory(to));
    match copied {
        Ok(()) => Ok(target),
        Err(error) => {
            let _ = remove_if_there(to);
            Err(error)
        }
    }
}

/// A time as part of a file's name.
pub(super) fn file_time(time: Timestamp) -> String {
    time.to_string().replace(':', "")
}

/// Makes the names in the directory of `path` durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
        .sync_all()
}

/// Removes a file that may not be there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The directory of the database in `path`.
pub(super) fn data_dir(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
