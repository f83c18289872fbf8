//! Values of the domain as the command line takes them: a bad one is wrong
//! usage, told before a file is read or a server asked.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::domain::{Action, ActorKind, Scope, SiteId, SiteStatus};

/// A site_id.
///
/// # Errors
/// What it must be.
pub(super) fn site_id(text: &str) -> Result<SiteId, &'static str> {
    text.parse().map_err(|_| "must be a UUID")
}

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
