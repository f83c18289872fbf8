//! `sitewarden token rm`

use clap::Args;
use serde_json::json;

use super::path::PATH;
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

/// End a token; it opens nothing any more from then on
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Its number, as sitewarden token list shows it
    id: u64,
}

impl Remove {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let Self { id } = self;
        target.client()?.delete(&format!("{}/{id}", PATH))?;
        Ok(target.tell(&json!({ "id": id }), &format!("ended token {id}\n")))
    }
}
