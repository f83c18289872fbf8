//! `sitewarden tls`

use std::time::{Duration, Instant};

use clap::Subcommand;
use hyper::Method;
use serde_json::Value;

use super::daemon::{CallError, Daemon, Target};
use super::{Ended, complain, field, print, print_json, printable, shown};

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

fn ask(daemon: &Daemon) -> Result<Value, CallError> {
    Ok(daemon.call(Method::GET, "/api/tls", None)?.body)
}

fn status(target: &Target) -> Result<Ended, CallError> {
    Ok(show(target, &ask(&target.daemon()?)?))
}

fn renew(target: &Target) -> Result<Ended, CallError> {
    let daemon = target.daemon()?;
    daemon.call(Method::POST, "/api/tls/renew", None)?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        wait();
        let standing = ask(&daemon)?;
        if standing.get("renewing") != Some(&Value::Bool(true)) {
            let shown = show(target, &standing);
            let failed = !field(&standing, "last_error").is_empty();
            return Ok(if failed { Ended::Failed } else { shown });
        }
    }
    complain("the renewal goes on; sitewarden tls status tells how it ends");
    Ok(Ended::Failed)
}

/// Until the server is asked again.
#[expect(clippy::disallowed_methods, reason = "the server has to be asked: it tells nobody by itself")]
fn wait() {
    std::thread::sleep(LOOK);
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
