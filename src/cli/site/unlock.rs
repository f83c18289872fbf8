//! `sitewarden site unlock`

use clap::Args;
use serde_json::json;

use super::bulk::Work;
use super::chosen::{Chosen, path, same_site};
use super::document::SiteDocument;
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

/// Unlock sites
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    #[command(flatten)]
    sites: Chosen,
}

impl Unlock {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let work = Work { op: "unlock", fields: json!({}), question: "Unlock {}?", done: "unlocked" };
        self.sites.each(target, &client, &work, |id| {
            let answer = client.post(&path(id, "/unlock"), None)?;
            same_site::<SiteDocument>(&answer, id)?;
            Ok((answer.body, format!("unlocked {id}\n")))
        })
    }
}
