//! How the certificate stands, as the server tells it.

use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::{Client, Shown, needed};
use crate::cli::error::CommandError;

/// What the server tells of its certificate.
#[derive(Deserialize)]
pub(crate) struct CertificateStatus {
    #[serde(deserialize_with = "needed")]
    mode: Shown,
    #[serde(default)]
    names: Vec<Shown>,
    #[serde(default)]
    issuer: Shown,
    #[serde(default)]
    not_before: Shown,
    #[serde(default)]
    not_after: Shown,
    #[serde(default)]
    next_renewal: Shown,
    #[serde(default)]
    warning: Shown,
    #[serde(default)]
    last_error: Shown,
    /// Whether a new one is being asked for.
    #[serde(default)]
    pub(crate) renewing: bool,
}

/// What the server says, and what of it is understood.
///
/// # Errors
/// Where it says nothing of the kind.
pub(crate) fn fetch(client: &Client) -> Result<(Value, CertificateStatus), CommandError> {
    let answer = client.get("/api/tls")?;
    let status = answer.read()?;
    Ok((answer.body, status))
}

impl CertificateStatus {
    /// Whether the last renewal came to nothing.
    pub(crate) fn has_failed(&self) -> bool {
        !self.last_error.as_sent().is_empty()
    }

    /// For people, one field a line.
    pub(crate) fn text(&self) -> String {
        let names: Vec<String> = self.names.iter().map(Shown::to_string).collect();
        [
            ("Mode", self.mode.to_string()),
            ("Names", names.join(", ")),
            ("Issuer", self.issuer.to_string()),
            ("Begins", self.not_before.to_string()),
            ("Ends", self.not_after.to_string()),
            ("Next renewal", self.next_renewal.to_string()),
            ("Warning", self.warning.to_string()),
            ("Last error", self.last_error.to_string()),
        ]
        .map(|(title, value)| format!("{title:<13} {}\n", if value.is_empty() { "-" } else { &value }))
        .concat()
    }
}
