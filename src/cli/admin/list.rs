//! `sitewarden admin list`

use serde::Deserialize;

use super::named::PATH;
use crate::cli::client::{Client, Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::screen::{Ended, print, print_json};
use crate::cli::table::Table;

#[derive(Deserialize)]
struct AdminDocument {
    id: Shown,
    #[serde(deserialize_with = "needed")]
    username: Shown,
    role: Shown,
    created_at: Shown,
}

pub(crate) fn run(client: &Client, target: &Target) -> Result<Ended, CommandError> {
    let answer = client.get(PATH)?;
    let admins: Vec<AdminDocument> = answer.read()?;
    if target.json {
        return Ok(print_json(&answer.body));
    }
    let mut table = Table::new(["ID", "NAME", "ROLE", "CREATED"]);
    for admin in admins {
        table.row([admin.id, admin.username, admin.role, admin.created_at].map(|cell| cell.to_string()));
    }
    Ok(print(&table.text()))
}
