//! Why a command did not do its work, and the exit code that follows.

use super::screen::{Ended, Unanswered, complain};
use crate::config::ConfigError;
use crate::outbound::ClientError;

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The server was not asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server said no.
    #[error("{reason}")]
    Refused {
        /// Why, in its words.
        reason: String,
        /// What a command may have to tell apart.
        refusal: Refusal,
    },
    /// The command cannot work as things are.
    #[error("{0}")]
    Failed(String),
    /// The command cannot work as called; wrong usage.
    #[error("{0}")]
    Usage(String),
}

/// What the server said no to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Whoever asks: whatever is asked next will be refused too (401).
    Caller,
    /// Something that is not there (404).
    Missing,
    /// Something that is not as it was expected to be (409).
    Conflict,
    /// Anything, for now (503).
    Unavailable,
    /// What was asked, in any other way.
    Request,
}

impl CommandError {
    /// Says why on stderr, and how the command ends.
    pub(super) fn tell(&self) -> Ended {
        complain(self);
        match self {
            Self::Client(ClientError::BadUrl(_)) | Self::Usage(_) => Ended::Misused,
            Self::Client(ClientError::Roots { .. } | ClientError::Stranger { .. }) | Self::Failed(_) => {
                Ended::Failed
            }
            Self::Client(ClientError::NotTrusted(_) | ClientError::Unreachable { .. })
            | Self::Refused { refusal: Refusal::Unavailable, .. } => Ended::Unreachable,
            Self::Refused { .. } => Ended::Failed,
        }
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Unanswered> for CommandError {
    fn from(error: Unanswered) -> Self {
        Self::Failed(error.to_string())
    }
}
