//! `sitewarden config check`

use clap::Subcommand;
use serde_json::json;

use super::client::Target;
use super::environment::environment;
use super::host;
use super::screen::{Ended, complain, print, print_json};
use crate::clock;
use crate::config::variables_of_others;
use crate::server;

/// The configuration.
#[derive(Debug, Subcommand)]
pub(super) enum Configuration {
    /// Check the file (--config, else the packaged one where there is one) and
    /// the environment, with the certificates, keys and directory that they
    /// name, as `serve` does before it starts; run it as the user that runs
    /// the server, who may not be allowed to read what root can
    Check,
}

impl Configuration {
    pub(super) fn run(&self, target: &Target) -> Ended {
        let Self::Check = self;
        let file = host::config_file(target.config.as_deref());
        let config = host::config(file, None).map_err(|error| error.to_string());
        let checked = config.and_then(|config| {
            server::check(&config).map_err(|error| error.to_string())?;
            Ok(server::warnings(&config, clock::now()))
        });
        let warnings = match checked {
            Ok(warnings) => warnings,
            Err(reason) => {
                complain(reason);
                return Ended::Failed;
            }
        };
        for warning in &warnings {
            complain(format!("warning: {warning}"));
        }
        for variable in variables_of_others(environment()) {
            complain(format!("the variable {variable} is no setting, and is left alone"));
        }
        match file {
            _ if target.json => print_json(&json!({ "file": file, "ok": true, "warnings": warnings })),
            Some(file) => print(&format!("{} is good\n", file.display())),
            None => print("no file; the environment is good\n"),
        }
    }
}
