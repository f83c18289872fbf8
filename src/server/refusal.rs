//! The answer to a head that was refused: hyper never saw it, so the answer is
//! written past hyper.

use std::fmt::Write as _;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};

use super::head::Fault;
use crate::api::problem::Problem;
use crate::clock;

impl Fault {
    /// For metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::Version => "version",
            Self::LongTarget => "long_target",
            Self::Line => "line",
            Self::LineEnd => "line_end",
            Self::Large => "large",
            Self::Host => "host",
            Self::Length => "length",
            Self::Other => "other",
        }
    }

    /// For the client.
    pub(super) fn problem(self) -> Problem {
        let detail = match self {
            Self::RequestLine => "the first line is not a method, a target and a version of HTTP",
            Self::Version => return Problem::unknown_version(),
            Self::LongTarget => return Problem::long_target(),
            Self::Line => "a line of the head is not a name, a colon and text",
            Self::LineEnd => "a line of the head does not end in CR LF",
            Self::Large => return Problem::large_head(),
            Self::Host => {
                "the request must name one host: the server's name or address, and its port where needed"
            }
            Self::Length => {
                "the length of the body must be told once: by one Content-Length or by a \
                             Transfer-Encoding that ends in chunked"
            }
            Self::Other => "the request is malformed",
        };
        Problem::malformed(detail)
    }
}

/// An answer of HTTP/1.1 (RFC 9112), the last of its connection.
pub(super) fn answer(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    // Writing to a string does not fail.
    let _ = write!(
        head,
        "content-length: {}\r\nconnection: close\r\ndate: {}\r\n",
        body.len(),
        clock::precise_now().format("%a, %d %b %Y %H:%M:%S GMT")
    );
    let mut answer = head.into_bytes();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            answer.extend_from_slice(part);
        }
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(body);
    answer
}
