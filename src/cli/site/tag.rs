//! `sitewarden site tag` and `sitewarden site untag`
//!
//! The tags come first, as the mode does for chmod: so the sites after them can
//! be many, and a filter can take their place. Rejected: `--add` and `--remove`
//! on one verb, which beside a filter's `--tag` say nothing of which is which.

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::batch;
use super::bulk::Work;
use super::chosen::Chosen;
use super::document::SiteDocument;
use crate::cli::client::{Client, Target, read};
use crate::cli::error::{CommandError, Refusal};
use crate::cli::screen::Ended;
use crate::domain::{SiteId, Tags};

/// Put tags on sites
#[derive(Debug, Args)]
pub(crate) struct Tag {
    #[command(flatten)]
    what: Tagging,
}

/// Take tags off sites
#[derive(Debug, Args)]
pub(crate) struct Untag {
    #[command(flatten)]
    what: Tagging,
}

// No doc comment: it would take the place of the verb's help.
#[derive(Debug, Args)]
#[group(skip)]
struct Tagging {
    /// The tags, with commas between: each of 1 to 40 characters a-z 0-9 . _ : -
    #[arg(value_name = "TAGS")]
    tags: GivenTags,
    #[command(flatten)]
    sites: Chosen,
}

/// Tags, as they are typed.
#[derive(Debug, Clone)]
struct GivenTags(Vec<String>);

impl FromStr for GivenTags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tags = Tags::of(text.split(',').map(str::trim)).map_err(|error| error.to_string())?;
        Ok(Self(tags.iter().map(str::to_owned).collect()))
    }
}

impl Tag {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        self.what.run(target, "tag", "Tag {}?", "tagged")
    }
}

impl Untag {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        self.what.run(target, "untag", "Take tags off {}?", "untagged")
    }
}

impl Tagging {
    fn run(&self, target: &Target, op: &str, question: &str, done: &str) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let GivenTags(tags) = &self.tags;
        let work = Work { op, fields: json!({ "tags": tags }), question, done };
        self.sites.each(target, &client, &work, |id| {
            let site = one(&client, &json!({ "op": op, "site_id": id.to_string(), "tags": tags }), id)?;
            let words = match read::<SiteDocument>(&site)?.tags() {
                None => format!("{done} {id}\n"),
                Some(tags) if tags.is_empty() => format!("{done} {id}: no tags\n"),
                Some(tags) => format!("{done} {id}: {tags}\n"),
            };
            Ok((site, words))
        })
    }
}

/// Does this item to the site, which the routes of single sites have no name
/// for.
fn one(client: &Client, item: &Value, id: SiteId) -> Result<Value, CommandError> {
    let mut outcome = None;
    batch::send(client, std::slice::from_ref(item), "tagging", |_, results| {
        outcome = results.first().map(|result| result.site.clone().ok_or_else(|| result.reason()));
        Ok(())
    })?;
    match outcome {
        Some(Ok(site)) if read::<SiteDocument>(&site)?.site_id == id => Ok(site),
        Some(Err(reason)) => Err(CommandError::Refused { reason, refusal: Refusal::Request }),
        _ => Err(CommandError::Failed(format!("the server told of another site than {id}: check --url"))),
    }
}
