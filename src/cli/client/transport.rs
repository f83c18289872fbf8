//! Talking to the running server: which one, and how its answers end a
//! command.
//!
//! Without `--url` that is the server on this host, over its control socket,
//! without a password; `admin` works on its database where it is down. With
//! `--url`, or SITEWARDEN_URL, it is any server, with the token that
//! `sitewarden login` keeps, that a file holds, or SITEWARDEN_TOKEN. A flag
//! that only the server on this host has a use for (`--socket`, `--config`,
//! `--data-dir`) means that one, whatever the variable says.
//!
//! # Which socket is trusted
//! Passwords and secrets go to the control socket, so it must be the right
//! server's. One that was named is: by `--socket` or `--data-dir`, or by an
//! absolute path in the configuration or the environment, as the package's
//! is, whoever the service's user may be. `./data/control.sock` is whatever
//! lies in the directory of the moment, which may be a stranger's: it is
//! spoken to where root or the same user listens behind it, and the file is
//! theirs.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::http::request::Builder;
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::at_rest::{AtRest, Work};
use crate::cli::environment::{CACERT_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE, variable};
use crate::cli::host::{self, PACKAGED_SOCKET};
use crate::cli::login::KeptLogins;
use crate::cli::screen::{Ended, Unanswered, complain};
use crate::config::{CONTROL_SOCKET, ConfigError};
use crate::outbound::{ClientError, Server, check_peer};
use crate::server::StartError;
use crate::store::{FILE_NAME, OpenError};

/// For the next part of a download.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a problem document.
const MAX_PROBLEM: usize = 64 << 10;

/// Which server a command talks to.
#[derive(Debug, Args)]
pub(in crate::cli) struct Target {
    /// A server elsewhere, such as https://licences.example.com; log in with
    /// `sitewarden login` first [default: the variable SITEWARDEN_URL, unless a
    /// flag names the server on this host]
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    url: Option<String>,
    /// Certificates to trust (PEM), in place of the system's authorities
    /// [default: the variable SITEWARDEN_CACERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    cacert: Option<PathBuf>,
    /// A file with the access token for --url, in place of the kept login; -
    /// reads it from standard input
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    token: Option<PathBuf>,
    /// The control socket of the server on this host
    #[arg(long, global = true, value_name = "PATH", help_heading = "Server")]
    socket: Option<PathBuf>,
    /// The configuration of the server on this host, which tells its socket
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(in crate::cli) json: bool,
}

/// A server to talk to.
pub(in crate::cli) struct Daemon {
    way: Way,
    token: Option<String>,
    runtime: Runtime,
}

/// How it is talked to.
enum Way {
    /// It runs.
    Server(Server),
    /// It is down: what it would answer.
    AtRest(Box<AtRest>),
}

/// An answer of the server to what it did.
pub(in crate::cli) struct Answer {
    /// The body; null when there is none.
    pub(in crate::cli) body: Value,
    /// The headers.
    pub(in crate::cli) headers: HeaderMap,
}

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CallError {
    /// The server was not asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server said no.
    #[error("{0}")]
    Refused(String, StatusCode),
    /// The command cannot work as things are.
    #[error("{0}")]
    Setup(String),
    /// The command cannot work as called; wrong usage.
    #[error("{0}")]
    Usage(String),
}

impl From<ConfigError> for CallError {
    fn from(error: ConfigError) -> Self {
        Self::Setup(error.to_string())
    }
}

impl From<Unanswered> for CallError {
    fn from(error: Unanswered) -> Self {
        Self::Setup(error.to_string())
    }
}

impl CallError {
    /// Says why on stderr, and how the command ends.
    pub(in crate::cli) fn tell(&self) -> Ended {
        complain(self);
        match self {
            Self::Client(ClientError::BadUrl(_)) | Self::Usage(_) => Ended::Misused,
            Self::Client(ClientError::Roots { .. } | ClientError::Stranger { .. }) | Self::Setup(_) => {
                Ended::Failed
            }
            Self::Client(ClientError::NotTrusted(_) | ClientError::Unreachable { .. }) => Ended::Unreachable,
            Self::Refused(_, status) if *status == StatusCode::SERVICE_UNAVAILABLE => Ended::Unreachable,
            Self::Refused(..) => Ended::Failed,
        }
    }
}

impl Target {
    /// The URL that is meant; `None`: the server on this host.
    pub(in crate::cli) fn url(&self, data_dir: Option<&str>) -> Option<String> {
        let on_this_host = self.socket.is_some() || self.config.is_some() || data_dir.is_some();
        self.url.clone().or_else(|| variable(URL_VARIABLE).filter(|_| !on_this_host))
    }

    /// The certificates to trust that were given.
    pub(in crate::cli) fn cacert(&self) -> Option<PathBuf> {
        self.cacert.clone().or_else(|| variable(CACERT_VARIABLE).map(PathBuf::from))
    }

    /// The server that is meant, for a question that anybody may ask.
    pub(in crate::cli) fn open_daemon(&self) -> Result<Daemon, CallError> {
        match self.url(None) {
            Some(url) => {
                let kept = KeptLogins::load().ok().and_then(|logins| logins.for_url(&url));
                let cacert = self.cacert().or_else(|| kept.and_then(|kept| kept.cacert));
                let runtime = runtime()?;
                Ok(Daemon { way: Way::Server(server_at(&url, cacert)?), token: None, runtime })
            }
            None => self.daemon(),
        }
    }

    /// The server that is meant.
    pub(in crate::cli) fn daemon(&self) -> Result<Daemon, CallError> {
        self.daemon_of(None)
    }

    /// The server that is meant, where `data_dir` may name the one whose data
    /// lie there.
    pub(in crate::cli) fn daemon_of(&self, data_dir: Option<&str>) -> Result<Daemon, CallError> {
        let runtime = runtime()?;
        let Some(url) = &self.url(data_dir) else {
            if self.token.is_some() {
                let words = "--token is for --url: on the server's own host no token is needed";
                return Err(CallError::Usage(words.to_owned()));
            }
            return Ok(Daemon { way: Way::Server(self.socket(data_dir)?), token: None, runtime });
        };
        let given = match &self.token {
            Some(file) => Some(token_in(file)?),
            None => variable(TOKEN_VARIABLE),
        };
        let kept = KeptLogins::load()?.for_url(url);
        let cacert = self.cacert().or_else(|| kept.as_ref().and_then(|kept| kept.cacert.clone()));
        let token = given.or_else(|| kept.map(|kept| kept.access_token)).ok_or_else(|| {
            CallError::Setup(match self.url {
                Some(_) => format!("not logged in at {url}: run sitewarden login --url {url} first"),
                None => format!(
                    "not logged in at {url}, which {URL_VARIABLE} names: run sitewarden login first; for the \
                     server on this host, unset the variable or give --socket or --config"
                ),
            })
        })?;
        Ok(Daemon { way: Way::Server(server_at(url, cacert)?), token: Some(token), runtime })
    }

    /// The server that is meant, or its database where it is the one on this
    /// host and is down. A socket that was named says nothing of where the
    /// database lies.
    pub(in crate::cli) fn daemon_or_database(
        &self,
        data_dir: Option<String>,
        work: Work,
    ) -> Result<Daemon, CallError> {
        let daemon = self.daemon_of(data_dir.as_deref())?;
        let Way::Server(Server::Socket { path: socket, named }) = &daemon.way else {
            return Ok(daemon);
        };
        if let Ok(stream) = UnixStream::connect(socket) {
            // Before anybody is asked for a password.
            check_peer(socket, *named, &stream)?;
            return Ok(daemon);
        }
        if self.socket.is_some() && data_dir.is_none() {
            return Ok(daemon);
        }
        let named = data_dir.is_some();
        let config = host::config(self.config.as_deref(), data_dir)?;
        match AtRest::open(&config, work) {
            Ok(Some(database)) => {
                complain(format!("no server runs: working on the database in {}", config.data_dir.display()));
                Ok(Daemon { way: Way::AtRest(Box::new(database)), ..daemon })
            }
            Err(StartError::Open(OpenError::InUse(database))) => Err(ClientError::Unreachable {
                host: format!("the server that has {} open", database.display()),
                reason: format!(
                    "nobody listens on {}; try again if it is starting or stopping, else name its control \
                     socket with --socket",
                    socket.display()
                ),
            }
            .into()),
            Ok(None) if named => Err(no_database(&config.data_dir)),
            // Asking it tells why it does not answer.
            Ok(None) => Ok(daemon),
            Err(StartError::Open(OpenError::Io { source, .. }))
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Ok(daemon)
            }
            Err(error) => Err(CallError::Setup(error.to_string())),
        }
    }

    /// The control socket: the one given, or that of the server whose data lie
    /// in `data_dir`, or that of the configuration; with none of them, that of
    /// a server started in this directory, else that of the package.
    fn socket(&self, data_dir: Option<&str>) -> Result<Server, CallError> {
        if let Some(path) = &self.socket {
            return Ok(Server::Socket { path: path.clone(), named: true });
        }
        let file = host::config_file(self.config.as_deref());
        let configured = host::config(file, None)?;
        // The configured socket is that of another server than the one named.
        if let Some(directory) = data_dir.map(Path::new)
            && !is_same_place(directory, &configured.data_dir)
        {
            return Ok(Server::Socket { path: directory.join(CONTROL_SOCKET), named: true });
        }
        let packaged = Path::new(PACKAGED_SOCKET);
        let path = if file.is_none() && !configured.control_socket.exists() && packaged.exists() {
            packaged.to_owned()
        } else {
            configured.control_socket
        };
        let named = data_dir.is_some() || path.is_absolute();
        Ok(Server::Socket { path, named })
    }
}

impl Daemon {
    /// Asks for `path` and reads the whole answer.
    pub(in crate::cli) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, CallError> {
        self.call_once(method, path, body, None)
    }

    /// As [`Daemon::call`], under an `Idempotency-Key`.
    pub(in crate::cli) fn call_once(
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
        let response = match &self.way {
            Way::Server(server) => {
                let sent = self.runtime.block_on(server.send(request));
                sent.map_err(|error| explained(server, error))?
            }
            Way::AtRest(database) => self.runtime.block_on(database.answer(request)),
        };
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
    pub(in crate::cli) fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8], Option<u64>) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let Way::Server(server) = &self.way else {
            return Err(CallError::Setup("no server runs: there is nothing to download from".to_owned()));
        };
        let request = self.request(Method::GET, path).body(Full::new(Bytes::new()));
        let request = request.map_err(|error| CallError::Setup(error.to_string()))?;
        self.runtime.block_on(async {
            let response = server.open(request).await.map_err(|error| explained(server, error))?;
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
}

fn is_same_place(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Why nothing can be done in a directory that was named.
pub(in crate::cli) fn no_database(directory: &Path) -> CallError {
    let place = directory.display();
    CallError::Setup(match directory.join(FILE_NAME).try_exists() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("cannot look into {place}: {error}")
        }
        _ if !directory.is_dir() => format!("there is no directory {place}: check --data-dir"),
        _ => format!(
            "there is no database in {place} (no {FILE_NAME}), and no server runs there: check --data-dir"
        ),
    })
}

fn runtime() -> Result<Runtime, CallError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CallError::Setup(error.to_string()))
}

/// The server at a URL that a password or a token may be sent to.
pub(in crate::cli) fn server_at(url: &str, cacert: Option<PathBuf>) -> Result<Server, CallError> {
    let server = Server::at(url, cacert)?;
    if server.is_in_clear() { Err(CallError::Usage(in_clear(url))) } else { Ok(server) }
}

/// Why nothing is sent to a URL.
pub(in crate::cli) fn in_clear(url: &str) -> String {
    format!("{url} would carry passwords and keys for all on the way to read: use https://")
}

/// The token in a file, or on standard input. What is no file may be the token
/// itself, given where every user of the host can read it: it is not repeated.
fn token_in(file: &Path) -> Result<String, CallError> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| {
        CallError::Setup(format!(
            "cannot read the file that --token names: {error}; give a file that holds the token, or - for \
             standard input"
        ))
    })?;
    Some(text.trim().to_owned())
        .filter(|token| !token.is_empty())
        .ok_or_else(|| CallError::Setup("--token: there is no token in it".to_owned()))
}

/// Says what to do where the server on this host does not answer.
fn explained(server: &Server, error: ClientError) -> CallError {
    match (server, error) {
        (Server::Socket { path, .. }, ClientError::Unreachable { reason, .. }) => {
            let closed =
                UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
            let host = format!("the server behind {}", path.display());
            let hint = if closed {
                "only root and members of the socket's group may use it"
            } else {
                "is it running, and is this its control_socket?"
            };
            ClientError::Unreachable { host, reason: format!("{reason}; {hint}") }.into()
        }
        (_, error) => error.into(),
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
