//! `sitewarden lease-key list`

use super::document::{PATH, show};
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

pub(crate) fn run(target: &Target) -> Result<Ended, CommandError> {
    let answer = target.client()?.get(PATH)?;
    let keys = answer.read()?;
    show(target, &answer.body, keys, "")
}
