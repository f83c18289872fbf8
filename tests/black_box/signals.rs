//! What SIGTERM and SIGHUP do, and files that change under a running server.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{Server, Setup, until};
use crate::wire::{GET_HEALTH, Tls, answer, post, roots, status, until_closed};

#[test]
fn sigterm_lets_a_running_request_end_and_exits_with_0() {
    let server = Server::start();
    let mut running = server.tls();
    let request = post("/api/auth/login", "", "{\"username\":\"nobody\",\"password\":\"wrong\"}");
    let (first, rest) = request.split_at(request.len() - 5);
    running.write_all(first.as_bytes()).unwrap();
    // The connection is past its handshake when another has been served.
    server.assert_well();
    server.signal(Signal::TERM);
    // The listener is gone when no more connections are taken.
    until("the listener is gone", || std::net::TcpStream::connect(server.address()).is_err());
    running.write_all(rest.as_bytes()).unwrap();
    assert_eq!(status(&until_closed(&mut running)), 401);
    server.wait_for_end();
}

/// A certificate for localhost with this serial number, and its key, as PEM.
fn pair(serial: u8) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.serial_number = Some(rcgen::SerialNumber::from(vec![serial]));
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A server whose certificate is in two files.
struct WithFiles {
    server: Server,
    cert: PathBuf,
    key: PathBuf,
}

impl WithFiles {
    fn start(pair: &(String, String)) -> Self {
        let setup = Setup::new();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| setup.directory().join(name));
        put(&cert, &key, pair);
        Self { server: setup.tls_files(&cert, &key).start(), cert, key }
    }

    fn put(&self, pair: &(String, String)) {
        put(&self.cert, &self.key, pair);
    }

    /// A connection that trusts this certificate alone.
    fn trusting(&self, certificate: &str) -> Tls {
        self.server.tls_over(self.server.tcp(), roots(certificate.as_bytes()), "http/1.1")
    }

    /// Whether this certificate is served to who comes now.
    fn serves(&self, certificate: &str) -> bool {
        self.trusting(certificate).write_all(b"G").is_ok()
    }

    /// The document that answers a request which ends its connection.
    fn exchange(&self, certificate: &str, request: &str) -> Value {
        let mut tls = self.trusting(certificate);
        tls.write_all(request.as_bytes()).unwrap();
        serde_json::from_str(until_closed(&mut tls).split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

fn put(cert: &Path, key: &Path, (certificate, private): &(String, String)) {
    std::fs::write(cert, certificate).unwrap();
    std::fs::write(key, private).unwrap();
}

#[test]
fn certificate_files_are_read_again_without_a_signal_and_open_connections_go_on() {
    let (first, second) = (pair(1), pair(2));
    let files = WithFiles::start(&first);
    let mut old = files.trusting(&first.0);
    old.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut old)), 200);
    files.put(&second);
    until("the new certificate is served", || files.serves(&second.0));
    assert!(!files.serves(&first.0));
    old.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut old)), 200);
}

#[test]
fn certificate_files_are_read_again_and_a_bad_pair_keeps_the_old_one() {
    let (second, third) = (pair(2), pair(3));
    let files = WithFiles::start(&second);
    let server = &files.server;
    // A certificate whose key is another's, told by a signal.
    std::fs::write(&files.cert, &third.0).unwrap();
    server.signal(Signal::HUP);
    until("the fault is logged", || server.log().contains("the one before stays in use"));
    assert!(files.serves(&second.0) && !files.serves(&third.0));
    assert!(server.log().contains("does not belong to the certificate"), "{}", server.log());

    let health = |token: &str| {
        let head = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close";
        files.exchange(&second.0, &format!("{head}\r\nAuthorization: Bearer {token}\r\n\r\n"))
    };
    let login = json!({ "username": "sysadmin", "password": server.password() }).to_string();
    let token = files.exchange(&second.0, &post("/api/auth/login", "", &login))["access_token"].clone();
    let told = &health(token.as_str().unwrap())["certificate"];
    assert_eq!(told["mode"], "files");
    assert_eq!(told["names"], json!(["localhost"]));
    assert!(told["last_error"].as_str().unwrap().contains("does not belong"), "{told}");
    assert!(health("wrong").get("certificate").is_none());

    // Mended.
    std::fs::write(&files.key, &third.1).unwrap();
    until("the mended pair is served", || files.serves(&third.0));
}

#[test]
fn other_certificate_files_are_read_at_a_signal_and_missing_ones_keep_the_pair_before() {
    let files = WithFiles::start(&pair(3));
    let (server, fourth) = (&files.server, pair(4));
    let configured = server.config_file();
    let text = std::fs::read_to_string(&configured).unwrap();
    put(&files.cert.with_file_name("new-cert.pem"), &files.key.with_file_name("new-key.pem"), &fourth);
    let others = text.replace("/cert.pem", "/new-cert.pem").replace("/key.pem", "/new-key.pem");
    std::fs::write(&configured, others).unwrap();
    server.signal(Signal::HUP);
    until("the pair in the other files is served", || files.serves(&fourth.0));
    assert!(server.log().contains("tls.cert, tls.key"), "{}", server.log());
    std::fs::write(&configured, text.replace("/cert.pem", "/gone.pem")).unwrap();
    server.signal(Signal::HUP);
    until("the fault is logged", || server.log().contains("/gone.pem"));
    assert!(files.serves(&fourth.0));
}

#[test]
fn sighup_reloads_the_log_level_and_says_what_needs_a_restart() {
    let server = Server::configured("silent_after_hours = 1\n[log]\nlevel = \"warn\"\n");
    server.assert_well();
    assert!(!server.log().contains("/health"), "{}", server.log());
    let file = server.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("silent_after_hours = 1", "silent_after_hours = 2").replace("warn", "info");
    std::fs::write(&file, &text).unwrap();
    server.signal(Signal::HUP);
    until("the reload is logged", || server.log().contains("needs a restart"));
    let log = server.log();
    assert!(log.contains("silent_after_hours") && log.contains("log.level"), "{log}");
    server.assert_well();
    until("requests are logged now", || server.log().contains("/health"));
    std::fs::write(&file, text.replace("silent_after_hours = 2", "silent_after_hours = 1")).unwrap();
    server.signal(Signal::HUP);
    until("it is told that nothing has changed", || server.log().contains("nothing in it has changed"));
    std::fs::write(&file, text + "nonsense = 1\n").unwrap();
    server.signal(Signal::HUP);
    until("the fault is logged", || server.log().contains("was not reloaded"));
    server.assert_well();
}
