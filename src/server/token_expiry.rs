//! Warns of tokens for programs before they end: nobody sits beside a backup
//! that is refused one night.

use crate::domain::{Timestamp, UtcDay};
use crate::store::Store;

/// Warns once a day of each token that ends within 14 days. What was warned of
/// is not written down, so the first warning of a server comes at its start.
#[derive(Debug, Default)]
pub(super) struct TokenExpiry {
    warned_on: Option<UtcDay>,
}

impl TokenExpiry {
    /// Warns, unless that was done today.
    pub(super) async fn warn(&mut self, store: &Store, now: Timestamp) {
        let today = UtcDay::of(now);
        if self.warned_on == Some(today) {
            return;
        }
        match store.list_tokens().await {
            Ok(tokens) => {
                for (token, admin) in tokens.iter().filter(|(token, _)| token.expires_soon(now)) {
                    tracing::warn!(
                        token = token.name.as_str(),
                        id = token.id,
                        admin = admin.username.as_str(),
                        scope = token.scope.as_str(),
                        expires_at = %token.expires_at,
                        "a token for programs expires within 14 days: make another one (sitewarden token add) \
                         and give it to its program"
                    );
                }
                self.warned_on = Some(today);
            }
            Err(error) => tracing::warn!(%error, "tokens that expire soon could not be looked for"),
        }
    }
}
