//! The command line: one file per verb.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1
//! refused or failed, 2 wrong usage, 3 server not reachable; `heartbeat`
//! adds 10.

mod client;
mod heartbeat;
mod openapi;
mod serve;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Licence server for software that runs at many sites.
#[derive(Debug, Parser)]
#[command(name = "sitewarden", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Openapi(openapi::Openapi),
    Heartbeat(heartbeat::SendHeartbeat),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// 0
    Done,
    /// 1: refused, or failed.
    Failed,
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
            Command::Openapi(openapi) => openapi.run(),
            Command::Heartbeat(heartbeat) => heartbeat.run(),
        };
        ExitCode::from(match ended {
            Ended::Done => 0,
            Ended::Failed => 1,
            Ended::Unreachable => 3,
            Ended::NotAllowed => 10,
        })
    }
}

/// A result, on stdout. A reader that went away ends the command quietly.
fn print(text: &str) -> Ended {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ended::Done,
        Err(_) => Ended::Failed,
    }
}

/// Why a command did not do its work, on stderr.
#[expect(clippy::print_stderr, reason = "diagnostics of the command line")]
fn complain(reason: impl Display) {
    eprintln!("sitewarden: {reason}");
}
