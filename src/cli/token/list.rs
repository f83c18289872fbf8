//! `sitewarden token list`

use serde::Deserialize;

use super::path::PATH;
use crate::cli::client::{Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::screen::{Ended, print, print_json};
use crate::cli::table::Table;

#[derive(Deserialize)]
struct TokenDocument {
    #[serde(deserialize_with = "needed")]
    id: Shown,
    name: Shown,
    admin: Shown,
    scope: Shown,
    expires_at: Shown,
    last_used_on: Shown,
    #[serde(default)]
    networks: Vec<Shown>,
}

pub(crate) fn run(target: &Target) -> Result<Ended, CommandError> {
    let answer = target.client()?.get(PATH)?;
    let tokens: Vec<TokenDocument> = answer.read()?;
    if target.json {
        return Ok(print_json(&answer.body));
    }
    let mut table = Table::new(["ID", "NAME", "ADMIN", "SCOPE", "EXPIRES", "LAST USED", "NETWORKS"]);
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    for token in tokens {
        let networks: Vec<String> = token.networks.iter().map(ToString::to_string).collect();
        table.row([
            token.id.to_string(),
            token.name.to_string(),
            token.admin.to_string(),
            token.scope.to_string(),
            token.expires_at.to_string(),
            or(token.last_used_on.to_string(), "never"),
            or(networks.join(" "), "any"),
        ]);
    }
    Ok(print(&table.text()))
}
