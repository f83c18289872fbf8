//! The sites that a filter lets through.

use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};

use crate::cli::client::Client;
use crate::cli::error::CommandError;
use crate::cli::path::with_query;
use crate::cli::values::date_or_time;
use crate::domain::SiteStatus;

/// Sites in one page of the API's list.
const PAGE: usize = 1000;

// No doc comment: it would take the place of the verb's help.
#[derive(Debug, Default, Args)]
#[group(skip)]
pub(crate) struct Filter {
    /// Only those in this status; or in one of several, with commas between
    #[arg(
        help_heading = "Filter",
        id = "filter_status",
        long = "status",
        value_name = "STATUS",
        value_enum,
        value_delimiter = ','
    )]
    status: Vec<SiteStatus>,
    /// Only those with this text in name, owner, address, site_id, tags or notes
    #[arg(help_heading = "Filter", id = "filter_q", long = "q", value_name = "TEXT")]
    q: Option<String>,
    /// Only those of this owner, the whole name
    #[arg(help_heading = "Filter", id = "filter_owner", long = "owner", value_name = "OWNER")]
    owner: Option<String>,
    /// Only those with this tag; with all of several
    #[arg(
        help_heading = "Filter",
        id = "filter_tag",
        long = "tag",
        value_name = "TAG",
        value_delimiter = ','
    )]
    tag: Vec<String>,
    /// Only those whose licence expires before this date or time
    #[arg(help_heading = "Filter", id = "filter_expires_before", long = "expires-before", value_name = "DATE", value_parser = date_or_time)]
    expires_before: Option<String>,
    /// Only those whose licence expires after this date or time
    #[arg(help_heading = "Filter", id = "filter_expires_after", long = "expires-after", value_name = "DATE", value_parser = date_or_time)]
    expires_after: Option<String>,
    /// Only those whose last heartbeat came before this date or time
    #[arg(help_heading = "Filter", id = "filter_seen_before", long = "seen-before", value_name = "DATE", value_parser = date_or_time)]
    seen_before: Option<String>,
    /// Only those that reported this version last
    #[arg(help_heading = "Filter", id = "filter_version", long = "version", value_name = "VERSION")]
    version: Option<String>,
    /// Only those that the last change has reached so far
    #[arg(help_heading = "Filter", id = "filter_delivery", long = "delivery", value_name = "STATE", value_parser = PossibleValuesParser::new(["pending", "answered", "acknowledged"]))]
    delivery: Option<String>,
}

impl AsRef<Filter> for Filter {
    fn as_ref(&self) -> &Filter {
        self
    }
}

impl Filter {
    /// What the API calls what was given, with its value.
    pub(crate) fn parameters(&self) -> Map<String, Value> {
        let statuses = self.status.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(",");
        let given = [
            ("status", Some(statuses).filter(|text| !text.is_empty())),
            ("q", self.q.clone()),
            ("owner", self.owner.clone()),
            ("tag", Some(self.tag.join(",")).filter(|text| !text.is_empty())),
            ("expires_before", self.expires_before.clone()),
            ("expires_after", self.expires_after.clone()),
            ("seen_before", self.seen_before.clone()),
            ("version", self.version.clone()),
            ("delivery", self.delivery.clone()),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))).collect()
    }

    /// A filter that lets all sites through, and says so: an empty one is
    /// refused, since it may be a slip.
    pub(crate) fn of_all() -> Map<String, Value> {
        Self { status: SiteStatus::ALL.to_vec(), ..Self::default() }.parameters()
    }

    /// Every site that it lets through, as the server says, page by page.
    pub(crate) fn fetch(&self, client: &Client) -> Result<Vec<Value>, CommandError> {
        self.fetch_some(client, None, usize::MAX).map(|(sites, _)| sites)
    }

    /// The first `limit` sites that it lets through, in this order, and how
    /// many there are in all, where the server tells it.
    pub(crate) fn fetch_some(
        &self,
        client: &Client,
        sort: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Value>, Option<usize>), CommandError> {
        let filter = self.parameters();
        let mut parameters: Vec<(&str, Option<String>)> =
            filter.iter().map(|(name, value)| (name.as_str(), value.as_str().map(str::to_owned))).collect();
        parameters.push(("sort", sort.map(str::to_owned)));
        parameters.push(("limit", Some(limit.min(PAGE).to_string())));
        let (mut sites, mut total) = (Vec::new(), None);
        let mut next = Some(with_query("/api/sites", &parameters));
        while let Some(page) = next.filter(|_| sites.len() < limit) {
            let answer = client.get(&page)?;
            sites.extend(answer.read::<Vec<Value>>()?);
            total = total.or_else(|| answer.total());
            next = answer.next_page();
        }
        sites.truncate(limit);
        Ok((sites, total))
    }
}

/// The same filter where `--owner`, `--tag` and the like are what a site is
/// given: there its options begin with `--where-`.
#[derive(Debug)]
pub(crate) struct WhereFilter(Filter);

impl AsRef<Filter> for WhereFilter {
    fn as_ref(&self) -> &Filter {
        &self.0
    }
}

impl FromArgMatches for WhereFilter {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Filter::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Args for WhereFilter {
    fn augment_args(command: Command) -> Command {
        let filter = Filter::augment_args(Command::new("filter"));
        filter.get_arguments().fold(command, |command, argument| {
            let argument = argument.clone();
            command.arg(match argument.get_long() {
                Some("owner") => argument.long("where-owner"),
                Some("tag") => argument.long("where-tag"),
                _ => argument,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_what_was_given_and_all_is_every_status() {
        let command = Filter::augment_args(Command::new("x"));
        let matches =
            command.get_matches_from(["x", "--status", "locked,expired", "--tag", "a", "--tag", "b"]);
        let filter = Filter::from_arg_matches(&matches).unwrap();
        assert_eq!(
            Value::from(filter.parameters()),
            serde_json::json!({ "status": "locked,expired", "tag": "a,b" })
        );
        assert!(Filter::default().parameters().is_empty());
        assert_eq!(Filter::of_all().len(), 1);
    }
}
