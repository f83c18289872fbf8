//! The answers to an ACME server's challenges, while it is checking.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

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
        let certificates = self.certificates.read();
        certificates.get(&domain.to_ascii_lowercase()).cloned()
    }

    /// The text for the check of `token` over HTTP.
    pub(super) fn key_authorization(&self, token: &str) -> Option<String> {
        self.tokens.read().get(token).cloned()
    }

    /// Answers the check of `domain` over TLS; `digest` is the SHA-256 of the
    /// key authorisation.
    pub(super) fn answer_over_tls(&self, domain: &str, digest: &[u8]) -> Result<(), ChallengeError> {
        let mut params = CertificateParams::new([domain.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let private = aws_lc_rs::default_provider().key_provider.load_private_key(private)?;
        // rustls's own check of the pair refuses the critical extension that
        // such a certificate must have.
        let answer = CertifiedKey::new(vec![certificate.der().clone()], private);
        let mut certificates = self.certificates.write();
        certificates.insert(domain.to_ascii_lowercase(), Arc::new(answer));
        Ok(())
    }

    /// Answers the check of `token` over HTTP.
    pub(super) fn answer_over_http(&self, token: String, key_authorization: String) {
        self.tokens.write().insert(token, key_authorization);
    }

    /// Answers no more.
    pub(super) fn clear(&self) {
        self.certificates.write().clear();
        self.tokens.write().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_over_tls_is_answered_for_its_domain_alone_until_it_is_over() {
        let challenges = Challenges::default();
        challenges.answer_over_tls("Licences.example.com", &[7; 32]).unwrap();
        let answer = challenges.certificate("licences.EXAMPLE.com").unwrap();
        let der = answer.cert[0].as_ref();
        // The extension's id (RFC 8737, section 6.1) and the digest.
        assert!(der.windows(8).any(|bytes| bytes == [43, 6, 1, 5, 5, 7, 1, 31]));
        assert!(der.windows(32).any(|bytes| bytes == [7; 32]));
        assert!(challenges.certificate("other.example.com").is_none());
        challenges.clear();
        assert!(challenges.certificate("licences.example.com").is_none());
    }
}
