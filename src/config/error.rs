//! Why the configuration was refused, and where the fault stands.

use std::collections::HashMap;
use std::path::PathBuf;

/// Why the configuration was refused. Displays as one line that names the
/// key and where it stands.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not valid TOML: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and fault.
        reason: String,
    },
    /// There is no such key.
    #[error("unknown key {key} in {place}: {hint}")]
    UnknownKey {
        /// The key.
        key: String,
        /// File, variable or flag.
        place: String,
        /// What to do.
        hint: String,
    },
    /// A value is needed and was not given.
    #[error("{key} is not given, and {cause} in {place} {value}: {reason}")]
    Missing {
        /// The key.
        key: String,
        /// The key that makes it needed.
        cause: &'static str,
        /// File, variable or flag of that.
        place: String,
        /// What it is there, as a verb.
        value: &'static str,
        /// What to give.
        reason: String,
    },
    /// The value does not fit.
    #[error("{key} in {place} {reason}")]
    BadValue {
        /// The key.
        key: String,
        /// File, variable or flag.
        place: String,
        /// What it must be.
        reason: String,
    },
}

/// Where each key that is not at its default was set.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<String, String>);

impl Places {
    /// Notes that a key was set in this place.
    pub(super) fn note(&mut self, key: &str, place: &str) {
        self.0.insert(key.to_owned(), place.to_owned());
    }

    /// Where the key was set.
    pub(super) fn of(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| "the defaults".to_owned())
    }
}

/// The error for a value that is needed because of another key and its value.
pub(super) fn missing(
    key: &str,
    (cause, value): (&'static str, &'static str),
    places: &Places,
    reason: &str,
) -> ConfigError {
    let place = places.of(cause);
    ConfigError::Missing { key: key.to_owned(), cause, place, value, reason: reason.to_owned() }
}

/// The error for a value that does not fit.
pub(super) fn bad(key: &str, places: &Places, reason: impl Into<String>) -> ConfigError {
    ConfigError::BadValue { key: key.to_owned(), place: places.of(key), reason: reason.into() }
}
