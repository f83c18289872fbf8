//! The keys that sign leases, and a lease as it is sent: a JWS (RFC 7515,
//! compact) with ES256 (RFC 7518, section 3.4).
//!
//! A key is read once and kept ready: reading its PKCS #8 takes longer than
//! signing with it. The first part of every lease is the same for a key, so it
//! is written once too.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use serde::Serialize;

use crate::domain::Timestamp;
use crate::domain::lease::Lease;
use crate::domain::lease_key::{KeyState, StoredKey, states};

/// The media type of a lease, and with `application/` left out its `typ`
/// (RFC 7515, section 4.1.9; RFC 8725, section 3.11).
pub const MEDIA_TYPE: &str = "application/vnd.sitewarden.lease+jwt";
const TYPE: &str = "vnd.sitewarden.lease+jwt";

/// A point of P-256 as it is written here: 4, then two coordinates (SEC 1,
/// section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// Bytes of a coordinate.
const COORDINATE: usize = 32;

/// The public half of a key (RFC 7517), with the members in the order of their
/// names, as its thumbprint wants them (RFC 7638, section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwk {
    crv: &'static str,
    kty: &'static str,
    x: String,
    y: String,
}

/// The same with all that a reader of a key set wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedJwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

/// A key set (RFC 7517, section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    keys: Vec<NamedJwk>,
}

/// The bytes are no private key on P-256 in PKCS #8, or it could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no private key on the curve P-256 in PKCS #8")]
pub struct NotALeaseKey;

/// A key that is ready to sign.
pub struct LeaseKey {
    pair: EcdsaKeyPair,
    jwk: NamedJwk,
    /// The first part of each lease, with the dot behind it.
    head: String,
}

impl LeaseKey {
    /// Of a private key as PKCS #8 (RFC 5208), DER.
    ///
    /// # Errors
    /// [`NotALeaseKey`].
    pub fn of_pkcs8(pkcs8: &[u8]) -> Result<Self, NotALeaseKey> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| NotALeaseKey)?;
        let Some((&UNCOMPRESSED, point)) = pair.public_key().as_ref().split_first() else {
            return Err(NotALeaseKey);
        };
        let (x, y) = point.split_at_checked(COORDINATE).ok_or(NotALeaseKey)?;
        let bare =
            Jwk { crv: "P-256", kty: "EC", x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y) };
        let text = serde_json::to_string(&bare).map_err(|_| NotALeaseKey)?;
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let header = format!(r#"{{"alg":"ES256","typ":"{TYPE}","kid":"{kid}"}}"#);
        let jwk =
            NamedJwk { kty: bare.kty, crv: bare.crv, x: bare.x, y: bare.y, kid, usage: "sig", alg: "ES256" };
        Ok(Self { pair, jwk, head: format!("{}.", URL_SAFE_NO_PAD.encode(header)) })
    }

    /// A fresh key, as PKCS #8.
    ///
    /// # Errors
    /// When the system has no random bytes to give.
    pub fn fresh_pkcs8() -> Result<Vec<u8>, NotALeaseKey> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| NotALeaseKey)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| NotALeaseKey)?;
        Ok(pkcs8.as_ref().to_vec())
    }

    /// Its thumbprint (RFC 7638), by which leases name it.
    pub fn kid(&self) -> &str {
        &self.jwk.kid
    }

    fn sign(&self, claims: &Claims<'_>) -> Result<String, SigningFailed> {
        let claims = serde_json::to_vec(claims).map_err(|_| SigningFailed)?;
        let mut lease = String::with_capacity(self.head.len() + (claims.len() + 64) * 4 / 3 + 8);
        lease.push_str(&self.head);
        URL_SAFE_NO_PAD.encode_string(claims, &mut lease);
        let signature = self.pair.sign(&SystemRandom::new(), lease.as_bytes()).map_err(|_| SigningFailed)?;
        lease.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut lease);
        Ok(lease)
    }
}

impl std::fmt::Debug for LeaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LeaseKey({})", self.kid())
    }
}

/// The lease could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the lease could not be signed")]
pub struct SigningFailed;

/// What a lease says, as it is written (RFC 7519).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    licensed: bool,
    locked: bool,
    lock_reason: Option<&'a str>,
    expires_at: String,
    features: Vec<&'a str>,
    rev: u64,
    next_heartbeat_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_jwk: Option<&'a NamedJwk>,
}

/// A key with its number and what it is there for.
#[derive(Debug)]
pub struct KnownKey {
    /// Its number, and since when it signs.
    pub stored: StoredKey,
    /// The key.
    pub key: LeaseKey,
}

/// All keys, and whose leases they sign.
pub struct LeaseKeys {
    issuer: String,
    keys: RwLock<Arc<Vec<KnownKey>>>,
    /// Whether the key is given by systemd, and not ours to replace.
    pub is_given: bool,
    /// What is in the database and what the server signs with must not be of
    /// two requests.
    pub turn: tokio::sync::Mutex<()>,
}

impl LeaseKeys {
    /// Leases of `issuer`, signed with `keys`.
    pub fn new(issuer: String, keys: Vec<KnownKey>, is_given: bool) -> Self {
        Self { issuer, keys: RwLock::new(Arc::new(keys)), is_given, turn: Default::default() }
    }

    /// Signs with these from now on.
    pub fn replace(&self, keys: Vec<KnownKey>) {
        *self.keys.write() = Arc::new(keys);
    }

    fn all(&self) -> Arc<Vec<KnownKey>> {
        Arc::clone(&self.keys.read())
    }

    /// The number of the newest key, which leases hand over.
    pub fn newest(&self) -> u64 {
        self.all().iter().map(|key| key.stored.number).max().unwrap_or_default()
    }

    /// All keys with what each is there for at `now`, the oldest first.
    pub fn list(&self, now: Timestamp) -> Vec<(StoredKey, KeyState, String)> {
        let keys = self.all();
        let stored: Vec<StoredKey> = keys.iter().map(|key| key.stored).collect();
        let states = states(&stored, now);
        keys.iter().zip(states).map(|(key, state)| (key.stored, state, key.key.kid().to_owned())).collect()
    }

    /// The public halves of the keys that sign, signed or will sign.
    pub fn set(&self) -> JwkSet {
        JwkSet { keys: self.all().iter().map(|key| key.key.jwk.clone()).collect() }
    }

    /// The lease as it is sent.
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn sign(&self, lease: &Lease, now: Timestamp) -> Result<String, SigningFailed> {
        let keys = self.all();
        let stored: Vec<StoredKey> = keys.iter().map(|key| key.stored).collect();
        let states = states(&stored, now);
        let of = |wanted| {
            let found = keys.iter().zip(&states).rfind(|(_, state)| **state == wanted);
            found.map(|(key, _)| &key.key)
        };
        let key = of(KeyState::Signing).ok_or(SigningFailed)?;
        key.sign(&Claims {
            iss: &self.issuer,
            sub: lease.site_id.to_string(),
            iat: lease.issued_at.unix(),
            exp: lease.expires_at.unix(),
            nonce: lease.nonce.as_ref().map(|nonce| nonce.as_str()),
            licensed: lease.verdict.licensed,
            locked: lease.is_locked(),
            lock_reason: lease.verdict.lock_reason.as_ref().map(|reason| reason.as_str()),
            expires_at: lease.verdict.expires_at.to_string(),
            features: lease.features.iter().collect(),
            rev: lease.revision,
            next_heartbeat_at: lease.next_heartbeat_at.to_string(),
            lock_at: lease.lock_at.map(|at| at.to_string()),
            lock_until: lease.lock_until.map(|until| until.to_string()),
            next_jwk: of(KeyState::Announced).map(|key| &key.jwk),
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::lease::{LeaseRequest, Nonce};
    use crate::domain::{Rules, SiteId, Terms};

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn known(number: u64, signs_from: i64) -> (KnownKey, Vec<u8>) {
        let key = LeaseKey::of_pkcs8(&LeaseKey::fresh_pkcs8().unwrap()).unwrap();
        let public = key.pair.public_key().as_ref().to_vec();
        let stored = StoredKey { number, created_at: at(NOW), signs_from: at(signs_from) };
        (KnownKey { stored, key }, public)
    }

    fn lease(nonce: Option<Nonce>) -> Lease {
        let asked = LeaseRequest { nonce, newest_key: 1 };
        let terms = Terms::until(at(NOW + 86_400 * 30));
        Lease::of(SiteId::from_u128(7), &terms, &Rules::default(), 3, &asked, None, 21_600, at(NOW))
    }

    fn part(lease: &str, number: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(lease.split('.').nth(number).unwrap()).unwrap()
    }

    fn json_of(lease: &str, number: usize) -> Value {
        serde_json::from_slice(&part(lease, number)).unwrap()
    }

    #[test]
    fn a_lease_is_a_compact_jws_that_its_key_verifies() {
        let (key, public) = known(1, NOW);
        let kid = key.key.kid().to_owned();
        let keys = LeaseKeys::new("licences.example".to_owned(), vec![key], false);
        let signed = keys.sign(&lease("0123456789abcdef".parse().ok()), at(NOW)).unwrap();
        let (message, _) = signed.rsplit_once('.').unwrap();
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public);
        verifier.verify(message.as_bytes(), &part(&signed, 2)).unwrap();
        assert_eq!(json_of(&signed, 0), json!({ "alg": "ES256", "typ": TYPE, "kid": kid }));
        assert_eq!(
            json_of(&signed, 1),
            json!({
                "iss": "licences.example",
                "sub": "00000000-0000-0000-0000-000000000007",
                "iat": NOW,
                "exp": NOW + 168 * 3600,
                "nonce": "0123456789abcdef",
                "licensed": true,
                "locked": false,
                "lock_reason": null,
                "expires_at": "2030-04-16T17:46:40Z",
                "features": [],
                "rev": 3,
                "next_heartbeat_at": "2030-03-17T23:46:40Z",
            })
        );
        assert!(signed.len() <= 700, "{} bytes", signed.len());
    }

    #[test]
    fn an_announced_key_is_handed_over_and_then_signs() {
        let (old, _) = known(1, NOW);
        let (next, _) = known(2, NOW + 100);
        let (old_kid, next_kid) = (old.key.kid().to_owned(), next.key.kid().to_owned());
        let keys = LeaseKeys::new("x".to_owned(), vec![old, next], false);
        let before = keys.sign(&lease(None), at(NOW + 99)).unwrap();
        assert_eq!(json_of(&before, 0)["kid"], old_kid);
        assert_eq!(json_of(&before, 1)["next_jwk"]["kid"], next_kid);
        let after = keys.sign(&lease(None), at(NOW + 100)).unwrap();
        assert_eq!(json_of(&after, 0)["kid"], next_kid);
        assert_eq!(json_of(&after, 1).get("next_jwk"), None);
        assert_eq!(keys.newest(), 2);
        let states: Vec<_> = keys.list(at(NOW + 100)).into_iter().map(|(_, state, _)| state).collect();
        assert_eq!(states, [KeyState::Retired, KeyState::Signing]);
        assert_eq!(keys.set().keys.len(), 2);
    }

    #[test]
    fn a_thumbprint_is_that_of_the_rfc() {
        // The members of an EC key in the order of RFC 7638, section 3.2.
        let (key, _) = known(1, NOW);
        let NamedJwk { x, y, kid, .. } = &key.key.jwk;
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        assert_eq!(kid, &URL_SAFE_NO_PAD.encode(digest));
    }

    #[test]
    fn what_is_no_key_on_that_curve_is_refused() {
        assert_eq!(LeaseKey::of_pkcs8(b"no key").unwrap_err(), NotALeaseKey);
    }
}
