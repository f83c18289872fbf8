//! Values of the domain as the command line takes them: a bad one is wrong
//! usage, told before a file is read or a server asked.

use chrono::NaiveDate;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde_json::{Map, Value};

use crate::domain::{Action, ActorKind, Moment, Scope, SiteStatus, Timestamp};

/// A date such as 2030-12-31, or a time as RFC 3339 has it, as the API takes it.
///
/// # Errors
/// What it must be.
pub(super) fn date_or_time(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if is_date(text) {
        return Ok(text.to_owned());
    }
    let time: Result<Timestamp, _> = text.parse();
    time.map(|time| time.to_string())
        .map_err(|_| "must be a date such as 2030-12-31, or a time such as 2030-12-31T00:00:00Z")
}

/// Whether it is a day of the calendar, as ISO 8601 writes it.
pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<NaiveDate>().is_ok()
}

/// A whole number, or `none`: null.
///
/// # Errors
/// What it must be.
pub(super) fn number_or_none(text: &str, least: u16, most: u16) -> Result<Value, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number)).map(Value::from);
    number
        .or_else(|| (text == NONE).then_some(Value::Null))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}, or {NONE}"))
}

/// A moment in the body of a request, in the field for a time or in that for a
/// day.
pub(super) fn write_moment(body: &mut Map<String, Value>, moment: Option<Moment>, time: &str, day: &str) {
    let field = match moment {
        Some(Moment::At(_)) => time,
        Some(Moment::EndOf(_)) => day,
        None => return,
    };
    body.insert(field.to_owned(), moment.map(|moment| moment.to_string()).into());
}

/// What stands for null: as configured.
pub(super) const NONE: &str = "none";

macro_rules! by_their_names {
    ($($kind:ty),*) => {$(
        impl ValueEnum for $kind {
            fn value_variants<'a>() -> &'a [Self] {
                &Self::ALL
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(PossibleValue::new(self.as_str()))
            }
        }
    )*};
}

by_their_names!(SiteStatus, Action, ActorKind, Scope);
