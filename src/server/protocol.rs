//! HTTP/1.1 and HTTP/2 on a connection, as hyper speaks them within our limits.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::attend::attend;
use super::door::{Answers, Door};
use super::exchange::service;
use super::head::{self, Fault};
use super::parting::{FAREWELL, limited, part};
use super::patience::{Activity, Bad};
use super::refusal;
use super::watched::Watched;
use crate::api::Caller;

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
/// HTTP/2 pings, so that a client that vanished is noticed.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));

/// Speaks HTTP/2 or HTTP/1.1 until the client, the limits or the end of the
/// process part us.
pub(super) async fn speak<S>(
    door: &Arc<Door>,
    stream: S,
    remote: SocketAddr,
    activity: &Arc<Activity>,
    h2: bool,
) where
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
    let by_hyper = broken.filter(hyper::Error::is_parse).map(|_| Bad { fault: Fault::Other, in_body: false });
    let Some(bad) = activity.bad().or(by_hyper) else { return };
    let mut socket = connection.into_parts().io.into_inner().into_inner();
    if !bad.in_body {
        refuse(door, socket, remote, activity, bad.fault).await;
        return;
    }
    // Its request has been answered.
    if let Answers::Api(api) = &door.answers {
        api.metrics().head_refused(bad.fault.as_str());
    }
    if activity.is_idle() {
        let _ = limited(Some(FAREWELL), part(&mut socket, b"")).await;
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
