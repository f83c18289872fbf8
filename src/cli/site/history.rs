//! `sitewarden site history`
//!
//! A line for each day, the newest last, and all of them below as bars: where
//! the eye is when the command has run.

use clap::Args;
use serde::Deserialize;

use super::chosen::path;
use crate::cli::bars::bars;
use crate::cli::client::{Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::lookup::{SiteArgument, find};
use crate::cli::printable;
use crate::cli::screen::{Ended, print_as_it_is, print_json};
use crate::cli::table::Table;

/// Show on which of the last 90 days a site was heard, how often and from where
///
/// A line a day, in the site's zone, and at the end a bar a day: the highest is
/// the day with the most heartbeats, a dot one without any. Times are in UTC;
/// --json has them in full.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The site: by site_id, a beginning of one (4 characters or more), # and
    /// the number, or the exact name
    #[arg(value_name = "SITE")]
    site: SiteArgument,
}

#[derive(Deserialize)]
struct HistoryDocument {
    #[serde(deserialize_with = "needed")]
    site_id: Shown,
    #[serde(default)]
    time_zone: Shown,
    days: Vec<DayDocument>,
}

#[derive(Deserialize)]
struct DayDocument {
    date: Shown,
    heartbeats: u64,
    first_at: Shown,
    last_at: Shown,
    #[serde(default)]
    addresses: Vec<Shown>,
    #[serde(default)]
    more_addresses: u64,
    #[serde(default)]
    versions: Vec<Shown>,
    #[serde(default)]
    more_versions: u64,
}

impl History {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let id = find(&client, &self.site)?;
        let answer = client.get(&path(id, "/history"))?;
        let history: HistoryDocument = answer.read()?;
        if history.site_id.as_sent() != id.to_string() {
            return Err(CommandError::Failed(format!(
                "the server told of another site than {id}: check --url"
            )));
        }
        if target.json {
            return Ok(print_json(&answer.body));
        }
        Ok(print_as_it_is(&words(&history)))
    }
}

fn words(history: &HistoryDocument) -> String {
    let Some(last) = history.days.last() else {
        return "no heartbeat was counted yet\n".to_owned();
    };
    let mut table =
        Table::new(["DAY", "HEARTBEATS", "FIRST", "LAST", "VERSIONS", "ADDRESSES"]).cutting(vec![4, 5]);
    for day in &history.days {
        table.row([
            day.date.to_string(),
            day.heartbeats.to_string(),
            time_of_day(&day.first_at),
            time_of_day(&day.last_at),
            several(&day.versions, day.more_versions),
            several(&day.addresses, day.more_addresses),
        ]);
    }
    let counts: Vec<u64> = history.days.iter().map(|day| day.heartbeats).collect();
    let zone = printable::line(history.time_zone.as_sent());
    format!("{}\n{}\n90 days to {}, {zone}\n", table.text(), bars(&counts), last.date)
}

/// The time of day of an RFC 3339 time, to the minute.
fn time_of_day(time: &Shown) -> String {
    let shown = time.to_string();
    shown.get(11..16).map_or(shown.clone(), |minutes| format!("{minutes}Z"))
}

fn several(values: &[Shown], more: u64) -> String {
    let mut words: Vec<String> = values.iter().map(ToString::to_string).collect();
    if more > 0 {
        words.push(format!("+{more}"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_with_what_came_and_how_much_more() {
        let history = serde_json::from_value(serde_json::json!({
            "site_id": "x", "time_zone": "Europe/Rome", "days": [
                {
                    "date": "2030-01-01", "heartbeats": 2, "first_at": "2029-12-31T23:02:03Z",
                    "last_at": "2030-01-01T22:58:00Z", "addresses": ["192.0.2.1", "192.0.2.2"],
                    "more_addresses": 3, "versions": ["2.4\u{1b}[31m"], "more_versions": 0,
                },
                { "date": "2030-01-02", "heartbeats": 0, "first_at": null, "last_at": null },
            ],
        }));
        assert_eq!(
            words(&history.unwrap()),
            format!(
                "DAY         HEARTBEATS  FIRST   LAST    VERSIONS  ADDRESSES\n\
                 2030-01-01  2           23:02Z  22:58Z  2.4 [31m  192.0.2.1 192.0.2.2 +3\n\
                 2030-01-02  0\n\n{}█.\n90 days to 2030-01-02, Europe/Rome\n",
                " ".repeat(88)
            )
        );
    }
}
