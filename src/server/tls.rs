//! TLS 1.2 and 1.3 by rustls, with forward secrecy only and no early data.
//!
//! The certificate is asked for at each handshake, so it can be changed while
//! connections go on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio_rustls::TlsAcceptor;

use crate::store::TlsIdentity;

/// Why a certificate cannot be used. Displays as one line that names the
/// file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read.
    #[error("cannot read {path} ({key}): {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The setting that names it.
        key: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Certificate and key are not of one pair.
    #[error(
        "the private key in {key} does not belong to the certificate in {cert}: set tls.cert and tls.key to files of one pair"
    )]
    Mismatch {
        /// Certificate file.
        cert: PathBuf,
        /// Key file.
        key: PathBuf,
    },
    /// The self-signed certificate cannot be made or read.
    #[error("the self-signed certificate cannot be used: {0}")]
    SelfSigned(String),
    /// rustls refused its own parameters.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The certificate in use.
#[derive(Debug)]
pub(super) struct Certificates {
    current: Arc<Current>,
    self_signed: bool,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificates {
    /// From two PEM files.
    pub(super) fn from_files(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self::new(read_pair(cert, key)?, false))
    }

    /// From the certificate that this server made.
    pub(super) fn self_signed(identity: TlsIdentity) -> Result<Self, TlsError> {
        let chain = vec![CertificateDer::from(identity.certificate)];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.private_key));
        let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|error| TlsError::SelfSigned(error.to_string()))?;
        Ok(Self::new(pair, true))
    }

    fn new(pair: CertifiedKey, self_signed: bool) -> Self {
        Self { current: Arc::new(Current(RwLock::new(Arc::new(pair)))), self_signed }
    }

    /// Whether nobody but this server vouches for the certificate.
    pub(super) fn is_self_signed(&self) -> bool {
        self.self_signed
    }

    /// When the certificate expires, in seconds since 1970.
    pub(super) fn expires_at(&self) -> Option<i64> {
        let pair = Arc::clone(&self.current.0.read().unwrap_or_else(PoisonError::into_inner));
        let (_, certificate) = x509_parser::parse_x509_certificate(pair.cert.first()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    /// What takes handshakes.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        // The provider has suites for both versions: this cannot fail.
        let builder = match builder.with_protocol_versions(&[&version::TLS13, &version::TLS12]) {
            Ok(builder) => builder,
            Err(error) => unreachable!("{error}"),
        };
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets under keys that rotate every 6 hours; without them sessions
        // are simply not resumed.
        if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
            config.ticketer = ticketer;
        }
        TlsAcceptor::from(Arc::new(config))
    }
}

fn read_pair(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let error = |path: &Path, key, reason: String| TlsError::File { path: path.to_owned(), key, reason };
    let pem = std::fs::read(cert).map_err(|source| error(cert, "tls.cert", source.to_string()))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| {
        error(cert, "tls.cert", "it is damaged: give a PEM certificate chain, the server's own first".into())
    })?;
    if chain.is_empty() {
        return Err(error(
            cert,
            "tls.cert",
            "it holds no certificate: give a PEM certificate chain, the server's own first".into(),
        ));
    }
    let pem = std::fs::read(key).map_err(|source| error(key, "tls.key", source.to_string()))?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        error(key, "tls.key", "it holds no private key: give a PEM key without passphrase".into())
    })?;
    match CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()) {
        Ok(pair) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() })
        }
        Err(rustls::Error::InvalidCertificate(_)) => Err(error(
            cert,
            "tls.cert",
            "its first certificate is damaged: give a PEM certificate chain, the server's own first".into(),
        )),
        Err(_) => Err(error(
            key,
            "tls.key",
            "its private key cannot be used: give an ECDSA, Ed25519 or RSA key".into(),
        )),
    }
}
