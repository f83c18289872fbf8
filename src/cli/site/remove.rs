//! `sitewarden site rm`

use clap::Args;
use serde_json::json;

use super::bulk::Work;
use super::chosen::{Chosen, path, same_site};
use super::document::SiteDocument;
use crate::cli::client::{Client, Target};
use crate::cli::error::{CommandError, Refusal};
use crate::cli::screen::{Ended, confirm};
use crate::domain::SiteId;

/// Delete sites; their keys stop working at once
#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    sites: Chosen,
}

impl Remove {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        if !self.sites.is_agreed()
            && let Some(ids) = self.sites.named(&client)?
            && let Some(names) = names(&ids, &client)?
            && !confirm(&format!("Delete {names}?"))?
        {
            return Ok(Ended::Failed);
        }
        let work = Work { op: "delete", fields: json!({}), question: "Delete {}?", done: "deleted" };
        self.sites.each(target, &client, &work, |id| {
            client.delete(&path(id, ""))?;
            Ok((json!({ "site_id": id.to_string(), "deleted": true }), format!("deleted {id}\n")))
        })
    }
}

/// What the sites are called, for a question; that of one that is not there is
/// its id. `None` where none is there: that needs no question.
fn names(ids: &[SiteId], client: &Client) -> Result<Option<String>, CommandError> {
    let mut names = Vec::new();
    let mut missing = 0;
    for &id in ids {
        match client.get(&path(id, "")) {
            Ok(site) => names.push(format!("{} ({id})", same_site::<SiteDocument>(&site, id)?.name)),
            Err(CommandError::Refused { refusal: Refusal::Missing, .. }) => {
                missing += 1;
                names.push(format!("{id}, which is not there"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((missing < ids.len()).then(|| names.join(", ")))
}
