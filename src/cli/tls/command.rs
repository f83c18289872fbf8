//! The verbs, and which of them runs.

use clap::Subcommand;

use super::{renew, status};
use crate::cli::client::Target;
use crate::cli::screen::Ended;

/// The certificate.
#[derive(Debug, Subcommand)]
pub(crate) enum Tls {
    /// Show names, issuer, validity, next renewal and the last error
    Status,
    /// Renew the certificate now (tls.mode "acme"), and wait for the outcome
    Renew,
}

impl Tls {
    pub(crate) fn run(&self, target: &Target) -> Ended {
        let ended = match self {
            Self::Status => status::run(target),
            Self::Renew => renew::run(target),
        };
        ended.unwrap_or_else(|error| error.tell())
    }
}
