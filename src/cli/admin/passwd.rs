//! `sitewarden admin passwd`

use clap::Args;
use serde_json::json;

use super::named::{PATH, check_known, new_password};
use super::show::Logins;
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
        // An older server does not tell.
        let before = Logins::of(client, name).ok();
        let second_factor = before.as_ref().is_some_and(|before| before.second_factor);
        let password_in_file = before.as_ref().is_some_and(|before| before.password_in_file);
        client.put_for_nothing(
            &format!("{PATH}/{}/password", segment(name)),
            &json!({ "password": password }),
        )?;
        let mut words = format!("changed the password of {name}; earlier logins have ended\n");
        if second_factor {
            words += &format!(
                "the second factor stays on: logins need a code; where the device is lost, on the server's host: \
                 sitewarden admin otp reset {name}\n"
            );
        }
        // At rest the change itself tells. A password of one's own has ended
        // the login that would look again.
        if password_in_file && !client.is_at_rest() {
            words += "removed the file initial-admin-password, which works no more\n";
        }
        let told = json!({
            "username": name,
            "second_factor": second_factor,
            "removed_password_file": password_in_file,
        });
        Ok(target.tell(&told, &words))
    }
}
