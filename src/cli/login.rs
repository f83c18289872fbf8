//! `sitewarden login`: a token for a server elsewhere, stored for other
//! commands.

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, StoredLogin, StoredLogins, Target};
use super::error::CommandError;
use super::password::{self, Asked};
use super::printable;
use super::screen::{Ended, complain, print, print_json};

// Its help stands at the command, where the flags for the server join it.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Login {
    /// Name of the admin
    #[arg(default_value = "sysadmin")]
    username: String,
}

impl Login {
    pub(super) fn run(&self, target: &Target) -> Ended {
        let Some(url) = target.url(None) else {
            let words = "say where to log in: --url https://… or SITEWARDEN_URL; on the server's own host no \
                         login is needed";
            complain(words);
            return Ended::Misused;
        };
        match self.log_in(&url, target) {
            Ok(until) if target.json => print_json(&json!({ "url": url, "expires_at": until })),
            Ok(until) => print(&format!("logged in at {url} until {}\n", printable::line(&until))),
            Err(error) => error.tell(),
        }
    }

    fn log_in(&self, url: &str, target: &Target) -> Result<String, CommandError> {
        let cacert = target.cacert();
        let client = Client::at(url, cacert.clone())?;
        let password = password::ask(&format!("Password of {}: ", self.username), Asked::Once)
            .map_err(CommandError::Failed)?;
        // What was wrong a server does not tell, so nobody can ask afterwards.
        let code = password::ask_code_if_any("Code, where there is a second factor (else Enter): ")
            .map_err(CommandError::Failed)?;
        let mut body = json!({ "username": self.username, "password": password });
        if let (Some(code), Some(fields)) = (code, body.as_object_mut()) {
            fields.insert("otp".to_owned(), code.into());
        }
        let answer = client.post("/api/auth/login", Some(&body))?;
        let Ok(Token { access_token, expires_at }) = answer.read() else {
            return Err(CommandError::Failed(format!("{url} is not a sitewarden: check --url")));
        };
        // The file must be found from any directory.
        let cacert = cacert.and_then(|path| path.canonicalize().ok());
        let login = StoredLogin { access_token, expires_at: expires_at.clone(), cacert };
        StoredLogins::load()?.store(url, login)?;
        Ok(expires_at)
    }
}

/// What a login gives.
#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_at: String,
}
