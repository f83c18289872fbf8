//! How the sites stand as a whole: counted in one pass, and bounded whatever
//! the sites say of themselves.

use std::collections::{BTreeMap, HashMap};

use super::calendar::Date;
use super::history::DAYS;
use super::rules::Rules;
use super::site::SiteStatus;
use super::time::{SECONDS_PER_DAY, Timestamp};
use super::view::{SiteView, folded};

/// How many values of each kind are listed; the others are counted together.
pub const LISTED: usize = 50;
/// How many different values of each kind are told from each other, at most.
/// What comes up first after that is counted with the others.
const TOLD_APART: usize = 100_000;
/// How near an end of a licence is counted, in days.
pub const EXPIRING_DAYS: [i64; 4] = [7, 14, 30, 90];

/// How many sites there are of each value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frequencies {
    /// The most frequent, at most [`LISTED`], the most frequent first.
    pub values: Vec<(String, u64)>,
    /// How many sites there are of all other values.
    pub other: u64,
    /// How many have none.
    pub none: u64,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// How many sites there are.
    pub sites: u64,
    /// How many in each status, in the order of [`SiteStatus::ALL`].
    pub by_status: [u64; SiteStatus::ALL.len()],
    /// By the version that the last heartbeat reported.
    pub by_version: Frequencies,
    /// By owner, without regard to case.
    pub by_owner: Frequencies,
    /// By tag; a site counts for each of its own.
    pub by_tag: Frequencies,
    /// How many are licensed for no longer than the days of
    /// [`EXPIRING_DAYS`], their grace included.
    pub expiring: [u64; EXPIRING_DAYS.len()],
    /// How many heartbeats came on each of the last [`DAYS`] days; a heartbeat
    /// counts for the day that it was at its site. They begin with the first
    /// on which one was counted.
    pub heartbeats: Vec<(Date, u64)>,
}

/// What has been counted so far.
#[derive(Debug, Default)]
pub struct Counting {
    sites: u64,
    by_status: [u64; SiteStatus::ALL.len()],
    versions: Tally,
    owners: Tally,
    tags: Tally,
    expiring: [u64; EXPIRING_DAYS.len()],
    heartbeats: BTreeMap<Date, u64>,
}

impl Counting {
    /// Counts a site.
    pub fn note(&mut self, site: &SiteView<'_>, rules: &Rules, now: Timestamp) {
        self.sites += 1;
        let status = site.status(rules, now);
        for (known, count) in SiteStatus::ALL.iter().zip(&mut self.by_status) {
            *count += u64::from(*known == status);
        }
        let left = site.terms.licence_ends_at(rules).seconds_since(now);
        for (days, count) in EXPIRING_DAYS.iter().zip(&mut self.expiring) {
            *count += u64::from(site.terms.licensed(rules, now) && left <= days * SECONDS_PER_DAY);
        }
        self.versions.note(site.last_version);
        let owner = Some(site.owner_name).filter(|owner| !owner.is_empty());
        match owner {
            Some(owner) => self.owners.note_as(&folded(owner), owner),
            None => self.owners.note(None),
        }
        let mut tags = site.tags.split(' ').filter(|tag| !tag.is_empty()).peekable();
        if tags.peek().is_none() {
            self.tags.note(None);
        }
        tags.for_each(|tag| self.tags.note(Some(tag)));
        if let Some((date, heartbeats)) = site.today {
            self.note_heartbeats(date, heartbeats.into());
        }
    }

    /// Counts heartbeats of a day that no site is asked for.
    pub fn note_heartbeats(&mut self, date: Date, heartbeats: u64) {
        let known = self.heartbeats.entry(date).or_insert(0);
        *known = known.saturating_add(heartbeats);
    }

    /// All of it, where it is `today` in the configured zone; `None`: outside
    /// the bounds of days.
    pub fn finished(self, today: Option<Date>) -> Statistics {
        let heartbeats = today.map_or_else(Vec::new, |today| self.up_to(today));
        Statistics {
            sites: self.sites,
            by_status: self.by_status,
            by_version: self.versions.finished(),
            by_owner: self.owners.finished(),
            by_tag: self.tags.finished(),
            expiring: self.expiring,
            heartbeats,
        }
    }

    fn up_to(&self, today: Date) -> Vec<(Date, u64)> {
        // East of the configured zone the next day has begun.
        let tomorrow = today.next().filter(|next| self.heartbeats.contains_key(next));
        let end = tomorrow.unwrap_or(today).number();
        let oldest = end - i32::try_from(DAYS).unwrap_or(0) + 1;
        let first = self.heartbeats.keys().next().map_or(end + 1, |date| date.number());
        let dates = (oldest.max(first)..=end).filter_map(Date::numbered);
        dates.map(|date| (date, self.heartbeats.get(&date).copied().unwrap_or(0))).collect()
    }
}

/// Values and how often they came up.
#[derive(Debug, Default)]
struct Tally {
    /// By what is the same: how it is written, and how often.
    counts: HashMap<String, (String, u64)>,
    other: u64,
    none: u64,
}

impl Tally {
    fn note(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.note_as(value, value),
            None => self.none += 1,
        }
    }

    /// As `written`, which is the same as all with this `key`.
    fn note_as(&mut self, key: &str, written: &str) {
        if let Some((_, count)) = self.counts.get_mut(key) {
            *count += 1;
        } else if self.counts.len() < TOLD_APART {
            self.counts.insert(key.to_owned(), (written.to_owned(), 1));
        } else {
            self.other += 1;
        }
    }

    fn finished(self) -> Frequencies {
        let mut values: Vec<(String, u64)> = self.counts.into_values().collect();
        values.sort_unstable_by(|(one, count), (next, least)| least.cmp(count).then_with(|| one.cmp(next)));
        let rest = values.split_off(values.len().min(LISTED));
        let rest: u64 = rest.iter().map(|(_, count)| count).sum();
        Frequencies { values, other: self.other + rest, none: self.none }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site_id::SiteId;
    use crate::domain::{Calendar, NewSite, SecretKey, Site};

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW + seconds).unwrap()
    }

    fn site(owner: &str, tags: &str, expires_in_days: i64) -> Site {
        let (name, email) = ("Bar".parse().unwrap(), "a@example.com".parse().unwrap());
        let new = NewSite {
            owner_name: owner.parse().unwrap(),
            tags: tags.parse().unwrap(),
            allow_past: true,
            ..NewSite::named(name, email, at(expires_in_days * SECONDS_PER_DAY))
        };
        let key = SecretKey::from_random_bits([1; 32]).hash();
        Site::registered(SiteId::from_u128(1), new, key, &Calendar::utc(), at(0)).unwrap()
    }

    fn counted(sites: &[Site]) -> Statistics {
        let mut counting = Counting::default();
        for site in sites {
            counting.note(&site.view(), &Rules::default(), at(0));
        }
        counting.finished(Calendar::utc().day_at(at(0)).map(|(today, _)| today))
    }

    #[test]
    fn owners_are_the_same_in_any_case_and_sites_count_for_each_tag() {
        let statistics =
            counted(&[site("Anna", "rome vip", 400), site("ANNA", "rome", 400), site("", "", 400)]);
        assert_eq!(statistics.by_owner.values, [("Anna".to_owned(), 2)]);
        assert_eq!((statistics.by_owner.other, statistics.by_owner.none), (0, 1));
        assert_eq!(statistics.by_tag.values, [("rome".to_owned(), 2), ("vip".to_owned(), 1)]);
        assert_eq!((statistics.by_tag.none, statistics.by_version.none, statistics.sites), (1, 3, 3));
    }

    #[test]
    fn an_end_of_a_licence_counts_up_to_its_day_and_not_when_it_has_come() {
        let sites = [0, 1, 7, 8, 14, 30, 31, 90, 91].map(|days| site("", "", days));
        assert_eq!(counted(&sites).expiring, [2, 4, 5, 7]);
    }

    #[test]
    fn the_50_most_frequent_are_listed_and_the_others_counted_together() {
        let mut tally = Tally::default();
        for number in 0..60 {
            for _ in 0..=number {
                tally.note(Some(&format!("{number:02}")));
            }
        }
        let counted = tally.finished();
        assert_eq!(counted.values.len(), LISTED);
        assert_eq!(
            (&counted.values[0], &counted.values[49]),
            (&("59".to_owned(), 60), &("10".to_owned(), 11))
        );
        assert_eq!(counted.other, (1..=10).sum::<u64>());
    }

    #[test]
    fn no_more_than_100_000_values_are_told_apart() {
        let mut tally = Tally::default();
        for number in 0..TOLD_APART + 3 {
            tally.note(Some(&number.to_string()));
        }
        assert_eq!(tally.counts.len(), TOLD_APART);
        let all = TOLD_APART as u64 + 3;
        let counted = tally.finished();
        assert_eq!(counted.other + counted.values.iter().map(|(_, count)| count).sum::<u64>(), all);
    }

    #[test]
    fn heartbeats_are_told_of_90_days_and_of_the_day_that_has_begun_in_the_east() {
        let day = |number| Date::numbered(number).unwrap();
        let mut counting = Counting::default();
        for number in [10, 100, 102, 105] {
            counting.note_heartbeats(day(number), 4);
        }
        let heartbeats = counting.finished(Some(day(101))).heartbeats;
        assert_eq!((heartbeats.len(), heartbeats[0], heartbeats[89]), (90, (day(13), 0), (day(102), 4)));
        assert_eq!(Counting::default().finished(Some(day(101))).heartbeats, []);
    }
}
