//! Heartbeats over TLS, counted and timed. Certificates are not judged (the
//! server is on this host), but each handshake's signature is checked, as any
//! client does; sessions are not resumed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Failure;
use super::credentials::Sites;

/// Threads that send.
const THREADS: usize = 2;
/// For one call of a herd, connection and all.
const PATIENCE: Duration = Duration::from_secs(60);

/// How connections are used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Kept for all requests.
    Kept,
    /// A new one for each request.
    New,
}

/// One heartbeat as it goes over the wire.
pub(crate) fn request(path: &str, (id, key): &(String, String), close: bool) -> String {
    let body = r#"{"version":"4.2.0","uptime_seconds":86400}"#;
    let connection = if close { "Connection: close\r\n" } else { "" };
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{connection}X-Site-ID: {id}\r\nX-Site-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Where requests go, and how.
struct Target {
    address: SocketAddr,
    path: String,
    connector: TlsConnector,
    sites: Sites,
    turns: AtomicU64,
}

impl Target {
    fn new(url: &str, sites: Sites) -> Result<Self, Failure> {
        let rest = url.strip_prefix("https://").ok_or("the URL must begin with https://")?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let address: SocketAddr = host.parse()?;
        if !address.ip().is_loopback() {
            return Err("load is sent to loopback only".into());
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(SignatureOnly(provider)))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { address, path: path.to_owned(), connector, sites, turns: AtomicU64::new(0) })
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        Ok(self.connector.connect(ServerName::from(self.address.ip()), socket).await?)
    }

    async fn call(
        &self,
        stream: &mut TlsStream<TcpStream>,
        answer: &mut Vec<u8>,
        close: bool,
    ) -> Result<u16, Failure> {
        let site = self.sites.of_turn(self.turns.fetch_add(1, Relaxed));
        stream.write_all(request(&self.path, &site, close).as_bytes()).await?;
        answer.clear();
        loop {
            if stream.read_buf(answer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if let Some(status) = whole(answer)? {
                return Ok(status);
            }
        }
    }

    /// One call on a connection of its own.
    async fn call_anew(&self, answer: &mut Vec<u8>) -> Result<u16, Failure> {
        let mut stream = self.connect().await?;
        let status = self.call(&mut stream, answer, true).await?;
        // The server may have closed first.
        let _ = stream.shutdown().await;
        Ok(status)
    }
}

/// The status of an answer, once all of it is there.
fn whole(answer: &[u8]) -> Result<Option<u16>, Failure> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = answer.split_at(end + 4);
    let head = std::str::from_utf8(head)?;
    let status = head.get(9..12).unwrap_or_default().parse()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())?;
    Ok((body.len() >= length).then_some(status))
}

/// What came of some requests.
#[derive(Default)]
struct Outcome {
    microseconds: Vec<u64>,
    refused: u64,
    broken: u64,
    last_error: Option<String>,
}

impl Outcome {
    fn note(&mut self, result: Result<u16, Failure>, started: Instant) {
        match result {
            Ok(200) => {
                self.microseconds.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            Ok(status) => {
                self.refused += 1;
                self.last_error = Some(format!("status {status}"));
            }
            Err(error) => {
                self.broken += 1;
                self.last_error = Some(error.to_string());
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.microseconds.extend(other.microseconds);
        self.refused += other.refused;
        self.broken += other.broken;
        self.last_error = other.last_error.or(self.last_error.take());
    }

    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    fn print(mut self, took: Duration) {
        self.microseconds.sort_unstable();
        let at = |share: usize| {
            let index = self.microseconds.len().saturating_sub(1) * share / 100;
            self.microseconds.get(index).copied().unwrap_or_default() as f64 / 1e3
        };
        let report = serde_json::json!({
            "requests": self.microseconds.len(),
            "seconds": took.as_secs_f64(),
            "p50_ms": at(50),
            "p99_ms": at(99),
            "max_ms": at(100),
            "refused": self.refused,
            "broken": self.broken,
            "last_error": self.last_error,
        });
        println!("{report}");
    }
}

/// Runs `work` on each of the threads and adds up what they report.
fn on_threads<F>(work: impl Fn(usize) -> F + Sync) -> Result<Outcome, Failure>
where
    F: Future<Output = Outcome>,
{
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let work = &work;
                scope.spawn(move || -> Result<Outcome, Failure> {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                    let local = tokio::task::LocalSet::new();
                    Ok(local.block_on(&runtime, work(index)))
                })
            })
            .collect();
        let mut all = Outcome::default();
        for thread in threads {
            all.add(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(all)
    })
}

/// How many of `all` fall to thread `index`.
fn share(all: u64, index: usize) -> u64 {
    let threads = THREADS as u64;
    all / threads + u64::from((index as u64) < all % threads)
}

/// Sends for `seconds` over `connections` at a time.
pub(crate) fn load(
    url: &str,
    sites: Sites,
    connections: u64,
    seconds: u64,
    mode: Mode,
) -> Result<(), Failure> {
    let target = Arc::new(Target::new(url, sites)?);
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds);
    let outcome = on_threads(|index| {
        let target = Arc::clone(&target);
        async move {
            let tasks: Vec<_> = (0..share(connections, index))
                .map(|_| tokio::task::spawn_local(keep_sending(Arc::clone(&target), until, mode)))
                .collect();
            gather(tasks).await
        }
    })?;
    outcome.print(started.elapsed());
    Ok(())
}

async fn keep_sending(target: Arc<Target>, until: Instant, mode: Mode) -> Outcome {
    let (mut outcome, mut answer) = (Outcome::default(), Vec::with_capacity(2048));
    let mut kept = None;
    while Instant::now() < until {
        let started = Instant::now();
        let result = match mode {
            Mode::New => target.call_anew(&mut answer).await,
            Mode::Kept => {
                if kept.is_none() {
                    kept = target.connect().await.ok();
                }
                match &mut kept {
                    Some(stream) => target.call(stream, &mut answer, false).await,
                    None => Err("cannot connect".into()),
                }
            }
        };
        if result.is_err() {
            kept = None;
        }
        outcome.note(result, started);
    }
    outcome
}

/// `calls` calls that begin at the same instant, each on a connection of its
/// own.
pub(crate) fn herd(url: &str, sites: Sites, calls: u64) -> Result<(), Failure> {
    let target = Arc::new(Target::new(url, sites)?);
    let all = usize::try_from(calls)?;
    let together = Arc::new(Barrier::new(all));
    let begun = Arc::new(std::sync::OnceLock::new());
    let outcome = on_threads(|index| {
        let (target, together, begun) = (Arc::clone(&target), Arc::clone(&together), Arc::clone(&begun));
        async move {
            let tasks: Vec<_> = (0..share(calls, index))
                .map(|_| {
                    let (target, together, begun) =
                        (Arc::clone(&target), Arc::clone(&together), Arc::clone(&begun));
                    tokio::task::spawn_local(async move {
                        let (mut outcome, mut answer) = (Outcome::default(), Vec::new());
                        together.wait().await;
                        let started = *begun.get_or_init(Instant::now);
                        let call = tokio::time::timeout(PATIENCE, target.call_anew(&mut answer)).await;
                        outcome.note(call.unwrap_or_else(|_| Err("no answer in time".into())), started);
                        outcome
                    })
                })
                .collect();
            gather(tasks).await
        }
    })?;
    let took = begun.get().map_or(Duration::ZERO, Instant::elapsed);
    outcome.print(took);
    Ok(())
}

async fn gather(tasks: Vec<tokio::task::JoinHandle<Outcome>>) -> Outcome {
    let mut all = Outcome::default();
    for task in tasks {
        match task.await {
            Ok(outcome) => all.add(outcome),
            Err(error) => all.note(Err(error.into()), Instant::now()),
        }
    }
    all
}

/// Takes any certificate whose key signed the handshake.
#[derive(Debug)]
struct SignatureOnly(Arc<CryptoProvider>);

impl ServerCertVerifier for SignatureOnly {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
