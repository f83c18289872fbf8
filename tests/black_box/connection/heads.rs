//! Heads that are too large, ambiguous or broken.

use std::io::{Read as _, Write as _};

use crate::server::{Server, Setup, until};
use crate::wire::http2::{HEADERS, Http2, Outcome, get};
use crate::wire::{GET_HEALTH, header, post, status, until_closed};

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::start();
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
    let server = Server::start();
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
    let server = Server::start();
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
    let server = Setup::new().metrics().start();
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
    let metrics = metrics.text();
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
    let server = Server::start();
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

#[test]
fn a_bad_line_behind_a_body_is_answered_and_logged_once() {
    let server = Setup::new().metrics().start();
    let head = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n";
    let long = format!("2\r\n{{}}\r\n0\r\nA: {}\r\n\r\n", "x".repeat(17_000));
    for body in ["2\r\n{}\r\n0\r\nA: b\n\r\n", &long] {
        // Together with its head: one that is read at once is refused as a whole.
        let answers = server.exchange(format!("{head}\r\n{body}").as_bytes());
        assert!([400, 431].contains(&refusal(&answers).0), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
        // Behind a head whose request is under way.
        let mut tls = server.tls();
        tls.write_all(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes()).unwrap();
        let mut leave = [0; 25];
        tls.read_exact(&mut leave).unwrap();
        assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
        tls.write_all(body.as_bytes()).unwrap();
        let answers = until_closed(&mut tls);
        assert_eq!(refusal(&answers).0, 400);
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    }
    let metrics = server.metrics();
    for reason in ["line_end", "large"] {
        let sample = format!("sitewarden_heads_refused_total{{reason=\"{reason}\"}} 2");
        assert!(metrics.text().lines().any(|line| line == sample), "{sample}: {}", metrics.text());
    }
    let log = server.stop();
    let logged = log.lines().filter(|line| line.contains("request_id")).count();
    assert_eq!(logged, 4, "{log}");
}

#[test]
fn a_proof_that_is_given_twice_is_answered_400_over_both_protocols() {
    let server = Server::start();
    let twice = |name: &str| format!("{name}: a\r\n{}: a\r\n", name.to_lowercase());
    for (name, path) in [
        ("Authorization", "/api/auth/login"),
        ("X-Site-ID", "/api/heartbeat"),
        ("X-Site-Key", "/api/heartbeat"),
    ] {
        let answer = server.exchange(post(path, &twice(name), "{}").as_bytes());
        assert_eq!(refusal(&answer).0, 400);
        assert!(answer.contains(&format!("the {name} header must be given once")), "{answer}");
        let mut value = vec![0, u8::try_from(name.len()).unwrap()];
        value.extend(name.to_lowercase().as_bytes());
        value.extend([1, b'a']);
        let mut http2 = Http2::open(&server, 0xffff);
        http2.send(HEADERS, 5, 1, &[get("/health"), value.clone()].concat());
        assert_eq!(http2.outcome(1), Outcome::Status(200));
        http2.send(HEADERS, 5, 3, &[get("/health"), value.clone(), value].concat());
        assert_eq!(http2.outcome(3), Outcome::Status(400));
    }
}
