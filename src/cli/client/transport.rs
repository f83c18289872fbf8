//! A server to talk to, and what becomes of its answers.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::answer::{Answer, media_type, not_a_sitewarden, refused};
use super::at_rest::AtRest;
use super::logins::TokenSource;
use crate::cli::error::CommandError;
use crate::domain::api_token::PREFIX;
use crate::outbound::{ClientError, Server};

/// For the next part of a download.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a problem document.
const MAX_PROBLEM: usize = 64 << 10;

/// A server to talk to.
pub(crate) struct Client {
    way: Way,
    token: Option<(String, TokenSource)>,
    /// For a whole answer; `None`: what every call has.
    patience: Option<Duration>,
    runtime: Runtime,
}

/// How it is talked to.
enum Way {
    /// It runs.
    Server(Server),
    /// It is down: what it would answer.
    AtRest(Box<AtRest>),
}

impl Client {
    /// The server at a URL that a password, a key or a token may be sent to.
    pub(crate) fn at(url: &str, cacert: Option<PathBuf>) -> Result<Self, CommandError> {
        let server = Server::at(url, cacert)?;
        if server.is_in_clear() {
            let words =
                format!("{url} would carry passwords and keys for all on the way to read: use https://");
            return Err(CommandError::Usage(words));
        }
        Self::of(server)
    }

    /// This server.
    pub(super) fn of(server: Server) -> Result<Self, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        Ok(Self { way: Way::Server(server), token: None, patience: None, runtime })
    }

    /// The same with a token.
    pub(super) fn with_token(self, token: String, source: TokenSource) -> Self {
        Self { token: Some((token, source)), ..self }
    }

    /// The same, and waits for no answer longer than this.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// The database in place of the server, which is down.
    pub(super) fn at_rest(self, database: AtRest) -> Self {
        Self { way: Way::AtRest(Box::new(database)), ..self }
    }

    /// Whether there is no server, but its database.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.way, Way::AtRest(_))
    }

    /// The socket, where the server is behind one, and whether it was named.
    pub(super) fn socket(&self) -> Option<(&Path, bool)> {
        match &self.way {
            Way::Server(Server::Socket { path, named }) => Some((path, *named)),
            _ => None,
        }
    }

    /// Asks for `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, CommandError> {
        self.call(Method::GET, path, &[], None, StatusCode::OK)
    }

    /// Posts `body`, where there is one, to `path`.
    pub(crate) fn post(&self, path: &str, body: Option<&Value>) -> Result<Answer, CommandError> {
        self.call(Method::POST, path, &[], body, StatusCode::OK)
    }

    /// Posts `body` to `path`, where it makes something.
    pub(crate) fn create(&self, path: &str, body: &Value) -> Result<Answer, CommandError> {
        self.call(Method::POST, path, &[], Some(body), StatusCode::CREATED)
    }

    /// Posts to `path`, where nothing is said of what was done.
    pub(crate) fn post_for_nothing(&self, path: &str) -> Result<(), CommandError> {
        self.call(Method::POST, path, &[], None, StatusCode::NO_CONTENT).map(drop)
    }

    /// As [`Client::post`], under an `Idempotency-Key`: sent twice, it is done
    /// once.
    pub(crate) fn post_once(
        &self,
        path: &str,
        body: &Value,
        idempotency_key: &str,
    ) -> Result<Answer, CommandError> {
        let key = format!("\"{idempotency_key}\"");
        self.call(Method::POST, path, &[("Idempotency-Key", &key)], Some(body), StatusCode::OK)
    }

    /// Puts `body` to `path`.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Answer, CommandError> {
        self.call(Method::PUT, path, &[], Some(body), StatusCode::OK)
    }

    /// Puts `body` to `path`, where nothing is said of what was done.
    pub(crate) fn put_for_nothing(&self, path: &str, body: &Value) -> Result<(), CommandError> {
        self.call(Method::PUT, path, &[], Some(body), StatusCode::NO_CONTENT).map(drop)
    }

    /// Deletes what is at `path`.
    pub(crate) fn delete(&self, path: &str) -> Result<(), CommandError> {
        self.call(Method::DELETE, path, &[], None, StatusCode::NO_CONTENT).map(drop)
    }

    /// Posts `body` with these headers, and gives the answer whatever its
    /// status.
    pub(crate) fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Answer, CommandError> {
        self.send(Method::POST, path, headers, Some(body))
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
        expected: StatusCode,
    ) -> Result<Answer, CommandError> {
        let answer = self.send(method, path, headers, body)?;
        if answer.is_success(expected) {
            return Ok(answer);
        }
        Err(refused(answer.status, &answer.body, self.token_at_fault(&answer.headers)))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, CommandError> {
        let request = self.request(method, path, headers, body)?;
        let response = match &self.way {
            Way::Server(server) => {
                let sent = self.runtime.block_on(async {
                    match self.patience {
                        None => server.send(request).await,
                        Some(patience) => tokio::time::timeout(patience, server.send(request))
                            .await
                            .unwrap_or_else(|_| Err(server.silent(patience))),
                    }
                });
                sent.map_err(|error| explained(server, error))?
            }
            Way::AtRest(database) => self.runtime.block_on(database.answer(request)),
        };
        let (parts, body) = response.into_parts();
        Ok(Answer::new(parts.status, parts.headers, &body))
    }

    /// Where the token came from, if it is a login's: of one for programs the
    /// server itself says what is wrong with it. Nor where it is good and only a
    /// code is asked for (RFC 9470, section 3).
    fn token_at_fault(&self, headers: &HeaderMap) -> Option<TokenSource> {
        let challenge = headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        if challenge.is_some_and(|challenge| challenge.contains("insufficient_user_authentication")) {
            return None;
        }
        let (_, source) = self.token.as_ref().filter(|(token, _)| !token.starts_with(PREFIX))?;
        Some(*source)
    }

    /// Asks for `path` and hands the answer's body to `take`, piece by piece,
    /// with its whole length where the server tells it. Nothing is handed on
    /// of what does not begin with `magic`.
    pub(crate) fn download(
        &self,
        path: &str,
        magic: &[u8],
        mut take: impl FnMut(&[u8], Option<u64>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let Way::Server(server) = &self.way else {
            return Err(failed("no server runs: there is nothing to download from"));
        };
        let request = self.request(Method::GET, path, &[], None)?;
        self.runtime.block_on(async {
            let response = server.open(request).await.map_err(|error| explained(server, error))?;
            let (parts, mut body) = response.into_parts();
            let broken = |error: &dyn std::fmt::Display| failed(format!("the download broke off: {error}"));
            if parts.status != StatusCode::OK {
                let problem =
                    Limited::new(body, MAX_PROBLEM).collect().await.map_err(|error| broken(&error))?;
                let problem = serde_json::from_slice(&problem.to_bytes()).unwrap_or_default();
                return Err(refused(parts.status, &problem, self.token_at_fault(&parts.headers)));
            }
            if media_type(&parts.headers) != "application/octet-stream" {
                return Err(not_a_sitewarden());
            }
            let whole =
                parts.headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse().ok());
            // What came before it can be told from another file.
            let mut first = Some(Vec::new());
            loop {
                let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
                let Some(frame) = frame.map_err(|error| broken(&error))? else {
                    return if first.is_none() { Ok(()) } else { Err(not_a_sitewarden()) };
                };
                let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
                let Some(begun) = &mut first else {
                    take(&data, whole)?;
                    continue;
                };
                begun.extend_from_slice(&data);
                if begun.len() >= magic.len() {
                    if !begun.starts_with(magic) {
                        return Err(not_a_sitewarden());
                    }
                    take(begun, whole)?;
                    first = None;
                }
            }
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, CommandError> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some((token, _)) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        request.body(Full::new(body)).map_err(failed)
    }
}

fn failed(reason: impl std::fmt::Display) -> CommandError {
    CommandError::Failed(reason.to_string())
}

/// Says what to do where the server on this host does not answer.
fn explained(server: &Server, error: ClientError) -> CommandError {
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
