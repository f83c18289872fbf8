//! `sitewarden login`: a token for a server elsewhere, kept for other
//! commands.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{CallError, Target, server_at};
use super::password::{self, Asked};
use super::printable;
use super::screen::{Ended, complain, print, print_json};

/// Log in to a server elsewhere, so that other commands can use --url.
///
/// The token is kept, readable by you alone, under ~/.config/sitewarden and
/// lasts as long as the server says (15 minutes by default).
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

    fn log_in(&self, url: &str, target: &Target) -> Result<String, CallError> {
        let setup = |reason: String| CallError::Setup(reason);
        let cacert = target.cacert();
        let server = server_at(url, cacert.clone())?;
        let password =
            password::ask(&format!("Password of {}: ", self.username), Asked::Once).map_err(setup)?;
        let body = json!({ "username": self.username, "password": password }).to_string();
        let request = Request::post("/api/auth/login")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| setup(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| setup(error.to_string()))?;
        let response = runtime.block_on(server.send(request))?;
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let text = |field: &str| answer.get(field).and_then(Value::as_str).map(str::to_owned);
        if response.status() != StatusCode::OK {
            let detail =
                text("detail").unwrap_or_else(|| format!("the server answered {}", response.status()));
            return Err(CallError::Refused(detail, response.status()));
        }
        let (Some(access_token), Some(expires_at)) = (text("access_token"), text("expires_at")) else {
            return Err(setup(format!("{url} is not a sitewarden")));
        };
        // The file must be found from any directory.
        let cacert = cacert.and_then(|path| path.canonicalize().ok());
        let mut kept = KeptLogins::load()?;
        kept.0.insert(key(url), KeptLogin { access_token, expires_at: expires_at.clone(), cacert });
        kept.store()?;
        Ok(expires_at)
    }
}

/// The logins kept for this user, by URL.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct KeptLogins(BTreeMap<String, KeptLogin>);

/// One of them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeptLogin {
    /// The token.
    pub(super) access_token: String,
    expires_at: String,
    /// What `--cacert` said at login.
    pub(super) cacert: Option<PathBuf>,
}

impl std::fmt::Debug for KeptLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeptLogin(until {})", self.expires_at)
    }
}

fn key(url: &str) -> String {
    url.trim_end_matches('/').to_ascii_lowercase()
}

impl KeptLogins {
    /// What is kept; nothing when there is no file.
    pub(super) fn load() -> Result<Self, CallError> {
        let path = file()?;
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
                CallError::Setup(format!("{} is damaged: delete it and log in again", path.display()))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CallError::Setup(format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// The login at `url`.
    pub(super) fn for_url(&self, url: &str) -> Option<KeptLogin> {
        self.0.get(&key(url)).cloned()
    }

    fn store(&self) -> Result<(), CallError> {
        let path = file()?;
        let failed =
            |error: std::io::Error| CallError::Setup(format!("cannot write {}: {error}", path.display()));
        if let Some(directory) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        let beside = path.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        std::fs::rename(&beside, &path).map_err(failed)
    }
}

/// Where logins are kept (XDG Base Directory Specification).
fn file() -> Result<PathBuf, CallError> {
    let directory = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    directory("XDG_CONFIG_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("sitewarden").join("logins.json"))
        .ok_or_else(|| CallError::Setup("HOME is not set: there is no place to keep logins".to_owned()))
}
