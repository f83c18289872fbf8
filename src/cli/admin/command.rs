//! The verbs, and which of them runs.

use clap::Subcommand;

use super::create::Create;
use super::delete::Delete;
use super::list;
use super::otp::Otp;
use super::passwd::Passwd;
use super::rotate_signing_key;
use super::show::Show;
use crate::cli::client::{Access, Target};
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

/// Admins: who may log in.
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    #[command(visible_alias = "add")]
    Create(Create),
    /// List admins
    List,
    Passwd(Passwd),
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Replace the key that signs logins, and end all logins
    RotateSigningKey,
    Show(Show),
    #[command(subcommand)]
    Otp(Otp),
}

impl Admin {
    pub(crate) fn run(&self, target: &Target, data_dir: Option<String>) -> Ended {
        self.run_on(target, data_dir).unwrap_or_else(|error| error.tell())
    }

    fn run_on(&self, target: &Target, data_dir: Option<String>) -> Result<Ended, CommandError> {
        let access = match self {
            Self::List => Access::Read,
            Self::Create(_) => Access::Create,
            Self::Passwd(_) | Self::Delete(_) | Self::RotateSigningKey | Self::Show(_) | Self::Otp(_) => {
                Access::Write
            }
        };
        let client = target.client_or_database(data_dir, access)?;
        match self {
            Self::Create(create) => create.run(&client, target),
            Self::List => list::run(&client, target),
            Self::Passwd(passwd) => passwd.run(&client, target),
            Self::Delete(delete) => delete.run(&client, target),
            Self::Show(show) => show.run(&client, target),
            Self::Otp(otp) => otp.run(&client, target),
            Self::RotateSigningKey => rotate_signing_key::run(&client, target),
        }
    }
}
