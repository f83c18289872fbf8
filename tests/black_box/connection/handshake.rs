//! Handshakes that fail, and what is no handshake.

use std::io::{Read as _, Write as _};

use crate::server::Server;
use crate::wire::{GET_HEALTH, status, until_closed};

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
    let server = Server::start();
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
    let server = Server::start();
    let mut tcp = server.tcp();
    tcp.write_all(GET_HEALTH).unwrap();
    let answer = until_closed(&mut tcp);
    assert_eq!(status(&answer), 400);
    assert!(answer.contains("HTTPS"), "{answer}");
}

#[test]
fn clients_that_leave_or_dislike_the_certificate_harm_nobody() {
    let server = Server::configured("[limits]\nmax_connections = 1\n");
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
