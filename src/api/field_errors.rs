//! What is wrong with a request, field by field.

use poem_openapi::Object;
use serde::Serialize;

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub struct FieldError {
    /// Name of the field or parameter.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Most bad fields that an answer names.
pub const MAX_NAMED: usize = 20;
/// Most characters of a name that are given back.
const MAX_NAME_CHARACTERS: usize = 40;
/// In place of a name: what is said is of those that are not named.
const NOT_NAMED: &str = "…";

/// The bad fields of a request: the first few by name, the others counted.
/// What a client sends must not decide how large the answer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors {
    named: Vec<FieldError>,
    more: usize,
}

impl FieldErrors {
    /// One bad field.
    pub fn one(field: &str, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.push(field, message);
        errors
    }

    /// Notes that `field` is bad.
    pub fn push(&mut self, field: &str, message: impl Into<String>) {
        if self.named.len() < MAX_NAMED {
            self.named.push(FieldError { field: shortened(field), message: message.into() });
        } else {
            self.more += 1;
        }
    }

    /// Takes over what is wrong with a part of the request.
    pub fn take_over(&mut self, part: Self, name: impl Fn(&str) -> String) {
        for error in part.named {
            self.push(&name(&error.field), error.message);
        }
        self.more += part.more;
    }

    /// Whether no field is bad.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// As they stand in an answer, with how many more there are at the end;
    /// `None` when no field is bad.
    pub fn listed(self) -> Option<Vec<FieldError>> {
        let Self { mut named, more } = self;
        if more > 0 {
            named.push(FieldError { field: NOT_NAMED.to_owned(), message: format!("and {more} more") });
        }
        (!named.is_empty()).then_some(named)
    }

    /// The same with only the first named.
    pub fn first_named(mut self) -> Self {
        self.more += self.named.len().saturating_sub(1);
        self.named.truncate(1);
        self
    }

    /// Those that are named.
    pub fn named(&self) -> &[FieldError] {
        &self.named
    }

    /// How many are named.
    pub fn count_named(&self) -> usize {
        self.named.len()
    }
}

/// A name that came with the request, bounded and fit to be printed.
fn shortened(name: &str) -> String {
    let mut characters =
        name.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character });
    let mut short: String = characters.by_ref().take(MAX_NAME_CHARACTERS).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
