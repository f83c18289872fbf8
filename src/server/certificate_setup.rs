//! Where the certificate comes from, and what keeps it good while the server
//! runs: one variant for each `tls.mode`.

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::acme::{self, AcmeWorker};
use super::challenges::Challenges;
use super::error::StartError;
use super::files::CertificateFiles;
use super::listener::{self, Listener};
use super::redirect::Redirect;
use super::self_signed::SelfSigned;
use super::tls::{Certificates, Pair};
use crate::certificate::{CertificateMode, CertificateState};
use crate::clock;
use crate::config::{Config, TlsMode};
use crate::domain::Timestamp;
use crate::store::Store;
use crate::telemetry::Announcer;

/// The self-signed certificate as a file, for clients that shall trust it.
const CERTIFICATE_FILE: &str = "tls-certificate.pem";

/// The certificate that the server begins with, and its upkeep.
pub(super) enum CertificateSetup {
    /// Plain HTTP.
    Off,
    /// Made here.
    SelfSigned { acceptor: TlsAcceptor, own: SelfSigned, certificates: Arc<Certificates> },
    /// In files of the operator's.
    Files { acceptor: TlsAcceptor, files: Arc<CertificateFiles> },
    /// From an ACME server, which checks this one by plain HTTP as well.
    Acme { acceptor: TlsAcceptor, worker: Box<AcmeWorker>, plain: PlainHttp },
}

/// What answers plain HTTP beside HTTPS.
pub(super) struct PlainHttp {
    pub(super) listeners: Vec<Listener>,
    challenges: Arc<Challenges>,
    domains: Vec<String>,
}

impl PlainHttp {
    /// What its listeners answer with, where HTTPS is at this port.
    pub(super) fn redirect(&self, https_port: u16) -> Redirect {
        Redirect::new(Arc::clone(&self.challenges), self.domains.clone(), https_port)
    }
}

/// The mode's name in the state of the certificate.
pub(super) fn mode(mode: &TlsMode) -> CertificateMode {
    match mode {
        TlsMode::SelfSigned => CertificateMode::SelfSigned,
        TlsMode::Files { .. } => CertificateMode::Files,
        TlsMode::Acme(_) => CertificateMode::Acme,
        TlsMode::Off => CertificateMode::Off,
    }
}

impl CertificateSetup {
    /// Reads or makes the certificate that is configured; `state` is told of
    /// it. With ACME, this is the one of an earlier run, or a self-signed one
    /// until there is a better: an order needs a server that answers.
    ///
    /// # Errors
    /// [`StartError`].
    pub(super) async fn new(
        config: &Config,
        store: &Store,
        state: &Arc<CertificateState>,
        announcer: Announcer,
    ) -> Result<Self, StartError> {
        let now = clock::now();
        let own = SelfSigned {
            store: store.clone(),
            listen: config.listen.clone(),
            file: config.data_dir.join(CERTIFICATE_FILE),
            announcer,
        };
        let challenges: Arc<Challenges> = Arc::default();
        let certificates =
            |pair| Arc::new(Certificates::new(pair, Arc::clone(&challenges), Arc::clone(state)));
        match &config.tls {
            TlsMode::Off => Ok(Self::Off),
            TlsMode::Files { cert, key } => {
                let pair = Pair::from_files(cert, key)?;
                warn_of_dates(&pair, cert, now);
                let certificates = certificates(pair);
                let acceptor = certificates.acceptor(false);
                let files = Arc::new(CertificateFiles::new(cert, key, certificates, Arc::clone(state)));
                Ok(Self::Files { acceptor, files })
            }
            TlsMode::SelfSigned => {
                let certificates = certificates(own.certificate(now).await?);
                Ok(Self::SelfSigned { acceptor: certificates.acceptor(false), own, certificates })
            }
            TlsMode::Acme(settings) => {
                let (pair, current) = match acme::stored(store, settings, now).await? {
                    Some((pair, current)) => (pair, Some(current)),
                    None => (own.certificate(now).await?, None),
                };
                let certificates = certificates(pair);
                let acceptor = certificates.acceptor(true);
                let worker = AcmeWorker::new(
                    store.clone(),
                    settings.clone(),
                    certificates,
                    Arc::clone(state),
                    Arc::clone(&challenges),
                    current,
                );
                let listeners = listener::bind_all(&settings.http_listen, config.limits.write)?;
                let plain = PlainHttp { listeners, challenges, domains: settings.domains.clone() };
                Ok(Self::Acme { acceptor, worker: Box::new(worker), plain })
            }
        }
    }

    /// What takes handshakes; `None`: plain HTTP.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        match self {
            Self::Off => None,
            Self::SelfSigned { acceptor, .. }
            | Self::Files { acceptor, .. }
            | Self::Acme { acceptor, .. } => Some(acceptor.clone()),
        }
    }

    /// The operator's files, which a reload reads again.
    pub(super) fn files(&self) -> Option<Arc<CertificateFiles>> {
        match self {
            Self::Files { files, .. } => Some(Arc::clone(files)),
            Self::Off | Self::SelfSigned { .. } | Self::Acme { .. } => None,
        }
    }

    /// Begins the upkeep, which goes on until it is aborted; `None` where there
    /// is nothing to keep up. To be called when the server answers: only then
    /// can an ACME server check it.
    pub(super) fn keep_up(self) -> Option<JoinHandle<()>> {
        match self {
            Self::Off => None,
            Self::SelfSigned { own, certificates, .. } => Some(tokio::spawn(own.keep(certificates))),
            Self::Files { files, .. } => Some(tokio::spawn(async move { files.watch().await })),
            Self::Acme { worker, .. } => Some(tokio::spawn(worker.run())),
        }
    }
}

/// Says in the log when clients will refuse a certificate of the operator's.
fn warn_of_dates(pair: &Pair, cert: &Path, now: Timestamp) {
    let (not_before, not_after) = (pair.facts.not_before, pair.facts.not_after);
    if not_after <= now {
        tracing::error!(cert = %cert.display(), %not_after, "the certificate has ended: put a new one in its place");
    }
    if not_before > now {
        tracing::error!(cert = %cert.display(), %not_before, clock = %now, "the certificate is not valid yet: is the clock right?");
    }
}
