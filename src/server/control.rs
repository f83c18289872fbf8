//! The control socket: the same API on a Unix socket, for the command line.
//!
//! Whoever may open the socket (mode 0660: root, the service's user and its
//! group) acts as sysadmin without a password, under the name of the system
//! user that the kernel says it is (`SO_PEERCRED`, unix(7)). So nobody is
//! ever locked out of a server that he may log in to, and nothing needs the
//! server stopped.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};

use super::budget::Budget;
use super::data_dir;
use super::door::Door;
use super::error::StartError;
use super::exchange::service;
use super::patience::Activity;
use crate::api::Caller;
use crate::auth::host_user::HostUser;

/// Greatest length of a socket's path in bytes (`sun_path` of unix(7), less
/// the closing zero).
const MAX_PATH_BYTES: usize = 107;
/// How long `accept` rests when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// The bound socket. Its file goes when this is dropped.
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Refuses a path at which no socket can be made.
///
/// # Errors
/// [`StartError::ControlSocket`].
pub(super) fn check_path(path: &Path) -> Result<(), StartError> {
    let error = |reason: String| StartError::ControlSocket { path: path.to_owned(), reason };
    if path.as_os_str().len() > MAX_PATH_BYTES {
        return Err(error(format!(
            "the path is longer than {MAX_PATH_BYTES} bytes: set control_socket to a shorter one"
        )));
    }
    match path.symlink_metadata() {
        Ok(there) if !there.file_type().is_socket() => {
            Err(error(
            "something is there that is no socket, and was left as it is: move it away, or set control_socket to another path"
                .to_owned(),
        ))
        }
        _ => Ok(()),
    }
}

/// Refuses a path in a directory that is missing, or in which this user can
/// make nothing. The data directory is made before the socket is; one under
/// `/run` may be made by the service manager when the server starts.
///
/// # Errors
/// [`StartError::ControlSocket`].
pub(super) fn check_place(path: &Path, data_dir: &Path) -> Result<(), StartError> {
    let error = |reason: String| StartError::ControlSocket { path: path.to_owned(), reason };
    let directory = match path.parent() {
        Some(parent) if parent == Path::new("") => Path::new("."),
        Some(parent) => parent,
        None => return Err(error("it is no path of a file: set control_socket to another one".to_owned())),
    };
    if directory.is_dir() {
        return data_dir::check_usable(directory).map_err(|source| {
            error(format!(
                "the directory {}: {source}: make it writable for the user that runs sitewarden, or set \
                 control_socket to another path",
                directory.display()
            ))
        });
    }
    if data_dir.starts_with(directory) || directory.parent() == Some(Path::new("/run")) {
        return Ok(());
    }
    Err(error(format!(
        "there is no directory {}: make it, or set control_socket to another path",
        directory.display()
    )))
}

/// As [`check_place`], where whoever makes directories under `/run` has done
/// so.
///
/// # Errors
/// [`StartError::ControlSocket`].
pub(super) fn check_runtime_directory(path: &Path) -> Result<(), StartError> {
    match path.parent() {
        Some(parent) if parent.parent() == Some(Path::new("/run")) && !parent.is_dir() => {
            let reason = format!(
                "there is no directory {}: make it, or set control_socket to another path",
                parent.display()
            );
            Err(StartError::ControlSocket { path: path.to_owned(), reason })
        }
        _ => Ok(()),
    }
}

impl ControlSocket {
    /// Binds `path`. A socket that a killed server left there is replaced; one
    /// behind which a server answers is not, nor is anything but a socket.
    pub(super) async fn bind(path: &Path) -> Result<Self, StartError> {
        let error = |reason: String| StartError::ControlSocket { path: path.to_owned(), reason };
        check_path(path)?;
        match UnixStream::connect(path).await {
            Ok(_) => {
                return Err(error(
                    "another sitewarden answers there: stop it, or set control_socket to another path"
                        .to_owned(),
                ));
            }
            // Nobody listens: a server that was killed left it.
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(|source| error(source.to_string()))?;
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(|source| error(source.to_string()))?;
        let socket = Self { listener, path: path.to_owned() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
            .map_err(|source| error(source.to_string()))?;
        Ok(socket)
    }

    /// Accepts until the door is stopping.
    pub(super) async fn accept_into(self, door: Arc<Door>) {
        loop {
            let accepted = tokio::select! {
                () = door.stopping.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Ok(peer) = stream.peer_cred() {
                        door.connections.spawn(speak(Arc::clone(&door), stream, HostUser::of(peer.uid())));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the control socket; trying again");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // It may be gone already, with its directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn speak(door: Arc<Door>, stream: UnixStream, user: HostUser) {
    let service = service(
        &door,
        Caller::System(user),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        &Activity::new(false),
        // Who may open the socket is no stranger.
        Arc::<Budget>::default().account(false),
    );
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = door.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the control socket broke");
    }
}
