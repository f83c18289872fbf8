//! How long, and how much, a client may take.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::server::{PATIENCE, Server, until};
use crate::wire::http2::{HEADERS, Http2, Outcome, PREFACE, SETTINGS, WINDOW_UPDATE, frame, get, read_frame};
use crate::wire::{GET_HEALTH, answer, post, status, until_closed};

#[test]
fn a_stalled_handshake_is_closed() {
    let server = Server::configured("[limits]\nhandshake_seconds = 1\n");
    assert_eq!(until_closed(&mut server.tcp()), "");
    let mut half = server.tcp();
    half.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    assert_eq!(until_closed(&mut half), "");
    server.assert_well();
}

#[test]
fn a_slow_head_is_closed() {
    let server = Server::configured("[limits]\nheader_seconds = 1\n");
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
    let server = Server::configured("[limits]\nbody_seconds = 1\n");
    let answer = server.exchange(
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
    );
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    server.assert_well();
}

#[test]
fn a_reader_who_does_not_read_loses_its_place() {
    let server = Server::configured("[limits]\nwrite_seconds = 1\nmax_connections = 1\n");
    let mut slow = server.tls();
    for _ in 0..40 {
        // 1.4 MB each: more than all buffers hold.
        slow.write_all(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    // Served only when the one place is free again.
    server.assert_well();
}

#[test]
fn an_answer_that_is_not_taken_ends_its_connection_whatever_else_is_asked_on_it() {
    let server = Server::configured("[limits]\nwrite_seconds = 1\n");
    let mut tls = server.tls_from([127, 0, 0, 1], "h2");
    let window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    // GET, and HEAD in its place.
    let stuck = get("/docs");
    let head = [&[0x02, 4][..], b"HEAD", &stuck[1..]].concat();
    tls.write_all(&[PREFACE, &window, &frame(HEADERS, 5, 1, &stuck)].concat()).unwrap();
    let (began, mut stream) = (Instant::now(), 3);
    while tls.write_all(&frame(HEADERS, 5, stream, &head)).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it was kept");
        // Until this one is answered, or the end.
        let answered = |frame: &(u8, u32, Vec<u8>)| (frame.0, frame.1) == (HEADERS, stream);
        if !std::iter::from_fn(|| read_frame(&mut tls)).any(|frame| answered(&frame)) {
            break;
        }
        stream += 2;
    }
    assert!(stream > 3, "others were answered meanwhile");
    server.assert_well();
}

#[test]
fn a_large_answer_over_http_2_may_take_longer_than_each_of_its_parts() {
    let server = Server::configured("[limits]\nwrite_seconds = 2\nidle_seconds = 1\n");
    let mut http2 = Http2::open(&server, 0);
    http2.send(HEADERS, 5, 1, &get("/docs/swagger-ui-bundle.js"));
    assert_eq!(http2.outcome(1), Outcome::Status(200));
    let began = Instant::now();
    // 32 KiB at a time, evenly over more than the limit.
    for part in 1..=8 {
        until("its time has come", || began.elapsed() > Duration::from_millis(400) * part);
        for stream in [0, 1] {
            http2.send(WINDOW_UPDATE, 0, stream, &[0, 0, 0x80, 0]);
        }
        http2.ended.clear();
        while http2.ended.is_empty() {
            http2.read();
        }
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::configured("[limits]\nidle_seconds = 1\n");
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
    let server = Server::configured("[limits]\nbody_bytes = 100\n");
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
