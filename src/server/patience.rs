//! How long a connection is waited for.
//!
//! hyper's own time limits cannot tell a slow request head from a connection
//! that rests between requests, and it has none for a client that does not
//! read. So each connection carries an [`Activity`], written by its socket
//! wrapper ([`Watched`]) and by its requests, from which [`Activity::due`]
//! tells at any time when patience ends and why. One timer a connection,
//! armed lazily: a connection at rest wakes nothing until its limit.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::head::{Fault, HeadScan};
use crate::config::Limits;

/// What a client must take of an answer within `limits.write_seconds`, unless
/// less is left.
const WRITE_QUOTA_BYTES: u64 = 16 << 10;

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
    answers: AtomicU32,
    untaken: AtomicU32,
    had_request: AtomicBool,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    answer_since: AtomicU64,
    blocked_since: AtomicU64,
    taken: AtomicU64,
    dismissed: AtomicBool,
    leave: Notify,
    fault: OnceLock<Fault>,
    /// Who reads on when the requests before a bad head have been answered.
    reader: Mutex<Option<Waker>>,
}

impl Activity {
    /// Of a connection that has just come; `multiplexed` with HTTP/2, whose
    /// bytes between requests need not be a head.
    pub(super) fn new(multiplexed: bool) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            multiplexed: AtomicBool::new(multiplexed),
            requests: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            untaken: AtomicU32::new(0),
            had_request: AtomicBool::new(false),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            answer_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            dismissed: AtomicBool::new(false),
            leave: Notify::new(),
            fault: OnceLock::new(),
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
        self.rests() && self.untaken.load(Relaxed) == 0 && self.blocked_since.load(Relaxed) == 0
    }

    /// Since when the connection has been idle, where it may be asked to
    /// leave: a request is waited for, or a handshake, or a head to its end.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let since = self.idle_since.load(Relaxed).saturating_sub(1);
        let may_leave = self.is_idle() && !self.dismissed.load(Relaxed);
        may_leave.then(|| self.opened + Duration::from_micros(since))
    }

    /// Whether it has been asked to, and will when it is polled next.
    pub(super) fn is_leaving(&self) -> bool {
        self.dismissed.load(Relaxed) && self.is_idle()
    }

    /// Asks the connection to leave its place to another.
    pub(super) fn dismiss(&self) {
        self.dismissed.store(true, Relaxed);
        self.leave.notify_one();
    }

    /// Waits until it is asked to leave.
    pub(super) async fn dismissed(&self) {
        self.leave.notified().await;
    }

    /// What was wrong with the head of its last request, if anything.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get().copied()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    /// When patience ends as things stand, and why.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, Reason)> {
        let at = |since: &AtomicU64, limit: Option<Duration>, reason| {
            let since = since.load(Relaxed).checked_sub(1)?;
            Some((self.opened + Duration::from_micros(since) + limit?, reason))
        };
        let resting = self.requests.load(Relaxed) == 0;
        let answering = self.answers.load(Relaxed) > 0;
        let may_be_head = !self.multiplexed.load(Relaxed) || !self.had_request.load(Relaxed);
        [
            at(&self.blocked_since, limits.write, Reason::SlowRead),
            answering.then(|| at(&self.answer_since, limits.write, Reason::SlowRead)).flatten(),
            (resting && may_be_head).then(|| at(&self.head_since, limits.header, Reason::SlowHead)).flatten(),
            resting.then(|| at(&self.idle_since, limits.idle, Reason::Idle)).flatten(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    fn read(&self) {
        if self.requests.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    fn wrote(&self, bytes: usize) {
        if self.blocked_since.load(Relaxed) == 0 {
            return;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.taken.fetch_add(bytes, Relaxed).saturating_add(bytes) >= WRITE_QUOTA_BYTES {
            self.blocked_since.store(0, Relaxed);
        }
    }

    fn blocked(&self) {
        if self.blocked_since.load(Relaxed) == 0 {
            self.taken.store(0, Relaxed);
            self.blocked_since.store(self.now(), Relaxed);
        }
    }

    fn flushed(&self) {
        self.blocked_since.store(0, Relaxed);
        self.wake_reader();
    }

    /// Where a head was refused, reading goes on as soon as nothing before it
    /// is under way.
    fn wake_reader(&self) {
        if self.fault.get().is_none() || !self.is_idle() {
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
    answering: bool,
}

impl Request {
    /// A request whose head is complete.
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Relaxed);
        activity.had_request.store(true, Relaxed);
        activity.head_since.store(0, Relaxed);
        Self { activity: Arc::clone(activity), answering: false }
    }

    /// The answer is ready, or a part of it was taken.
    pub(super) fn progress(&mut self) {
        if !self.answering {
            self.answering = true;
            self.activity.answers.fetch_add(1, Relaxed);
        }
        self.activity.answer_since.store(self.activity.now(), Relaxed);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let activity = &self.activity;
        if self.answering {
            activity.answers.fetch_sub(1, Relaxed);
        }
        if activity.requests.fetch_sub(1, Relaxed) == 1 {
            activity.head_since.store(0, Relaxed);
            activity.idle_since.store(activity.now(), Relaxed);
            activity.wake_reader();
        }
    }
}

/// A part of an answer that is on its way to the client: in hyper's buffers or,
/// over HTTP/2, kept until the client makes room for it.
#[derive(Debug)]
pub(super) struct Untaken(Arc<Activity>);

impl Untaken {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.untaken.fetch_add(1, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        if self.0.untaken.fetch_sub(1, Relaxed) == 1 && self.0.rests() {
            self.0.idle_since.store(self.0.now(), Relaxed);
            self.0.wake_reader();
        }
    }
}

/// A socket whose reads and writes are noted.
pub(super) struct Watched<S> {
    socket: S,
    activity: Arc<Activity>,
    head: HeadScan,
}

impl<S> Watched<S> {
    /// Notes what `socket` does in `activity`.
    pub(super) fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self { socket, activity, head: HeadScan::default() }
    }

    /// The socket.
    pub(super) fn into_inner(self) -> S {
        self.socket
    }

    /// The end of what is read, behind a head that was refused: it never gets
    /// to hyper. A request before it is answered first.
    fn refused(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if !self.activity.is_idle() {
            let mut reader = self.activity.reader.lock();
            *reader = Some(cx.waker().clone());
            drop(reader);
            if !self.activity.is_idle() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a bad request head")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.activity.fault().is_some() {
            return self.refused(cx);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let Some(read) = buf.filled().get(before..).filter(|read| !read.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        self.activity.read();
        if self.activity.multiplexed.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let Err(refused) = self.head.scan(read) else {
            return Poll::Ready(Ok(()));
        };
        let _ = self.activity.fault.set(refused.fault);
        match refused.good {
            Some(0) => {
                buf.set_filled(before);
                self.refused(cx)
            }
            Some(good) => {
                buf.set_filled(before + good);
                Poll::Ready(Ok(()))
            }
            // Within a body, whose reader has to fail.
            None => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a bad line in a body"))),
        }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.activity.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.blocked(),
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        match &flushed {
            Poll::Ready(_) => self.activity.flushed(),
            Poll::Pending => self.activity.blocked(),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper is done with it, and the answer to a bad head is not.
        if self.activity.fault().is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
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
        request.progress();
        assert_eq!(due_in(&activity).await, Some((30, Reason::SlowRead)));
        tokio::time::advance(Duration::from_secs(20)).await;
        activity.blocked();
        request.progress();
        tokio::time::advance(Duration::from_secs(20)).await;
        activity.wrote(100);
        activity.blocked();
        assert_eq!(due_in(&activity).await, Some((10, Reason::SlowRead)));
        request.progress();
        activity.wrote(16 << 10);
        assert_eq!(due_in(&activity).await, Some((30, Reason::SlowRead)));
    }
}
