//! The keys that sign leases, at the start.

use std::path::PathBuf;

use super::error::StartError;
use crate::api::lease_keys::ready;
use crate::auth::lease_key::{KnownKey, LeaseKey, LeaseKeys};
use crate::clock;
use crate::config::Config;
use crate::domain::Timestamp;
use crate::domain::lease_key::StoredKey;
use crate::store::{Store, Unavailable};

/// What begins and ends a private key as PEM (RFC 7468, section 10).
const LABEL: &str = "PRIVATE KEY";

/// The keys: that which systemd gives, else those in the database, which gets
/// one where it has none.
///
/// # Errors
/// [`StartError`].
pub(super) async fn keys(store: &Store, config: &Config) -> Result<LeaseKeys, StartError> {
    let issuer = config.lease_issuer.clone().unwrap_or_else(host_name);
    if let Some(path) = credential() {
        let error = |reason: String| StartError::LeaseKey { path: path.clone(), reason };
        let pem = std::fs::read(&path).map_err(|source| error(source.to_string()))?;
        let pkcs8 = pkcs8_of(&pem).ok_or_else(|| error(format!("it holds no {LABEL} as PEM")))?;
        let key = LeaseKey::of_pkcs8(&pkcs8).map_err(|source| error(format!("it holds {source}")))?;
        let stored = StoredKey { number: 1, created_at: Timestamp::MIN, signs_from: Timestamp::MIN };
        return Ok(LeaseKeys::new(issuer, vec![KnownKey { stored, key }], true));
    }
    let unreadable = |source: crate::auth::lease_key::NotALeaseKey| {
        StartError::from(Unavailable::Record { table: "lease_keys", reason: source.to_string() })
    };
    let fresh = LeaseKey::fresh_pkcs8().map_err(unreadable)?;
    let stored = store.lease_keys_or(fresh, clock::now()).await?;
    Ok(LeaseKeys::new(issuer, ready(stored).map_err(unreadable)?, false))
}

/// The key that systemd hands over (`LoadCredential=lease-key:…`,
/// systemd.exec(5)), where it does.
fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("lease-key");
    path.exists().then_some(path)
}

/// The name of this host.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase()
}

/// The bytes of a private key as PEM.
fn pkcs8_of(pem: &[u8]) -> Option<Vec<u8>> {
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::pki_types::pem::PemObject as _;
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
    Some(key.secret_pkcs8_der().to_vec())
}
