//! What systemd is told: ready, stopping, still alive (sd_notify(3)).
//!
//! Where systemd did not start the process, nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::store::Store;

/// The server answers.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The server takes no more connections.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told how the server stands");
    }
}

/// Feeds systemd's watchdog, twice in each of its periods, for as long as the
/// store answers. That it refuses writes, on a full disk say, is an answer: a
/// restart would not mend it and would end the reads that go on.
pub(super) async fn feed_watchdog(store: Store) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval(period / 2);
    loop {
        ticks.tick().await;
        match tokio::time::timeout(period.max(Duration::from_secs(1)), store.answers()).await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(_) => tracing::error!("the store does not answer: the watchdog is not fed"),
        }
    }
}
