//! What can be typed: the commands, and which of them runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::client::Target;
use super::screen::Ended;
use super::{
    admin, audit, backup, check, complete_site, completions, configuration, healthcheck, heartbeat,
    lease_key, login, logout, manpages, openapi, restore, serve, site, statistics, tls, token,
};

/// Licence server for software that runs at many sites.
#[derive(Debug, Parser)]
#[command(name = "sitewarden", version, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    /// Sites: register them, extend their licences, lock and unlock them
    Site {
        #[command(subcommand)]
        command: Box<site::Site>,
        #[command(flatten)]
        target: Target,
    },
    /// Count the sites by status, version, owner and tag, and their heartbeats
    ///
    /// Also licences that end within 7, 14, 30 and 90 days, their grace
    /// included, and the heartbeats of all sites on each of the last 90 days.
    Statistics {
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
    /// Tokens for programs: a backup, monitoring, a shop that registers sites
    Token {
        #[command(subcommand)]
        command: token::Token,
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
    ///
    /// The file holds everything, the server's secrets too, but for the key that
    /// signs logins and the logins that failed; only you can read it. `sitewarden
    /// restore` puts it back. With - it goes to standard output as it comes;
    /// `sitewarden check` tells whether what arrived is good.
    Backup {
        #[command(flatten)]
        command: backup::Backup,
        #[command(flatten)]
        target: Target,
    },
    Check(check::Check),
    Restore(restore::Restore),
    /// Log in to a server elsewhere, so that other commands can use --url
    ///
    /// The token is stored under ~/.config/sitewarden, readable by you alone,
    /// and lasts as long as the server says (15 minutes by default).
    Login {
        #[command(flatten)]
        command: login::Login,
        #[command(flatten)]
        target: Target,
    },
    /// Log out of a server elsewhere, and forget the token
    Logout {
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
    /// The keys that sign leases: list them, replace them
    LeaseKey {
        #[command(subcommand)]
        command: lease_key::LeaseKey,
        #[command(flatten)]
        target: Target,
    },
    /// Ask the server whether it is well
    Healthcheck {
        #[command(flatten)]
        command: healthcheck::Healthcheck,
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
    /// For the scripts that `completions` prints
    #[command(hide = true)]
    CompleteSite(complete_site::CompleteSite),
    /// Write the man pages of all commands into a directory
    Manpages {
        /// The directory
        directory: PathBuf,
    },
}

/// Reads the command line and does what it says. Wrong usage ends the process.
pub fn run() -> ExitCode {
    Arguments::parse().run().into()
}

impl Arguments {
    fn run(self) -> Ended {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Site { command, target } => command.run(&target),
            Command::Statistics { target } => statistics::run(&target),
            Command::Admin { command, data_dir, target } => command.run(&target, data_dir),
            Command::Token { command, target } => command.run(&target),
            Command::Audit { command, target } => command.run(&target),
            Command::Backup { command, target } => command.run(&target),
            Command::Check(check) => check.run(),
            Command::Restore(restore) => restore.run(),
            Command::Login { command, target } => command.run(&target),
            Command::Logout { target } => logout::run(&target),
            Command::Tls { command, target } => command.run(&target),
            Command::LeaseKey { command, target } => command.run(&target),
            Command::Healthcheck { command, target } => command.run(&target),
            Command::Config { command, target } => command.run(&target),
            Command::Heartbeat(heartbeat) => heartbeat.run(),
            Command::Openapi(openapi) => openapi.run(),
            Command::CompleteSite(complete_site) => complete_site.run(&mut Self::command()),
            Command::Completions(completions) => completions.run(Self::command()),
            Command::Manpages { directory } => manpages::run(Self::command(), &directory),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
