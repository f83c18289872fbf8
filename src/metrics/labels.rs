//! What is told apart in labels.

use crate::domain::{CodeRefused, Means};
use crate::store::{CodeFault, CodeOutcome};

/// What became of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatOutcome {
    /// The site may work.
    Licensed,
    /// It is locked.
    Locked,
    /// It is not licensed.
    Unlicensed,
    /// Id or key was wrong.
    Refused,
    /// It came too soon.
    Throttled,
}

impl HeartbeatOutcome {
    /// Its name in the label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Licensed => "licensed",
            Self::Locked => "locked",
            Self::Unlicensed => "unlicensed",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
        }
    }
}

/// What became of a code that followed a right password, or came with a token.
pub(super) fn code_outcome(outcome: &CodeOutcome) -> Option<&'static str> {
    match outcome {
        CodeOutcome::Opened(session) => match session.means {
            Means::Password => None,
            Means::PasswordAndOtp => Some("app"),
            Means::PasswordAndRecoveryCode => Some("recovery_code"),
        },
        CodeOutcome::Refused(fault) => match fault {
            CodeFault::Gone | CodeFault::NoFactor => None,
            CodeFault::Missing => Some("missing"),
            CodeFault::Code(CodeRefused::Wrong | CodeRefused::Pauses) => Some("wrong"),
            CodeFault::Code(CodeRefused::Paused) => Some("paused"),
        },
    }
}

/// A limit that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// Failed logins.
    Login,
    /// Logins that wait to be checked.
    Queue,
    /// Heartbeats of a site.
    Site,
    /// Failed heartbeats of an address.
    Address,
    /// Connections of an address.
    Connection,
    /// Connections in all: an idle one gave way.
    Place,
    /// Bytes held for a connection.
    HeldByConnection,
    /// Bytes held for an address.
    HeldByAddress,
    /// Bytes held in all.
    Held,
}

impl Throttle {
    /// Its name in the label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Queue => "login_queue",
            Self::Site => "heartbeat_site",
            Self::Address => "heartbeat_address",
            Self::Connection => "connection_address",
            Self::Place => "connection_idle",
            Self::HeldByConnection => "held_connection",
            Self::HeldByAddress => "held_address",
            Self::Held => "held",
        }
    }
}
