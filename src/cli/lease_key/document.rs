//! What the server tells of its lease keys.

use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::{Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::screen::{Ended, print, print_json};
use crate::cli::table::Table;

/// Where the API has them.
pub(super) const PATH: &str = "/api/lease-keys";

#[derive(Deserialize)]
pub(super) struct KeyDocument {
    number: Shown,
    #[serde(deserialize_with = "needed")]
    kid: Shown,
    state: Shown,
    signs_from: Shown,
    sites_without: Shown,
}

/// Shows them, with `words` below for people.
pub(super) fn show(
    target: &Target,
    said: &Value,
    keys: Vec<KeyDocument>,
    words: &str,
) -> Result<Ended, CommandError> {
    if target.json {
        return Ok(print_json(said));
    }
    let mut table = Table::new(["NUMBER", "STATE", "SIGNS FROM", "SITES WITHOUT", "KID"]);
    for KeyDocument { number, kid, state, signs_from, sites_without } in keys {
        table.row([number, state, signs_from, sites_without, kid].map(|cell| cell.to_string()));
    }
    Ok(print(&format!("{}{words}", table.text())))
}
