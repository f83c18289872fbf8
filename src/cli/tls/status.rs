//! `sitewarden tls status`

use super::certificate;
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;

pub(crate) fn run(target: &Target) -> Result<Ended, CommandError> {
    let (said, status) = certificate::fetch(&target.client()?)?;
    Ok(target.tell(&said, &status.text()))
}
