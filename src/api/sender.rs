//! Who sent a request, as far as that has been proved.

use std::sync::{Arc, OnceLock};

use crate::domain::ActorKind;

/// Who proved to have sent a request, for its line in the log. Put into each
/// request here, filled in by whoever checks the proof.
#[derive(Debug, Clone, Default)]
pub(super) struct ProvedSender(Arc<OnceLock<(ActorKind, String)>>);

impl ProvedSender {
    /// Notes it; only the first counts.
    pub(super) fn note(&self, kind: ActorKind, name: &str) {
        let _ = self.0.set((kind, name.to_owned()));
    }

    /// The name, where it is one of this kind.
    pub(super) fn named(&self, wanted: ActorKind) -> Option<&str> {
        self.0.get().filter(|(kind, _)| *kind == wanted).map(|(_, name)| name.as_str())
    }
}
