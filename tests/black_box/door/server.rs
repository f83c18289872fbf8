//! The real binary with a configuration of its own, and plain clients for it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// No answer takes longer; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
}

impl Server {
    /// Starts one on a free port of 127.0.0.1 with a self-signed certificate
    /// and these settings besides (TOML).
    pub(crate) fn start(settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    pub(crate) fn start_in(directory: TempDir, settings: &str) -> Self {
        let mut child = command(&directory, settings).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .find_map(|line| {
                let said: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
                (said["message"] == "listening on").then(|| said["url"].as_str().unwrap().to_owned())
            })
            .unwrap_or_else(|| panic!("{}", std::fs::read_to_string(directory.path().join("log")).unwrap()));
        let address = url.rsplit_once('/').unwrap().1.parse().unwrap();
        Self { child, address, directory }
    }

    pub(crate) fn password(&self) -> String {
        let path = self.directory.path().join("data/initial-admin-password");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// One answer over the control socket, to who asks on the host.
    pub(crate) fn on_the_host(&self, request: &[u8]) -> String {
        let path = self.directory.path().join("data/control.sock");
        let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
        socket.write_all(request).unwrap();
        answer(&mut socket)
    }

    /// All metrics, where `metrics_listen` is set.
    pub(crate) fn metrics(&self) -> String {
        let log = self.log();
        let address = log.split_once("http://").and_then(|(_, rest)| rest.split_once("/metrics")).unwrap().0;
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        until_closed(&mut socket)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// A plain connection from an address of this host.
    pub(crate) fn tcp_from(&self, source: [u8; 4]) -> TcpStream {
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(source)), 0);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&source.into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
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
        let pem = std::fs::read(self.directory.path().join("data/tls-certificate.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        self.tls_over(self.tcp_from(source), roots, protocol)
    }

    pub(crate) fn tls_over(&self, tcp: TcpStream, roots: RootCertStore, protocol: &str) -> Tls {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls_from([127, 0, 0, 1], "http/1.1")
    }

    /// Sends bytes on a connection of their own and reads until it is closed.
    pub(crate) fn exchange(&self, request: &[u8]) -> String {
        let mut tls = self.tls();
        // The server may refuse before it has read all.
        let _ = tls.write_all(request);
        until_closed(&mut tls)
    }

    /// Head and body of the answer to a login.
    pub(crate) fn login_from(&self, source: [u8; 4], username: &str, password: &str) -> (String, String) {
        let body = serde_json::json!({ "username": username, "password": password }).to_string();
        let mut tls = self.tls_from(source, "http/1.1");
        tls.write_all(post("/api/auth/login", "", &body).as_bytes()).unwrap();
        let answer = until_closed(&mut tls);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// The server is well, for a newcomer.
    pub(crate) fn assert_well(&self) {
        let answer = self.exchange(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sitewarden serve` with these settings.
pub(crate) fn command(directory: &TempDir, settings: &str) -> Command {
    let path = directory.path();
    let mut config = format!("data_dir = \"{}\"\n", path.join("data").display());
    for (key, line) in [("listen", "listen = [\"127.0.0.1:0\"]"), ("metrics_listen", "metrics_listen = \"\"")]
    {
        if !settings.lines().any(|given| given.starts_with(&format!("{key} = "))) {
            config += &format!("{line}\n");
        }
    }
    let file = path.join("sitewarden.toml");
    std::fs::write(&file, config + settings).unwrap();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(path.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitewarden"));
    command.args(["serve", "--config"]).arg(file).stderr(log);
    command
}

/// A request with a JSON body, the last of its connection.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n{headers}\r\n{body}",
        body.len()
    )
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
