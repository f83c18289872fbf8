//! The sites that a verb is told to do something to: named one by one, or all
//! that a filter lets through.

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::bulk::{self, Work};
use super::document::SiteDocument;
use super::filter::Filter;
use crate::cli::client::{Answer, Client, Target};
use crate::cli::error::{CommandError, Refusal};
use crate::cli::lookup::{SiteArgument, find_all};
use crate::cli::screen::{Ended, complain};
use crate::domain::SiteId;

// No doc comment: it would take the place of the verb's help.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The sites: by site_id, a beginning of one (4 characters or more), # and
    /// the number, or the exact name
    #[arg(required = true, value_name = "SITE")]
    sites: Vec<SiteArgument>,
}

impl Named {
    /// Does `work` for each site, as [`each`] does.
    pub(crate) fn each(
        &self,
        target: &Target,
        client: &Client,
        work: impl Fn(SiteId) -> Result<(Value, String), CommandError>,
    ) -> Result<Ended, CommandError> {
        each(&find_all(client, &self.sites)?, target, work)
    }
}

// No doc comment: it would take the place of the verb's help.
#[derive(Debug, Args)]
pub(crate) struct Chosen<F: Args = Filter> {
    /// The sites: by site_id, a beginning of one (4 characters or more), # and
    /// the number, or the exact name; or else a filter
    #[arg(value_name = "SITE")]
    sites: Vec<SiteArgument>,
    #[command(flatten)]
    filter: F,
    /// All sites
    #[arg(long, help_heading = "Filter")]
    all: bool,
    /// Only show how many sites the filter lets through, and the first of them
    #[arg(long, help_heading = "Filter")]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl<F: Args + AsRef<Filter>> Chosen<F> {
    /// Does `one` for each site that is named; or, where a filter was given,
    /// `work` to all that it lets through, after a question.
    pub(crate) fn each(
        &self,
        target: &Target,
        client: &Client,
        work: &Work<'_>,
        one: impl Fn(SiteId) -> Result<(Value, String), CommandError>,
    ) -> Result<Ended, CommandError> {
        match self.choice()? {
            Choice::Named(_) if self.dry_run => {
                Err(CommandError::Usage("--dry-run goes with a filter, not with named sites".to_owned()))
            }
            Choice::Named(sites) => each(&find_all(client, sites)?, target, one),
            Choice::Filtered(filter) => bulk::run(client, target, &filter, work, self.dry_run, self.yes),
        }
    }

    /// The sites that are named, found; `None` where a filter was given.
    pub(crate) fn named(&self, client: &Client) -> Result<Option<Vec<SiteId>>, CommandError> {
        match self.choice()? {
            Choice::Named(sites) => find_all(client, sites).map(Some),
            Choice::Filtered(_) => Ok(None),
        }
    }

    /// Whether nobody is to be asked.
    pub(crate) fn is_agreed(&self) -> bool {
        self.yes
    }

    fn choice(&self) -> Result<Choice<'_>, CommandError> {
        let filter = self.filter.as_ref().parameters();
        let usage = |words: &str| Err(CommandError::Usage(words.to_owned()));
        match (self.sites.is_empty(), filter.is_empty(), self.all) {
            (false, true, false) => Ok(Choice::Named(&self.sites)),
            (true, false, false) => Ok(Choice::Filtered(filter)),
            (true, true, true) => Ok(Choice::Filtered(Filter::of_all())),
            (true, true, false) => {
                usage("which sites? name them, or give a filter such as --status expired, or --all")
            }
            (true, false, true) => usage("give a filter or --all, not both"),
            (false, ..) => usage("name sites or give a filter, not both"),
        }
    }
}

/// Which sites were chosen.
enum Choice<'a> {
    Named(&'a [SiteArgument]),
    Filtered(Map<String, Value>),
}

/// Does `work` for each site, prints what it gives (the document, or words
/// for people), and goes on where one is refused.
fn each(
    ids: &[SiteId],
    target: &Target,
    work: impl Fn(SiteId) -> Result<(Value, String), CommandError>,
) -> Result<Ended, CommandError> {
    let mut ended = Ended::Done;
    let mut done = 0_usize;
    for &id in ids {
        match work(id) {
            Ok((document, words)) => {
                done += 1;
                if target.tell(&document, &words) != Ended::Done {
                    return Ok(Ended::Failed);
                }
            }
            // One id says all by itself; of several it must be said which.
            Err(error) if ids.len() == 1 => return Err(error),
            Err(error @ CommandError::Refused { refusal, .. }) if refusal != Refusal::Caller => {
                complain(format!("{id}: {error}"));
                ended = Ended::Failed;
            }
            Err(error) => {
                complain(format!("{done} of {} done, then:", ids.len()));
                return Err(error);
            }
        }
    }
    Ok(ended)
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
