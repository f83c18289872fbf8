//! The body of an answer, on its way out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};

use super::budget::Hold;
use super::patience::{self, Activity, Awaited};

/// Bytes of an answer that are handed over at once: what a client must take in
/// time, so that each of them shows that it takes any.
const PIECE_BYTES: usize = 16 << 10;

/// An answer's body, whose bytes count as held, and whose client is waited for,
/// until the last of them has left.
pub(super) struct Tracked {
    /// Of `body`, what has been taken from it already.
    next: Option<Bytes>,
    body: BoxBody<Bytes, std::io::Error>,
    _tracked: patience::Request,
    way: Arc<OnItsWay>,
}

/// What ends when the last byte of an answer has left.
struct OnItsWay {
    _hold: Option<Hold>,
    untaken: Awaited,
}

/// A piece of an answer. hyper and h2 keep pieces long after the body they were
/// taken from has come to its end: over HTTP/2, until the client makes room.
struct Piece {
    bytes: Bytes,
    way: Arc<OnItsWay>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.way.untaken.progress();
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Tracked {
    /// `first` has been taken from `body` already; `tracked` is the request
    /// that is answered, and `hold` what it has us keep.
    pub(super) fn new(
        first: Option<Bytes>,
        body: BoxBody<Bytes, std::io::Error>,
        tracked: patience::Request,
        hold: Option<Hold>,
        activity: &Arc<Activity>,
    ) -> Self {
        let way = Arc::new(OnItsWay { _hold: hold, untaken: Awaited::answer(activity) });
        Self { next: first.filter(|first| !first.is_empty()), body, _tracked: tracked, way }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let polled = match self.next.take() {
            Some(next) => Poll::Ready(Some(Ok(Frame::data(next)))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        };
        if polled.is_ready() {
            self.way.untaken.progress();
        }
        let piece = |mut bytes: Bytes| {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            self.next = Some(bytes).filter(|bytes| !bytes.is_empty());
            Bytes::from_owner(Piece { bytes: piece, way: Arc::clone(&self.way) })
        };
        polled.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let next = self.next.as_ref().map_or(0, |next| u64::try_from(next.len()).unwrap_or(u64::MAX));
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(next));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(next));
        }
        hint
    }
}
