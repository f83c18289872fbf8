//! Access tokens: JWT (RFC 7519) signed with HS256.
//!
//! A token names the admin by number and by the count of password changes, so
//! that a changed password or a deleted admin ends it at once: whoever checks
//! a token looks the admin up.

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::domain::{Admin, AdminId, Timestamp};

/// Issues and checks tokens.
pub struct Tokens {
    keys: RwLock<Arc<Keys>>,
    lifetime_seconds: i64,
}

/// One key, for its two uses.
struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Keys {
    fn of(key: &[u8]) -> Arc<Self> {
        Arc::new(Self { encoding: EncodingKey::from_secret(key), decoding: DecodingKey::from_secret(key) })
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The admin's name, for people who look into a token.
    pub sub: String,
    /// The admin's number.
    pub admin: AdminId,
    /// The admin's [`Admin::token_epoch`] when the token was issued.
    pub epoch: u64,
    /// When it was issued, in seconds since the epoch.
    pub iat: i64,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
}

/// A fresh token.
pub struct AccessToken {
    /// Its text.
    pub text: String,
    /// How long it lasts, in seconds.
    pub expires_in_seconds: i64,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the access token could not be signed")]
pub struct SigningFailed;

impl Tokens {
    /// Tokens signed with `key` that last `minutes`.
    pub fn new(key: &[u8], minutes: u32) -> Self {
        Self { keys: RwLock::new(Keys::of(key)), lifetime_seconds: i64::from(minutes) * 60 }
    }

    /// Signs with `key` from now on: tokens of before are void.
    pub fn sign_with(&self, key: &[u8]) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Keys::of(key);
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A token for `admin`.
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn issue(&self, admin: &Admin, now: Timestamp) -> Result<AccessToken, SigningFailed> {
        let expires_at = now.checked_add_seconds(self.lifetime_seconds).unwrap_or(Timestamp::MAX);
        let claims = Claims {
            sub: admin.username.as_str().to_owned(),
            admin: admin.id,
            epoch: admin.token_epoch,
            iat: now.unix(),
            exp: expires_at.unix(),
        };
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.keys().encoding)
            .map_err(|_| SigningFailed)?;
        Ok(AccessToken { text, expires_in_seconds: self.lifetime_seconds, expires_at })
    }

    /// What `token` says, if its signature is ours and it has not ended.
    pub fn check(&self, token: &str, now: Timestamp) -> Option<Claims> {
        // Only the algorithm that we sign with (RFC 8725, section 3.1). The
        // end is compared here, with the caller's clock and no leeway.
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.keys().decoding, &rules).ok()?.claims;
        (now.unix() < claims.exp).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> Admin {
        Admin {
            id: 3,
            username: "sysadmin".parse().unwrap(),
            password_hash: String::new(),
            token_epoch: 2,
            created_at: Timestamp::from_unix(0).unwrap(),
        }
    }

    #[test]
    fn a_token_holds_until_the_second_of_its_end() {
        let tokens = Tokens::new(&[7; 32], 15);
        let now = Timestamp::from_unix(1_900_000_000).unwrap();
        let token = tokens.issue(&admin(), now).unwrap();
        assert_eq!((token.expires_in_seconds, token.expires_at.seconds_since(now)), (900, 900));
        let claims = tokens.check(&token.text, now.checked_add_seconds(899).unwrap()).unwrap();
        assert_eq!((claims.admin, claims.epoch, claims.sub.as_str()), (3, 2, "sysadmin"));
        assert_eq!(tokens.check(&token.text, now.checked_add_seconds(900).unwrap()), None);
    }

    #[test]
    fn another_key_ends_the_tokens_of_before_and_signs_those_of_after() {
        let tokens = Tokens::new(&[7; 32], 15);
        let now = Timestamp::from_unix(1_900_000_000).unwrap();
        let before = tokens.issue(&admin(), now).unwrap().text;
        tokens.sign_with(&[8; 32]);
        assert_eq!(tokens.check(&before, now), None);
        let after = tokens.issue(&admin(), now).unwrap().text;
        assert!(tokens.check(&after, now).is_some());
        assert!(Tokens::new(&[8; 32], 15).check(&after, now).is_some());
    }

    #[test]
    fn a_token_of_another_key_another_algorithm_or_none_is_refused() {
        let now = Timestamp::from_unix(1_900_000_000).unwrap();
        let token = Tokens::new(&[8; 32], 15).issue(&admin(), now).unwrap().text;
        let tokens = Tokens::new(&[7; 32], 15);
        assert_eq!(tokens.check(&token, now), None);
        assert_eq!(tokens.check("", now), None);
        let claims = serde_json::json!({"sub": "x", "admin": 3, "epoch": 2, "iat": 0, "exp": i64::MAX});
        let other = jsonwebtoken::encode(
            &Header::new(Algorithm::HS512),
            &claims,
            &EncodingKey::from_secret(&[7; 32]),
        )
        .unwrap();
        assert_eq!(tokens.check(&other, now), None);
        // {"alg":"none","typ":"JWT"} with the same claims and no signature.
        let body = other.split('.').nth(1).unwrap();
        assert_eq!(tokens.check(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}."), now), None);
    }
}
