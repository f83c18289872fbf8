//! `sitewarden config check`

use clap::Subcommand;
use serde_json::json;

use super::daemon::{PACKAGED_CONFIG, Target};
use super::{Ended, complain, environment, print};
use crate::config::Config;

/// The configuration.
#[derive(Debug, Subcommand)]
pub(super) enum Configuration {
    /// Check the file (--config, else the packaged one where there is one) and
    /// the environment, as `serve` reads them; certificates and keys that they
    /// name are looked at when it starts
    Check,
}

impl Configuration {
    pub(super) fn run(&self, target: &Target) -> Ended {
        let Self::Check = self;
        let packaged = std::path::Path::new(PACKAGED_CONFIG);
        let file = target.config.as_deref().or_else(|| packaged.exists().then_some(packaged));
        match Config::load(file, environment(), []) {
            Ok(_) if target.json => print(&format!("{}\n", json!({ "file": file, "ok": true }))),
            Ok(_) => match file {
                Some(file) => print(&format!("{} is good\n", file.display())),
                None => print("no file; the environment is good\n"),
            },
            Err(error) => {
                complain(error);
                Ended::Failed
            }
        }
    }
}
