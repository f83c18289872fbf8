//! On which days a site was heard, how often, and what it said it was.
//!
//! Counts a day and not a row a heartbeat: 90 days tell whether a site has
//! gaps, and stay small however often it calls. The day that it is lies in the
//! record that each heartbeat rewrites anyway ([`Today`]); a day that has ended
//! goes into the [`History`], with the first heartbeat of the next one. Days
//! are those of the site's zone. Where an operator changes the zone, the day
//! that has begun ends as it would have, and two days of one date are one.

use std::net::IpAddr;

use super::calendar::Date;
use super::text::AppVersion;
use super::time::{Timestamp, is_from_the_future};

/// How many days are kept of a site, and shown.
pub const DAYS: usize = 90;
/// How many different addresses and versions are kept of a day.
pub const NAMED: usize = 8;

/// What came up on a day: the first values by name, and how often others came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Several<T> {
    /// Different ones, in the order in which they came.
    pub values: Vec<T>,
    /// How many more came. One that went and came again counts again.
    pub more: u32,
}

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self { values: Vec::new(), more: 0 }
    }
}

impl<T: PartialEq> Several<T> {
    /// Notes `value`, of which no more than `most` are kept by name.
    fn note(&mut self, value: T, most: usize) {
        if self.values.contains(&value) {
            return;
        }
        if self.values.len() < most {
            self.values.push(value);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Notes one that is no longer the last, and takes out the one that is now.
    fn give_way(&mut self, before: T, now: &T) {
        self.values.retain(|value| value != now);
        // One place is for the one that is the last.
        self.note(before, NAMED - 1);
    }

    fn join(&mut self, other: Self) {
        self.more = self.more.saturating_add(other.more);
        for value in other.values {
            self.note(value, NAMED);
        }
    }
}

/// The day of the last heartbeat, so far. What that heartbeat reported lies
/// beside it and is not said twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Today {
    /// Which day, where the site is.
    pub date: Date,
    /// When it ends.
    pub ends_at: Timestamp,
    /// How many heartbeats came.
    pub heartbeats: u32,
    /// When the first did.
    pub first_at: Timestamp,
    /// From where others came than the last.
    pub addresses: Several<IpAddr>,
    /// What others reported than the last.
    pub versions: Several<AppVersion>,
}

impl Today {
    /// With its first heartbeat, at `now`.
    pub fn begun((date, ends_at): (Date, Timestamp), now: Timestamp) -> Self {
        let (addresses, versions) = (Several::default(), Several::default());
        Self { date, ends_at, heartbeats: 1, first_at: now, addresses, versions }
    }

    /// Whether it is this day at `now`, as far as clocks are believed.
    pub fn lasts(&self, now: Timestamp) -> bool {
        now < self.ends_at && !is_from_the_future(self.first_at, now)
    }

    /// With one heartbeat more, from `ip`, after one from `last_ip`. The one
    /// before reported `last_version`, where that is another than `version`.
    #[must_use]
    pub fn and(
        mut self,
        (last_ip, ip): (IpAddr, IpAddr),
        (last_version, version): (Option<AppVersion>, &AppVersion),
    ) -> Self {
        self.heartbeats = self.heartbeats.saturating_add(1);
        if last_ip != ip {
            self.addresses.give_way(last_ip, &ip);
        }
        if let Some(last_version) = last_version {
            self.versions.give_way(last_version, version);
        }
        self
    }

    /// The whole of it, after the last heartbeat.
    pub fn finished(mut self, last_at: Timestamp, ip: IpAddr, version: AppVersion) -> Day {
        self.addresses.note(ip, NAMED);
        self.versions.note(version, NAMED);
        Day {
            date: self.date,
            heartbeats: self.heartbeats,
            first_at: self.first_at,
            last_at: last_at.max(self.first_at),
            addresses: self.addresses,
            versions: self.versions,
        }
    }
}

/// A day on which heartbeats came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Which day, where the site is.
    pub date: Date,
    /// How many heartbeats came.
    pub heartbeats: u32,
    /// When the first did.
    pub first_at: Timestamp,
    /// When the last did; not before the first.
    pub last_at: Timestamp,
    /// From where, at most [`NAMED`] by name.
    pub addresses: Several<IpAddr>,
    /// Which versions were reported, at most [`NAMED`] by name.
    pub versions: Several<AppVersion>,
}

impl Day {
    /// With what another part of the same day had.
    fn join(&mut self, other: Self) {
        self.heartbeats = self.heartbeats.saturating_add(other.heartbeats);
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.addresses.join(other.addresses);
        self.versions.join(other.versions);
    }
}

/// The days of a site that have ended, at most [`DAYS`], in their order; days
/// without a heartbeat are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    days: Vec<Day>,
}

impl History {
    /// Of days as they are kept; `None` when they are not in their order.
    pub fn of(days: Vec<Day>) -> Option<Self> {
        days.is_sorted_by(|one, next| one.date < next.date).then_some(Self { days })
    }

    /// The days.
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    /// Adds a day. Where there is no room, the day that is farthest from it
    /// goes: the oldest, or one that a clock far ahead has dated.
    pub fn add(&mut self, day: Day) {
        let number = day.date.number();
        match self.days.binary_search_by_key(&day.date, |known| known.date) {
            Ok(place) => {
                if let Some(known) = self.days.get_mut(place) {
                    known.join(day);
                }
            }
            Err(place) => self.days.insert(place, day),
        }
        while self.days.len() > DAYS {
            let away = |day: Option<&Day>| day.map_or(0, |day| day.date.number().abs_diff(number));
            let oldest_is_farther = away(self.days.first()) >= away(self.days.last());
            self.days.remove(if oldest_is_farther { 0 } else { DAYS });
        }
    }

    /// Forgets the names of the oldest day that has any: how many there were is
    /// all that stays. `false`: there is none.
    pub fn forget_names(&mut self) -> bool {
        let named = |day: &&mut Day| !day.addresses.values.is_empty() || !day.versions.values.is_empty();
        let Some(day) = self.days.iter_mut().find(named) else { return false };
        let many = |values: usize| u32::try_from(values).unwrap_or(u32::MAX);
        day.addresses.more = day.addresses.more.saturating_add(many(day.addresses.values.len()));
        day.versions.more = day.versions.more.saturating_add(many(day.versions.values.len()));
        day.addresses.values = Vec::new();
        day.versions.values = Vec::new();
        true
    }

    /// The [`DAYS`] days up to `last`, with that of the last heartbeat where it
    /// is among them. They begin with the first day on which a heartbeat was
    /// ever counted: what was before is not known.
    pub fn up_to(mut self, last: Date, today: Option<Day>) -> Vec<(Date, Option<Day>)> {
        if let Some(today) = today {
            self.add(today);
        }
        let end = last.number();
        let window = (end - i32::try_from(DAYS).unwrap_or(0) + 1)..=end;
        let first = self.days.first().map_or(end + 1, |day| day.date.number());
        let mut days = self.days.into_iter().peekable();
        window
            .filter(|&number| number >= first)
            .filter_map(Date::numbered)
            .map(|date| {
                while days.next_if(|day| day.date < date).is_some() {}
                (date, days.next_if(|day| day.date == date))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Calendar;

    const START: i64 = 1_900_000_000 - 1_900_000_000 % 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(START + seconds).unwrap()
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn version(text: &str) -> AppVersion {
        text.parse().unwrap()
    }

    fn begun(seconds: i64) -> Today {
        Today::begun(Calendar::utc().day_at(at(seconds)).unwrap(), at(seconds))
    }

    fn day(number: i32, heartbeats: u32) -> Day {
        let date = Date::numbered(number).unwrap();
        let first_at = Timestamp::from_unix(i64::from(number) * 86_400).unwrap();
        let addresses = Several { values: vec![ip(1)], more: 0 };
        let versions = Several { values: vec![version("1")], more: 0 };
        Day { date, heartbeats, first_at, last_at: first_at, addresses, versions }
    }

    #[test]
    fn a_day_counts_its_heartbeats_and_names_what_came() {
        let today = begun(60)
            .and((ip(1), ip(1)), (None, &version("1")))
            .and((ip(1), ip(2)), (Some(version("1")), &version("2")))
            .and((ip(2), ip(1)), (None, &version("2")));
        let day = today.finished(at(3600), ip(1), version("2"));
        assert_eq!((day.heartbeats, day.first_at, day.last_at), (4, at(60), at(3600)));
        assert_eq!(day.addresses, Several { values: vec![ip(2), ip(1)], more: 0 });
        assert_eq!(day.versions, Several { values: vec![version("1"), version("2")], more: 0 });
    }

    #[test]
    fn no_more_than_8_are_named_and_the_others_counted() {
        let mut today = begun(0);
        for last in 1..=20 {
            let versions = (Some(version(&last.to_string())), &version(&(last + 1).to_string()));
            today = today.and((ip(last), ip(last + 1)), versions);
        }
        let day = today.finished(at(9), ip(21), version("21"));
        assert_eq!(
            (day.heartbeats, day.addresses.values.len(), day.versions.values.len()),
            (21, NAMED, NAMED)
        );
        assert_eq!((day.addresses.more, day.versions.more), (13, 13));
        assert!(day.addresses.values.contains(&ip(21)), "the last is named");
    }

    #[test]
    fn a_day_ends_at_its_end_and_where_the_clock_is_put_back_behind_it() {
        let today = begun(1000);
        assert!(today.lasts(at(1000)) && today.lasts(at(86_399)) && !today.lasts(at(86_400)));
        assert!(today.lasts(at(700)), "5 minutes");
        assert!(!today.lasts(at(699)));
    }

    #[test]
    fn the_oldest_of_more_than_90_days_goes() {
        let mut history = History::default();
        for number in 0..100 {
            history.add(day(number, 4));
        }
        let numbers: Vec<_> = history.days().iter().map(|day| day.date.number()).collect();
        assert_eq!(numbers, (10..100).collect::<Vec<_>>());
    }

    #[test]
    fn days_that_a_clock_far_ahead_has_dated_give_way() {
        let mut history = History::default();
        for number in (0..60).chain(5000..5090).chain(60..120) {
            history.add(day(number, 4));
        }
        let numbers: Vec<_> = history.days().iter().map(|day| day.date.number()).collect();
        assert_eq!(&numbers[..60], (60..120).collect::<Vec<_>>());
        assert!(numbers.len() <= DAYS);
    }

    #[test]
    fn two_parts_of_one_day_are_one() {
        let mut history = History::default();
        let mut other = day(7, 3);
        other.last_at = other.last_at.checked_add_seconds(100).unwrap();
        other.addresses.values = vec![ip(2)];
        history.add(day(7, 2));
        history.add(other.clone());
        let [whole] = history.days() else { panic!("{history:?}") };
        assert_eq!((whole.heartbeats, whole.last_at), (5, other.last_at));
        assert_eq!(whole.addresses.values, [ip(1), ip(2)]);
        assert_eq!(whole.versions, day(7, 1).versions);
    }

    #[test]
    fn what_is_shown_begins_with_the_first_day_and_has_the_gaps() {
        let mut history = History::default();
        history.add(day(10, 4));
        history.add(day(12, 3));
        let date = |number| Date::numbered(number).unwrap();
        let shown = |history: &History, last: i32, today| {
            let days = history.clone().up_to(date(last), today);
            days.into_iter()
                .map(|(date, day)| (date.number(), day.map_or(0, |day| day.heartbeats)))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&history, 13, Some(day(13, 1))), [(10, 4), (11, 0), (12, 3), (13, 1)]);
        assert_eq!(shown(&history, 11, None), [(10, 4), (11, 0)], "the day to come is not shown");
        assert_eq!(shown(&History::default(), 13, None), []);
        let late = shown(&history, 101, None);
        assert_eq!((late.len(), late[0], late[89]), (90, (12, 3), (101, 0)));
        assert_eq!(shown(&history, 500, None).len(), 90, "silent for long");
    }

    #[test]
    fn names_are_forgotten_from_the_oldest_day_on_and_counted() {
        let mut history = History::default();
        history.add(day(1, 1));
        history.add(day(2, 1));
        assert!(history.forget_names());
        assert_eq!(history.days()[0].addresses, Several { values: vec![], more: 1 });
        assert_eq!(history.days()[1].addresses.values, [ip(1)]);
        assert!(history.forget_names() && !history.forget_names());
    }

    proptest! {
        #[test]
        fn history_stays_in_order_and_bounded(numbers in proptest::collection::vec(-200_i32..400, 1..300)) {
            let mut history = History::default();
            for &number in &numbers {
                history.add(day(number, 1));
                prop_assert!(history.days().len() <= DAYS);
                prop_assert!(history.days().iter().any(|day| day.date.number() == number), "the newest stays");
            }
            prop_assert!(History::of(history.days().to_vec()).is_some());
        }
    }
}
