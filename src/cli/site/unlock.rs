//! `sitewarden site unlock`

use clap::Args;

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
        self.sites.each(target, |id| {
            let answer = client.post(&path(id, "/unlock"), None)?;
            same_site::<SiteDocument>(&answer, id)?;
            Ok((answer.body, format!("unlocked {id}\n")))
        })
    }
}
