//! How the server on this host is configured, where the package put it or
//! where a flag says.

use std::path::{Path, PathBuf};

use super::environment::environment;
use crate::config::{Config, ConfigError, Override};

/// Where the packaged server has its control socket.
pub(super) const PACKAGED_SOCKET: &str = "/run/sitewarden/control.sock";
/// Where the packaged server has its configuration.
pub(super) const PACKAGED_CONFIG: &str = "/etc/sitewarden/sitewarden.toml";

/// The configuration file: `given`, or else the package's where there is one.
pub(super) fn config_file(given: Option<&Path>) -> Option<&Path> {
    let packaged = Path::new(PACKAGED_CONFIG);
    given.or_else(|| packaged.exists().then_some(packaged))
}

/// The configuration that `file`, or else the packaged one, and the
/// environment give, with this data directory in place of theirs, where one is
/// given.
///
/// # Errors
/// [`ConfigError`]
pub(super) fn config(file: Option<&Path>, data_dir: Option<String>) -> Result<Config, ConfigError> {
    let data_dir = data_dir.map(|text| Override {
        key: "data_dir".to_owned(),
        text,
        place: "the flag --data-dir".to_owned(),
    });
    Config::load(config_file(file), environment(), data_dir)
}

/// Where the server on this host stores its database.
///
/// # Errors
/// [`ConfigError`]
pub(super) fn data_dir(file: Option<&Path>, given: Option<String>) -> Result<PathBuf, ConfigError> {
    Ok(config(file, given)?.data_dir)
}
