//! Who gets a connection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::domain::Network;

/// Descriptors kept back for the database, the log and what else is not a
/// connection.
const RESERVED_DESCRIPTORS: usize = 64;

/// Counts connections, in all and by network.
pub(super) struct Admission {
    places: Arc<Semaphore>,
    per_network: Option<u32>,
    counts: Arc<Mutex<HashMap<Network, u32>>>,
}

/// A connection's place among all; given back when dropped.
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
}

/// A connection's place among those of its network; given back when dropped.
pub(super) struct Share {
    counts: Arc<Mutex<HashMap<Network, u32>>>,
    network: Network,
}

impl Admission {
    /// With the configured limits, within what `descriptors` allow.
    pub(super) fn new(limits: &Limits, descriptors: usize) -> Self {
        let most = descriptors.saturating_sub(RESERVED_DESCRIPTORS).clamp(1, Semaphore::MAX_PERMITS);
        let places = limits.max_connections.unwrap_or(most).min(most);
        if limits.max_connections.is_some_and(|wanted| wanted > places) {
            tracing::warn!(
                places,
                descriptors,
                "fewer connections than limits.max_connections: raise the descriptor limit (ulimit -n)"
            );
        }
        Self {
            places: Arc::new(Semaphore::new(places)),
            per_network: limits.max_connections_per_address,
            counts: Arc::default(),
        }
    }

    /// Waits for a place. The caller accepts only then, so that those beyond
    /// the limit wait in the system's queue at no cost.
    pub(super) async fn place(&self) -> Option<Place> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { _place: place })
    }

    /// A share for `network`, or `None` when it has all that it may.
    pub(super) fn share(&self, network: Network) -> Option<Share> {
        let mut counts = locked(&self.counts);
        let count = counts.entry(network).or_insert(0);
        if self.per_network.is_some_and(|most| *count >= most) {
            return None;
        }
        *count += 1;
        Some(Share { counts: Arc::clone(&self.counts), network })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = locked(&self.counts).entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_network_gets_its_share_back_when_a_connection_ends_and_leaves_no_trace() {
        let limits = Config::load(None, std::iter::empty(), []).unwrap().limits;
        let admission = Admission::new(&Limits { max_connections_per_address: Some(2), ..limits }, 1024);
        let network = Network::of("192.0.2.1".parse().unwrap());
        let first = admission.share(network).unwrap();
        let second = admission.share(network).unwrap();
        assert!(admission.share(network).is_none());
        assert!(admission.share(Network::of("192.0.2.2".parse().unwrap())).is_some());
        drop(first);
        drop(admission.share(network).unwrap());
        drop(second);
        assert!(locked(&admission.counts).is_empty());
    }
}
