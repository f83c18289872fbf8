//! Why the server did not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::tls::TlsError;
use crate::auth::password::PasswordFault;
use crate::auth::random::NoRandomness;
use crate::store::{OpenError, Unavailable};

/// Why the server did not start. Displays as one line that names the thing
/// and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database, once open.
    #[error("the database cannot be used: {0}")]
    Store(#[from] Unavailable),
    /// The data directory.
    #[error(
        "cannot use the data directory {path}: {source}: make it writable for the user that runs sitewarden, or set data_dir"
    )]
    DataDir {
        /// The directory or a file in it.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A listening address.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The control socket.
    #[error("cannot use the control socket {path}: {reason}")]
    ControlSocket {
        /// Its path.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The signing key's file.
    #[error("cannot use the signing key in {path} (auth.signing_key_file): {reason}")]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The lease key that systemd gives.
    #[error(
        "cannot use the lease key in {path} (the credential lease-key): {reason}: give a P-256 key as \
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 makes it"
    )]
    LeaseKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that `acme` needs.
    #[error("cannot use {path} ({key}): {reason}")]
    Acme {
        /// The file.
        path: PathBuf,
        /// The setting that names it.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The first admin's password.
    #[error("cannot make the first admin: {0}")]
    FirstAdmin(#[from] PasswordFault),
    /// The operating system refused something without which nothing works.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        source: io::Error,
    },
}

impl From<NoRandomness> for StartError {
    fn from(_: NoRandomness) -> Self {
        Self::System { what: "get random bytes", source: io::ErrorKind::Other.into() }
    }
}
