//! `sitewarden site list`
//!
//! One line a site that fits 80 columns, for a person who looks for one. What
//! is piped is not cut: whoever greps wants whole names.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::column::{Column, field};
use super::document::SiteDocument;
use super::filter::Filter;
use crate::cli::client::Target;
use crate::cli::environment::variable;
use crate::cli::error::CommandError;
use crate::cli::screen::{Ended, complain, print_as_it_is, print_json};
use crate::cli::table::{Colour, Table};
use crate::clock::now;

/// List sites, one a line: number, name, status, expiry and last heartbeat
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// By what to sort; - before it turns it round [default: id]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, value_parser = sort_key)]
    sort: Option<String>,
    /// Most sites that are shown [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Which columns are shown, with commas between
    #[arg(long, value_name = "COLUMNS", value_enum, value_delimiter = ',', default_values_t = Column::USUAL, hide_default_value = true)]
    columns: Vec<Column>,
    /// Whether the status is in colour; auto: on a terminal, unless NO_COLOR is
    /// set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Colours::Auto)]
    color: Colours,
}

/// When there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colours {
    Auto,
    Always,
    Never,
}

impl Colours {
    fn are_shown(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let dumb = variable("TERM").is_some_and(|terminal| terminal == "dumb");
                io::stdout().is_terminal() && variable("NO_COLOR").is_none() && !dumb
            }
        }
    }
}

/// What the API sorts by.
const KEYS: [&str; 5] = ["id", "name", "owner_name", "license_expires_at", "last_seen_at"];

fn sort_key(text: &str) -> Result<String, String> {
    let key = text.strip_prefix('-').unwrap_or(text);
    if KEYS.contains(&key) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be one of {}, or one with - before it", KEYS.join(", ")))
    }
}

impl List {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let limit = self.limit.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX);
        let (sites, total) = self.filter.fetch_some(&target.client()?, self.sort.as_deref(), limit)?;
        SiteDocument::all(&sites)?;
        if let Some(total) = total.filter(|total| *total > sites.len()) {
            complain(format!("{} of {total} sites; --limit shows more", sites.len()));
        }
        if target.json {
            return Ok(print_json(&Value::from(sites)));
        }
        Ok(print_as_it_is(&text_of(&sites, &self.columns, self.color.are_shown())))
    }
}

/// The sites in the usual columns, without colours.
///
/// # Errors
/// Where one is no site.
pub(super) fn table(sites: &[Value]) -> Result<String, CommandError> {
    SiteDocument::all(sites)?;
    Ok(text_of(sites, &Column::USUAL, false))
}

fn text_of(sites: &[Value], columns: &[Column], coloured: bool) -> String {
    let now = now();
    let cut = columns.iter().enumerate().filter(|(_, column)| column.is_text()).map(|(index, _)| index);
    let status = columns.iter().position(|column| *column == Column::Status).filter(|_| coloured);
    let heads: Vec<&str> = columns.iter().map(|column| column.head()).collect();
    let mut table = Table::new(heads).cutting(cut.collect()).colouring(status);
    for site in sites {
        let cells: Vec<String> = columns.iter().map(|column| column.cell(site, now)).collect();
        table.row_in(colour(field(site, "status").as_str().unwrap_or_default()), cells);
    }
    table.text()
}

fn colour(status: &str) -> Option<Colour> {
    match status {
        "online" => Some(Colour::Green),
        "silent" => Some(Colour::Yellow),
        "locked" | "expired" => Some(Colour::Red),
        "never_seen" => Some(Colour::Cyan),
        "inactive" => Some(Colour::Grey),
        _ => None,
    }
}
