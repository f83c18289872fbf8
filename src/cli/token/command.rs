//! The verbs, and which of them runs.

use clap::Subcommand;

use super::add::Add;
use super::list;
use super::remove::Remove;
use crate::cli::client::Target;
use crate::cli::screen::Ended;

/// Tokens for programs.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Add(Add),
    /// List tokens, those that have expired too
    List,
    Rm(Remove),
}

impl Token {
    pub(crate) fn run(&self, target: &Target) -> Ended {
        let ended = match self {
            Self::Add(add) => add.run(target),
            Self::List => list::run(target),
            Self::Rm(remove) => remove.run(target),
        };
        ended.unwrap_or_else(|error| error.tell())
    }
}
