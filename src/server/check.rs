//! What can be refused before anything is made.

use super::error::StartError;
use super::tls::Pair;
use super::{acme, control, data_dir, signing_key};
use crate::config::{Config, TlsMode};

/// Refuses what is configured and cannot work, as far as that can be told
/// without making, binding or opening anything: a start that is refused for it
/// leaves nothing behind, and `config check` can say so beforehand.
///
/// # Errors
/// [`StartError`] for the first thing that is wrong.
pub fn check(config: &Config) -> Result<(), StartError> {
    match &config.tls {
        TlsMode::Files { cert, key } => drop(Pair::from_files(cert, key)?),
        TlsMode::Acme(settings) => acme::check(settings)?,
        TlsMode::SelfSigned | TlsMode::Off => {}
    }
    signing_key::given(config)?;
    control::check_path(&config.control_socket)?;
    data_dir::check(&config.data_dir)
}
