//! Drives a connection: polls it, and ends it when a limit or the server's stop
//! says so.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::HttpService;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use super::door::Door;
use super::patience::{Activity, Reason};

/// A connection of either protocol that can be asked to end.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Asks it to end when what has begun is done.
    fn end_soon(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for hyper::server::conn::http1::Connection<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end_soon(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Graceful for hyper::server::conn::http2::Connection<I, S, TokioExecutor>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end_soon(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Drives a connection to its end, within the limits, and tells what broke it.
///
/// Three things are polled here, in one task: the server's stop and requests to
/// leave the place; the connection, which is hyper's, and inside which the socket and, over HTTP/1.1, the requests are;
/// and one timer. hyper's part wakes the task when the socket or a request has
/// something. Nobody wakes it when a limit changes: what the connection does is
/// written down in its [`Activity`] while it is polled, so after each poll
/// [`Activity::due`] is asked again when patience ends, and the timer is moved
/// only when that is earlier than what it is set to. Mostly it is later (a
/// request came, the answer went), and then the timer fires once for nothing and
/// is set again: so a busy connection pays one comparison a request, and one at rest
/// wakes once. A timer for each limit would have to be set and unset with every
/// request.
///
/// A connection that ends without fault, stopping, idle or in the way, is told
/// so first (`Connection: close`, GOAWAY), and has `limits.write_seconds` to
/// take what is left; one in the way leaves at once when it rests, and one to
/// be cut when only its client is waited for.
pub(super) async fn attend<C: Graceful>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    door: &Door,
    remote: SocketAddr,
) -> Option<hyper::Error> {
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    let mut ending: Option<Instant> = None;
    let mut stopping = pin!(door.stopping.cancelled());
    let mut dismissed = pin!(activity.dismissed());
    let (mut told, mut in_the_way) = (false, false);
    poll_fn(|cx| {
        if !told && stopping.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().end_soon();
        }
        while dismissed.as_mut().poll(cx).is_ready() {
            // It may be asked again: when it is to be cut.
            dismissed.set(activity.dismissed());
            if std::mem::replace(&mut in_the_way, true) {
                continue;
            }
            // A request that has just come is seen first.
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(broken(result, remote));
            }
            connection.as_mut().end_soon();
        }
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(broken(result, remote));
            }
            if in_the_way && activity.is_leaving() {
                tracing::debug!(%remote, "closed while its client was waited for: its place was needed");
                return Poll::Ready(None);
            }
            let due = activity.due(&door.limits);
            let due = match (due, ending) {
                (due @ Some((at, _)), Some(end)) if at < end => due,
                (_, Some(end)) => Some((end, Reason::SlowRead)),
                (due, None) => due,
            };
            let Some((at, reason)) = due else {
                return Poll::Pending;
            };
            // A timer that is armed for earlier fires and comes back here.
            if at < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() < at {
                continue;
            }
            if reason == Reason::Idle && ending.is_none() {
                connection.as_mut().end_soon();
                ending = Some(Instant::now() + door.limits.write.unwrap_or(Duration::from_secs(30)));
                continue;
            }
            tracing::debug!(%remote, ?reason, "closed: out of patience");
            return Poll::Ready(None);
        }
    })
    .await
}

fn broken(result: hyper::Result<()>, remote: SocketAddr) -> Option<hyper::Error> {
    let error = result.err()?;
    tracing::debug!(%remote, %error, "the connection broke");
    Some(error)
}
