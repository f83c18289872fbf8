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

/// A request whose body is not at its end.
const UNFINISHED: &[u8] =
    b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{";

#[test]
fn connections_beyond_the_limit_wait_while_all_have_a_request_under_way() {
    let server = Server::start("[limits]\nmax_connections = 2\n");
    let mut held: Vec<_> = (0..2).map(|_| server.tls()).collect();
    for tls in &mut held {
        tls.write_all(GET_HEALTH).unwrap();
        assert_eq!(status(&answer(tls)), 200);
        tls.write_all(UNFINISHED).unwrap();
    }
    let (done, third) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.assert_well();
            done.send(()).unwrap();
        });
        for _ in 0..200 {
            assert!(server.on_the_host(GET_HEALTH).starts_with("HTTP/1.1 200"));
        }
        assert!(third.try_recv().is_err(), "a third was served while two requests were under way");
        for mut tls in held {
            tls.write_all(b"}").unwrap();
            assert_eq!(status(&answer(&mut tls)), 422);
        }
        third.recv().unwrap();
    });
}

#[test]
fn at_the_last_place_the_longest_idle_connection_of_the_address_with_most_gives_way() {
    let server = Server::start("[limits]\nmax_connections = 3\n");
    let ask = |tls: &mut server::Tls| {
        tls.write_all(GET_HEALTH).unwrap();
        assert_eq!(status(&answer(tls)), 200);
    };
    let open = |source: [u8; 4], protocol: &str| {
        let mut tls = server.tls_from(source, protocol);
        if protocol == "h2" {
            tls.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
            // The server's answer shows that its handshake is over.
            read_frame(&mut tls).unwrap();
        } else {
            ask(&mut tls);
        }
        tls
    };
    let mut lone = open([127, 0, 0, 2], "http/1.1");
    let mut oldest = open([127, 0, 0, 3], "h2");
    let mut newer = open([127, 0, 0, 3], "http/1.1");
    let mut other = open([127, 0, 0, 4], "http/1.1");
    let mut goodbye = None;
    while let Some((kind, _, payload)) = read_frame(&mut oldest) {
        if kind == GOAWAY {
            goodbye = Some(payload[7]);
        }
    }
    assert_eq!(goodbye, Some(0), "told so");
    ask(&mut lone);
    ask(&mut other);
    // Nor is a handshake that does not go on worth a place.
    let mut silent = server.tcp_from([127, 0, 0, 3]);
    assert_eq!(until_closed(&mut newer), "");
    ask(&mut lone);
    ask(&mut other);
    let mut last = open([127, 0, 0, 5], "http/1.1");
    assert_eq!(until_closed(&mut silent), "");
    for tls in [&mut lone, &mut other, &mut last] {
        ask(tls);
    }
}

#[test]
fn the_connections_of_a_trusted_proxy_are_not_those_of_one_address() {
    let settings = "trusted_proxies = [\"127.0.0.9\"]\n[limits]\nmax_connections_per_address = 1\n";
    let server = Server::start(settings);
    let served = |source: [u8; 4]| {
        let mut tls = server.tls_from(source, "http/1.1");
        let asked = tls.write_all(GET_HEALTH);
        (asked.is_ok() && status(&answer(&mut tls)) == 200, tls)
    };
    let several: Vec<_> = (0..3).map(|_| served([127, 0, 0, 9])).collect();
    assert!(several.iter().all(|(served, _)| *served));
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
    assert!(!answers.contains("X-Site-ID"), "{answers}");
    let statuses: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| status(&answers[at..])).collect();
    assert_eq!(statuses, [422, 400], "{answers}");
    let encoded = server.exchange(b"GET /health%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&encoded), 404, "{encoded}");
    server.assert_well();
}

/// A refusal of a head: its problem document and its request id.
fn refusal(answer: &str) -> (u16, serde_json::Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let document: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(header(head, "content-type").as_deref(), Some("application/problem+json"), "{answer}");
    assert_eq!(header(head, "connection").as_deref(), Some("close"), "{answer}");
    assert_eq!(header(head, "x-request-id").unwrap(), document["request_id"].as_str().unwrap());
    assert_eq!(document["status"], status(answer));
    assert!(header(head, "date").is_some() && header(head, "cache-control").is_some(), "{answer}");
    (status(answer), document)
}

#[test]
fn a_head_without_one_good_host_is_answered_400() {
    let server = Server::start("");
    for lines in [
        "",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nhost: y\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: u@x\r\n",
    ] {
        let request = format!("GET /health HTTP/1.1\r\n{lines}\r\n");
        let (status, document) = refusal(&server.exchange(request.as_bytes()));
        assert_eq!(status, 400, "{lines}");
        assert!(document["detail"].as_str().unwrap().contains("one host"), "{document}");
        let id = document["request_id"].as_str().unwrap();
        until("the refusal is in the log", || {
            server.log().lines().any(|line| line.contains(id) && line.contains("400"))
        });
    }
    // HTTP/1.0 knows requests without.
    assert_eq!(status(&server.exchange(b"GET /health HTTP/1.0\r\n\r\n")), 200);
    server.assert_well();
}

#[test]
fn a_bad_head_is_answered_with_a_problem_and_counted() {
    let server = Server::start("metrics_listen = \"127.0.0.1:0\"\n");
    let long = "x".repeat(20_000);
    let many = "A: b\r\n".repeat(65);
    let heads = [
        ("request_line", 400, "GET /health\r\n\r\n".to_owned()),
        ("request_line", 400, "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("version", 505, "GET /health HTTP/3.0\r\nHost: x\r\n\r\n".to_owned()),
        ("long_target", 414, format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("line", 400, "GET /health HTTP/1.1\r\nHost : x\r\n\r\n".to_owned()),
        ("line_end", 400, "GET /health HTTP/1.1\r\nHost: x\n\r\n".to_owned()),
        ("large", 431, format!("GET /health HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n")),
        ("large", 431, format!("GET /health HTTP/1.1\r\nHost: x\r\n{many}\r\n")),
        ("host", 400, "GET /health HTTP/1.1\r\n\r\n".to_owned()),
        ("length", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned()),
        (
            "length",
            400,
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
        ),
    ];
    for (reason, expected, head) in &heads {
        let (status, _) = refusal(&server.exchange(head.as_bytes()));
        assert_eq!(status, *expected, "{reason}: {head:?}");
    }
    // Bad before the end of its line has come: hyper's own words, and counted.
    assert_eq!(status(&server.exchange(b"G@T /")), 400);
    let metrics = server.metrics();
    for reason in
        ["request_line", "version", "long_target", "line", "line_end", "large", "host", "length", "other"]
    {
        let expected = heads.iter().filter(|(its, ..)| *its == reason).count().max(1);
        let sample = format!("sitewarden_heads_refused_total{{reason=\"{reason}\"}} {expected}");
        assert!(metrics.lines().any(|line| line == sample), "{sample}: {metrics}");
    }
}

#[test]
fn a_request_before_a_bad_head_is_answered_first() {
    let server = Server::start("");
    let both = server.exchange(&[GET_HEALTH, b"GET /health HTTP/1.1\r\n\r\n"].concat());
    let second = both.rfind("HTTP/1.1 ").unwrap();
    assert_eq!((status(&both), second > 0), (200, true), "{both}");
    assert_eq!(refusal(&both[second..]).0, 400);
    // Also when it takes its time.
    let slow = post("/api/auth/login", "", "{\"username\":\"nobody\",\"password\":\"wrong\"}");
    let slow = slow.replace("Connection: close\r\n", "");
    let both = server.exchange(format!("{slow}GET / HTTP/1.1\nHost: x\r\n\r\n").as_bytes());
    let second = both.rfind("HTTP/1.1 ").unwrap();
    assert_eq!(status(&both), 401, "{both}");
    assert_eq!(refusal(&both[second..]).0, 400);
}

/// A ClientHello with one signature algorithm (RFC 5246, section 7.4.1.2).
fn client_hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, suite[0], suite[1], 1, 0]);
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let length = u8::try_from(hello.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat()
}

#[test]
fn a_handshake_that_fails_ends_with_an_alert_that_says_why() {
    let server = Server::start("");
    // The record is of an alert, and it is fatal (RFC 8446, section 6).
    let alert = |hello: &[u8]| {
        let mut tcp = server.tcp();
        tcp.write_all(hello).unwrap();
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).unwrap();
        assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "{answer:?}");
        answer[6]
    };
    const PROTOCOL_VERSION: u8 = 70;
    assert_eq!(alert(&client_hello([3, 2], [0xc0, 0x13])), PROTOCOL_VERSION);
    // A cipher suite that nobody should offer.
    let offered = alert(&client_hello([3, 3], [0, 0]));
    assert!([40, 109].contains(&offered), "handshake_failure or missing_extension: {offered}");
    // No message at all.
    let garbage = alert(&[22, 3, 1, 0, 4, 99, 0, 0, 0]);
    assert!([10, 50].contains(&garbage), "unexpected_message or decode_error: {garbage}");
    let mut unknown = server.tls_from([127, 0, 0, 1], "gopher");
    let error = unknown.write_all(GET_HEALTH).unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
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
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
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

/// `GET https://x/health` or another path, as a header block.
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x01, 0x01, b'x']);
    block
}

/// `POST https://x/api/auth/login` with a body of JSON.
fn post_login() -> Vec<u8> {
    let mut block = get("/api/auth/login");
    block[0] = 0x83;
    block.extend([0x0f, 0x10, 16]);
    block.extend(b"application/json");
    block
}

/// The status that a block of an answer's headers begins with (RFC 7541,
/// section 6 and appendices A and B).
fn status_in(block: &[u8]) -> u16 {
    let (&first, rest) = block.split_first().unwrap();
    match first {
        // An update of the table's size comes first.
        0x3f => {
            let end = rest.iter().position(|byte| byte & 0x80 == 0).unwrap();
            status_in(&rest[end + 1..])
        }
        0x20..=0x3e => status_in(rest),
        0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)],
        0x08 | 0x18 | 0x48 => {
            let length = usize::from(rest[0] & 0x7f);
            let value = &rest[1..=length];
            let text = if rest[0] & 0x80 == 0 {
                String::from_utf8(value.to_vec()).unwrap()
            } else {
                huffman_digits(value)
            };
            text.parse().unwrap()
        }
        _ => panic!("no :status: {block:?}"),
    }
}

/// Digits: 0 to 2 have codes of 5 bits, the others of 6.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut text, mut left) = (String::new(), bits.as_str());
    while text.len() < 3 {
        let (code, length) = match u8::from_str_radix(&left[..5], 2).unwrap() {
            short @ 0..=2 => (short, 5),
            _ => (u8::from_str_radix(&left[..6], 2).unwrap() - 0b01_1001 + 3, 6),
        };
        text.push(char::from(b'0' + code));
        left = &left[length..];
    }
    text
}

#[test]
fn statuses_are_read_as_they_are_written() {
    // 302 is the example of RFC 7541, appendix C.6.1.
    assert_eq!(status_in(&[0x48, 0x82, 0x64, 0x02]), 302);
    assert_eq!(status_in(&[0x3f, 0x00, 0x48, 0x03, b'4', b'3', b'1']), 431);
    assert_eq!(status_in(&[0x88]), 200);
}

/// What became of a request over HTTP/2: its status, or the code with which
/// its stream was reset (RFC 9113, section 7).
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Status(u16),
    Reset(u8),
}

const REFUSED_STREAM: u8 = 7;

/// A connection over HTTP/2 that is told, for each stream, what became of it.
struct Http2 {
    tls: server::Tls,
    outcomes: std::collections::HashMap<u32, Outcome>,
    ended: Vec<u32>,
    /// Streams of whose body so much was read that more may be sent.
    taken: Vec<u32>,
}

impl Http2 {
    /// `window`: what each answer may send unasked.
    fn open(server: &Server, window: u16) -> Self {
        let mut tls = server.tls_from([127, 0, 0, 1], "h2");
        let [high, low] = window.to_be_bytes();
        // No table of headers, so that each status is written out.
        let settings = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0, 0, high, low]);
        tls.write_all(&[PREFACE, &settings].concat()).unwrap();
        Self { tls, outcomes: Default::default(), ended: Vec::new(), taken: Vec::new() }
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.tls.write_all(&frame(kind, flags, stream, payload)).unwrap();
    }

    fn read(&mut self) {
        let (kind, stream, payload) = read_frame(&mut self.tls).unwrap();
        match kind {
            HEADERS => drop(self.outcomes.insert(stream, Outcome::Status(status_in(&payload)))),
            RST_STREAM => drop(self.outcomes.insert(stream, Outcome::Reset(payload[3]))),
            DATA => self.ended.push(stream),
            WINDOW_UPDATE => self.taken.push(stream),
            _ => {}
        }
    }

    fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            if let Some(outcome) = self.outcomes.remove(&stream) {
                return outcome;
            }
            self.read();
        }
    }
}

#[test]
fn a_header_bomb_over_http_2_is_refused() {
    let server = Server::start("");
    let mut plain = Http2::open(&server, 0xffff);
    plain.send(HEADERS, 5, 1, &get("/health"));
    assert_eq!(plain.outcome(1), Outcome::Status(200));
    // One header of 4,000 bytes put into the table, then named 10 times.
    let mut block = get("/health");
    block.extend([0x40, 0x01, b'b', 0x7f, 0xa1, 0x1e]);
    block.extend(vec![b'x'; 4000]);
    block.extend([0xbe; 10]);
    let mut bomb = Http2::open(&server, 0xffff);
    bomb.send(HEADERS, 5, 1, &block);
    assert_eq!(bomb.outcome(1), Outcome::Status(431));
    server.assert_well();
}

#[test]
fn over_http_2_a_host_that_differs_from_the_authority_or_none_at_all_is_answered_400() {
    let server = Server::start("");
    let mut http2 = Http2::open(&server, 0xffff);
    let host = |value: &str| {
        // `host` is entry 38 of the static table.
        let mut line = vec![0x0f, 38 - 15, u8::try_from(value.len()).unwrap()];
        line.extend(value.as_bytes());
        line
    };
    let without = |block: Vec<u8>| block[..block.len() - 3].to_vec();
    for (index, (block, expected)) in [
        (get("/health"), 200),
        ([get("/health"), host("x")].concat(), 200),
        ([get("/health"), host("X:443")].concat(), 200),
        ([without(get("/health")), host("x")].concat(), 200),
        ([get("/health"), host("y")].concat(), 400),
        ([get("/health"), host("x"), host("x")].concat(), 400),
        (without(get("/health")), 400),
    ]
    .into_iter()
    .enumerate()
    {
        let stream = 2 * u32::try_from(index).unwrap() + 1;
        http2.send(HEADERS, 5, stream, &block);
        assert_eq!(http2.outcome(stream), Outcome::Status(expected), "{block:?}");
    }
}

#[test]
fn bodies_that_do_not_end_are_refused_beyond_the_bytes_of_a_connection() {
    let server = Server::start("[limits]\nheld_bytes_per_connection = 75000\n");
    let mut http2 = Http2::open(&server, 0xffff);
    let part = vec![b' '; 15_000];
    http2.send(HEADERS, 4, 1, &post_login());
    for _ in 0..3 {
        http2.send(DATA, 0, 1, &part);
    }
    while !http2.taken.contains(&1) {
        http2.read();
    }
    http2.send(HEADERS, 4, 3, &post_login());
    http2.send(DATA, 0, 3, &part);
    assert_eq!(http2.outcome(3), Outcome::Status(429));
    // The one that was there first is answered: its body is no JSON.
    http2.send(DATA, 1, 1, b"");
    assert_eq!(http2.outcome(1), Outcome::Status(400));
    // One request alone may have what it needs.
    let lone = Server::start("[limits]\nheld_bytes_per_connection = 1\n");
    let body = " ".repeat(60_000);
    assert_eq!(status(&lone.exchange(post("/api/auth/login", "", &body).as_bytes())), 400);
}

#[test]
fn answers_that_are_not_taken_count_until_they_are_and_further_streams_are_refused() {
    let server = Server::start("[limits]\nheld_bytes_per_connection = 10000\n");
    let mut http2 = Http2::open(&server, 0);
    for stream in [1, 3] {
        http2.send(HEADERS, 5, stream, &get("/nowhere"));
        assert_eq!(http2.outcome(stream), Outcome::Status(404));
    }
    http2.send(HEADERS, 5, 5, &get("/nowhere"));
    assert_eq!(http2.outcome(5), Outcome::Reset(REFUSED_STREAM));
    // A single byte takes an answer out of hyper's hands, and not out of ours.
    http2.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    while !http2.ended.contains(&1) {
        http2.read();
    }
    http2.send(HEADERS, 5, 7, &get("/nowhere"));
    assert_eq!(http2.outcome(7), Outcome::Reset(REFUSED_STREAM));
    http2.ended.clear();
    http2.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0xff, 0]);
    while !http2.ended.contains(&1) {
        http2.read();
    }
    // The bytes are given back when they have left, which may be after they
    // have come.
    let mut stream = 9;
    until("the answer that was taken makes room for another", || {
        http2.send(HEADERS, 5, stream, &get("/nowhere"));
        stream += 2;
        http2.outcome(stream - 2) == Outcome::Status(404)
    });
}

#[test]
fn unfinished_requests_are_refused_beyond_the_bytes_of_an_address_and_harm_no_other() {
    let server = Server::start("[limits]\nbody_bytes = 1000\nheld_bytes_per_address = 34000\n");
    let mut held = Vec::new();
    let refused = loop {
        let mut tls = server.tls();
        tls.write_all(UNFINISHED).unwrap();
        let mut other = server.tls();
        other.write_all(post("/api/auth/login", "", "{}").as_bytes()).unwrap();
        let told = until_closed(&mut other);
        held.push(tls);
        assert!(held.len() < 20, "never refused");
        if status(&told) != 422 {
            break told;
        }
    };
    assert_eq!(status(&refused), 429, "{refused}");
    assert_eq!(header(&refused, "retry-after").as_deref(), Some("1"), "{refused}");
    assert!(refused.contains("application/problem+json"), "{refused}");
    assert!((5..10).contains(&held.len()), "{}", held.len());
    let mut other = server.tls_from([127, 0, 0, 2], "http/1.1");
    other.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut other)), 200);
}

#[test]
fn unfinished_requests_are_refused_beyond_the_bytes_of_all_but_who_asks_for_little_is_served() {
    let server = Server::start("[limits]\nbody_bytes = 1000\nheld_bytes = 34000\n");
    let unfinished = |source: [u8; 4]| {
        let mut tls = server.tls_from(source, "http/1.1");
        tls.write_all(UNFINISHED).unwrap();
        tls
    };
    let mut held = Vec::new();
    let refused = loop {
        held.extend([unfinished([127, 0, 0, 2]), unfinished([127, 0, 0, 3])]);
        let mut tls = server.tls_from([127, 0, 0, 2], "http/1.1");
        tls.write_all(post("/api/auth/login", "", "{}").as_bytes()).unwrap();
        let told = until_closed(&mut tls);
        assert!(held.len() < 20, "never refused");
        if status(&told) != 422 {
            break told;
        }
    };
    assert_eq!(status(&refused), 503, "{refused}");
    assert!(header(&refused, "retry-after").is_some(), "{refused}");
    server.assert_well();
}

#[test]
fn an_answer_that_is_too_much_is_replaced_unless_it_tells_of_a_change() {
    let server = Server::start("[limits]\nbody_bytes = 1000\nheld_bytes_per_address = 34000\n");
    let (_, body) = server.login_from([127, 0, 0, 1], "sysadmin", &server.password());
    let login: serde_json::Value = serde_json::from_str(&body).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", login["access_token"].as_str().unwrap());
    let mut tls = server.tls();
    for index in 0..90 {
        let site = serde_json::json!({ "name": format!("Site {index}"), "owner_name": "o".repeat(200),
            "contact_email": "a@example.com", "license_expires_at": "2099-01-01T00:00:00Z" });
        let request = post("/api/sites", &bearer, &site.to_string()).replace("Connection: close\r\n", "");
        tls.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&answer(&mut tls)), 201);
    }
    let list = format!("GET /api/sites?limit=90 HTTP/1.1\r\nHost: x\r\n{bearer}\r\n");
    tls.write_all(list.as_bytes()).unwrap();
    let refused = answer(&mut tls);
    assert_eq!(status(&refused), 429, "{refused}");
    tls.write_all(list.replace("=90", "=10").as_bytes()).unwrap();
    assert_eq!(status(&answer(&mut tls)), 200);
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
    until("the listener is gone", || std::net::TcpStream::connect(server.address).is_err());
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
