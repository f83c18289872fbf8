//! How a licence is extended. When it holds, [`super::terms`] tells.

use std::fmt;

use super::calendar::{Calendar, Date, Moment, Unresolved};
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
    /// Let it end with this day, in the site's zone.
    UntilEndOf(Date),
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

/// Why an expiry was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryRefused {
    /// See [`TooFarAhead`].
    TooFarAhead,
    /// Its day is none where the site is.
    Unresolved(Unresolved),
    /// It is no time to come, and that was not asked for. It would stop the
    /// site.
    Past,
}

impl From<Unresolved> for ExpiryRefused {
    fn from(error: Unresolved) -> Self {
        Self::Unresolved(error)
    }
}

/// The expiry that is asked for, in the site's zone.
///
/// # Errors
/// [`ExpiryRefused`]; one that has passed unless `allow_past`.
pub fn expiry(
    wanted: Moment,
    calendar: &Calendar,
    allow_past: bool,
    now: Timestamp,
) -> Result<Timestamp, ExpiryRefused> {
    let expires_at = calendar.resolve(wanted)?;
    if allow_past || now < expires_at { Ok(expires_at) } else { Err(ExpiryRefused::Past) }
}

impl LicenceChange {
    /// The expiry after this change. That it is now may be given again,
    /// though it has passed.
    ///
    /// # Errors
    /// [`ExpiryRefused`].
    pub fn apply(
        self,
        expires_at: Timestamp,
        calendar: &Calendar,
        allow_past: bool,
        now: Timestamp,
    ) -> Result<Timestamp, ExpiryRefused> {
        let wanted = match self {
            Self::Keep => return Ok(expires_at),
            Self::Until(time) => Moment::At(time),
            Self::UntilEndOf(day) => Moment::EndOf(day),
            Self::ExtendDays(days) => {
                let seconds = i64::from(days) * SECONDS_PER_DAY;
                return expires_at.max(now).checked_add_seconds(seconds).ok_or(ExpiryRefused::TooFarAhead);
            }
        };
        let is_same = calendar.resolve(wanted) == Ok(expires_at);
        expiry(wanted, calendar, allow_past || is_same, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::calendar::Zones;

    fn utc() -> Calendar {
        Zones::default().calendar("UTC")
    }

    fn any_time() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.unix()..=Timestamp::MAX.unix()).prop_map(|s| Timestamp::from_unix(s).unwrap())
    }

    proptest! {
        #[test]
        fn an_extension_counts_from_the_later_of_now_and_expiry(
            expiry in any_time(), now in any_time(), days in 1..=MAX_EXTEND_DAYS
        ) {
            match LicenceChange::ExtendDays(days).apply(expiry, &utc(), false, now) {
                Ok(new) => {
                    prop_assert_eq!(new.seconds_since(expiry.max(now)), i64::from(days) * 86_400);
                    prop_assert!(now < new);
                }
                Err(refused) => {
                    prop_assert_eq!(refused, ExpiryRefused::TooFarAhead);
                    let room = Timestamp::MAX.seconds_since(expiry.max(now));
                    prop_assert!(room < i64::from(days) * 86_400);
                }
            }
        }

        #[test]
        fn an_extension_never_shortens_a_licence(expiry in any_time(), now in any_time(), days in 1..=MAX_EXTEND_DAYS) {
            if let Ok(new) = LicenceChange::ExtendDays(days).apply(expiry, &utc(), false, now) {
                prop_assert!(new > expiry);
            }
        }

        #[test]
        fn an_expiry_that_is_no_time_to_come_must_be_asked_for(
            expiry in any_time(), wanted in any_time(), now in any_time()
        ) {
            let until = |allow_past| LicenceChange::Until(wanted).apply(expiry, &utc(), allow_past, now);
            prop_assert_eq!(until(true), Ok(wanted));
            let is_refused = wanted <= now && wanted != expiry;
            prop_assert_eq!(until(false), if is_refused { Err(ExpiryRefused::Past) } else { Ok(wanted) });
        }
    }

    #[test]
    fn a_day_is_one_of_the_site() {
        let day = LicenceChange::UntilEndOf("2030-12-31".parse().unwrap());
        let (expiry, now) = (Timestamp::MAX, Timestamp::MIN);
        assert_eq!(day.apply(expiry, &utc(), false, now), Ok("2031-01-01T00:00:00Z".parse().unwrap()));
        let nowhere = Zones::default().calendar("Europe/Nowhere");
        let unknown = ExpiryRefused::Unresolved(Unresolved::UnknownZone);
        assert_eq!(day.apply(expiry, &nowhere, true, now), Err(unknown));
    }
}
