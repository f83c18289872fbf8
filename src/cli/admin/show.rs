//! `sitewarden admin show`

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::named::PATH;
use crate::cli::client::{Client, Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::path::segment;
use crate::cli::screen::{Ended, print, print_json};
use crate::cli::table::Table;

/// Show an admin's second factor and open logins, and end logins
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Name of the admin
    name: String,
    /// End the login with this id
    #[arg(long, value_name = "ID", conflicts_with = "end_all")]
    end: Option<String>,
    /// End all logins of the admin
    #[arg(long)]
    end_all: bool,
}

/// An admin, with what concerns logins.
#[derive(Deserialize)]
pub(super) struct Logins {
    #[serde(deserialize_with = "needed")]
    username: Shown,
    created_at: Shown,
    /// Whether logins need a code.
    #[serde(default)]
    pub(super) second_factor: bool,
    #[serde(default)]
    recovery_codes_left: Shown,
    #[serde(default)]
    codes_paused_until: Shown,
    /// Whether the password lies in a file.
    #[serde(default)]
    pub(super) password_in_file: bool,
    sessions: Vec<Session>,
}

#[derive(Deserialize)]
struct Session {
    id: Shown,
    created_at: Shown,
    expires_at: Shown,
    ip: Shown,
    means: Shown,
}

impl Logins {
    /// Those of the admin `name`.
    ///
    /// # Errors
    /// Where there is none, or the server does not say.
    pub(super) fn of(client: &Client, name: &str) -> Result<Self, CommandError> {
        client.get(&format!("{PATH}/{}", segment(name)))?.read()
    }
}

impl Show {
    pub(crate) fn run(&self, client: &Client, target: &Target) -> Result<Ended, CommandError> {
        let path = format!("{PATH}/{}", segment(&self.name));
        if self.end_all {
            client.delete(&format!("{path}/sessions"))?;
            let words = format!("ended all logins of {}\n", self.name);
            return Ok(target.tell(&json!({ "username": self.name }), &words));
        }
        if let Some(id) = &self.end {
            client.delete(&format!("{path}/sessions/{}", segment(id)))?;
            let words = format!("ended the login {id} of {}\n", self.name);
            return Ok(target.tell(&json!({ "username": self.name, "session": id }), &words));
        }
        let answer = client.get(&path)?;
        let admin: Logins = answer.read()?;
        if target.json {
            return Ok(print_json(&answer.body));
        }
        let factor = match (admin.second_factor, admin.codes_paused_until.as_sent()) {
            (false, _) => "off: logins need the password alone".to_owned(),
            (true, "") => format!("on; {} recovery codes left", admin.recovery_codes_left),
            (true, until) => format!(
                "on; codes of the app do not count until {until}: too many wrong ones followed a right password, \
                 so change it; {} recovery codes left, which count",
                admin.recovery_codes_left
            ),
        };
        let mut text = format!(
            "name:          {}\ncreated:       {}\nsecond factor: {factor}\n",
            admin.username, admin.created_at
        );
        if admin.sessions.is_empty() {
            text += "no open logins\n";
        } else {
            text += "\n";
            let mut table = Table::new(["LOGIN", "SINCE", "UNTIL", "FROM", "BY"]);
            for Session { id, created_at, expires_at, ip, means } in admin.sessions {
                table.row([id, created_at, expires_at, ip, means].map(|cell| cell.to_string()));
            }
            text += &table.text();
        }
        Ok(print(&text))
    }
}
