//! `sitewarden healthcheck`

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

/// Asks the server whether it is well: 0, or 3 when it does not answer or
/// cannot take writes.
pub(super) fn run(target: &Target) -> Ended {
    ask(target).unwrap_or_else(|error| error.tell())
}

fn ask(target: &Target) -> Result<Ended, CommandError> {
    let answer = target.open_client()?.get("/health")?;
    let Health { status, version } = answer.read()?;
    Ok(target.tell(&answer.body, &format!("{status} (sitewarden {version})\n")))
}
