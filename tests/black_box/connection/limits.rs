//! How long, and how much, a client may take.

use std::io::Write as _;

use crate::server::Server;
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
