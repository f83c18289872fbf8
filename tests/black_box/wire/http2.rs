//! HTTP/2, frame by frame (RFC 9113, RFC 7541).

use std::collections::HashMap;
use std::io::{Read, Write as _};

use super::Tls;
use crate::server::Server;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const GOAWAY: u8 = 7;
/// `POST https://x/` by HPACK's static table (RFC 7541, appendix A).
pub(crate) const POST_ROOT: &[u8] = &[0x83, 0x87, 0x84, 0x41, 0x01, b'x'];

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn read_frame(tls: &mut impl Read) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    tls.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    tls.read_exact(&mut payload).ok()?;
    Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

/// `GET https://x/health` or another path, as a header block.
pub(crate) fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x01, 0x01, b'x']);
    block
}

/// `POST https://x/api/auth/login` with a body of JSON.
pub(crate) fn post_login() -> Vec<u8> {
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
pub(crate) enum Outcome {
    Status(u16),
    Reset(u8),
}

pub(crate) const REFUSED_STREAM: u8 = 7;

/// A connection over HTTP/2 that is told, for each stream, what became of it.
pub(crate) struct Http2 {
    tls: Tls,
    outcomes: HashMap<u32, Outcome>,
    pub(crate) ended: Vec<u32>,
    /// Streams of whose body so much was read that more may be sent.
    pub(crate) taken: Vec<u32>,
}

impl Http2 {
    /// `window`: what each answer may send unasked.
    pub(crate) fn open(server: &Server, window: u16) -> Self {
        let mut tls = server.tls_from([127, 0, 0, 1], "h2");
        let [high, low] = window.to_be_bytes();
        // No table of headers, so that each status is written out.
        let settings = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0, 0, high, low]);
        tls.write_all(&[PREFACE, &settings].concat()).unwrap();
        Self { tls, outcomes: Default::default(), ended: Vec::new(), taken: Vec::new() }
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.tls.write_all(&frame(kind, flags, stream, payload)).unwrap();
    }

    pub(crate) fn read(&mut self) {
        let (kind, stream, payload) = read_frame(&mut self.tls).unwrap();
        match kind {
            HEADERS => drop(self.outcomes.insert(stream, Outcome::Status(status_in(&payload)))),
            RST_STREAM => drop(self.outcomes.insert(stream, Outcome::Reset(payload[3]))),
            DATA => self.ended.push(stream),
            WINDOW_UPDATE => self.taken.push(stream),
            _ => {}
        }
    }

    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            if let Some(outcome) = self.outcomes.remove(&stream) {
                return outcome;
            }
            self.read();
        }
    }
}
