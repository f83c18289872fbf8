//! `sitewarden heartbeat`

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::client::{Answer, Client};
use super::environment::{CACERT_VARIABLE, URL_VARIABLE, variable};
use super::error::CommandError;
use super::screen::{Ended, complain, print_json};
use crate::outbound::ClientError;

const ID_VARIABLE: &str = "SITEWARDEN_SITE_ID";
const KEY_VARIABLE: &str = "SITEWARDEN_SITE_KEY";

/// Play a site's local backend once: send a heartbeat and print the verdict
///
/// The site's id and key come from the environment, SITEWARDEN_SITE_ID and
/// SITEWARDEN_SITE_KEY; --url and --cacert may, from SITEWARDEN_URL and
/// SITEWARDEN_CACERT. Exit code: 0 licensed and not locked, 10 locked or not
/// licensed, 1 refused, 2 wrong usage, 3 no answer, or none that the server can give now.
#[derive(Debug, Args)]
pub(super) struct SendHeartbeat {
    /// Where the server is: https://licences.example.com [default: the
    /// variable SITEWARDEN_URL]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Certificates to trust (PEM), in place of the system's authorities
    /// [default: the variable SITEWARDEN_CACERT]
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// The version to report
    #[arg(long, value_name = "TEXT", default_value = env!("CARGO_PKG_VERSION"))]
    app_version: String,
    /// The uptime to report, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    uptime_seconds: u64,
    /// As everywhere; the verdict is JSON without it too
    #[arg(long, hide = true)]
    json: bool,
}

impl SendHeartbeat {
    pub(super) fn run(self) -> Ended {
        let (Some(id), Some(key)) = (variable(ID_VARIABLE), variable(KEY_VARIABLE)) else {
            complain(format!("set {ID_VARIABLE} and {KEY_VARIABLE} to the site's id and key"));
            return Ended::Misused;
        };
        let Some(url) = self.url.clone().or_else(|| variable(URL_VARIABLE)) else {
            complain(format!("say where the server is: --url https://… or {URL_VARIABLE}"));
            return Ended::Misused;
        };
        let told = self.send(&url, &id, &key).and_then(|answer| judge(&answer));
        told.unwrap_or_else(|error| match error {
            CommandError::Client(
                error @ (ClientError::NotTrusted(_)
                | ClientError::Unreachable { .. }
                | ClientError::Stranger { .. }),
            ) => {
                complain(format!("{error}; keep to the last verdict"));
                Ended::Unreachable
            }
            error => error.tell(),
        })
    }

    fn send(&self, url: &str, id: &str, key: &str) -> Result<Answer, CommandError> {
        if [id, key].iter().any(|text| text.contains(|c: char| c.is_control())) {
            let words = format!("{ID_VARIABLE} or {KEY_VARIABLE} holds what no header can");
            return Err(CommandError::Failed(words));
        }
        let cacert = self.cacert.clone().or_else(|| variable(CACERT_VARIABLE).map(PathBuf::from));
        let body = json!({ "version": self.app_version, "uptime_seconds": self.uptime_seconds });
        let headers = [("X-Site-ID", id), ("X-Site-Key", key)];
        Client::at(url, cacert)?.post_with("/api/heartbeat", &headers, &body)
    }
}

/// What a heartbeat learns, as far as the exit code goes.
#[derive(Deserialize)]
struct Verdict {
    licensed: bool,
    locked: bool,
}

/// Prints what the server said and tells the exit code of it.
fn judge(answer: &Answer) -> Result<Ended, CommandError> {
    const STRANGE: &str = "the answer is not that of a sitewarden; check --url";
    let status = answer.status;
    if status.as_u16() == 200 {
        let verdict: Verdict = answer.read().map_err(|_| CommandError::Failed(STRANGE.to_owned()))?;
        let printed = print_json(&answer.body);
        return Ok(if verdict.licensed && !verdict.locked { printed } else { Ended::NotAllowed });
    }
    let detail = answer.problem().detail();
    complain(format!("refused with {status}: {}", detail.as_deref().unwrap_or(STRANGE)));
    let may_pass = status.as_u16() == 429 || status.is_server_error();
    Ok(if may_pass { Ended::Unreachable } else { Ended::Failed })
}
