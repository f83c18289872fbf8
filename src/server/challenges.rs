//! The answers to an ACME server's challenges, while it is checking.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::sign::CertifiedKey;

use super::tls::Pair;

/// What is being checked now.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    /// Domain → certificate (RFC 8737, section 3).
    certificates: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    /// Token → key authorisation (RFC 8555, section 8.3).
    tokens: RwLock<HashMap<String, String>>,
}

/// Why the certificate of a challenge could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChallengeError {
    #[error(transparent)]
    Made(#[from] rcgen::Error),
    #[error(transparent)]
    Used(#[from] rustls::Error),
}

impl Challenges {
    /// The certificate for the check of `domain` over TLS.
    pub(super) fn certificate(&self, domain: &str) -> Option<Arc<CertifiedKey>> {
        let certificates = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        certificates.get(&domain.to_ascii_lowercase()).cloned()
    }

    /// The text for the check of `token` over HTTP.
    pub(super) fn key_authorization(&self, token: &str) -> Option<String> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Answers the check of `domain` over TLS; `digest` is the SHA-256 of the
    /// key authorisation.
    pub(super) fn answer_over_tls(&self, domain: &str, digest: &[u8]) -> Result<(), ChallengeError> {
        let mut params = CertificateParams::new([domain.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        let pair = Pair::from_der(vec![certificate.der().to_vec()], key.serialize_der())?;
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        certificates.insert(domain.to_ascii_lowercase(), pair.into_key());
        Ok(())
    }

    /// Answers the check of `token` over HTTP.
    pub(super) fn answer_over_http(&self, token: String, key_authorization: String) {
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(token, key_authorization);
    }

    /// Answers no more.
    pub(super) fn clear(&self) {
        self.certificates.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
