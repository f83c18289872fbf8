//! Who may change sites.

use std::fmt;
use std::str::FromStr;

use super::text::{Stored, TextError, bounded};
use super::time::Timestamp;

/// An admin's number, from 1; never used again.
pub type AdminId = u64;

/// What the tokens of an admin carry and must match: 64 random bits, drawn
/// again with each password. Version 0.1 counted them from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenEpoch(pub u64);

impl TokenEpoch {
    /// Whether it may have been counted: whoever has an old backup knows it.
    /// One of 2^32 random ones looks so too, and is drawn again for nothing.
    pub fn may_be_counted(self) -> bool {
        self.0 <= u64::from(u32::MAX)
    }
}

/// An admin's name, as somebody gives it: 1 to 64 characters without control
/// characters, unique without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    /// Greatest number of characters.
    pub const MAX: usize = 64;

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that must be unique.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl FromStr for Username {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        bounded(text, 1, Self::MAX).map(|text| Self(text.to_owned()))
    }
}

impl Stored for Username {
    fn from_stored(text: &str) -> Result<Self, TextError> {
        bounded(text, 1, Self::MAX).map(|_| Self(text.to_owned()))
    }
}

/// A name for an admin that is about to be created: ASCII letters, digits and
/// `. _ - @ +`, a letter or digit first, so that no two look alike. Admins of
/// an earlier release may have others, and keep them.
///
/// Rejected: any letters, held against each other by Unicode's table of
/// confusables (UTS #39). It changes with each version of Unicode, and two
/// names that were different might be the same after an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUsername(pub Username);

/// The name cannot be given to an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfitUsername;

impl fmt::Display for UnfitUsername {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "must be 1 to {} letters (a to z), digits and . _ - @ +, and begin with a letter or digit",
            Username::MAX
        )
    }
}

impl std::error::Error for UnfitUsername {}

impl FromStr for NewUsername {
    type Err = UnfitUsername;

    fn from_str(text: &str) -> Result<Self, UnfitUsername> {
        let username: Username = text.parse().map_err(|_| UnfitUsername)?;
        let fits = |character: char| character.is_ascii_alphanumeric() || "._-@+".contains(character);
        let begins = username.0.starts_with(|first: char| first.is_ascii_alphanumeric());
        if begins && username.0.chars().all(fits) { Ok(Self(username)) } else { Err(UnfitUsername) }
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A password that is about to be set: at least 12 characters, at most 1024
/// bytes. Never shown by
/// `Debug`.
#[derive(Clone)]
pub struct NewPassword(String);

impl NewPassword {
    /// Least number of characters.
    pub const MIN_CHARACTERS: usize = 12;
    /// Greatest number of bytes, so that hashing stays bounded.
    pub const MAX_BYTES: usize = 1024;

    /// What stands in the place of a password in examples. Nobody can be given
    /// it: an example that is sent as it stands must not work.
    pub const PLACEHOLDER: &str = "<12 characters or more>";

    /// The password, to be hashed or shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The password cannot be given to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfitPassword {
    /// It is too short or too long.
    Length,
    /// It is [`NewPassword::PLACEHOLDER`].
    Placeholder,
}

impl fmt::Display for UnfitPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(
                f,
                "must be at least {} characters and at most {} bytes",
                NewPassword::MIN_CHARACTERS,
                NewPassword::MAX_BYTES
            ),
            Self::Placeholder => {
                f.write_str("is the placeholder of the example: put a password in its place")
            }
        }
    }
}

impl std::error::Error for UnfitPassword {}

impl FromStr for NewPassword {
    type Err = UnfitPassword;

    fn from_str(text: &str) -> Result<Self, UnfitPassword> {
        if text.chars().count() < Self::MIN_CHARACTERS || text.len() > Self::MAX_BYTES {
            return Err(UnfitPassword::Length);
        }
        if text == Self::PLACEHOLDER {
            return Err(UnfitPassword::Placeholder);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

/// An admin as stored. There is one role, `sysadmin`.
#[derive(Clone)]
pub struct Admin {
    /// Number in order of creation.
    pub id: AdminId,
    /// Name.
    pub username: Username,
    /// Argon2id PHC string.
    pub password_hash: String,
    /// A token of another epoch is void.
    pub token_epoch: TokenEpoch,
    /// When it was created.
    pub created_at: Timestamp,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("id", &self.id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_trimmed_bounded_and_folded() {
        assert_eq!(" SysAdmin ".parse::<Username>().unwrap().folded(), "sysadmin");
        assert!("x".repeat(64).parse::<Username>().is_ok());
        assert!("x".repeat(65).parse::<Username>().is_err());
        assert!("".parse::<Username>().is_err());
        assert!("a\tb".parse::<Username>().is_err());
    }

    #[test]
    fn a_new_name_cannot_be_mistaken_for_another() {
        for good in ["anna", " Anna ", "night-shift", "a.rossi@example.com", "7", "x+y_z"] {
            assert!(good.parse::<NewUsername>().is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "-anna",
            ".",
            "night shift",
            "a\u{430}",
            "ann\u{430}",
            "\u{ff41}nna",
            "a\u{200b}b",
            "a\u{202e}b",
            "e\u{301}",
            "José",
            "<name>",
            "a/b",
            &"x".repeat(65),
        ] {
            assert_eq!(bad.parse::<NewUsername>(), Err(UnfitUsername), "{bad:?}");
        }
    }

    #[test]
    fn a_new_password_has_at_least_12_characters() {
        assert_eq!("12345678901".parse::<NewPassword>().unwrap_err(), UnfitPassword::Length);
        assert_eq!(NewPassword::PLACEHOLDER.parse::<NewPassword>().unwrap_err(), UnfitPassword::Placeholder);
        assert!("123456789012".parse::<NewPassword>().is_ok());
        assert!("x".repeat(1025).parse::<NewPassword>().is_err());
        assert_eq!(format!("{:?}", "123456789012".parse::<NewPassword>().unwrap()), "NewPassword(…)");
    }
}
