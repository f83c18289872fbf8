//! What an ACME server has given: the account and the certificate, stored so
//! that a restart orders nothing; and what it did not give, so that a server
//! which is started again and again does not order each time.

use std::fmt;

use super::codec::{AcmeAccountRow, AcmeCertificateRow, AcmeSetbackRow};
use super::error::{Unavailable, unreadable};
use super::handle::Store;
use super::tables::meta;
use crate::domain::Timestamp;

/// Most characters of a reason that are stored: part of it is the ACME
/// server's.
const MAX_REASON_CHARS: usize = 1000;

/// An account with an ACME server. Its key is never shown by `Debug`.
#[derive(Clone)]
pub struct AcmeAccount {
    /// The directory of the server that knows it.
    pub directory_url: String,
    /// Id and private key, as the ACME client writes them (JSON).
    pub credentials: String,
}

/// A certificate from an ACME server. Its key is never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeCertificate {
    /// The directory of the server that issued it.
    pub directory_url: String,
    /// X.509 certificates, DER, the server's own first.
    pub chain: Vec<Vec<u8>>,
    /// Private key (PKCS #8, DER).
    pub private_key: Vec<u8>,
}

/// Orders that gave no certificate since the last that did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSetback {
    /// The directory of the server that was asked.
    pub directory_url: String,
    /// The names that were ordered.
    pub domains: Vec<String>,
    /// How many orders, one after the other.
    pub failures: u32,
    /// How many checks of the names failed, since the server started to ask.
    pub failed_checks: u64,
    /// When the next order may be made.
    pub retry_at: Timestamp,
    /// Why the last gave none; its first 1,000 characters are stored.
    pub reason: String,
}

impl fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AcmeAccount({}, …)", self.directory_url)
    }
}

impl fmt::Debug for AcmeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AcmeCertificate({}, …)", self.directory_url)
    }
}

impl Store {
    /// The stored account, or `None`.
    pub async fn acme_account(&self) -> Result<Option<AcmeAccount>, Unavailable> {
        let row = self.value(meta::ACME_ACCOUNT).await?;
        Ok(row
            .map(|AcmeAccountRow { directory_url, credentials }| AcmeAccount { directory_url, credentials }))
    }

    /// Stores `account` in place of the one before.
    pub async fn keep_acme_account(&self, account: AcmeAccount) -> Result<(), Unavailable> {
        let AcmeAccount { directory_url, credentials } = account;
        self.set_value(meta::ACME_ACCOUNT, AcmeAccountRow { directory_url, credentials }).await
    }

    /// The stored certificate, or `None`.
    pub async fn acme_certificate(&self) -> Result<Option<AcmeCertificate>, Unavailable> {
        let row = self.value(meta::ACME_CERTIFICATE).await?;
        Ok(row.map(|AcmeCertificateRow { directory_url, chain, private_key }| AcmeCertificate {
            directory_url,
            chain,
            private_key,
        }))
    }

    /// Stores `certificate` in place of the one before, and forgets the orders
    /// that failed.
    pub async fn keep_acme_certificate(&self, certificate: AcmeCertificate) -> Result<(), Unavailable> {
        let AcmeCertificate { directory_url, chain, private_key } = certificate;
        let row = AcmeCertificateRow { directory_url, chain, private_key };
        self.write_always(move |tables| {
            tables.meta.set(meta::ACME_CERTIFICATE, &row)?;
            tables.meta.remove(meta::ACME_SETBACK.name)
        })
        .await
    }

    /// The orders that failed since the last that did not, or `None`.
    pub async fn acme_setback(&self) -> Result<Option<AcmeSetback>, Unavailable> {
        let Some(row) = self.value(meta::ACME_SETBACK).await? else {
            return Ok(None);
        };
        let retry_at = row.retry_at().map_err(|error| unreadable(meta::ACME_SETBACK.name, error))?;
        let AcmeSetbackRow { directory_url, domains, failures, failed_checks, reason, .. } = row;
        Ok(Some(AcmeSetback { directory_url, domains, failures, failed_checks, retry_at, reason }))
    }

    /// Stores `setback` in place of the one before.
    pub async fn keep_acme_setback(&self, setback: AcmeSetback) -> Result<(), Unavailable> {
        let AcmeSetback { directory_url, domains, failures, failed_checks, retry_at, reason } = setback;
        let reason = reason.chars().take(MAX_REASON_CHARS).collect();
        let retry_at = retry_at.unix();
        let row = AcmeSetbackRow { directory_url, domains, failures, failed_checks, retry_at, reason };
        self.set_value(meta::ACME_SETBACK, row).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn account_and_certificate_are_there_again_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(crate::store::FILE_NAME);
        let store = Store::open(&path).unwrap();
        assert!(store.acme_account().await.unwrap().is_none());
        assert!(store.acme_certificate().await.unwrap().is_none());
        let certificate = AcmeCertificate {
            directory_url: "https://acme.example/directory".into(),
            chain: vec![vec![1; 2000], vec![2; 2000]],
            private_key: vec![3; 130],
        };
        let account =
            AcmeAccount { directory_url: certificate.directory_url.clone(), credentials: "{}".into() };
        store.keep_acme_account(account).await.unwrap();
        store.keep_acme_certificate(certificate.clone()).await.unwrap();
        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(store.acme_account().await.unwrap().unwrap().credentials, "{}");
        assert_eq!(store.acme_certificate().await.unwrap(), Some(certificate));
    }

    #[tokio::test]
    async fn failed_orders_are_known_after_a_restart_until_one_succeeds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(crate::store::FILE_NAME);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.acme_setback().await.unwrap(), None);
        let setback = AcmeSetback {
            directory_url: "https://acme.example/directory".into(),
            domains: vec!["a.example".into(), "b.example".into()],
            failures: 3,
            failed_checks: 2,
            retry_at: Timestamp::from_unix(1_900_000_000).unwrap(),
            reason: "é".repeat(100_000),
        };
        store.keep_acme_setback(setback.clone()).await.unwrap();
        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
        let store = Store::open(&path).unwrap();
        let kept = store.acme_setback().await.unwrap();
        assert_eq!(kept, Some(AcmeSetback { reason: "é".repeat(MAX_REASON_CHARS), ..setback }));
        let certificate = AcmeCertificate {
            directory_url: "https://acme.example/directory".into(),
            chain: vec![vec![1]],
            private_key: vec![2],
        };
        store.keep_acme_certificate(certificate).await.unwrap();
        assert_eq!(store.acme_setback().await.unwrap(), None);
    }
}
