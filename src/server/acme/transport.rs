//! The way to the ACME server: this program's own client, so that names are
//! not looked up by the system's resolver.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Full};
use hyper::http::{Request, Response};
use hyper::{StatusCode, Uri, header};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;

use crate::clock;
use crate::outbound::Server;

/// How long the server last asked to be left alone, where it did.
#[derive(Debug, Clone, Default)]
pub(super) struct Demand(Arc<Mutex<Option<Duration>>>);

impl Demand {
    /// Takes what was noted.
    pub(super) fn take(&self) -> Option<Duration> {
        self.0.lock().take()
    }

    fn note(&self, response: &Response<Bytes>) {
        let is_demand = matches!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::FORBIDDEN
        );
        let value = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        if let Some(wait) =
            value.filter(|_| is_demand).and_then(|value| retry_after(value, clock::precise_now()))
        {
            *self.0.lock() = Some(wait);
        }
    }
}

/// The value of `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(value.trim()).ok()?;
    (until.to_utc() - now).to_std().ok()
}

/// Calls to the ACME server.
pub(super) struct Transport {
    ca_file: Option<PathBuf>,
    demand: Demand,
}

impl Transport {
    /// Trusts `ca_file`, or the system's authorities; notes in `demand` when
    /// the server asks to be left alone.
    pub(super) fn new(ca_file: Option<PathBuf>, demand: Demand) -> Self {
        Self { ca_file, demand }
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (ca_file, demand) = (self.ca_file.clone(), self.demand.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let server =
                Server::at(&base_of(&parts.uri), ca_file).map_err(|error| Error::Other(Box::new(error)))?;
            let request = Request::from_parts(parts, Full::new(body));
            let response = server.send(request).await.map_err(|error| Error::Other(Box::new(error)))?;
            demand.note(&response);
            Ok(response.map(Full::new).into())
        })
    }
}

/// Scheme and authority of a URL.
fn base_of(url: &Uri) -> String {
    let authority = url.authority().map(ToString::to_string).unwrap_or_default();
    format!("{}://{authority}", url.scheme_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = DateTime::parse_from_rfc3339("2030-01-01T00:00:00Z").unwrap().to_utc();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Tue, 01 Jan 2030 00:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Mon, 31 Dec 2029 00:01:00 GMT", now), None);
        assert_eq!(retry_after("soon", now), None);
    }
}
