//! What SIGTERM and SIGHUP do, and files that change under a running server.

use std::io::Write as _;

use rustix::process::Signal;

use crate::server::{Server, Setup, until};
use crate::wire::{GET_HEALTH, answer, post, roots, status, until_closed};

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

#[test]
fn certificate_files_are_read_again_and_a_bad_pair_keeps_the_old_one() {
    let setup = Setup::new();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| setup.directory().join(name));
    let put = |(certificate, private): &(String, String)| {
        std::fs::write(&cert, certificate).unwrap();
        std::fs::write(&key, private).unwrap();
    };
    put(&pair(1));
    let settings = format!(
        "[tls]\nmode = \"files\"\ncert = {:?}\nkey = {:?}\n",
        cert.display().to_string(),
        key.display().to_string()
    );
    let server = setup.config(&settings).start();
    let trusting =
        |certificate: &str| server.tls_over(server.tcp(), roots(certificate.as_bytes()), "http/1.1");
    let served = |certificate: &str| trusting(certificate).write_all(b"G").is_ok();
    let first = std::fs::read_to_string(&cert).unwrap();
    let mut old = trusting(&first);
    old.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut old)), 200);

    // A new pair, seen without a signal.
    let second = pair(2);
    put(&second);
    until("the new certificate is served", || served(&second.0));
    assert!(!served(&first));
    old.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut old)), 200);

    // A certificate whose key is another's, told by a signal.
    let third = pair(3);
    std::fs::write(&cert, &third.0).unwrap();
    server.signal(Signal::HUP);
    until("the fault is logged", || server.log().contains("the one before stays in use"));
    assert!(served(&second.0) && !served(&third.0));
    assert!(server.log().contains("does not belong to the certificate"), "{}", server.log());

    let health = |token: &str| {
        let request = format!(
            "GET /health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let mut tls = trusting(&second.0);
        tls.write_all(request.as_bytes()).unwrap();
        let answer = until_closed(&mut tls);
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str::<serde_json::Value>(body).unwrap()
    };
    let mut login = trusting(&second.0);
    let body = format!("{{\"username\":\"sysadmin\",\"password\":\"{}\"}}", server.password());
    login.write_all(post("/api/auth/login", "", &body).as_bytes()).unwrap();
    let answer = until_closed(&mut login);
    let token: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let told = &health(token["access_token"].as_str().unwrap())["certificate"];
    assert_eq!(told["mode"], "files");
    assert_eq!(told["names"], serde_json::json!(["localhost"]));
    assert!(told["last_error"].as_str().unwrap().contains("does not belong"), "{told}");
    assert!(health("wrong").get("certificate").is_none());

    // Mended.
    std::fs::write(&key, &third.1).unwrap();
    until("the mended pair is served", || served(&third.0));

    // Other files, told by a signal; then files that are not there.
    let configured = server.config_file();
    let text = std::fs::read_to_string(&configured).unwrap();
    let fourth = pair(4);
    std::fs::write(cert.with_file_name("new-cert.pem"), &fourth.0).unwrap();
    std::fs::write(cert.with_file_name("new-key.pem"), &fourth.1).unwrap();
    std::fs::write(
        &configured,
        text.replace("/cert.pem", "/new-cert.pem").replace("/key.pem", "/new-key.pem"),
    )
    .unwrap();
    server.signal(Signal::HUP);
    until("the pair in the other files is served", || served(&fourth.0));
    assert!(server.log().contains("tls.cert, tls.key"), "{}", server.log());
    std::fs::write(&configured, text.replace("/cert.pem", "/gone.pem")).unwrap();
    server.signal(Signal::HUP);
    until("the fault is logged", || server.log().contains("/gone.pem"));
    assert!(served(&fourth.0));
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
    std::fs::write(&file, text + "nonsense = 1\n").unwrap();
    server.signal(Signal::HUP);
    until("the fault is logged", || server.log().contains("was not reloaded"));
    server.assert_well();
}
