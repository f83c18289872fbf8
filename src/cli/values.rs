//! Values of the domain as the command line takes them: a bad one is wrong
//! usage, told before a file is read or a server asked.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use serde_json::Value;

use crate::domain::{Action, ActorKind, SiteId, SiteStatus};

/// A site_id.
///
/// # Errors
/// What it must be.
pub(super) fn site_id(text: &str) -> Result<SiteId, &'static str> {
    text.parse().map_err(|_| "must be a UUID")
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

by_their_names!(SiteStatus, Action, ActorKind);
