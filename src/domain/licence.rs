//! When a licence holds, and how it is extended.

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

/// Whether a licence holds: the site is active and its expiry lies ahead. In
/// the very second of the expiry it no longer holds.
pub fn is_licensed(is_active: bool, expires_at: Timestamp, now: Timestamp) -> bool {
    is_active && now < expires_at
}

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

    #[test]
    fn a_licence_ends_in_the_very_second_of_its_expiry() {
        let expiry: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        assert!(is_licensed(true, expiry, expiry.checked_add_seconds(-1).unwrap()));
        assert!(!is_licensed(true, expiry, expiry));
        assert!(!is_licensed(false, expiry, expiry.checked_add_seconds(-1).unwrap()));
    }

    proptest! {
        #[test]
        fn an_extension_counts_from_the_later_of_now_and_expiry(
            expiry in any_time(), now in any_time(), days in 1..=MAX_EXTEND_DAYS
        ) {
            match LicenceChange::ExtendDays(days).apply(expiry, now) {
                Ok(new) => {
                    prop_assert_eq!(new.seconds_since(expiry.max(now)), i64::from(days) * 86_400);
                    prop_assert!(is_licensed(true, new, now));
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

        #[test]
        fn an_inactive_site_is_never_licensed(expiry in any_time(), now in any_time()) {
            prop_assert!(!is_licensed(false, expiry, now));
            prop_assert_eq!(is_licensed(true, expiry, now), now < expiry);
        }
    }
}
