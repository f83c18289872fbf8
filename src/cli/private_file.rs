//! Files that this user alone can read: keys, tokens, what is exported.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Creates a file to write to.
///
/// # Errors
/// Also where there is one of this name already: it is somebody's.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
