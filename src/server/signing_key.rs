//! The key that signs access tokens, at the start.

use std::path::PathBuf;

use super::error::StartError;
use crate::auth::random::random_bytes;
use crate::config::Config;
use crate::store::{SigningKey, Store};

/// The least length of a signing key (RFC 7518, section 3.2).
const MIN_SIGNING_KEY_BYTES: usize = 32;

/// The signing key in the database, which gets one where it has none: at the
/// first start, and at the first on a restored backup.
///
/// # Errors
/// [`StartError`].
pub(super) async fn stored(store: &Store) -> Result<Vec<u8>, StartError> {
    let fresh = random_bytes()?;
    Ok(store.signing_key_or(SigningKey(fresh)).await?.0.to_vec())
}

/// The signing key from its file, where one is configured. Reads a small file
/// at the start, where blocking delays nobody.
///
/// # Errors
/// [`StartError::SigningKey`].
pub(super) fn given(config: &Config) -> Result<Option<Vec<u8>>, StartError> {
    let credential = credential();
    let Some(path) = config.signing_key_file.as_ref().or(credential.as_ref()) else {
        return Ok(None);
    };
    let error = |reason: String| StartError::SigningKey { path: path.clone(), reason };
    let key = std::fs::read(path).map_err(|source| error(source.to_string()))?;
    let key = key.trim_ascii();
    if key.len() < MIN_SIGNING_KEY_BYTES {
        return Err(error(format!(
            "it holds {} bytes and must hold at least {MIN_SIGNING_KEY_BYTES}",
            key.len()
        )));
    }
    Ok(Some(key.to_vec()))
}

/// The signing key that systemd hands over (`LoadCredential=signing-key:…`,
/// systemd.exec(5)), where it does.
fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("signing-key");
    path.exists().then_some(path)
}
