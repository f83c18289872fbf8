//! The server's own secrets, stored in the database so that the one file is
//! everything. Copies have them too, but for the key that signs tokens: with
//! it whoever gets hold of a copy would be an admin for as long as it is in
//! use.

use std::fmt;

use super::codec::TlsRow;
use super::error::{Outcome, Unavailable};
use super::handle::Store;
use super::tables::meta;
use super::trail;
use crate::domain::{Action, Actor, NewAuditEntry, Timestamp};

/// The key that signs access tokens: 256 bits. Never shown by `Debug`.
#[derive(Clone)]
pub struct SigningKey(pub [u8; 32]);

/// There is no signing key in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSigningKey;

/// The self-signed certificate and its private key (PKCS #8), both DER. The
/// key is never shown by `Debug`.
#[derive(Clone)]
pub struct TlsIdentity {
    /// X.509 certificate.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub private_key: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({} byte certificate, …)", self.certificate.len())
    }
}

impl Store {
    /// The stored signing key; `fresh` becomes it when there is none yet.
    pub async fn signing_key_or(&self, fresh: SigningKey) -> Result<SigningKey, Unavailable> {
        self.write_always(move |tables| {
            if let Some(key) = tables.meta.value(meta::SIGNING_KEY)? {
                return Ok(SigningKey(key));
            }
            tables.meta.set(meta::SIGNING_KEY, &fresh.0)?;
            Ok(fresh.clone())
        })
        .await
    }

    /// Puts `fresh` in the place of the stored signing key: with this commit
    /// every token of before is void, once the server signs with it.
    pub async fn rotate_signing_key(
        &self,
        fresh: SigningKey,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<(), NoSigningKey> {
        self.write(move |tables| {
            if tables.meta.value(meta::SIGNING_KEY)?.is_none() {
                return Ok(Err(NoSigningKey));
            }
            tables.meta.set(meta::SIGNING_KEY, &fresh.0)?;
            trail::append(tables, NewAuditEntry::of(Action::SigningKeyRotated, &by, now))?;
            Ok(Ok(()))
        })
        .await
    }

    /// The stored self-signed identity, or `None`.
    pub async fn tls_identity(&self) -> Result<Option<TlsIdentity>, Unavailable> {
        let row = self.value(meta::TLS_IDENTITY).await?;
        Ok(row.map(|TlsRow { certificate, private_key }| TlsIdentity { certificate, private_key }))
    }

    /// Stores `identity` in place of the one before.
    pub async fn keep_tls_identity(&self, identity: TlsIdentity) -> Result<(), Unavailable> {
        let TlsIdentity { certificate, private_key } = identity;
        self.set_value(meta::TLS_IDENTITY, TlsRow { certificate, private_key }).await
    }
}
