//! `sitewarden site extend`

use clap::Args;
use serde_json::{Value, json};

use super::batch;
use super::document::SiteDocument;
use super::filter::Filter;
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::{Ended, complain, confirm, print, print_json};
use crate::cli::table::Table;
use crate::domain::licence::MAX_EXTEND_DAYS;

/// Extend the licences of all sites that a filter lets through
#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// Days to add to the later of now and each site's expiry, 1 to 3660
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_EXTEND_DAYS)))]
    days: u16,
    #[command(flatten)]
    filter: Filter,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Extend {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let sites = SiteDocument::all(&self.filter.fetch(&client)?)?;
        let question = match sites.as_slice() {
            [] => {
                complain("no site is like that; nothing was done");
                return Ok(if target.json { print_json(&json!([])) } else { Ended::Done });
            }
            [only] => format!("Extend the licence of {} by {} days?", only.name, self.days),
            _ => format!("Extend the licences of {} sites by {} days?", sites.len(), self.days),
        };
        if !self.yes && !confirm(&question)? {
            return Ok(Ended::Failed);
        }
        let item = |site: &SiteDocument| json!({ "op": "update", "site_id": site.site_id.to_string(), "extend_days": self.days });
        let items: Vec<Value> = sites.iter().map(item).collect();
        let (mut extended, mut ended) = (Vec::new(), Ended::Done);
        let sent = batch::send(&client, &items, "extending", |start, results| {
            for (site, result) in sites.iter().skip(start).zip(results) {
                match &result.site {
                    Some(site) => extended.push(site.clone()),
                    None => {
                        complain(format!("{}: {}", site.site_id, result.reason()));
                        ended = Ended::Failed;
                    }
                }
            }
            Ok(())
        });
        let shown = if extended.is_empty() { Ended::Done } else { show(&extended, target)? };
        if let Err(error) = sent {
            complain(format!("{} of {} done, then:", extended.len(), sites.len()));
            return Err(error);
        }
        Ok(if ended == Ended::Done { shown } else { ended })
    }
}

fn show(sites: &[Value], target: &Target) -> Result<Ended, CommandError> {
    if target.json {
        return Ok(print_json(&Value::from(sites.to_vec())));
    }
    let mut table = Table::new(["SITE_ID", "NAME", "STATUS", "EXPIRES"]);
    for site in SiteDocument::all(sites)? {
        table.row([
            site.site_id.to_string(),
            site.name.to_string(),
            site.status.to_string(),
            site.license_expires_at.to_string(),
        ]);
    }
    Ok(print(&table.text()))
}
