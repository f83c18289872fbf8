//! A request that is answered in this process, without a socket: what a
//! command asks for while no server runs.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};

use crate::api::envelope::Api;
use crate::api::{Caller, Peer};
use crate::auth::host_user::HostUser;

/// Answers `user` as a server would on its control socket.
pub(crate) async fn answer(api: &Api, request: Request<Full<Bytes>>, user: HostUser) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
    let mut request = poem::Request::builder().method(parts.method).uri(parts.uri).body(body);
    *request.headers_mut() = parts.headers;
    request.set_data(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    request.set_data(Caller::System(user));
    let (parts, body) = api.answer(request).await.into_parts();
    let mut response = Response::new(body.into_bytes().await.unwrap_or_default());
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}
