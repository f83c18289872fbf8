//! How many connections there may be, and whose goes first.

use std::io::Write as _;

use crate::server::Server;
use crate::wire::http2::{GOAWAY, HEADERS, Http2, PREFACE, SETTINGS, frame, get, read_frame};
use crate::wire::{GET_HEALTH, Tls, UNFINISHED, answer, post, status, until_closed};

#[test]
fn connections_beyond_the_limit_wait_while_all_have_a_request_that_is_worked_on() {
    let server = Server::configured("[limits]\nmax_connections = 2\n");
    let mut held: Vec<_> = (0..2).map(|_| server.tls()).collect();
    for tls in &mut held {
        tls.write_all(GET_HEALTH).unwrap();
        assert_eq!(status(&answer(tls)), 200);
    }
    // A password takes the server its time.
    let login = post("/api/auth/login", "", "{\"username\":\"nobody\",\"password\":\"wrong\"}");
    for tls in &mut held {
        tls.write_all(login.replace("Connection: close\r\n", "").as_bytes()).unwrap();
    }
    std::thread::scope(|scope| {
        let third = scope.spawn(|| server.assert_well());
        for _ in 0..200 {
            assert!(server.on_the_host(GET_HEALTH).starts_with("HTTP/1.1 200"));
        }
        for tls in &mut held {
            assert_eq!(status(&answer(tls)), 401);
        }
        third.join().unwrap();
    });
}

#[test]
fn clients_that_keep_the_server_waiting_give_way_to_a_newcomer() {
    // Nothing but a newcomer ends these requests. The idle limit is one that the
    // newcomer's wait is a great part of.
    let server = Server::configured(
        "[limits]\nmax_connections = 2\nbody_seconds = 0\nwrite_seconds = 0\nidle_seconds = 2\n",
    );
    let mut senders: Vec<_> = (0..2).map(|_| server.tls()).collect();
    for tls in &mut senders {
        tls.write_all(UNFINISHED).unwrap();
    }
    server.assert_well();
    drop(senders);
    let mut readers: Vec<_> = (0..2).map(|_| Http2::open(&server, 0)).collect();
    for reader in &mut readers {
        reader.send(HEADERS, 5, 1, &get("/docs"));
    }
    server.assert_well();
}

#[test]
fn at_the_last_place_the_longest_idle_connection_of_the_address_with_most_gives_way() {
    let server = Server::configured("[limits]\nmax_connections = 3\n");
    let ask = |tls: &mut Tls| {
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
    let server = Server::configured(settings);
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
    let server = Server::configured("[limits]\nmax_connections_per_address = 1\n");
    let mut first = server.tls();
    first.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut first)), 200);
    assert_eq!(server.exchange(GET_HEALTH), "");
    let mut other = server.tls_from([127, 0, 0, 2], "http/1.1");
    other.write_all(GET_HEALTH).unwrap();
    assert_eq!(status(&answer(&mut other)), 200);
}
