//! `sitewarden audit`

use clap::Args;
use serde_json::Value;

use super::client::Target;
use super::error::CommandError;
use super::path::with_query;
use super::printable::field;
use super::screen::{Ended, complain, print, print_json};
use super::table::Table;
use super::values::site_id;
use crate::domain::{Action, ActorKind, SiteId, Timestamp};

/// Show who changed what, newest first.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Audit {
    /// Only entries on this site
    #[arg(long, value_name = "ID", value_parser = site_id)]
    site: Option<SiteId>,
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
    /// Only entries from this time on, such as 2030-12-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only entries before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Most entries, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

impl Audit {
    pub(super) fn run(&self, target: &Target) -> Ended {
        self.run_on(target).unwrap_or_else(|error| error.tell())
    }

    fn run_on(&self, target: &Target) -> Result<Ended, CommandError> {
        let path = with_query(
            "/api/audit",
            &[
                ("site_id", self.site.map(|site| site.to_string())),
                ("admin", self.admin.clone()),
                ("action", self.action.map(|action| action.as_str().to_owned())),
                ("actor_kind", self.actor_kind.map(|kind| kind.as_str().to_owned())),
                ("since", self.since.map(|time| time.to_string())),
                ("until", self.until.map(|time| time.to_string())),
                ("limit", Some(self.limit.to_string())),
            ],
        );
        let answer = target.client()?.get(&path)?;
        let entries = &answer.body;
        let shown = entries.as_array().map_or(0, Vec::len);
        if let Some(total) = answer.total().filter(|total| *total > shown) {
            complain(format!("{shown} of {total} entries; --limit shows more, --until goes further back"));
        }
        if target.json {
            return Ok(print_json(entries));
        }
        let mut table = Table::new(["TIME", "WHO", "FROM", "WHAT", "ON", "CHANGES"]);
        for entry in entries.as_array().into_iter().flatten() {
            let on = [field(entry, "site_id"), field(entry, "admin")].concat();
            let from = match field(entry, "ip") {
                ip if ip.is_empty() => "socket".to_owned(),
                ip => ip,
            };
            let [at, who, what] = ["at", "actor", "action"].map(|name| field(entry, name));
            let who = if who.is_empty() { "-".to_owned() } else { who };
            table.row([at, who, from, what, on, changes(entry)]);
        }
        Ok(print(&table.text()))
    }
}

fn changes(entry: &Value) -> String {
    let changes = entry.get("changes").and_then(Value::as_array).into_iter().flatten();
    let change = |change| {
        let name = field(change, "field");
        let [before, after] = ["before", "after"].map(|side| change.get(side).and_then(Value::as_str));
        match (before, after) {
            (None, after) => format!("{name}={}", shown(after)),
            (before, after) => format!("{name}: {} -> {}", shown(before), shown(after)),
        }
    };
    changes.map(change).collect::<Vec<_>>().join(", ")
}

/// A value, where there is one to be seen.
fn shown(value: Option<&str>) -> &str {
    match value {
        None => "-",
        Some("") => "\"\"",
        Some(text) => text,
    }
}
