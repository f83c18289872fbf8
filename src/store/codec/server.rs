//! What the server stores for itself: its self-signed certificate, and what an
//! ACME server gave or did not give.

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, time};
use crate::domain::Timestamp;
use crate::domain::lease_key::StoredKey;

/// The self-signed certificate and its private key, both DER.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct TlsRow {
    pub(in crate::store) certificate: Vec<u8>,
    pub(in crate::store) private_key: Vec<u8>,
}

/// A key that signs leases. Its number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct LeaseKeyRow {
    /// The private key, DER.
    pub(in crate::store) pkcs8: Vec<u8>,
    pub(in crate::store) created_at: i64,
    pub(in crate::store) signs_from: i64,
}

impl LeaseKeyRow {
    pub(in crate::store) fn stored(&self, number: u64) -> Result<StoredKey, DecodeError> {
        Ok(StoredKey {
            number,
            created_at: time("created_at", self.created_at)?,
            signs_from: time("signs_from", self.signs_from)?,
        })
    }
}

/// An account with an ACME server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct AcmeAccountRow {
    pub(in crate::store) directory_url: String,
    pub(in crate::store) credentials: String,
}

/// A certificate from an ACME server, DER, with its private key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct AcmeCertificateRow {
    pub(in crate::store) directory_url: String,
    pub(in crate::store) chain: Vec<Vec<u8>>,
    pub(in crate::store) private_key: Vec<u8>,
}

/// Orders that gave no certificate since the last that did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct AcmeSetbackRow {
    pub(in crate::store) directory_url: String,
    pub(in crate::store) domains: Vec<String>,
    pub(in crate::store) failures: u32,
    pub(in crate::store) failed_checks: u64,
    pub(in crate::store) retry_at: i64,
    pub(in crate::store) reason: String,
}

impl AcmeSetbackRow {
    pub(in crate::store) fn retry_at(&self) -> Result<Timestamp, DecodeError> {
        time("retry_at", self.retry_at)
    }
}
