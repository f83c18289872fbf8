//! `sitewarden serve`

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::Args;
use tracing::level_filters::LevelFilter;

use super::environment::environment;
use super::screen::{Ended, complain};
use crate::config::{
    Config, ConfigError, LOG_FORMATS, LOG_LEVELS, Log, Override, TLS_MODES, variables_of_others,
};
use crate::server::{self, Reload};
use crate::telemetry::{self, Announcer, RunningLog};

/// Run the server, until SIGTERM or SIGINT
///
/// Settings come from the file, then from the environment (SITEWARDEN_…), then
/// from the flags, each over the one before. Without any it serves HTTPS on
/// port 8443 with a certificate of its own and stores its data in ./data.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is stored [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address and port to serve on, several comma-separated; port 0 picks a
    /// free one [default: [::]:8443]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Where the certificate comes from [default: self-signed]
    #[arg(long, value_name = "MODE", value_parser = TLS_MODES)]
    tls_mode: Option<String>,
    /// Certificate chain (PEM), for --tls-mode files
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Private key (PEM), for --tls-mode files
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// What is logged, from the gravest on [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = LOG_LEVELS)]
    log_level: Option<String>,
    /// The form of a log line; auto: text on a terminal, else JSON [default:
    /// auto]
    #[arg(long, value_name = "FORMAT", value_parser = LOG_FORMATS)]
    log_format: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> Ended {
        let flags = [
            ("data_dir", "--data-dir", self.data_dir),
            ("listen", "--listen", self.listen),
            ("tls.mode", "--tls-mode", self.tls_mode),
            ("tls.cert", "--tls-cert", self.tls_cert),
            ("tls.key", "--tls-key", self.tls_key),
            ("log.level", "--log-level", self.log_level),
            ("log.format", "--log-format", self.log_format),
        ];
        let flags: Vec<_> = flags
            .into_iter()
            .filter_map(|(key, flag, text)| {
                Some(Override { key: key.to_owned(), text: text?, place: format!("the flag {flag}") })
            })
            .collect();
        let file = self.config;
        let config = match Config::load(file.as_deref(), environment(), flags.iter().cloned()) {
            Ok(config) => config,
            Err(error) => return refused_settings(file.as_deref(), flags, &error),
        };
        let load = move || Config::load(file.as_deref(), environment(), flags.iter().cloned());
        let log = match telemetry::start(&config.log) {
            Ok(log) => log,
            Err(error) => {
                complain(format!("cannot start the thread that writes the log: {error}"));
                return Ended::Failed;
            }
        };
        for variable in variables_of_others(environment()) {
            tracing::info!(variable, "this variable is no setting, and is left alone");
        }
        let reload = Reload { load: Box::new(load), log };
        match server::run(&config, &reload) {
            Ok(()) => Ended::Done,
            Err(error) => refused(&reload.log, &error),
        }
    }
}

/// Says why the server did not start: in the log where that is JSON, which no
/// program should have to look beside, else in words.
fn refused(log: &RunningLog, error: &dyn Display) -> Ended {
    if log.announcer() == Announcer::Json {
        tracing::error!(%error, "the server did not start");
    } else {
        log.flush();
        complain(error);
    }
    Ended::Failed
}

/// As [`refused`], where the settings were: in the form of the log that can be
/// read of them.
fn refused_settings(file: Option<&Path>, flags: Vec<Override>, error: &ConfigError) -> Ended {
    let format = Config::log_format(file, environment(), flags);
    match telemetry::start(&Log { level: LevelFilter::ERROR, format }) {
        Ok(log) => refused(&log, error),
        Err(_) => {
            complain(error);
            Ended::Failed
        }
    }
}
