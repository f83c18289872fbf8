//! The tokens that speak for a user elsewhere: those of `sitewarden login`, in
//! a file that this user alone can read, and those that `--token` names.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::error::CommandError;
use crate::cli::private_file;

/// The logins that are stored for this user, by URL.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredLogins(BTreeMap<String, StoredLogin>);

/// One of them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct StoredLogin {
    /// The token.
    pub(crate) access_token: String,
    /// Until when it is good.
    pub(crate) expires_at: String,
    /// What `--cacert` said at login.
    pub(crate) cacert: Option<PathBuf>,
}

impl std::fmt::Debug for StoredLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredLogin(until {})", self.expires_at)
    }
}

/// Where a token came from, for what to do where it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// `sitewarden login` stored it.
    Login,
    /// `--token` named the file, or standard input.
    Flag,
    /// SITEWARDEN_TOKEN.
    Variable,
}

impl TokenSource {
    /// Why it was refused, as far as can be told from here, and what to do.
    pub(super) fn refused(self) -> &'static str {
        match self {
            Self::Login => "the login has expired or is not valid any more: run sitewarden login again",
            Self::Flag => {
                "the token that --token gives has expired or is not valid: give another, or leave --token out to \
                 use the stored login"
            }
            Self::Variable => {
                "the token in SITEWARDEN_TOKEN has expired or is not valid: set another, or unset the variable to \
                 use the stored login"
            }
        }
    }
}

fn key(url: &str) -> String {
    url.trim_end_matches('/').to_ascii_lowercase()
}

impl StoredLogins {
    /// What is stored; nothing when there is no file.
    pub(crate) fn load() -> Result<Self, CommandError> {
        let path = file()?;
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
                CommandError::Failed(format!("{} is damaged: delete it and log in again", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CommandError::Failed(format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// The login at `url`.
    pub(crate) fn for_url(&self, url: &str) -> Option<StoredLogin> {
        self.0.get(&key(url)).cloned()
    }

    /// Stores a login at `url`, in place of an earlier one.
    pub(crate) fn store(mut self, url: &str, login: StoredLogin) -> Result<(), CommandError> {
        self.0.insert(key(url), login);
        self.write()
    }

    /// Forgets the login at `url`.
    pub(crate) fn forget(mut self, url: &str) -> Result<(), CommandError> {
        self.0.remove(&key(url));
        self.write()
    }

    fn write(&self) -> Result<(), CommandError> {
        let path = file()?;
        let failed =
            |error: io::Error| CommandError::Failed(format!("cannot write {}: {error}", path.display()));
        if let Some(directory) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        let beside = path.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        let mut file = private_file::create(&beside).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        std::fs::rename(&beside, &path).map_err(failed)
    }
}

/// Where logins are stored (XDG Base Directory Specification).
fn file() -> Result<PathBuf, CommandError> {
    let directory = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    directory("XDG_CONFIG_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("sitewarden").join("logins.json"))
        .ok_or_else(|| CommandError::Failed("HOME is not set: there is no place to keep logins".to_owned()))
}

/// The token in a file, or on standard input. What is no file may be the token
/// itself, given where every user of the host can read it: it is not repeated.
pub(super) fn token_in(file: &Path) -> Result<String, CommandError> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| {
        CommandError::Failed(format!(
            "cannot read the file that --token names: {error}; give a file that holds the token, or - for \
             standard input"
        ))
    })?;
    Some(text.trim().to_owned())
        .filter(|token| !token.is_empty())
        .ok_or_else(|| CommandError::Failed("--token: there is no token in it".to_owned()))
}
