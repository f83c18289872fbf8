//! The body of an answer, on its way out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};

use super::budget::Hold;
use super::patience::{self, Activity, Untaken};

/// An answer's body, whose progress counts as the request's, and whose bytes
/// count as held until the last of them has left.
pub(super) struct Tracked {
    /// Of `body`, what has been taken from it already.
    first: Option<Bytes>,
    body: BoxBody<Bytes, std::io::Error>,
    tracked: patience::Request,
    way: Arc<OnItsWay>,
}

/// What ends when the last byte of an answer has left.
struct OnItsWay {
    _hold: Option<Hold>,
    _untaken: Untaken,
}

/// A piece of an answer. hyper and h2 keep pieces long after the body they were
/// taken from has come to its end: over HTTP/2, until the client makes room.
struct Piece {
    bytes: Bytes,
    _way: Arc<OnItsWay>,
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
        let way = Arc::new(OnItsWay { _hold: hold, _untaken: Untaken::new(activity) });
        Self { first: first.filter(|first| !first.is_empty()), body, tracked, way }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let polled = match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        };
        if polled.is_ready() {
            self.tracked.progress();
        }
        let way = &self.way;
        let piece = |bytes| Bytes::from_owner(Piece { bytes, _way: Arc::clone(way) });
        polled.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| u64::try_from(first.len()).unwrap_or(u64::MAX));
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint
    }
}
