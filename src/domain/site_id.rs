//! Which site: the identity that its local backend shows.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A site's public identity, made at registration (UUID, RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SiteId(Uuid);

impl SiteId {
    /// Wraps a UUID.
    pub fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID as a number, the form in which the store keys it.
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// From the store's form.
    pub const fn from_u128(value: u128) -> Self {
        Self(Uuid::from_u128(value))
    }
}

impl FromStr for SiteId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}
