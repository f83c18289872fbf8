//! What tells the server to stop or to read its configuration again.

use tokio::signal::unix::{self, SignalKind, signal};

use super::error::StartError;

/// What the system or an operator wants.
pub(super) enum Signal {
    /// SIGTERM or SIGINT, by name.
    Stop(&'static str),
    /// SIGHUP.
    Reload,
}

/// The signals that the server takes.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    /// Takes them from now on, in place of ending at once.
    ///
    /// # Errors
    /// [`StartError::System`].
    pub(super) fn new() -> Result<Self, StartError> {
        let listen =
            |kind| signal(kind).map_err(|source| StartError::System { what: "listen for signals", source });
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// The next one that comes.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}
