//! `sitewarden admin rotate-signing-key`

use serde_json::json;

use crate::cli::client::{Client, Target};
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

pub(crate) fn run(client: &Client, target: &Target) -> Result<Ended, CommandError> {
    client.post_for_nothing("/api/signing-key/rotate")?;
    let words = "replaced the key that signs logins; all logins have ended\n";
    Ok(target.tell(&json!({ "rotated": true }), words))
}
