//! The one place that reads the wall clock.
//!
//! Rules take the time as an argument, so that tests can move it: who begins
//! a piece of work, a handler or a task of the server, asks here once and
//! hands the answer down. clippy refuses to have it read elsewhere
//! (`clippy.toml`). How long something takes is another question, which the
//! monotonic clock answers (`Instant`).

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};

use crate::domain::Timestamp;

/// The present time in whole seconds, as records and rules have it.
pub fn now() -> Timestamp {
    Timestamp::from_clock(precise_now())
}

/// The present time as exactly as the system knows it: for lines of the log
/// and for dates in headers.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn precise_now() -> DateTime<Utc> {
    Utc::now()
}

/// Milliseconds since 1970, 0 before: for ids that sort by time.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}
