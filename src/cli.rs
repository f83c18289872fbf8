//! The command line: one file for each command of the first level; `site` and
//! `tls` hold their own verbs, but for those that are long.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1
//! refused or failed, 2 wrong usage, 3 server not reachable; `heartbeat`
//! adds 10.

mod admin;
mod at_rest;
mod audit;
mod backup;
mod batch;
mod cell;
mod check;
mod completions;
mod configuration;
mod daemon;
mod export;
mod extend;
mod healthcheck;
mod heartbeat;
mod import;
mod login;
mod manpages;
mod openapi;
mod password;
mod path;
mod printable;
mod restore;
mod serve;
mod site;
mod table;
mod tls;

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

use self::daemon::{CallError, PACKAGED_CONFIG, Target};
use crate::config::{Config, Override};

/// Licence server for software that runs at many sites.
#[derive(Debug, Parser)]
#[command(name = "sitewarden", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    /// Sites: register them, extend their licences, lock and unlock them
    Site {
        #[command(subcommand)]
        command: site::Site,
        #[command(flatten)]
        target: Target,
    },
    /// Admins: who may log in; also while the server is down
    Admin {
        #[command(subcommand)]
        command: admin::Admin,
        /// Where the database lies, for when the server is down [default: as
        /// configured]
        #[arg(long, global = true, value_name = "DIR", help_heading = "Server")]
        data_dir: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show who changed what, newest first
    Audit {
        #[command(flatten)]
        command: audit::Audit,
        #[command(flatten)]
        target: Target,
    },
    /// Copy the whole database into one file, while the server runs or while
    /// it is down
    Backup {
        #[command(flatten)]
        command: backup::Backup,
        #[command(flatten)]
        target: Target,
    },
    Check(check::Check),
    Restore(restore::Restore),
    /// Log in to a server elsewhere, so that other commands can use --url
    Login {
        #[command(flatten)]
        command: login::Login,
        #[command(flatten)]
        target: Target,
    },
    /// The certificate: how it stands, and renewing it
    Tls {
        #[command(subcommand)]
        command: tls::Tls,
        #[command(flatten)]
        target: Target,
    },
    /// Ask the server whether it is well
    Healthcheck {
        #[command(flatten)]
        target: Target,
    },
    /// The configuration
    Config {
        #[command(subcommand)]
        command: configuration::Configuration,
        #[command(flatten)]
        target: Target,
    },
    Heartbeat(heartbeat::SendHeartbeat),
    Openapi(openapi::Openapi),
    Completions(completions::Completions),
    /// Write the man pages of all commands into a directory
    #[command(hide = true)]
    Manpages {
        /// The directory
        directory: PathBuf,
    },
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// 0
    Done,
    /// 1: refused, or failed.
    Failed,
    /// 2: wrong usage.
    Misused,
    /// 3: the server cannot be reached, or cannot answer now.
    Unreachable,
    /// 10: a heartbeat learnt that the site is locked or not licensed.
    NotAllowed,
}

impl Arguments {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        let ended = match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Site { command, target } => command.run(&target),
            Command::Admin { command, data_dir, target } => command.run(&target, data_dir),
            Command::Audit { command, target } => command.run(&target),
            Command::Backup { command, target } => command.run(&target),
            Command::Check(check) => check.run(),
            Command::Restore(restore) => restore.run(),
            Command::Login { command, target } => command.run(&target),
            Command::Tls { command, target } => command.run(&target),
            Command::Healthcheck { target } => healthcheck::run(&target),
            Command::Config { command, target } => command.run(&target),
            Command::Heartbeat(heartbeat) => heartbeat.run(),
            Command::Openapi(openapi) => openapi.run(),
            Command::Completions(completions) => completions.run(),
            Command::Manpages { directory } => manpages::run(&directory),
        };
        ExitCode::from(match ended {
            Ended::Done => 0,
            Ended::Failed => 1,
            Ended::Misused => 2,
            Ended::Unreachable => 3,
            Ended::NotAllowed => 10,
        })
    }
}

/// A result for people, on stdout, with nothing in it that a terminal obeys.
fn print(text: &str) -> Ended {
    print_as_it_is(&printable::lines(text))
}

/// A result for programs, on stdout.
fn print_json(document: &Value) -> Ended {
    print_as_it_is(&printable::json(document))
}

/// A result that is all our own, on stdout. A reader that went away ends the
/// command quietly.
fn print_as_it_is(text: &str) -> Ended {
    use io::Write as _;
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ended::Done,
        Err(_) => Ended::Failed,
    }
}

/// Why a command did not do its work, on stderr, in one line: parts of it may
/// be a server's.
#[expect(clippy::print_stderr, reason = "diagnostics of the command line")]
fn complain(reason: impl Display) {
    eprintln!("sitewarden: {}", printable::line(&reason.to_string()));
}

/// A variable of the environment, unless it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The environment, as settings are read from it. A variable whose value is no
/// text cannot be a setting of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Where the server on this host keeps its database: `given`, or as `file`,
/// or else the packaged configuration, tells.
fn data_dir(file: Option<&Path>, given: Option<String>) -> Result<PathBuf, CallError> {
    Ok(host_config(file, given)?.data_dir)
}

/// How the server on this host is configured, with this data directory in
/// place of that of `file`, where one is given.
fn host_config(file: Option<&Path>, data_dir: Option<String>) -> Result<Config, CallError> {
    let packaged = Path::new(PACKAGED_CONFIG);
    let file = file.or_else(|| packaged.exists().then_some(packaged));
    let given = data_dir.map(|text| Override {
        key: "data_dir".to_owned(),
        text,
        place: "the flag --data-dir".to_owned(),
    });
    Config::load(file, environment(), given).map_err(|error| CallError::Setup(error.to_string()))
}

/// Asks a person; only `y` or `yes` is a yes.
///
/// # Errors
/// Where nobody can be asked.
#[expect(clippy::print_stderr, reason = "a question to the person at the terminal")]
fn confirm(question: &str) -> Result<bool, CallError> {
    if !io::stdin().is_terminal() {
        return Err(CallError::Setup("nobody to ask: give --yes to do it all the same".to_owned()));
    }
    eprint!("{} [y/N] ", printable::line(question));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| CallError::Setup(error.to_string()))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A field of an answer as one line for people.
fn shown(document: &Value, name: &str) -> String {
    printable::line(&field(document, name))
}

/// A field of an answer as text: nothing for null, a string as it is.
fn field(document: &Value, name: &str) -> String {
    match document.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
