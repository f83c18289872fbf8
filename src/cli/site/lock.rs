//! `sitewarden site lock`

use clap::Args;
use serde_json::json;

use super::bulk::Work;
use super::chosen::{Chosen, path, same_site};
use super::document::SiteDocument;
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

/// Lock sites: their next heartbeat says so, with the reason
#[derive(Debug, Args)]
pub(crate) struct Lock {
    #[command(flatten)]
    sites: Chosen,
    /// What the people at the sites are told
    #[arg(long)]
    reason: String,
}

impl Lock {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let body = json!({ "reason": self.reason });
        let work = Work { op: "lock", fields: body.clone(), question: "Lock {}?", done: "locked" };
        self.sites.each(target, &client, &work, |id| {
            let answer = client.post(&path(id, "/lock"), Some(&body))?;
            same_site::<SiteDocument>(&answer, id)?;
            Ok((answer.body, format!("locked {id}\n")))
        })
    }
}
