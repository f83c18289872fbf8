//! What the configuration says of all sites, where a site says nothing of
//! itself.

use std::fmt;
use std::str::FromStr;

use super::calendar::{Calendar, Date, Zones};
use super::text::{Stored, TextError, bounded};
use super::time::Timestamp;

/// How long a site may be silent, in hours, before its status says so; 0
/// switches that off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilentAfterHours(pub u32);

macro_rules! bounded_number {
    ($(#[$doc:meta])* $name:ident, $number:ty, $range:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name($number);

        impl $name {
            /// What is allowed, both ends included.
            pub const RANGE: std::ops::RangeInclusive<$number> = $range;

            /// `None` outside the bounds.
            pub fn new(number: $number) -> Option<Self> {
                Self::RANGE.contains(&number).then_some(Self(number))
            }

            /// The number.
            pub fn get(self) -> $number {
                self.0
            }
        }
    };
}

bounded_number!(
    /// For how many days after its expiry a licence still holds: 0 to 90.
    GraceDays, u8, 0..=90
);
bounded_number!(
    /// For how many hours a lease lasts: 1 to 8760, a year.
    OfflineHours, u16, 1..=8760
);

/// A name of the IANA time zone database, such as `Europe/Rome`: 1 to 64
/// characters. Whether there is a zone of this name, this host's data tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimeZoneName(String);

impl TimeZoneName {
    /// Greatest number of characters.
    pub const MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text cannot be the name of a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATimeZone;

impl fmt::Display for NotATimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be the name of a time zone, such as Europe/Rome or UTC")
    }
}

impl std::error::Error for NotATimeZone {}

impl FromStr for TimeZoneName {
    type Err = NotATimeZone;

    fn from_str(text: &str) -> Result<Self, NotATimeZone> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        let text = text.trim();
        let is_name = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(allowed);
        if is_name && text.starts_with(|first: char| first.is_ascii_alphabetic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotATimeZone)
        }
    }
}

impl Stored for TimeZoneName {
    fn from_stored(text: &str) -> Result<Self, TextError> {
        bounded(text, 1, Self::MAX).map(|_| Self(text.to_owned()))
    }
}

impl fmt::Display for TimeZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What holds for all sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// When a site counts as silent.
    pub silent_after: SilentAfterHours,
    /// For how long a licence holds after its expiry.
    pub grace_days: GraceDays,
    /// For how long a lease lasts.
    pub offline_hours: OfflineHours,
    /// In which zone days end.
    pub time_zone: TimeZoneName,
    /// The least number that the next change of what a site may do gets. After
    /// a backup is restored it is beyond all that were given since the backup,
    /// so that no word on one of those is taken for one on a later change.
    pub least_revision: u64,
    /// What this host knows of zones.
    pub zones: Zones,
}

impl Rules {
    /// The days of a site with this zone of its own; `None`: of one without.
    pub fn calendar(&self, time_zone: Option<&TimeZoneName>) -> Calendar {
        self.zones.calendar(time_zone.unwrap_or(&self.time_zone).as_str())
    }

    /// The day that it is at `time` at a site with this zone of its own, and
    /// when that ends. Where nothing is known of a zone, it is that of the
    /// configured one, and then of UTC; `None` outside the bounds of days.
    pub fn day_at(&self, time_zone: Option<&TimeZoneName>, time: Timestamp) -> Option<(Date, Timestamp)> {
        let own = time_zone.and_then(|zone| self.zones.calendar(zone.as_str()).day_at(time));
        own.or_else(|| self.calendar(None).day_at(time)).or_else(|| Calendar::utc().day_at(time))
    }

    /// The name of a zone as this host has it; `None`: it knows no such zone.
    pub fn known_zone(&self, time_zone: &TimeZoneName) -> Option<TimeZoneName> {
        self.zones.calendar(time_zone.as_str()).zone().map(|name| TimeZoneName(name.to_owned()))
    }
}

/// As without any configuration.
impl Default for Rules {
    fn default() -> Self {
        Self {
            silent_after: SilentAfterHours(13),
            grace_days: GraceDays(0),
            offline_hours: OfflineHours(168),
            time_zone: TimeZoneName("UTC".to_owned()),
            least_revision: 0,
            zones: Zones::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_bounds() {
        assert!(GraceDays::new(90).is_some() && GraceDays::new(91).is_none());
        assert!(OfflineHours::new(0).is_none() && OfflineHours::new(1).is_some());
        assert!(OfflineHours::new(8760).is_some() && OfflineHours::new(8761).is_none());
    }

    #[test]
    fn a_zone_is_a_name_and_no_path() {
        for good in ["UTC", "Europe/Rome", "America/Argentina/Buenos_Aires", "Etc/GMT+12"] {
            assert_eq!(good.parse::<TimeZoneName>().unwrap().as_str(), good);
        }
        for bad in ["", "../etc/passwd", "/etc/localtime", "Europe/Rome\0", "+02:00", &"x".repeat(65)] {
            assert_eq!(bad.parse::<TimeZoneName>(), Err(NotATimeZone), "{bad}");
        }
    }
}
