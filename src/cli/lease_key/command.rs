//! The verbs, and which of them runs.

use clap::Subcommand;

use super::list;
use super::rotate::Rotate;
use crate::cli::client::Target;
use crate::cli::screen::Ended;

/// The keys that sign leases.
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseKey {
    /// List the keys, and how many sites have not been handed those in use
    List,
    Rotate(Rotate),
}

impl LeaseKey {
    pub(crate) fn run(&self, target: &Target) -> Ended {
        let ended = match self {
            Self::List => list::run(target),
            Self::Rotate(rotate) => rotate.run(target),
        };
        ended.unwrap_or_else(|error| error.tell())
    }
}
