//! What is answered where an operation on a site is refused.

use super::fields::UNKNOWN_ZONE;
use super::problem::Problem;
use crate::domain::{DateField, Refused, Tags, TooFarAhead};

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Self::no_such_site(),
            Refused::Stale => Self::stale(),
            Refused::TooFarAhead => Self::invalid_field("extend_days", TooFarAhead.to_string()),
            Refused::AlreadyLocked => {
                Self::conflict("the site is locked: unlock it first, or lock it without a time to begin at")
            }
            Refused::LockEndsTooEarly => Self::invalid_field("until", "must lie after the lock begins"),
            Refused::TooManyTags => Self::invalid_field(
                "tags",
                format!("would be more than the {} that a site may have", Tags::MOST),
            ),
            Refused::PastExpiry => Self::invalid_field(
                "license_expires_at",
                "lies in the past, which stops the site: give a time to come, or say that it may: allow_past: true \
                 (--allow-past)",
            ),
            Refused::UnknownTimeZone => Self::invalid_field("time_zone", UNKNOWN_ZONE),
            Refused::SkippedDay(field) => Self::invalid_field(
                match field {
                    DateField::Expiry => "license_expires_on",
                    DateField::LockAt => "at_on",
                    DateField::LockUntil => "until_on",
                },
                "is a day that the site's time zone skipped: give the one before it or after it",
            ),
        }
    }
}
