//! What a site may do, and when that changes by itself: all that a verdict
//! follows from.

use super::calendar::{Calendar, Moment, Unresolved};
use super::codes::Features;
use super::rules::{GraceDays, OfflineHours, Rules};
use super::text::LockReason;
use super::time::{SECONDS_PER_DAY, Timestamp};

/// A lock with its window. What it means at a moment is computed from the
/// clock; no timer has to fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Why; its people are told.
    pub reason: LockReason,
    /// When it begins or began; `None`: before this was written down.
    pub at: Option<Timestamp>,
    /// When it ends by itself; `None`: when somebody unlocks.
    pub until: Option<Timestamp>,
}

/// A lock that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLock {
    /// Why; its people are told.
    pub reason: LockReason,
    /// When it is to begin; `None`, or a time that has passed: now.
    pub at: Option<Moment>,
    /// When it is to end by itself; `None`: when somebody unlocks.
    pub until: Option<Moment>,
}

impl NewLock {
    /// From now on, until somebody unlocks.
    pub fn now(reason: LockReason) -> Self {
        Self { reason, at: None, until: None }
    }
}

/// Why a lock was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockRefused {
    /// It is to begin later, and the site is locked now.
    AlreadyLocked,
    /// It would end before it begins, or at once.
    EndsTooEarly,
    /// The day on which it is to begin is none where the site is.
    At(Unresolved),
    /// The day on which it is to end is none where the site is.
    Until(Unresolved),
}

/// Where a lock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockPhase {
    /// It has not begun.
    Scheduled,
    /// It holds.
    Locked,
    /// It has ended by itself.
    Over,
}

impl Lock {
    /// Where it stands at `now`. It holds in the second in which it begins,
    /// and no longer in that in which it ends.
    pub fn phase(&self, now: Timestamp) -> LockPhase {
        if self.until.is_some_and(|until| until <= now) {
            LockPhase::Over
        } else if self.at.is_some_and(|at| now < at) {
            LockPhase::Scheduled
        } else {
            LockPhase::Locked
        }
    }
}

/// What a site may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whether it may be licensed at all.
    pub is_active: bool,
    /// When its licence expires, as agreed.
    pub license_expires_at: Timestamp,
    /// For how long the licence holds after that; `None`: as configured.
    pub grace_days: Option<GraceDays>,
    /// Its lock, with one that is to come; one at a time.
    pub lock: Option<Lock>,
    /// What its licence switches on.
    pub features: Features,
    /// How long its leases last; `None`: as configured.
    pub offline_hours: Option<OfflineHours>,
}

impl Terms {
    /// Of a site that is active, with nothing said but when its licence
    /// expires.
    pub fn until(license_expires_at: Timestamp) -> Self {
        Self {
            is_active: true,
            license_expires_at,
            grace_days: None,
            lock: None,
            features: Features::default(),
            offline_hours: None,
        }
    }

    /// The moment at which the licence stops to hold: its expiry, and the
    /// grace after it. In that very second it no longer holds.
    pub fn licence_ends_at(&self, rules: &Rules) -> Timestamp {
        let days = i64::from(self.grace_days.unwrap_or(rules.grace_days).get());
        self.license_expires_at.checked_add_seconds(days * SECONDS_PER_DAY).unwrap_or(Timestamp::MAX)
    }

    /// The end of the grace; `None` where there is none.
    pub fn grace_ends_at(&self, rules: &Rules) -> Option<Timestamp> {
        let ends_at = self.licence_ends_at(rules);
        (ends_at > self.license_expires_at).then_some(ends_at)
    }

    /// Whether the licence holds at `now`.
    pub fn licensed(&self, rules: &Rules, now: Timestamp) -> bool {
        self.is_active && now < self.licence_ends_at(rules)
    }

    /// The lock that holds at `now`.
    pub fn locked(&self, now: Timestamp) -> Option<&Lock> {
        self.lock.as_ref().filter(|lock| lock.phase(now) == LockPhase::Locked)
    }

    /// The lock that is to come.
    pub fn scheduled_lock(&self, now: Timestamp) -> Option<&Lock> {
        self.lock.as_ref().filter(|lock| lock.phase(now) == LockPhase::Scheduled)
    }

    /// Locks from now on or at a time to come, by the site's calendar. Where a lock holds, its reason and
    /// its end are replaced; one that was to come gives way.
    ///
    /// # Errors
    /// [`LockRefused`]; nothing is changed.
    pub fn lock(&mut self, wanted: NewLock, calendar: &Calendar, now: Timestamp) -> Result<(), LockRefused> {
        let resolve = |moment: Option<Moment>| moment.map(|moment| calendar.resolve(moment)).transpose();
        let begins = resolve(wanted.at).map_err(LockRefused::At)?.filter(|&at| now < at);
        let until = resolve(wanted.until).map_err(LockRefused::Until)?;
        if until.is_some_and(|until| until <= begins.unwrap_or(now)) {
            return Err(LockRefused::EndsTooEarly);
        }
        let at = match self.locked(now) {
            Some(_) if begins.is_some() => return Err(LockRefused::AlreadyLocked),
            Some(lock) => lock.at,
            None => Some(begins.unwrap_or(now)),
        };
        self.lock = Some(Lock { reason: wanted.reason, at, until });
        Ok(())
    }

    /// Unlocks, and takes back a lock that is to come.
    pub fn unlock(&mut self) {
        self.lock = None;
    }

    /// The moments at which what it may do changes by itself.
    fn turning_points(&self, rules: &Rules) -> [Option<Timestamp>; 3] {
        let lock = self.lock.as_ref();
        [lock.and_then(|lock| lock.at), lock.and_then(|lock| lock.until), Some(self.licence_ends_at(rules))]
    }
}

/// Counts the changes of what a site may do, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerdictRevision {
    /// The number.
    pub number: u64,
    /// When it became this.
    pub changed_at: Timestamp,
}

impl VerdictRevision {
    /// That of a site that is registered at `now`.
    pub fn first(now: Timestamp) -> Self {
        Self { number: 1, changed_at: now }
    }

    /// What has become of it by `now`: a lock that begins or ends, and a
    /// licence that ends, count as changes.
    pub fn at(self, terms: &Terms, rules: &Rules, now: Timestamp) -> Self {
        let passed = terms.turning_points(rules).into_iter().flatten();
        passed.filter(|&point| self.changed_at < point && point <= now).fold(self, |revision, point| Self {
            number: revision.number + 1,
            changed_at: revision.changed_at.max(point),
        })
    }

    /// The one after it, made by somebody at `now`.
    pub fn next(self, rules: &Rules, now: Timestamp) -> Self {
        Self { number: (self.number + 1).max(rules.least_revision), changed_at: now }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::calendar::Zones;

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW + seconds).unwrap()
    }

    fn locked(from: i64, until: Option<i64>) -> Terms {
        let lock = Lock { reason: "unpaid".parse().unwrap(), at: Some(at(from)), until: until.map(at) };
        Terms { lock: Some(lock), ..Terms::until(at(1_000_000)) }
    }

    #[test]
    fn a_lock_holds_from_its_first_second_to_that_before_its_last() {
        let terms = locked(100, Some(200));
        assert!(terms.scheduled_lock(at(99)).is_some() && terms.locked(at(99)).is_none());
        assert!(terms.scheduled_lock(at(100)).is_none() && terms.locked(at(100)).is_some());
        assert!(terms.locked(at(199)).is_some());
        assert!(terms.locked(at(200)).is_none() && terms.scheduled_lock(at(200)).is_none());
        assert!(locked(0, None).locked(at(i64::from(u32::MAX))).is_some());
    }

    #[test]
    fn there_is_one_lock_at_a_time() {
        let wanted = |reason: &str, from: Option<i64>, until: Option<i64>| NewLock {
            reason: reason.parse().unwrap(),
            at: from.map(|from| at(from).into()),
            until: until.map(|until| at(until).into()),
        };
        let utc = Zones::default().calendar("UTC");
        let mut terms = Terms::until(at(1_000_000));
        assert_eq!(terms.lock(wanted("a", Some(50), Some(50)), &utc, at(0)), Err(LockRefused::EndsTooEarly));
        assert_eq!(terms.lock(wanted("a", None, Some(0)), &utc, at(0)), Err(LockRefused::EndsTooEarly));
        assert_eq!(terms.lock, None);
        terms.lock(wanted("a", Some(50), Some(60)), &utc, at(0)).unwrap();
        terms.lock(wanted("b", Some(70), None), &utc, at(0)).unwrap();
        assert_eq!(terms.scheduled_lock(at(0)).unwrap().at, Some(at(70)), "the later word counts");
        terms.lock(wanted("c", Some(-5), None), &utc, at(10)).unwrap();
        assert_eq!(terms.locked(at(10)).unwrap().at, Some(at(10)), "the past is now");
        assert_eq!(terms.lock(wanted("d", Some(20), None), &utc, at(11)), Err(LockRefused::AlreadyLocked));
        terms.lock(wanted("e", None, Some(40)), &utc, at(12)).unwrap();
        let lock = terms.locked(at(12)).unwrap();
        assert_eq!((lock.reason.as_str(), lock.at, lock.until), ("e", Some(at(10)), Some(at(40))));
        let unknown = NewLock { until: "2030-12-31".parse().ok(), ..NewLock::now("f".parse().unwrap()) };
        let nowhere = Zones::default().calendar("Europe/Nowhere");
        let refused = LockRefused::Until(Unresolved::UnknownZone);
        assert_eq!(terms.lock(unknown.clone(), &nowhere, at(13)), Err(refused));
        let unknown = NewLock { at: unknown.until, ..unknown };
        assert_eq!(terms.lock(unknown, &nowhere, at(13)), Err(LockRefused::At(Unresolved::UnknownZone)));
        terms.unlock();
        assert_eq!(terms.lock, None);
    }

    #[test]
    fn a_licence_holds_until_its_grace_is_over_and_its_expiry_stays() {
        let rules = Rules { grace_days: GraceDays::new(2).unwrap(), ..Rules::default() };
        let terms = Terms::until(at(0));
        assert_eq!(terms.grace_ends_at(&rules), Some(at(2 * 86_400)));
        assert!(terms.licensed(&rules, at(2 * 86_400 - 1)) && !terms.licensed(&rules, at(2 * 86_400)));
        let none = Terms { grace_days: GraceDays::new(0), ..terms.clone() };
        assert_eq!(none.grace_ends_at(&rules), None);
        assert!(none.licensed(&rules, at(-1)) && !none.licensed(&rules, at(0)));
        let off = Terms { is_active: false, ..terms };
        assert!(!off.licensed(&rules, at(-1)));
        let last = Terms::until(Timestamp::MAX);
        assert_eq!(last.grace_ends_at(&rules), None, "time has an end");
    }

    #[test]
    fn what_changes_by_itself_raises_the_revision() {
        let rules = Rules::default();
        let terms = locked(100, Some(200));
        let revision = |now| {
            let revision = VerdictRevision { number: 5, changed_at: at(0) }.at(&terms, &rules, at(now));
            (revision.number, revision.changed_at.unix() - NOW)
        };
        assert_eq!(revision(0), (5, 0));
        assert_eq!(revision(99), (5, 0));
        assert_eq!(revision(100), (6, 100));
        assert_eq!(revision(200), (7, 200));
        assert_eq!(revision(1_000_000), (8, 1_000_000));
        let since = VerdictRevision { number: 9, changed_at: at(100) };
        assert_eq!(since.at(&terms, &rules, at(150)), since, "what was before it is in it");
        assert_eq!(since.next(&rules, at(300)), VerdictRevision { number: 10, changed_at: at(300) });
        let restored = Rules { least_revision: 1_900_000_000, ..Rules::default() };
        assert_eq!(since.next(&restored, at(300)).number, 1_900_000_000);
        assert_eq!(since.next(&restored, at(300)).next(&restored, at(301)).number, 1_900_000_001);
    }

    proptest! {
        #[test]
        fn a_licence_holds_while_the_site_is_active_and_its_end_lies_ahead(
            expiry in -200_i64..200, days in 0_u8..=1, now in -90_000_i64..90_000
        ) {
            let terms = Terms { grace_days: GraceDays::new(days), ..Terms::until(at(expiry)) };
            let rules = Rules::default();
            prop_assert_eq!(terms.licensed(&rules, at(now)), now < expiry + i64::from(days) * 86_400);
            let off = Terms { is_active: false, ..terms };
            prop_assert!(!off.licensed(&rules, at(now)));
        }
    }
}
