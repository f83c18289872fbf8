//! `sitewarden site add`

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::said::Said;
use crate::cli::client::{Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;
use crate::cli::values::write_moment;
use crate::domain::Moment;

/// Register a site and print its id and key; the key is shown this once
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What you call it
    #[arg(long)]
    name: String,
    /// Who owns it
    #[arg(long, default_value = "")]
    owner: String,
    /// Whom to write to
    #[arg(long)]
    email: String,
    /// The last day of its licence, such as 2030-12-31, or a time at which it
    /// expires, such as 2030-12-31T00:00:00Z
    #[arg(long, value_name = "DATE|TIME")]
    expires: Moment,
    #[command(flatten)]
    said: Box<Said>,
}

#[derive(Deserialize)]
struct Registered {
    #[serde(deserialize_with = "needed")]
    site_id: Shown,
    #[serde(deserialize_with = "needed")]
    secret_key: Shown,
}

impl Add {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let body = json!({
            "name": self.name,
            "owner_name": self.owner,
            "contact_email": self.email,
        });
        let mut body = body.as_object().cloned().unwrap_or_default();
        write_moment(&mut body, Some(self.expires), "license_expires_at", "license_expires_on");
        self.said.write(&mut body);
        let body = Value::Object(body);
        let answer = target.client()?.create("/api/sites", &body)?;
        let Registered { site_id, secret_key } = answer.read()?;
        let words = format!(
            "site_id    {site_id}\nsecret_key {secret_key}\nnote the secret_key now: it is not shown again\n"
        );
        Ok(target.tell(&answer.body, &words))
    }
}
