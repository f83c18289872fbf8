//! What a local backend may go on with while the server cannot be reached.
//!
//! A lease says what the site may do and until when that holds without another
//! word. It carries its own time: a local backend counts from `issued_at`, not
//! from its own clock, which may be wrong. That time never goes back, whatever
//! the server's clock did or a restored backup says, so that of two leases the
//! newer one is told by it.

use std::fmt;
use std::str::FromStr;

use super::codes::Features;
use super::heartbeat::LastLease;
use super::rules::Rules;
use super::site_id::SiteId;
use super::terms::Terms;
use super::time::Timestamp;
use super::verdict::Verdict;

/// A text of the local backend's that its lease repeats, so that no older one
/// can be passed off as the answer: 16 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Least number of characters.
    pub const MIN: usize = 16;
    /// Greatest number of characters.
    pub const MAX: usize = 64;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANonce;

impl fmt::Display for NotANonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {} to {} visible ASCII characters", Nonce::MIN, Nonce::MAX)
    }
}

impl std::error::Error for NotANonce {}

impl FromStr for Nonce {
    type Err = NotANonce;

    fn from_str(text: &str) -> Result<Self, NotANonce> {
        let is_nonce =
            (Self::MIN..=Self::MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_nonce.then(|| Self(text.to_owned())).ok_or(NotANonce)
    }
}

/// What goes into a lease, beside who issues it and with which keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is.
    pub site_id: SiteId,
    /// Its own time, which is its place in the sequence.
    pub issued_at: Timestamp,
    /// Until when it holds without another.
    pub expires_at: Timestamp,
    /// What the request had.
    pub nonce: Option<Nonce>,
    /// What the site may do.
    pub verdict: Verdict,
    /// What its licence switches on.
    pub features: Features,
    /// The revision of the verdict.
    pub revision: u64,
    /// When the local backend is to call next.
    pub next_heartbeat_at: Timestamp,
    /// When the lock begins, or began; `None` without one.
    pub lock_at: Option<Timestamp>,
    /// When the lock ends by itself.
    pub lock_until: Option<Timestamp>,
}

/// A lease that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// What it is to repeat.
    pub nonce: Option<Nonce>,
    /// The number of the newest key that it will hand over.
    pub newest_key: u64,
}

impl Lease {
    /// The lease of a site on these terms, of which the last lease is known.
    ///
    /// It lasts the hours offline of the site, else of the rules, and while
    /// the site is licensed no longer than the licence with its grace. The
    /// times at which the local backend has to act are told in the lease's own
    /// time, which is ahead of the server's where the server's clock was set
    /// back.
    pub fn of(
        site_id: SiteId,
        terms: &Terms,
        rules: &Rules,
        revision: u64,
        asked: &LeaseRequest,
        last: Option<LastLease>,
        wait_seconds: i64,
        now: Timestamp,
    ) -> Self {
        let issued_at = last.map_or(now, |last| last.issued_at.max(now));
        let ahead = issued_at.seconds_since(now);
        let in_own_time = |time: Timestamp| time.checked_add_seconds(ahead).unwrap_or(Timestamp::MAX);
        let mut verdict = Verdict::of(terms, rules, now);
        let hours = i64::from(terms.offline_hours.unwrap_or(rules.offline_hours).get());
        let offline = issued_at.checked_add_seconds(hours * 3600).unwrap_or(Timestamp::MAX);
        let expires_at = match verdict.licensed {
            true => offline.min(in_own_time(terms.licence_ends_at(rules))),
            false => offline,
        };
        let lock = terms.locked(now).or_else(|| terms.scheduled_lock(now));
        // So that a local backend which locks by itself has the words for it.
        verdict.lock_reason = lock.map(|lock| lock.reason.clone());
        Self {
            site_id,
            issued_at,
            expires_at,
            nonce: asked.nonce.clone(),
            verdict,
            features: terms.features.clone(),
            revision,
            next_heartbeat_at: in_own_time(now).checked_add_seconds(wait_seconds).unwrap_or(Timestamp::MAX),
            lock_at: lock.and_then(|lock| lock.at).map(in_own_time),
            lock_until: lock.and_then(|lock| lock.until).map(in_own_time),
        }
    }

    /// Whether the site is locked when the lease is issued.
    pub fn is_locked(&self) -> bool {
        self.verdict.lock_reason.is_some() && self.lock_at.is_none_or(|at| at <= self.issued_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::terms::NewLock;
    use crate::domain::{GraceDays, OfflineHours};

    const NOW: i64 = 1_900_000_000;
    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW + seconds).unwrap()
    }

    fn utc() -> crate::domain::calendar::Calendar {
        Rules::default().calendar(None)
    }

    fn lease(terms: &Terms, last: Option<i64>, now: i64) -> Lease {
        let asked = LeaseRequest { nonce: None, newest_key: 1 };
        let last = last.map(|last| LastLease { issued_at: at(last), newest_key: 1 });
        Lease::of(SiteId::from_u128(7), terms, &Rules::default(), 3, &asked, last, 21_600, at(now))
    }

    #[test]
    fn a_lease_lasts_a_week_and_never_past_the_licence_with_its_grace() {
        assert_eq!(lease(&Terms::until(at(30 * DAY)), None, 0).expires_at, at(7 * DAY));
        let soon = Terms::until(at(DAY));
        assert_eq!(lease(&soon, None, 0).expires_at, at(DAY));
        let graced = Terms { grace_days: GraceDays::new(2), ..soon.clone() };
        assert_eq!(lease(&graced, None, 0).expires_at, at(3 * DAY));
        let expired = lease(&soon, None, DAY);
        assert!(!expired.verdict.licensed);
        assert_eq!(expired.expires_at, at(8 * DAY), "what it says holds as long");
        let short = Terms { offline_hours: OfflineHours::new(5), ..Terms::until(at(30 * DAY)) };
        assert_eq!(lease(&short, None, 0).expires_at, at(5 * 3600));
    }

    #[test]
    fn its_time_never_goes_back_and_what_it_tells_keeps_its_distance() {
        let mut terms = Terms::until(at(DAY));
        let lock = NewLock {
            at: Some(at(600).into()),
            until: Some(at(1200).into()),
            ..NewLock::now("unpaid".parse().unwrap())
        };
        terms.lock(lock, &utc(), at(0)).unwrap();
        assert_eq!(lease(&terms, Some(-60), 0).issued_at, at(0));
        let ahead = lease(&terms, Some(1000 * DAY), 0);
        let passed = |time: Timestamp| time.seconds_since(ahead.issued_at);
        assert_eq!(ahead.issued_at, at(1000 * DAY));
        assert_eq!((passed(ahead.expires_at), passed(ahead.next_heartbeat_at)), (DAY, 21_600));
        assert_eq!((ahead.lock_at.map(passed), ahead.lock_until.map(passed)), (Some(600), Some(1200)));
        assert!(!ahead.is_locked());
        assert_eq!(ahead.verdict.lock_reason.unwrap().as_str(), "unpaid");
    }

    #[test]
    fn a_lock_is_told_with_its_window() {
        let mut terms = Terms::until(at(30 * DAY));
        assert!(!lease(&terms, None, 0).is_locked());
        terms
            .lock(
                NewLock { until: Some(at(50).into()), ..NewLock::now("unpaid".parse().unwrap()) },
                &utc(),
                at(0),
            )
            .unwrap();
        let locked = lease(&terms, None, 10);
        assert!(locked.is_locked());
        assert_eq!((locked.lock_at, locked.lock_until), (Some(at(0)), Some(at(50))));
        let over = lease(&terms, None, 50);
        assert_eq!((over.is_locked(), over.lock_at, over.verdict.lock_reason), (false, None, None));
    }

    #[test]
    fn a_nonce_has_16_to_64_visible_characters() {
        assert!("x".repeat(16).parse::<Nonce>().is_ok() && "~".repeat(64).parse::<Nonce>().is_ok());
        for bad in [&"x".repeat(15), &"x".repeat(65), &" ".repeat(20), &"é".repeat(20), "0123456789 12345"] {
            assert_eq!(bad.parse::<Nonce>(), Err(NotANonce));
        }
    }
}
