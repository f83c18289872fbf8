//! `sitewarden site watch`

use clap::Args;
use serde_json::json;

use super::chosen::{Named, path, same_site};
use super::document::SiteDocument;
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

/// Have sites call more often for a day, so that a change reaches them soon
///
/// Each is told with its next heartbeat, which may be 6 hours ahead, to call
/// every so many minutes from then on. Local backends that do not heed
/// Retry-After go on as before.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    sites: Named,
    /// Minutes between two heartbeats, 5 to 60; 0 ends it
    #[arg(long, default_value_t = 15)]
    minutes: u8,
}

impl Watch {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let body = json!({ "minutes": self.minutes });
        self.sites.each(target, &client, |id| {
            let answer = client.post(&path(id, "/watch"), Some(&body))?;
            same_site::<SiteDocument>(&answer, id)?;
            let words = match self.minutes {
                0 => format!("{id} calls as usual again\n"),
                minutes => {
                    format!("from its next heartbeat on, {id} is to call every {minutes} minutes for a day\n")
                }
            };
            Ok((answer.body, words))
        })
    }
}
