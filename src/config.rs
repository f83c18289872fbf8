//! Configuration: a TOML file, then the environment, then flags, each over
//! the one before, into one struct that is handed down.
//!
//! Every layer is held against the defaults before anything is used: a key
//! that is not there, or a value of another type, is refused by name and
//! place. The environment name of `a.b` is `SITEWARDEN_A__B`; a list is
//! comma-separated there. What becomes of variables that are no settings is
//! told in `variables`.

mod error;
mod layers;
mod load;
mod resolved;
mod rules;
mod settings;
mod variables;

pub use self::error::ConfigError;
pub use self::layers::Override;
pub use self::resolved::{
    Acme, Config, ExternalAccount, KeptBackups, Limits, Log, LogFormat, TlsMode, TrustedHeader,
};
pub use self::settings::{CONTROL_SOCKET, LOG_FORMATS, LOG_LEVELS, Settings, TLS_MODES};
pub use self::variables::variables_of_others;
