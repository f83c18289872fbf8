//! The texts that people and local backends send: trimmed, bounded, free of
//! control characters.
//!
//! Bounds count Unicode scalar values after trimming, as JSON Schema's
//! `minLength` and `maxLength` do.

use std::fmt;
use std::str::FromStr;

use email_address::{EmailAddress, Options};

/// Why a text was refused. Displays as the message that the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextError {
    /// Fewer or more characters than allowed; the bounds, both inclusive.
    Length {
        /// Least number of characters.
        min: usize,
        /// Greatest number of characters.
        max: usize,
    },
    /// A control character (Unicode category Cc) stands in it.
    ControlCharacter,
    /// Not an e-mail address.
    NotAnEmail,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { min: 0, max } => write!(f, "must be at most {max} characters"),
            Self::Length { min, max } => write!(f, "must be {min} to {max} characters"),
            Self::ControlCharacter => f.write_str("must not contain control characters"),
            Self::NotAnEmail => f.write_str("must be an e-mail address such as owner@example.com"),
        }
    }
}

impl std::error::Error for TextError {}

/// Trims `text` and holds it against its bounds, in characters.
pub(super) fn bounded(text: &str, min: usize, max: usize) -> Result<&str, TextError> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(TextError::ControlCharacter);
    }
    if (min..=max).contains(&text.chars().count()) { Ok(text) } else { Err(TextError::Length { min, max }) }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $min:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// Least number of characters.
            pub const MIN: usize = $min;
            /// Greatest number of characters.
            pub const MAX: usize = $max;

            /// The text, trimmed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                bounded(text, Self::MIN, Self::MAX).map(|text| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// What the vendor calls a site: 1 to 200 characters.
    SiteName, 1, 200
);
text_type!(
    /// Who owns a site: 0 to 200 characters.
    OwnerName, 0, 200
);
text_type!(
    /// Why a site is locked, shown to its people: 1 to 500 characters.
    LockReason, 1, 500
);
text_type!(
    /// The version that a local backend reports: 1 to 64 characters.
    AppVersion, 1, 64
);

/// An e-mail address (RFC 5321, section 4.1.2, without address literals), at
/// most 254 characters, its domain of at least two labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContactEmail(String);

impl ContactEmail {
    /// Greatest number of characters (RFC 5321, section 4.5.3.1.3, less the
    /// angle brackets).
    pub const MAX: usize = 254;

    /// The address, trimmed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContactEmail {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let text = bounded(text, 1, Self::MAX)?;
        let rules = Options::default().with_required_tld().without_domain_literal().without_display_text();
        match EmailAddress::parse_with_options(text, rules) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(TextError::NotAnEmail),
        }
    }
}

impl fmt::Display for ContactEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_trimmed_before_it_is_measured() {
        assert_eq!("  Trattoria \u{a0}".parse::<SiteName>().unwrap().as_str(), "Trattoria");
        assert_eq!("   ".parse::<SiteName>(), Err(TextError::Length { min: 1, max: 200 }));
        assert_eq!("   ".parse::<OwnerName>().unwrap().as_str(), "");
    }

    #[test]
    fn bounds_count_characters_not_bytes() {
        assert!("é".repeat(200).parse::<SiteName>().is_ok());
        assert!("é".repeat(201).parse::<SiteName>().is_err());
        assert!("x".repeat(500).parse::<LockReason>().is_ok());
        assert!("x".repeat(501).parse::<LockReason>().is_err());
        assert!("x".repeat(64).parse::<AppVersion>().is_ok());
        assert!("x".repeat(65).parse::<AppVersion>().is_err());
    }

    #[test]
    fn control_characters_are_refused_wherever_they_stand() {
        for text in ["a\0b", "a\nb", "a\u{85}b", "a\u{7f}"] {
            assert_eq!(text.parse::<SiteName>(), Err(TextError::ControlCharacter), "{text:?}");
        }
    }

    #[test]
    fn an_email_address_needs_a_local_part_and_a_domain_of_two_labels() {
        for good in ["a@example.com", " o'hara+x@mail.example.co.uk ", "ü@example.com"] {
            assert!(good.parse::<ContactEmail>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@",
            "@example.com",
            "a@localhost",
            "a b@example.com",
            "A <a@example.com>",
            "a@[127.0.0.1]",
        ] {
            assert!(bad.parse::<ContactEmail>().is_err(), "{bad}");
        }
        let longest = format!(
            "{}@{}.{}.{}.example.com",
            "l".repeat(64),
            "d".repeat(60),
            "d".repeat(60),
            "d".repeat(55)
        );
        assert_eq!(longest.chars().count(), 254);
        assert!(longest.parse::<ContactEmail>().is_ok());
        assert!(format!("{longest}x").parse::<ContactEmail>().is_err());
    }
}
