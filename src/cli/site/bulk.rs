//! One thing done to all sites that a filter lets through, in one go.
//!
//! First the server only tells how many they are and which come first. Then a
//! person is asked. Then it is done, if the filter still lets as many through;
//! the server refuses otherwise, and nothing is changed.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::document::SiteDocument;
use super::list::table;
use crate::cli::client::{Client, Target};
use crate::cli::error::{CommandError, Refusal};
use crate::cli::screen::{Ended, complain, confirm, print, print_json};

/// Names in a question.
const NAMED: usize = 3;

/// What is done to sites.
pub(crate) struct Work<'a> {
    /// As the API calls it in `op`.
    pub(crate) op: &'a str,
    /// Its fields.
    pub(crate) fields: Value,
    /// The question before it is done to what stands for `{}`.
    pub(crate) question: &'a str,
    /// What is said once it is done.
    pub(crate) done: &'a str,
}

/// What the server says of many sites.
#[derive(Deserialize)]
struct Many {
    matched: u64,
    #[serde(default)]
    changed: u64,
    #[serde(default)]
    first: Vec<Value>,
}

/// Does `work` to all sites that `filter` lets through.
pub(super) fn run(
    client: &Client,
    target: &Target,
    filter: &Map<String, Value>,
    work: &Work<'_>,
    dry_run: bool,
    yes: bool,
) -> Result<Ended, CommandError> {
    let mut body = Map::new();
    body.insert("filter".to_owned(), Value::from(filter.clone()));
    body.insert("op".to_owned(), json!(work.op));
    body.extend(work.fields.as_object().cloned().unwrap_or_default());
    body.insert("dry_run".to_owned(), json!(true));
    let answer = client.post("/api/sites/bulk", Some(&Value::from(body.clone())))?;
    let found: Many = answer.read()?;
    if found.matched == 0 {
        complain("no site is like that; nothing was done");
        return Ok(if target.json { print_json(&answer.body) } else { Ended::Done });
    }
    let sites = SiteDocument::all(&found.first)?;
    if dry_run {
        let shown = if target.json { print_json(&answer.body) } else { print(&table(&found.first)?) };
        let first = if found.matched > count(&sites) { ", the first of them above" } else { "" };
        complain(format!("{}{first}; nothing was done: leave out --dry-run to do it", number(found.matched)));
        return Ok(shown);
    }
    let question = work.question.replace("{}", &told(found.matched, &sites));
    if !yes && !confirm(&question)? {
        return Ok(Ended::Failed);
    }
    body.insert("dry_run".to_owned(), json!(false));
    body.insert("expect".to_owned(), json!(found.matched));
    let answer = match client.post("/api/sites/bulk", Some(&Value::from(body))) {
        Err(CommandError::Refused { reason, refusal: Refusal::Conflict }) => {
            let reason =
                format!("{reason}; nothing was done: run the same command again to see which they are now");
            return Err(CommandError::Refused { reason, refusal: Refusal::Conflict });
        }
        answer => answer?,
    };
    let done: Many = answer.read()?;
    let same = done.matched.saturating_sub(done.changed);
    let rest = if same == 0 { String::new() } else { format!("; {same} unchanged") };
    Ok(target.tell(&answer.body, &format!("{} {}{rest}\n", work.done, number(done.changed))))
}

/// How many, and what the first are called.
fn told(matched: u64, sites: &[SiteDocument]) -> String {
    let names: Vec<String> = sites.iter().take(NAMED).map(|site| site.name.to_string()).collect();
    let more = matched.saturating_sub(names.len().try_into().unwrap_or(u64::MAX));
    let names = names.join(", ");
    match more {
        0 => format!("{} ({names})", number(matched)),
        more => format!("{} ({names} and {more} more)", number(matched)),
    }
}

fn number(sites: u64) -> String {
    if sites == 1 { "1 site".to_owned() } else { format!("{sites} sites") }
}

fn count(sites: &[SiteDocument]) -> u64 {
    sites.len().try_into().unwrap_or(u64::MAX)
}
