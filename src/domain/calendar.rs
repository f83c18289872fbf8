//! Days as people mean them. "Until the 31st" is until that day has ended
//! where the site is.
//!
//! The end of a day is the instant at which the next one begins, which is not
//! midnight where a clock is put forward just then. When that is, the data of
//! time zones tells, which comes in as an argument ([`Zones`]): rules change
//! with the laws of countries, so it is the host's and not ours.

use std::fmt;
use std::str::FromStr;

use jiff::civil;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use super::time::{SECONDS_PER_DAY, Timestamp};

/// The zone that needs no data.
const UTC: &str = "UTC";
/// Whole years of the calendar.
const YEARS: std::ops::RangeInclusive<i16> = 1..=9999;
/// The last day whose end can be told in every zone.
const LAST: (i16, i8, i8) = (9999, 12, 29);

/// The day from which days are counted.
const EPOCH: civil::Date = civil::date(1970, 1, 1);

/// A day of the Gregorian calendar, 0001-01-01 to 9999-12-29, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(civil::Date);

/// Why a text is no [`Date`]. Displays as the message that the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotADate {
    /// It has another form.
    Malformed,
    /// There is no such month or day: 30 February.
    NotInCalendar,
    /// It lies outside the bounds.
    OutOfRange,
}

impl fmt::Display for NotADate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "must be a day such as 2030-12-31",
            Self::NotInCalendar => "must be a day that the calendar has, such as 2030-12-31",
            Self::OutOfRange => "must be a day from 0001-01-01 to 9999-12-29",
        })
    }
}

impl std::error::Error for NotADate {}

impl Date {
    /// Counted from 1970-01-01, which is 0.
    pub fn number(self) -> i32 {
        // The years 1 to 9999 have less than 4 million days.
        self.0.since((jiff::Unit::Day, EPOCH)).map_or(0, |span| span.get_days())
    }

    /// Of its number; `None` outside the bounds.
    pub fn numbered(number: i32) -> Option<Self> {
        let date = EPOCH.checked_add(jiff::Span::new().try_days(number).ok()?).ok()?;
        let (year, month, day) = LAST;
        let is_known = YEARS.contains(&date.year()) && date <= civil::date(year, month, day);
        is_known.then_some(Self(date))
    }

    /// The day after it; `None` after the last.
    pub fn next(self) -> Option<Self> {
        let next = self.0.tomorrow().ok()?;
        let (year, month, day) = LAST;
        ((next.year(), next.month(), next.day()) <= (year, month, day)).then_some(Self(next))
    }
}

impl FromStr for Date {
    type Err = NotADate;

    /// Parses `YYYY-MM-DD` (RFC 3339, section 5.6, `full-date`).
    fn from_str(text: &str) -> Result<Self, NotADate> {
        let text = text.trim();
        let form = |(place, byte): (usize, u8)| {
            if place == 4 || place == 7 { byte == b'-' } else { byte.is_ascii_digit() }
        };
        if text.len() != 10 || !text.bytes().enumerate().all(form) {
            return Err(NotADate::Malformed);
        }
        let mut parts = text.splitn(3, '-');
        let year = parts.next().and_then(|year| year.parse().ok()).ok_or(NotADate::Malformed)?;
        let mut two = || parts.next().and_then(|part| part.parse().ok()).ok_or(NotADate::Malformed);
        let (month, day) = (two()?, two()?);
        let date = civil::Date::new(year, month, day).map_err(|_| NotADate::NotInCalendar)?;
        let (last_year, last_month, last_day) = LAST;
        let is_past_last = (year, month, day) > (last_year, last_month, last_day);
        if YEARS.contains(&year) && !is_past_last { Ok(Self(date)) } else { Err(NotADate::OutOfRange) }
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

/// A point in time as somebody says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// An instant.
    At(Timestamp),
    /// The end of a day, in whichever zone that is.
    EndOf(Date),
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self::At(time)
    }
}

impl From<Date> for Moment {
    fn from(day: Date) -> Self {
        Self::EndOf(day)
    }
}

/// The text is neither a day nor a time. Displays as what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAMoment {
    /// It is meant as neither.
    Neither,
    /// It has the form of a day, and is none.
    Day(NotADate),
}

impl fmt::Display for NotAMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neither => f.write_str(
                "must be a day such as 2030-12-31, or a time with its offset such as 2030-12-31T00:00:00Z",
            ),
            Self::Day(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotAMoment {}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        match text.parse::<Date>() {
            Ok(day) => Ok(Self::EndOf(day)),
            Err(NotADate::Malformed) => text.parse().map(Self::At).map_err(|_| NotAMoment::Neither),
            Err(error) => Err(NotAMoment::Day(error)),
        }
    }
}

/// As it is parsed.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => time.fmt(f),
            Self::EndOf(day) => day.fmt(f),
        }
    }
}

/// Why a [`Moment`] is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// Nothing is known of the zone.
    UnknownZone,
    /// The zone has skipped that day, as Pacific/Apia did 2011-12-30.
    SkippedDay,
}

/// The data of all time zones.
#[derive(Debug, Clone)]
pub struct Zones(TimeZoneDatabase);

impl Zones {
    /// Those of a database.
    pub fn new(database: TimeZoneDatabase) -> Self {
        Self(database)
    }

    /// The days of the zone of this name, whatever its letters' case.
    pub fn calendar(&self, zone: &str) -> Calendar {
        let zone = if zone.eq_ignore_ascii_case(UTC) { Some(TimeZone::UTC) } else { self.0.get(zone).ok() };
        // Without a name of its own it is a zone that is known to be unknown.
        Calendar(zone.filter(|zone| !zone.is_unknown() && zone.iana_name().is_some()))
    }
}

/// None but UTC.
impl Default for Zones {
    fn default() -> Self {
        Self(TimeZoneDatabase::none())
    }
}

/// By which data days are counted is no part of what is compared.
impl PartialEq for Zones {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Zones {}

/// The days of one zone, or of one of which nothing is known.
#[derive(Debug, Clone)]
pub struct Calendar(Option<TimeZone>);

impl Calendar {
    /// The days of UTC, which need no data.
    pub fn utc() -> Self {
        Self(Some(TimeZone::UTC))
    }

    /// The zone's name as its data has it; `None`: nothing is known of it.
    pub fn zone(&self) -> Option<&str> {
        self.0.as_ref().and_then(TimeZone::iana_name)
    }

    /// The instant that is meant.
    ///
    /// # Errors
    /// [`Unresolved`]; an instant is always one.
    pub fn resolve(&self, moment: Moment) -> Result<Timestamp, Unresolved> {
        match moment {
            Moment::At(time) => Ok(time),
            Moment::EndOf(day) => self.end_of(day),
        }
    }

    /// The instant at which `day` begins.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn start_of(&self, day: Date) -> Result<Timestamp, Unresolved> {
        let zone = self.0.as_ref().ok_or(Unresolved::UnknownZone)?;
        let start = first_second(zone, day.0).ok_or(Unresolved::SkippedDay)?;
        if date_at(zone, start) == Some(day.0) { Ok(start) } else { Err(Unresolved::SkippedDay) }
    }

    /// The end of `day`: the instant at which the next one begins.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn end_of(&self, day: Date) -> Result<Timestamp, Unresolved> {
        self.start_of(day)?;
        let zone = self.0.as_ref().ok_or(Unresolved::UnknownZone)?;
        // The day after may be one that is skipped: then what comes after it.
        day.0.tomorrow().ok().and_then(|next| first_second(zone, next)).ok_or(Unresolved::SkippedDay)
    }

    /// The day that it is at `time`, and when that ends; `None` where nothing is
    /// known of the zone, and outside the bounds of days.
    pub fn day_at(&self, time: Timestamp) -> Option<(Date, Timestamp)> {
        let zone = self.0.as_ref()?;
        let today = date_at(zone, time)?;
        let end = first_second(zone, today.tomorrow().ok()?)?;
        YEARS.contains(&today.year()).then_some((Date(today), end))
    }

    /// The last day that has ended by `time`; `None` where nothing is known of
    /// the zone, and before the first.
    pub fn last_whole_day(&self, time: Timestamp) -> Option<Date> {
        let zone = self.0.as_ref()?;
        let today = date_at(zone, time)?;
        // The day before may be one that was skipped.
        let before = first_second(zone, today)
            .and_then(|start| start.checked_add_seconds(-1))
            .and_then(|last_second| date_at(zone, last_second))
            .or_else(|| today.yesterday().ok())?;
        YEARS.contains(&before.year()).then_some(Date(before))
    }
}

/// The first second of a day, or of what comes after it where it is skipped;
/// `None` past the end of time.
fn first_second(zone: &TimeZone, day: civil::Date) -> Option<Timestamp> {
    let midnight = day.at(0, 0, 0, 0);
    let at = |offset: Offset| Timestamp::from_unix(offset.to_timestamp(midnight).ok()?.as_second());
    match zone.to_ambiguous_timestamp(midnight).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset),
        // The clock is put back over midnight: the day begins the first time.
        AmbiguousOffset::Fold { before, .. } => at(before),
        // It is put forward over midnight, at an instant between the two at
        // which it would be midnight with the one offset and the other.
        AmbiguousOffset::Gap { before, after } => {
            let (mut not_yet, mut begun) = (at(after)?, at(before)?);
            while begun.seconds_since(not_yet) > 1 {
                let middle = not_yet.checked_add_seconds(begun.seconds_since(not_yet) / 2)?;
                if date_at(zone, middle)? < day { not_yet = middle } else { begun = middle }
            }
            Some(begun)
        }
    }
}

/// The day that it is at `time`.
fn date_at(zone: &TimeZone, time: Timestamp) -> Option<civil::Date> {
    // The calendar's own instants end a day before ours, so that each of them
    // has a date in every zone; no clock is changed in that day.
    let within = jiff::Timestamp::from_second(time.unix()).unwrap_or(jiff::Timestamp::MAX);
    let offset = i64::from(zone.to_offset(within).seconds());
    let days = (time.unix() + offset).div_euclid(SECONDS_PER_DAY);
    let days = i32::try_from(days).ok()?;
    civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Of the host on which the tests run.
    fn zones() -> Zones {
        Zones::new(TimeZoneDatabase::from_env())
    }

    #[test]
    fn a_day_is_what_the_calendar_has() {
        assert_eq!(day(" 2028-02-29 ").to_string(), "2028-02-29");
        for (text, error) in [
            ("2027-02-29", NotADate::NotInCalendar),
            ("2027-02-30", NotADate::NotInCalendar),
            ("2027-13-01", NotADate::NotInCalendar),
            ("2027-00-10", NotADate::NotInCalendar),
            ("0000-01-01", NotADate::OutOfRange),
            ("9999-12-30", NotADate::OutOfRange),
            ("31.12.2030", NotADate::Malformed),
            ("2030-12-1", NotADate::Malformed),
            ("+030-12-01", NotADate::Malformed),
            ("2030-12-31T00:00:00Z", NotADate::Malformed),
            ("", NotADate::Malformed),
        ] {
            assert_eq!(text.parse::<Date>(), Err(error), "{text}");
        }
        assert!("0001-01-01".parse::<Date>().is_ok() && "9999-12-29".parse::<Date>().is_ok());
    }

    #[test]
    fn a_moment_is_a_day_or_a_time() {
        assert_eq!("2030-12-31".parse(), Ok(Moment::EndOf(day("2030-12-31"))));
        assert_eq!("2030-12-31T00:00:00Z".parse(), Ok(Moment::At(at("2030-12-31T00:00:00Z"))));
        assert_eq!("2030-02-30".parse::<Moment>(), Err(NotAMoment::Day(NotADate::NotInCalendar)));
        assert_eq!("soon".parse::<Moment>(), Err(NotAMoment::Neither));
    }

    #[test]
    fn a_day_ends_when_the_next_begins_where_it_is() {
        for (zone, text, end) in [
            ("UTC", "2030-12-31", "2031-01-01T00:00:00Z"),
            ("Europe/Rome", "2030-12-31", "2030-12-31T23:00:00Z"),
            ("Europe/Rome", "2030-06-30", "2030-06-30T22:00:00Z"),
            ("Asia/Kathmandu", "2030-06-30", "2030-06-30T18:15:00Z"),
            // The clock is put forward at midnight, to 01:00.
            ("Africa/Cairo", "2025-04-24", "2025-04-24T22:00:00Z"),
            // At 23:30, to 00:30.
            ("America/Toronto", "1919-03-30", "1919-03-31T04:30:00Z"),
            // The day after was skipped.
            ("Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00Z"),
        ] {
            let calendar = zones().calendar(zone);
            assert_eq!(calendar.end_of(day(text)), Ok(at(end)), "{zone} {text}");
            assert_eq!(calendar.last_whole_day(at(end)), Some(day(text)), "{zone} {text}");
        }
    }

    #[test]
    fn what_day_it_is_is_told_with_its_end() {
        for (zone, time, date, end) in [
            ("UTC", "2030-12-31T23:59:59Z", "2030-12-31", "2031-01-01T00:00:00Z"),
            ("Europe/Rome", "2030-12-31T23:00:00Z", "2031-01-01", "2031-01-01T23:00:00Z"),
            // A day of 25 hours.
            ("Europe/Rome", "2030-10-27T22:59:59Z", "2030-10-27", "2030-10-27T23:00:00Z"),
            // The day after is skipped.
            ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29", "2011-12-30T10:00:00Z"),
        ] {
            let calendar = zones().calendar(zone);
            assert_eq!(calendar.day_at(at(time)), Some((day(date), at(end))), "{zone} {time}");
        }
        assert_eq!(zones().calendar("Europe/Nowhere").day_at(at("2030-12-31T00:00:00Z")), None);
        assert_eq!(zones().calendar("UTC").day_at(Timestamp::MAX), None);
    }

    #[test]
    fn days_are_numbered_from_1970_to_both_ends() {
        assert_eq!((day("1970-01-01").number(), day("1969-12-31").number()), (0, -1));
        assert_eq!(day("2026-11-25").number(), 20_782);
        for text in ["0001-01-01", "9999-12-29"] {
            assert_eq!(Date::numbered(day(text).number()), Some(day(text)));
        }
        let (first, last) = (day("0001-01-01").number(), day("9999-12-29").number());
        for number in [first - 1, last + 1, i32::MIN, i32::MAX] {
            assert_eq!(Date::numbered(number), None);
        }
    }

    #[test]
    fn a_day_that_a_zone_skips_has_no_end() {
        let apia = zones().calendar("Pacific/Apia");
        for moment in [apia.end_of(day("2011-12-30")), apia.start_of(day("2011-12-30"))] {
            assert_eq!(moment, Err(Unresolved::SkippedDay));
        }
        assert!(apia.end_of(day("2011-12-31")).is_ok());
    }

    #[test]
    fn of_an_unknown_zone_nothing_is_told_but_instants() {
        for (zones, zone) in [
            (zones(), "Europe/Nowhere"),
            (zones(), "Etc/Unknown"),
            (zones(), "right/UTC"),
            (Zones::default(), "Europe/Rome"),
        ] {
            let calendar = zones.calendar(zone);
            assert_eq!(calendar.zone(), None, "{zone}");
            assert_eq!(calendar.end_of(day("2030-12-31")), Err(Unresolved::UnknownZone));
            assert_eq!(calendar.last_whole_day(at("2030-12-31T00:00:00Z")), None);
            let time = at("2030-12-31T00:00:00Z");
            assert_eq!(calendar.resolve(Moment::At(time)), Ok(time));
        }
        assert_eq!(Zones::default().calendar("utc").zone(), Some("UTC"));
        assert_eq!(zones().calendar("europe/rome").zone(), Some("Europe/Rome"));
    }

    #[test]
    fn at_the_ends_of_time_there_is_an_answer() {
        for zone in ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"] {
            let calendar = zones().calendar(zone);
            assert!(calendar.end_of(day("9999-12-29")).is_ok(), "{zone}");
            assert!(calendar.end_of(day("0001-01-01")).is_ok(), "{zone}");
            assert!(calendar.last_whole_day(Timestamp::MIN).is_none(), "{zone}");
        }
        let utc = zones().calendar("UTC");
        assert_eq!(utc.last_whole_day(Timestamp::MAX).unwrap().to_string(), "9999-12-30");
    }

    proptest! {
        #[test]
        fn the_last_whole_day_has_ended_and_the_next_has_not(seconds in 1_577_836_800_i64..2_240_524_800, zone in 0_usize..6) {
            let names = ["UTC", "Europe/Rome", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Chatham", "America/Havana"];
            let calendar = zones().calendar(names[zone]);
            let time = Timestamp::from_unix(seconds).unwrap();
            let last = calendar.last_whole_day(time).unwrap();
            prop_assert!(calendar.end_of(last).unwrap() <= time);
            let next = Date(last.0.tomorrow().unwrap());
            prop_assert!(time < calendar.end_of(next).unwrap());
        }
    }
}
