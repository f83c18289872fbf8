//! `sitewarden admin delete`

use clap::Args;
use serde_json::json;

use super::named::{PATH, check_known};
use crate::cli::client::{Client, Target};
use crate::cli::error::CommandError;
use crate::cli::path::segment;
use crate::cli::screen::{Ended, confirm};

/// Delete an admin, and end the logins of that admin
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Name of the admin
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Delete {
    pub(crate) fn run(&self, client: &Client, target: &Target) -> Result<Ended, CommandError> {
        let Self { name, yes } = self;
        check_known(client, name)?;
        if !yes && !confirm(&format!("Delete admin {name}?"))? {
            return Ok(Ended::Failed);
        }
        client.delete(&format!("{PATH}/{}", segment(name)))?;
        Ok(target.tell(&json!({ "username": name }), &format!("deleted admin {name}\n")))
    }
}
