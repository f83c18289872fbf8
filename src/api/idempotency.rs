//! `Idempotency-Key`: the same request twice is done once
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! The store runs one write after the other, so a repetition finds either
//! nothing yet, and is the one that does the work, or all that the first one
//! did: there is no time in which it is "in progress", and no 409 for that.

use std::str::FromStr;

use aws_lc_rs::digest;
use poem_openapi::registry::MetaSchema;

use super::field_errors::FieldErrors;
use super::problem::Problem;
use super::wire::{Given, Parameter};
use crate::auth::random::random_bytes;
use crate::domain::{Actor, SecretKey, SiteId};
use crate::store::requests::Once;

/// Least and greatest length of an `Idempotency-Key`.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=128;

/// The `Idempotency-Key` header. Never shown by `Debug`: with a copy of the
/// database it leads to the keys that were made under it.
pub(super) struct IdempotencyKey(String);

impl FromStr for IdempotencyKey {
    type Err = &'static str;

    /// Takes the quotes of a structured-field string (RFC 9651, section
    /// 3.3.3) or none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let inner = text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text);
        let visible = inner.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        if visible && LENGTH.contains(&inner.len()) {
            Ok(Self(inner.to_owned()))
        } else {
            Err("must be 16 to 128 visible ASCII characters that nobody can guess: send a random UUID")
        }
    }
}

impl Parameter for IdempotencyKey {
    fn schema() -> MetaSchema {
        let (min, max) = (LENGTH.start(), LENGTH.end());
        let bare = format!(r"[!#-\[\]-~]{{{min},{max}}}");
        let pattern = Some(format!("^({bare}|\"{bare}\")$"));
        MetaSchema { pattern, ..MetaSchema::new("string") }
    }
}

/// A request that shall be done once.
pub(super) struct OnceRequest {
    key: IdempotencyKey,
    /// For the store.
    pub(super) once: Once,
}

impl OnceRequest {
    /// From the header, where it was given.
    ///
    /// # Errors
    /// 400 when it cannot be used.
    pub(super) fn read(
        given: Given<IdempotencyKey>,
        by: &Actor,
        route: &str,
        body: &[u8],
    ) -> Result<Option<Self>, Problem> {
        let mut errors = FieldErrors::default();
        let key = given.take("Idempotency-Key", &mut errors);
        if !errors.is_empty() {
            return Err(Problem {
                errors,
                ..Problem::malformed("the Idempotency-Key header cannot be used")
            });
        }
        let Some(key) = key else {
            return Ok(None);
        };
        let salt = random_bytes()?;
        let request = sha256(&[by.kind.as_str(), &by.name, route, &key.0].map(str::as_bytes));
        Ok(Some(Self { key, once: Once { request, body: sha256(&[body]), salt } }))
    }

    /// The key of a site that is registered by this request for the first
    /// time.
    pub(super) fn secret_key(&self, site_id: SiteId) -> SecretKey {
        self.secret_key_of(&self.once.salt, site_id)
    }

    /// The key of a site that was registered when `salt` was that of this
    /// request.
    pub(super) fn secret_key_of(&self, salt: &[u8; 32], site_id: SiteId) -> SecretKey {
        SecretKey::derived(salt, &self.key.0, site_id)
    }
}

/// The SHA-256 of parts, none of which can run into the next.
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_taken_with_and_without_quotes_and_must_be_long_enough() {
        let read = |text: &str| text.parse::<IdempotencyKey>().map(|key| key.0);
        let uuid = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        assert_eq!(read(uuid).unwrap(), uuid);
        assert_eq!(read(&format!("\"{uuid}\"")).unwrap(), uuid);
        assert_eq!(read(&"x".repeat(128)).unwrap().len(), 128);
        for bad in ["", "order-1", "two words in there", &"x".repeat(129)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_parts_of_a_hash_do_not_run_into_each_other() {
        assert_ne!(sha256(&[b"ab", b"c"]), sha256(&[b"a", b"bc"]));
    }
}
