//! The door, from outside: each limit fires, and bad input is refused or the
//! connection is closed, while others are served.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "door/server.rs"]
mod server;

use std::io::{Read, Write};
use std::sync::mpsc;

use rustix::process::Signal;

use self::server::{Server, answer, command, header, post, until_closed};

const GET_HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn a_stalled_handshake_is_closed() {
    let server = Server::start("[limits]\nhandshake_seconds = 1\n");
    assert_eq!(until_closed(&mut server.tcp()), "");
    let mut half = server.tcp();
    half.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    assert_eq!(until_closed(&mut half), "");
    server.assert_well();
}

#[test]
fn a_slow_head_is_closed() {
    let server = Server::start("[limits]\nheader_seconds = 1\n");
    assert_eq!(server.exchange(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "), "");
    // Also the second one of a connection.
    let mut tls = server.tls();
    tls.write_all(GET_HEALTH).unwrap();
    answer(&mut tls);
    tls.write_all(b"G").unwrap();
    assert_eq!(until_closed(&mut tls), "");
}

#[test]
fn a_slow_body_is_answered_408() {
    let server = Server::start("[limits]\nbody_seconds = 1\n");
    let answer = server.exchange(
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
    );
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    server.assert_well();
}

#[test]
fn a_reader_who_does_not_read_loses_its_place() {
    let server = Server::start("[limits]\nwrite_seconds = 1\nmax_connections = 1\n");
    let mut slow = server.tls();
    for _ in 0..40 {
        // 1.4 MB each: more than all buffers hold.
        slow.write_all(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    // Served only when the one place is free again.
    server.assert_well();
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::start("[limits]\nidle_seconds = 1\n");
    let mut never = server.tls();
    never.conn.complete_io(&mut never.sock).unwrap();
    assert_eq!(until_closed(&mut never), "");
    let mut once = server.tls();
    once.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut once)), 200);
    assert_eq!(until_closed(&mut once), "");
}

#[test]
fn a_body_beyond_the_limit_is_answered_413() {
    let server = Server::start("[limits]\nbody_bytes = 100\n");
    let head = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let declared = server.exchange(format!("{head}Content-Length: 101\r\n\r\n").as_bytes());
    assert_eq!(status(&declared), 413, "{declared}");
    let chunk = "x".repeat(101);
    let chunked =
        server.exchange(format!("{head}Transfer-Encoding: chunked\r\n\r\n65\r\n{chunk}\r\n").as_bytes());
    assert_eq!(status(&chunked), 413, "{chunked}");
    // 100 bytes are read, and found to be no JSON.
    let fits = server.exchange(post("/api/auth/login", "", &"x".repeat(100)).as_bytes());
    assert_eq!(status(&fits), 400, "{fits}");
}

#[test]
fn connections_beyond_the_limit_wait_until_one_leaves() {
    let server = Server::start("[limits]\nmax_connections = 2\n");
    let mut held: Vec<_> = (0..2).map(|_| server.tls()).collect();
    let ask = |tls: &mut server::Tls| {
        tls.write_all(GET_HEALTH).unwrap();
        assert_eq!(status(&answer(tls)), 200);
    };
    held.iter_mut().for_each(ask);
    let (done, third) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.assert_well();
            done.send(()).unwrap();
        });
        for _ in 0..20 {
            held.iter_mut().for_each(ask);
        }
        assert!(third.try_recv().is_err(), "a third was served while two places were taken");
        drop(held.pop());
        third.recv().unwrap();
    });
}

#[test]
fn one_address_cannot_take_the_connections_of_others() {
    let server = Server::start("[limits]\nmax_connections_per_address = 1\n");
    let mut first = server.tls();
    first.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut first)), 200);
    assert_eq!(server.exchange(GET_HEALTH), "");
    let mut other = server.tls_from([127, 0, 0, 2], "http/1.1");
    other.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut other)), 200);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::start("");
    let long = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    let answer = server.exchange(long.as_bytes());
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    let many = "X-Many: 1\r\n".repeat(200);
    let answer = server.exchange(format!("GET /health HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes());
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let answer = server.exchange(target.as_bytes());
    assert!(answer.is_empty() || [414, 431].contains(&status(&answer)), "{answer}");
    server.assert_well();
}

#[test]
fn what_smugglers_send_is_refused() {
    let server = Server::start("");
    for request in [
        "POST /api/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "POST /api/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/heartbeat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /api/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
        "GET /health HTTP/1.1\nHost: x\n\n",
        "GET /health HTTP/1.1\r\nHost: x\nX-More: y\r\n\r\n",
        "GET /health\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: x\r\nX-Null: a\0b\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
    ] {
        let answer = server.exchange(request.as_bytes());
        assert!(answer.is_empty() || status(&answer) == 400, "{request:?}: {answer}");
    }
    // Also behind another request, sent together with it.
    let before = post("/api/auth/login", "", "{}").replace("Connection: close\r\n", "");
    let behind = format!(
        "{before}POST /api/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\n"
    );
    let answers = server.exchange(behind.as_bytes());
    assert!(!answers.contains("X-Site-ID") && answers.matches("HTTP/1.1 ").count() <= 1, "{answers}");
    let encoded = server.exchange(b"GET /health%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&encoded), 404, "{encoded}");
    server.assert_well();
}

#[test]
fn plain_http_on_the_tls_port_is_told_to_use_https() {
    let server = Server::start("");
    let mut tcp = server.tcp();
    tcp.write_all(GET_HEALTH).unwrap();
    let answer = until_closed(&mut tcp);
    assert_eq!(status(&answer), 400);
    assert!(answer.contains("HTTPS"), "{answer}");
}

#[test]
fn clients_that_leave_or_dislike_the_certificate_harm_nobody() {
    let server = Server::start("[limits]\nmax_connections = 1\n");
    let mut leaver = server.tls();
    leaver.write_all(b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    drop(leaver);
    let mut half = server.tcp();
    half.write_all(&[22, 3, 1]).unwrap();
    drop(half);
    let mut distrustful = server.tls_over(server.tcp(), rustls::RootCertStore::empty(), "http/1.1");
    assert!(distrustful.write_all(GET_HEALTH).is_err());
    drop(distrustful);
    server.assert_well();
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
/// `POST https://x/` by HPACK's static table (RFC 7541, appendix A).
const POST_ROOT: &[u8] = &[0x83, 0x87, 0x84, 0x41, 0x01, b'x'];

fn read_frame(tls: &mut impl Read) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    tls.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    tls.read_exact(&mut payload).ok()?;
    Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

#[test]
fn http_2_streams_beyond_the_limit_are_refused() {
    let server = Server::start("");
    let mut tls = server.tls_from([127, 0, 0, 1], "h2");
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    for index in 0..65 {
        bytes.extend(frame(HEADERS, 4, 2 * index + 1, POST_ROOT));
    }
    tls.write_all(&bytes).unwrap();
    let mut announced = None;
    loop {
        match read_frame(&mut tls).unwrap() {
            (SETTINGS, _, settings) if !settings.is_empty() => {
                announced =
                    settings.chunks(6).find(|setting| setting[..2] == [0, 3]).map(|setting| setting[5]);
            }
            // REFUSED_STREAM
            (RST_STREAM, 129, code) => {
                assert_eq!(code, [0, 0, 0, 7]);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(announced, Some(64));
}

#[test]
fn rapid_reset_ends_the_connection() {
    let server = Server::start("");
    let mut tls = server.tls_from([127, 0, 0, 1], "h2");
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    for index in 0..500 {
        bytes.extend(frame(HEADERS, 5, 2 * index + 1, POST_ROOT));
        bytes.extend(frame(RST_STREAM, 0, 2 * index + 1, &[0, 0, 0, 8]));
    }
    let _ = tls.write_all(&bytes);
    let mut gone = None;
    while let Some((kind, _, payload)) = read_frame(&mut tls) {
        if kind == GOAWAY {
            gone = Some(payload[7]);
        }
    }
    // ENHANCE_YOUR_CALM
    assert_eq!(gone, Some(11));
    server.assert_well();
}

#[test]
fn a_header_bomb_over_http_2_is_refused() {
    let server = Server::start("");
    let mut tls = server.tls_from([127, 0, 0, 1], "h2");
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    // One header of 4,000 bytes put into the table, then named 10 times.
    let mut block = POST_ROOT.to_vec();
    block.extend([0x40, 0x01, b'b', 0x7f, 0xa1, 0x1e]);
    block.extend(vec![b'x'; 4000]);
    block.extend([0xbe; 10]);
    bytes.extend(frame(HEADERS, 5, 1, &block));
    tls.write_all(&bytes).unwrap();
    loop {
        match read_frame(&mut tls) {
            // `:status` 431 as a literal, or a reset, or the end of all.
            Some((HEADERS, 1, block)) => {
                assert!(
                    block.windows(3).any(|bytes| bytes == b"431") || block.first() == Some(&0x48),
                    "{block:?}"
                );
                break;
            }
            Some((RST_STREAM, 1, _)) | Some((GOAWAY, _, _)) | None => break,
            _ => {}
        }
    }
    server.assert_well();
}

#[test]
fn sigterm_lets_a_running_request_end_and_exits_with_0() {
    let mut server = Server::start("");
    let mut running = server.tls();
    let request = post("/api/auth/login", "", "{\"username\":\"nobody\",\"password\":\"wrong\"}");
    let (first, rest) = request.split_at(request.len() - 5);
    running.write_all(first.as_bytes()).unwrap();
    // The connection is past its handshake when another has been served.
    server.assert_well();
    server.signal(Signal::TERM);
    // The listener is gone when no more connections are taken.
    while std::net::TcpStream::connect(server.address).is_ok() {}
    running.write_all(rest.as_bytes()).unwrap();
    assert_eq!(status(&until_closed(&mut running)), 401);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn guessing_is_throttled_to_the_second_and_harms_no_other_address() {
    let server = Server::start("[limits]\nfailed_logins_per_minute = 3\n");
    for source in 2..8 {
        for attempt in 0..5 {
            let (head, _) = server.login_from([127, 0, 0, source], "sysadmin", "wrong");
            if attempt < 3 {
                assert_eq!(status(&head), 401, "{head}");
            } else {
                assert_eq!(status(&head), 429, "{head}");
                let seconds: u64 = header(&head, "retry-after").unwrap().parse().unwrap();
                assert!((1..=20).contains(&seconds), "{head}");
            }
        }
        let (head, _) = server.login_from([127, 0, 0, 1], "sysadmin", &server.password());
        assert_eq!(status(&head), 200, "{head}");
    }
}

#[test]
fn failed_heartbeats_are_throttled_by_address() {
    let server = Server::start("[limits]\nfailed_heartbeats_per_minute = 2\n");
    let heartbeat = |source: [u8; 4]| {
        let mut tls = server.tls_from(source, "http/1.1");
        let request = post("/api/heartbeat", "", "{\"version\":\"1\",\"uptime_seconds\":1}");
        tls.write_all(request.as_bytes()).unwrap();
        until_closed(&mut tls)
    };
    let answers: Vec<u16> = (0..3).map(|_| status(&heartbeat([127, 0, 0, 2]))).collect();
    assert_eq!(answers, [401, 401, 429]);
    let refused = heartbeat([127, 0, 0, 2]);
    assert!(header(&refused, "retry-after").is_some(), "{refused}");
    assert_eq!(status(&heartbeat([127, 0, 0, 1])), 401);
}

#[test]
fn forwarded_addresses_count_from_listed_proxies_only() {
    let server = Server::start("trusted_proxies = [\"127.0.0.9\"]\n[limits]\nfailed_logins_per_minute = 1\n");
    let attempt = |source: [u8; 4], client: &str| {
        let forwarded = format!("X-Forwarded-For: {client}\r\n");
        let body = "{\"username\":\"nobody\",\"password\":\"wrong\"}";
        let mut tls = server.tls_from(source, "http/1.1");
        tls.write_all(post("/api/auth/login", &forwarded, body).as_bytes()).unwrap();
        status(&until_closed(&mut tls))
    };
    let proxy = [127, 0, 0, 9];
    assert_eq!(attempt(proxy, "192.0.2.1"), 401);
    assert_eq!(attempt(proxy, "192.0.2.1"), 429);
    assert_eq!(attempt(proxy, "192.0.2.2"), 401);
    // A stranger is one address, whatever it writes.
    assert_eq!(attempt([127, 0, 0, 8], "192.0.2.3"), 401);
    assert_eq!(attempt([127, 0, 0, 8], "192.0.2.4"), 429);
}

#[test]
fn plain_http_on_a_public_address_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ended = command(&directory, "listen = [\"0.0.0.0:0\"]\n[tls]\nmode = \"off\"\n").status().unwrap();
    assert_eq!(ended.code(), Some(1));
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.contains("tls.mode") && log.contains("is not a loopback address"), "{log}");
}

/// A certificate for localhost with this serial number, and its key, as PEM.
fn pair(serial: u8) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.serial_number = Some(rcgen::SerialNumber::from(vec![serial]));
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Polls until `done`; a test that waits for a minute has failed.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !done() {
        assert!(std::time::Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn certificate_files_are_read_again_and_a_bad_pair_keeps_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
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
    let server = Server::start_in(directory, &settings);
    let trusting = |certificate: &str| {
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap())
            .unwrap();
        server.tls_over(server.tcp(), roots, "http/1.1")
    };
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
    let configured = server.directory.path().join("sitewarden.toml");
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
    let server = Server::start("silent_after_hours = 1\n[log]\nlevel = \"warn\"\n");
    server.assert_well();
    assert!(!server.log().contains("/health"), "{}", server.log());
    let file = server.directory.path().join("sitewarden.toml");
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
