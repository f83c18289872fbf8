//! The rows of a CSV file of new sites, as spreadsheets write them (RFC 4180,
//! and what they make of it: semicolons or tabs between the cells, a line
//! `sep=;` before the headings, any encoding, headings in any case and order).

use std::io::Read as _;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Map, Value};

use super::cell::unguarded;
use super::document::{self, IMPORTED};
use super::encoding::{Decoded, decode};
use crate::api::fields::Fields;
use crate::cli::error::CommandError;
use crate::cli::values::is_date;
use crate::domain::{NewSite, Timestamp};

/// The columns without which there is no site, and one of the last two.
const NEEDED: [&str; 2] = ["name", "contact_email"];
const EXPIRY: [&str; 2] = ["license_expires_at", "license_expires_on"];
/// What stands between cells, the likeliest first.
const SEPARATORS: [(u8, &str); 3] = [(b',', "commas"), (b';', "semicolons"), (b'\t', "tabs")];

/// A file of sites.
pub(crate) struct Sheet {
    /// Its rows.
    pub(crate) rows: Vec<Row>,
    /// What was made of it, where that is worth a look.
    pub(crate) remarks: Vec<String>,
}

/// A row of the file.
pub(crate) struct Row {
    /// The line that it begins on, from 1.
    pub(crate) line: u64,
    /// The name, as it stands there.
    pub(crate) name: Option<String>,
    /// The site that it tells of, or what is wrong with it.
    pub(crate) site: Result<Registration, String>,
}

/// A site to register.
pub(crate) struct Registration {
    /// The site, by the rules for new ones.
    pub(crate) site: NewSite,
    /// The fields of the request.
    pub(crate) fields: Map<String, Value>,
}

/// How a file is read.
pub(crate) struct Reading {
    /// Whether columns that nobody knows are left out, rather than refused.
    pub(crate) ignore_unknown: bool,
    /// Whether licences may have expired already.
    pub(crate) allow_past: bool,
    /// The present time.
    pub(crate) now: Timestamp,
}

/// The rows of the file, each held against the rules for new sites.
///
/// # Errors
/// Where the file or its first line cannot be read.
pub(crate) fn read(path: &Path, how: &Reading) -> Result<Sheet, CommandError> {
    let is_input = path == Path::new("-");
    let name = if is_input { "standard input".into() } else { path.display().to_string() };
    let failed = |reason: &dyn std::fmt::Display| CommandError::Failed(format!("{name}: {reason}"));
    let bytes = if is_input {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|error| failed(&error))?;
    let Decoded { text, read_as } = decode(&bytes).map_err(|place| {
        let line = 1 + bytes.iter().take(place).filter(|byte| **byte == b'\n').count();
        failed(&format!("line {line} is neither UTF-8 nor Latin-1: save the file as CSV in UTF-8"))
    })?;
    let mut remarks: Vec<String> = read_as
        .map(|encoding| format!("{name} is read as {encoding}: look at the names"))
        .into_iter()
        .collect();
    let rows = rows_of(&text, how, &mut remarks).map_err(|reason| failed(&reason))?;
    Ok(Sheet { rows, remarks })
}

fn rows_of(text: &str, how: &Reading, remarks: &mut Vec<String>) -> Result<Vec<Row>, String> {
    let (before, separator, text) = separated(text);
    let delimiter = separator.unwrap_or_else(|| likeliest(text));
    let mut lines = Lines { text: text.as_bytes(), counted: 0, line: 1 + before };
    if let Some(byte) = open_quote(text.as_bytes(), delimiter) {
        return Err(format!(
            "line {}: a quote (\") is opened and never closed: close it, or write it twice where it is text",
            lines.of(byte)
        ));
    }
    let mut reader = builder(delimiter).from_reader(text.as_bytes());
    let head = heading(reader.headers().map_err(|error| error.to_string())?);
    let unknown =
        check(&head, how.ignore_unknown).map_err(|reason| format!("line {}: {reason}", 1 + before))?;
    if !unknown.is_empty() {
        remarks.push(format!("left out: the columns {}", quoted(&unknown)));
    }
    if let Some((_, word)) = SEPARATORS.iter().find(|(byte, _)| *byte == delimiter && delimiter != b',') {
        remarks.push(format!("columns are separated by {word}"));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = lines.of(record.position().map_or(0, csv::Position::byte));
        let cells = head.iter().map(String::as_str).zip(record.iter().map(unguarded));
        let name = cells.clone().find(|(column, _)| *column == "name").map(|(_, cell)| cell.to_owned());
        let site = if record.len() == head.len() {
            registration(cells, how)
        } else {
            Err(format!("has {} columns, and line {} names {}", record.len(), 1 + before, head.len()))
        };
        rows.push(Row { line, name, site });
    }
    Ok(rows)
}

fn builder(delimiter: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.flexible(true).trim(Trim::All).delimiter(delimiter);
    builder
}

/// The text behind a line that says what separates cells, as Excel reads and
/// writes it: how many lines that is, and what it says.
fn separated(text: &str) -> (u64, Option<u8>, &str) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let said = first.trim_end().to_ascii_lowercase();
    let said = said.strip_prefix("sep=").map(str::as_bytes);
    match said.or_else(|| first.strip_prefix("sep=\t").map(|_| b"\t".as_slice())) {
        Some([byte]) if SEPARATORS.iter().any(|(known, _)| known == byte) => (1, Some(*byte), rest),
        Some([]) if first.to_ascii_lowercase().starts_with("sep=\t") => (1, Some(b'\t'), rest),
        _ => (0, None, text),
    }
}

/// What separates the headings such that most of them are known.
fn likeliest(text: &str) -> u8 {
    let known = |delimiter: u8| {
        let mut reader = builder(delimiter).from_reader(text.as_bytes());
        let head = reader.headers().map(heading).unwrap_or_default();
        head.iter().filter(|name| is_known(name)).count()
    };
    // Of equals the first: max_by_key gives the last.
    SEPARATORS.iter().rev().map(|(byte, _)| *byte).max_by_key(|byte| known(*byte)).unwrap_or(b',')
}

/// The headings as they are known: in small letters, with `_` between words.
/// Others are as they stand, but for their case.
fn heading(head: &StringRecord) -> Vec<String> {
    let known = |name: &str| {
        let name = name.to_lowercase();
        let joined = name.replace([' ', '-'], "_");
        if is_known(&joined) { joined } else { name }
    };
    head.iter().map(known).collect()
}

fn is_known(name: &str) -> bool {
    document::COLUMNS.contains(&name) || is_imported(name)
}

fn is_imported(name: &str) -> bool {
    IMPORTED.contains(&name)
}

fn registration<'a>(
    cells: impl Iterator<Item = (&'a str, &'a str)>,
    how: &Reading,
) -> Result<Registration, String> {
    let mut fields = Map::new();
    for (column, cell) in cells.filter(|(column, _)| is_imported(column)) {
        let (field, value) = match column {
            "name" | "owner_name" | "contact_email" => (column, Value::from(cell)),
            _ if cell.is_empty() => continue,
            "license_expires_at" | "license_expires_on" => match day(cell)? {
                Some(day) => ("license_expires_on", Value::from(day)),
                None => ("license_expires_at", Value::from(cell)),
            },
            "tags" | "features" => {
                let words = cell.split([' ', ',', ';', '\n']).filter(|word| !word.is_empty());
                (column, words.map(Value::from).collect())
            }
            "grace_days" | "offline_hours" => {
                (column, cell.parse::<u32>().map_or_else(|_| Value::from(cell), Value::from))
            }
            _ => (column, Value::from(cell)),
        };
        if EXPIRY.contains(&field) && EXPIRY.iter().any(|expiry| fields.contains_key(*expiry)) {
            return Err(
                "has both license_expires_at and license_expires_on: leave one of them empty".to_owned()
            );
        }
        fields.insert(field.to_owned(), value);
    }
    if how.allow_past {
        fields.insert("allow_past".to_owned(), Value::Bool(true));
    } else if let Some(time) = expiry_before(&fields, how.now) {
        return Err(format!("the licence expired on {time}: give --allow-past if that is meant"));
    }
    let site = Fields::read::<NewSite>(fields.clone()).map_err(|problem| {
        let errors = problem.errors.listed().into_iter().flatten();
        errors.map(|e| format!("{} {}", e.field, e.message)).collect::<Vec<_>>().join("; ")
    })?;
    Ok(Registration { site, fields })
}

/// The day that a cell names, as ISO 8601 writes it; `None` where it names
/// none. Spreadsheets write days as people of the country do: with dots the
/// day comes first everywhere. With slashes it comes first or second, and
/// nobody can tell.
///
/// # Errors
/// Where it can be read in two ways.
fn day(cell: &str) -> Result<Option<String>, String> {
    if is_date(cell) {
        return Ok(Some(cell.to_owned()));
    }
    let parts = |separator| -> Option<[u32; 3]> {
        let parts: Vec<u32> =
            cell.split(separator).map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    if let Some([day, month, year]) = parts('.') {
        let iso = format!("{year}-{month:02}-{day:02}");
        return if is_date(&iso) {
            Ok(Some(iso))
        } else {
            Err(format!("{cell} is no day: write 2030-12-31 or 31.12.2030"))
        };
    }
    match parts('/') {
        Some(_) => Err(format!("{cell} may be read in two ways: write 2030-12-31 or 31.12.2030")),
        None => Ok(None),
    }
}

/// When the licence expired, where that is certain: a day ends somewhere on
/// earth up to 14 hours before and 12 hours after it does in UTC.
fn expiry_before(fields: &Map<String, Value>, now: Timestamp) -> Option<String> {
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let (told, ended) = match (text("license_expires_at"), text("license_expires_on")) {
        (Some(time), _) => (time, time.parse::<Timestamp>().ok()?),
        (None, Some(day)) => {
            let begin: Timestamp = format!("{day}T00:00:00Z").parse().ok()?;
            (day, begin.checked_add_seconds((24 + 12) * 3600)?)
        }
        (None, None) => return None,
    };
    (ended <= now).then(|| told.to_owned())
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
fn open_quote(text: &[u8], delimiter: u8) -> Option<u64> {
    let (mut opened, mut begins, mut place) = (None, true, 0);
    while let Some(byte) = text.get(place) {
        match (opened, byte) {
            (None, b'"') if begins => opened = Some(place),
            (Some(_), b'"') if text.get(place + 1) == Some(&b'"') => place += 1,
            (Some(_), b'"') => opened = None,
            _ => {}
        }
        begins = opened.is_none() && (*byte == delimiter || b"\r\n".contains(byte));
        place += 1;
    }
    opened.and_then(|place| u64::try_from(place).ok())
}

/// Columns, as messages name them.
fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("\"{}\"", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The columns that nobody knows.
fn check(head: &[String], ignore_unknown: bool) -> Result<Vec<String>, String> {
    let unknown: Vec<String> = head.iter().filter(|name| !is_known(name)).cloned().collect();
    if !unknown.is_empty() && !ignore_unknown {
        let what = if unknown.len() == 1 { "there is no column" } else { "there are no columns" };
        return Err(format!(
            "{what} {}; they are {}; --ignore-unknown leaves others out",
            quoted(&unknown),
            quoted(&IMPORTED)
        ));
    }
    let is_there = |name: &str| head.iter().any(|given| given == name);
    let twice = IMPORTED.iter().find(|name| head.iter().filter(|given| given == *name).count() > 1);
    if let Some(twice) = twice {
        return Err(format!("the column \"{twice}\" is named twice"));
    }
    if let Some(missing) = NEEDED.iter().find(|name| !is_there(name)) {
        return Err(format!("the column \"{missing}\" is missing"));
    }
    if !EXPIRY.iter().any(|name| is_there(name)) {
        return Err("the column \"license_expires_at\" is missing".to_owned());
    }
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        let now = "2030-06-01T00:00:00Z".parse().unwrap();
        Reading { ignore_unknown: false, allow_past: false, now }
    }

    fn names(text: &str) -> Vec<String> {
        let rows = rows_of(text, &reading(), &mut Vec::new()).unwrap();
        rows.into_iter().map(|row| row.name.unwrap()).collect()
    }

    #[test]
    fn cells_are_told_apart_by_whatever_makes_most_headings_known() {
        let head = ["License Expires At", "NAME", "contact-email"];
        for (line, separator) in [("", ","), ("", ";"), ("", "\t"), ("sep=;\r\n", ";"), ("sep=\t\n", "\t")] {
            let row = ["2099-12-31T00:00:00Z", "\"A, B; C\tD\"", "a@example.com"];
            let text = format!("{line}{}\r\n{}\r\n", head.join(separator), row.join(separator));
            assert_eq!(names(&text), ["A, B; C\tD"], "{text}");
        }
    }

    #[test]
    fn a_day_is_read_where_it_can_be_read_in_one_way_only() {
        for (cell, iso) in
            [("2030-12-31", "2030-12-31"), ("31.12.2030", "2030-12-31"), ("1. 2. 2031", "2031-02-01")]
        {
            assert_eq!(day(cell), Ok(Some(iso.to_owned())));
        }
        assert_eq!(day("2030-12-31T00:00:00Z"), Ok(None));
        assert_eq!(day("soon"), Ok(None));
        for bad in ["31/12/2030", "12/31/2030", "30.2.2030", "31.12.30"] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_has_expired_is_refused_once_it_has_everywhere_on_earth() {
        let expired = |field: &str, value: &str, now: &str| {
            let fields = Map::from_iter([(field.to_owned(), Value::from(value))]);
            expiry_before(&fields, now.parse().unwrap()).is_some()
        };
        assert!(expired("license_expires_at", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"));
        assert!(!expired("license_expires_at", "2030-01-01T00:00:01Z", "2030-01-01T00:00:00Z"));
        assert!(!expired("license_expires_on", "2030-01-01", "2030-01-02T11:59:59Z"));
        assert!(expired("license_expires_on", "2030-01-01", "2030-01-02T12:00:00Z"));
    }

    #[test]
    fn all_unknown_columns_are_named_at_once_and_left_out_where_that_is_asked_for() {
        let text =
            "name,phone,contact_email,vat,license_expires_at\nA,1,a@example.com,2,2099-12-31T00:00:00Z\n";
        let told = rows_of(text, &reading(), &mut Vec::new()).err().unwrap();
        assert!(told.starts_with("line 1: there are no columns \"phone\", \"vat\"; they are"), "{told}");
        let mut remarks = Vec::new();
        let rows = rows_of(text, &Reading { ignore_unknown: true, ..reading() }, &mut remarks).unwrap();
        assert!(rows[0].site.is_ok());
        assert_eq!(remarks, ["left out: the columns \"phone\", \"vat\""]);
    }
}
