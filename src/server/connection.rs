//! One connection, from the handshake to its end.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::service::{HttpService, service_fn};
use hyper::{HeaderMap, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use poem::RequestParts;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::{Admission, Place};
use super::budget::{Account, Budget, Hold, Over};
use super::handshake_buffer::HandshakeBuffer;
use super::head::{self, Fault};
use super::host;
use super::patience::{self, Activity, Reason, Untaken, Watched};
use super::peer::Proxies;
use super::redirect::Redirect;
use super::refusal;
use super::tls::ACME_TLS;
use crate::api::envelope::Api;
use crate::api::problem::Problem;
use crate::api::{Caller, Peer};
use crate::config::{Limits, TrustedHeader};
use crate::domain::Network;
use crate::metrics::Throttle;

/// Requests at the same time on one HTTP/2 connection.
const STREAMS: u32 = 64;
/// Streams that a client may have reset before they were looked at; more end
/// the connection (CVE-2023-44487).
const RESET_STREAMS: usize = 20;
/// Bytes of bodies that may be under way to us on one HTTP/2 stream, and on its
/// connection: what h2 keeps at most until a body is read.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 64 << 10;
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
/// Bytes that are read on before a connection is cut whose client has been told
/// why.
const UNWANTED_BYTES: u64 = 64 << 10;

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
    pub(super) budget: Arc<Budget>,
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
            budget: Arc::clone(&self.budget),
            stopping: self.stopping.clone(),
            connections: self.connections.clone(),
        }
    }

    /// Counts clients that were turned away.
    pub(super) fn throttled(&self, by: Throttle, times: usize) {
        if let Answers::Api(api) = &self.answers {
            (0..times).for_each(|_| api.metrics().throttled(by));
        }
    }

    /// Notes that idle connections were asked to leave.
    pub(super) fn dismissed(&self, count: usize) {
        self.throttled(Throttle::Place, count);
    }
}

/// Who answers requests.
pub(super) enum Answers {
    /// The API.
    Api(Api),
    /// The plain listener beside HTTPS.
    Redirect(Redirect),
}

/// Serves a connection to its end. It holds its place until then.
pub(super) async fn serve(door: Arc<Door>, socket: TcpStream, remote: SocketAddr, place: Place) {
    if door.proxies_only && !door.proxies.trust(remote.ip()) && !remote.ip().is_loopback() {
        tracing::debug!(%remote, "closed: not a listed proxy, and tls.mode is off");
        return;
    }
    let activity = &place.activity;
    let Some(acceptor) = &door.acceptor else {
        speak(&door, socket, remote, activity, false).await;
        return;
    };
    let handshake = limited(door.limits.handshake, shake(acceptor, socket));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = activity.dismissed() => {
            tracing::debug!(%remote, "closed in its TLS handshake: its place was needed");
            return;
        }
    };
    match shaken {
        None => tracing::debug!(%remote, "closed: the TLS handshake took too long"),
        // An ACME server has seen what it came for (RFC 8737, section 3).
        Some(Shaken::Tls(mut stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {
            let _ = limited(Some(FAREWELL), stream.shutdown()).await;
        }
        Some(Shaken::Tls(mut stream)) => {
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            activity.shaken(h2);
            stream.get_mut().0.shaken(Arc::clone(activity));
            speak(&door, *stream, remote, activity, h2).await;
        }
        Some(Shaken::Plain(mut socket)) => {
            tracing::debug!(%remote, "closed: plain HTTP on the TLS port");
            let _ = limited(Some(FAREWELL), part(&mut socket, USE_HTTPS)).await;
        }
        Some(Shaken::Failed(error, mut socket)) => {
            tracing::debug!(%remote, %error, "the TLS handshake failed");
            // With the alert that says why (RFC 8446, section 6.2), which is
            // in the socket's hands.
            let _ = limited(Some(FAREWELL), part(&mut socket, b"")).await;
        }
        Some(Shaken::Gone(error)) => tracing::debug!(%remote, %error, "the client left before its handshake"),
    }
}

/// How a handshake ended.
enum Shaken {
    Tls(Box<TlsStream<HandshakeBuffer<TcpStream>>>),
    /// Somebody speaks plain HTTP.
    Plain(TcpStream),
    Failed(std::io::Error, HandshakeBuffer<TcpStream>),
    Gone(std::io::Error),
}

async fn shake(acceptor: &TlsAcceptor, socket: TcpStream) -> Shaken {
    // Seen before rustls, whose alert would spoil the answer.
    let mut first = [0];
    match socket.peek(&mut first).await {
        Err(error) => return Shaken::Gone(error),
        Ok(read) if read > 0 && first.iter().all(u8::is_ascii_alphabetic) => return Shaken::Plain(socket),
        Ok(_) => {}
    }
    let bounded = |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(TLS_BUFFER));
    match acceptor.accept_with(HandshakeBuffer::new(socket), bounded).into_fallible().await {
        Ok(stream) => Shaken::Tls(Box::new(stream)),
        Err((error, socket)) => Shaken::Failed(error, socket),
    }
}

/// Sends a last word and waits for the end of what the client sends: bytes that
/// were not read would make the system drop it.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, word: &[u8]) -> std::io::Result<()> {
    socket.write_all(word).await?;
    socket.shutdown().await?;
    tokio::io::copy(&mut socket.take(UNWANTED_BYTES), &mut tokio::io::sink()).await.map(|_| ())
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
async fn speak<S>(door: &Arc<Door>, stream: S, remote: SocketAddr, activity: &Arc<Activity>, h2: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Watched::new(stream, Arc::clone(activity)));
    let account = door.budget.account(!door.proxies.trust(remote.ip()));
    let service = service(door, Caller::Stranger, remote.ip(), activity, account);
    if h2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(RESET_STREAMS)
            // The header list (RFC 9113, section 6.5.2).
            .max_header_list_size(u32::try_from(head::MAX_BYTES).unwrap_or(u32::MAX))
            .max_send_buf_size(STREAM_BUFFER)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        attend(pin!(builder.serve_connection(io, service)), activity, door, remote).await;
        return;
    }
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(head::MAX_LINES)
        // Without pipeline_flush, which copies each answer into a buffer of
        // its own: of 1.4 MB for each reader who does not read.
        .max_buf_size(head::MAX_BYTES);
    let mut connection = builder.serve_connection(io, service);
    let broken = attend(Pin::new(&mut connection), activity, door, remote).await;
    let fault = activity.fault().or(broken.filter(hyper::Error::is_parse).map(|_| Fault::Other));
    if let Some(fault) = fault {
        let socket = connection.into_parts().io.into_inner().into_inner();
        refuse(door, socket, remote, activity, fault).await;
    }
}

/// Counts, logs and, where the client waits for an answer, answers a head that
/// was refused.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    door: &Door,
    mut socket: S,
    remote: SocketAddr,
    activity: &Activity,
    fault: Fault,
) {
    let answer = match &door.answers {
        Answers::Redirect(_) => {
            tracing::debug!(%remote, ?fault, "plain HTTP was refused");
            refusal::answer(fault.problem().status, &HeaderMap::new(), &Bytes::new())
        }
        Answers::Api(api) => {
            api.metrics().head_refused(fault.as_str());
            let response = hyper::Response::<BoxBody<Bytes, std::io::Error>>::from(
                api.refuse_head(remote.ip(), fault.problem()),
            );
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            refusal::answer(parts.status, &parts.headers, &body)
        }
    };
    // What is on its way would come to an end in the middle of this answer; and
    // hyper has answered by itself what it refused by itself.
    if activity.is_idle() && fault != Fault::Other {
        let _ = limited(Some(FAREWELL), part(&mut socket, &answer)).await;
    }
}

/// What answers the requests of one connection.
pub(super) fn service(
    door: &Arc<Door>,
    caller: Caller,
    address: IpAddr,
    activity: &Arc<Activity>,
    account: Account,
) -> impl HttpService<Incoming, ResBody = Tracked, Error = StreamRefused, Future: Send> + use<> {
    let (door, activity) = (Arc::clone(door), Arc::clone(activity));
    service_fn(move |request| {
        let (door, caller, account, activity) =
            (Arc::clone(&door), caller.clone(), account.clone(), Arc::clone(&activity));
        let tracked = patience::Request::begin(&activity);
        async move { handle(&door, request, caller, address, &account, &activity, tracked).await }
    })
}

/// A request that is not answered, since even that would be too much: over
/// HTTP/2 its stream is refused (RFC 9113, section 8.7), so that the client
/// knows that nothing was done and may send it again.
#[derive(Debug, thiserror::Error)]
#[error("the client has too much under way")]
pub(super) struct StreamRefused(#[source] h2::Error);

impl StreamRefused {
    fn new() -> Self {
        Self(h2::Reason::REFUSED_STREAM.into())
    }
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

/// Drives a connection to its end, within the limits, and tells what broke it.
///
/// Three things are polled here, in one task: the server's stop and a request
/// to leave the place, each of which is heard once; the connection, which is
/// hyper's, and inside which the socket and, over HTTP/1.1, the requests are;
/// and one timer. hyper's part wakes the task when the socket or a request has
/// something. Nobody wakes it when a limit changes: what the connection does is
/// written down in its [`Activity`] while it is polled, so after each poll
/// [`Activity::due`] says anew when patience ends, and the timer is moved only
/// when that is earlier than what it is set to. Mostly it is later (a request
/// came, the answer went), and then the timer fires in vain once and is set
/// anew: so a busy connection pays one comparison a request, and one at rest
/// wakes once. A timer for each limit would have to be set and unset with every
/// request.
///
/// A connection that ends without fault, stopping, idle or in the way, is told
/// so first (`Connection: close`, GOAWAY), and has `limits.write_seconds` to
/// take what is left; one in the way leaves at once when it rests.
async fn attend<C: Graceful>(
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
        if !in_the_way && dismissed.as_mut().poll(cx).is_ready() {
            in_the_way = true;
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
            if in_the_way && activity.is_idle() {
                tracing::debug!(%remote, "closed while idle: its place was needed");
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

/// Reads a request's body within the limits and has it answered.
async fn handle(
    door: &Door,
    request: hyper::Request<Incoming>,
    caller: Caller,
    address: IpAddr,
    account: &Account,
    activity: &Arc<Activity>,
    mut tracked: patience::Request,
) -> Result<hyper::Response<Tracked>, StreamRefused> {
    let (parts, body) = request.into_parts();
    let version = parts.version;
    let api = match &door.answers {
        Answers::Api(api) => api,
        Answers::Redirect(redirect) => {
            let response = redirect.answer(&parts);
            tracing::debug!(%address, status = response.status().as_u16(), "plain HTTP was answered");
            tracked.progress();
            return Ok(response.map(|body| Tracked::new(Some(body), empty(), tracked, None, activity)));
        }
    };
    let client = match caller {
        Caller::Stranger => door.proxies.client(address, &parts.headers),
        Caller::System(_) => address,
    };
    let held = account.hold(Network::of(client), &parts).map_err(|over| too_much(door, over));
    let (mut hold, body) = match held {
        Ok(mut hold) => {
            let read = read_body(door, &parts, body, &mut hold).await;
            (Some(hold), read)
        }
        // HTTP/1.1 has one request at a time, which can always be told.
        Err(problem) if version < Version::HTTP_2 => (None, Err(problem)),
        Err(_) => return Err(StreamRefused::new()),
    };
    let (body, mut refusal) = match body {
        Ok(body) => (body, None),
        Err(problem) => (Bytes::new(), Some(problem)),
    };
    if version == Version::HTTP_2 && !host::names_one(&parts) {
        api.metrics().head_refused(Fault::Host.as_str());
        refusal = Some(Fault::Host.problem());
    }
    let refused = refusal.is_some();
    let safe = parts.method.is_safe();
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
    let response = hyper::Response::<BoxBody<Bytes, std::io::Error>>::from(response);
    let (mut parts, mut body) = response.into_parts();
    // Made whole, as all answers but backups are, it is one piece.
    let first = match body.size_hint().exact() {
        Some(1..) => body.frame().await.and_then(Result::ok).and_then(|frame| frame.into_data().ok()),
        _ => None,
    };
    // What others share takes nothing of its own.
    let bytes = first.as_ref().filter(|first| first.is_unique()).map_or(0, Bytes::len);
    let needed = !safe && parts.status.is_success();
    let over = hold.as_mut().and_then(|hold| {
        // Who made a change has to be told.
        if needed {
            hold.answer_regardless(bytes);
        }
        hold.answer(bytes).err()
    });
    let (first, body) = match over.filter(|_| !needed) {
        Some(over) => {
            let response = api.refuse_head(client, too_much(door, over));
            let response = hyper::Response::<BoxBody<Bytes, std::io::Error>>::from(response);
            let (instead, body) = response.into_parts();
            parts = instead;
            (None, body)
        }
        None => (first, body),
    };
    if refused && version < Version::HTTP_2 {
        // What is left of the body is not read.
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let tracked = Tracked::new(first, body, tracked, hold, activity);
    Ok(hyper::Response::from_parts(parts, tracked))
}

/// The problem of who is at a limit, which is counted.
fn too_much(door: &Door, over: Over) -> Problem {
    let (limit, problem) = match over {
        Over::Connection => (Throttle::HeldByConnection, Problem::holds_too_much()),
        Over::Network => (Throttle::HeldByAddress, Problem::holds_too_much()),
        Over::All => (Throttle::Held, Problem::all_hold_too_much()),
    };
    door.throttled(limit, 1);
    problem
}

fn empty() -> BoxBody<Bytes, std::io::Error> {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed()
}

/// Reads the body of a request whole: it is small, or it is refused.
async fn read_body(
    door: &Door,
    head: &hyper::http::request::Parts,
    mut body: Incoming,
    hold: &mut Hold,
) -> Result<Bytes, Problem> {
    let most = door.limits.body_bytes.unwrap_or(usize::MAX);
    let too_large = || Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE);
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
        None => Err(Problem::of_status(StatusCode::REQUEST_TIMEOUT)),
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

/// Reads on for a while what is not wanted, and keeps nothing of it: a client
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
    fn new(
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

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
