//! `sitewarden healthcheck`

use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::client::{Shown, Target, needed};
use super::error::CommandError;
use super::screen::Ended;

#[derive(Deserialize)]
struct Health {
    #[serde(deserialize_with = "needed")]
    status: Shown,
    #[serde(deserialize_with = "needed")]
    version: Shown,
}

// Its help stands at the command, where the flags for the server join it.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Healthcheck {
    /// How long to wait for the answer, in seconds, 1 to 30
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=30))]
    timeout: u64,
}

impl Healthcheck {
    /// Asks the server whether it is well: 0, or 3 when it does not answer or
    /// cannot take writes.
    pub(super) fn run(&self, target: &Target) -> Ended {
        self.ask(target).unwrap_or_else(|error| error.tell())
    }

    fn ask(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.open_client()?.with_patience(Duration::from_secs(self.timeout));
        let answer = client.get("/health")?;
        let Health { status, version } = answer.read()?;
        Ok(target.tell(&answer.body, &format!("{status} (sitewarden {version})\n")))
    }
}
