//! `sitewarden admin create`

use clap::Args;
use serde_json::json;

use super::named::{Named, PATH, new_password};
use crate::cli::client::{Client, Target};
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

/// Create an admin; the password is asked for, or read from standard input
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name, unique without regard to case
    name: String,
}

impl Create {
    pub(crate) fn run(&self, client: &Client, target: &Target) -> Result<Ended, CommandError> {
        let password = new_password(&self.name)?;
        let body = json!({ "username": self.name, "password": password });
        let created = client.create(PATH, &body)?;
        created.read::<Named>()?;
        Ok(target.tell(&created.body, &format!("created admin {}\n", self.name)))
    }
}
