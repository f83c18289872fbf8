//! The certificate in two PEM files: read again when they change.
//!
//! The files are looked at every [`LOOK`] rather than watched by the system:
//! that also sees a symbolic link which was turned to another file, and files
//! on network file systems. A change is read when it has stood still for one
//! look, so that a certificate is not read between the writing of the one
//! file and of the other.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::tls::{Certificates, Pair, TlsError};
use crate::certificate::CertificateState;
use crate::clock;
use crate::domain::Timestamp;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Two files and what is known of them.
pub(super) struct CertificateFiles {
    certificates: Arc<Certificates>,
    state: Arc<CertificateState>,
    watched: Mutex<Watched>,
}

struct Watched {
    paths: Paths,
    /// As they were when they were read last.
    read: Stamps,
    /// As they were at the last look.
    seen: Stamps,
}

#[derive(Clone)]
struct Paths {
    cert: PathBuf,
    key: PathBuf,
}

/// What tells a file from the one that stood there before: inode, size and
/// time of change, for each of the two; `None` where there is none.
type Stamps = [Option<(u64, u64, i64, i64)>; 2];

impl Paths {
    fn stamps(&self) -> Stamps {
        [&self.cert, &self.key].map(|path| {
            let found = path.metadata().ok()?;
            Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        })
    }

    fn read(&self, now: Timestamp) -> Result<Pair, TlsError> {
        let pair = Pair::from_files(&self.cert, &self.key)?;
        if pair.facts.not_after <= now {
            return Err(TlsError::Expired { path: self.cert.clone(), not_after: pair.facts.not_after });
        }
        Ok(pair)
    }
}

impl CertificateFiles {
    /// Files that have just been read into `certificates`.
    pub(super) fn new(
        cert: &Path,
        key: &Path,
        certificates: Arc<Certificates>,
        state: Arc<CertificateState>,
    ) -> Self {
        let paths = Paths { cert: cert.to_owned(), key: key.to_owned() };
        let stamps = paths.stamps();
        let watched = Mutex::new(Watched { paths, read: stamps, seen: stamps });
        Self { certificates, state, watched }
    }

    /// Looks at the files for ever.
    pub(super) async fn watch(&self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let mut watched = self.watched.lock().await;
            let paths = watched.paths.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || paths.stamps()).await else { continue };
            if now != watched.seen {
                watched.seen = now;
            } else if now != watched.read {
                self.read(&mut watched).await;
            }
        }
    }

    /// Reads the files now, which may be others than before.
    pub(super) async fn reload(&self, cert: &Path, key: &Path) {
        let mut watched = self.watched.lock().await;
        watched.paths = Paths { cert: cert.to_owned(), key: key.to_owned() };
        self.read(&mut watched).await;
    }

    async fn read(&self, watched: &mut Watched) {
        let paths = watched.paths.clone();
        let read = tokio::task::spawn_blocking(move || {
            let stamps = paths.stamps();
            (stamps, paths.read(clock::now()))
        });
        let Ok((stamps, read)) = read.await else { return };
        (watched.read, watched.seen) = (stamps, stamps);
        match read {
            Ok(pair) => {
                let (names, not_after) = (pair.facts.names.join(", "), pair.facts.not_after);
                self.certificates.install(pair);
                self.state.update(|status| status.last_error = None);
                tracing::info!(names, %not_after, "the certificate was read from its files and is in use");
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the one before stays in use");
                self.state.update(|status| status.last_error = Some(error.to_string()));
            }
        }
    }
}
