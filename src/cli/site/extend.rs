//! `sitewarden site extend`

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::bulk::Work;
use super::chosen::{Chosen, path, same_site};
use crate::cli::client::{Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;
use crate::domain::licence::MAX_EXTEND_DAYS;

/// Extend licences by so many days
#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// Days to add to the later of now and each site's expiry, 1 to 3660
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_EXTEND_DAYS)))]
    days: u16,
    #[command(flatten)]
    sites: Chosen,
}

#[derive(Deserialize)]
struct Extended {
    #[serde(deserialize_with = "needed")]
    license_expires_at: Shown,
}

impl Extend {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let body = json!({ "extend_days": self.days });
        let question = format!("Extend by {} days the licences of {{}}?", self.days);
        let work = Work { op: "update", fields: body.clone(), question: &question, done: "extended" };
        self.sites.each(target, &client, &work, |id| {
            let answer = client.put(&path(id, ""), &body)?;
            let Extended { license_expires_at } = same_site(&answer, id)?;
            Ok((answer.body, format!("extended {id}: expires {license_expires_at}\n")))
        })
    }
}
