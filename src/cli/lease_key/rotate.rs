//! `sitewarden lease-key rotate`

use clap::Args;
use serde_json::json;

use super::document::{PATH, show};
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

/// Announce a new key, which signs after 30 days; or, with --now, at once
///
/// Until then each lease hands the new key over, signed by the present one, so
/// that local backends come to know it: `sitewarden lease-key list` tells how
/// many sites are still without it.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The announced key, or a fresh one where none is, signs from now on
    ///
    /// For a key that has leaked. Local backends that have not been handed the
    /// new key refuse its leases, and go on with the one that they have, until
    /// you give them the key set of /.well-known/jwks.json in another way.
    #[arg(long)]
    now: bool,
}

impl Rotate {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let body = json!({ "now": self.now });
        let answer = target.client()?.post(&format!("{PATH}/rotate"), Some(&body))?;
        let keys = answer.read()?;
        let words = if self.now { "" } else { "the new key is announced, and signs after 30 days\n" };
        show(target, &answer.body, keys, words)
    }
}
