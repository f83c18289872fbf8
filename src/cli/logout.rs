//! `sitewarden logout`: ends a login elsewhere, and forgets its token.

use serde_json::json;

use super::client::{StoredLogins, Target};
use super::error::CommandError;
use super::screen::{Ended, complain};

/// Ends the stored login at the server that `target` names.
pub(super) fn run(target: &Target) -> Ended {
    let Some(url) = target.url(None) else {
        complain("say where to log out: --url https://… or SITEWARDEN_URL");
        return Ended::Misused;
    };
    log_out(&url, target).unwrap_or_else(|error| error.tell())
}

fn log_out(url: &str, target: &Target) -> Result<Ended, CommandError> {
    let client = target.client()?;
    // Forgotten even where it has ended already.
    let ended = client.post_for_nothing("/api/auth/logout");
    StoredLogins::load()?.forget(url)?;
    ended?;
    Ok(target.tell(&json!({ "url": url }), &format!("logged out at {url}\n")))
}
