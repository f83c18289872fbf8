//! Plain HTTP beside HTTPS: answers an ACME server's HTTP-01 checks and sends
//! everything else to HTTPS.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::challenges::Challenges;

/// Where tokens are asked for (RFC 8555, section 8.3).
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// What plain HTTP is answered with.
#[derive(Debug)]
pub(super) struct Redirect {
    challenges: Arc<Challenges>,
    domains: Vec<String>,
    https_port: u16,
}

impl Redirect {
    /// Sends clients to `https_port` of the domain that they asked for, when
    /// it is one of `domains`, else of the first of these: whoever may set the
    /// Host header of somebody else's request shall not choose where it goes.
    pub(super) fn new(challenges: Arc<Challenges>, domains: Vec<String>, https_port: u16) -> Self {
        Self { challenges, domains, https_port }
    }

    /// Answers one request.
    pub(super) fn answer(&self, request: &Parts) -> Response<Bytes> {
        let token = request.uri.path().strip_prefix(CHALLENGE_PATH);
        let mut response = match token {
            Some(token) if request.method == Method::GET => match self.challenges.key_authorization(token) {
                Some(answer) => Response::new(Bytes::from(answer)),
                None => bare(StatusCode::NOT_FOUND),
            },
            _ => self.redirection(request),
        };
        let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    fn redirection(&self, request: &Parts) -> Response<Bytes> {
        let asked = request.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let asked = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
        let known = self.domains.iter().find(|domain| domain.eq_ignore_ascii_case(asked));
        let host = known.or(self.domains.first()).map_or("localhost", String::as_str);
        let port = if self.https_port == 443 { String::new() } else { format!(":{}", self.https_port) };
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path } else { "/" };
        match HeaderValue::from_str(&format!("https://{host}{port}{path}")) {
            Ok(location) => {
                let mut response = bare(StatusCode::PERMANENT_REDIRECT);
                response.headers_mut().insert(header::LOCATION, location);
                response
            }
            Err(_) => bare(StatusCode::BAD_REQUEST),
        }
    }
}

fn bare(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(redirect: &Redirect, host: &str, target: &str) -> Response<Bytes> {
        let request = hyper::Request::get(target).header("Host", host).body(()).unwrap();
        redirect.answer(&request.into_parts().0)
    }

    #[test]
    fn a_token_under_check_is_answered_and_all_else_goes_to_https() {
        let challenges = Arc::new(Challenges::default());
        challenges.answer_over_http("abc".into(), "abc.thumb".into());
        let redirect =
            Redirect::new(Arc::clone(&challenges), vec!["a.example".into(), "b.example".into()], 443);
        let answer = get(&redirect, "a.example", "/.well-known/acme-challenge/abc");
        assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::OK, b"abc.thumb".as_slice()));
        let unknown = get(&redirect, "a.example", "/.well-known/acme-challenge/abd");
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
        let location = |host, target| {
            let answer = get(&redirect, host, target);
            assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
            answer.headers()[header::LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(location("B.example:80", "/docs?x=1"), "https://b.example/docs?x=1");
        assert_eq!(location("evil.example", "/docs"), "https://a.example/docs");
        challenges.clear();
        let gone = get(&redirect, "a.example", "/.well-known/acme-challenge/abc");
        assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_port_other_than_443_is_told() {
        let redirect = Redirect::new(Arc::default(), vec!["a.example".into()], 8443);
        let answer = get(&redirect, "a.example", "/");
        assert_eq!(answer.headers()[header::LOCATION], "https://a.example:8443/");
    }
}
