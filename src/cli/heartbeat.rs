//! `sitewarden heartbeat`

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use serde_json::{Value, json};

use super::client::in_clear;
use super::environment::{CACERT_VARIABLE, URL_VARIABLE, variable};
use super::screen::{Ended, complain, print_json};
use crate::outbound::{ClientError, Server};

const ID_VARIABLE: &str = "SITEWARDEN_SITE_ID";
const KEY_VARIABLE: &str = "SITEWARDEN_SITE_KEY";

/// Play a site's local backend once: send a heartbeat and print the verdict.
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
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(error);
                return Ended::Failed;
            }
        };
        runtime.block_on(self.send(&url, &id, &key))
    }

    async fn send(&self, url: &str, id: &str, key: &str) -> Ended {
        let cacert = self.cacert.clone().or_else(|| variable(CACERT_VARIABLE).map(PathBuf::from));
        let body = json!({ "version": self.app_version, "uptime_seconds": self.uptime_seconds }).to_string();
        let request = Request::post("/api/heartbeat")
            .header("X-Site-ID", id)
            .header("X-Site-Key", key)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else {
            complain(format!("{ID_VARIABLE} or {KEY_VARIABLE} holds what no header can"));
            return Ended::Failed;
        };
        let answer = match Server::at(url, cacert) {
            Ok(server) if server.is_in_clear() => {
                complain(in_clear(url));
                return Ended::Misused;
            }
            Ok(server) => server.send(request).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(response) => judge(response.status(), response.body()),
            Err(error @ ClientError::BadUrl(_)) => {
                complain(error);
                Ended::Misused
            }
            Err(error @ ClientError::Roots { .. }) => {
                complain(error);
                Ended::Failed
            }
            Err(
                error @ (ClientError::NotTrusted(_)
                | ClientError::Unreachable { .. }
                | ClientError::Stranger { .. }),
            ) => {
                complain(format!("{error}; keep to the last verdict"));
                Ended::Unreachable
            }
        }
    }
}

/// Prints what the server said and tells the exit code of it.
fn judge(status: StatusCode, body: &[u8]) -> Ended {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let truth = |field: &str| answer.get(field).and_then(Value::as_bool);
    if status == StatusCode::OK {
        let (Some(licensed), Some(locked)) = (truth("licensed"), truth("locked")) else {
            complain("the answer is not that of a sitewarden; check --url");
            return Ended::Failed;
        };
        let printed = print_json(&answer);
        return if licensed && !locked { printed } else { Ended::NotAllowed };
    }
    let detail = answer.get("detail").and_then(Value::as_str);
    let detail = detail.unwrap_or("the answer is not that of a sitewarden; check --url");
    complain(format!("refused with {status}: {detail}"));
    let may_pass = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    if may_pass { Ended::Unreachable } else { Ended::Failed }
}
