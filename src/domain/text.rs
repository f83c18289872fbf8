//! The texts that people and local backends send: trimmed, in one form of
//! Unicode (NFC), bounded, free of characters that nobody can see or that turn
//! the order of others round, with which one name could pass for another.
//!
//! Bounds count Unicode scalar values after trimming and composing, as JSON
//! Schema's `minLength` and `maxLength` do.
//!
//! What was stored under an earlier rule is taken as it is ([`Stored`]): a
//! rule that grows stricter must not make records unreadable.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use email_address::{EmailAddress, Options};
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, VariationSelector};
use icu_properties::{CodePointMapData, CodePointSetData};

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
    /// A character that cannot be seen, or that only changes how others are
    /// shown.
    Invisible(char),
    /// It has characters, but none that can be seen.
    NothingToSee,
    /// What stands in an example in the place of a text.
    Placeholder,
    /// Not an e-mail address.
    NotAnEmail,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { min: 0, max } => write!(f, "must be at most {max} characters"),
            Self::Length { min, max } => write!(f, "must be {min} to {max} characters"),
            Self::ControlCharacter => f.write_str("must not contain control characters"),
            Self::Invisible(character) => {
                write!(f, "must not contain the invisible character U+{:04X}", u32::from(*character))
            }
            Self::NothingToSee => f.write_str("must contain a character that can be seen"),
            Self::Placeholder => {
                f.write_str("is the placeholder of the example: put your own words in its place")
            }
            Self::NotAnEmail => f.write_str("must be an e-mail address such as owner@example.com"),
        }
    }
}

impl std::error::Error for TextError {}

/// A text as it lies in the store.
pub trait Stored: Sized {
    /// Takes the text as it is.
    ///
    /// # Errors
    /// When no release would have stored it: the bytes are damaged.
    fn from_stored(text: &str) -> Result<Self, TextError>;
}

/// The text in composed form (NFC, UAX #15).
pub fn composed(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// Whether nobody can see `character`: format characters, line and paragraph
/// separators (Cf, Zl, Zp), and what a font may show as nothing (UAX #44,
/// `Default_Ignorable_Code_Point`). Not those that choose a variant of the
/// character before them.
fn is_invisible(character: char) -> bool {
    use GeneralCategory::{Format, LineSeparator, ParagraphSeparator};
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    matches!(category, Format | LineSeparator | ParagraphSeparator)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character) && !is_selector(character)
}

/// Whether `character` chooses a variant of the one before it.
fn is_selector(character: char) -> bool {
    CodePointSetData::new::<VariationSelector>().contains(character)
}

/// Braille without dots: category So, but as good as a space.
const BLANK: char = '\u{2800}';

/// Whether somebody can see `character` by itself.
fn is_visible(character: char) -> bool {
    !character.is_whitespace() && !is_invisible(character) && !is_selector(character) && character != BLANK
}

/// Whether a character that chooses a variant has one to choose behind this
/// one. Of ASCII only what stands on keys of telephones has (emoji).
fn has_variants(before: Option<char>) -> bool {
    let is_key = |character: char| character.is_ascii_digit() || "#*".contains(character);
    before.is_some_and(|before| is_visible(before) && (!before.is_ascii() || is_key(before)))
}

/// Zero-width joiner and non-joiner.
const JOINERS: [char; 2] = ['\u{200d}', '\u{200c}'];

/// Whether a joiner has a meaning here: emoji are joined of others, Persian
/// words have parts that must not join. Within ASCII it has none.
fn may_join(before: Option<char>, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let joins = |character: char| !character.is_whitespace() && !JOINERS.contains(&character);
    joins(before) && joins(after) && !(before.is_ascii() && after.is_ascii())
}

/// The first character of `text` that has no place in what people type.
fn first_invisible(text: &str) -> Option<char> {
    if text.is_ascii() {
        return None;
    }
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_joiner = JOINERS.contains(&character);
        let has_no_place = if is_joiner {
            !may_join(before, characters.peek().copied())
        } else {
            is_invisible(character) || is_selector(character) && !has_variants(before)
        };
        if has_no_place {
            return Some(character);
        }
        before = Some(character);
    }
    None
}

/// Trims and composes what somebody typed and holds it against its bounds.
fn typed(text: &str, min: usize, max: usize) -> Result<String, TextError> {
    let composed = composed(text.trim());
    let text = bounded(&composed, min, max)?;
    match first_invisible(text) {
        Some(character) => Err(TextError::Invisible(character)),
        None if !text.is_empty() && !text.chars().any(is_visible) => Err(TextError::NothingToSee),
        None => Ok(text.to_owned()),
    }
}

/// As [`typed`], but refuses what an example has in its place.
fn stated(text: &str, min: usize, max: usize) -> Result<String, TextError> {
    match typed(text, min, max) {
        Ok(text) if text == LockReason::PLACEHOLDER => Err(TextError::Placeholder),
        result => result,
    }
}

/// As [`typed`], but leaves out what nobody can see: a program sent it, which
/// cannot mend what it says of itself and must not be turned away for it.
fn reported(text: &str, min: usize, max: usize) -> Result<String, TextError> {
    let visible: String = text.chars().filter(|character| !is_invisible(*character)).collect();
    bounded(&composed(&visible), min, max).map(str::to_owned)
}

/// As [`typed`], of several lines: ends of lines as `\n`, nothing empty before
/// the first and after the last.
fn noted(text: &str, min: usize, max: usize) -> Result<String, TextError> {
    let text = text.replace("\r\n", "\n");
    let lines: Vec<String> =
        text.trim().split('\n').map(|line| typed(line, 0, max)).collect::<Result<_, _>>()?;
    let text = lines.join("\n");
    if (min..=max).contains(&text.chars().count()) { Ok(text) } else { Err(TextError::Length { min, max }) }
}

/// Trims `text` and holds it against its bounds, in characters.
pub(super) fn bounded(text: &str, min: usize, max: usize) -> Result<&str, TextError> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(TextError::ControlCharacter);
    }
    if (min..=max).contains(&text.chars().count()) { Ok(text) } else { Err(TextError::Length { min, max }) }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $min:literal, $max:literal, $rule:ident) => {
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
                $rule(text, Self::MIN, Self::MAX).map(Self)
            }
        }

        impl Stored for $name {
            fn from_stored(text: &str) -> Result<Self, TextError> {
                let joined = text.replace('\n', " ");
                bounded(&joined, Self::MIN, Self::MAX).map(|_| Self(text.to_owned()))
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
    SiteName, 1, 200, typed
);
text_type!(
    /// Who owns a site: 0 to 200 characters.
    OwnerName, 0, 200, typed
);
text_type!(
    /// Why a site is locked, shown to its people: 1 to 500 characters.
    LockReason, 1, 500, stated
);
text_type!(
    /// What the vendor wants to remember of a site: 0 to 2000 characters, in
    /// several lines.
    Notes, 0, 2000, noted
);
text_type!(
    /// The version that a local backend reports: 1 to 64 characters, without
    /// the invisible ones among those that it sent.
    AppVersion, 1, 64, reported
);

/// None.
impl Default for OwnerName {
    fn default() -> Self {
        Self(String::new())
    }
}

/// None.
impl Default for Notes {
    fn default() -> Self {
        Self(String::new())
    }
}

impl LockReason {
    /// What stands in the place of a reason in examples: an example that is
    /// sent as it stands must not reach the people of a site.
    pub const PLACEHOLDER: &str = "<what the people of the site are told>";
}

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
        let text = typed(text, 1, Self::MAX)?;
        let rules = Options::default().with_required_tld().without_domain_literal().without_display_text();
        match EmailAddress::parse_with_options(&text, rules) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(TextError::NotAnEmail),
        }
    }
}

impl Stored for ContactEmail {
    fn from_stored(text: &str) -> Result<Self, TextError> {
        bounded(text, 1, Self::MAX).map(|_| Self(text.to_owned()))
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
    fn notes_have_lines_and_no_other_control_characters() {
        let notes: Notes = "  first \r\n\n second\n".parse().unwrap();
        assert_eq!(notes.as_str(), "first\n\nsecond");
        assert_eq!(Notes::from_stored(notes.as_str()).unwrap(), notes);
        assert_eq!("a\tb".parse::<Notes>(), Err(TextError::ControlCharacter));
        assert!("a\n\u{202e}b".parse::<Notes>().is_err());
        assert!("x\n".repeat(1000).parse::<Notes>().is_ok());
        assert_eq!("x".repeat(2001).parse::<Notes>(), Err(TextError::Length { min: 0, max: 2000 }));
        assert!("x\n".repeat(1001).parse::<Notes>().is_err());
    }

    #[test]
    fn control_characters_are_refused_wherever_they_stand() {
        for text in ["a\0b", "a\nb", "a\u{85}b", "a\u{7f}"] {
            assert_eq!(text.parse::<SiteName>(), Err(TextError::ControlCharacter), "{text:?}");
        }
    }

    #[test]
    fn what_is_typed_is_composed() {
        let name = "Caffe\u{301} Zoe\u{308}".parse::<SiteName>().unwrap();
        assert_eq!(name.as_str(), "Caff\u{e9} Zo\u{eb}");
        assert_eq!(name, "Caff\u{e9} Zo\u{eb}".parse().unwrap());
        let longest = "e\u{301}".repeat(200);
        assert_eq!(longest.parse::<SiteName>().unwrap().as_str(), "\u{e9}".repeat(200));
        assert!(format!("{longest}x").parse::<SiteName>().is_err());
    }

    #[test]
    fn invisible_and_direction_changing_characters_are_refused_wherever_they_stand() {
        for bad in [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{feff}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{e0041}',
        ] {
            for text in [format!("{bad}ab"), format!("a{bad}b"), format!("ab{bad}"), format!("é{bad}é")] {
                assert_eq!(text.parse::<SiteName>(), Err(TextError::Invisible(bad)), "{text:?}");
                assert!(
                    text.parse::<OwnerName>().is_err() && text.parse::<LockReason>().is_err(),
                    "{text:?}"
                );
            }
        }
        // At the ends they are white space.
        for bad in ['\u{2028}', '\u{2029}'] {
            assert_eq!(format!("a{bad}b").parse::<SiteName>(), Err(TextError::Invisible(bad)));
            assert_eq!(format!("{bad}ab{bad}").parse::<SiteName>().unwrap().as_str(), "ab");
        }
        let mail = "a\u{202e}b@example.com".parse::<ContactEmail>();
        assert_eq!(mail, Err(TextError::Invisible('\u{202e}')));
        assert_eq!(
            TextError::Invisible('\u{ad}').to_string(),
            "must not contain the invisible character U+00AD"
        );
    }

    #[test]
    fn what_chooses_a_variant_stands_behind_what_can_be_seen() {
        for good in
            ["\u{2764}\u{fe0f}", "Bar 1\u{fe0f}\u{20e3}", "\u{845b}\u{e0100}\u{98fe}", "\u{1820}\u{180b}"]
        {
            assert_eq!(good.parse::<SiteName>().unwrap().as_str(), good, "{good:?}");
        }
        for (bad, selector) in [
            ("\u{fe0f}", '\u{fe0f}'),
            ("\u{fe00}Mario", '\u{fe00}'),
            ("Mario\u{fe0f}", '\u{fe0f}'),
            ("Da \u{e0100}Mario", '\u{e0100}'),
            ("\u{2764}\u{fe0f}\u{fe0f}", '\u{fe0f}'),
            ("\u{2800}\u{fe0f}", '\u{fe0f}'),
            ("\u{e01ef}", '\u{e01ef}'),
            ("\u{180b}", '\u{180b}'),
        ] {
            assert_eq!(bad.parse::<SiteName>(), Err(TextError::Invisible(selector)), "{bad:?}");
        }
    }

    #[test]
    fn a_text_has_a_character_that_can_be_seen() {
        for bad in ["\u{2800}", "\u{2800} \u{2800}", "\u{2800}\u{200d}\u{2800}"] {
            assert_eq!(bad.parse::<SiteName>(), Err(TextError::NothingToSee), "{bad:?}");
            assert_eq!(bad.parse::<OwnerName>(), Err(TextError::NothingToSee), "{bad:?}");
            assert_eq!(bad.parse::<LockReason>(), Err(TextError::NothingToSee), "{bad:?}");
            assert_eq!(SiteName::from_stored(bad).unwrap().as_str(), bad);
        }
        for good in ["\u{2801}\u{2800}\u{2803}", ".", "\u{301}"] {
            assert_eq!(good.parse::<SiteName>().unwrap().as_str(), good, "{good:?}");
        }
        assert!("".parse::<OwnerName>().is_ok());
    }

    #[test]
    fn the_reason_in_examples_is_no_reason() {
        assert_eq!(LockReason::PLACEHOLDER.parse::<LockReason>(), Err(TextError::Placeholder));
        assert!(format!("{}!", LockReason::PLACEHOLDER).parse::<LockReason>().is_ok());
    }

    #[test]
    fn joiners_may_stand_where_they_mean_something() {
        for good in [
            "Bar \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}", // a family
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",               // a heart on fire, with its variant chosen
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}", // Persian
            "Cafe\u{200c}\u{647}\u{627}",                      // a Latin word with a Persian ending
        ] {
            assert_eq!(good.parse::<SiteName>().unwrap().as_str(), good, "{good:?}");
        }
        for bad in ["B\u{200d}ar", "\u{200d}é", "é\u{200c}", "é\u{200d}\u{200d}é", "é \u{200c}é"] {
            assert!(matches!(bad.parse::<SiteName>(), Err(TextError::Invisible(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_version_loses_what_nobody_can_see() {
        assert_eq!("\u{feff}2.4\u{200d}.1\u{202e}".parse::<AppVersion>().unwrap().as_str(), "2.4.1");
        assert!("\u{feff}\u{200b}".parse::<AppVersion>().is_err());
        assert_eq!("2.4\n".parse::<AppVersion>().unwrap().as_str(), "2.4");
        assert_eq!("2\0.4".parse::<AppVersion>(), Err(TextError::ControlCharacter));
    }

    #[test]
    fn what_was_stored_under_an_earlier_rule_is_read_as_it_is() {
        for old in ["Cafe\u{301}", "a\u{202e}b", "\u{200d}"] {
            assert_eq!(SiteName::from_stored(old).unwrap().as_str(), old);
            assert_eq!(OwnerName::from_stored(old).unwrap().as_str(), old);
            assert_eq!(LockReason::from_stored(old).unwrap().as_str(), old);
            assert_eq!(AppVersion::from_stored(old).unwrap().as_str(), old);
        }
        assert_eq!(
            ContactEmail::from_stored("a\u{ad}b@example.com").unwrap().as_str(),
            "a\u{ad}b@example.com"
        );
        assert!(SiteName::from_stored("").is_err() && SiteName::from_stored("a\0").is_err());
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
