//! The sites that a filter lets through.

use clap::Args;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::error::CommandError;
use crate::cli::path::with_query;
use crate::domain::SiteStatus;

/// Sites in one page of the API's list.
const PAGE: &str = "1000";

// No doc comment: it would take the place of the verb's help.
#[derive(Debug, Default, Args)]
pub(crate) struct Filter {
    /// Only those in this status
    #[arg(long, value_enum)]
    status: Option<SiteStatus>,
    /// Only those with this text in name, owner, address or id
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
}

impl Filter {
    /// Every site that it lets through, as the server says, page by page.
    pub(crate) fn fetch(&self, client: &Client) -> Result<Vec<Value>, CommandError> {
        let parameters = [
            ("status", self.status.map(|status| status.as_str().to_owned())),
            ("q", self.q.clone()),
            ("limit", Some(PAGE.to_owned())),
        ];
        let mut sites = Vec::new();
        let mut next = Some(with_query("/api/sites", &parameters));
        while let Some(page) = next {
            let answer = client.get(&page)?;
            sites.extend(answer.read::<Vec<Value>>()?);
            next = answer.next_page();
        }
        Ok(sites)
    }
}
