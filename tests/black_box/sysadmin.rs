//! A running server, and the sysadmin who has logged in to it. What only the
//! tests of one part ask of it stands beside them.

use serde_json::Value;

use crate::client::{Answer, Call};
use crate::server::Server;

#[derive(Debug)]
pub(crate) struct Sysadmin {
    pub(crate) server: Server,
    pub(crate) token: String,
}

impl Sysadmin {
    /// On a server with nothing configured.
    pub(crate) fn start() -> Self {
        Self::of(Server::start())
    }

    pub(crate) fn of(server: Server) -> Self {
        Self { token: server.login(), server }
    }

    /// After a restart of the server; the token outlives it.
    pub(crate) fn restart(self) -> Self {
        Self { server: self.server.restart(), token: self.token }
    }

    /// A request with the sysadmin's token.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        self.server.call(method, path).bearer(&self.token)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send()
    }

    /// Registers a site with these fields in place of the usual.
    pub(crate) fn register(&self, fields: Value) -> Value {
        self.server.register_as(&self.token, &fields)
    }
}
