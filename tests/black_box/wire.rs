//! Raw sockets to the server: bytes that no good client would send, from
//! addresses of this host that a test chooses (all of 127.0.0.0/8 is its own).

pub(crate) mod http2;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::server::{PATIENCE, Server};

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) const GET_HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";

/// A request whose body is not at its end.
pub(crate) const UNFINISHED: &[u8] =
    b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{";

impl Server {
    /// A plain connection from an address of this host.
    pub(crate) fn tcp_from(&self, source: [u8; 4]) -> TcpStream {
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(source)), 0);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&source.into()).unwrap();
        socket.connect(&self.address().into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        self.tcp_from([127, 0, 0, 1])
    }

    /// TLS that trusts the server's own certificate; the handshake is made
    /// with the first byte.
    pub(crate) fn tls_from(&self, source: [u8; 4], protocol: &str) -> Tls {
        self.tls_over(self.tcp_from(source), roots(&std::fs::read(self.certificate()).unwrap()), protocol)
    }

    pub(crate) fn tls_over(&self, tcp: TcpStream, roots: RootCertStore, protocol: &str) -> Tls {
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(tls_config(roots, protocol), name).unwrap(), tcp)
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls_from([127, 0, 0, 1], "http/1.1")
    }

    /// Sends bytes on a connection of their own and reads until it is closed.
    pub(crate) fn exchange(&self, request: &[u8]) -> String {
        self.exchange_from([127, 0, 0, 1], request)
    }

    /// As [`Server::exchange`], from an address of this host.
    pub(crate) fn exchange_from(&self, source: [u8; 4], request: &[u8]) -> String {
        let mut tls = self.tls_from(source, "http/1.1");
        // The server may refuse before it has read all.
        let _ = tls.write_all(request);
        until_closed(&mut tls)
    }

    /// Head and body of the answer to a login.
    pub(crate) fn login_from(&self, source: [u8; 4], username: &str, password: &str) -> (String, String) {
        let body = serde_json::json!({ "username": username, "password": password }).to_string();
        let answer = self.exchange_from(source, post("/api/auth/login", "", &body).as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// A connection to the control socket, whose peer is the system's user.
    pub(crate) fn control_socket(&self) -> UnixStream {
        UnixStream::connect(self.data_dir().join("control.sock")).unwrap()
    }

    /// One answer over the control socket, to who asks on the host.
    pub(crate) fn on_the_host(&self, request: &[u8]) -> String {
        let mut socket = self.control_socket();
        socket.write_all(request).unwrap();
        answer(&mut socket)
    }

    /// The server is well, for a newcomer.
    pub(crate) fn assert_well(&self) {
        let answer = self.exchange(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// Trust in one certificate.
pub(crate) fn roots(pem: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    roots
}

/// TLS by our own provider, for one protocol (ALPN).
pub(crate) fn tls_config(roots: RootCertStore, protocol: &str) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

/// A request with a JSON body, the last of its connection.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// The status of an answer over HTTP/1.1; 0 where there is none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Everything up to the close, by whatever end.
pub(crate) fn until_closed(stream: &mut impl Read) -> String {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => all.extend_from_slice(&part[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("the connection was not closed; read {:?}", String::from_utf8_lossy(&all))
            }
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// One answer with a Content-Length, from a connection that goes on.
pub(crate) fn answer(stream: &mut impl Read) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&all));
        all.push(byte[0]);
    }
    let head = String::from_utf8(all).unwrap();
    let length = header(&head, "content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

/// The value of a header in an answer.
pub(crate) fn header(answer: &str, name: &str) -> Option<String> {
    let lines = answer.lines().take_while(|line| !line.is_empty());
    let value = |line: &str| {
        let (given, value) = line.split_once(':')?;
        given.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    lines.filter_map(value).next()
}
