//! What the examples in the specification have in common.

use crate::domain::{Date, Timestamp};

/// When the licences in examples expire.
pub(super) fn example_expiry() -> Timestamp {
    // 2030-12-31T00:00:00Z, well within the bounds.
    Timestamp::from_unix(1_924_905_600).unwrap_or(Timestamp::MAX)
}

/// The last day of licences in examples.
pub(super) fn example_day() -> Option<Date> {
    "2030-12-30".parse().ok()
}
