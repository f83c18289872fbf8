//! A look at the bytes of HTTP/1.1 requests before hyper has them.
//!
//! Two reasons. hyper lets pass in a head what can be read in two ways: lines
//! that end in a bare line feed (it takes them), Content-Length beside
//! Transfer-Encoding (it drops the former before anyone sees it), and no Host
//! or two. Two ways to read one request are how requests are smuggled past a
//! proxy (RFC 9112, sections 2.2, 3.2 and 6.1). And what hyper does refuse, it
//! answers by itself, with a bare status that nobody counts, logs or explains.
//! So each head is held here to the rules of RFC 9112 first, line by line as it
//! comes, and one that breaks them never gets to hyper; a test holds the two
//! together, so that nothing is left for hyper to refuse.
//!
//! Bodies are followed to their ends, so that the head of a request which was
//! sent together with the one before is found. A body that is malformed is left
//! to hyper, which has its reader fail. So is a line that hyper finds bad before
//! its end has come: its bare answer is counted as [`Fault::Other`].

use hyper::{Method, Uri};

use super::host;

/// Bytes of a request head: what hyper buffers at most.
pub(super) const MAX_BYTES: usize = 16 << 10;
/// Lines in a request head.
pub(super) const MAX_LINES: usize = 64;
/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The first line.
    RequestLine,
    /// A version other than 1.0 and 1.1.
    Version,
    /// The target is longer than a head may be.
    LongTarget,
    /// A line that is no `name: value`.
    Line,
    /// A line that ends in a bare line feed.
    LineEnd,
    /// Too many bytes or lines.
    Large,
    /// Not exactly one Host, or one that is none.
    Host,
    /// A length or a coding of the body that is none, or both.
    Length,
    /// What hyper refused.
    Other,
}

/// Why bytes do not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) fault: Fault,
    /// How many of the bytes came before the request that is refused, and are
    /// good; `None` within a body, the head of whose request has passed.
    pub(super) good: Option<usize>,
}

/// Where the requests of a connection have got to.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    place: Place,
    last: u8,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    head: Head,
}

/// What the next byte is of.
#[derive(Debug, Default, Clone, Copy)]
enum Place {
    #[default]
    Head,
    /// A body, or a chunk with the end of its line: so many bytes of it.
    Body { left: u64, chunked: bool },
    /// The line that tells a chunk's size.
    ChunkSize { size: u64, ended: bool },
    /// The lines after the last chunk.
    Trailers,
    /// hyper refuses it.
    Lost,
}

/// What is known of a head so far.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    lines: usize,
    /// The 1 or 0 of the version; `None` before the first line.
    minor: Option<u8>,
    hosts: usize,
    length: Option<u64>,
    /// Whether the last Transfer-Encoding ends in `chunked`.
    chunked: Option<bool>,
}

impl HeadScan {
    /// Looks at bytes that arrived.
    pub(super) fn scan(&mut self, arrived: &[u8]) -> Result<(), Refused> {
        let mut bytes = arrived;
        // Where the request began that is being looked at; and whether hyper has
        // the head of the one whose body is.
        let mut begun = 0;
        let head_passed = !matches!(self.place, Place::Head);
        while !bytes.is_empty() {
            match self.place {
                Place::Lost => return Ok(()),
                Place::Body { left, chunked } => {
                    let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    bytes = bytes.get(taken..).unwrap_or_default();
                    let left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                    self.place = Place::Body { left, chunked };
                    self.end_body();
                }
                Place::ChunkSize { size, ended } => {
                    let Some((&byte, rest)) = bytes.split_first() else { break };
                    self.place = chunk_size(size, ended, byte, self.last);
                    (self.last, bytes) = (byte, rest);
                }
                Place::Head | Place::Trailers => {
                    let good = (!head_passed || begun > 0).then_some(begun);
                    bytes = self.take_lines(bytes).map_err(|fault| Refused { fault, good })?;
                }
            }
            if matches!(self.place, Place::Head) && self.head.bytes == 0 && self.line.is_empty() {
                begun = arrived.len() - bytes.len();
            }
        }
        Ok(())
    }

    /// Takes a line of a head or of trailers, or what has come of it; tells
    /// what is left.
    fn take_lines<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let end = memchr::memchr(b'\n', bytes);
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.head.bytes = self.head.bytes.saturating_add(part.len());
        // hyper has no room for a head that fills its buffer.
        if self.head.bytes >= MAX_BYTES {
            let in_first = self.head.minor.is_none() && matches!(self.place, Place::Head);
            return Err(if in_first { Fault::LongTarget } else { Fault::Large });
        }
        if end.is_none() || !self.line.is_empty() {
            self.line.extend_from_slice(part);
        }
        if end.is_some() {
            // The line is whole: here in one piece, or put together.
            let together = std::mem::take(&mut self.line);
            let line = if together.is_empty() { part } else { &together };
            let line = line.strip_suffix(b"\r\n").ok_or(Fault::LineEnd)?;
            self.take_line(line)?;
        }
        Ok(rest)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if matches!(self.place, Place::Trailers) {
            if line.is_empty() {
                (self.place, self.head) = (Place::Head, Head::default());
            }
            return Ok(());
        }
        match (self.head.minor, line.is_empty()) {
            // Empty lines before a request count for nothing (section 2.2).
            (None, true) => self.head = Head::default(),
            (None, false) => self.head.minor = Some(request_line(line)?),
            (Some(_), false) => self.head.take(line)?,
            (Some(minor), true) => {
                let head = std::mem::take(&mut self.head);
                self.place = head.end(minor)?;
                self.end_body();
            }
        }
        Ok(())
    }

    /// Goes on behind a body or a chunk of which nothing is left.
    fn end_body(&mut self) {
        match self.place {
            Place::Body { left: 0, chunked: false } => self.place = Place::Head,
            Place::Body { left: 0, chunked: true } => {
                self.place = Place::ChunkSize { size: 0, ended: false };
            }
            _ => {}
        }
    }
}

impl Head {
    /// Takes a line behind the first (section 5).
    fn take(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.lines += 1;
        if self.lines > MAX_LINES {
            return Err(Fault::Large);
        }
        let colon = memchr::memchr(b':', line).ok_or(Fault::Line)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty()
            || !name.iter().all(|&byte| is_token(byte))
            || !value.iter().all(|&byte| is_text(byte))
        {
            return Err(Fault::Line);
        }
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let value = value.trim_ascii();
        if is(b"host") {
            self.hosts += 1;
            if self.hosts > 1 || !host::is_host(value) {
                return Err(Fault::Host);
            }
        } else if is(b"content-length") {
            let length = length_of(value).ok_or(Fault::Length)?;
            if self.length.replace(length).is_some_and(|known| known != length) {
                return Err(Fault::Length);
            }
        } else if is(b"transfer-encoding") {
            let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
            // hyper knows no coding in a value that is no ASCII.
            self.chunked = Some(value.is_ascii() && last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        }
        Ok(())
    }

    /// What comes behind the head, whose end has come.
    fn end(self, minor: u8) -> Result<Place, Fault> {
        // Only HTTP/1.0 knows requests without (section 3.2).
        if self.hosts == 0 && minor > 0 {
            return Err(Fault::Host);
        }
        match (self.length, self.chunked) {
            (None, Some(true)) if minor > 0 => Ok(Place::ChunkSize { size: 0, ended: false }),
            (length, None) => Ok(Place::Body { left: length.unwrap_or(0), chunked: false }),
            _ => Err(Fault::Length),
        }
    }
}

/// The minor version in a request's first line (section 3).
fn request_line(line: &[u8]) -> Result<u8, Fault> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    // What stands behind a # is no part of what is looked at as a URI.
    let is_visible = |&byte: &u8| byte > b' ' && byte != 0x7f;
    if Method::from_bytes(method).is_err() || !target.iter().all(is_visible) || Uri::try_from(target).is_err()
    {
        return Err(Fault::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(1),
        b"HTTP/1.0" => Ok(0),
        other if other.starts_with(b"HTTP/") => Err(Fault::Version),
        _ => Err(Fault::RequestLine),
    }
}

/// A character of a name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A character of a value (RFC 9110, section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// A Content-Length: digits alone (section 8.6 of RFC 9110).
fn length_of(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Where a byte of the line with a chunk's size leads (section 7.1). Behind
/// its digits, all is extension up to the line's end.
fn chunk_size(size: u64, ended: bool, byte: u8, last: u8) -> Place {
    match byte {
        b'\n' if last != b'\r' => Place::Lost,
        b'\n' if size == 0 => Place::Trailers,
        b'\n' => match size.checked_add(2) {
            Some(left) => Place::Body { left, chunked: true },
            None => Place::Lost,
        },
        _ => match char::from(byte).to_digit(16) {
            Some(digit) if !ended => match size.checked_mul(16) {
                Some(sixteenfold) => Place::ChunkSize { size: sixteenfold | u64::from(digit), ended },
                None => Place::Lost,
            },
            _ => Place::ChunkSize { size, ended: true },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::Response;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Whether the bytes pass, whole, cut in two at each place and one by one.
    fn passes(bytes: &[u8]) -> bool {
        fault(bytes).is_none()
    }

    fn fault(bytes: &[u8]) -> Option<Fault> {
        let fault = |result: Result<(), Refused>| result.err().map(|refused| refused.fault);
        let whole = fault(HeadScan::default().scan(bytes));
        for cut in 0..bytes.len() {
            let mut scan = HeadScan::default();
            let cut_in_two = fault(scan.scan(&bytes[..cut]).and_then(|()| scan.scan(&bytes[cut..])));
            assert_eq!(cut_in_two, whole, "{cut}: {}", String::from_utf8_lossy(bytes));
        }
        let mut scan = HeadScan::default();
        assert_eq!(fault(bytes.iter().try_for_each(|byte| scan.scan(&[*byte]))), whole);
        whole
    }

    const BAD: [&str; 5] = [
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\ntransfer-ENCODING:chunked\r\nContent-length:1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ];
    const GOOD: [&str; 6] = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\na\nb\n\n",
        "POST / HTTP/1.1\r\nContent-Length: 2\r\ncontent-length: 2\r\nHost: x\r\n\r\n\n\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n\
         A;name=\"1\"\r\n0123\n56789\r\n1 \r\n\n\r\n0\r\nAfter: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length-X: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];

    #[test]
    fn ordinary_requests_pass_and_their_bodies_are_not_looked_at() {
        for one in GOOD {
            for other in GOOD {
                assert!(passes(format!("{one}{other}").as_bytes()), "{one}{other}");
            }
        }
    }

    #[test]
    fn two_ways_to_read_a_request_do_not_pass_behind_other_requests_either() {
        for bad in BAD {
            assert!(!passes(bad.as_bytes()), "{bad}");
            for good in GOOD {
                assert!(!passes(format!("{good}{bad}").as_bytes()), "{good}{bad}");
                let refused = HeadScan::default().scan(format!("{good}{bad}").as_bytes()).unwrap_err();
                assert_eq!(refused.good, Some(good.len()), "{good}{bad}");
            }
        }
    }

    #[test]
    fn each_fault_is_told_apart() {
        let long = "x".repeat(MAX_BYTES);
        let many = "A: b\r\n".repeat(MAX_LINES);
        for (request, expected) in [
            ("GET /\r\n\r\n", Fault::RequestLine),
            ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", Fault::RequestLine),
            ("G@T / HTTP/1.1\r\nHost: x\r\n\r\n", Fault::RequestLine),
            ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", Fault::RequestLine),
            ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", Fault::Version),
            ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", Fault::Line),
            ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", Fault::Line),
            ("GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", Fault::Line),
            ("GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", Fault::Line),
            ("GET / HTTP/1.1\nHost: x\r\n\r\n", Fault::LineEnd),
            ("GET / HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n", Fault::Host),
            ("GET / HTTP/1.1\r\nHost: x y\r\n\r\n", Fault::Host),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Fault::Host),
            ("GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", Fault::Host),
            ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::Length),
        ] {
            assert_eq!(fault(request.as_bytes()), Some(expected), "{request}");
        }
        let scan = |request: String| HeadScan::default().scan(request.as_bytes()).unwrap_err().fault;
        assert_eq!(scan(format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")), Fault::LongTarget);
        assert_eq!(scan(format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n")), Fault::Large);
        assert_eq!(scan(format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")), Fault::Large);
        assert!(passes(b"GET / HTTP/1.0\r\n\r\n"));
    }

    #[test]
    fn a_bad_trailer_is_of_a_body_only_where_the_head_came_before_it() {
        let (head, body) =
            ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nA: b\n\r\n");
        let together = HeadScan::default().scan(format!("{}{head}{body}", GOOD[0]).as_bytes());
        assert_eq!(together, Err(Refused { fault: Fault::LineEnd, good: Some(GOOD[0].len()) }));
        let whole = [head, body].concat();
        for (cut, good) in [(20, Some(0)), (head.len(), None), (head.len() + 3, None)] {
            let mut scan = HeadScan::default();
            scan.scan(&whole.as_bytes()[..cut]).unwrap();
            let refused = scan.scan(&whole.as_bytes()[cut..]);
            assert_eq!(refused, Err(Refused { fault: Fault::LineEnd, good }), "{cut}");
        }
    }

    #[test]
    fn what_is_bad_in_a_body_is_left_to_hyper() {
        for refused in [
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\n\n",
        ] {
            assert!(passes(refused.as_bytes()), "{refused}");
        }
    }

    /// Whether hyper takes all requests in the bytes.
    fn hyper_takes(bytes: &[u8]) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(64 << 10);
            theirs.write_all(bytes).await.unwrap();
            theirs.shutdown().await.unwrap();
            let service =
                service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))) });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.max_headers(MAX_LINES).max_buf_size(MAX_BYTES).half_close(true);
            let served = builder.serve_connection(TokioIo::new(ours), service).await;
            let mut answers = Vec::new();
            theirs.read_to_end(&mut answers).await.unwrap();
            !served.is_err_and(|error| error.is_parse())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_hyper_refuses_has_been_refused_before(
            base in prop::sample::select(&[
                "GET /a?b=c HTTP/1.1\r\nHost: x:1\r\nAccept: */*\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 0\r\n\r\n",
                "POST /x HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nHost: a.b\r\n\r\n0\r\n\r\n",
                "GET https://x:1/y HTTP/1.0\r\nA: b\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
                "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
                "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            ][..]),
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), prop::sample::select(&b"\0\t\r\n\x0b\x7f\x80\xff :;,/?#@[]%+0129aHX\"\\<|"[..]), 0..3_u8),
                1..4,
            ),
        ) {
            let mut bytes = base.as_bytes().to_vec();
            for (at, byte, what) in changes {
                let at = at.index(bytes.len());
                match what {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            let mut scan = HeadScan::default();
            // Within a line, hyper may be first.
            let passed = scan.scan(&bytes).is_ok() && scan.line.is_empty();
            prop_assert!(!passed || hyper_takes(&bytes), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
