//! Access tokens: JWT (RFC 7519) signed with HS256.
//!
//! A token names the admin by number and by the epoch of the admin's tokens: a
//! random number that is replaced with each change of the password. Whoever
//! checks a token looks the admin up, so a changed password or a deleted admin
//! ends it at once.
//!
//! Only a token that this server could have issued is accepted: header and
//! claims are those of [`Tokens::issue`] and no others, and it ends no later
//! than one issued now would. So a signing key that leaks for a moment makes
//! nobody an admin for years.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::random::{NoRandomness, random_bytes};
use crate::domain::{Admin, AdminId, Session, SessionId, Timestamp, TokenEpoch};

/// How far ahead of the clock a token may have been issued, in seconds: the
/// clock may have been set back since.
const LEEWAY_SECONDS: i64 = 60;

/// Issues and checks tokens.
pub struct Tokens {
    keys: RwLock<Arc<Keys>>,
    lifetime_seconds: i64,
    /// The first part of every token.
    header: String,
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
#[serde(deny_unknown_fields)] // `nbf` would have to be honoured
pub struct Claims {
    /// The admin's name, for people who look into a token.
    pub sub: String,
    /// The admin's number.
    pub admin: AdminId,
    /// The admin's [`Admin::token_epoch`] when the token was issued.
    epoch: u64,
    /// The session that it belongs to (RFC 7519, section 4.1.7): it ends with
    /// that.
    jti: String,
    /// When it was issued, in seconds since the epoch.
    pub iat: i64,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
}

impl Claims {
    /// The epoch of the admin's tokens when this one was issued.
    pub fn epoch(&self) -> TokenEpoch {
        TokenEpoch(self.epoch)
    }

    /// The session that the token belongs to.
    pub fn session(&self) -> Option<SessionId> {
        self.jti.parse().ok()
    }
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
        let header = serde_json::to_vec(&header()).unwrap_or_default();
        Self {
            keys: RwLock::new(Keys::of(key)),
            lifetime_seconds: i64::from(minutes) * 60,
            header: URL_SAFE_NO_PAD.encode(header),
        }
    }

    /// Signs with `key` from now on: all earlier tokens are void.
    pub fn sign_with(&self, key: &[u8]) {
        *self.keys.write() = Keys::of(key);
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read())
    }

    /// When a login of `now` ends.
    pub fn end_of_login(&self, now: Timestamp) -> Timestamp {
        now.checked_add_seconds(self.lifetime_seconds).unwrap_or(Timestamp::MAX)
    }

    /// A token for `admin` that lasts as long as its session does.
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn issue(
        &self,
        admin: &Admin,
        session: &Session,
        now: Timestamp,
    ) -> Result<AccessToken, SigningFailed> {
        let expires_at = session.expires_at;
        let claims = Claims {
            sub: admin.username.as_str().to_owned(),
            admin: admin.id,
            epoch: admin.token_epoch.0,
            jti: session.id.to_string(),
            iat: now.unix(),
            exp: expires_at.unix(),
        };
        let text =
            jsonwebtoken::encode(&header(), &claims, &self.keys().encoding).map_err(|_| SigningFailed)?;
        Ok(AccessToken { text, expires_in_seconds: expires_at.seconds_since(now), expires_at })
    }

    /// What `token` says, if its signature is ours, it has not ended, and it
    /// is one that this server may have issued.
    pub fn check(&self, token: &str, now: Timestamp) -> Option<Claims> {
        // Only the algorithm that we sign with (RFC 8725, section 3.1). Times
        // are compared here, with the caller's clock.
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.validate_aud = false;
        // Another type (RFC 8725, section 3.11), a `crit` that would have to
        // be understood (RFC 7515, section 4.1.11), and whatever else. Compared
        // as bytes: what the library reads leaves out members that it does not
        // know, and those that are null.
        if token.split_once('.')?.0 != self.header {
            return None;
        }
        let token = jsonwebtoken::decode::<Claims>(token, &self.keys().decoding, &rules).ok()?;
        let (Claims { iat, exp, .. }, now) = (&token.claims, now.unix());
        let may_be_ours = *iat <= now.saturating_add(LEEWAY_SECONDS)
            && *exp <= (*iat).min(now).saturating_add(self.lifetime_seconds);
        (now < *exp && may_be_ours).then_some(token.claims)
    }
}

/// The header of every token.
fn header() -> Header {
    Header::new(Algorithm::HS256)
}

/// A fresh epoch.
///
/// # Errors
/// [`NoRandomness`].
pub fn fresh_epoch() -> Result<TokenEpoch, NoRandomness> {
    Ok(TokenEpoch(u64::from_be_bytes(random_bytes()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Means, SessionKind};

    /// A login of `now` for 15 minutes.
    fn session(now: Timestamp) -> Session {
        Session {
            id: SessionId(0xfedc_ba98_7654_3210),
            admin: admin().id,
            kind: SessionKind::Token,
            created_at: now,
            expires_at: now.checked_add_seconds(900).unwrap(),
            ip: [127, 0, 0, 1].into(),
            means: Means::Password,
            second_factor_at: None,
        }
    }

    fn admin() -> Admin {
        Admin {
            id: 3,
            username: "sysadmin".parse().unwrap(),
            password_hash: String::new(),
            token_epoch: TokenEpoch(u64::MAX - 1),
            created_at: Timestamp::from_unix(0).unwrap(),
        }
    }

    #[test]
    fn a_token_holds_until_the_second_of_its_end() {
        let tokens = Tokens::new(&[7; 32], 15);
        let now = Timestamp::from_unix(1_900_000_000).unwrap();
        let token = tokens.issue(&admin(), &session(now), now).unwrap();
        assert_eq!((token.expires_in_seconds, token.expires_at.seconds_since(now)), (900, 900));
        let claims = tokens.check(&token.text, now.checked_add_seconds(899).unwrap()).unwrap();
        assert_eq!((claims.admin, claims.epoch(), claims.sub.as_str()), (3, admin().token_epoch, "sysadmin"));
        assert_eq!(tokens.check(&token.text, now.checked_add_seconds(900).unwrap()), None);
    }

    #[test]
    fn another_key_ends_the_tokens_of_before_and_signs_those_of_after() {
        let tokens = Tokens::new(&[7; 32], 15);
        let now = Timestamp::from_unix(1_900_000_000).unwrap();
        let before = tokens.issue(&admin(), &session(now), now).unwrap().text;
        tokens.sign_with(&[8; 32]);
        assert_eq!(tokens.check(&before, now), None);
        let after = tokens.issue(&admin(), &session(now), now).unwrap().text;
        assert!(tokens.check(&after, now).is_some());
        assert!(Tokens::new(&[8; 32], 15).check(&after, now).is_some());
    }

    #[test]
    fn a_token_of_another_key_another_algorithm_or_none_is_refused() {
        let now = Timestamp::from_unix(1_900_000_000).unwrap();
        let token = Tokens::new(&[8; 32], 15).issue(&admin(), &session(now), now).unwrap().text;
        let tokens = Tokens::new(&[7; 32], 15);
        assert_eq!(tokens.check(&token, now), None);
        assert_eq!(tokens.check("", now), None);
        let claims = serde_json::json!({"sub": "x", "admin": 3, "epoch": 2, "jti": "0000000000000001", "iat": 0, "exp": i64::MAX});
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

    #[test]
    fn only_a_token_that_may_have_been_issued_lately_is_taken() {
        let (key, now) = ([7; 32], 1_900_000_000);
        let taken = |header: &Header, claims: serde_json::Value| {
            let key = EncodingKey::from_secret(&key);
            let token = jsonwebtoken::encode(header, &claims, &key).unwrap();
            Tokens::new(&[7; 32], 15).check(&token, Timestamp::from_unix(now).unwrap()).is_some()
        };
        let claims = |iat: i64, exp: i64| serde_json::json!({"sub": "x", "admin": 3, "epoch": 2, "jti": "0000000000000001", "iat": now + iat, "exp": now + exp});
        assert!(taken(&header(), claims(0, 900)));
        assert!(taken(&header(), claims(-600, 300)));
        assert!(taken(&header(), claims(60, 900)), "the clock was set back by a minute");
        assert!(!taken(&header(), claims(1, 901)), "ends later than one issued now");
        assert!(!taken(&header(), claims(61, 900)), "issued in the future");
        assert!(!taken(&header(), claims(0, 901)), "longer than any that is issued");
        assert!(!taken(&header(), claims(-3600, 600)));
        assert!(!taken(&header(), claims(0, 30 * 365 * 86_400)));
        assert!(!taken(&header(), claims(i64::MAX - now, i64::MAX - now)));
        assert!(!taken(&header(), claims(i64::MIN + now, 1)));
        for (name, value) in [("nbf", serde_json::json!(now)), ("nbf", serde_json::Value::Null)] {
            let mut claims = claims(0, 900);
            claims.as_object_mut().unwrap().insert(name.to_owned(), value);
            assert!(!taken(&header(), claims), "{name}");
        }
        let changed = |change: &dyn Fn(&mut Header)| {
            let mut header = header();
            change(&mut header);
            taken(&header, claims(0, 900))
        };
        assert!(changed(&|_| ()));
        assert!(!changed(&|header| header.typ = Some("at+jwt".to_owned())));
        assert!(!changed(&|header| header.typ = None));
        assert!(!changed(&|header| header.crit = Some(vec!["exp".to_owned()])));
        assert!(!changed(&|header| header.crit = Some(Vec::new())));
        assert!(!changed(&|header| header.kid = Some("1".to_owned())));
        assert!(!changed(&|header| header.extras.insert("b64", false)));
        let key = EncodingKey::from_secret(&key);
        let body = jsonwebtoken::encode(&header(), &claims(0, 900), &key).unwrap();
        let body = body.split('.').nth(1).unwrap();
        let raw = |head: &str| {
            let signed = format!("{}.{body}", URL_SAFE_NO_PAD.encode(head));
            let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
            Tokens::new(&[7; 32], 15)
                .check(&format!("{signed}.{signature}"), Timestamp::from_unix(now).unwrap())
                .is_some()
        };
        assert!(raw(r#"{"typ":"JWT","alg":"HS256"}"#));
        for member in ["kid", "enc", "crit", "jku", "jwk", "x5c", "b64", "zip", "other"] {
            for value in ["null", "\"x\"", "[]", "{}"] {
                let head = format!(r#"{{"typ":"JWT","alg":"HS256","{member}":{value}}}"#);
                assert!(!raw(&head), "{head}");
            }
        }
    }
}
