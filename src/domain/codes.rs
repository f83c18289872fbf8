//! Short words that a vendor makes up: the tags that sites are sorted by, and
//! the features that a licence switches on.

use std::fmt;
use std::str::FromStr;

/// Greatest number of characters of one.
pub const MAX_LENGTH: usize = 40;

/// At most `MOST` short words, each once, in the order of their letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Codes<const MOST: usize>(Vec<String>);

/// The tags of a site: at most 20.
pub type Tags = Codes<20>;
/// The features that its licence switches on: at most 50.
pub type Features = Codes<50>;

/// Why words were refused. Displays as the message that the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodesError {
    /// One is no such word.
    Malformed,
    /// There are more than so many.
    TooMany(usize),
}

impl fmt::Display for CodesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                write!(f, "must each be 1 to {MAX_LENGTH} of the characters a-z 0-9 . _ : -")
            }
            Self::TooMany(most) => write!(f, "must be at most {most}"),
        }
    }
}

impl std::error::Error for CodesError {}

/// Whether `text` is such a word.
pub fn is_code(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._:-".contains(&byte);
    (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed)
}

impl<const MOST: usize> Codes<MOST> {
    /// Greatest number of words.
    pub const MOST: usize = MOST;

    /// Of these words, in any order and with repeats.
    ///
    /// # Errors
    /// [`CodesError`].
    pub fn of<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Result<Self, CodesError> {
        let mut codes = Vec::new();
        for word in words {
            let word = word.as_ref().trim();
            if !is_code(word) {
                return Err(CodesError::Malformed);
            }
            codes.push(word.to_owned());
        }
        codes.sort_unstable();
        codes.dedup();
        if codes.len() > MOST { Err(CodesError::TooMany(MOST)) } else { Ok(Self(codes)) }
    }

    /// The words, in the order of their letters.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `word` is among them.
    pub fn contains(&self, word: &str) -> bool {
        self.0.binary_search_by(|code| code.as_str().cmp(word)).is_ok()
    }

    /// These and `others`.
    ///
    /// # Errors
    /// [`CodesError::TooMany`].
    pub fn with(&self, others: &Self) -> Result<Self, CodesError> {
        Self::of(self.iter().chain(others.iter()))
    }

    /// These without `others`.
    pub fn without(&self, others: &Self) -> Self {
        Self(self.0.iter().filter(|code| !others.contains(code)).cloned().collect())
    }
}

/// With a space between them.
impl<const MOST: usize> fmt::Display for Codes<MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// From words with white space or commas between them.
impl<const MOST: usize> FromStr for Codes<MOST> {
    type Err = CodesError;

    fn from_str(text: &str) -> Result<Self, CodesError> {
        Self::of(text.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_stand_once() {
        let tags: Tags = "rome, vip rome  a.b_c:d-1".parse().unwrap();
        assert_eq!(tags.to_string(), "a.b_c:d-1 rome vip");
        assert!(tags.contains("vip") && !tags.contains("vi"));
        assert_eq!(tags.with(&"new".parse().unwrap()).unwrap().to_string(), "a.b_c:d-1 new rome vip");
        assert_eq!(tags.without(&"vip none".parse().unwrap()).to_string(), "a.b_c:d-1 rome");
        assert_eq!("".parse::<Tags>().unwrap(), Tags::default());
    }

    #[test]
    fn what_is_no_word_and_what_is_too_much_is_refused() {
        for bad in ["Rome", "a b", "", "caffè", "a/b", &"x".repeat(41)] {
            assert_eq!(Tags::of([bad]), Err(CodesError::Malformed), "{bad}");
        }
        assert!(Tags::of(["x".repeat(40)]).is_ok());
        let words = |count: usize| (0..count).map(|number| format!("t{number}"));
        assert_eq!(Tags::of(words(20)).unwrap().iter().len(), 20);
        assert_eq!(Tags::of(words(21)), Err(CodesError::TooMany(20)));
        assert_eq!(Features::of(words(50)).unwrap().iter().len(), 50);
        assert_eq!(Features::of(words(51)), Err(CodesError::TooMany(50)));
        let twenty = Tags::of(words(20)).unwrap();
        assert_eq!(twenty.with(&"x".parse().unwrap()), Err(CodesError::TooMany(20)));
    }
}
