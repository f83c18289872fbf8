//! The directory in which everything lies that is kept.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::error::StartError;

/// What there is of the data directory's path must be a directory that this
/// user can use: the last part may have to be made.
///
/// # Errors
/// [`StartError::DataDir`].
pub(super) fn check(path: &Path) -> Result<(), StartError> {
    let error = |source| StartError::DataDir { path: path.to_owned(), source };
    // "data" lies in "".
    let there = path.ancestors().map(|part| if part == Path::new("") { Path::new(".") } else { part });
    match there.filter_map(|part| Some((part, part.metadata().ok()?))).next() {
        Some((_, found)) if !found.is_dir() => Err(error(io::ErrorKind::NotADirectory.into())),
        Some((part, _)) if is_the_kernels(part) => Err(error(io::ErrorKind::Unsupported.into())),
        Some((part, _)) => check_usable(part).map_err(error),
        None => Ok(()),
    }
}

/// Makes the directory where there is none, for this user alone.
///
/// # Errors
/// [`StartError::DataDir`].
pub(super) fn prepare(path: &Path) -> Result<(), StartError> {
    let error = |source| StartError::DataDir { path: path.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(error)?;
    // Tells an unwritable directory from a database that cannot be opened.
    check_usable(path).map_err(error)
}

/// Whether this lies where the kernel shows its own and no directory can be
/// made, whatever the permissions say (statfs(2)).
fn is_the_kernels(directory: &Path) -> bool {
    const PROC: u64 = 0x9fa0;
    const SYSFS: u64 = 0x6265_6572;
    let kind = rustix::fs::statfs(directory).ok().and_then(|found| u64::try_from(found.f_type).ok());
    kind.is_some_and(|kind| kind == PROC || kind == SYSFS)
}

pub(super) fn check_usable(directory: &Path) -> io::Result<()> {
    let all = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(directory, all).map_err(|_| io::ErrorKind::PermissionDenied.into())
}
