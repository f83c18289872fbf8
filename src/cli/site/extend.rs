//! `sitewarden site extend`

use clap::Args;
use serde_json::{Value, json};

use super::batch;
use crate::cli::client::{Client, Target};
use crate::cli::error::CommandError;
use crate::cli::printable::field;
use crate::cli::screen::{Ended, complain, confirm, print, print_json};
use crate::cli::site;
use crate::cli::table::Table;
use crate::domain::licence::MAX_EXTEND_DAYS;

/// Extend the licences of all sites that a filter lets through
#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// Days to add to the later of now and each site's expiry, 1 to 3660
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_EXTEND_DAYS)))]
    days: u16,
    /// Only those in this status
    #[arg(long, value_parser = site::statuses())]
    status: Option<String>,
    /// Only those with this text in name, owner, address or id
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Extend {
    pub(crate) fn run_on(&self, client: &Client, target: &Target) -> Result<Ended, CommandError> {
        let sites = site::fetch_all(client, self.status.clone(), self.q.clone())?;
        if sites.is_empty() {
            complain("no site is like that; nothing was done");
            return Ok(if target.json { print_json(&json!([])) } else { Ended::Done });
        }
        let question = match sites.as_slice() {
            [only] => format!("Extend the licence of {} by {} days?", field(only, "name"), self.days),
            _ => format!("Extend the licences of {} sites by {} days?", sites.len(), self.days),
        };
        if !self.yes && !confirm(&question)? {
            return Ok(Ended::Failed);
        }
        let items: Vec<Value> = sites
            .iter()
            .map(
                |site| json!({ "op": "update", "site_id": field(site, "site_id"), "extend_days": self.days }),
            )
            .collect();
        let (mut extended, mut ended) = (Vec::new(), Ended::Done);
        let sent = batch::send(client, &items, "extending", |start, results| {
            for (site, result) in sites.iter().skip(start).zip(results) {
                match result.get("site") {
                    Some(site) => extended.push(site.clone()),
                    None => {
                        complain(format!("{}: {}", field(site, "site_id"), batch::reason(result)));
                        ended = Ended::Failed;
                    }
                }
            }
            Ok(())
        });
        let shown = if extended.is_empty() { Ended::Done } else { show(&extended, target) };
        if let Err(error) = sent {
            complain(format!("{} of {} done, then:", extended.len(), sites.len()));
            return Err(error);
        }
        Ok(if ended == Ended::Done { shown } else { ended })
    }
}

fn show(sites: &[Value], target: &Target) -> Ended {
    if target.json {
        return print_json(&Value::from(sites.to_vec()));
    }
    let mut table = Table::new(["SITE_ID", "NAME", "STATUS", "EXPIRES"]);
    for site in sites {
        table.row(["site_id", "name", "status", "license_expires_at"].map(|name| field(site, name)));
    }
    print(&table.text())
}
