//! `sitewarden admin …`

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, Target, Work};
use super::error::CommandError;
use super::password::{self, Asked};
use super::path::segment;
use super::printable::field;
use super::screen::{Ended, confirm, print, print_json};
use super::table::Table;
use crate::domain::Username;

/// Admins: who may log in.
#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Create an admin; the password is asked for, or read from standard input
    #[command(visible_alias = "add")]
    Create {
        /// Name, unique without regard to case
        name: String,
    },
    /// List admins
    List,
    /// Change an admin's password, and end the logins of that admin
    Passwd {
        /// Name of the admin
        name: String,
    },
    /// Delete an admin, and end the logins of that admin
    #[command(visible_alias = "rm")]
    Delete {
        /// Name of the admin
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Replace the key that signs logins, and end all logins
    RotateSigningKey,
}

impl Admin {
    pub(super) fn run(&self, target: &Target, data_dir: Option<String>) -> Ended {
        self.run_on(target, data_dir).unwrap_or_else(|error| error.tell())
    }

    fn run_on(&self, target: &Target, data_dir: Option<String>) -> Result<Ended, CommandError> {
        let work = match self {
            Self::List => Work::Look,
            Self::Create { .. } => Work::Found,
            Self::Passwd { .. } | Self::Delete { .. } | Self::RotateSigningKey => Work::Change,
        };
        let client = target.client_or_database(data_dir, work)?;
        match self {
            Self::Create { name } => {
                let password = new_password(name)?;
                let body = json!({ "username": name, "password": password });
                let created = client.post("/api/admins", Some(&body))?.body;
                Ok(done(target, &created, &format!("created admin {name}")))
            }
            Self::List => list(&client, target),
            Self::Passwd { name } => {
                check_known(&client, name)?;
                let password = new_password(name)?;
                let path = format!("/api/admins/{}/password", segment(name));
                client.put(&path, &json!({ "password": password }))?;
                let said = json!({ "username": name });
                Ok(done(target, &said, &format!("changed the password of {name}; earlier logins have ended")))
            }
            Self::Delete { name, yes } => {
                check_known(&client, name)?;
                if !yes && !confirm(&format!("Delete admin {name}?"))? {
                    return Ok(Ended::Failed);
                }
                client.delete(&format!("/api/admins/{}", segment(name)))?;
                Ok(done(target, &json!({ "username": name }), &format!("deleted admin {name}")))
            }
            Self::RotateSigningKey => {
                client.post("/api/signing-key/rotate", None)?;
                let words = "replaced the key that signs logins; all logins have ended";
                Ok(done(target, &json!({ "rotated": true }), words))
            }
        }
    }
}

/// Refuses a name that no admin has before anything is asked of a person.
fn check_known(client: &Client, name: &str) -> Result<(), CommandError> {
    let folded = |name: &str| Some(name.parse::<Username>().ok()?.folded());
    let admins = client.get("/api/admins")?.body;
    let wanted = folded(name);
    let mut names = admins.as_array().into_iter().flatten().map(|admin| field(admin, "username"));
    if wanted.is_some() && names.any(|known| folded(&known) == wanted) {
        return Ok(());
    }
    Err(CommandError::Failed("there is no admin of this name".to_owned()))
}

fn new_password(name: &str) -> Result<String, CommandError> {
    password::ask(&format!("New password of {name}: "), Asked::Twice).map_err(CommandError::Failed)
}

fn list(client: &Client, target: &Target) -> Result<Ended, CommandError> {
    let admins = client.get("/api/admins")?.body;
    if target.json {
        return Ok(print_json(&admins));
    }
    let mut table = Table::new(["ID", "NAME", "ROLE", "CREATED"]);
    for admin in admins.as_array().into_iter().flatten() {
        table.row(["id", "username", "role", "created_at"].map(|name| field(admin, name)));
    }
    Ok(print(&table.text()))
}

fn done(target: &Target, document: &Value, words: &str) -> Ended {
    if target.json { print_json(document) } else { print(&format!("{words}\n")) }
}
