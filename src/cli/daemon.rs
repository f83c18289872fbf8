//! Talking to the running server: which one, and how its answers end a
//! command.
//!
//! Without `--url` that is the server on this host, over its control socket,
//! without a password. With `--url` it is any server, with the token that
//! `sitewarden login` keeps, or that SITEWARDEN_TOKEN holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::http::request::Builder;
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::login::KeptLogins;
use super::{Ended, complain};
use crate::config::Config;
use crate::outbound::{ClientError, Server};

/// Where the packaged server has its control socket.
const PACKAGED_SOCKET: &str = "/run/sitewarden/control.sock";
/// Where the packaged server has its configuration.
pub(super) const PACKAGED_CONFIG: &str = "/etc/sitewarden/sitewarden.toml";
/// For the next part of a download.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a problem document.
const MAX_PROBLEM: usize = 64 << 10;
/// A token for `--url`, in place of a kept one.
const TOKEN_VARIABLE: &str = "SITEWARDEN_TOKEN";

/// Which server a command talks to.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// A server elsewhere, such as https://licences.example.com; log in with
    /// `sitewarden login` first
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    pub(super) url: Option<String>,
    /// Certificates to trust (PEM), in place of the system's authorities
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub(super) cacert: Option<PathBuf>,
    /// The control socket of the server on this host
    #[arg(long, global = true, value_name = "PATH", help_heading = "Server")]
    socket: Option<PathBuf>,
    /// The configuration of the server on this host, which tells its socket
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A server to talk to.
pub(super) struct Daemon {
    server: Server,
    token: Option<String>,
    runtime: Runtime,
}

/// An answer of the server to what it did.
pub(super) struct Answer {
    /// The body; null when there is none.
    pub(super) body: Value,
    /// The headers.
    pub(super) headers: HeaderMap,
}

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The server was not asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server said no.
    #[error("{0}")]
    Refused(String, StatusCode),
    /// The command cannot work as called.
    #[error("{0}")]
    Setup(String),
}

impl CallError {
    /// Says why on stderr, and how the command ends.
    pub(super) fn tell(&self) -> Ended {
        complain(self);
        match self {
            Self::Client(ClientError::BadUrl(_)) => Ended::Misused,
            Self::Client(ClientError::Roots { .. }) | Self::Setup(_) => Ended::Failed,
            Self::Client(ClientError::NotTrusted(_) | ClientError::Unreachable { .. }) => Ended::Unreachable,
            Self::Refused(_, status) if *status == StatusCode::SERVICE_UNAVAILABLE => Ended::Unreachable,
            Self::Refused(..) => Ended::Failed,
        }
    }
}

impl Target {
    /// The server that is meant.
    pub(super) fn daemon(&self) -> Result<Daemon, CallError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CallError::Setup(error.to_string()))?;
        let Some(url) = &self.url else {
            return Ok(Daemon { server: Server::Socket(self.socket()?), token: None, runtime });
        };
        let given = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let kept = KeptLogins::load()?.for_url(url);
        let cacert = self.cacert.clone().or_else(|| kept.as_ref().and_then(|kept| kept.cacert.clone()));
        let token = given.or_else(|| kept.map(|kept| kept.access_token)).ok_or_else(|| {
            CallError::Setup(format!("not logged in at {url}: run sitewarden login --url {url} first"))
        })?;
        Ok(Daemon { server: Server::at(url, cacert)?, token: Some(token), runtime })
    }

    /// The control socket: the one given, or that of the configuration; with
    /// neither, that of a server started in this directory, else that of the
    /// package.
    fn socket(&self) -> Result<PathBuf, CallError> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        let packaged = Path::new(PACKAGED_CONFIG);
        let file = self.config.as_deref().or_else(|| packaged.exists().then_some(packaged));
        let configured = Config::load(file, super::environment(), [])
            .map_err(|error| CallError::Setup(error.to_string()))?
            .control_socket;
        let packaged = Path::new(PACKAGED_SOCKET);
        Ok(if file.is_none() && !configured.exists() && packaged.exists() {
            packaged.to_owned()
        } else {
            configured
        })
    }
}

impl Daemon {
    /// Asks for `path` and reads the whole answer.
    pub(super) fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, CallError> {
        self.call_once(method, path, body, None)
    }

    /// As [`Daemon::call`], under an `Idempotency-Key`.
    pub(super) fn call_once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Answer, CallError> {
        let mut request = self.request(method, path);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", format!("\"{key}\""));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| CallError::Setup(error.to_string()))?;
        let response =
            self.runtime.block_on(self.server.send(request)).map_err(|error| self.explained(error))?;
        let (parts, body) = response.into_parts();
        let body =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or_default() };
        if parts.status.is_success() {
            return Ok(Answer { body, headers: parts.headers });
        }
        Err(CallError::Refused(explanation(parts.status, &body, self.token.is_some()), parts.status))
    }

    /// Asks for `path` and hands the answer's body to `take`, piece by piece,
    /// with its whole length where the server tells it.
    pub(super) fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8], Option<u64>) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let request = self.request(Method::GET, path).body(Full::new(Bytes::new()));
        let request = request.map_err(|error| CallError::Setup(error.to_string()))?;
        self.runtime.block_on(async {
            let response = self.server.open(request).await.map_err(|error| self.explained(error))?;
            let (parts, mut body) = response.into_parts();
            let broken =
                |error: &dyn std::fmt::Display| CallError::Setup(format!("the download broke off: {error}"));
            if !parts.status.is_success() {
                let problem =
                    Limited::new(body, MAX_PROBLEM).collect().await.map_err(|error| broken(&error))?;
                let problem = serde_json::from_slice(&problem.to_bytes()).unwrap_or_default();
                let words = explanation(parts.status, &problem, self.token.is_some());
                return Err(CallError::Refused(words, parts.status));
            }
            let whole =
                parts.headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse().ok());
            loop {
                let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
                let Some(frame) = frame.map_err(|error| broken(&error))? else {
                    return Ok(());
                };
                if let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() {
                    take(&data, whole)?;
                }
            }
        })
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(path);
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Says what to do where the server on this host does not answer.
    fn explained(&self, error: ClientError) -> CallError {
        match (&self.server, error) {
            (Server::Socket(path), ClientError::Unreachable { reason, .. }) => {
                let path = path.display();
                let host = format!("the server behind {path}");
                let hint = "is it running, and may you open its socket (as root, or in its group)?";
                ClientError::Unreachable { host, reason: format!("{reason}; {hint}") }.into()
            }
            (_, error) => error.into(),
        }
    }
}

/// A problem document in one line.
fn explanation(status: StatusCode, body: &Value, by_token: bool) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    if status == StatusCode::UNAUTHORIZED && by_token {
        return "the login has expired or is not valid any more: run sitewarden login again".to_owned();
    }
    let fields: Vec<String> = body
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|error| Some(format!("{} {}", text(error.get("field"))?, text(error.get("message"))?)))
        .collect();
    if fields.is_empty() {
        text(body.get("detail")).unwrap_or_else(|| format!("the server answered {status}"))
    } else {
        fields.join("; ")
    }
}
