//! A request and its answer, on a connection of either protocol.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::{HttpService, service_fn};
use hyper::{HeaderMap, Version};
use poem::RequestParts;
use poem::web::{LocalAddr, RemoteAddr};

use super::answer_body::Tracked;
use super::budget::Account;
use super::door::{Answers, Door};
use super::head::Fault;
use super::host;
use super::patience::{self, Activity};
use super::request_body::{read_body, too_much};
use crate::api::problem::Problem;
use crate::api::{Caller, Peer};
use crate::domain::Network;

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
            tracked.answered();
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
            let awaited = tracked.await_body();
            let read = read_body(door, &parts, body, &mut hold).await;
            drop(awaited);
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
    if let Some(name) = doubled(&parts.headers) {
        refusal = Some(Problem::malformed(format!("the {name} header must be given once")));
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
    tracked.answered();
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

/// What a request proves itself with and is there more than once. A proxy may
/// look at another of them than we do.
fn doubled(headers: &HeaderMap) -> Option<&'static str> {
    let is_doubled = |name: &&str| headers.get_all(*name).iter().nth(1).is_some();
    ["Authorization", "X-Site-ID", "X-Site-Key"].into_iter().find(is_doubled)
}

fn empty() -> BoxBody<Bytes, std::io::Error> {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed()
}
