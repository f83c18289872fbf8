//! The listener that a monitoring system reads from: `GET /metrics`, plain
//! HTTP.
//!
//! On loopback unless configured otherwise, since what it tells needs no
//! password. A port that another process has is no reason not to serve sites:
//! it is warned of, and there are no metrics.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::door::Door;
use crate::api::App;
use crate::clock::now;
use crate::metrics::cached::Cached;
use crate::store::SiteStatistics;
use crate::telemetry::Lines;

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 8;
/// How long a count of the sites stands: it reads every site.
const COUNT_STANDS: Duration = Duration::from_secs(30);
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last in all.
const LIFE: Duration = Duration::from_secs(60);

/// The bound listener.
pub(super) struct Scrape {
    listener: TcpListener,
    app: Arc<App>,
    log: Lines,
    places: Arc<Semaphore>,
    counted: Cached<SiteStatistics>,
}

impl Scrape {
    /// Binds `address`; `None`, with a warning, when that cannot be.
    pub(super) async fn bind(address: SocketAddr, app: Arc<App>, log: Lines) -> Option<Self> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok::<_, std::io::Error>((listener, address))
        };
        match bound.await {
            Ok((listener, address)) => {
                tracing::info!(url = %format_args!("http://{address}/metrics"), "serving metrics");
                let places = Arc::new(Semaphore::new(CONNECTIONS));
                Some(Self { listener, app, log, places, counted: Cached::new(COUNT_STANDS) })
            }
            Err(error) => {
                tracing::warn!(
                    %address, %error,
                    "no metrics: cannot listen there; set metrics_listen to another address, or to \"\" for none"
                );
                None
            }
        }
    }

    /// Accepts until the door is stopping.
    pub(super) async fn accept_into(self, door: Arc<Door>) {
        let scrape = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = door.stopping.cancelled() => return,
                accepted = async {
                    let place = Arc::clone(&scrape.places).acquire_owned().await.ok()?;
                    Some((scrape.listener.accept().await, place))
                } => accepted,
            };
            match accepted {
                Some((Ok((stream, _)), place)) => {
                    let (scrape, door) = (Arc::clone(&scrape), Arc::clone(&door));
                    tokio::spawn(async move {
                        let _held = place;
                        let _ = tokio::time::timeout(LIFE, speak(&scrape, &door, stream)).await;
                    });
                }
                Some((Err(error), _)) => {
                    tracing::warn!(%error, "cannot accept on metrics_listen; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                None => return,
            }
        }
    }

    /// The text, or the status of why there is none.
    async fn text(&self, door: &Door) -> Result<Vec<u8>, StatusCode> {
        let failed = |error: String| {
            tracing::warn!(error, "the metrics could not be gathered");
            StatusCode::SERVICE_UNAVAILABLE
        };
        let counting = self.app.store.site_statistics(now());
        let counted = self.counted.get(Instant::now(), counting).await;
        let sites = counted.map_err(|error| failed(error.to_string()))?;
        let certificate = self.app.certificate.status().certificate;
        self.app.metrics.certificate_expires(certificate.map(|facts| facts.not_after));
        if let Some(state) = self.app.store.backup_state() {
            self.app.metrics.backed_up(&state);
        }
        let tokens = self.app.store.list_tokens().await.map_err(|error| failed(error.to_string()))?;
        self.app.metrics.tokens(tokens.iter().map(|(token, _)| token), now());
        self.app.metrics.log_lines_dropped(self.log.dropped());
        self.app.metrics.measured(&sites, self.app.store.writes_waiting(), door.connections.len());
        self.app.metrics.text().map_err(|error| failed(error.to_string()))
    }
}

async fn speak(scrape: &Scrape, door: &Door, stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let found = request.method() == Method::GET && request.uri().path() == "/metrics";
        let text = if found { scrape.text(door).await } else { Err(StatusCode::NOT_FOUND) };
        let mut response = Response::new(Full::new(Bytes::new()));
        match text {
            Ok(text) => {
                let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                *response.body_mut() = Full::new(text.into());
            }
            Err(status) => *response.status_mut() = status,
        }
        Ok::<_, Infallible>(response)
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to metrics_listen broke");
    }
}
