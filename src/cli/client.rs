//! The server that a command speaks to, or its database where it is down.

mod at_rest;
mod transport;

pub(super) use self::at_rest::{Work, act_as_owner};
pub(super) use self::transport::{CallError, Daemon, Target, in_clear, no_database, server_at};
