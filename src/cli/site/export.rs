//! `sitewarden site export`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::cell::{guarded, guarded_lines};
use super::document::{COLUMNS, SiteDocument, cells};
use super::filter::Filter;
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::{Ended, print_as_it_is};
use crate::cli::{printable, private_file};

/// Write all sites as CSV, or with --json as JSON; without their keys, of
/// which the server keeps hashes only
///
/// A cell that a spreadsheet would take for a formula stands behind an
/// apostrophe; `site import` reads it without.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    filter: Filter,
    /// A file to write to, which must not exist yet [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let sites = self.filter.fetch(&target.client()?)?;
        SiteDocument::all(&sites)?;
        let text = if target.json { printable::json(&Value::from(sites)) } else { table(&sites)? };
        let Some(path) = &self.output else {
            return Ok(print_as_it_is(&text));
        };
        let written = private_file::create(path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        match written {
            Ok(()) => Ok(Ended::Done),
            Err(error) => Err(CommandError::Failed(format!("cannot write {}: {error}", path.display()))),
        }
    }
}

fn table(sites: &[Value]) -> Result<String, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(|error| failed(&error))?;
    for site in sites {
        let cells = COLUMNS.into_iter().zip(cells(site));
        let guarded = cells.map(|(column, cell)| match column {
            "notes" => guarded_lines(&cell),
            _ => guarded(&cell),
        });
        writer.write_record(guarded).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}
