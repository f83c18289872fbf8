//! The way of a heartbeat to its handler, past the tree of routes.
//!
//! Nearly every request is a heartbeat. Through poem's routes it passes ten
//! boxed futures, each copied into the next, and a look at query and cookies
//! that it does not have: a sixth of what it costs. So it is taken out in front
//! of them. Nothing else differs: the envelope is around both ways, and what is
//! called is the operation of [`HeartbeatApi`] itself, of which the specification
//! is made, with what poem-openapi would have read for it. A test holds the two
//! ways together.

use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::web::Data;
use poem::{Endpoint, FromRequest, IntoResponse, Request, Response, Result};
use poem_openapi::param::Header;
use poem_openapi::types::ParseFromParameter as _;
use poem_openapi::{ApiExtractor, ExtractParamOptions};

use super::app::App;
use super::fields::Body;
use super::heartbeat::{self, HeartbeatApi};
use super::heartbeat_answer::{NONCE, REVISION};
use super::problem::Problem;
use super::wire::{Given, Parameter, Presented};

/// All routes, with the short path in front of them.
pub(super) struct ShortPath {
    app: Arc<App>,
    routes: BoxEndpoint<'static, Response>,
}

impl ShortPath {
    /// In front of `routes`.
    pub(super) fn new(app: Arc<App>, routes: BoxEndpoint<'static, Response>) -> Self {
        Self { app, routes }
    }
}

impl Endpoint for ShortPath {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if *request.method() == Method::POST && request.uri().path() == heartbeat::PATH {
            return answer(&self.app, request).await;
        }
        self.routes.call(request).await
    }
}

/// Answers a heartbeat: reads what the operation takes, in the same order.
async fn answer(app: &Arc<App>, request: Request) -> Result<Response> {
    let (request, mut body) = request.split();
    let peer = Data::from_request_without_body(&request).await?;
    let (site_id, key) = (presented(&request, "x-site-id"), presented(&request, "x-site-key"));
    let (applied, nonce) = (given(&request, REVISION)?, given(&request, NONCE)?);
    let heartbeat = Body::from_request(&request, &mut body, ExtractParamOptions::default()).await?;
    let answer =
        HeartbeatApi.heartbeat(Data(app), peer, site_id, key, applied, nonce, &request, heartbeat).await;
    Ok(answer?.into_response())
}

/// A header, as poem-openapi reads it: one that is no ASCII text is not there.
fn presented(request: &Request, name: &str) -> Header<Presented> {
    let value = request.headers().get_all(name).iter().find_map(|value| value.to_str().ok());
    Header(Presented(value.map(str::to_owned)))
}

/// A header that may be missing, in the same way.
fn given<T: Parameter>(request: &Request, name: &str) -> Result<Header<Given<T>>> {
    let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
    let given = Given::parse_from_parameters(values);
    given.map(Header).map_err(|_| Problem::malformed("a header cannot be understood").into())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use poem::http::{HeaderMap, StatusCode};
    use poem::{EndpointExt, RequestBuilder};
    use tempfile::TempDir;

    use super::*;
    use crate::api::app::Peer;
    use crate::api::routes::routes;
    use crate::auth::heartbeat_throttle::HeartbeatThrottle;
    use crate::clock;
    use crate::domain::{Actor, ActorKind, NewLock, NewSite, Operation, SecretKey, SiteId};
    use crate::store::{FILE_NAME, Store};

    const SITE: SiteId = SiteId::from_u128(7);
    const LOCKED: SiteId = SiteId::from_u128(8);
    const EXPIRED: SiteId = SiteId::from_u128(9);
    const BODY: &str = r#"{"version":"2.4.1","uptime_seconds":86400}"#;

    fn key(site: SiteId) -> SecretKey {
        SecretKey::from_random_bits([u8::try_from(site.as_u128()).unwrap(); 32])
    }

    /// An app with three sites, of which 5 heartbeats each are accepted, and 6
    /// failed ones of an address.
    async fn app() -> (TempDir, Arc<App>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join(FILE_NAME)).unwrap();
        let root = Actor { kind: ActorKind::System, name: "root".to_owned(), token: None, ip: None };
        let now = clock::now();
        for (id, expires) in [(SITE, "2099-01-01"), (LOCKED, "2099-01-01"), (EXPIRED, "2001-01-01")] {
            let expires: crate::domain::Timestamp = format!("{expires}T00:00:00Z").parse().unwrap();
            let new = NewSite {
                allow_past: true,
                ..NewSite::named("Inn".parse().unwrap(), "inn@example.com".parse().unwrap(), expires)
            };
            let register = Operation::Register { new, key: key(id).hash() };
            store.apply(register.on(id), root.clone(), now).await.unwrap().unwrap();
        }
        let lock = NewLock::now("\"unpaid\" since\\May, ☕".parse().unwrap());
        store.apply(Operation::Lock(lock).on(LOCKED), root, now).await.unwrap().unwrap();
        let app = App::at_rest(store, dir.path().to_owned(), true).unwrap();
        let heartbeats = HeartbeatThrottle::new(6, 60, 5, governor::clock::MonotonicClock);
        (dir, Arc::new(App { heartbeats, ..app }))
    }

    /// Requests of every kind, in an order in which the limits fire.
    fn table() -> Vec<Request> {
        let bare = || Request::builder().method(Method::POST);
        let json = || bare().content_type("application/json");
        let of = |site: SiteId| {
            json().header("X-Site-ID", site.to_string()).header("X-Site-Key", key(site).expose())
        };
        let latin = poem::http::HeaderValue::from_bytes(b"caf\xe9").unwrap();
        let mut table = Vec::new();
        let mut add = |request: RequestBuilder, body: &'static str| {
            table.push(request.uri_str(heartbeat::PATH).body(body));
        };
        for site in [SITE, LOCKED, EXPIRED] {
            add(of(site), BODY);
        }
        add(of(SITE), r#"{"version":" é ","uptime_seconds":5.0,"more":[{}],"more":1}"#);
        add(of(SITE).content_type("application/problem+json; charset=utf-8"), BODY);
        // Faults of the body come before those of the credentials.
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"version":7,"uptime_seconds":-1}"#,
            r#"{"version":"","uptime_seconds":9007199254740992}"#,
            r#"{"version":"1","version":"2","uptime_seconds":1}"#,
            r#"{"version":"1","uptime_seconds":1,"x":[[[[[[[[[1]]]]]]]]]}"#,
        ] {
            add(json(), body);
            add(of(SITE), body);
        }
        add(bare().header("X-Site-ID", SITE.to_string()), BODY);
        add(of(SITE).content_type("text/plain"), BODY);
        add(of(SITE).header(REVISION, "1").header(NONCE, "0123456789abcdef"), BODY);
        add(of(SITE).header(REVISION, "one").header(NONCE, "short"), BODY);
        // Credentials: 7 that fail, and the limit is 6.
        add(json(), BODY);
        add(json().header("X-Site-ID", SITE.to_string()), BODY);
        add(json().header("X-Site-Key", key(SITE).expose()), BODY);
        add(json().header("X-Site-ID", "no id").header("X-Site-Key", key(SITE).expose()), BODY);
        add(json().header("X-Site-ID", SITE.to_string()).header("X-Site-Key", key(LOCKED).expose()), BODY);
        add(json().header("X-Site-ID", SITE.to_string()).header("X-Site-Key", latin), BODY);
        add(json().header("X-Site-ID", SiteId::from_u128(1).to_string()).header("X-Site-Key", "swk_"), BODY);
        // One more than the site may send.
        add(of(SITE), BODY);
        add(of(SITE), BODY);
        add(of(LOCKED), BODY);
        table
    }

    /// What came of a request, with all that the envelope sees of it.
    #[derive(Debug, PartialEq)]
    struct Answered {
        status: StatusCode,
        headers: HeaderMap,
        body: String,
        problem: String,
        /// The counters of heartbeats and limits after it.
        counted: Vec<String>,
    }

    /// Sends the table by one of the ways, to an app of its own.
    async fn sent(by_short_path: bool) -> Vec<Answered> {
        let (_dir, app) = app().await;
        let tree = routes(Arc::clone(&app)).map_to_response().boxed();
        let way = match by_short_path {
            true => ShortPath::new(Arc::clone(&app), tree).map_to_response().boxed(),
            false => tree,
        };
        let mut answered = Vec::new();
        for mut request in table() {
            request.set_data(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
            let mut response = way.get_response(request).await;
            let problem = response.extensions_mut().remove::<Problem>();
            let mut problem = problem.map(|problem| format!("{problem:?}")).unwrap_or_default();
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                // The clock runs on from one way to the other.
                problem.retain(|letter| !letter.is_ascii_digit());
            }
            let counters = String::from_utf8(app.metrics.text().unwrap()).unwrap();
            let counters = counters.lines().filter(|line| {
                line.starts_with("sitewarden_heartbeats") || line.starts_with("sitewarden_throttled")
            });
            answered.push(Answered {
                status: response.status(),
                headers: response.headers().clone(),
                counted: counters.map(str::to_owned).collect(),
                body: response.take_body().into_string().await.unwrap(),
                problem,
            });
        }
        answered
    }

    #[tokio::test]
    async fn a_heartbeat_is_answered_as_by_the_routes() {
        let (short, long) = (sent(true).await, sent(false).await);
        for (number, (short, long)) in short.iter().zip(&long).enumerate() {
            assert_eq!(short, long, "request {number}");
        }
        let mut met: Vec<u16> = long.iter().map(|answered| answered.status.as_u16()).collect();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met, [200, 400, 401, 415, 422, 429], "each answer that there is was compared");
    }

    #[tokio::test]
    async fn only_a_heartbeat_takes_the_short_path() {
        let (_dir, app) = app().await;
        let no_routes = poem::endpoint::make_sync(|_| StatusCode::IM_A_TEAPOT).map_to_response().boxed();
        let way = ShortPath::new(Arc::clone(&app), no_routes).map_to_response();
        for (method, path, is_short) in [
            (Method::POST, "/api/heartbeat", true),
            (Method::POST, "/api/heartbeat?x=1", true),
            (Method::GET, "/api/heartbeat", false),
            (Method::POST, "/api/heartbeats", false),
            (Method::POST, "/api/sites", false),
        ] {
            let request = Request::builder().method(method.clone()).uri_str(path).finish();
            let status = way.get_response(request).await.status();
            assert_eq!(status != StatusCode::IM_A_TEAPOT, is_short, "{method} {path}");
        }
    }
}
