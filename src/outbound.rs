//! Calls to other servers: one HTTP/1.1 request, over rustls or the control
//! socket. The command line and ACME both call through here.
//!
//! Names are looked up by hickory: the release binary is linked statically and
//! must not call the system's resolver.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::auth::host_user::HostUser;

/// Time limit for the head of the answer, the name look-up included, and again
/// for a body that is read whole.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time limit for connecting to one address, before the next one is tried.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that is read whole: a page of 1,000 sites has some
/// 500 KiB.
const MAX_ANSWER: usize = 16 << 20;
/// Where systems keep the certificate authorities that they trust, as PEM.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Not a URL that can be called; wrong usage.
    #[error("{}", bad_url(.0))]
    BadUrl(String),
    /// The certificate authorities cannot be read.
    #[error("cannot read certificates from {path}: {reason}")]
    Roots { path: PathBuf, reason: String },
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted ({0}): give its certificate or its CA's with --cacert")]
    NotTrusted(rustls::Error),
    /// The server did not answer, or not within the time limits.
    #[error("cannot reach {host}: {reason}")]
    Unreachable { host: String, reason: String },
    /// Another user's process serves a socket that was only found, not named.
    /// Nothing was sent.
    #[error(
        "the socket {path} is served by the user {user}, who is neither root nor you: nothing was sent; if that \
         is the right server, name its socket with --socket {path}"
    )]
    Stranger { path: String, user: String },
}

fn bad_url(url: &str) -> String {
    if url.contains("://") {
        format!("{url} is not a URL such as https://licences.example.com")
    } else {
        format!("{url} is not a URL such as https://licences.example.com: it does not begin with https://")
    }
}

/// Where a server is.
#[derive(Debug, Clone)]
pub(crate) enum Server {
    /// On this host, behind its control socket.
    Socket {
        /// The socket.
        path: PathBuf,
        /// Whether the user or the configuration named this path. Then it is
        /// trusted, whoever serves it. Otherwise it was found in the current
        /// directory, and only root or the same user may serve it.
        named: bool,
    },
    /// Anywhere, by URL.
    Url {
        /// Scheme and authority; a path is put before that of the API.
        base: Uri,
        /// Certificates to trust in place of the system's authorities; on a
        /// system that has none, those that are built in are trusted.
        cacert: Option<PathBuf>,
    },
}

impl Server {
    /// From a URL as a user gives it.
    pub(crate) fn at(url: &str, cacert: Option<PathBuf>) -> Result<Self, ClientError> {
        let bad = || ClientError::BadUrl(url.to_owned());
        let base: Uri = url.trim_end_matches('/').parse().map_err(|_| bad())?;
        let scheme = base.scheme().ok_or_else(bad)?;
        if base.authority().is_none() || (*scheme != Scheme::HTTPS && *scheme != Scheme::HTTP) {
            return Err(bad());
        }
        Ok(Self::Url { base, cacert })
    }

    /// Whether requests cross a network unencrypted.
    pub(crate) fn is_in_clear(&self) -> bool {
        match self {
            Self::Socket { .. } => false,
            Self::Url { base, .. } => {
                base.scheme() == Some(&Scheme::HTTP) && !base.authority().is_some_and(is_loopback)
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Socket { path, .. } => path.display().to_string(),
            Self::Url { base, .. } => base.authority().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// The error where it has not answered for so long.
    pub(crate) fn silent(&self, patience: Duration) -> ClientError {
        let reason = format!("no answer within {} s", patience.as_secs());
        ClientError::Unreachable { host: self.name(), reason }
    }

    /// Sends `request`, whose target is a path of the API, and gives the
    /// answer with its body still to be read.
    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .unwrap_or_else(|_| Err(self.silent(PATIENCE)))
    }

    /// Sends `request` and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        let (parts, body) = self.open(request).await?.into_parts();
        let unreachable = |reason: String| ClientError::Unreachable { host: self.name(), reason };
        let read = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_ANSWER).collect()).await;
        let body = read.map_err(|error| unreachable(error.to_string()))?;
        let body = body.map_err(|error| unreachable(error.to_string()))?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable { host: self.name(), reason };
        let (base, cacert) = match self {
            Self::Socket { path, named } => {
                let stream =
                    UnixStream::connect(path).await.map_err(|error| unreachable(error.to_string()))?;
                check_peer(path, *named, &stream)?;
                return exchange(stream, request, "localhost", "").await.map_err(unreachable);
            }
            Self::Url { base, cacert } => (base, cacert.as_deref()),
        };
        let bad_url = || ClientError::BadUrl(base.to_string());
        let authority = base.authority().ok_or_else(bad_url)?;
        let prefix = base.path().trim_end_matches('/');
        if base.scheme() == Some(&Scheme::HTTP) {
            let stream = connect(authority, 80).await.map_err(|error| unreachable(error.to_string()))?;
            return exchange(stream, request, authority.as_str(), prefix).await.map_err(unreachable);
        }
        let roots = roots(cacert)?;
        let name = ServerName::try_from(host_of(authority).to_owned()).map_err(|_| bad_url())?;
        let stream = connect(authority, 443).await.map_err(|error| unreachable(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(tls_config(roots)));
        let stream =
            connector.connect(name, stream).await.map_err(|error| not_trusted(error, unreachable))?;
        exchange(stream, request, authority.as_str(), prefix).await.map_err(unreachable)
    }
}

/// Refuses to speak to another user's process behind a socket that was not
/// named. Otherwise anyone who can put a socket into a directory could collect
/// the passwords that are typed into commands run there. `stream` is connected
/// to `path`.
pub(crate) fn check_peer(path: &Path, named: bool, stream: impl AsFd) -> Result<(), ClientError> {
    if named {
        return Ok(());
    }
    let unknown = |error: io::Error| ClientError::Unreachable {
        host: path.display().to_string(),
        reason: format!("its owner cannot be told: {error}"),
    };
    // The link itself: one to a socket of root's is no socket of root's.
    let owner = path.symlink_metadata().map_err(unknown)?.uid();
    // Who listens (SO_PEERCRED, unix(7)).
    let listener = socket_peercred(stream).map_err(|error| unknown(error.into()))?.uid.as_raw();
    let me = geteuid().as_raw();
    match [owner, listener].into_iter().find(|user| !is_trusted(*user, me)) {
        None => Ok(()),
        Some(stranger) => {
            Err(ClientError::Stranger { path: path.display().to_string(), user: HostUser::of(stranger).name })
        }
    }
}

fn is_trusted(user: u32, me: u32) -> bool {
    user == 0 || user == me
}

/// Whether the file holds certificates to trust.
///
/// # Errors
/// [`ClientError::Roots`].
pub(crate) fn check_roots(path: &Path) -> Result<(), ClientError> {
    roots(Some(path)).map(drop)
}

fn host_of(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(authority: &Authority) -> bool {
    let host = host_of(authority);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn not_trusted(error: io::Error, unreachable: impl Fn(String) -> ClientError) -> ClientError {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls @ rustls::Error::InvalidCertificate(_)) => ClientError::NotTrusted(tls.clone()),
        _ => unreachable(error.to_string()),
    }
}

fn tls_config(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // The provider has suites for every version: this cannot fail.
    let builder = match ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
        Ok(builder) => builder,
        Err(error) => unreachable!("{error}"),
    };
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn roots(cacert: Option<&Path>) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    let system = || SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists());
    let Some(path) = cacert.or_else(system) else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let error = |reason: String| ClientError::Roots { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|source| error(source.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(error("it holds no PEM certificate".to_owned()));
    }
    Ok(roots)
}

async fn connect(authority: &Authority, default_port: u16) -> io::Result<TcpStream> {
    let port = authority.port_u16().unwrap_or(default_port);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses(host_of(authority)).await? {
        let connect = TcpStream::connect(SocketAddr::new(address, port));
        match tokio::time::timeout(CONNECT_PATIENCE, connect).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        // RFC 6761, section 6.3: never asked of the network.
        return Ok(vec![IpAddr::from([127, 0, 0, 1]), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)]);
    }
    let resolver =
        TokioResolver::builder_tokio().map_err(io::Error::other)?.build().map_err(io::Error::other)?;
    let found = resolver.lookup_ip(host).await.map_err(|error| {
        if error.is_no_records_found() {
            return io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        }
        io::Error::other(format!("the name cannot be looked up: {error}"))
    })?;
    Ok(found.iter().collect())
}

async fn exchange<S>(
    stream: S,
    mut request: Request<Full<Bytes>>,
    host: &str,
    prefix: &str,
) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // HTTP/1.1 asks for the path alone, and for the host in a header.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("{prefix}{path}").parse::<Uri>().map_err(|error| error.to_string())?;
    let host = host.parse().map_err(|_| "the host name is no header value".to_owned())?;
    request.headers_mut().insert(header::HOST, host);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // Ends when the answer has been read or dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_oneself_are_trusted_and_nobody_else() {
        assert!(is_trusted(0, 1000) && is_trusted(1000, 1000) && is_trusted(0, 0));
        assert!(!is_trusted(1001, 1000) && !is_trusted(1000, 0));
    }

    #[test]
    fn a_link_of_another_user_to_a_good_socket_is_no_good_socket() {
        if !geteuid().is_root() {
            // Nobody else can make a link of another user's.
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let (socket, link) = (directory.path().join("socket"), directory.path().join("link"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let stream = || std::os::unix::net::UnixStream::connect(&link).unwrap();
        assert!(check_peer(&socket, false, stream()).is_ok());
        assert!(check_peer(&link, false, stream()).is_ok());
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        assert!(matches!(check_peer(&link, false, stream()), Err(ClientError::Stranger { .. })));
        assert!(check_peer(&link, true, stream()).is_ok(), "it was named");
    }
}
