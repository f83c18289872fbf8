//! `sitewarden audit`, and what stands under it.

// The chain of the trail.
mod chain;

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::client::{Shown, Target};
use super::error::CommandError;
use super::lookup::{SiteArgument, find};
use super::path::with_query;
use super::screen::{Ended, complain, print, print_json};
use super::table::Table;
use crate::domain::{Action, ActorKind, Moment};

// Its help stands at the command, where the flags for the server join it.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Audit {
    #[command(subcommand)]
    about: Option<About>,
    /// Only entries on this site: by site_id, a beginning of one (4 characters
    /// or more), # and the number, or the exact name; one that was deleted by
    /// its whole site_id
    #[arg(long, value_name = "SITE")]
    site: Option<SiteArgument>,
    /// Only entries in which this admin acted or was acted on
    #[arg(long, value_name = "NAME")]
    admin: Option<String>,
    /// Only entries of this action
    #[arg(long, value_name = "ACTION", value_enum)]
    action: Option<Action>,
    /// Only what admins did, or users of this host (system); stranger shows
    /// the failed logins, which are kept apart
    #[arg(long, value_name = "KIND", value_enum)]
    actor_kind: Option<ActorKind>,
    /// Only entries from this day or time on, such as 2030-12-31 or
    /// 2030-12-31T00:00:00Z; days are those of licence.time_zone
    #[arg(long, value_name = "DATE|TIME")]
    since: Option<Moment>,
    /// Only entries to the end of this day, or before this time
    #[arg(long, value_name = "DATE|TIME")]
    until: Option<Moment>,
    /// Most entries, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// What is asked of the trail as a whole.
#[derive(Debug, Subcommand)]
enum About {
    Head(chain::Head),
    Verify(chain::Verify),
}

impl Audit {
    pub(super) fn run(&self, target: &Target) -> Ended {
        let done = match &self.about {
            None => self.run_on(target),
            Some(_) if self.is_narrowed() => {
                Err(CommandError::Usage("the whole trail is looked at: leave the filters out".to_owned()))
            }
            Some(About::Head(head)) => head.run(target),
            Some(About::Verify(verify)) => verify.run(target),
        };
        done.unwrap_or_else(|error| error.tell())
    }

    fn is_narrowed(&self) -> bool {
        self.site.is_some()
            || self.admin.is_some()
            || self.action.is_some()
            || self.actor_kind.is_some()
            || self.since.is_some()
            || self.until.is_some()
    }

    fn run_on(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let site = self.site.as_ref().map(|site| find(&client, site)).transpose()?;
        let path = with_query(
            "/api/audit",
            &[
                ("site_id", site.map(|site_id| site_id.to_string())),
                ("admin", self.admin.clone()),
                ("action", self.action.map(|action| action.as_str().to_owned())),
                ("actor_kind", self.actor_kind.map(|kind| kind.as_str().to_owned())),
                ("since", self.since.map(|time| time.to_string())),
                ("until", self.until.map(|time| time.to_string())),
                ("limit", Some(self.limit.to_string())),
            ],
        );
        let answer = client.get(&path)?;
        let entries: Vec<Entry> = answer.read()?;
        let shown = entries.len();
        if let Some(total) = answer.total().filter(|total| *total > shown) {
            complain(format!("{shown} of {total} entries; --limit shows more, --until goes further back"));
        }
        if target.json {
            return Ok(print_json(&answer.body));
        }
        let mut table = Table::new(["TIME", "WHO", "FROM", "WHAT", "ON", "CHANGES"]);
        for entry in entries {
            let or = |text: &Shown, other: &str| match text.as_sent() {
                "" => other.to_owned(),
                text => text.to_owned(),
            };
            table.row([
                entry.at.to_string(),
                entry.who(),
                or(&entry.ip, "socket"),
                entry.action.to_string(),
                entry.on(),
                entry.changes.iter().map(Change::text).collect::<Vec<_>>().join(", "),
            ]);
        }
        Ok(print(&table.text()))
    }
}

/// An entry of the trail.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    at: Shown,
    actor: Shown,
    token: Shown,
    ip: Shown,
    action: Shown,
    site_id: Shown,
    site_name: Shown,
    admin: Shown,
    changes: Vec<Change>,
}

impl Entry {
    /// The site, by id and name, or the admin.
    fn on(&self) -> String {
        match (self.site_id.as_sent(), self.site_name.as_sent()) {
            ("", _) => self.admin.to_string(),
            (_, "") => self.site_id.to_string(),
            _ => format!("{} {}", self.site_id, self.site_name),
        }
    }

    /// Who acted, and with which token for programs.
    fn who(&self) -> String {
        match (self.actor.as_sent(), self.token.as_sent()) {
            ("", _) => "-".to_owned(),
            (actor, "") => actor.to_owned(),
            (actor, token) => format!("{actor} ({token})"),
        }
    }
}

/// What it says of a field.
#[derive(Deserialize)]
struct Change {
    field: Shown,
    before: Option<Shown>,
    after: Option<Shown>,
}

impl Change {
    fn text(&self) -> String {
        let value = |value: &Option<Shown>| match value {
            None => "-".to_owned(),
            Some(text) if text.as_sent().is_empty() => "\"\"".to_owned(),
            Some(text) => text.to_string(),
        };
        match &self.before {
            None => format!("{}={}", self.field, value(&self.after)),
            before => format!("{}: {} -> {}", self.field, value(before), value(&self.after)),
        }
    }
}
