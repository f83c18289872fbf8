//! What HTTP/2 could be misused for.

use std::io::Write as _;

use crate::server::Server;
use crate::wire::http2::{
    GOAWAY, HEADERS, Http2, Outcome, POST_ROOT, PREFACE, RST_STREAM, SETTINGS, frame, get, read_frame,
};

#[test]
fn http_2_streams_beyond_the_limit_are_refused() {
    let server = Server::start();
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
    let server = Server::start();
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
    let server = Server::start();
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
    let server = Server::start();
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
