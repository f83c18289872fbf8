//! What a local backend reports of itself, and what is stored of it.

use std::net::IpAddr;

use super::delivery::Delivered;
use super::history::{Day, Today};
use super::text::AppVersion;
use super::time::Timestamp;
pub(super) use super::time::is_from_the_future;

/// What a local backend reports of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The version that it runs.
    pub version: AppVersion,
    /// Seconds since it started.
    pub uptime_seconds: u64,
}

/// What is stored of a site's last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it came. Never moves backwards, but from a time of a clock that
    /// was wrong ([`Seen::not_before`]).
    pub at: Timestamp,
    /// Where it came from.
    pub ip: IpAddr,
    /// What it reported.
    pub heartbeat: Heartbeat,
    /// The generation of the key that it proved itself with.
    pub key_generation: u64,
    /// What it was told of what it may do, and has applied.
    pub delivered: Delivered,
    /// The last lease that it was given.
    pub lease: Option<LastLease>,
    /// The day that it was, with all heartbeats of that day.
    pub today: Option<Today>,
}

/// What is stored of the last lease that a site was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastLease {
    /// Its `iat`, which no later one is before.
    pub issued_at: Timestamp,
    /// The number of the newest key that it handed over.
    pub newest_key: u64,
}

impl Seen {
    /// The day of the last heartbeat, as far as it has come.
    pub fn day(&self) -> Option<Day> {
        let version = self.heartbeat.version.clone();
        self.today.clone().map(|today| today.finished(self.at, self.ip, version))
    }

    /// The record after this heartbeat, given when the last one came: a clock
    /// that was set back a little must not make a site look unseen, and one
    /// that was far ahead must not have it look seen for ever.
    pub fn not_before(self, last: Option<Timestamp>) -> Self {
        match last {
            Some(last) if last > self.at && !is_from_the_future(last, self.at) => Self { at: last, ..self },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(at: i64) -> Timestamp {
        Timestamp::from_unix(at).unwrap()
    }

    fn seen(at: i64, version: &str) -> Seen {
        Seen {
            at: time(at),
            ip: "192.0.2.1".parse().unwrap(),
            heartbeat: Heartbeat { version: version.parse().unwrap(), uptime_seconds: 1 },
            key_generation: 1,
            delivered: Delivered::default(),
            lease: None,
            today: None,
        }
    }

    #[test]
    fn a_time_more_than_five_minutes_ahead_is_put_right_by_the_next_heartbeat() {
        assert_eq!(seen(100, "2").not_before(Some(time(400))), seen(400, "2"));
        assert_eq!(seen(100, "2").not_before(Some(time(401))), seen(100, "2"));
    }

    #[test]
    fn last_seen_never_moves_backwards_but_the_report_is_the_newest() {
        assert_eq!(seen(50, "2").not_before(Some(time(100))), seen(100, "2"));
        assert_eq!(seen(150, "2").not_before(Some(time(100))), seen(150, "2"));
        assert_eq!(seen(50, "2").not_before(None), seen(50, "2"));
    }
}
