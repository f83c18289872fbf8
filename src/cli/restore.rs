//! `sitewarden restore`

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::check::{document, lines};
use super::error::CommandError;
use super::screen::{Ended, confirm, print, print_json};
use super::table::Table;
use super::{client, host};
use crate::clock;
use crate::store::FILE_NAME;
use crate::store::inspect::{self, CheckError, Report};
use crate::store::restore::{RestoreError, Restored, restore};

/// Put a backup in the place of the database, while the server is down
///
/// Checks the backup first, shows what it holds beside what is there, and
/// asks. The present database is kept beside the new one. All logins end: the
/// key that signs them is in no backup.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Where the database lies [default: as configured]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Configuration file (TOML), which tells where the database lies
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(super) fn run(&self) -> Ended {
        self.put_back().unwrap_or_else(|error| error.tell())
    }

    fn put_back(&self) -> Result<Ended, CommandError> {
        let data_dir = host::data_dir(self.config.as_deref(), self.data_dir.clone())?;
        let database = data_dir.join(FILE_NAME);
        let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
        let cannot_read = |error| failed(&format!("cannot read {}: {error}", self.file.display()));
        let backup = File::open(&self.file).map_err(cannot_read)?;
        let found = inspect::check_open(&backup, &self.file).map_err(|error| failed(&error))?;
        // The backup may be for root's eyes; all else is its owner's.
        if data_dir.exists() {
            client::act_as_owner(&data_dir).map_err(|error| failed(&error))?;
        }
        if !self.yes && !self.ask(&found, &data_dir, &database)? {
            return Ok(Ended::Failed);
        }
        let Restored { kept, report } =
            restore(&backup, &data_dir, clock::now()).map_err(|error| failed(&error))?;
        if self.json {
            let document = json!({ "restored": document(&database, &report), "kept": kept });
            return Ok(print_json(&document));
        }
        let kept = kept.map_or_else(String::new, |kept| format!("; what was there is {}", kept.display()));
        Ok(print(&format!(
            "{} is {} now{kept}\nall logins end: backups leave out the key that signs them, and the server makes \
             another at its next start, unless it is given one\n",
            database.display(),
            self.file.display()
        )))
    }

    /// Shows what the backup and the present database hold, and asks.
    fn ask(&self, found: &Report, data_dir: &Path, database: &Path) -> Result<bool, CommandError> {
        let present = database.exists().then(|| inspect::check(database));
        let mut table = Table::new(["", "backup", "present"]);
        let (bytes, rest) = match &present {
            Some(Err(CheckError::InUse(_))) => {
                return Err(CommandError::Failed(RestoreError::Running(data_dir.to_owned()).to_string()));
            }
            None => ("no database".to_owned(), "no database"),
            Some(Err(error)) => (error.to_string(), ""),
            Some(Ok(_)) => (String::new(), ""),
        };
        let present = match present {
            Some(Ok(report)) => lines(&report),
            _ => Vec::new(),
        };
        for (name, value) in lines(found) {
            let known = present.iter().find(|(line, _)| *line == name).map(|(_, value)| value.clone());
            let there =
                known.unwrap_or_else(|| if name == "bytes" { bytes.clone() } else { rest.to_owned() });
            table.row([name, value, there]);
        }
        show(&table.text());
        Ok(confirm(&format!("put {} in the place of {}?", self.file.display(), database.display()))?)
    }
}

/// What to decide on, beside the question.
#[expect(clippy::print_stderr, reason = "part of a question to the person at the terminal")]
fn show(text: &str) {
    eprint!("{text}");
}
