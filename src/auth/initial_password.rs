//! The first admin's password, in a file until it is changed.
//!
//! When the server makes it there may be nobody to show it to, so it is written
//! to the data directory. Others may find a password in a file: the server warns
//! of it at each start for as long as it works, and removes the file with the
//! first change of that password or with that admin.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::password::{PasswordFault, Passwords, TypedPassword};
use super::queue::{Claim, Standing};
use crate::domain::{Admin, NewPassword, Username};

/// The first admin's name.
pub const FIRST_ADMIN: &str = "sysadmin";
/// The file's name in the data directory.
pub const FILE: &str = "initial-admin-password";
/// Most bytes that are read: the longest password and the end of its line.
const MAX_BYTES: u64 = NewPassword::MAX_BYTES as u64 + 1;

/// Where the file is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Writes the file, readable by this user only.
///
/// # Errors
/// Those of the file system.
pub fn write(data_dir: &Path, password: &NewPassword) -> io::Result<()> {
    let path = path(data_dir);
    // A file that is there already is of a first start that did not finish.
    remove(&path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", password.expose())?;
    file.sync_all()
}

/// What is in the file; `None` when there is none.
///
/// # Errors
/// Those of the file system.
pub fn read(data_dir: &Path) -> io::Result<Option<TypedPassword>> {
    let file = match File::open(path(data_dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(Some(TypedPassword(text.trim_end_matches('\n').to_owned())))
}

/// Whether the password in the file is that of `admin`, the first one.
///
/// # Errors
/// [`PasswordFault`].
pub async fn opens(
    password: TypedPassword,
    admin: Option<Admin>,
    passwords: &Passwords,
) -> Result<bool, PasswordFault> {
    let Some(admin) = admin else {
        return Ok(false);
    };
    let claim = Claim { standing: Standing::Known, network: None };
    let turn = passwords.turn(claim).await.map_err(|_| PasswordFault::Busy)?;
    turn.verify(password, Some(admin.password_hash), |_| ()).await
}

/// Whether the file is there and `username` is the admin that it is for.
pub fn is_kept_for(data_dir: &Path, username: &Username) -> bool {
    username.folded() == FIRST_ADMIN && path(data_dir).exists()
}

/// Removes the file after `username` got another password or was deleted,
/// where that is the first admin, and says so in the log.
pub async fn forget(data_dir: &Path, username: &Username) {
    if username.folded() != FIRST_ADMIN {
        return;
    }
    let path = path(data_dir);
    let removing = path.clone();
    let removed = tokio::task::spawn_blocking(move || remove(&removing)).await;
    match removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(true) => {
            tracing::info!(password_file = %path.display(), "removed the initial password, which works no more");
        }
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, password_file = %path.display(), "cannot remove the initial password, which works no more");
        }
    }
}

/// Removes a file; `false` when there is none.
fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
