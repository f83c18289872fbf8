//! `sitewarden audit head` and `sitewarden audit verify`: of a server, of the
//! database of one that is down, or of a file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::api::audit::AuditVerificationDocument;
use crate::cli::client::{Access, Target};
use crate::cli::error::CommandError;
use crate::cli::path::with_query;
use crate::cli::screen::{Ended, complain, print, print_json};
use crate::domain::chain::ChainHead;
use crate::store::inspect;

/// Print the head of the trail: the number of its newest entry and its hash
///
/// Note it where nobody who can write to the database can write, or mail it to
/// somebody: `sitewarden audit verify --expect` holds the trail against it
/// later.
#[derive(Debug, Args)]
pub(super) struct Head {
    /// A database or a backup that no server has open, in place of the server's
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Tell whether the trail is as it was recorded, or which entry is the first
/// that was changed, removed or added
///
/// Exit code 0: it is whole, and up to the expected head the same. Without
/// --expect it cannot be told whether somebody who can write to the database
/// has made the whole chain again, or cut off its newest entries.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A database or a backup that no server has open, in place of the server's
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A head that was noted before, NUMBER:HASH
    #[arg(long, value_name = "HEAD")]
    expect: Option<ChainHead>,
}

/// What is read of an answer.
#[derive(Deserialize)]
struct Verification {
    good: bool,
    entries: u64,
    head: HeadDocument,
    fault: Option<Fault>,
    expected: Option<String>,
    #[serde(default)]
    chained_at_upgrade: u64,
    #[serde(default)]
    forgotten: Vec<Forgotten>,
}

#[derive(Deserialize)]
struct HeadDocument {
    number: u64,
    head: String,
}

#[derive(Deserialize)]
struct Fault {
    number: u64,
    kind: String,
}

#[derive(Deserialize)]
struct Forgotten {
    first: u64,
    last: u64,
}

impl Head {
    pub(super) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let document = match &self.file {
            Some(file) => {
                let (document, read) = verified(file, None)?;
                if let Some(words) = read.fault_in_words(None) {
                    return Err(CommandError::Failed(words));
                }
                document.get("head").cloned().unwrap_or_default()
            }
            None => {
                let client = target.client_or_database(None, Access::Read)?;
                client.get("/api/audit/head")?.read()?
            }
        };
        let head: HeadDocument = read(&document)?;
        Ok(target.tell(&document, &format!("{}\n", head.head)))
    }
}

impl Verify {
    pub(super) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let (document, verification) = match &self.file {
            Some(file) => verified(file, self.expect)?,
            None => {
                let expect = self.expect.map(|head| head.to_string());
                let path = with_query("/api/audit/verify", &[("expect", expect)]);
                let document: Value = target.client_or_database(None, Access::Read)?.get(&path)?.read()?;
                let verification = read(&document)?;
                (document, verification)
            }
        };
        let words = verification.fault_in_words(self.expect);
        if target.json {
            print_json(&document);
        } else if words.is_none() {
            print(&verification.in_words(self.expect.is_some()));
        }
        match words {
            None if verification.good => Ok(Ended::Done),
            None => Ok(Ended::Failed),
            Some(words) => {
                complain(words);
                Ok(Ended::Failed)
            }
        }
    }
}

impl Verification {
    /// What is wrong, and what to do; `None`: nothing.
    fn fault_in_words(&self, expect: Option<ChainHead>) -> Option<String> {
        let next = "compare the trail with that of an older backup (sitewarden audit verify FILE)";
        if let Some(Fault { number, kind }) = &self.fault {
            let what = match kind.as_str() {
                "changed" => {
                    "is not what was recorded: it was changed or moved, or one before it was and was hashed again"
                }
                "removed" => "is missing, and was not forgotten because of its age: it was removed",
                "added" => "was never recorded: it was added",
                _ => "cannot be read: it was changed or is damaged",
            };
            return Some(format!("entry {number} of the audit trail {what}; {next}"));
        }
        let number = expect.map_or(0, |head| head.number);
        match self.expected.as_deref() {
            Some("differs") => Some(format!(
                "entry {number} of the audit trail, or one before it, is not the one of the head that was \
                 expected, though the chain is whole: it was made again; {next}"
            )),
            Some("cut_off") => Some(format!(
                "the audit trail ends with entry {}, before entry {number} that was expected: its newest entries \
                 were cut off, or an older backup was restored",
                self.head.number
            )),
            Some("forgotten") => Some(format!(
                "entry {number} was forgotten because of its age, so that nothing can be said of the head that \
                 was expected: give a newer one"
            )),
            _ => None,
        }
    }

    /// How it stands where nothing is wrong.
    fn in_words(&self, expected: bool) -> String {
        let same = if expected { ", and up to the expected head the same" } else { "" };
        let mut words =
            format!("the audit trail is whole{same}: {} entries, head {}\n", self.entries, self.head.head);
        for Forgotten { first, last } in &self.forgotten {
            words += &format!("entries {first} to {last} were forgotten because of their age\n");
        }
        if self.chained_at_upgrade > 0 {
            words += &format!(
                "entries up to {} were chained at an upgrade: the chain tells nothing of what was before it\n",
                self.chained_at_upgrade
            );
        }
        words
    }
}

/// What is found in a file, as a document and as what is read of it.
fn verified(file: &Path, expect: Option<ChainHead>) -> Result<(Value, Verification), CommandError> {
    let report =
        inspect::verify_audit(file, expect).map_err(|error| CommandError::Failed(error.to_string()))?;
    let document = AuditVerificationDocument::from(report).json();
    let verification = read(&document)?;
    Ok((document, verification))
}

fn read<T: serde::de::DeserializeOwned>(document: &Value) -> Result<T, CommandError> {
    serde_json::from_value(document.clone()).map_err(|error| {
        CommandError::Failed(format!(
            "cannot read what is said of the audit trail ({error}): is the server newer?"
        ))
    })
}
