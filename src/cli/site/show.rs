//! `sitewarden site show`

use clap::Args;
use serde_json::{Map, Value};

use super::chosen::{Chosen, path, same_site};
use crate::cli::client::{Shown, Target};
use crate::cli::error::CommandError;
use crate::cli::printable;
use crate::cli::screen::Ended;

/// Show sites in full
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    sites: Chosen,
}

impl Show {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        self.sites.each(target, |id| {
            let answer = client.get(&path(id, ""))?;
            let words = record(&same_site(&answer, id)?);
            Ok((answer.body, words))
        })
    }
}

/// All fields, one a line: those of a newer server too.
fn record(site: &Map<String, Value>) -> String {
    let width = site.keys().map(String::len).max().unwrap_or(0);
    let line = |(name, value): (&String, &Value)| {
        let line = format!("{:<width$}  {}", printable::line(name), Shown::from(value));
        format!("{}\n", line.trim_end())
    };
    site.iter().map(line).collect()
}
