//! How many bytes a stranger may have us hold.
//!
//! Over HTTP/2 a client may ask 64 things at once, send every body but its end
//! and take no answer at all: what it asked for then lies here until a time
//! limit passes. So what a request holds is counted, from its head to the last
//! byte of its answer that has left: for its connection, for its network (an
//! IPv4 address or an IPv6 /64), and for all together. Whoever is at a limit
//! has further requests refused; nobody waits for bytes, since requests that
//! hold a part of theirs and wait for each other would all run into their time
//! limits.
//!
//! Nor may few networks have all that there is: once half of it is held, one
//! that holds anything beside others may have no more than a sixteenth of what
//! is then left. So each leaves the next one a share, and 49 networks have to
//! hold all that they may before a list of 36 KB is refused to another.
//!
//! Two exceptions. A request that is alone on its connection is held against
//! its network only, so that the limit for a connection never forbids a body
//! or an answer that is allowed as such. And a network that holds next to
//! nothing is let in although all together hold too much: many strangers
//! cannot keep out a site that sends its heartbeat.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use hyper::http::request::Parts;
use parking_lot::{Mutex, MutexGuard};

use crate::config::Limits;
use crate::domain::Network;

/// What a request takes beside the bytes that are counted: its task, its
/// stream, and their entries in tables.
const REQUEST_BYTES: usize = 4 << 10;
/// What a line of a head takes beside its text: its entry in a table.
const LINE_BYTES: usize = 100;
/// What a network may hold whatever all together do.
const FLOOR_BYTES: usize = 16 << 10;
/// The share of what is left that a network may hold once half of all is held.
const LEFT_SHARE: usize = 16;

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// `limits.held_bytes_per_connection`.
    Connection,
    /// `limits.held_bytes_per_address`.
    Network,
    /// `limits.held_bytes`.
    All,
}

/// The limits, and what is held.
#[derive(Debug, Default)]
pub(super) struct Budget {
    per_connection: Option<usize>,
    per_network: Option<usize>,
    in_all: Option<usize>,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    all: usize,
    networks: HashMap<Network, usize>,
    /// By the number of the connection.
    connections: HashMap<u64, usize>,
    opened: u64,
}

/// A connection, as far as what it holds is concerned.
#[derive(Debug, Clone)]
pub(super) struct Account {
    budget: Arc<Budget>,
    connection: u64,
    /// Whether it is one client's, and not a proxy's, which brings many.
    bounded: bool,
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Hold {
    account: Account,
    network: Network,
    bytes: usize,
}

impl Budget {
    /// With the configured limits.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            per_connection: limits.held_bytes_per_connection,
            per_network: limits.held_bytes_per_address,
            in_all: limits.held_bytes,
            tally: Mutex::default(),
        }
    }

    /// For a new connection; `bounded` unless it is a proxy's.
    pub(super) fn account(self: &Arc<Self>, bounded: bool) -> Account {
        let mut tally = self.tally();
        tally.opened = tally.opened.wrapping_add(1);
        Account { budget: Arc::clone(self), connection: tally.opened, bounded }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock()
    }

    /// The limit that one more than `now` of them would break.
    fn refusal(&self, tally: &Tally, hold: &Hold, bytes: usize) -> Option<Over> {
        let of = |held: Option<&usize>| held.copied().unwrap_or(0).saturating_sub(hold.bytes);
        let beyond = |others: usize, most: Option<usize>| most.is_some_and(|most| others + bytes > most);
        let beside = of(tally.connections.get(&hold.account.connection));
        let network = of(tally.networks.get(&hold.network));
        if hold.account.bounded && beside > 0 && beyond(beside, self.per_connection) {
            return Some(Over::Connection);
        }
        if beyond(network, self.per_network) {
            return Some(Over::Network);
        }
        let (all, network) = (of(Some(&tally.all)) + bytes, network + bytes);
        let most = self.in_all?;
        let is_fair = all <= most / 2 || all == network || network <= most.saturating_sub(all) / LEFT_SHARE;
        (network > FLOOR_BYTES && (all > most || !is_fair)).then_some(Over::All)
    }
}

impl Account {
    /// What the request with this head, of a client of `network`, begins with.
    pub(super) fn hold(&self, network: Network, head: &Parts) -> Result<Hold, Over> {
        let lines = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE_BYTES);
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        let mut hold = Hold { account: self.clone(), network, bytes: 0 };
        hold.grow(REQUEST_BYTES + target + lines.sum::<usize>())?;
        Ok(hold)
    }
}

impl Hold {
    /// Holds so many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Over> {
        self.resize(self.bytes.saturating_add(bytes))
    }

    /// Holds an answer of so many bytes, and of the request nothing any more.
    pub(super) fn answer(&mut self, bytes: usize) -> Result<(), Over> {
        self.resize(REQUEST_BYTES.saturating_add(bytes))
    }

    /// As [`Self::answer`] where the answer has to be sent, whatever it takes.
    pub(super) fn answer_regardless(&mut self, bytes: usize) {
        self.set(&mut Arc::clone(&self.account.budget).tally(), REQUEST_BYTES.saturating_add(bytes));
    }

    fn resize(&mut self, bytes: usize) -> Result<(), Over> {
        let budget = Arc::clone(&self.account.budget);
        let mut tally = budget.tally();
        if bytes > self.bytes
            && let Some(over) = budget.refusal(&tally, self, bytes)
        {
            return Err(over);
        }
        self.set(&mut tally, bytes);
        Ok(())
    }

    fn set(&mut self, tally: &mut Tally, bytes: usize) {
        let before = self.bytes;
        let changed = move |held: usize| (held + bytes).saturating_sub(before);
        tally.all = (tally.all + bytes).saturating_sub(before);
        put(tally.networks.entry(self.network), changed);
        put(tally.connections.entry(self.account.connection), changed);
        self.bytes = bytes;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set(&mut Arc::clone(&self.account.budget).tally(), 0);
    }
}

/// Changes a number, of which none is kept when it is 0.
fn put<K>(entry: Entry<'_, K, usize>, changed: impl Fn(usize) -> usize) {
    match entry {
        Entry::Occupied(mut held) => match changed(*held.get()) {
            0 => drop(held.remove()),
            now => *held.get_mut() = now,
        },
        Entry::Vacant(none) => match changed(0) {
            0 => {}
            now => drop(none.insert(now)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn budget(per_connection: usize, per_network: usize, in_all: usize) -> Arc<Budget> {
        Arc::new(Budget {
            per_connection: Some(per_connection),
            per_network: Some(per_network),
            in_all: Some(in_all),
            tally: Mutex::default(),
        })
    }

    fn network(last: u8) -> Network {
        Network::of([192, 0, 2, last].into())
    }

    fn head() -> Parts {
        hyper::Request::new(()).into_parts().0
    }

    #[test]
    fn a_connection_is_refused_more_than_its_limit_unless_it_holds_one_request_alone() {
        let budget = budget(20 * KIB, 1000 * KIB, 1000 * KIB);
        let account = budget.account(true);
        let mut alone = account.hold(network(1), &head()).unwrap();
        alone.grow(50 * KIB).unwrap();
        assert_eq!(account.hold(network(1), &head()).unwrap_err(), Over::Connection);
        drop(alone);
        let first = account.hold(network(1), &head()).unwrap();
        let mut second = account.hold(network(1), &head()).unwrap();
        assert_eq!(second.grow(16 * KIB).unwrap_err(), Over::Connection);
        second.grow(8 * KIB).unwrap();
        // Of another connection, or of a proxy's.
        budget.account(true).hold(network(1), &head()).unwrap();
        drop(first);
        let proxy = budget.account(false);
        let many: Vec<_> = (0..20).map(|_| proxy.hold(network(1), &head()).unwrap()).collect();
        assert_eq!(many.len(), 20);
    }

    #[test]
    fn a_network_is_refused_more_than_its_limit_over_all_its_connections() {
        let budget = budget(1000 * KIB, 20 * KIB, 1000 * KIB);
        let _first = budget.account(true).hold(network(1), &head()).unwrap();
        let mut second = budget.account(true).hold(network(1), &head()).unwrap();
        assert_eq!(second.grow(16 * KIB).unwrap_err(), Over::Network);
        assert_eq!(second.answer(16 * KIB).unwrap_err(), Over::Network);
        budget.account(true).hold(network(2), &head()).unwrap().grow(15 * KIB).unwrap();
        second.answer_regardless(40 * KIB);
        assert_eq!(budget.account(true).hold(network(1), &head()).unwrap_err(), Over::Network);
    }

    #[test]
    fn all_together_are_refused_more_than_the_limit_but_who_holds_next_to_nothing() {
        let budget = budget(1000 * KIB, 1000 * KIB, 20 * KIB);
        let mut much = budget.account(true).hold(network(1), &head()).unwrap();
        much.grow(15 * KIB).unwrap();
        let mut little = budget.account(true).hold(network(2), &head()).unwrap();
        little.grow(10 * KIB).unwrap();
        assert_eq!(little.grow(4 * KIB).unwrap_err(), Over::All);
        assert_eq!(much.grow(KIB).unwrap_err(), Over::All);
        drop(much);
        little.grow(5 * KIB).unwrap();
    }

    #[test]
    fn few_networks_that_hold_what_they_may_leave_a_share_to_others() {
        let budget = budget(512 * KIB, 1024 * KIB, 16 * 1024 * KIB);
        let mut holds = Vec::new();
        for last in 1..=48 {
            for bytes in [40 * KIB, KIB] {
                while let Ok(mut hold) = budget.account(true).hold(network(last), &head())
                    && hold.grow(bytes).is_ok()
                {
                    holds.push(hold);
                }
            }
        }
        assert!(budget.tally().all > 15 * 1024 * KIB);
        let mut list = budget.account(true).hold(network(100), &head()).unwrap();
        list.answer(36 * KIB).unwrap();
        let heartbeats: Vec<_> =
            (0..8).filter_map(|_| budget.account(true).hold(network(101), &head()).ok()).collect();
        assert_eq!(heartbeats.len(), 8);
    }

    #[test]
    fn what_is_given_back_leaves_no_trace() {
        let budget = budget(100 * KIB, 100 * KIB, 100 * KIB);
        let account = budget.account(true);
        let mut hold = account.hold(network(1), &head()).unwrap();
        hold.grow(10 * KIB).unwrap();
        hold.answer(20 * KIB).unwrap();
        hold.answer(KIB).unwrap();
        drop(hold);
        let tally = budget.tally();
        assert!(tally.all == 0 && tally.networks.is_empty() && tally.connections.is_empty());
    }
}
