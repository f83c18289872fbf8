//! Times, as people say them: how long ago, and in how long.

use crate::domain::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A number of seconds in its greatest unit that is not a fraction: `3 h`.
pub(super) fn length(seconds: i64) -> String {
    let (number, unit) = match seconds.abs() {
        seconds if seconds < MINUTE => (seconds, "s"),
        seconds if seconds < HOUR => (seconds / MINUTE, "min"),
        seconds if seconds < 2 * DAY => (seconds / HOUR, "h"),
        seconds => (seconds / DAY, "d"),
    };
    format!("{number} {unit}")
}

/// When `then` is, seen from `now`: `3 h ago`, `in 36 d`. What is less than a
/// minute away either way is `just now`: clocks differ by as much.
pub(super) fn from_now(then: Timestamp, now: Timestamp) -> String {
    match then.seconds_since(now) {
        seconds if seconds.abs() < MINUTE => "just now".to_owned(),
        seconds if seconds < 0 => format!("{} ago", length(seconds)),
        seconds => format!("in {}", length(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_greatest_unit() {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        for (seconds, words) in [
            (0, "just now"),
            (-59, "just now"),
            (59, "just now"),
            (-60, "1 min ago"),
            (-3599, "59 min ago"),
            (-3 * HOUR - 1, "3 h ago"),
            (-47 * HOUR, "47 h ago"),
            (-2 * DAY, "2 d ago"),
            (36 * DAY + 5, "in 36 d"),
            (90, "in 1 min"),
        ] {
            assert_eq!(from_now(now.checked_add_seconds(seconds).unwrap(), now), words);
        }
        assert_eq!(length(86_400 * 5), "5 d");
    }
}
