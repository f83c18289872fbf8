//! The API over the database of a server that is down.
//!
//! The same routes, rules and audit trail as behind the control socket, in
//! this process: whoever has lost every password gets back in without a
//! server. Opening the database takes its lock, so that no server can start
//! in between, and fails where one runs. Files stay those of the server's
//! user, and a change is in the backup when the command ends.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use rustix::process::{Gid, Uid, geteuid};

use crate::api::App;
use crate::api::envelope::Api;
use crate::auth::host_user::HostUser;
use crate::auth::initial_password;
use crate::cli::screen::complain;
use crate::config::Config;
use crate::server::{StartError, in_process, schedule_backups};
use crate::store::{FILE_NAME, Store};

/// What a command may do with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read it.
    Read,
    /// Change it.
    Write,
    /// Change it, and create it in its directory where there is none yet:
    /// whoever sets a server up may do so before the first start.
    Create,
}

/// An open database. Closed when dropped.
pub(super) struct AtRest {
    api: Api,
    store: Store,
    user: HostUser,
    initial_password: PathBuf,
}

impl AtRest {
    /// Opens the database that `config` tells of; `None` where there is none.
    /// Root takes on the owner of its directory first, for the rest of the
    /// process: what is made there must be the server's to read and write.
    ///
    /// # Errors
    /// [`StartError`]; the file is then as it was.
    pub(super) fn open(config: &Config, access: Access) -> Result<Option<Self>, StartError> {
        let data_dir = &config.data_dir;
        let database = data_dir.join(FILE_NAME);
        let there = database.exists();
        let may_be_made = access == Access::Create && data_dir.is_dir();
        if !there && !may_be_made {
            return Ok(None);
        }
        let user = HostUser::of(geteuid().as_raw());
        act_as_owner(data_dir)?;
        let store = Store::open(&database)?;
        if !there {
            complain(format!("no server has run here yet: made {}", database.display()));
        }
        if access != Access::Read {
            // The last one is made when the database is closed.
            schedule_backups(config, &store)?;
        }
        let given = config.signing_key_file.is_some();
        let app = App::at_rest(store.clone(), data_dir.clone(), given).map_err(|error| {
            StartError::System { what: "set up the metrics", source: std::io::Error::other(error) }
        })?;
        let initial_password = initial_password::path(data_dir);
        Ok(Some(Self { api: Api::new(Arc::new(app)), store, user, initial_password }))
    }

    /// Answers as a server would on its control socket.
    pub(super) async fn answer(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let had_initial_password = self.initial_password.exists();
        let response = in_process::answer(&self.api, request, self.user.clone()).await;
        // What the server would say in its log.
        if had_initial_password && !self.initial_password.exists() {
            complain(format!("removed {}, which works no more", self.initial_password.display()));
        }
        response
    }
}

impl Drop for AtRest {
    fn drop(&mut self) {
        self.store.clone().close();
    }
}

/// Of group and others.
const WRITABLE_FOR_OTHERS: u32 = 0o022;

/// Has root act as the user who owns `directory`, for the rest of the process;
/// nobody else changes. What is made there is then that user's, and links that
/// were put there lead nowhere that this user could not go. A link in the
/// directory's own place tells no owner, nor does a directory of root's that
/// others can write to: they may have put anything there.
///
/// # Errors
/// [`StartError`] when the directory cannot be looked at, does not tell its
/// owner, or the system refuses.
pub(crate) fn act_as_owner(directory: &Path) -> Result<(), StartError> {
    let unusable = |source| StartError::DataDir { path: directory.to_owned(), source };
    if !geteuid().is_root() {
        return directory.metadata().map(drop).map_err(unusable);
    }
    // Without a slash at the end, which would follow a link.
    let place: PathBuf = directory.components().collect();
    let owner = place.symlink_metadata().map_err(unusable)?;
    if owner.is_symlink() {
        let to = "is a link: as root, name the directory that it leads to";
        return Err(unusable(std::io::Error::other(to)));
    }
    if owner.uid() == 0 {
        if owner.mode() & WRITABLE_FOR_OTHERS != 0 {
            let to = "is root's and others can write to it: chown it to the user of the service";
            return Err(unusable(std::io::Error::other(to)));
        }
        return Ok(());
    }
    // Linux does this for one thread, and those that it starts: all that work
    // on the database are started later.
    rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_gid(Gid::from_raw(owner.gid())))
        .and_then(|()| rustix::thread::set_thread_uid(Uid::from_raw(owner.uid())))
        .map_err(|error| StartError::System {
            what: "act as the owner of the data directory",
            source: error.into(),
        })
}
