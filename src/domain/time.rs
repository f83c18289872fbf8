//! One kind of time: whole seconds, UTC, years 0000 to 9999.
//!
//! Whole seconds because that is what the wire carries; the bounds because
//! RFC 3339 can write no others.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};

/// Seconds in a day, as UTC has them.
pub const SECONDS_PER_DAY: i64 = 86_400;

/// Seconds since 1970-01-01T00:00:00Z, between 0000-01-01 and
/// 9999-12-31T23:59:59Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time, or lies outside the years 0000 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be an RFC 3339 time with its offset, such as 2030-12-31T00:00:00Z")
    }
}

impl std::error::Error for NotATime {}

impl Timestamp {
    /// The earliest time.
    pub const MIN: Self = Self(-62_167_219_200);
    /// The latest time.
    pub const MAX: Self = Self(253_402_300_799);

    /// From seconds since the epoch; `None` outside the bounds.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&seconds).then_some(Self(seconds))
    }

    /// Seconds since the epoch.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// From a clock reading, cut to whole seconds and to the bounds.
    pub fn from_clock(time: DateTime<Utc>) -> Self {
        Self(time.timestamp().clamp(Self::MIN.0, Self::MAX.0))
    }

    /// This time moved by `seconds`; `None` when that leaves the bounds.
    pub fn checked_add_seconds(self, seconds: i64) -> Option<Self> {
        self.0.checked_add(seconds).and_then(Self::from_unix)
    }

    /// Seconds from `earlier` to this time; negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

/// How far ahead of the clock a heartbeat's time may be, in seconds, and still
/// be taken for one: clocks are set back by as much.
const FUTURE_SECONDS: i64 = 300;

/// Whether a heartbeat came `at` a time so far ahead of `now` that the clock was
/// wrong then, or is now.
pub(super) fn is_from_the_future(at: Timestamp, now: Timestamp) -> bool {
    at.seconds_since(now) > FUTURE_SECONDS
}

impl FromStr for Timestamp {
    type Err = NotATime;

    /// Parses RFC 3339 (section 5.6); any offset is normalised to UTC and
    /// fractions of a second are dropped.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let time = DateTime::parse_from_rfc3339(text.trim()).map_err(|_| NotATime)?;
        Self::from_unix(time.timestamp()).ok_or(NotATime)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp(self.0, 0).unwrap_or(DateTime::UNIX_EPOCH);
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_offset_is_normalised_to_utc_with_whole_seconds() {
        let time: Timestamp = "2030-06-01T02:00:00.999+02:00".parse().unwrap();
        assert_eq!(time.to_string(), "2030-06-01T00:00:00Z");
    }

    #[test]
    fn the_bounds_are_the_years_that_rfc_3339_can_write() {
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59Z");
        assert!("9999-12-31T23:59:59Z".parse::<Timestamp>().is_ok());
        assert!("9999-12-31T23:59:59-01:00".parse::<Timestamp>().is_err());
        assert_eq!(Timestamp::MAX.checked_add_seconds(1), None);
        assert_eq!(Timestamp::MIN.checked_add_seconds(-1), None);
    }

    #[test]
    fn what_is_no_rfc_3339_time_is_refused() {
        for text in
            ["", "tomorrow", "2030-06-01", "2030-06-01T00:00:00", "2030-13-01T00:00:00Z", "1893456000"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
