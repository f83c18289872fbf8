//! `sitewarden site import`

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::batch::{self, ItemResult};
use super::cell::guarded;
use super::document::SiteDocument;
use super::filter::Filter;
use super::spreadsheet::{self, Reading, Registration, Row};
use crate::cli::client::{Client, Shown, Target, read};
use crate::cli::error::CommandError;
use crate::cli::private_file;
use crate::cli::screen::{Ended, complain, print, print_json};
use crate::cli::table::Table;
use crate::clock::now;

/// Register the sites of a CSV file: first shown what would be done, and done
/// with --apply
///
/// The first line names the columns, in any case and order: name,
/// contact_email, license_expires_at or license_expires_on (in either a time,
/// or a day: 2030-12-31 or 31.12.2030), and where you have them owner_name,
/// tags, notes, features, time_zone, grace_days, offline_hours. Further columns
/// that `site export` writes are ignored, others are refused. Between the cells
/// stand commas, semicolons or tabs; the text is UTF-8, UTF-16 or Latin-1. A row
/// whose name and address a site already has is left out. An apostrophe before
/// what looks like a formula is `site export`'s, and no part of the text. With a
/// bad row nothing is done.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file, or - for standard input
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Register them
    #[arg(long)]
    apply: bool,
    /// Only show what would be done, as without --apply
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Leave columns out that nobody knows, rather than refuse the file
    #[arg(long)]
    ignore_unknown: bool,
    /// Register sites too whose licence has expired already
    #[arg(long)]
    allow_past: bool,
    /// Where to write the secret keys; must not exist yet [default:
    /// FILE.keys.csv; of standard input sites.keys.csv]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Register rows too whose name and address a site already has
    #[arg(long)]
    allow_duplicates: bool,
}

/// A row of the file, and what is to become of it.
struct Planned {
    line: u64,
    name: Option<String>,
    plan: Plan,
}

/// What is to become of a row, with why.
enum Plan {
    Register(Box<Registration>),
    /// A site has this name and address already.
    Present(String),
    /// An earlier line has them.
    Repeated(u64),
    Bad(String),
    /// Registered under this id.
    Done(String),
}

/// A site as it was registered.
#[derive(Deserialize)]
struct Registered {
    site_id: Shown,
    #[serde(default)]
    name: Shown,
}

/// What is told and counted of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Registered,
    New,
    Present,
    Repeated,
    Bad,
}

impl Outcome {
    /// In the order in which they are told.
    const ALL: [Self; 5] = [Self::Registered, Self::New, Self::Present, Self::Repeated, Self::Bad];

    fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::New => "new",
            Self::Present => "present",
            Self::Repeated => "repeated",
            Self::Bad => "bad",
        }
    }

    fn count(self, rows: &[Planned]) -> usize {
        rows.iter().filter(|row| row.plan.outcome() == self).count()
    }
}

impl Plan {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Register(_) => Outcome::New,
            Self::Present(_) => Outcome::Present,
            Self::Repeated(_) => Outcome::Repeated,
            Self::Bad(_) => Outcome::Bad,
            Self::Done(_) => Outcome::Registered,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Register(_) => String::new(),
            Self::Present(site_id) | Self::Done(site_id) => site_id.clone(),
            Self::Repeated(line) => format!("as line {line}"),
            Self::Bad(reason) => reason.clone(),
        }
    }
}

impl From<Row> for Planned {
    fn from(row: Row) -> Self {
        let plan = row.site.map_or_else(Plan::Bad, |registration| Plan::Register(Box::new(registration)));
        Self { line: row.line, name: row.name, plan }
    }
}

impl Import {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let Self { ignore_unknown, allow_past, .. } = *self;
        let sheet = spreadsheet::read(&self.file, &Reading { ignore_unknown, allow_past, now: now() })?;
        for remark in &sheet.remarks {
            complain(remark);
        }
        let mut rows: Vec<Planned> = sheet.rows.into_iter().map(Planned::from).collect();
        self.recognise(&client, &mut rows)?;
        let bad = Outcome::Bad.count(&rows);
        if !self.apply || bad > 0 {
            let shown = show(&rows, target)?;
            let tally = tally(&rows);
            if bad > 0 {
                complain(format!("{tally}; nothing was done: mend the bad rows first"));
                return Ok(Ended::Failed);
            }
            let next = match Outcome::New.count(&rows) {
                0 => "",
                _ => ": give --apply to register the new ones",
            };
            complain(format!("{tally}; nothing was done{next}"));
            return Ok(shown);
        }
        let path = self.keys_path();
        if Outcome::New.count(&rows) > 0 {
            let file = new_keys_file(&path)?;
            let applied = Self::register(&client, &mut rows, &path, &file);
            if let Err(error) = applied {
                let done = Outcome::Registered.count(&rows);
                if done == 0 {
                    // It has its headings only, and would be in the way next time.
                    let _ = std::fs::remove_file(&path);
                    return Err(error);
                }
                show(&rows, target)?;
                complain(format!(
                    "{done} of {} registered, their keys are in {}; the same command with another --keys goes \
                     on where this one broke off:",
                    done + Outcome::New.count(&rows),
                    path.display()
                ));
                return Err(error);
            }
        }
        let shown = show(&rows, target)?;
        let keys = match Outcome::Registered.count(&rows) {
            0 => String::new(),
            _ => format!("; their keys are in {}", path.display()),
        };
        complain(format!("{}{keys}", tally(&rows)));
        Ok(if Outcome::Bad.count(&rows) > 0 { Ended::Failed } else { shown })
    }

    /// Finds the rows that are sites already.
    fn recognise(&self, client: &Client, rows: &mut [Planned]) -> Result<(), CommandError> {
        if self.allow_duplicates {
            return Ok(());
        }
        let mut present = HashMap::new();
        for site in SiteDocument::all(&Filter::default().fetch(client)?)? {
            let identity = identity(site.name.as_sent(), site.contact_email.as_sent());
            present.insert(identity, site.site_id);
        }
        let mut earlier = HashMap::new();
        for row in rows {
            let Plan::Register(registration) = &row.plan else { continue };
            let site = &registration.site;
            let identity = identity(site.name.as_str(), site.contact_email.as_str());
            if let Some(site_id) = present.get(&identity) {
                row.plan = Plan::Present(site_id.to_string());
            } else if let Some(line) = earlier.get(&identity) {
                row.plan = Plan::Repeated(*line);
            } else {
                earlier.insert(identity, row.line);
            }
        }
        Ok(())
    }

    fn register(client: &Client, rows: &mut [Planned], path: &Path, file: &File) -> Result<(), CommandError> {
        let unwritable = |error: &dyn std::fmt::Display| {
            CommandError::Failed(format!("cannot write the keys to {}: {error}", path.display()))
        };
        let mut keys = csv::Writer::from_writer(file);
        keys.write_record(["line", "site_id", "name", "secret_key"]).map_err(|error| unwritable(&error))?;
        let (mut new, mut items) = (Vec::new(), Vec::new());
        for row in rows {
            if let Plan::Register(registration) = &row.plan {
                items.push(item(registration));
                new.push(row);
            }
        }
        batch::send(client, &items, "registering", |start, results| {
            for (row, result) in new.iter_mut().skip(start).zip(results) {
                let ItemResult { site: Some(site), secret_key, .. } = result else {
                    row.plan = Plan::Bad(result.reason());
                    continue;
                };
                let Registered { site_id, name } = read(site)?;
                let line = row.line.to_string();
                let record = [&line, site_id.as_sent(), name.as_sent(), secret_key.as_sent()];
                keys.write_record(record.map(guarded)).map_err(|error| unwritable(&error))?;
                row.plan = Plan::Done(site_id.as_sent().to_owned());
            }
            keys.flush().and_then(|()| file.sync_data()).map_err(|error| unwritable(&error))
        })
    }

    fn keys_path(&self) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| {
            if self.file == Path::new("-") {
                return PathBuf::from("sites.keys.csv");
            }
            let mut path = self.file.clone().into_os_string();
            path.push(".keys.csv");
            path.into()
        })
    }
}

/// A file for keys that only this user can read.
fn new_keys_file(path: &Path) -> Result<File, CommandError> {
    private_file::create(path).map_err(|error| {
        let (path, exists) = (path.display(), error.kind() == std::io::ErrorKind::AlreadyExists);
        CommandError::Failed(if exists {
            format!("{path} exists, and may hold keys: give another file with --keys; nothing was done")
        } else {
            format!("cannot write the keys to {path}: {error}; nothing was done")
        })
    })
}

/// The item of a batch that registers a site.
fn item(registration: &Registration) -> Value {
    let mut item = registration.fields.clone();
    item.insert("op".to_owned(), json!("register"));
    Value::from(item)
}

/// What makes a site the same as another: its name and its address, without
/// regard to case.
fn identity(name: &str, address: &str) -> (String, String) {
    (name.trim().to_lowercase(), address.trim().to_lowercase())
}

fn tally(rows: &[Planned]) -> String {
    let counted = Outcome::ALL.map(|outcome| (outcome.count(rows), outcome.word()));
    let told: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let text = told.join(", ");
    if text.is_empty() { "no rows".to_owned() } else { text }
}

fn show(rows: &[Planned], target: &Target) -> Result<Ended, CommandError> {
    if target.json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                let detail = Some(row.plan.detail()).filter(|detail| !detail.is_empty());
                json!({ "line": row.line, "result": row.plan.outcome().word(), "detail": detail,
                        "name": row.name })
            })
            .collect();
        return Ok(print_json(&Value::from(rows)));
    }
    let mut table = Table::new(["LINE", "NAME", "RESULT", "DETAIL"]);
    for row in rows {
        let name = row.name.clone().unwrap_or_default();
        table.row([row.line.to_string(), name, row.plan.outcome().word().to_owned(), row.plan.detail()]);
    }
    Ok(print(&table.text()))
}
