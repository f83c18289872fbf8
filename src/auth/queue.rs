//! Whose password is hashed next.
//!
//! A hash costs some 20 ms of a core and 19 MiB on purpose, so few run at a
//! time, and in a flood of logins the others wait. Who comes first and who is
//! turned away must not be left to chance: an admin has to get in while hundreds
//! guess.
//!
//! Promises:
//! - [`RUNNING`] hashes at a time. [`WAITING`] more wait, of them
//!   [`WAITING_OF_ONE_NETWORK`] of one network, whose logins come one by one:
//!   many at once must not slip in before the first has failed.
//! - A network that has logged in within the last 30 days comes first. The
//!   others are served in the order in which they came, with a head start of
//!   [`WAITING`] places for a network in whose surroundings somebody has logged
//!   in within 30 days, and as much of a handicap for one that guesses or in
//!   whose surroundings somebody does. So nobody waits for ever, and who does
//!   not guess does not wait for those who do.
//! - When all places are taken, one is turned away: of those who guess, while
//!   there are any; then of those of whom nothing is known, the neighbours of
//!   guessers too; then of those who are known. Among equals it is one from
//!   where the most have come since last nobody waited ([`Crowd`]), the
//!   newcomer or another, and chance decides where that is the same. So who
//!   comes once passes those who come again and again, though each time from
//!   a new address.
//! - A client that goes away frees its place at once.
//!
//! Rejected: turning the newcomer away, which shuts out whoever comes while more
//! guess than may wait. Last in, first out, which serves a newcomer at once, or perhaps
//! never if another comes within the next 10 ms.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::buffer::Buffer;
use super::crowd::Crowd;
use crate::domain::Network;

/// Hashes that run at the same time.
pub const RUNNING: usize = 2;
/// Most that wait for their turn. At some 100 hashes a second the last of
/// them waits little more than a second.
pub const WAITING: usize = 128;
/// Most of one network that wait for their turn.
pub const WAITING_OF_ONE_NETWORK: usize = 32;

/// What is known of who asks for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has logged in within 30 days, or has proved itself just now.
    Known,
    /// Another network in its surroundings has, and neither guesses.
    Familiar,
    /// Nothing.
    New,
    /// Nothing bad of itself, but others in its surroundings guess.
    Neighbour,
    /// It guesses.
    Suspect,
}

impl Standing {
    /// Who is turned away before whom when all places are taken: the greatest
    /// first.
    fn gives_way(self) -> u8 {
        match self {
            Self::Known => 0,
            Self::Familiar => 1,
            Self::New | Self::Neighbour => 2,
            Self::Suspect => 3,
        }
    }
}

/// A request for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Decides when the turn comes.
    pub standing: Standing,
    /// Only one login of a network has its turn at a time; `None`: no such
    /// limit.
    pub network: Option<Network>,
}

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTurn {
    /// [`WAITING`] others have claims as good or better.
    Full,
    /// [`WAITING_OF_ONE_NETWORK`] others of the network wait.
    NetworkFull,
}

/// The places in line.
#[derive(Default)]
pub struct Queue(Mutex<Line>);

#[derive(Default)]
struct Line {
    running: usize,
    /// Networks whose turn it is.
    busy: HashSet<Network>,
    waiting: Vec<Waiter>,
    /// How many have come so far.
    arrivals: u64,
    crowd: Crowd,
    /// For what chance decides.
    chance: RandomState,
}

struct Waiter {
    /// Whoever has the least is next; the least number where it is the same.
    place: u64,
    number: u64,
    standing: Standing,
    network: Option<Network>,
    /// Gives the waiter its turn; dropped unused, it turns the waiter away.
    call: oneshot::Sender<Turn>,
}

/// Permission to hash one password, and the memory for it. When it is dropped,
/// the next in line has its turn and takes over the memory; with nobody waiting
/// the memory is freed.
pub struct Turn {
    queue: Arc<Queue>,
    network: Option<Network>,
    pub(super) buffer: Buffer,
    over: bool,
}

/// A place in line, given back when dropped.
struct Place<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Queue {
    /// Waits for a turn.
    ///
    /// # Errors
    /// [`NoTurn`], at once or when somebody with a better claim comes.
    pub async fn turn(self: &Arc<Self>, claim: Claim) -> Result<Turn, NoTurn> {
        let (call, called) = oneshot::channel();
        let _place = self.line().enter(claim, call).map(|number| Place { queue: self, number })?;
        self.call_next(None, Buffer::default());
        called.await.map_err(|_| NoTurn::Full)
    }

    /// Calls those whose turn it is, once `ended` has had its own; the first
    /// of them takes over `memory`.
    fn call_next(self: &Arc<Self>, mut ended: Option<Option<Network>>, mut memory: Buffer) {
        loop {
            let mut line = self.line();
            if let Some(network) = ended.take() {
                line.end(network);
            }
            let Some(next) = line.take_next() else { break };
            drop(line);
            let queue = Arc::clone(self);
            let turn =
                Turn { queue, network: next.network, buffer: std::mem::take(&mut memory), over: false };
            if let Err(mut turn) = next.call.send(turn) {
                // Went away between.
                turn.over = true;
                ended = Some(turn.network);
                memory = std::mem::take(&mut turn.buffer);
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock()
    }
}

impl Line {
    fn enter(&mut self, claim: Claim, call: oneshot::Sender<Turn>) -> Result<u64, NoTurn> {
        let Claim { standing, network } = claim;
        let of_one = self.waiting.iter().filter(|waiter| network.is_some() && waiter.network == network);
        if of_one.count() >= WAITING_OF_ONE_NETWORK {
            return Err(NoTurn::NetworkFull);
        }
        let number = self.arrivals + 1;
        let others = WAITING as u64;
        let place = match standing {
            Standing::Known => 0,
            Standing::Familiar => number,
            Standing::New => number + others,
            Standing::Neighbour | Standing::Suspect => number + 2 * others,
        };
        self.arrivals = number;
        if self.waiting.is_empty() {
            self.crowd.disperse();
        }
        if let Some(network) = network {
            self.crowd.comes(network);
        }
        self.waiting.push(Waiter { place, number, standing, network, call });
        if self.waiting.len() > WAITING && self.turn_away() == Some(number) {
            return Err(NoTurn::Full);
        }
        Ok(number)
    }

    /// Turns one away; tells who it was.
    fn turn_away(&mut self) -> Option<u64> {
        let gives_way = |waiter: &Waiter| {
            let around = waiter.network.map(|network| self.crowd.around(network)).unwrap_or_default();
            (waiter.standing.gives_way(), around)
        };
        let by_chance = |waiter: &Waiter| self.chance.hash_one((self.arrivals, waiter.number));
        let places = self.waiting.iter().enumerate();
        let (_, index) = places.map(|(index, w)| ((gives_way(w), by_chance(w)), index)).max()?;
        Some(self.waiting.swap_remove(index).number)
    }

    /// Takes out the first whose turn may begin now, and begins it.
    fn take_next(&mut self) -> Option<Waiter> {
        if self.running >= RUNNING {
            return None;
        }
        let may_begin = |waiter: &Waiter| waiter.network.is_none_or(|network| !self.busy.contains(&network));
        let waiting = self.waiting.iter().enumerate().filter(|(_, waiter)| may_begin(waiter));
        let (index, _) = waiting.min_by_key(|(_, waiter)| waiter.rank())?;
        let next = self.waiting.swap_remove(index);
        self.running += 1;
        self.busy.extend(next.network);
        Some(next)
    }

    fn end(&mut self, network: Option<Network>) {
        self.running -= 1;
        if let Some(network) = network {
            self.busy.remove(&network);
        }
    }
}

impl Waiter {
    fn rank(&self) -> (u64, u64) {
        (self.place, self.number)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            let memory = std::mem::take(&mut self.buffer);
            self.queue.call_next(Some(self.network), memory);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.line().waiting.retain(|waiter| waiter.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Result<Turn, NoTurn>>>>;

    fn network(n: usize) -> Network {
        Network::of(std::net::IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()))
    }

    /// Somebody of network `n` who stands in line.
    fn comes(queue: &Arc<Queue>, n: usize, standing: Standing) -> Waiting {
        let (queue, claim) = (Arc::clone(queue), Claim { standing, network: Some(network(n)) });
        let mut waiting: Waiting = Box::pin(async move { queue.turn(claim).await });
        assert!(poll(&mut waiting).is_none(), "all turns were taken");
        waiting
    }

    /// Somebody who comes and is told something at once.
    fn told(queue: &Arc<Queue>, n: usize, standing: Standing) -> Result<Turn, NoTurn> {
        let (queue, claim) = (Arc::clone(queue), Claim { standing, network: Some(network(n)) });
        let mut waiting: Waiting = Box::pin(async move { queue.turn(claim).await });
        poll(&mut waiting).unwrap()
    }

    fn poll(waiting: &mut Waiting) -> Option<Result<Turn, NoTurn>> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    /// A queue whose turns are taken, all but `free`.
    fn busy(free: usize) -> (Arc<Queue>, Vec<Turn>) {
        let queue = Arc::new(Queue::default());
        let turns = (free..RUNNING).map(|n| told(&queue, 1_000_000 + n, Standing::New).unwrap()).collect();
        (queue, turns)
    }

    #[test]
    fn few_run_at_a_time_and_the_others_in_the_order_in_which_they_came() {
        let (queue, mut turns) = busy(0);
        let mut first = comes(&queue, 1, Standing::New);
        let mut second = comes(&queue, 2, Standing::New);
        drop(turns.pop());
        let first = poll(&mut first).unwrap().ok().unwrap();
        assert!(poll(&mut second).is_none());
        drop(first);
        assert!(poll(&mut second).unwrap().is_ok());
    }

    #[test]
    fn who_has_logged_in_lately_comes_before_all_others() {
        let (queue, mut turns) = busy(0);
        let mut new: Vec<_> = (0..100).map(|n| comes(&queue, n, Standing::New)).collect();
        let mut known = comes(&queue, 500, Standing::Known);
        drop(turns.pop());
        assert!(poll(&mut known).unwrap().is_ok());
        assert!(poll(new.first_mut().unwrap()).is_some(), "and after it the first that came");
    }

    #[test]
    fn who_comes_from_where_an_admin_did_passes_others() {
        let (queue, mut turns) = busy(0);
        let mut new: Vec<_> = (0..100).map(|n| comes(&queue, n, Standing::New)).collect();
        let mut familiar = comes(&queue, 500, Standing::Familiar);
        let mut known = comes(&queue, 501, Standing::Known);
        drop(turns.pop());
        let known = poll(&mut known).unwrap();
        assert!(poll(&mut familiar).is_none());
        drop(known);
        let familiar = poll(&mut familiar).unwrap();
        assert!(poll(new.first_mut().unwrap()).is_none());
        drop(familiar);
        assert!(poll(new.first_mut().unwrap()).unwrap().is_ok());
    }

    #[test]
    fn who_did_not_guess_comes_before_all_who_do_and_those_are_not_forgotten() {
        let (queue, mut turns) = busy(0);
        let mut suspects: Vec<_> = (0..WAITING - 1).map(|n| comes(&queue, n, Standing::Suspect)).collect();
        let mut turn = {
            let mut new = comes(&queue, 500, Standing::New);
            drop(turns.pop());
            poll(&mut new).unwrap().ok()
        };
        // The first suspect was number 3, and lets as many pass as may wait.
        for number in 0..WAITING - 1 {
            assert!(poll(suspects.first_mut().unwrap()).is_none(), "{number}");
            let mut next = comes(&queue, 1000 + number, Standing::New);
            drop(turn.take());
            match poll(&mut next) {
                Some(next) => turn = Some(next.ok().unwrap()),
                None => {
                    assert!(poll(suspects.first_mut().unwrap()).unwrap().is_ok());
                    return;
                }
            }
        }
        panic!("newcomers kept the suspects out");
    }

    /// How many of `waiting` have been turned away, of those that still wait.
    fn turned_away(waiting: &mut Vec<Waiting>) -> usize {
        let before = waiting.len();
        waiting.retain_mut(|waiting| poll(waiting).is_none());
        before - waiting.len()
    }

    #[test]
    fn when_all_places_are_taken_those_who_guess_give_way_and_then_those_who_come_most() {
        let (queue, _turns) = busy(0);
        let mut new: Vec<_> = (0..WAITING - 1).map(|n| comes(&queue, n, Standing::New)).collect();
        let mut suspect = comes(&queue, 500 << 16, Standing::Suspect);
        assert_eq!(told(&queue, 1, Standing::Suspect).err(), Some(NoTurn::Full), "of those who come most");
        let mut other = comes(&queue, 502 << 16, Standing::New);
        assert_eq!(
            poll(&mut suspect).unwrap().err(),
            Some(NoTurn::Full),
            "made room for one who did not guess"
        );
        let mut neighbour = comes(&queue, 503 << 16, Standing::Neighbour);
        assert_eq!(turned_away(&mut new), 1, "one of those who come most");
        let mut known = comes(&queue, 504, Standing::Known);
        let mut familiar = comes(&queue, 505, Standing::Familiar);
        assert_eq!(turned_away(&mut new), 2);
        assert!(
            [&mut other, &mut neighbour, &mut known, &mut familiar].map(poll).iter().all(Option::is_none)
        );
    }

    #[test]
    fn among_equals_chance_decides_and_not_against_the_newcomer() {
        let (queue, _turns) = busy(0);
        let mut waiting: Vec<_> = (0..WAITING).map(|n| comes(&queue, n << 16, Standing::New)).collect();
        let mut refused = 0;
        for n in WAITING..WAITING + 100 {
            let (queue, claim) =
                (Arc::clone(&queue), Claim { standing: Standing::New, network: Some(network(n << 16)) });
            let mut newcomer: Waiting = Box::pin(async move { queue.turn(claim).await });
            refused += usize::from(poll(&mut newcomer).is_some());
            waiting.push(newcomer);
        }
        // Each has one chance in 129.
        assert!(refused <= 10, "{refused} newcomers of 100");
    }

    /// Whether one who comes once has a turn while `clients` guess, each of
    /// which comes again at once, from the next of `addresses`, when it has
    /// been answered.
    fn gets_in(
        clients: usize,
        mut addresses: impl FnMut() -> usize,
        standing: Standing,
        address: usize,
    ) -> bool {
        let (queue, mut turns) = busy(0);
        let mut guessers: Vec<Option<Waiting>> = (0..clients).map(|_| None).collect();
        let mut admin = None;
        for round in 0..1000 {
            for guesser in &mut guessers {
                let mut asking = guesser.take().unwrap_or_else(|| {
                    let (queue, claim) =
                        (Arc::clone(&queue), Claim { standing, network: Some(network(addresses())) });
                    Box::pin(async move { queue.turn(claim).await })
                });
                match poll(&mut asking) {
                    None => *guesser = Some(asking),
                    Some(Ok(turn)) => turns.push(turn),
                    Some(Err(_)) => {}
                }
            }
            if round == 3 {
                let (queue, claim) =
                    (Arc::clone(&queue), Claim { standing, network: Some(network(address)) });
                admin = Some(Box::pin(async move { queue.turn(claim).await }) as Waiting);
            }
            match admin.as_mut().and_then(poll) {
                None => {}
                Some(answer) => return answer.is_ok(),
            }
            turns.remove(0);
        }
        false
    }

    #[test]
    fn who_comes_once_gets_in_while_hundreds_come_from_ever_new_addresses() {
        for clients in [190, 400] {
            let mut number = 0_usize;
            // 127.x.y.7, over and over.
            let mut everywhere = || {
                number += 1;
                0x7f00_0007 + ((number * 7919 % 0x1_0000) << 8)
            };
            for admin in 0..2 {
                let address = 0xc000_0200 + admin;
                assert!(gets_in(clients, &mut everywhere, Standing::New, address), "{clients}: {admin}");
            }
            // All from the /16 of the admin, who is held for their neighbour.
            let mut around = || {
                number += 1;
                0x7f00_0000 + number * 7919 % 0x8000
            };
            for admin in 0..2 {
                let address = 0x7f00_ff00 + admin;
                assert!(gets_in(clients, &mut around, Standing::Neighbour, address), "{clients}: {admin}");
            }
        }
    }

    #[test]
    fn logins_from_one_network_come_one_by_one_and_few_may_wait() {
        let (queue, _turns) = busy(1);
        let first = told(&queue, 1, Standing::New).unwrap();
        let mut others: Vec<_> =
            (0..WAITING_OF_ONE_NETWORK).map(|_| comes(&queue, 1, Standing::New)).collect();
        assert_eq!(told(&queue, 1, Standing::New).err(), Some(NoTurn::NetworkFull));
        drop(first);
        let second = poll(others.first_mut().unwrap()).unwrap().ok().unwrap();
        assert!(others.iter_mut().skip(1).all(|waiting| poll(waiting).is_none()));
        drop(second);
        assert!(poll(others.get_mut(1).unwrap()).unwrap().is_ok());
    }

    #[test]
    fn one_network_leaves_turns_to_others() {
        let (queue, _turns) = busy(0);
        let _first = comes(&queue, 1, Standing::New);
        let free = Arc::new(Queue::default());
        let _mine = told(&free, 1, Standing::New).unwrap();
        let _second_of_mine = comes(&free, 1, Standing::New);
        assert!(told(&free, 2, Standing::New).is_ok());
    }

    #[test]
    fn who_goes_away_gives_the_place_and_the_turn_back() {
        let (queue, mut turns) = busy(0);
        drop(comes(&queue, 1, Standing::New));
        assert!(queue.line().waiting.is_empty());
        // Called, and gone before it heard.
        let called = comes(&queue, 2, Standing::New);
        let mut next = comes(&queue, 3, Standing::New);
        drop(turns.pop());
        drop(called);
        assert!(poll(&mut next).unwrap().is_ok());
        drop(turns);
        let line = queue.line();
        assert_eq!((line.running, line.busy.len(), line.waiting.len()), (0, 0, 0));
    }
}
