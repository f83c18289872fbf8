//! `sitewarden check`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::screen::{Ended, complain, print, print_json};
use super::table::Table;
use crate::store::inspect::{self, Report};

/// Check a database file or a backup, without changing it
///
/// Every page is held against its checksum, every record of every table is
/// read, every index is held against its table. Exit code 0: the file is good.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file; not one that a running server has open
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(&self) -> Ended {
        match inspect::check(&self.file) {
            Ok(report) if self.json => print_json(&document(&self.file, &report)),
            Ok(report) => {
                let mut table = Table::new(["", ""]);
                for (name, value) in lines(&report) {
                    table.row([name, value]);
                }
                let table = table.text();
                print(&format!("{} is good\n{}", self.file.display(), table.trim_start_matches('\n')))
            }
            Err(error) => {
                if self.json {
                    print_json(&json!({ "file": self.file, "good": false, "reason": error.to_string() }));
                }
                complain(error);
                Ended::Failed
            }
        }
    }
}

/// What a file holds, for people.
pub(super) fn lines(report: &Report) -> Vec<(String, String)> {
    let newest = report.newest_heartbeat.map_or_else(|| "none".to_owned(), |time| time.to_string());
    let closed = if report.closed_cleanly {
        "yes"
    } else {
        "no: its server was killed; damage to the last commit would not show"
    };
    let mut lines = vec![
        ("bytes".to_owned(), report.bytes.to_string()),
        ("schema version".to_owned(), report.schema_version.to_string()),
        ("closed cleanly".to_owned(), closed.to_owned()),
        ("newest heartbeat".to_owned(), newest),
    ];
    lines.extend(report.counts.iter().map(|(name, count)| (plain(name), count.to_string())));
    lines
}

/// What a table holds, in words for people.
fn plain(table: &str) -> String {
    let words = match table {
        "site_ids" => "ids of sites",
        "heartbeats" => "sites with a heartbeat",
        "admin_names" => "names of admins",
        "audit" => "audit entries",
        "strangers" => "failed logins",
        "requests" => "remembered requests",
        "history" => "sites with days before",
        "heartbeat_days" => "days with heartbeats",
        "token_hashes" => "hashes of tokens",
        "token_uses" => "tokens that were used",
        "meta" => "the server's own values",
        other => return other.replace('_', " "),
    };
    words.to_owned()
}

/// What a file holds, for programs.
pub(super) fn document(file: &Path, report: &Report) -> Value {
    let counts: Map<String, Value> =
        report.counts.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    json!({
        "file": file,
        "good": true,
        "bytes": report.bytes,
        "schema_version": report.schema_version,
        "closed_cleanly": report.closed_cleanly,
        "newest_heartbeat_at": report.newest_heartbeat.map(|time| time.to_string()),
        "counts": counts,
    })
}
