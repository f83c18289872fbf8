//! `sitewarden token add`

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, json};

use super::path::PATH;
use crate::cli::client::{Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;
use crate::cli::values::write_moment;
use crate::clock::now;
use crate::domain::api_token::MAX_DAYS;
use crate::domain::time::SECONDS_PER_DAY;
use crate::domain::{Moment, Scope};

/// Make a token for a program and print it; it is shown this once
///
/// Put it into a file that only the program can read, and give that to
/// --token, or into SITEWARDEN_TOKEN. On the server's own host no token is
/// needed, by the control socket.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What it is called, in the list and in the audit trail
    #[arg(long)]
    name: String,
    /// What it may do
    #[arg(long)]
    scope: Scope,
    /// Days until it expires, 1 to 400 [default: 90]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DAYS)))]
    days: Option<u32>,
    /// Its last day, such as 2030-12-31, in licence.time_zone, or when it
    /// expires, such as 2030-12-31T00:00:00Z; at most 400 days ahead
    #[arg(long, value_name = "DATE|TIME", conflicts_with = "days")]
    expires: Option<Moment>,
    /// A network such as 192.0.2.0/24, or an address, from which it counts; may
    /// be given several times [default: from anywhere]
    #[arg(long, value_name = "NETWORK")]
    network: Vec<String>,
    /// Whose it is, on the server's own host [default: the only admin]
    #[arg(long, value_name = "NAME")]
    admin: Option<String>,
}

#[derive(Deserialize)]
struct Created {
    #[serde(deserialize_with = "needed")]
    id: Shown,
    #[serde(deserialize_with = "needed")]
    token: Shown,
    admin: Shown,
    scope: Shown,
    expires_at: Shown,
}

impl Add {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        body.insert("scope".to_owned(), json!(self.scope.as_str()));
        let after = |days: u32| now().checked_add_seconds(i64::from(days) * SECONDS_PER_DAY);
        let expires = self.expires.or_else(|| self.days.and_then(after).map(Moment::At));
        write_moment(&mut body, expires, "expires_at", "expires_on");
        if !self.network.is_empty() {
            body.insert("networks".to_owned(), json!(self.network));
        }
        if let Some(admin) = &self.admin {
            body.insert("admin".to_owned(), json!(admin));
        }
        let answer = target.client()?.create(PATH, &body.into())?;
        let Created { id, token, admin, scope, expires_at } = answer.read()?;
        let words = format!(
            "token {token}\nid    {id}\nit acts for {admin}, with the scope {scope}, until {expires_at}\nnote \
             the token now: it is not shown again\n"
        );
        Ok(target.tell(&answer.body, &words))
    }
}
