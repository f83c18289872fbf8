//! How a licence is extended. When it holds, [`super::terms`] tells.

use std::fmt;

use super::time::{SECONDS_PER_DAY, Timestamp};

/// The most days that one extension can add: ten years and a little.
pub const MAX_EXTEND_DAYS: u16 = 3660;

/// What an update does to a site's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LicenceChange {
    /// Leave it as it is.
    #[default]
    Keep,
    /// Let it end at this time.
    Until(Timestamp),
    /// Add days, 1 to [`MAX_EXTEND_DAYS`], to the later of now and today's
    /// expiry.
    ExtendDays(u16),
}

/// The new expiry would lie after the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFarAhead;

impl fmt::Display for TooFarAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("would move the expiry past the year 9999")
    }
}

impl std::error::Error for TooFarAhead {}

impl LicenceChange {
    /// The expiry after this change.
    ///
    /// # Errors
    /// [`TooFarAhead`] when an extension leaves the range of [`Timestamp`].
    pub fn apply(self, expires_at: Timestamp, now: Timestamp) -> Result<Timestamp, TooFarAhead> {
        match self {
            Self::Keep => Ok(expires_at),
            Self::Until(time) => Ok(time),
            Self::ExtendDays(days) => {
                expires_at.max(now).checked_add_seconds(i64::from(days) * SECONDS_PER_DAY).ok_or(TooFarAhead)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_time() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.unix()..=Timestamp::MAX.unix()).prop_map(|s| Timestamp::from_unix(s).unwrap())
    }

    proptest! {
        #[test]
        fn an_extension_counts_from_the_later_of_now_and_expiry(
            expiry in any_time(), now in any_time(), days in 1..=MAX_EXTEND_DAYS
        ) {
            match LicenceChange::ExtendDays(days).apply(expiry, now) {
                Ok(new) => {
                    prop_assert_eq!(new.seconds_since(expiry.max(now)), i64::from(days) * 86_400);
                    prop_assert!(now < new);
                }
                Err(TooFarAhead) => {
                    let room = Timestamp::MAX.seconds_since(expiry.max(now));
                    prop_assert!(room < i64::from(days) * 86_400);
                }
            }
        }

        #[test]
        fn an_extension_never_shortens_a_licence(expiry in any_time(), now in any_time(), days in 1..=MAX_EXTEND_DAYS) {
            if let Ok(new) = LicenceChange::ExtendDays(days).apply(expiry, now) {
                prop_assert!(new > expiry);
            }
        }
    }
}
