//! The key that a local backend proves itself with.
//!
//! 256 random bits, so that a fast hash is enough to store it: nobody can try
//! 2^256 keys, and a heartbeat must stay cheap. A slow password hash was
//! rejected for that reason.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::site_id::SiteId;
use super::time::Timestamp;

/// What every secret key begins with, so that a leaked one is recognised.
pub const PREFIX: &str = "swk_";

/// A secret key as its owner holds it: [`PREFIX`] and 43 base64url characters
/// (RFC 4648, section 5). Never shown by `Debug`.
#[derive(Clone)]
pub struct SecretKey(String);

/// The SHA-256 of a secret key's text; all that the store holds of it.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl SecretKey {
    /// The key made of these random bits.
    pub fn from_random_bits(bits: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits)))
    }

    /// The key of a site that was registered under an `Idempotency-Key`: the
    /// HMAC-SHA256 of that and of the site's id under 256 random bits. Who
    /// has not all three cannot tell it from random bits.
    pub fn derived(salt: &[u8; 32], idempotency_key: &str, site_id: SiteId) -> Self {
        let salt = hmac::Key::new(hmac::HMAC_SHA256, salt);
        let message = [&site_id.as_u128().to_be_bytes(), idempotency_key.as_bytes()].concat();
        let mut bits = [0; 32];
        bits.copy_from_slice(hmac::sign(&salt, &message).as_ref());
        Self::from_random_bits(bits)
    }

    /// Whatever a caller presented as its key. It need not be well-formed:
    /// only its hash is ever looked at.
    pub fn presented(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, to be shown once or sent.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store keeps.
    pub fn hash(&self) -> KeyHash {
        let digest = digest::digest(&digest::SHA256, self.0.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        KeyHash(hash)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl KeyHash {
    /// From stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `other` is the same hash, in a time that does not depend on
    /// where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// The key that a rotation replaced, while it still works.
#[derive(Debug, Clone, Copy)]
pub struct OldKey {
    /// Its hash.
    pub hash: KeyHash,
    /// The time from which it no longer works.
    pub valid_until: Timestamp,
}

/// The keys of a site.
#[derive(Debug, Clone, Copy)]
pub struct SiteKeys {
    /// The newest.
    pub key: KeyHash,
    /// Counts its keys, from 1.
    pub generation: u64,
    /// The one before, while a rotation's overlap lasts.
    pub old: Option<OldKey>,
}

impl SiteKeys {
    /// The generation of the key with this hash that works at `now`, or
    /// `None`.
    pub fn matching(&self, presented: &KeyHash, now: Timestamp) -> Option<u64> {
        if self.key.matches(presented) {
            return Some(self.generation);
        }
        let old = self.old.as_ref().filter(|old| now < old.valid_until)?;
        old.hash.matches(presented).then_some(self.generation - 1)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_prefix_and_256_bits_in_base64url() {
        let key = SecretKey::from_random_bits([0xfb; 32]);
        assert_eq!(key.expose().len(), 4 + 43);
        assert!(key.expose().starts_with("swk_-_v7"));
        assert!(key.hash().matches(&SecretKey::presented(key.expose()).hash()));
        assert!(!key.hash().matches(&SecretKey::from_random_bits([0xfa; 32]).hash()));
    }

    #[test]
    fn a_derived_key_needs_the_salt_the_idempotency_key_and_the_site() {
        let key = |salt, once, site| SecretKey::derived(&[salt; 32], once, SiteId::from_u128(site));
        let right = key(1, "8e03978e-40d5-43dd-bc93-6894a57f9324", 7);
        assert!(right.hash().matches(&key(1, "8e03978e-40d5-43dd-bc93-6894a57f9324", 7).hash()));
        for other in [
            key(2, "8e03978e-40d5-43dd-bc93-6894a57f9324", 7),
            key(1, "8e03978e-40d5-43dd-bc93-6894a57f9325", 7),
            key(1, "8e03978e-40d5-43dd-bc93-6894a57f9324", 8),
        ] {
            assert!(!right.hash().matches(&other.hash()));
        }
    }

    #[test]
    fn debug_output_shows_neither_key_nor_hash() {
        let key = SecretKey::from_random_bits([1; 32]);
        assert_eq!(format!("{key:?} {:?}", key.hash()), "SecretKey(…) KeyHash(…)");
    }
}
