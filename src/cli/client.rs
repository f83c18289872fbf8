//! The server that a command speaks to, or its database where it is down.

// Which server is meant, and with which token.
mod logins;
mod target;
// The way to it, and what it says.
mod answer;
mod at_rest;
mod transport;

pub(super) use self::answer::{Answer, Problem, Shown, needed, read};
pub(super) use self::at_rest::{Access, act_as_owner};
pub(super) use self::logins::{StoredLogin, StoredLogins};
pub(super) use self::target::{Target, no_database};
pub(super) use self::transport::Client;
