//! What every answer has in common: a request id, the headers, the form of
//! errors, and one line in the log.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::Body as _;
use poem::endpoint::BoxEndpoint;
use poem::http::header::{self, HeaderName, HeaderValue};
use poem::http::uri::{PathAndQuery, Uri};
use poem::http::{Method, StatusCode};
use poem::middleware::CatchPanic;
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response};
use uuid::Uuid;

use super::app::{App, Peer};
use super::authority::{LOGIN_PATH, who_sent};
use super::field_errors::FieldErrors;
use super::problem::{self, Problem};
use super::query::{self, QueryFaults};
use super::routes::{Operation, operations, routes};
use super::sender::ProvedSender;
use super::short_path::ShortPath;
use super::{docs, gzip, heartbeat};
use crate::certificate::CertificateState;
use crate::clock;
use crate::domain::ActorKind;
use crate::metrics::Metrics;

/// The most of a site id that was presented which is logged: a good one has
/// 36 characters.
const MAX_SITE_ID: usize = 64;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The whole API as one function from request to response.
pub struct Api {
    app: Arc<App>,
    routes: BoxEndpoint<'static, Response>,
    patterns: Vec<Pattern>,
    certificate: Arc<CertificateState>,
    ids: RequestIds,
}

/// Ids of requests: UUIDs of version 7 (RFC 9562), whose random part is a
/// counter from a random start (section 6.2, method 2). They need to be
/// unique and not to be unguessable, and the system's randomness is a call of
/// the system for each.
struct RequestIds(AtomicU64);

impl RequestIds {
    fn new() -> Self {
        Self(AtomicU64::new(Uuid::new_v4().as_u64_pair().1))
    }

    fn next(&self) -> String {
        let milliseconds = clock::unix_milliseconds();
        let [a, b, c, d, e, f, g, h] = self.0.fetch_add(1, Relaxed).to_be_bytes();
        let id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &[a, b, c, d, e, f, g, h, 0, 0]);
        id.into_uuid().simple().to_string()
    }
}

/// A path as the specification writes it, and what it takes. Kept beside
/// poem's own routes, which know a parameter by its position alone and answer
/// 404 to a method that a path outside the specification does not take.
struct Pattern {
    path: String,
    segments: Vec<Option<String>>,
    /// How many of the segments are parameters.
    parameters: usize,
    operations: Vec<Operation>,
    allow: HeaderValue,
}

impl Api {
    /// The API over `app`.
    pub fn new(app: Arc<App>) -> Self {
        let certificate = Arc::clone(&app.certificate);
        let on_panic = |_: Box<dyn std::any::Any + Send>| Problem::internal("a handler panicked");
        let routes = ShortPath::new(Arc::clone(&app), routes(Arc::clone(&app)))
            .with(CatchPanic::new().with_handler(on_panic))
            .map_to_response()
            .boxed();
        let mut patterns: Vec<Pattern> =
            operations().into_iter().map(|(path, operations)| Pattern::new(path, operations)).collect();
        // A path that is written out counts before one with a parameter.
        patterns.sort_by_key(|pattern| pattern.parameters);
        Self { app, routes, patterns, certificate, ids: RequestIds::new() }
    }

    /// What its requests are counted in.
    pub fn metrics(&self) -> &Metrics {
        &self.app.metrics
    }

    /// Answers one request.
    pub async fn answer(&self, mut request: Request) -> Response {
        trim_trailing_slash(&mut request);
        let exchange = self.begin(&request);
        if exchange.method == Method::OPTIONS
            && let Some(pattern) = exchange.pattern
        {
            let allowed = Response::builder().status(StatusCode::NO_CONTENT);
            return self.finish(&exchange, allowed.header(header::ALLOW, pattern.allow.clone()).finish());
        }
        if exchange.method == Method::HEAD {
            request.set_method(Method::GET);
        }
        if let Some(pattern) = exchange.pattern {
            let Some(operation) = pattern.operation(request.method()) else {
                let problem = Problem::method_not_allowed();
                return self.finish(&exchange, problem.into_response());
            };
            if let Err(problem) = self.check_query(operation, &mut request).await {
                return self.finish(&exchange, problem.into_response());
            }
        }
        if let Some(problem) = unreadable_condition(&request) {
            return self.finish(&exchange, problem.into_response());
        }
        let may_pack = *request.method() == Method::GET && gzip::ROUTES.contains(&exchange.route());
        let accepts_gzip = gzip::is_accepted(request.headers());
        request.set_data(exchange.sender.clone());
        let mut response = self.routes.get_response(request).await;
        if may_pack && response.status().is_success() {
            gzip::pack(&mut response, accepts_gzip).await;
        }
        self.finish(&exchange, response)
    }

    /// Refuses parameters that an operation of sysadmins does not know, to a
    /// sysadmin: anybody else is told to log in first. An operation that has
    /// parameters names them with what else is wrong.
    async fn check_query(&self, operation: &Operation, request: &mut Request) -> Result<(), Problem> {
        let Some(needed) = operation.needs else {
            return Ok(());
        };
        let faults = query::faults(request.uri().query().unwrap_or_default(), &operation.parameters);
        if !operation.parameters.is_empty() {
            request.set_data(QueryFaults(faults));
        } else if !faults.is_empty() {
            who_sent(&self.app, request, needed).await?;
            return Err(Problem::invalid(faults));
        }
        Ok(())
    }

    /// Answers a request that the server refused before it reached the routes.
    pub fn refuse(&self, request: &Request, problem: Problem) -> Response {
        self.finish(&self.begin(request), problem.into_response())
    }

    /// The answer to a request whose head was refused, so that nothing is known
    /// of it but where it came from and the problem.
    pub fn refuse_head(&self, address: IpAddr, problem: Problem) -> Response {
        // A method of this name counts as any other that nobody takes.
        let method = Method::from_bytes(b"-").unwrap_or_default();
        let exchange = Exchange {
            started: Instant::now(),
            id: self.ids.next(),
            method,
            pattern: None,
            peer: address.to_string(),
            sender: ProvedSender::default(),
            site_id: None,
        };
        self.finish(&exchange, problem.into_response())
    }

    fn begin(&self, request: &Request) -> Exchange<'_> {
        let path = request.uri().path();
        Exchange {
            started: Instant::now(),
            id: self.ids.next(),
            method: request.method().clone(),
            pattern: self.patterns.iter().find(|pattern| pattern.matches(path)),
            peer: request.data::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default(),
            sender: ProvedSender::default(),
            site_id: (path == heartbeat::PATH)
                .then(|| request.headers().get("X-Site-ID"))
                .flatten()
                .map(shown),
        }
    }

    fn finish(&self, exchange: &Exchange<'_>, mut response: Response) -> Response {
        let problem = take_problem(&mut response);
        if let Some(problem) = &problem {
            render(problem, exchange, &mut response);
        }
        self.dress(exchange, &mut response);
        // That of a 304 is not there with GET either.
        if exchange.method == Method::HEAD && response.status() != StatusCode::NOT_MODIFIED {
            drop_body(&mut response);
        }
        let (method, status) = (exchange.method.as_str(), response.status().as_u16());
        self.app.metrics.request(method, exchange.route(), status, exchange.started.elapsed());
        exchange.log(&response, problem.and_then(|problem| problem.cause));
        response
    }

    fn dress(&self, exchange: &Exchange<'_>, response: &mut Response) {
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&exchange.id) {
            headers.insert(REQUEST_ID.clone(), id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers
            .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(docs::CONTENT_SECURITY_POLICY));
        if self.certificate.hsts() {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        headers.entry(header::CACHE_CONTROL).or_insert_with(|| HeaderValue::from_static("no-store"));
    }
}

/// One request and its answer, for the headers and the log.
struct Exchange<'a> {
    started: Instant,
    id: String,
    method: Method,
    pattern: Option<&'a Pattern>,
    peer: String,
    sender: ProvedSender,
    /// The one that a heartbeat presented, right or wrong.
    site_id: Option<String>,
}

impl Exchange<'_> {
    fn route(&self) -> &str {
        self.pattern.map_or("-", |pattern| &pattern.path)
    }

    fn log(&self, response: &Response, cause: Option<Box<str>>) {
        let Self { id: request_id, method, peer, .. } = self;
        let status = response.status().as_u16();
        let route = self.route();
        let (admin, user) = (self.sender.named(ActorKind::Admin), self.sender.named(ActorKind::System));
        let token = self.sender.token();
        let site_id = self.site_id.as_deref();
        let milliseconds = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        match cause {
            Some(cause) => {
                let cause = &*cause;
                tracing::error!(%method, route, status, milliseconds, request_id, peer, admin, user, token, site_id, cause, "request")
            }
            None => {
                tracing::info!(%method, route, status, milliseconds, request_id, peer, admin, user, token, site_id, "request")
            }
        }
    }
}

/// What a client wrote, fit for a line of the log: bounded, and without
/// anything but visible ASCII.
fn shown(value: &HeaderValue) -> String {
    let mut text = value.as_bytes().escape_ascii().map(char::from);
    let mut shown: String = text.by_ref().take(MAX_SITE_ID).collect();
    if text.next().is_some() {
        shown.push_str("...");
    }
    shown
}

/// Takes the body away and leaves the length that it would have. hyper does so
/// for HTTP/1.1; over HTTP/2 it would send the body, which clients take for a
/// broken stream (RFC 9113, section 8.1.1).
fn drop_body(response: &mut Response) {
    let body: BoxBody<Bytes, std::io::Error> = response.take_body().into();
    if let Some(length) = body.size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
}

/// Writes a problem out.
fn render(problem: &Problem, exchange: &Exchange<'_>, response: &mut Response) {
    let document = match exchange.route() {
        LOGIN_PATH => problem.token_document(exchange.id.clone()),
        _ => problem.document(exchange.id.clone()),
    };
    let body = serde_json::to_vec(&document).unwrap_or_default();
    response.set_status(problem.status);
    response.set_body(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
    if let Some(challenge) = problem.challenge {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = problem.retry_after_seconds {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(pattern) = exchange.pattern
    {
        headers.insert(header::ALLOW, pattern.allow.clone());
    }
}

/// The problem that a response stands for: its own, or that of the bare
/// status that the framework gave.
fn take_problem(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    (status.is_client_error() || status.is_server_error()).then(|| Problem::of_status(status))
}

/// poem leaves out headers that are no ASCII text. A change must not be made
/// as if its condition had not been given.
fn unreadable_condition(request: &Request) -> Option<Problem> {
    let is_unreadable =
        |name: &&str| request.headers().get_all(*name).iter().any(|value| value.to_str().is_err());
    let name = ["If-Match", "Idempotency-Key"].into_iter().find(is_unreadable)?;
    Some(Problem {
        errors: FieldErrors::one(name, "must be ASCII text"),
        ..Problem::malformed(format!("the {name} header cannot be understood"))
    })
}

/// Each route is answered with and without a trailing slash.
fn trim_trailing_slash(request: &mut Request) {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() || path == "/" {
        return;
    }
    let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
    let target = match request.uri().query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    if let Ok(target) = target.parse::<PathAndQuery>() {
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

impl Pattern {
    fn new(path: String, operations: Vec<Operation>) -> Self {
        let mut methods: Vec<&str> = operations.iter().map(|operation| operation.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        let segments: Vec<_> =
            path.split('/').map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned())).collect();
        let parameters = segments.iter().filter(|segment| segment.is_none()).count();
        // Method names are tokens, which any header value may hold.
        let allow =
            HeaderValue::from_str(&methods.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("GET"));
        Self { path, segments, parameters, operations, allow }
    }

    fn operation(&self, method: &Method) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.method == *method)
    }

    fn matches(&self, path: &str) -> bool {
        if self.parameters == 0 {
            return self.path == path;
        }
        let mut given = path.split('/');
        let all = self.segments.iter().all(|segment| match (segment, given.next()) {
            (Some(expected), Some(given)) => expected == given,
            (None, given) => given.is_some(),
            (Some(_), None) => false,
        });
        all && given.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_wrote_is_bounded_and_escaped_in_the_log() {
        let shown = |bytes: &[u8]| shown(&HeaderValue::from_bytes(bytes).unwrap());
        let id = "6f1d2c0e-93b4-4c55-8a37-2f0e9d1b7c48";
        assert_eq!(shown(id.as_bytes()), id);
        assert_eq!(shown(b"a\tb \xc2\x85\xe2\x80\xae\"\\"), r#"a\tb \xc2\x85\xe2\x80\xae\"\\"#);
        assert_eq!(shown(&[b'x'; 64]), "x".repeat(64));
        assert_eq!(shown(&[b'x'; 8000]), "x".repeat(64) + "...");
        assert_eq!(shown(&[0xff; 8000]).len(), 64 + 3);
    }
}
