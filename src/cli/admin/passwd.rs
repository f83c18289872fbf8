//! `sitewarden admin passwd`

use clap::Args;
use serde_json::json;

use super::named::{PATH, check_known, new_password};
use crate::cli::client::{Client, Target};
use crate::cli::error::CommandError;
use crate::cli::path::segment;
use crate::cli::screen::Ended;

/// Change an admin's password, and end the logins of that admin
#[derive(Debug, Args)]
pub(crate) struct Passwd {
    /// Name of the admin
    name: String,
}

impl Passwd {
    pub(crate) fn run(&self, client: &Client, target: &Target) -> Result<Ended, CommandError> {
        let Self { name } = self;
        check_known(client, name)?;
        let password = new_password(name)?;
        client.put_for_nothing(
            &format!("{PATH}/{}/password", segment(name)),
            &json!({ "password": password }),
        )?;
        let words = format!("changed the password of {name}; earlier logins have ended\n");
        Ok(target.tell(&json!({ "username": name }), &words))
    }
}
