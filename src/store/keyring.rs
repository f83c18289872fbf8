//! The server's own secrets, kept in the database so that the one file is
//! everything. Copies have them too, but for the key that signs tokens: with
//! it whoever gets hold of a copy would be an admin for as long as it is in
//! use.

use std::fmt;

use redb::ReadableTable;

use super::audit::{self, Record};
use super::codec::{self, Row, TlsRow};
use super::tables::{fixed, meta, unreadable};
use super::{Outcome, Store, Unavailable};
use crate::domain::{Action, Actor, Timestamp};

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
    /// The kept signing key; `fresh` becomes it when there is none yet.
    pub async fn signing_key_or(&self, fresh: SigningKey) -> Result<SigningKey, Unavailable> {
        self.write_always(move |tables| {
            if let Some(bytes) = tables.meta.get(meta::SIGNING_KEY)? {
                return Ok(SigningKey(fixed(meta::SIGNING_KEY, bytes.value())?));
            }
            tables.meta.insert(meta::SIGNING_KEY, fresh.0.as_slice())?;
            tables.written = true;
            Ok(fresh.clone())
        })
        .await
    }

    /// Puts `fresh` in the place of the kept signing key: with this commit
    /// every token of before is void, once the server signs with it.
    pub async fn rotate_signing_key(
        &self,
        fresh: SigningKey,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<(), NoSigningKey> {
        self.write(move |tables| {
            if tables.meta.get(meta::SIGNING_KEY)?.is_none() {
                return Ok(Err(NoSigningKey));
            }
            tables.meta.insert(meta::SIGNING_KEY, fresh.0.as_slice())?;
            let record = Record {
                at: now,
                actor: &by,
                action: Action::SigningKeyRotated,
                site_id: None,
                admin: None,
                changes: Vec::new(),
            };
            audit::record(tables, record)?;
            Ok(Ok(()))
        })
        .await
    }

    /// The kept self-signed identity, or `None`.
    pub async fn tls_identity(&self) -> Result<Option<TlsIdentity>, Unavailable> {
        self.read(|tables| {
            let Some(bytes) = tables.meta.get(meta::TLS_IDENTITY)? else {
                return Ok(None);
            };
            let row: TlsRow =
                codec::decode(bytes.value()).map_err(|error| unreadable(TlsRow::TABLE, error))?;
            Ok(Some(TlsIdentity { certificate: row.certificate, private_key: row.private_key }))
        })
        .await
    }

    /// Keeps `identity` in place of the one before.
    pub async fn keep_tls_identity(&self, identity: TlsIdentity) -> Result<(), Unavailable> {
        let row = TlsRow { certificate: identity.certificate, private_key: identity.private_key };
        self.write_always(move |tables| {
            tables.meta.insert(meta::TLS_IDENTITY, codec::encode(&row)?.as_slice())?;
            tables.written = true;
            Ok(())
        })
        .await
    }
}
