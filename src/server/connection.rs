//! One connection, from the handshake to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::service::{HttpService, service_fn};
use hyper::{StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use poem::RequestParts;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::{Admission, Place, Share};
use super::held::Held;
use super::patience::{self, Activity, Reason, Watched};
use super::peer::Proxies;
use super::redirect::Redirect;
use super::tls::ACME_TLS;
use crate::api::envelope::Api;
use crate::api::problem::Problem;
use crate::api::{Caller, Peer};
use crate::config::{Limits, TrustedHeader};
use crate::metrics::Throttle;

/// Bytes of a request head (HTTP/1.1: what hyper buffers at most; HTTP/2:
/// header list, RFC 9113, section 6.5.2).
const HEAD_BYTES: usize = 16 << 10;
/// Lines in a request head.
const HEAD_LINES: usize = 64;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS: u32 = 64;
/// Streams that a client may have reset before they were looked at; more end
/// the connection (CVE-2023-44487).
const RESET_STREAMS: usize = 20;
/// Bytes of answers kept for one HTTP/2 stream.
const STREAM_BUFFER: usize = 64 << 10;
/// Bytes of an answer that wait in the TLS layer of a connection, for a client
/// that reads slowly.
const TLS_BUFFER: usize = 16 << 10;
/// What is read on of a body that is too large, so that its sender gets the
/// answer: bytes, and time.
const DRAINED_BYTES: usize = 1 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(2);
/// HTTP/2 pings, so that a client that vanished is noticed.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));

/// For a client to take the end of a connection on which there is no request.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of plain HTTP that are read before such a connection is cut.
const PLAIN_BYTES: u64 = 64 << 10;

/// For who speaks plain HTTP to the TLS port.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 34\r\nConnection: close\r\n\r\nThis port speaks HTTPS: use https\n";

/// What all connections share.
pub(super) struct Door {
    pub(super) answers: Answers,
    /// `None`: plain HTTP.
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) proxies: Proxies,
    /// Only proxies may connect.
    pub(super) proxies_only: bool,
    pub(super) admission: Arc<Admission>,
    pub(super) stopping: CancellationToken,
    pub(super) connections: TaskTracker,
}

impl Door {
    /// A plain door beside this one, which shares its limits and its end.
    pub(super) fn beside(&self, answers: Answers) -> Self {
        Self {
            answers,
            acceptor: None,
            limits: self.limits.clone(),
            proxies: Proxies::new(Vec::new(), TrustedHeader::XForwardedFor),
            proxies_only: false,
            admission: Arc::clone(&self.admission),
            stopping: self.stopping.clone(),
            connections: self.connections.clone(),
        }
    }

    /// Counts a connection that was turned away.
    pub(super) fn throttled(&self) {
        if let Answers::Api(api) = &self.answers {
            api.metrics().throttled(Throttle::Connection);
        }
    }
}

/// Who answers requests.
pub(super) enum Answers {
    /// The API.
    Api(Api),
    /// The plain listener beside HTTPS.
    Redirect(Redirect),
}

/// Serves a connection to its end. It holds its places until then.
pub(super) async fn serve(door: Arc<Door>, socket: TcpStream, remote: SocketAddr, _held: (Place, Share)) {
    if door.proxies_only && !door.proxies.trust(remote.ip()) && !remote.ip().is_loopback() {
        tracing::debug!(%remote, "closed: not a listed proxy, and tls.mode is off");
        return;
    }
    match &door.acceptor {
        None => speak(&door, socket, remote, Activity::new(false), false).await,
        Some(acceptor) => {
            let handshake = async {
                // Seen before rustls, whose alert would spoil the answer.
                let mut first = [0];
                let read = socket.peek(&mut first).await?;
                if read > 0 && first.iter().all(u8::is_ascii_alphabetic) {
                    return Ok(Err(socket));
                }
                let bounded = |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(TLS_BUFFER));
                acceptor.accept_with(Held::new(socket), bounded).await.map(Ok)
            };
            let Some(shaken) = limited(door.limits.handshake, handshake).await else {
                tracing::debug!(%remote, "closed: the TLS handshake took too long");
                return;
            };
            match shaken {
                // An ACME server has seen what it came for (RFC 8737, section
                // 3).
                Ok(Ok(mut stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {
                    let _ = limited(Some(FAREWELL), stream.shutdown()).await;
                }
                Ok(Ok(mut stream)) => {
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let activity = Activity::new(h2);
                    stream.get_mut().0.shaken(Arc::clone(&activity));
                    speak(&door, stream, remote, activity, h2).await;
                }
                Ok(Err(socket)) => {
                    tracing::debug!(%remote, "closed: plain HTTP on the TLS port");
                    let _ = limited(Some(FAREWELL), refuse_plain(socket)).await;
                }
                Err(error) => tracing::debug!(%remote, %error, "the TLS handshake failed"),
            }
        }
    }
}

/// Tells who speaks plain HTTP to the TLS port, and waits for the end of what
/// it sends: bytes that were not read would make the system drop the answer.
async fn refuse_plain(mut socket: TcpStream) -> std::io::Result<()> {
    socket.write_all(USE_HTTPS).await?;
    socket.shutdown().await?;
    tokio::io::copy(&mut socket.take(PLAIN_BYTES), &mut tokio::io::sink()).await.map(|_| ())
}

/// Waits for `work`, at most `limit`; `None` when the time was not enough.
async fn limited<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

/// Speaks HTTP/2 or HTTP/1.1 until the client, the limits or the end of the
/// process part us.
async fn speak<S>(door: &Arc<Door>, stream: S, remote: SocketAddr, activity: Arc<Activity>, h2: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let service = service(door, Caller::Stranger, remote.ip(), &activity);
    if h2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(RESET_STREAMS)
            .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
            .max_send_buf_size(STREAM_BUFFER)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        attend(pin!(builder.serve_connection(io, service)), &activity, door, remote).await;
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(HEAD_LINES)
            // Without pipeline_flush, which copies each answer into a buffer
            // of its own: of 1.4 MB for each reader who does not read.
            .max_buf_size(HEAD_BYTES);
        attend(pin!(builder.serve_connection(io, service)), &activity, door, remote).await;
    }
}

/// What answers the requests of one connection.
pub(super) fn service(
    door: &Arc<Door>,
    caller: Caller,
    address: IpAddr,
    activity: &Arc<Activity>,
) -> impl HttpService<Incoming, ResBody = Tracked, Error = Infallible, Future: Send> + use<> {
    let (door, activity) = (Arc::clone(door), Arc::clone(activity));
    service_fn(move |request| {
        let (door, caller, tracked) =
            (Arc::clone(&door), caller.clone(), patience::Request::begin(&activity));
        async move { Ok::<_, Infallible>(handle(&door, request, caller, address, tracked).await) }
    })
}

/// A connection of either protocol that can be asked to end.
trait Graceful: Future<Output = hyper::Result<()>> {
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

/// Drives a connection within the limits.
async fn attend<C: Graceful>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    door: &Door,
    remote: SocketAddr,
) {
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    let mut ending: Option<Instant> = None;
    let mut stopping = pin!(door.stopping.cancelled());
    let mut told = false;
    poll_fn(|cx| {
        if !told && stopping.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().end_soon();
        }
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                if let Err(error) = result {
                    tracing::debug!(%remote, %error, "the connection broke");
                }
                return Poll::Ready(());
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
            return Poll::Ready(());
        }
    })
    .await;
}

/// Reads a request's body within the limits and has it answered.
async fn handle(
    door: &Door,
    request: hyper::Request<Incoming>,
    caller: Caller,
    address: IpAddr,
    mut tracked: patience::Request,
) -> hyper::Response<Tracked> {
    let (parts, body) = request.into_parts();
    let api = match &door.answers {
        Answers::Api(api) => api,
        Answers::Redirect(redirect) => {
            let response = redirect.answer(&parts);
            tracing::debug!(%address, status = response.status().as_u16(), "plain HTTP was answered");
            tracked.progress();
            return response.map(|body| Tracked {
                body: http_body_util::Full::new(body).map_err(|never| match never {}).boxed(),
                tracked,
            });
        }
    };
    let version = parts.version;
    let (body, refusal) = match read_body(door, &parts, body).await {
        Ok(body) => (body, None),
        Err(problem) => (Bytes::new(), Some(problem)),
    };
    let refused = refusal.is_some();
    let client = match caller {
        Caller::Stranger => door.proxies.client(address, &parts.headers),
        Caller::System(_) => address,
    };
    let scheme = if door.acceptor.is_some() {
        hyper::http::uri::Scheme::HTTPS
    } else {
        hyper::http::uri::Scheme::HTTP
    };
    let address = poem::Addr::SocketAddr(SocketAddr::new(address, 0));
    let parts = RequestParts::from((parts, LocalAddr(address.clone()), RemoteAddr(address), scheme));
    let mut request = poem::Request::from_parts(parts, poem::Body::from_bytes(body));
    request.set_data(Peer(client));
    request.set_data(caller);
    let response = match refusal {
        Some(problem) => api.refuse(&request, problem),
        None => api.answer(request).await,
    };
    tracked.progress();
    let mut response = hyper::Response::<BoxBody<Bytes, std::io::Error>>::from(response);
    if refused && version < Version::HTTP_2 {
        // What is left of the body is not read.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Tracked { body, tracked })
}

/// Reads the body of a request whole: it is small, or it is refused.
async fn read_body(
    door: &Door,
    head: &hyper::http::request::Parts,
    mut body: Incoming,
) -> Result<Bytes, Problem> {
    let most = door.limits.body_bytes.unwrap_or(usize::MAX);
    let too_large = || Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE);
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        drain(body, head).await;
        return Err(too_large());
    }
    match limited(door.limits.body, gather(&mut body, most)).await {
        Some(Ok(body)) => Ok(body),
        Some(Err(Ungathered::TooLarge)) => {
            drain(body, head).await;
            Err(too_large())
        }
        Some(Err(Ungathered::Broken)) => Err(Problem::malformed("the body broke off")),
        None => Err(Problem::of_status(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// Why a body was not read whole.
#[derive(Debug, PartialEq, Eq)]
enum Ungathered {
    TooLarge,
    Broken,
}

/// Copies a body of at most `most` bytes together. Its parts are not kept:
/// each holds the buffer of 8 KiB that it was read into, and a client may send
/// byte by byte.
async fn gather<B: Body<Data = Bytes> + Unpin>(body: &mut B, most: usize) -> Result<Bytes, Ungathered> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Ungathered::Broken)?;
        // Trailers mean nothing here.
        let Ok(part) = frame.into_data() else { continue };
        if part.len() > most.saturating_sub(whole.len()) {
            return Err(Ungathered::TooLarge);
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.into())
}

/// Reads on for a while what is not wanted: a client that is still sending
/// when the connection closes loses the answer that says why (RFC 9112, section
/// 9.6). One that waits for leave to send is not made to.
async fn drain(body: Incoming, head: &hyper::http::request::Parts) {
    if head.headers.contains_key(header::EXPECT) {
        return;
    }
    let read_on = Limited::new(body, DRAINED_BYTES).collect();
    let _ = limited(Some(DRAINED_FOR), read_on).await;
}

/// An answer's body, whose progress counts as the request's.
pub(super) struct Tracked {
    body: BoxBody<Bytes, std::io::Error>,
    tracked: patience::Request,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.tracked.progress();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

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
        let whole = gather(&mut parts(), 10).await.unwrap();
        assert_eq!(whole, "xxxxxxxxxx");
        assert!(buffer.is_unique(), "no part is kept");
        assert_eq!(gather(&mut parts(), 9).await, Err(Ungathered::TooLarge));
    }
}
