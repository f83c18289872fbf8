//! Who sent a request, as far as that has been proved.

use std::sync::{Arc, OnceLock};

use crate::domain::{Actor, ActorKind};

/// Who proved to have sent a request, for its line in the log. Put into each
/// request here, filled in by whoever checks the proof.
#[derive(Debug, Clone, Default)]
pub(super) struct ProvedSender(Arc<OnceLock<Actor>>);

impl ProvedSender {
    /// Notes it; only the first counts.
    pub(super) fn note(&self, actor: &Actor) {
        let _ = self.0.set(actor.clone());
    }

    /// The name, where it is one of this kind.
    pub(super) fn named(&self, wanted: ActorKind) -> Option<&str> {
        self.0.get().filter(|actor| actor.kind == wanted).map(|actor| actor.name.as_str())
    }

    /// What the token is called, where it was sent with one for programs.
    pub(super) fn token(&self) -> Option<&str> {
        self.0.get()?.token.as_deref()
    }
}
