//! How many bytes one connection, one address and all together may have the
//! server hold.

use std::io::Write as _;

use crate::server::{Server, until};
use crate::wire::http2::{DATA, HEADERS, Http2, Outcome, REFUSED_STREAM, WINDOW_UPDATE, get, post_login};
use crate::wire::{GET_HEALTH, UNFINISHED, answer, header, post, status, until_closed};

#[test]
fn bodies_that_do_not_end_are_refused_beyond_the_bytes_of_a_connection() {
    let server = Server::configured("[limits]\nheld_bytes_per_connection = 75000\n");
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
    let lone = Server::configured("[limits]\nheld_bytes_per_connection = 1\n");
    let body = " ".repeat(60_000);
    assert_eq!(status(&lone.exchange(post("/api/auth/login", "", &body).as_bytes())), 400);
}

#[test]
fn answers_that_are_not_taken_count_until_they_are_and_further_streams_are_refused() {
    let server = Server::configured("[limits]\nheld_bytes_per_connection = 10000\n");
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
    let server = Server::configured("[limits]\nbody_bytes = 1000\nheld_bytes_per_address = 34000\n");
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
    let server = Server::configured("[limits]\nbody_bytes = 1000\nheld_bytes = 34000\n");
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
    let server = Server::configured("[limits]\nbody_bytes = 1000\nheld_bytes_per_address = 34000\n");
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
fn an_address_that_may_hold_all_leaves_a_share_to_another() {
    let server = Server::configured("[limits]\nheld_bytes_per_address = 1048576\nheld_bytes = 1048576\n");
    let small = post("/api/auth/login", "", &" ".repeat(10_000));
    // An address that is alone may hold all: another is there first.
    let mut first = server.tls_from([127, 0, 0, 3], "http/1.1");
    first.write_all(&small.as_bytes()[..1000]).unwrap();
    let (greedy, mut held) = ([127, 0, 0, 2], Vec::new());
    until("the address has what it may", || {
        let mut tls = server.tls_from(greedy, "http/1.1");
        tls.write_all(&small.as_bytes()[..small.len() - 1]).unwrap();
        held.push(tls);
        let told = status(&server.exchange_from(greedy, small.as_bytes()));
        assert!([400, 429, 503].contains(&told), "{told}");
        told != 400
    });
    let body = " ".repeat(20_000);
    let other = server.exchange_from([127, 0, 0, 4], post("/api/auth/login", "", &body).as_bytes());
    assert_eq!(status(&other), 400, "served, and no JSON: {other}");
}
