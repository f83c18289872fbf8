//! The sites that a verb is told to do something to, one after the other.

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::SiteDocument;
use crate::cli::client::{Answer, Target};
use crate::cli::error::{CommandError, Refusal};
use crate::cli::screen::{Ended, complain};
use crate::cli::values::site_id;
use crate::domain::SiteId;

// No doc comment: it would take the place of the verb's help.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// The site_id of each
    #[arg(required = true, value_name = "ID", value_parser = site_id)]
    pub(crate) ids: Vec<SiteId>,
}

impl Chosen {
    /// Does `work` for each site, prints what it gives (the document, or words
    /// for people), and goes on where one is refused.
    pub(crate) fn each(
        &self,
        target: &Target,
        work: impl Fn(SiteId) -> Result<(Value, String), CommandError>,
    ) -> Result<Ended, CommandError> {
        let mut ended = Ended::Done;
        let mut done = 0_usize;
        for &id in &self.ids {
            match work(id) {
                Ok((document, words)) => {
                    done += 1;
                    if target.tell(&document, &words) != Ended::Done {
                        return Ok(Ended::Failed);
                    }
                }
                // One id says all by itself; of several it must be said which.
                Err(error) if self.ids.len() == 1 => return Err(error),
                Err(error @ CommandError::Refused { refusal, .. }) if refusal != Refusal::Caller => {
                    complain(format!("{id}: {error}"));
                    ended = Ended::Failed;
                }
                Err(error) => {
                    complain(format!("{done} of {} done, then:", self.ids.len()));
                    return Err(error);
                }
            }
        }
        Ok(ended)
    }
}

/// The site that a verb was done to, as the server tells of it then.
///
/// # Errors
/// Where the answer tells of no site, or of another.
pub(crate) fn same_site<T: DeserializeOwned>(answer: &Answer, id: SiteId) -> Result<T, CommandError> {
    if answer.read::<SiteDocument>()?.site_id != id {
        return Err(CommandError::Failed(format!("the server told of another site than {id}: check --url")));
    }
    answer.read()
}

/// Where the API has a site, and what can be done to it.
pub(crate) fn path(id: SiteId, verb: &str) -> String {
    format!("/api/sites/{id}{verb}")
}
