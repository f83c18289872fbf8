//! Who gets a place: how many connections there may be, of one network and in
//! all, and who leaves when there are no more.
//!
//! A stranger needs only to connect to take a place. So when the last one is
//! taken, a newcomer does not wait for it: of the network that holds most, the
//! connection that has been idle longest gives way. Idle is who waits without
//! a request: before one, between two, in a handshake, or in the middle of a
//! head. Where nobody is idle, it is the connection whose client has been
//! waited for longest, to end a body or to take an answer: else requests that
//! cost nothing would keep all places. A request that is worked on is never cut
//! off for another; while all places have one, newcomers wait in the system's
//! queue, at no cost.
//!
//! Before it comes to that, from the time at which three quarters of the places
//! are taken, the time for which a connection may be idle falls in step with
//! the places that are left, to a tenth at the last.
//!
//! Connections are kept by network. Whether one is idle is not: it is asked
//! when a place is needed, so that requests pay nothing for it. Asking all is
//! some microseconds for a thousand; whoever asks makes more than one place
//! where there are many, so that a flood does not ask each time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::patience::Activity;
use crate::config::Limits;
use crate::domain::Network;

/// Descriptors kept back for the database, the log and what else is not a
/// connection.
const RESERVED_DESCRIPTORS: usize = 64;
/// The share of the places that is left when idle connections are asked to
/// leave early: a quarter.
const SHORT_SHARE: usize = 4;
/// The share of the idle limit that is left to a connection at the last place.
const LEAST_IDLE_SHARE: f64 = 0.1;
/// The share of the places that is made at once when all are taken.
const MADE_SHARE: usize = 64;
/// How often idle connections are looked through while places are short, and
/// how soon again for one to give way while none is idle.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Counts connections, in all and by network.
pub(super) struct Admission {
    places: Arc<Semaphore>,
    most: usize,
    per_network: Option<u32>,
    idle: Option<Duration>,
    present: Arc<Mutex<Present>>,
}

/// Who is here. Those of proxies are nobody's.
#[derive(Default)]
struct Present {
    connections: HashMap<Option<Network>, Vec<Arc<Activity>>>,
    looked: Option<Instant>,
}

/// A connection's place among all, and among those of its network; given back
/// when dropped.
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _share: Share,
    /// What the connection does, from the moment at which it came.
    pub(super) activity: Arc<Activity>,
}

struct Share {
    present: Arc<Mutex<Present>>,
    network: Option<Network>,
    activity: Arc<Activity>,
}

/// Why a newcomer gets no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

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
            most: places,
            per_network: limits.max_connections_per_address,
            idle: limits.idle,
            present: Arc::default(),
        }
    }

    /// A place for a newcomer of `network`, which is `None` for a proxy, who
    /// brings the connections of many. Waits while all places have a request
    /// that is worked on: the caller accepts no other meanwhile. `left` is told how
    /// many were asked to leave.
    pub(super) async fn place(
        &self,
        network: Option<Network>,
        left: impl Fn(usize),
    ) -> Result<Place, TooMany> {
        if self.has_all(&self.present.lock(), network) {
            return Err(TooMany);
        }
        let place = loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                break place;
            }
            left(self.make_room());
            let freed = Arc::clone(&self.places).acquire_owned();
            match tokio::time::timeout(TRY_AGAIN, freed).await {
                Ok(Ok(place)) => break place,
                // Never closed.
                Ok(Err(_)) => return Err(TooMany),
                Err(_) => {}
            }
        };
        // From now on: it was not idle while it waited.
        let share = self.share(network)?;
        left(self.shorten());
        Ok(Place { _place: place, activity: Arc::clone(&share.activity), _share: share })
    }

    /// Whether `network` has all connections that it may.
    fn has_all(&self, present: &Present, network: Option<Network>) -> bool {
        let most = self.per_network.filter(|_| network.is_some()).map(usize::try_from).and_then(Result::ok);
        most.is_some_and(|most| present.connections.get(&network).map_or(0, Vec::len) >= most)
    }

    /// A share for `network`, unless it has all that it may.
    fn share(&self, network: Option<Network>) -> Result<Share, TooMany> {
        let mut present = self.present.lock();
        if self.has_all(&present, network) {
            return Err(TooMany);
        }
        let activity = Activity::new(false);
        present.connections.entry(network).or_default().push(Arc::clone(&activity));
        Ok(Share { present: Arc::clone(&self.present), network, activity })
    }

    /// Has idle connections leave or, where there is none, cuts one whose client
    /// is overdue. Tells how many.
    fn make_room(&self) -> usize {
        let present = self.present.lock();
        let leaving = present.connections.values().flatten().filter(|activity| activity.is_leaving());
        let wanted = (1 + self.most / MADE_SHARE).saturating_sub(leaving.count());
        match present.ask(wanted, Activity::idle_since, Activity::dismiss) {
            0 => {
                let overdue =
                    |activity: &Activity| activity.overdue_since().filter(|_| !activity.is_leaving());
                present.ask(wanted.min(1), overdue, Activity::cut)
            }
            made => made,
        }
    }

    /// Has those leave who have been idle for longer than is allowed as places
    /// become few. Tells how many.
    fn shorten(&self) -> usize {
        let left = self.places.available_permits();
        let Some(idle) = self.idle.filter(|_| left.saturating_mul(SHORT_SHARE) < self.most) else {
            return 0;
        };
        let mut present = self.present.lock();
        let now = Instant::now();
        if present.looked.is_some_and(|looked| now - looked < LOOK_EVERY) {
            return 0;
        }
        present.looked = Some(now);
        let allowed = shortened(idle, left, self.most);
        let all = present.connections.values().flatten();
        let overdue = all.filter(|activity| activity.idle_since().is_some_and(|since| since + allowed < now));
        overdue.map(|activity| activity.dismiss()).count()
    }
}

impl Present {
    /// Asks so many connections to leave of those that have been `waiting`: the
    /// longest of the network that holds most first, and proxies' last. Tells
    /// how many.
    fn ask(
        &self,
        wanted: usize,
        waiting: impl Fn(&Activity) -> Option<Instant>,
        ask: impl Fn(&Activity),
    ) -> usize {
        if wanted == 0 {
            return 0;
        }
        let mut networks: BinaryHeap<_> = self
            .connections
            .iter()
            .filter_map(|(network, its)| {
                let since = |activity| Some((Reverse(waiting(activity)?), activity));
                let mut waiting: Vec<_> = its.iter().map(Arc::as_ref).filter_map(since).collect();
                // The longest last, from where they are taken.
                waiting.sort_by_key(|(since, _)| *since);
                let longest = waiting.last()?.0;
                Some(Crowd { count: network.map_or(0, |_| its.len()), longest, waiting })
            })
            .collect();
        let mut made = 0;
        while made < wanted
            && let Some(mut crowd) = networks.pop()
        {
            if let Some((_, activity)) = crowd.waiting.pop() {
                ask(activity);
                made += 1;
            }
            if let Some((longest, _)) = crowd.waiting.last() {
                crowd.longest = *longest;
                crowd.count = crowd.count.saturating_sub(1);
                networks.push(crowd);
            }
        }
        made
    }
}

/// How long a connection may be idle when `left` of `most` places are left.
fn shortened(idle: Duration, left: usize, most: usize) -> Duration {
    let of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let share = f64::from(of(left.saturating_mul(SHORT_SHARE))) / f64::from(of(most).max(1));
    idle.mul_f64(share.clamp(LEAST_IDLE_SHARE, 1.0))
}

/// A network with connections that wait. The greatest is asked first.
struct Crowd<'a> {
    count: usize,
    longest: Reverse<Instant>,
    waiting: Vec<(Reverse<Instant>, &'a Activity)>,
}

impl Crowd<'_> {
    fn rank(&self) -> (usize, Reverse<Instant>) {
        (self.count, self.longest)
    }
}

impl PartialEq for Crowd<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Crowd<'_> {}

impl PartialOrd for Crowd<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Crowd<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut present = self.present.lock();
        let Some(its) = present.connections.get_mut(&self.network) else { return };
        if let Some(at) = its.iter().position(|activity| Arc::ptr_eq(activity, &self.activity)) {
            its.swap_remove(at);
        }
        if its.is_empty() {
            present.connections.remove(&self.network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::patience::Request;
    use super::*;
    use crate::config::Config;

    fn admission(places: usize, per_network: u32) -> Admission {
        let limits = Config::load(None, std::iter::empty(), []).unwrap().limits;
        let limits = Limits {
            max_connections: Some(places),
            max_connections_per_address: Some(per_network),
            ..limits
        };
        Admission::new(&limits, 100_000)
    }

    fn network(last: u8) -> Option<Network> {
        Some(Network::of([192, 0, 2, last].into()))
    }

    async fn came(admission: &Admission, network: Option<Network>) -> Place {
        let place = admission.place(network, |_| ()).await.unwrap();
        // So that each has come at a time of its own.
        tokio::time::advance(Duration::from_millis(10)).await;
        place
    }

    /// Whether a connection has been asked to leave.
    async fn leaves(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.activity.dismissed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_gets_its_share_back_when_a_connection_ends_and_leaves_no_trace() {
        let admission = admission(100, 2);
        let first = came(&admission, network(1)).await;
        let second = came(&admission, network(1)).await;
        assert!(admission.place(network(1), |_| ()).await.is_err());
        drop(came(&admission, network(2)).await);
        drop(first);
        drop(came(&admission, network(1)).await);
        drop(second);
        assert!(admission.present.lock().connections.is_empty());
        assert_eq!(admission.places.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn the_connections_of_a_proxy_count_for_nobody_but_take_places() {
        let admission = admission(8, 2);
        let mut many = Vec::new();
        for _ in 0..5 {
            many.push(came(&admission, None).await);
        }
        assert_eq!(admission.places.available_permits(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_last_place_the_longest_idle_of_the_network_that_holds_most_gives_way() {
        let admission = admission(6, 256);
        let oldest = came(&admission, network(1)).await;
        let proxy = came(&admission, None).await;
        let mut most = Vec::new();
        for _ in 0..4 {
            most.push(came(&admission, network(2)).await);
        }
        let busy = Request::begin(&most[0].activity);
        let newcomer = tokio::join!(admission.place(network(3), |_| ()), async {
            // It is told to leave before it does.
            most[1].activity.dismissed().await;
            drop(most.remove(1));
        });
        newcomer.0.unwrap();
        for place in [&oldest, &proxy, &most[0], &most[1]] {
            assert!(!leaves(place).await);
        }
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn while_all_have_requests_a_newcomer_waits_for_an_end() {
        let admission = admission(1, 256);
        let place = came(&admission, network(1)).await;
        let request = Request::begin(&place.activity);
        let newcomer = async {
            let waited = Instant::now();
            admission.place(network(2), |_| ()).await.unwrap();
            waited.elapsed()
        };
        let end = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(!leaves(&place).await);
            drop(request);
            place.activity.dismissed().await;
            drop(place);
        };
        let (waited, ()) = tokio::join!(newcomer, end);
        assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(6), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_is_idle_the_client_that_is_waited_for_longest_gives_way() {
        let admission = admission(4, 256);
        let mut places = Vec::new();
        for from in [1, 2, 2, 2] {
            places.push(came(&admission, network(from)).await);
        }
        let requests: Vec<_> = places.iter().map(|place| Request::begin(&place.activity)).collect();
        let mut waits = Vec::new();
        for request in &requests[..3] {
            waits.push(request.await_body());
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let newcomer = tokio::join!(admission.place(network(3), |_| ()), async {
            places[1].activity.dismissed().await;
            assert!(places[1].activity.is_leaving());
            drop(places.remove(1));
        });
        newcomer.0.unwrap();
        for place in &places {
            assert!(!leaves(place).await);
        }
        drop(waits);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_long_for_a_place_is_not_idle_when_it_gets_one() {
        let admission = admission(1, 256);
        let place = came(&admission, network(1)).await;
        let request = Request::begin(&place.activity);
        let (newcomer, ()) = tokio::join!(admission.place(network(2), |_| ()), async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            drop((request, place));
        });
        assert!(!leaves(&newcomer.unwrap()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_leave_the_sooner_the_fewer_places_are_left() {
        let idle = Duration::from_secs(80);
        assert_eq!(shortened(idle, 100, 100), idle);
        assert_eq!(shortened(idle, 25, 100), idle);
        assert_eq!(shortened(idle, 5, 100), Duration::from_secs(16));
        assert_eq!(shortened(idle, 0, 100), Duration::from_secs(8));

        let admission = admission(20, 256);
        let mut early = Vec::new();
        for _ in 0..15 {
            early.push(came(&admission, network(1)).await);
        }
        tokio::time::advance(Duration::from_secs(50)).await;
        // A fifth of the places is left: 60 of 75 seconds; then a tenth: 30.
        let _next = came(&admission, network(2)).await;
        assert!(!leaves(&early[0]).await);
        let _second = came(&admission, network(2)).await;
        tokio::time::advance(LOOK_EVERY).await;
        let _third = came(&admission, network(2)).await;
        for place in &early {
            assert!(leaves(place).await);
        }
        assert!(!leaves(&_next).await);
    }
}
