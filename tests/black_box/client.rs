//! A client that verifies the server's certificate, one request at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, config::AutoHeaderValue};

/// Which certificates count.
#[derive(Debug, Clone)]
pub(crate) struct Trust(Agent);

impl Trust {
    /// The certificates in this PEM file alone; none, when it is missing.
    pub(crate) fn certificate(pem: &Path) -> Self {
        let pem = std::fs::read(pem).unwrap_or_default();
        let roots: Vec<Certificate<'static>> = parse_pem(&pem)
            .filter_map(|item| match item.unwrap() {
                ureq::tls::PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            })
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept(AutoHeaderValue::None)
            .user_agent(AutoHeaderValue::None)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self(config.new_agent())
    }
}

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Call {
    trust: Trust,
    request: ureq::http::request::Builder,
    body: Option<Vec<u8>>,
}

impl Call {
    pub(crate) fn new(trust: &Trust, method: &str, url: &str) -> Self {
        Self { trust: trust.clone(), request: Request::builder().method(method).uri(url), body: None }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Takes a header away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().unwrap().remove(name);
        self
    }

    /// With this access token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With a body, and without a `Content-Type` for it.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With a JSON body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.without("Content-Type").header("Content-Type", "application/json").body(body.to_string())
    }

    /// With the body of a form.
    pub(crate) fn form(self, body: &str) -> Self {
        self.header("Content-Type", "application/x-www-form-urlencoded").body(body)
    }

    /// Sends it and reads the whole answer.
    pub(crate) fn send(self) -> Answer {
        self.try_send().unwrap()
    }

    /// Sends it; `Err` when no answer came.
    pub(crate) fn try_send(self) -> Result<Answer, ureq::Error> {
        match self.body {
            Some(body) => exchange(&self.trust, self.request.body(body).unwrap()),
            None => exchange(&self.trust, self.request.body(()).unwrap()),
        }
    }
}

fn exchange(trust: &Trust, request: Request<impl AsSendBody>) -> Result<Answer, ureq::Error> {
    let mut response = trust.0.run(request)?;
    let body = response.body_mut().with_config().limit(64 << 20).read_to_vec()?;
    Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body })
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header that must be there, once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name} in {:?}", self.headers);
        values[0].to_str().unwrap()
    }

    /// Whether a header is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Names of the fields of the object, in their order on the wire.
    pub(crate) fn fields(&self) -> Vec<String> {
        self.json().as_object().unwrap().keys().cloned().collect()
    }

    /// Asserts that this is an error in the one form that errors have.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("Content-Type"), "application/problem+json");
        assert_eq!(self.header("Cache-Control"), "no-store");
        let mut fields = self.fields();
        fields.retain(|field| field != "errors");
        // Where a token is asked for, in the words of OAuth2 besides.
        if fields.ends_with(&["error".to_owned(), "error_description".to_owned()]) {
            fields.truncate(5);
        }
        assert_eq!(fields, ["type", "title", "status", "detail", "request_id"], "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["request_id"], self.header("X-Request-Id"), "{problem}");
        for field in ["type", "title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
        }
    }

    /// Asserts that this is an error that names exactly these fields.
    #[track_caller]
    pub(crate) fn assert_names(&self, status: u16, fields: &[&str]) {
        self.assert_problem(status);
        let problem = self.json();
        assert_eq!(problem.as_object().unwrap().keys().next_back().unwrap(), "errors", "{problem}");
        let mut named = Vec::new();
        for error in problem["errors"].as_array().unwrap() {
            assert_eq!(
                error.as_object().unwrap().keys().collect::<Vec<_>>(),
                ["field", "message"],
                "{problem}"
            );
            assert!(!error["message"].as_str().unwrap().is_empty(), "{problem}");
            named.push(error["field"].as_str().unwrap());
        }
        named.sort_unstable();
        let mut fields = fields.to_vec();
        fields.sort_unstable();
        assert_eq!(named, fields, "{problem}");
    }

    /// The body of a problem, without what differs from request to request.
    pub(crate) fn but_for_its_id(&self) -> Value {
        let mut problem = self.json();
        problem.as_object_mut().unwrap().remove("request_id").unwrap();
        problem
    }
}
