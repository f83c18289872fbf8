//! Password hashes: Argon2id (RFC 9106) with 19 MiB, two passes, one lane.
//!
//! A hash costs some 20 ms of one core and 19 MiB on purpose, so it runs on
//! the blocking pool, few at a time, in memory that goes from one to the next
//! ([`buffer`](super::buffer)): a guesser must not take all memory or all
//! cores. Whose turn it is, the [`queue`](super::queue) decides. A hash that
//! was stored with other parameters is checked with those, in at most 64 MiB.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};

use super::buffer::Buffer;
use super::queue::{Claim, NoTurn, Queue, Standing, Turn};
use super::random::random_bytes;
use crate::domain::NewPassword;

/// Bytes of a fresh salt (RFC 9106, section 3.1).
const SALT_BYTES: usize = 16;

/// A hash that no password matches, checked where the name is unknown: that
/// must take as long as a wrong password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2l0ZXdhcmRlbi1ub2JvZHk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The one place where passwords are hashed.
#[derive(Default)]
pub struct Passwords(Arc<Queue>);

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
    /// Others with better claims wait already.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash function failed, or a stored hash is no PHC string or asks
    /// for more than 64 MiB.
    #[error("the password hash failed")]
    Failed,
}

impl Passwords {
    /// Waits for a turn to check a password.
    ///
    /// # Errors
    /// [`NoTurn`].
    pub async fn turn(&self, claim: Claim) -> Result<Turn, NoTurn> {
        self.0.turn(claim).await
    }

    /// The PHC string to store for `password`. For callers that have proved to
    /// be an admin already: they come first in the queue.
    ///
    /// # Errors
    /// [`PasswordFault`].
    pub async fn hash(&self, password: NewPassword) -> Result<String, PasswordFault> {
        let claim = Claim { standing: Standing::Known, network: None };
        let mut turn = self.turn(claim).await.map_err(|_| PasswordFault::Busy)?;
        run(move || hashed(password.expose().as_bytes(), &mut turn.buffer)).await
    }
}

impl Turn {
    /// Whether `password` is the one that `stored` was made of. With no
    /// stored hash the answer is `false`, after the same work.
    ///
    /// Once begun it is finished, even when the caller has gone away, and
    /// `settle` is called with the answer before the next turn begins. It is
    /// not called on an error.
    ///
    /// # Errors
    /// [`PasswordFault::Failed`].
    pub async fn verify(
        mut self,
        password: TypedPassword,
        stored: Option<String>,
        settle: impl FnOnce(bool) + Send + 'static,
    ) -> Result<bool, PasswordFault> {
        run(move || {
            let known = stored.is_some();
            let stored = stored.as_deref().unwrap_or(NOBODY);
            let right = known & is_of(password.0.as_bytes(), stored, &mut self.buffer)?;
            settle(right);
            drop(self);
            Ok(right)
        })
        .await
    }
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PasswordFault> + Send + 'static,
) -> Result<T, PasswordFault> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PasswordFault::Failed)?
}

/// The PHC string of `password` with a salt of its own.
fn hashed(password: &[u8], buffer: &mut Buffer) -> Result<String, PasswordFault> {
    let salt: [u8; SALT_BYTES] = random_bytes().map_err(|_| PasswordFault::Failed)?;
    let argon2 = Argon2::default();
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params()).map_err(|_| PasswordFault::Failed)?,
        salt: Some(Salt::new(&salt).map_err(|_| PasswordFault::Failed)?),
        hash: Some(output(&argon2, password, &salt, Params::DEFAULT_OUTPUT_LEN, buffer)?),
    };
    Ok(hash.to_string())
}

/// Whether `stored`, a PHC string, was made of `password`.
fn is_of(password: &[u8], stored: &str, buffer: &mut Buffer) -> Result<bool, PasswordFault> {
    let stored = PasswordHash::new(stored).map_err(|_| PasswordFault::Failed)?;
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
        return Err(PasswordFault::Failed);
    };
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(|_| PasswordFault::Failed)?;
    let version = stored.version.map_or(Ok(Version::default()), Version::try_from);
    let version = version.map_err(|_| PasswordFault::Failed)?;
    let params = Params::try_from(&stored).map_err(|_| PasswordFault::Failed)?;
    let argon2 = Argon2::new(algorithm, version, params);
    // Outputs are compared in constant time.
    Ok(output(&argon2, password, salt, expected.len(), buffer)? == *expected)
}

fn output(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    bytes: usize,
    buffer: &mut Buffer,
) -> Result<Output, PasswordFault> {
    let blocks = buffer.blocks(argon2.params().block_count()).map_err(|_| PasswordFault::Failed)?;
    let mut room = [0; Output::MAX_LENGTH];
    let out = room.get_mut(..bytes).ok_or(PasswordFault::Failed)?;
    argon2.hash_password_into_with_memory(password, salt, out, blocks).map_err(|_| PasswordFault::Failed)?;
    buffer.shrink();
    Output::new(out).map_err(|_| PasswordFault::Failed)
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher;

    use super::*;

    async fn verify(passwords: &Passwords, text: &str, stored: Option<&str>) -> Result<bool, PasswordFault> {
        let turn = passwords.turn(Claim { standing: Standing::New, network: None }).await.unwrap();
        turn.verify(TypedPassword(text.to_owned()), stored.map(str::to_owned), |_| ()).await
    }

    #[tokio::test]
    async fn a_password_is_hashed_with_argon2id_and_known_again() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse battery".parse().unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse battery".parse().unwrap()).await.unwrap(), "salted");
        assert!(verify(&passwords, "correct horse battery", Some(&hash)).await.unwrap());
        assert!(!verify(&passwords, "correct horse batterx", Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_a_well_formed_hash_that_nothing_matches() {
        let hash = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(hash.params.get_decimal("m"), Some(19456));
        assert!(!verify(&Passwords::default(), "", None).await.unwrap());
    }

    #[tokio::test]
    async fn what_the_library_by_itself_makes_is_known_as_it_always_was() {
        let passwords = Passwords::default();
        for (memory, passes, lanes, length) in
            [(19_456, 2, 1, None), (64, 3, 1, None), (256, 1, 4, Some(16)), (64 * 1024, 1, 1, None)]
        {
            let params = Params::new(memory, passes, lanes, length).unwrap();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let stored = argon2.hash_password(b"correct horse battery").unwrap().to_string();
            assert!(verify(&passwords, "correct horse battery", Some(&stored)).await.unwrap(), "{stored}");
            assert!(!verify(&passwords, "correct horse batterx", Some(&stored)).await.unwrap(), "{stored}");
        }
    }

    #[tokio::test]
    async fn a_stored_hash_that_cannot_be_worked_out_is_a_fault_and_not_a_wrong_password() {
        let passwords = Passwords::default();
        let fault = async |stored: &str| verify(&passwords, "x", Some(stored)).await;
        // 64 MiB and 1 KiB.
        for bad in [&NOBODY.replace("m=19456", "m=65540"), "", "hash", "$argon2id$v=19$m=64,t=1,p=1"] {
            assert_eq!(fault(bad).await, Err(PasswordFault::Failed), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_answer_is_settled_before_the_next_turn_and_a_fault_is_not() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse battery".parse().unwrap()).await.unwrap();
        for (text, stored, expected) in [
            ("correct horse battery", Some(hash.as_str()), Some(true)),
            ("wrong", Some(hash.as_str()), Some(false)),
            ("wrong", None, Some(false)),
            ("wrong", Some("hash"), None),
        ] {
            let (tell, told) = std::sync::mpsc::channel();
            let turn = passwords.turn(Claim { standing: Standing::New, network: None }).await.unwrap();
            let settle = move |right| tell.send(right).unwrap();
            let _ = turn.verify(TypedPassword(text.to_owned()), stored.map(str::to_owned), settle).await;
            assert_eq!(told.try_iter().next(), expected, "{text} {stored:?}");
        }
    }
}
