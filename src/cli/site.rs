//! `sitewarden site …`

mod batch;
mod cell;
mod export;
mod extend;
mod import;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::export::Export;
use self::extend::Extend;
use self::import::Import;
use super::client::{Client, Target};
use super::error::{CommandError, Refusal};
use super::path::{segment, with_query};
use super::printable;
use super::printable::{field, shown};
use super::screen::{Ended, complain, confirm, print, print_json};
use super::table::Table;
use crate::domain::SiteStatus;
use crate::domain::licence::MAX_EXTEND_DAYS;
use crate::domain::site::MAX_OVERLAP_HOURS;

/// Sites: register them, extend their licences, lock and unlock them.
#[derive(Debug, Subcommand)]
pub(super) enum Site {
    /// Register a site and print its id and key; the key is shown this once
    #[command(visible_alias = "create")]
    Add(Add),
    /// List sites
    List(List),
    /// Show sites in full
    Show(Ids),
    /// Change sites, or extend their licences
    Update(Update),
    Extend(Extend),
    Import(Import),
    Export(Export),
    /// Lock sites: their next heartbeat says so, with the reason
    Lock(Lock),
    /// Unlock sites
    Unlock(Ids),
    /// Give a site a new key and print it; it is shown this once
    RotateKey(RotateKey),
    /// Delete sites; their keys stop working at once
    #[command(visible_alias = "delete")]
    Rm(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Ids {
    /// The site_id of each
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// What you call it
    #[arg(long)]
    name: String,
    /// Who owns it
    #[arg(long, default_value = "")]
    owner: String,
    /// Whom to write to
    #[arg(long)]
    email: String,
    /// When its licence expires, such as 2030-12-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: String,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those in this status
    #[arg(long, value_parser = statuses())]
    status: Option<String>,
    /// Only those with this text in name, owner, address or id
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    sites: Ids,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// New owner
    #[arg(long)]
    owner: Option<String>,
    /// New address
    #[arg(long)]
    email: Option<String>,
    /// New expiry, such as 2030-12-31T00:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "extend_days")]
    expires: Option<String>,
    /// Add days to the later of now and today's expiry
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_EXTEND_DAYS)))]
    extend_days: Option<u16>,
    /// Switch the site on or off
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,
}

#[derive(Debug, Args)]
pub(super) struct Lock {
    #[command(flatten)]
    sites: Ids,
    /// What the people at the sites are told
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct RotateKey {
    /// The site_id
    #[arg(value_name = "ID")]
    id: String,
    /// Hours for which the present key goes on working, 0 to 168
    #[arg(long, value_name = "H", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=i64::from(MAX_OVERLAP_HOURS)))]
    overlap_hours: u16,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    sites: Ids,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Site {
    pub(super) fn run(&self, target: &Target) -> Ended {
        self.run_on(target).unwrap_or_else(|error| error.tell())
    }

    fn run_on(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        match self {
            Self::Add(add) => {
                let body = json!({
                    "name": add.name,
                    "owner_name": add.owner,
                    "contact_email": add.email,
                    "license_expires_at": add.expires,
                });
                let site = client.post("/api/sites", Some(&body))?.body;
                Ok(if target.json { print_json(&site) } else { print(&credentials(&site)) })
            }
            Self::List(list) => print_list(&fetch_all(&client, list.status.clone(), list.q.clone())?, target),
            Self::Show(sites) => each(&sites.ids, target, |id| {
                let site = client.get(&path(id, ""))?.body;
                let words = record(&site);
                Ok((site, words))
            }),
            Self::Update(update) => {
                let body = update.body();
                if body.as_object().is_none_or(Map::is_empty) {
                    let words = "nothing to change: give --name, --owner, --email, --expires, --extend-days or --active";
                    return Err(CommandError::Usage(words.to_owned()));
                }
                each(&update.sites.ids, target, |id| {
                    let site = client.put(&path(id, ""), &body)?.body;
                    let words = format!("updated {id}: expires {}\n", shown(&site, "license_expires_at"));
                    Ok((site, words))
                })
            }
            Self::Extend(extend) => extend.run_on(&client, target),
            Self::Import(import) => import.run_on(&client, target),
            Self::Export(export) => export.run_on(&client, target),
            Self::Lock(lock) => {
                let body = json!({ "reason": lock.reason });
                each(&lock.sites.ids, target, |id| {
                    let site = client.post(&path(id, "/lock"), Some(&body))?.body;
                    Ok((site, format!("locked {id}\n")))
                })
            }
            Self::Unlock(sites) => each(&sites.ids, target, |id| {
                let site = client.post(&path(id, "/unlock"), None)?.body;
                Ok((site, format!("unlocked {id}\n")))
            }),
            Self::RotateKey(rotate) => {
                let body = json!({ "overlap_hours": rotate.overlap_hours });
                each(std::slice::from_ref(&rotate.id), target, |id| {
                    let key = client.post(&path(id, "/rotate-key"), Some(&body))?.body;
                    let until = match shown(&key, "old_key_valid_until") {
                        until if until.is_empty() => "the old key works no more".to_owned(),
                        until => format!("the old key works until {until}"),
                    };
                    let words = format!("secret_key {}\n{until}\n", shown(&key, "secret_key"));
                    Ok((key, words))
                })
            }
            Self::Rm(remove) => {
                let ids = &remove.sites.ids;
                if !remove.yes
                    && let Some(names) = names(&client, ids)?
                    && !confirm(&format!("Delete {names}?"))?
                {
                    return Ok(Ended::Failed);
                }
                each(ids, target, |id| {
                    client.delete(&path(id, ""))?;
                    Ok((json!({ "site_id": id, "deleted": true }), format!("deleted {id}\n")))
                })
            }
        }
    }
}

impl Update {
    fn body(&self) -> Value {
        let fields = [
            ("name", self.name.clone().map(Value::from)),
            ("owner_name", self.owner.clone().map(Value::from)),
            ("contact_email", self.email.clone().map(Value::from)),
            ("license_expires_at", self.expires.clone().map(Value::from)),
            ("extend_days", self.extend_days.map(Value::from)),
            ("is_active", self.active.map(Value::from)),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(given.collect::<Map<_, _>>())
    }
}

/// The values of `--status`.
pub(super) fn statuses() -> PossibleValuesParser {
    PossibleValuesParser::new(SiteStatus::ALL.map(SiteStatus::as_str))
}

/// What the sites are called, for a question; that of one that is not there
/// is its id. `None` where none is there: that needs no question.
fn names(client: &Client, ids: &[String]) -> Result<Option<String>, CommandError> {
    let mut names = Vec::new();
    let mut missing = 0;
    for id in ids {
        match client.get(&path(id, "")) {
            Ok(site) => names.push(format!("{} ({id})", field(&site.body, "name"))),
            Err(CommandError::Refused { refusal: Refusal::Missing, .. }) => {
                missing += 1;
                names.push(format!("{id}, which is not there"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((missing < ids.len()).then(|| names.join(", ")))
}

/// Does `work` for each id, tells what was done, and goes on where one fails.
fn each(
    ids: &[String],
    target: &Target,
    work: impl Fn(&str) -> Result<(Value, String), CommandError>,
) -> Result<Ended, CommandError> {
    let mut ended = Ended::Done;
    let mut done = 0_usize;
    for id in ids {
        match work(id) {
            Ok((document, words)) => {
                done += 1;
                let printed = if target.json { print_json(&document) } else { print(&words) };
                if printed != Ended::Done {
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

/// Every site that the filter lets through, page by page.
pub(super) fn fetch_all(
    client: &Client,
    status: Option<String>,
    q: Option<String>,
) -> Result<Vec<Value>, CommandError> {
    let mut sites = Vec::new();
    let mut next =
        Some(with_query("/api/sites", &[("status", status), ("q", q), ("limit", Some("1000".to_owned()))]));
    while let Some(page) = next {
        let answer = client.get(&page)?;
        next = answer.next_page();
        if let Value::Array(page) = answer.body {
            sites.extend(page);
        }
    }
    Ok(sites)
}

fn print_list(sites: &[Value], target: &Target) -> Result<Ended, CommandError> {
    if target.json {
        return Ok(print_json(&Value::from(sites.to_vec())));
    }
    let mut table = Table::new(["SITE_ID", "NAME", "STATUS", "EXPIRES", "LAST SEEN", "VERSION"]);
    for site in sites {
        let names = ["site_id", "name", "status", "license_expires_at", "last_seen_at", "last_version"];
        table.row(names.map(|name| field(site, name)));
    }
    Ok(print(&table.text()))
}

fn credentials(site: &Value) -> String {
    let line = |name: &str| format!("{name:<10} {}\n", shown(site, name));
    let note = "note the secret_key now: it is not shown again\n";
    [line("site_id"), line("secret_key"), note.to_owned()].concat()
}

/// All fields, one a line.
fn record(site: &Value) -> String {
    let fields: Vec<(&String, String)> =
        site.as_object().into_iter().flatten().map(|(name, _)| (name, shown(site, name))).collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields
        .into_iter()
        .map(|(name, value)| {
            let line = format!("{:<width$}  {value}", printable::line(name));
            format!("{}\n", line.trim_end())
        })
        .collect()
}

fn path(id: &str, rest: &str) -> String {
    format!("/api/sites/{}{rest}", segment(id))
}
