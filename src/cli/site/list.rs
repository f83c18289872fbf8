//! `sitewarden site list`

use clap::Args;
use serde_json::Value;

use super::document::SiteDocument;
use super::filter::Filter;
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::{Ended, print, print_json};
use crate::cli::table::Table;

/// List sites
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
}

impl List {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let sites = self.filter.fetch(&target.client()?)?;
        let documents = SiteDocument::all(&sites)?;
        if target.json {
            return Ok(print_json(&Value::from(sites)));
        }
        let mut table = Table::new(["SITE_ID", "NAME", "STATUS", "EXPIRES", "LAST SEEN", "VERSION"]);
        for site in documents {
            table.row([
                site.site_id.to_string(),
                site.name.to_string(),
                site.status.to_string(),
                site.license_expires_at.to_string(),
                site.last_seen_at.to_string(),
                site.last_version.to_string(),
            ]);
        }
        Ok(print(&table.text()))
    }
}
