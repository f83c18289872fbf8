//! `sitewarden admin …`

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::at_rest::Work;
use super::daemon::{CallError, Daemon, Target};
use super::password::{self, Asked};
use super::path::segment;
use super::table::Table;
use super::{Ended, confirm, field, print};

/// Admins: who may log in.
#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Create an admin; the password is asked for, or read from standard input
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

    fn run_on(&self, target: &Target, data_dir: Option<String>) -> Result<Ended, CallError> {
        let work = match self {
            Self::List => Work::Look,
            Self::Create { .. } => Work::Found,
            Self::Passwd { .. } | Self::Delete { .. } | Self::RotateSigningKey => Work::Change,
        };
        let daemon = target.daemon_or_database(data_dir, work)?;
        match self {
            Self::Create { name } => {
                let password = new_password(name)?;
                let body = json!({ "username": name, "password": password });
                let created = daemon.call(Method::POST, "/api/admins", Some(&body))?.body;
                Ok(done(target, &created, &format!("created admin {name}")))
            }
            Self::List => list(&daemon, target),
            Self::Passwd { name } => {
                let password = new_password(name)?;
                let path = format!("/api/admins/{}/password", segment(name));
                daemon.call(Method::PUT, &path, Some(&json!({ "password": password })))?;
                let said = json!({ "username": name });
                Ok(done(target, &said, &format!("changed the password of {name}; earlier logins have ended")))
            }
            Self::Delete { name, yes } => {
                if !yes && !confirm(&format!("Delete admin {name}?"))? {
                    return Ok(Ended::Failed);
                }
                daemon.call(Method::DELETE, &format!("/api/admins/{}", segment(name)), None)?;
                Ok(done(target, &json!({ "username": name }), &format!("deleted admin {name}")))
            }
            Self::RotateSigningKey => {
                daemon.call(Method::POST, "/api/signing-key/rotate", None)?;
                let words = "replaced the key that signs logins; all logins have ended";
                Ok(done(target, &json!({ "rotated": true }), words))
            }
        }
    }
}

fn new_password(name: &str) -> Result<String, CallError> {
    password::ask(&format!("New password of {name}: "), Asked::Twice).map_err(CallError::Setup)
}

fn list(daemon: &Daemon, target: &Target) -> Result<Ended, CallError> {
    let admins = daemon.call(Method::GET, "/api/admins", None)?.body;
    if target.json {
        return Ok(print(&format!("{admins}\n")));
    }
    let mut table = Table::new(["ID", "NAME", "ROLE", "CREATED"]);
    for admin in admins.as_array().into_iter().flatten() {
        table.row(["id", "username", "role", "created_at"].map(|name| field(admin, name)));
    }
    Ok(print(&table.text()))
}

fn done(target: &Target, document: &Value, words: &str) -> Ended {
    print(&if target.json { format!("{document}\n") } else { format!("{words}\n") })
}
