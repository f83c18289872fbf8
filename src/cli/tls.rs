//! `sitewarden tls`

use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::Value;

use super::client::{Client, Target};
use super::error::CommandError;
use super::printable::{self, field, shown};
use super::screen::{Ended, complain, print, print_json};

/// How often a renewal is asked after.
const LOOK: Duration = Duration::from_secs(1);
/// For a renewal: what the server gives it, and a margin.
const PATIENCE: Duration = Duration::from_secs(360);

/// The certificate.
#[derive(Debug, Subcommand)]
pub(super) enum Tls {
    /// Show names, issuer, validity, next renewal and the last error
    Status,
    /// Renew the certificate now (tls.mode "acme"), and wait for the outcome
    Renew,
}

impl Tls {
    pub(super) fn run(&self, target: &Target) -> Ended {
        let ended = match self {
            Self::Status => status(target),
            Self::Renew => renew(target),
        };
        ended.unwrap_or_else(|error| error.tell())
    }
}

fn ask(client: &Client) -> Result<Value, CommandError> {
    Ok(client.get("/api/tls")?.body)
}

fn status(target: &Target) -> Result<Ended, CommandError> {
    Ok(show(target, &ask(&target.client()?)?))
}

fn renew(target: &Target) -> Result<Ended, CommandError> {
    let client = target.client()?;
    client.post("/api/tls/renew", None)?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
        let standing = ask(&client)?;
        if standing.get("renewing") != Some(&Value::Bool(true)) {
            let shown = show(target, &standing);
            let failed = !field(&standing, "last_error").is_empty();
            return Ok(if failed { Ended::Failed } else { shown });
        }
    }
    complain("the renewal goes on; sitewarden tls status tells how it ends");
    Ok(Ended::Failed)
}

fn show(target: &Target, standing: &Value) -> Ended {
    if target.json {
        return print_json(standing);
    }
    let names = standing.get("names").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> = names.filter_map(Value::as_str).map(printable::line).collect();
    let mut text = String::new();
    for (title, value) in [
        ("Mode", shown(standing, "mode")),
        ("Names", names.join(", ")),
        ("Issuer", shown(standing, "issuer")),
        ("Begins", shown(standing, "not_before")),
        ("Ends", shown(standing, "not_after")),
        ("Next renewal", shown(standing, "next_renewal")),
        ("Warning", shown(standing, "warning")),
        ("Last error", shown(standing, "last_error")),
    ] {
        let value = if value.is_empty() { "-" } else { &value };
        text.push_str(&format!("{title:<13} {value}\n"));
    }
    print(&text)
}
