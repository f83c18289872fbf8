//! Whether the clock is to be believed where believing it destroys something.
//!
//! A host without a battery-backed clock, or with a broken one, starts at any
//! time and learns the right one later. Ahead by years for two seconds is
//! enough to make a whole audit trail "older than two years". So nothing is
//! forgotten by a clock that stands more than a day ahead of the newest time
//! that was believed, until the clock has gone on with the process' own sense
//! of time for some hours.
//!
//! Rejected: asking a time server, which a licence server may not reach; not
//! starting at all, which stops the restaurants.

use std::time::Duration;

use super::time::{SECONDS_PER_DAY, Timestamp};

/// How far from the newest believed time the clock may be, in seconds, and be
/// believed at once: a day, so that a night's rest is no riddle.
pub const BELIEVED_SECONDS: i64 = SECONDS_PER_DAY;
/// How long a clock that is further off has to go on evenly.
pub const CONFIRMED_AFTER: Duration = Duration::from_secs(6 * 3600);
/// By how much it may differ from the passing of time meanwhile, in seconds:
/// clocks are slewed.
const EVEN_SECONDS: u64 = 120;

/// What is known of the clock. Starts with the newest time that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockTrust {
    known: Option<Timestamp>,
    /// Since when the clock, which is far off, has gone on evenly.
    even_since: Option<(Timestamp, Duration)>,
}

/// How the clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockState {
    /// It is believed.
    Believed,
    /// It is far ahead of what is known.
    Ahead,
    /// It is far behind what is known.
    Behind,
}

impl ClockState {
    /// Whether what is old by this clock may be forgotten. One that is behind
    /// makes less of it old than there is.
    pub fn may_forget(self) -> bool {
        self != Self::Ahead
    }
}

impl ClockTrust {
    /// With the newest time that was believed; `None` where there is none,
    /// and nothing that could be forgotten.
    pub fn new(known: Option<Timestamp>) -> Self {
        Self { known, even_since: None }
    }

    /// The newest time that is believed.
    pub fn known(&self) -> Option<Timestamp> {
        self.known
    }

    /// Judges the clock's `reading`, taken when the process had been running
    /// for `running`.
    pub fn look(&mut self, reading: Timestamp, running: Duration) -> ClockState {
        let Some(known) = self.known else {
            self.known = Some(reading);
            return ClockState::Believed;
        };
        let ahead = reading.seconds_since(known);
        if ahead.abs() <= BELIEVED_SECONDS {
            self.known = Some(known.max(reading));
            self.even_since = None;
            return ClockState::Believed;
        }
        let (first, since) = *self.even_since.get_or_insert((reading, running));
        let passed = running.saturating_sub(since);
        let moved = reading.seconds_since(first);
        let expected = i64::try_from(passed.as_secs()).unwrap_or(i64::MAX);
        if moved.abs_diff(expected) > EVEN_SECONDS {
            self.even_since = Some((reading, running));
        } else if passed >= CONFIRMED_AFTER {
            self.known = Some(reading);
            self.even_since = None;
            return ClockState::Believed;
        }
        if ahead > 0 { ClockState::Ahead } else { ClockState::Behind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_900_000_000;
    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn a_clock_that_goes_on_is_believed_and_where_nothing_is_known_any_is() {
        let mut trust = ClockTrust::new(None);
        assert_eq!(trust.look(at(NOW), hours(0)), ClockState::Believed);
        for day in 1..=5 {
            assert_eq!(trust.look(at(NOW + day * DAY), hours(0)), ClockState::Believed);
        }
        assert_eq!(trust.look(at(NOW + 4 * DAY), hours(0)), ClockState::Believed, "a day back");
        assert_eq!(trust.known(), Some(at(NOW + 5 * DAY)), "the newest counts");
    }

    #[test]
    fn a_leap_of_more_than_a_day_is_believed_when_it_has_stood_for_six_hours() {
        let ahead = NOW + 800 * DAY;
        let mut trust = ClockTrust::new(Some(at(NOW)));
        assert_eq!(trust.look(at(NOW + DAY + 1), hours(0)), ClockState::Ahead);
        assert_eq!(trust.look(at(ahead), hours(1)), ClockState::Ahead);
        for hour in 0..6 {
            assert_eq!(
                trust.look(at(ahead + hour * 3600), hours(1 + hour.unsigned_abs())),
                ClockState::Ahead
            );
        }
        assert_eq!(trust.known(), Some(at(NOW)));
        assert_eq!(trust.look(at(ahead + 6 * 3600 + 60), hours(7)), ClockState::Believed);
        assert_eq!(trust.known(), Some(at(ahead + 6 * 3600 + 60)));
    }

    #[test]
    fn a_clock_that_leaps_again_begins_again() {
        let mut trust = ClockTrust::new(Some(at(NOW)));
        trust.look(at(NOW + 10 * DAY), hours(0));
        trust.look(at(NOW + 20 * DAY), hours(5));
        assert_eq!(trust.look(at(NOW + 20 * DAY + 3600), hours(6)), ClockState::Ahead);
        assert_eq!(trust.look(at(NOW + 20 * DAY + 6 * 3600), hours(11)), ClockState::Believed);
    }

    #[test]
    fn a_clock_that_is_put_right_is_believed_at_once() {
        let mut trust = ClockTrust::new(Some(at(NOW)));
        assert_eq!(trust.look(at(NOW + 800 * DAY), hours(0)), ClockState::Ahead);
        assert_eq!(trust.look(at(NOW + 60), hours(0)), ClockState::Believed);
        assert_eq!(trust.known(), Some(at(NOW + 60)));
    }

    #[test]
    fn a_clock_far_behind_may_forget_and_is_what_is_known_after_six_hours() {
        let mut trust = ClockTrust::new(Some(at(NOW)));
        let behind = trust.look(at(NOW - 800 * DAY), hours(0));
        assert!(behind == ClockState::Behind && behind.may_forget());
        assert_eq!(trust.known(), Some(at(NOW)));
        assert_eq!(trust.look(at(NOW - 800 * DAY + 6 * 3600), hours(6)), ClockState::Believed);
        // So that a leap from there is seen again.
        assert_eq!(trust.look(at(NOW), hours(6)), ClockState::Ahead);
        assert!(!ClockState::Ahead.may_forget());
    }
}
