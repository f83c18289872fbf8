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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::head::HeadScan;
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

/// What a connection is doing. Times are milliseconds since it was opened,
/// plus one; 0 means "not now".
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    multiplexed: bool,
    requests: AtomicU32,
    answers: AtomicU32,
    had_request: AtomicBool,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    answer_since: AtomicU64,
    blocked_since: AtomicU64,
    taken: AtomicU64,
}

impl Activity {
    /// Of a connection that is open for requests now; `multiplexed` with
    /// HTTP/2, whose bytes between requests need not be a head.
    pub(super) fn new(multiplexed: bool) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            multiplexed,
            requests: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            had_request: AtomicBool::new(false),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            answer_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        })
    }

    /// Whether no request is under way.
    pub(super) fn rests(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// When patience ends as things stand, and why.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, Reason)> {
        let at = |since: &AtomicU64, limit: Option<Duration>, reason| {
            let since = since.load(Relaxed).checked_sub(1)?;
            Some((self.opened + Duration::from_millis(since) + limit?, reason))
        };
        let resting = self.requests.load(Relaxed) == 0;
        let answering = self.answers.load(Relaxed) > 0;
        let may_be_head = !self.multiplexed || !self.had_request.load(Relaxed);
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
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let Some(read) = buf.filled().get(before..).filter(|read| !read.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        self.activity.read();
        if !self.activity.multiplexed && !self.head.accepts(read) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "an ambiguous request head")));
        }
        Poll::Ready(Ok(()))
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
