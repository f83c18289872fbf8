//! How long a connection is waited for.
//!
//! hyper's own time limits cannot tell a slow request head from a connection
//! that rests between requests, and it has none for a client that does not
//! read. So each connection carries an [`Activity`], written by its socket
//! wrapper (`watched.rs`) and by its requests, from which [`Activity::due`]
//! tells at any time when patience ends and why. One timer a connection,
//! armed lazily: a connection at rest wakes nothing until its limit.
//!
//! What a request waits for its client for has a time of its own (an
//! [`Awaited`]): the end of its body, or that its answer is taken. Over HTTP/2
//! one time for the connection would be put on by any of its requests, so that
//! an answer which nobody takes would lie here for ever beside another that is
//! taken every second.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::head::Fault;
use crate::config::Limits;

/// What a client must take of an answer within `limits.write_seconds`, unless
/// less is left.
const WRITE_QUOTA_BYTES: u64 = 16 << 10;
/// How long a client may keep us waiting before its place may go to another:
/// more than a packet there and back takes.
const SPARED: Duration = Duration::from_millis(500);

/// Why patience ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// No request for too long.
    Idle,
    /// The head of a request took too long.
    SlowHead,
    /// The client does not read.
    SlowRead,
}

/// What a connection is doing. Times are microseconds since it was opened,
/// plus one; 0 means "not now".
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    multiplexed: AtomicBool,
    requests: AtomicU32,
    /// Of the requests, those that we work on, and not their client.
    working: AtomicU32,
    had_request: AtomicBool,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    blocked_since: AtomicU64,
    taken: AtomicU64,
    awaited: Mutex<Waits>,
    dismissed: AtomicBool,
    cut: AtomicBool,
    leave: Notify,
    bad: OnceLock<Bad>,
    /// Who reads on when the requests before a bad head have been answered.
    reader: Mutex<Option<Waker>>,
}

/// What the client is waited for, of all requests of a connection.
#[derive(Debug, Default)]
struct Waits {
    begun: u64,
    under_way: Vec<Wait>,
}

#[derive(Debug)]
struct Wait {
    number: u64,
    since: u64,
    what: What,
}

/// What a client is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// To send the rest of a body.
    Body,
    /// To take an answer.
    Answer,
}

/// What was refused of what came over HTTP/1.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bad {
    pub(super) fault: Fault,
    /// In a body, whose request is answered by who reads it.
    pub(super) in_body: bool,
}

impl Activity {
    /// Of a connection that has just come; `multiplexed` with HTTP/2, whose
    /// bytes between requests need not be a head.
    pub(super) fn new(multiplexed: bool) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            multiplexed: AtomicBool::new(multiplexed),
            requests: AtomicU32::new(0),
            working: AtomicU32::new(0),
            had_request: AtomicBool::new(false),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            awaited: Mutex::default(),
            dismissed: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            leave: Notify::new(),
            bad: OnceLock::new(),
            reader: Mutex::default(),
        })
    }

    /// The handshake is over, and requests may come.
    pub(super) fn shaken(&self, multiplexed: bool) {
        self.multiplexed.store(multiplexed, Relaxed);
        self.idle_since.store(self.now(), Relaxed);
    }

    /// Whether no request is under way.
    pub(super) fn rests(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }

    /// Whether no request is under way and the client has all that it was
    /// answered, as far as can be seen from here.
    pub(super) fn is_idle(&self) -> bool {
        self.rests() && self.blocked_since.load(Relaxed) == 0 && self.waits().under_way.is_empty()
    }

    /// Since when the connection has been idle, where it may be asked to
    /// leave: a request is waited for, or a handshake, or a head to its end.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let since = self.idle_since.load(Relaxed).saturating_sub(1);
        let may_leave = self.is_idle() && !self.dismissed.load(Relaxed);
        may_leave.then(|| self.opened + Duration::from_micros(since))
    }

    /// Since when the client is waited for, and nothing else: all requests
    /// under way lack the end of their bodies or have answers that were not
    /// taken. `None` while it may be on its way.
    pub(super) fn overdue_since(&self) -> Option<Instant> {
        if self.working.load(Relaxed) > 0 {
            return None;
        }
        let blocked = self.blocked_since.load(Relaxed).checked_sub(1);
        let oldest = self.waits().under_way.iter().map(|wait| wait.since.saturating_sub(1)).min();
        let since = self.opened + Duration::from_micros(oldest.into_iter().chain(blocked).min()?);
        (since + SPARED <= Instant::now()).then_some(since)
    }

    /// Whether it has been asked to leave and can be ended as it is.
    pub(super) fn is_leaving(&self) -> bool {
        let is_cut = || self.cut.load(Relaxed) && self.overdue_since().is_some();
        self.dismissed.load(Relaxed) && (self.is_idle() || is_cut())
    }

    /// Asks the connection to leave its place to another when it is idle.
    pub(super) fn dismiss(&self) {
        self.dismissed.store(true, Relaxed);
        self.leave.notify_one();
    }

    /// Asks it to leave at once, unless we work for it: its client is overdue.
    pub(super) fn cut(&self) {
        self.cut.store(true, Relaxed);
        self.dismiss();
    }

    /// Waits until it is asked to leave.
    pub(super) async fn dismissed(&self) {
        self.leave.notified().await;
    }

    /// What was wrong with the head of its last request, or in its body, if
    /// anything.
    pub(super) fn bad(&self) -> Option<Bad> {
        self.bad.get().copied()
    }

    /// Notes it; only the first counts.
    pub(super) fn refuse(&self, bad: Bad) {
        let _ = self.bad.set(bad);
    }

    /// Whether the requests before what was refused are under way. Then its
    /// reader is woken when they are not.
    pub(super) fn is_busy_before_fault(&self, cx: &Context<'_>) -> bool {
        if self.is_idle() {
            return false;
        }
        *self.reader.lock() = Some(cx.waker().clone());
        !self.is_idle()
    }

    /// Whether it is of HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.awaited.lock()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    /// When patience ends as things stand, and why.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, Reason)> {
        let at = |since: u64, limit: Option<Duration>, reason| {
            let since = since.checked_sub(1)?;
            Some((self.opened + Duration::from_micros(since) + limit?, reason))
        };
        let waits = self.waits();
        let answers = waits.under_way.iter().filter(|wait| wait.what == What::Answer);
        let oldest = answers.map(|wait| wait.since).min();
        drop(waits);
        let resting = self.rests();
        let may_be_head = !self.is_multiplexed() || !self.had_request.load(Relaxed);
        let head_since = if resting && may_be_head { self.head_since.load(Relaxed) } else { 0 };
        let idle_since = if resting && oldest.is_none() { self.idle_since.load(Relaxed) } else { 0 };
        [
            at(self.blocked_since.load(Relaxed), limits.write, Reason::SlowRead),
            at(oldest.unwrap_or(0), limits.write, Reason::SlowRead),
            at(head_since, limits.header, Reason::SlowHead),
            at(idle_since, limits.idle, Reason::Idle),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// Bytes came.
    pub(super) fn read(&self) {
        if self.rests() && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    /// The client took so many bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        if self.blocked_since.load(Relaxed) == 0 {
            return;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.taken.fetch_add(bytes, Relaxed).saturating_add(bytes) >= WRITE_QUOTA_BYTES {
            self.blocked_since.store(0, Relaxed);
        }
    }

    /// The client takes no more for now.
    pub(super) fn blocked(&self) {
        if self.blocked_since.load(Relaxed) == 0 {
            self.taken.store(0, Relaxed);
            self.blocked_since.store(self.now(), Relaxed);
        }
    }

    /// The client has all that was written.
    pub(super) fn flushed(&self) {
        self.blocked_since.store(0, Relaxed);
        self.wake_reader();
    }

    /// Where a head was refused, reading goes on as soon as nothing before it
    /// is under way.
    fn wake_reader(&self) {
        if self.bad.get().is_none() || !self.is_idle() {
            return;
        }
        if let Some(reader) = self.reader.lock().take() {
            reader.wake();
        }
    }
}

/// A request under way, until its answer is handed over or dropped.
#[derive(Debug)]
pub(super) struct Request {
    activity: Arc<Activity>,
    working: bool,
}

impl Request {
    /// A request whose head is complete.
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.working.fetch_add(1, Relaxed);
        activity.requests.fetch_add(1, Relaxed);
        activity.had_request.store(true, Relaxed);
        activity.head_since.store(0, Relaxed);
        Self { activity: Arc::clone(activity), working: true }
    }

    /// Its client is waited for to send the body, until what this gives is
    /// dropped.
    pub(super) fn await_body(&self) -> Awaited {
        Awaited::new(&self.activity, What::Body)
    }

    /// Its answer is ready: what is left is the client's to do.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.working) {
            self.activity.working.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.answered();
        let activity = &self.activity;
        if activity.requests.fetch_sub(1, Relaxed) == 1 {
            activity.head_since.store(0, Relaxed);
            activity.idle_since.store(activity.now(), Relaxed);
            activity.wake_reader();
        }
    }
}

/// Something that the client is waited for, until this is dropped: the rest of
/// a body; or an answer on its way to the client, in hyper's buffers or, over
/// HTTP/2, kept until the client makes room for it.
#[derive(Debug)]
pub(super) struct Awaited {
    activity: Arc<Activity>,
    number: u64,
    what: What,
}

impl Awaited {
    /// That an answer is taken, on the connection with this activity.
    pub(super) fn answer(activity: &Arc<Activity>) -> Self {
        Self::new(activity, What::Answer)
    }

    fn new(activity: &Arc<Activity>, what: What) -> Self {
        let since = activity.now();
        let mut waits = activity.waits();
        waits.begun += 1;
        let number = waits.begun;
        waits.under_way.push(Wait { number, since, what });
        drop(waits);
        if what == What::Body {
            activity.working.fetch_sub(1, Relaxed);
        }
        Self { activity: Arc::clone(activity), number, what }
    }

    /// The client did a part of it.
    pub(super) fn progress(&self) {
        let now = self.activity.now();
        let mut waits = self.activity.waits();
        if let Some(wait) = waits.under_way.iter_mut().find(|wait| wait.number == self.number) {
            wait.since = now;
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let activity = &self.activity;
        if self.what == What::Body {
            activity.working.fetch_add(1, Relaxed);
        }
        let mut waits = activity.waits();
        waits.under_way.retain(|wait| wait.number != self.number);
        let was_last = waits.under_way.is_empty();
        drop(waits);
        if was_last && activity.rests() {
            activity.idle_since.store(activity.now(), Relaxed);
            activity.wake_reader();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn limits() -> Limits {
        Config::load(None, std::iter::empty(), []).unwrap().limits
    }

    async fn due_in(activity: &Activity) -> Option<(u64, Reason)> {
        activity.due(&limits()).map(|(at, reason)| ((at - Instant::now()).as_secs(), reason))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_at_rest_is_idle_and_its_first_byte_starts_a_head() {
        let activity = Activity::new(false);
        assert_eq!(due_in(&activity).await, Some((75, Reason::Idle)));
        tokio::time::advance(Duration::from_secs(70)).await;
        activity.read();
        tokio::time::advance(Duration::from_secs(2)).await;
        activity.read();
        assert_eq!(due_in(&activity).await, Some((3, Reason::Idle)));
        let request = Request::begin(&activity);
        assert_eq!(due_in(&activity).await, None);
        drop(request);
        assert_eq!(due_in(&activity).await, Some((75, Reason::Idle)));
        activity.read();
        assert_eq!(due_in(&activity).await, Some((10, Reason::SlowHead)));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_between_requests_of_http_2_are_no_head_after_the_first_request() {
        let activity = Activity::new(true);
        activity.read();
        assert_eq!(due_in(&activity).await, Some((10, Reason::SlowHead)));
        drop(Request::begin(&activity));
        activity.read();
        assert_eq!(due_in(&activity).await, Some((75, Reason::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_must_take_a_quota_in_time() {
        let activity = Activity::new(false);
        let mut request = Request::begin(&activity);
        request.answered();
        let answer = Awaited::answer(&activity);
        assert_eq!(due_in(&activity).await, Some((30, Reason::SlowRead)));
        tokio::time::advance(Duration::from_secs(20)).await;
        activity.blocked();
        answer.progress();
        tokio::time::advance(Duration::from_secs(20)).await;
        activity.wrote(100);
        activity.blocked();
        assert_eq!(due_in(&activity).await, Some((10, Reason::SlowRead)));
        answer.progress();
        activity.wrote(16 << 10);
        assert_eq!(due_in(&activity).await, Some((30, Reason::SlowRead)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_that_waits_longest_decides_whatever_others_do() {
        let activity = Activity::new(true);
        let mut stuck = Request::begin(&activity);
        stuck.answered();
        let untaken = Awaited::answer(&activity);
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(5)).await;
            let mut busy = Request::begin(&activity);
            busy.answered();
            Awaited::answer(&activity).progress();
        }
        assert_eq!(due_in(&activity).await, Some((10, Reason::SlowRead)));
        // Also when its request is out of hyper's hands.
        drop(stuck);
        assert_eq!(due_in(&activity).await, Some((10, Reason::SlowRead)));
        drop(untaken);
        assert_eq!(due_in(&activity).await, Some((75, Reason::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_overdue_only_while_nothing_is_worked_on() {
        let activity = Activity::new(true);
        let began = Instant::now();
        let sending = Request::begin(&activity);
        assert_eq!(activity.overdue_since(), None);
        let body = sending.await_body();
        assert_eq!(activity.overdue_since(), None, "it may be on its way");
        tokio::time::advance(SPARED).await;
        assert_eq!(activity.overdue_since(), Some(began));
        let mut other = Request::begin(&activity);
        assert_eq!(activity.overdue_since(), None);
        other.answered();
        assert_eq!(activity.overdue_since(), Some(began));
        drop(body);
        assert_eq!(activity.overdue_since(), None, "the body is whole");
    }
}
