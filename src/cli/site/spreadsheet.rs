//! The rows of a CSV file of new sites, as spreadsheets write them (RFC 4180).

use std::io::Read as _;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Map, Value};

use super::cell::unguarded;
use super::document;
use crate::api::fields::Fields;
use crate::cli::error::CommandError;
use crate::domain::NewSite;

/// The columns that are read.
const COLUMNS: [&str; 4] = ["name", "owner_name", "contact_email", "license_expires_at"];
/// The one of them that may be missing.
const OPTIONAL: &str = "owner_name";

/// A row of the file.
pub(crate) struct Row {
    /// The line that it begins on, from 1.
    pub(crate) line: u64,
    /// The name, as it stands there.
    pub(crate) name: Option<String>,
    /// The site that it tells of, or what is wrong with it.
    pub(crate) site: Result<NewSite, String>,
}

/// The rows of the file, each held against the rules for new sites.
///
/// # Errors
/// Where the file or its first line cannot be read.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, CommandError> {
    let is_input = path == Path::new("-");
    let name = if is_input { "standard input".into() } else { path.display().to_string() };
    let failed = |reason: &dyn std::fmt::Display| CommandError::Failed(format!("{name}: {reason}"));
    let unreadable = |error: csv::Error| failed(&error);
    let text = if is_input {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(path)
    };
    let text = text.map_err(|error| failed(&error))?;
    // Spreadsheets put a byte order mark there.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut lines = Lines { text, counted: 0, line: 1 };
    if let Err(error) = std::str::from_utf8(text) {
        let line = lines.of(error.valid_up_to() as u64);
        return Err(failed(&format!("line {line} is not UTF-8: save the file as CSV in UTF-8")));
    }
    if let Some(byte) = open_quote(text) {
        let line = Lines { text, counted: 0, line: 1 }.of(byte);
        return Err(failed(&format!(
            "line {line}: a quote (\") is opened and never closed: close it, or write it twice where it is text"
        )));
    }
    let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(text);
    let head: StringRecord = reader.headers().map_err(unreadable)?.iter().map(str::to_lowercase).collect();
    check(&head).map_err(|reason| failed(&format!("line 1: {reason}")))?;
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
        let name = fields.get("name").and_then(Value::as_str).map(str::to_owned);
        let site = if record.len() == head.len() {
            Fields::read::<NewSite>(fields).map_err(|problem| {
                let errors = problem.errors.listed().into_iter().flatten();
                errors.map(|e| format!("{} {}", e.field, e.message)).collect::<Vec<_>>().join("; ")
            })
        } else {
            Err(format!("has {} columns, and line 1 names {}", record.len(), head.len()))
        };
        rows.push(Row { line, name, site });
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

/// Where the quote stands that opens a cell and is closed nowhere. The csv
/// crate takes all that follows for one cell.
fn open_quote(text: &[u8]) -> Option<u64> {
    let (mut opened, mut begins, mut place) = (None, true, 0);
    while let Some(byte) = text.get(place) {
        match (opened, byte) {
            (None, b'"') if begins => opened = Some(place),
            (Some(_), b'"') if text.get(place + 1) == Some(&b'"') => place += 1,
            (Some(_), b'"') => opened = None,
            _ => {}
        }
        begins = opened.is_none() && b",\r\n".contains(byte);
        place += 1;
    }
    opened.and_then(|place| u64::try_from(place).ok())
}

/// The columns, as messages name them.
fn quoted() -> String {
    COLUMNS.map(|name| format!("\"{name}\"")).join(", ")
}

fn check(head: &StringRecord) -> Result<(), String> {
    if head.len() == 1 && head.iter().any(|name| name.contains([';', '\t'])) {
        return Err("columns are separated by commas".to_owned());
    }
    if let Some(unknown) = head.iter().find(|name| !document::COLUMNS.contains(name)) {
        return Err(format!("there is no column \"{unknown}\"; they are {}", quoted()));
    }
    let twice = COLUMNS.iter().find(|name| head.iter().filter(|given| given == *name).count() > 1);
    if let Some(twice) = twice {
        return Err(format!("the column \"{twice}\" is named twice"));
    }
    let missing = COLUMNS.iter().find(|name| **name != OPTIONAL && !head.iter().any(|given| given == **name));
    match missing {
        Some(missing) => Err(format!("the column \"{missing}\" is missing")),
        None => Ok(()),
    }
}
