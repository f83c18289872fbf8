//! TLS 1.2 and 1.3 by rustls, with forward secrecy only and no early data.
//!
//! The certificate is asked for at each handshake, so it can be changed while
//! connections go on.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, version};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::challenges::Challenges;
use crate::certificate::{CertificateFacts, CertificateState};
use crate::domain::Timestamp;
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
    /// The certificate has ended.
    #[error("the certificate in {path} (tls.cert) ended at {not_after}: put a new one in its place")]
    Expired {
        /// Certificate file.
        path: PathBuf,
        /// When it ended.
        not_after: Timestamp,
    },
    /// The self-signed certificate cannot be made or read.
    #[error("the self-signed certificate cannot be used: {0}")]
    SelfSigned(String),
    /// rustls refused its own parameters.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The TLS protocol name with which an ACME server asks for its challenge
/// (RFC 8737, section 6.2).
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

/// The shortest RSA key that the provider signs with (NIST SP 800-131A).
const MIN_RSA_BITS: usize = 2048;

/// A certificate chain with its private key, ready for use.
#[derive(Debug)]
pub(super) struct Pair {
    key: CertifiedKey,
    /// What the certificate says.
    pub(super) facts: CertificateFacts,
}

impl Pair {
    /// From two PEM files.
    pub(super) fn from_files(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let pair = read_pair(cert, key)?;
        Self::new(pair).ok_or_else(|| TlsError::File {
            path: cert.to_owned(),
            key: "tls.cert",
            reason: "its first certificate is damaged: give a PEM certificate chain, the server's own first"
                .into(),
        })
    }

    /// From DER: a chain, the server's own first, and its key (PKCS #8).
    pub(super) fn from_der(chain: Vec<Vec<u8>>, private_key: Vec<u8>) -> Result<Self, rustls::Error> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(private_key));
        let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
        Self::new(pair).ok_or(rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding))
    }

    /// From the certificate that this server made.
    pub(super) fn self_signed(identity: TlsIdentity) -> Result<Self, TlsError> {
        Self::from_der(vec![identity.certificate], identity.private_key)
            .map_err(|error| TlsError::SelfSigned(error.to_string()))
    }

    fn new(key: CertifiedKey) -> Option<Self> {
        let facts = facts(key.cert.first()?)?;
        Some(Self { key, facts })
    }

    /// What handshakes are answered with.
    pub(super) fn into_key(self) -> Arc<CertifiedKey> {
        Arc::new(self.key)
    }
}

/// The length of the RSA key that a certificate is for; `None` where it is for
/// another kind of key.
fn rsa_bits(certificate: &CertificateDer<'_>) -> Option<usize> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

/// What a certificate says; `None` when it cannot be read.
fn facts(certificate: &CertificateDer<'_>) -> Option<CertificateFacts> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()?;
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    });
    Some(CertificateFacts {
        names: names.collect(),
        issuer: certificate.issuer().to_string(),
        not_before: Timestamp::from_unix(certificate.validity().not_before.timestamp())?,
        not_after: Timestamp::from_unix(certificate.validity().not_after.timestamp())?,
        self_signed: certificate.issuer().as_raw() == certificate.subject().as_raw(),
    })
}

/// The certificate in use.
#[derive(Debug)]
pub(super) struct Certificates {
    resolver: Arc<Resolver>,
    state: Arc<CertificateState>,
}

/// Tells each handshake its certificate.
#[derive(Debug)]
struct Resolver {
    current: RwLock<Arc<CertifiedKey>>,
    challenges: Arc<Challenges>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // An ACME server offers this protocol and no other (RFC 8737, section
        // 3), and must see the challenge's certificate or none.
        if hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_TLS)) {
            return self.challenges.certificate(hello.server_name()?);
        }
        Some(Arc::clone(&self.current.read()))
    }
}

impl Certificates {
    /// Begins with `pair`; `state` is told of it and of those that follow.
    pub(super) fn new(pair: Pair, challenges: Arc<Challenges>, state: Arc<CertificateState>) -> Self {
        state.update(|status| status.certificate = Some(pair.facts.clone()));
        let resolver = Arc::new(Resolver { current: RwLock::new(pair.into_key()), challenges });
        Self { resolver, state }
    }

    /// What the certificate in use says.
    pub(super) fn facts(&self) -> Option<CertificateFacts> {
        self.state.status().certificate
    }

    /// Uses `pair` from the next handshake on; connections go on.
    pub(super) fn install(&self, pair: Pair) {
        self.state.update(|status| status.certificate = Some(pair.facts.clone()));
        *self.resolver.current.write() = pair.into_key();
    }

    /// What takes handshakes; with `acme`, challenges too.
    pub(super) fn acceptor(&self, acme: bool) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
        // The provider has suites for both versions: this cannot fail.
        let builder = match builder.with_protocol_versions(&[&version::TLS13, &version::TLS12]) {
            Ok(builder) => builder,
            Err(error) => unreachable!("{error}"),
        };
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.resolver) as Arc<dyn ResolvesServerCert>);
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if acme {
            config.alpn_protocols.push(ACME_TLS.to_vec());
        }
        // Tickets under keys that rotate every 6 hours; without them sessions
        // are simply not resumed.
        if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
            config.ticketer = ticketer;
        }
        // A client that resumes gets the next one then.
        config.send_tls13_tickets = 1;
        TlsAcceptor::from(Arc::new(config))
    }
}

/// The provider with our order of cipher suites, in which those with AES-128 and
/// SHA-256 come first: the first is the one that every TLS 1.3 client has (RFC
/// 8446, section 9.1), and its strength is beyond all reach. With SHA-384, for
/// which processors have no instructions, the key schedule of a handshake takes
/// as long as its key exchange (docs/measurements/what-helped.md).
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        _ => 1,
    });
    provider
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
    let bits = chain.first().and_then(rsa_bits);
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
            match bits {
                Some(bits) if bits < MIN_RSA_BITS => format!(
                    "its RSA key has {bits} bits and is too short: give one of {MIN_RSA_BITS} bits or more, or an \
                     ECDSA key"
                ),
                _ => "its private key cannot be used: give an ECDSA, Ed25519 or RSA key".into(),
            },
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_with_sha_256_come_first_and_none_is_left_out() {
        let suites = |provider: CryptoProvider| -> Vec<_> {
            provider.cipher_suites.iter().map(|suite| suite.suite()).collect()
        };
        let (ours, theirs) = (suites(provider()), suites(aws_lc_rs::default_provider()));
        assert_eq!(ours[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(ours.len(), theirs.len());
        assert!(theirs.iter().all(|suite| ours.contains(suite)));
    }
}
