//! `sitewarden site import`

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Map, Value, json};

use super::cell::{guarded, unguarded};
use super::{batch, export};
use crate::api::fields::Fields;
use crate::cli::client::{Client, Target};
use crate::cli::error::CommandError;
use crate::cli::printable::field;
use crate::cli::screen::{Ended, complain, print, print_json};
use crate::cli::site;
use crate::cli::table::Table;
use crate::domain::NewSite;

/// The columns that are read.
const COLUMNS: [&str; 4] = ["name", "owner_name", "contact_email", "license_expires_at"];
/// The one of them that may be missing.
const OPTIONAL: &str = "owner_name";

/// Register the sites of a CSV file: first shown what would be done, and done
/// with --apply
///
/// The first line names the columns: name, owner_name (may be missing),
/// contact_email, license_expires_at. Further columns that `site export`
/// writes are ignored, others are refused. A row whose name and address a
/// site already has is left out. An apostrophe before what looks like a
/// formula is `site export`'s, and no part of the text. With a bad row nothing
/// is done.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Register them
    #[arg(long)]
    apply: bool,
    /// Where to write the secret keys; must not exist yet [default:
    /// FILE.keys.csv]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Register rows too whose name and address a site already has
    #[arg(long)]
    allow_duplicates: bool,
}

/// A row of the file.
struct Row {
    line: u64,
    fields: Map<String, Value>,
    plan: Plan,
}

/// What is to become of a row, with why.
enum Plan {
    Register,
    /// A site has this name and address already.
    Present(String),
    /// An earlier line has them.
    Repeated(u64),
    Bad(String),
    /// Registered under this id.
    Done(String),
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

    fn count(self, rows: &[Row]) -> usize {
        rows.iter().filter(|row| row.plan.outcome() == self).count()
    }
}

impl Plan {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Register => Outcome::New,
            Self::Present(_) => Outcome::Present,
            Self::Repeated(_) => Outcome::Repeated,
            Self::Bad(_) => Outcome::Bad,
            Self::Done(_) => Outcome::Registered,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Register => String::new(),
            Self::Present(site_id) | Self::Done(site_id) => site_id.clone(),
            Self::Repeated(line) => format!("as line {line}"),
            Self::Bad(reason) => reason.clone(),
        }
    }
}

impl Import {
    pub(crate) fn run_on(&self, client: &Client, target: &Target) -> Result<Ended, CommandError> {
        let mut rows = read(&self.file)?;
        self.recognise(client, &mut rows)?;
        let bad = Outcome::Bad.count(&rows);
        if !self.apply || bad > 0 {
            let shown = show(&rows, target)?;
            let tally = tally(&rows);
            if bad > 0 {
                complain(format!("{tally}; nothing was done: mend the bad rows first"));
                return Ok(Ended::Failed);
            }
            complain(format!("{tally}; nothing was done: give --apply to register the new ones"));
            return Ok(shown);
        }
        let path = self.keys_path();
        if Outcome::New.count(&rows) > 0 {
            let file = new_keys_file(&path)?;
            let applied = Self::register(client, &mut rows, &path, &file);
            if let Err(error) = applied {
                let done = Outcome::Registered.count(&rows);
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
    fn recognise(&self, client: &Client, rows: &mut [Row]) -> Result<(), CommandError> {
        if self.allow_duplicates {
            return Ok(());
        }
        let mut known: HashMap<(String, String), Plan> = HashMap::new();
        for site in site::fetch_all(client, None, None)? {
            known.insert(identity(&site), Plan::Present(field(&site, "site_id")));
        }
        for row in rows.iter_mut().filter(|row| matches!(row.plan, Plan::Register)) {
            let identity = identity(&Value::Object(row.fields.clone()));
            match known.get(&identity) {
                Some(Plan::Present(site_id)) => row.plan = Plan::Present(site_id.clone()),
                Some(Plan::Repeated(line)) => row.plan = Plan::Repeated(*line),
                _ => {
                    known.insert(identity, Plan::Repeated(row.line));
                }
            }
        }
        Ok(())
    }

    fn register(client: &Client, rows: &mut [Row], path: &Path, file: &File) -> Result<(), CommandError> {
        let unwritable = |error: &dyn std::fmt::Display| {
            CommandError::Failed(format!("cannot write the keys to {}: {error}", path.display()))
        };
        let mut keys = csv::Writer::from_writer(file);
        keys.write_record(["line", "site_id", "name", "secret_key"]).map_err(|error| unwritable(&error))?;
        let mut new: Vec<&mut Row> =
            rows.iter_mut().filter(|row| matches!(row.plan, Plan::Register)).collect();
        let items: Vec<Value> = new.iter().map(|row| item(&row.fields)).collect();
        batch::send(client, &items, "registering", |start, results| {
            for (row, result) in new.iter_mut().skip(start).zip(results) {
                let Some(site) = result.get("site") else {
                    row.plan = Plan::Bad(batch::reason(result));
                    continue;
                };
                let site_id = field(site, "site_id");
                let line = row.line.to_string();
                let record = [&line, &site_id, &field(site, "name"), &field(result, "secret_key")];
                keys.write_record(record.map(|text| guarded(text))).map_err(|error| unwritable(&error))?;
                row.plan = Plan::Done(site_id);
            }
            keys.flush().and_then(|()| file.sync_data()).map_err(|error| unwritable(&error))
        })
    }

    fn keys_path(&self) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| {
            let mut path = self.file.clone().into_os_string();
            path.push(".keys.csv");
            path.into()
        })
    }
}

/// A file for keys that only this user can read.
fn new_keys_file(path: &Path) -> Result<File, CommandError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let (path, exists) = (path.display(), error.kind() == std::io::ErrorKind::AlreadyExists);
        CommandError::Failed(if exists {
            format!("{path} exists, and may hold keys: give another file with --keys; nothing was done")
        } else {
            format!("cannot write the keys to {path}: {error}; nothing was done")
        })
    })
}

/// The rows of the file, each held against the rules.
fn read(path: &Path) -> Result<Vec<Row>, CommandError> {
    let unreadable = |error: csv::Error| CommandError::Failed(format!("{}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| unreadable(error.into()))?;
    // Spreadsheets put a byte order mark there.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut lines = Lines { text, counted: 0, line: 1 };
    if let Err(error) = std::str::from_utf8(text) {
        let line = lines.of(error.valid_up_to() as u64);
        return Err(CommandError::Failed(format!("{}: line {line} is not UTF-8", path.display())));
    }
    let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(text);
    let head = reader.headers().map_err(unreadable)?.clone();
    check(&head).map_err(|reason| CommandError::Failed(format!("{}: line 1: {reason}", path.display())))?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = lines.of(record.position().map_or(0, csv::Position::byte));
        let fields: Map<String, Value> = head
            .iter()
            .zip(&record)
            .filter(|(name, _)| COLUMNS.contains(name))
            .map(|(name, cell)| (name.to_owned(), Value::from(unguarded(cell))))
            .collect();
        let plan = if record.len() == head.len() {
            match Fields::read::<NewSite>(fields.clone()) {
                Ok(_) => Plan::Register,
                Err(problem) => {
                    let errors = problem.errors.listed().into_iter().flatten();
                    Plan::Bad(
                        errors.map(|e| format!("{} {}", e.field, e.message)).collect::<Vec<_>>().join("; "),
                    )
                }
            }
        } else {
            Plan::Bad(format!("has {} columns, and line 1 names {}", record.len(), head.len()))
        };
        rows.push(Row { line, fields, plan });
    }
    Ok(rows)
}

/// Tells lines from places in a text, asked in their order. The csv crate
/// tells the line on which it began to look for a record, which with blank
/// lines before it is not the record's.
struct Lines<'a> {
    text: &'a [u8],
    counted: usize,
    line: u64,
}

impl Lines<'_> {
    fn of(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).max(self.counted);
        let rest = self.text.get(byte..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let passed = self.text.get(self.counted..byte + blank).unwrap_or_default();
        self.line += passed.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.counted = byte + blank;
        self.line
    }
}

fn check(head: &StringRecord) -> Result<(), String> {
    if head.len() == 1 && head.iter().any(|name| name.contains([';', '\t'])) {
        return Err("columns are separated by commas".to_owned());
    }
    if let Some(unknown) = head.iter().find(|name| !export::COLUMNS.contains(name)) {
        return Err(format!("no such column: {unknown}; they are {}", COLUMNS.join(", ")));
    }
    let twice = COLUMNS.iter().find(|name| head.iter().filter(|given| given == *name).count() > 1);
    if let Some(twice) = twice {
        return Err(format!("the column {twice} is named twice"));
    }
    let missing = COLUMNS.iter().find(|name| **name != OPTIONAL && !head.iter().any(|given| given == **name));
    match missing {
        Some(missing) => Err(format!("the column {missing} is missing")),
        None => Ok(()),
    }
}

fn item(fields: &Map<String, Value>) -> Value {
    let mut item = json!({ "op": "register" });
    if let Some(item) = item.as_object_mut() {
        item.extend(fields.clone());
    }
    item
}

/// What makes a site the same as another: its name and its address, without
/// regard to case.
fn identity(site: &Value) -> (String, String) {
    (field(site, "name").trim().to_lowercase(), field(site, "contact_email").trim().to_lowercase())
}

fn tally(rows: &[Row]) -> String {
    let counted = Outcome::ALL.map(|outcome| (outcome.count(rows), outcome.word()));
    let told: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let text = told.join(", ");
    if text.is_empty() { "no rows".to_owned() } else { text }
}

fn show(rows: &[Row], target: &Target) -> Result<Ended, CommandError> {
    if target.json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                let detail = Some(row.plan.detail()).filter(|detail| !detail.is_empty());
                json!({ "line": row.line, "result": row.plan.outcome().word(), "detail": detail,
                        "name": row.fields.get("name") })
            })
            .collect();
        return Ok(print_json(&Value::from(rows)));
    }
    let mut table = Table::new(["LINE", "NAME", "RESULT", "DETAIL"]);
    for row in rows {
        let name = row.fields.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        table.row([row.line.to_string(), name, row.plan.outcome().word().to_owned(), row.plan.detail()]);
    }
    Ok(print(&table.text()))
}
