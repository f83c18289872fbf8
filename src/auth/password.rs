//! Password hashes: Argon2id (RFC 9106) with 19 MiB, two passes, one lane.
//!
//! A hash costs some 20 ms of one core and 19 MiB on purpose, so it runs on
//! the blocking pool, few at a time: a guesser must not take all memory or
//! all cores. Those that wait are bounded as well.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::domain::NewPassword;

/// Hashes that run at the same time.
const RUNNING: usize = 2;
/// Hashes that run or wait; one more is refused.
pub const QUEUE: usize = 64;

/// A hash that no password has, of the same cost as all others: an unknown
/// name must take as long as a wrong password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2l0ZXdhcmRlbi1ub2JvZHk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The one place where passwords are hashed.
pub struct Passwords {
    running: Semaphore,
    queue: Semaphore,
}

/// A password as somebody typed it. Never shown by `Debug`.
pub struct TypedPassword(pub String);

impl fmt::Debug for TypedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedPassword(…)")
    }
}

/// Why a password could not be hashed or checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// [`QUEUE`] others wait already.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash function failed, or a stored hash is no PHC string.
    #[error("the password hash failed")]
    Failed,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { running: Semaphore::new(RUNNING), queue: Semaphore::new(QUEUE) }
    }
}

impl Passwords {
    /// The PHC string to store for `password`.
    ///
    /// # Errors
    /// [`PasswordFault`].
    pub async fn hash(&self, password: NewPassword) -> Result<String, PasswordFault> {
        self.run(move || {
            Argon2::default()
                .hash_password(password.expose().as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|_| PasswordFault::Failed)
        })
        .await
    }

    /// Whether `password` is the one that `stored` was made of. With no
    /// stored hash the answer is `false`, after the same work.
    ///
    /// # Errors
    /// [`PasswordFault`].
    pub async fn verify(
        &self,
        password: TypedPassword,
        stored: Option<String>,
    ) -> Result<bool, PasswordFault> {
        self.run(move || {
            let known = stored.is_some();
            let hash =
                PasswordHash::new(stored.as_deref().unwrap_or(NOBODY)).map_err(|_| PasswordFault::Failed)?;
            let right = Argon2::default().verify_password(password.0.as_bytes(), &hash).is_ok();
            Ok(known && right)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordFault> + Send + 'static,
    ) -> Result<T, PasswordFault> {
        let _place = self.queue.try_acquire().map_err(|_| PasswordFault::Busy)?;
        let _turn = self.running.acquire().await.map_err(|_| PasswordFault::Failed)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordFault::Failed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_hashed_with_argon2id_and_known_again() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse battery".parse().unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let typed = |text: &str| TypedPassword(text.to_owned());
        assert!(passwords.verify(typed("correct horse battery"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(typed("correct horse batterx"), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_a_well_formed_hash_that_nothing_matches() {
        let hash = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(hash.params.get_decimal("m"), Some(19456));
        let passwords = Passwords::default();
        assert!(!passwords.verify(TypedPassword(String::new()), None).await.unwrap());
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let passwords = Passwords::default();
        let _all = passwords.queue.try_acquire_many(64).unwrap();
        let refused = passwords.verify(TypedPassword("x".into()), None).await;
        assert_eq!(refused, Err(PasswordFault::Busy));
    }
}
