//! `sitewarden site rotate-key`

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::chosen::path;
use crate::cli::client::{Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::lookup::{SiteArgument, find};
use crate::cli::screen::Ended;
use crate::domain::site::MAX_OVERLAP_HOURS;

/// Give a site a new key and print it; it is shown this once
#[derive(Debug, Args)]
pub(crate) struct RotateKey {
    /// The site: by site_id, a beginning of one (4 characters or more), # and
    /// the number, or the exact name
    #[arg(value_name = "SITE")]
    site: SiteArgument,
    /// Hours for which the present key goes on working, 0 to 168
    #[arg(long, value_name = "H", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=i64::from(MAX_OVERLAP_HOURS)))]
    overlap_hours: u16,
}

#[derive(Deserialize)]
struct Rotated {
    #[serde(deserialize_with = "needed")]
    secret_key: Shown,
    old_key_valid_until: Option<Shown>,
}

impl RotateKey {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let body = json!({ "overlap_hours": self.overlap_hours });
        let client = target.client()?;
        let id = find(&client, &self.site)?;
        let answer = client.post(&path(id, "/rotate-key"), Some(&body))?;
        let Rotated { secret_key, old_key_valid_until } = answer.read()?;
        let until = match old_key_valid_until {
            None => "the old key works no more".to_owned(),
            Some(until) => format!("the old key works until {until}"),
        };
        Ok(target.tell(&answer.body, &format!("secret_key {secret_key}\n{until}\n")))
    }
}
