//! The body of a request: read whole, within the limits, or refused.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header;

use super::budget::{Hold, Over};
use super::door::Door;
use super::parting::limited;
use crate::api::problem::Problem;
use crate::metrics::Throttle;

/// How much more is read of a body that is refused, so that its sender gets the
/// answer: bytes, and time.
const DRAINED_BYTES: usize = 1 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// Reads the body of a request whole: it is small, or it is refused.
pub(super) async fn read_body(
    door: &Door,
    head: &hyper::http::request::Parts,
    mut body: Incoming,
    hold: &mut Hold,
) -> Result<Bytes, Problem> {
    let most = door.limits.body_bytes.unwrap_or(usize::MAX);
    let too_large = || Problem::large_body();
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        drain(body, head).await;
        return Err(too_large());
    }
    match limited(door.limits.body, gather(&mut body, most, |bytes| hold.grow(bytes))).await {
        Some(Ok(body)) => Ok(body),
        Some(Err(Ungathered::TooLarge)) => {
            drain(body, head).await;
            Err(too_large())
        }
        Some(Err(Ungathered::Held(over))) => {
            drain(body, head).await;
            Err(too_much(door, over))
        }
        Some(Err(Ungathered::Broken)) => Err(Problem::malformed("the body broke off")),
        None => Err(Problem::slow_body()),
    }
}

/// Why a body was not read whole.
#[derive(Debug, PartialEq, Eq)]
enum Ungathered {
    TooLarge,
    Held(Over),
    Broken,
}

/// Copies a body of at most `most` bytes together; `hold` is asked for the
/// bytes that it takes, before it takes them. Its parts are not kept: each holds
/// the buffer of 8 KiB that it was read into, and a client may send byte by
/// byte.
async fn gather<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    most: usize,
    mut hold: impl FnMut(usize) -> Result<(), Over>,
) -> Result<Bytes, Ungathered> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Ungathered::Broken)?;
        // Trailers mean nothing here.
        let Ok(part) = frame.into_data() else { continue };
        if part.len() > most.saturating_sub(whole.len()) {
            return Err(Ungathered::TooLarge);
        }
        let needed = whole.len() + part.len();
        if needed > whole.capacity() {
            let room = needed.max(whole.capacity().saturating_mul(2)).min(most);
            hold(room - whole.capacity()).map_err(Ungathered::Held)?;
            whole.reserve_exact(room - whole.len());
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.into())
}

/// Reads more of a body for a while and throws it away: a client
/// that is still sending when the connection closes loses the answer that says
/// why (RFC 9112, section 9.6). One that waits for leave to send is not made to.
async fn drain(mut body: Incoming, head: &hyper::http::request::Parts) {
    if head.headers.contains_key(header::EXPECT) {
        return;
    }
    let read_on = async {
        let mut left = DRAINED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(left) => left,
                None => break,
            };
        }
    };
    let _ = limited(Some(DRAINED_FOR), read_on).await;
}

/// The problem of who is at a limit, which is counted.
pub(super) fn too_much(door: &Door, over: Over) -> Problem {
    let (limit, problem) = match over {
        Over::Connection => (Throttle::HeldByConnection, Problem::holds_too_much()),
        Over::Network => (Throttle::HeldByAddress, Problem::holds_too_much()),
        Over::All => (Throttle::Held, Problem::all_hold_too_much()),
    };
    door.throttled(limit, 1);
    problem
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::*;

    /// A body that comes in these parts.
    struct Parts(VecDeque<Bytes>);

    impl Body for Parts {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
        }
    }

    #[tokio::test]
    async fn a_body_is_gathered_without_keeping_the_buffers_it_came_in() {
        let buffer = Bytes::from(vec![b'x'; 8192]);
        let parts = || Parts((0..10).map(|at| buffer.slice(at..=at)).collect());
        let mut held = 0;
        let mut hold = |bytes| {
            held += bytes;
            if held > 20 { Err(Over::Connection) } else { Ok(()) }
        };
        let whole = gather(&mut parts(), 10, &mut hold).await.unwrap();
        assert_eq!(whole, "xxxxxxxxxx");
        assert!(buffer.is_unique(), "no part is kept");
        assert_eq!(gather(&mut parts(), 9, &mut hold).await, Err(Ungathered::TooLarge));
        assert_eq!(gather(&mut parts(), 10, &mut hold).await, Err(Ungathered::Held(Over::Connection)));
    }
}
