//! Which server a command talks to.
//!
//! Without `--url` it is the one on this host, over its control socket,
//! without a password; `admin` works on its database where it is down. With
//! `--url`, or SITEWARDEN_URL, it is any server, with the token that
//! `sitewarden login` stored, that a file holds, or SITEWARDEN_TOKEN. A flag
//! that only the server on this host has a use for (`--socket`, `--config`,
//! `--data-dir`) means that one, whatever the variable says.
//!
//! # Which socket is trusted
//! Passwords and secrets go to the control socket, so it must be the right
//! server's. One that was named is: by `--socket` or `--data-dir`, or by an
//! absolute path in the configuration or the environment, as the package's
//! is, whoever the service's user may be. `./data/control.sock` depends on
//! the current directory, which may be a stranger's: it is used only where
//! root or the same user listens behind it, and the file is theirs.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::at_rest::{Access, AtRest};
use super::logins::{StoredLogins, TokenSource, token_in};
use super::transport::Client;
use crate::cli::environment::{CACERT_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE, variable};
use crate::cli::error::CommandError;
use crate::cli::host::{self, PACKAGED_SOCKET};
use crate::cli::screen::{Ended, complain, print, print_json};
use crate::config::CONTROL_SOCKET;
use crate::outbound::{ClientError, Server, check_peer};
use crate::server::StartError;
use crate::store::{FILE_NAME, OpenError};

/// Which server a command talks to.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// A server elsewhere, such as https://licences.example.com; log in with
    /// `sitewarden login` first [default: the variable SITEWARDEN_URL, unless a
    /// flag names the server on this host]
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    url: Option<String>,
    /// Certificates to trust (PEM), in place of the system's authorities
    /// [default: the variable SITEWARDEN_CACERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    cacert: Option<PathBuf>,
    /// A file with the access token or the token for programs for --url, in
    /// place of the kept login; - reads it from standard input [default: the
    /// variable SITEWARDEN_TOKEN]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    token: Option<PathBuf>,
    /// The control socket of the server on this host
    #[arg(long, global = true, value_name = "PATH", help_heading = "Server")]
    socket: Option<PathBuf>,
    /// The configuration of the server on this host, which tells its socket
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Target {
    /// The URL that is meant; `None`: the server on this host.
    pub(crate) fn url(&self, data_dir: Option<&str>) -> Option<String> {
        let on_this_host = self.socket.is_some() || self.config.is_some() || data_dir.is_some();
        self.url.clone().or_else(|| variable(URL_VARIABLE).filter(|_| !on_this_host))
    }

    /// The certificates to trust that were given.
    pub(crate) fn cacert(&self) -> Option<PathBuf> {
        self.cacert.clone().or_else(|| variable(CACERT_VARIABLE).map(PathBuf::from))
    }

    /// Prints what was done: the document with --json, else words for people.
    pub(crate) fn tell(&self, document: &Value, words: &str) -> Ended {
        if self.json { print_json(document) } else { print(words) }
    }

    /// The server that is meant, for a question that anybody may ask.
    pub(crate) fn open_client(&self) -> Result<Client, CommandError> {
        match self.url(None) {
            Some(url) => {
                let login = StoredLogins::load().ok().and_then(|logins| logins.for_url(&url));
                let cacert = self.cacert().or_else(|| login.and_then(|login| login.cacert));
                Client::at(&url, cacert)
            }
            None => self.client(),
        }
    }

    /// The server that is meant.
    pub(crate) fn client(&self) -> Result<Client, CommandError> {
        self.client_of(None)
    }

    /// The server that is meant, where `data_dir` may name the one whose data
    /// lie there.
    pub(crate) fn client_of(&self, data_dir: Option<&str>) -> Result<Client, CommandError> {
        let Some(url) = &self.url(data_dir) else {
            if self.token.is_some() {
                let words = "--token is for --url: on the server's own host no token is needed";
                return Err(CommandError::Usage(words.to_owned()));
            }
            return Client::of(self.socket(data_dir)?);
        };
        // Before anybody is sent to log in there.
        Server::at(url, None)?;
        let given = match &self.token {
            Some(file) => Some((token_in(file)?, TokenSource::Flag)),
            None => variable(TOKEN_VARIABLE).map(|token| (token, TokenSource::Variable)),
        };
        // A program that has a token may have no home.
        let logins = StoredLogins::load();
        let logins = if given.is_some() { logins.ok() } else { Some(logins?) };
        let login = logins.and_then(|logins| logins.for_url(url));
        let cacert = self.cacert().or_else(|| login.as_ref().and_then(|login| login.cacert.clone()));
        let stored = login.map(|login| (login.access_token, TokenSource::Login));
        let (token, source) = given.or(stored).ok_or_else(|| {
            CommandError::Failed(match self.url {
                Some(_) => format!("not logged in at {url}: run sitewarden login --url {url} first"),
                None => format!(
                    "not logged in at {url}, which {URL_VARIABLE} names: run sitewarden login first; for the \
                     server on this host, unset the variable or give --socket or --config"
                ),
            })
        })?;
        Ok(Client::at(url, cacert)?.with_token(token, source))
    }

    /// The server that is meant, or its database where it is the one on this
    /// host and is down. A socket that was named says nothing of where the
    /// database lies.
    pub(crate) fn client_or_database(
        &self,
        data_dir: Option<String>,
        access: Access,
    ) -> Result<Client, CommandError> {
        let client = self.client_of(data_dir.as_deref())?;
        let Some((socket, socket_named)) = client.socket() else {
            return Ok(client);
        };
        if let Ok(stream) = UnixStream::connect(socket) {
            // Before anybody is asked for a password.
            check_peer(socket, socket_named, &stream)?;
            return Ok(client);
        }
        if self.socket.is_some() && data_dir.is_none() {
            return Ok(client);
        }
        let named = data_dir.is_some();
        let config = host::config(self.config.as_deref(), data_dir)?;
        match AtRest::open(&config, access) {
            Ok(Some(database)) => {
                complain(format!("no server runs: working on the database in {}", config.data_dir.display()));
                Ok(client.at_rest(database))
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
            // Not where one may not look, or where a socket is that nobody answers.
            Ok(None) if is_missing(socket) && is_missing(&config.data_dir.join(FILE_NAME)) => {
                Err(CommandError::Failed(format!(
                    "there is no server and no database in {}; start one with sitewarden serve, or name its \
                     directory with --data-dir",
                    config.data_dir.display()
                )))
            }
            // Asking it tells why it does not answer.
            Ok(None) => Ok(client),
            Err(StartError::Open(OpenError::Io { source, .. }))
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Ok(client)
            }
            Err(error) => Err(CommandError::Failed(error.to_string())),
        }
    }

    /// The control socket: the one given, or that of the server whose data lie
    /// in `data_dir`, or that of the configuration; with none of them, that of
    /// a server started in this directory, else that of the package.
    fn socket(&self, data_dir: Option<&str>) -> Result<Server, CommandError> {
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

fn is_missing(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

fn is_same_place(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Why nothing can be done in a directory that was named.
pub(crate) fn no_database(directory: &Path) -> CommandError {
    let place = directory.display();
    CommandError::Failed(match directory.join(FILE_NAME).try_exists() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("cannot look into {place}: {error}")
        }
        _ if !directory.is_dir() => format!("there is no directory {place}: check --data-dir"),
        _ => format!(
            "there is no database in {place} (no {FILE_NAME}), and no server runs there: check --data-dir"
        ),
    })
}
