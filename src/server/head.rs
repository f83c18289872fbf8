//! A look at the bytes of HTTP/1.1 requests for what hyper lets pass in their
//! heads: lines that end in a bare line feed (it takes them), and
//! Content-Length beside Transfer-Encoding (it drops the former before anyone
//! sees it). Two ways to read one request are how requests are smuggled past a
//! proxy (RFC 9112, sections 2.2 and 6.1), so such a connection is closed.
//!
//! Bodies are followed to their ends, so that the head of a request which was
//! sent together with the one before is found. What is malformed in any other
//! way is left to hyper, which answers it and closes the connection.

/// Longest name that matters here.
const NAME: usize = 17;
/// Longest value that matters: more is no length and no known coding.
const VALUE: usize = 100;
const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";

/// Where the requests of a connection have got to.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    place: Place,
    last: u8,
    line: Line,
    begun: bool,
    length: Option<u64>,
    /// Whether the last Transfer-Encoding ends in `chunked`.
    chunked: Option<bool>,
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

/// A line of a head: its name up to the colon in lower case, and the value of
/// one that matters.
#[derive(Debug, Default)]
struct Line {
    name: Vec<u8>,
    named: bool,
    matters: bool,
    value: Vec<u8>,
}

impl HeadScan {
    /// Looks at bytes that arrived; `false`: they can be read in two ways.
    pub(super) fn accepts(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Place::Body { left, chunked } = self.place
                && left > 0
            {
                let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                bytes = bytes.get(taken..).unwrap_or_default();
                let left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                self.place = Place::Body { left, chunked };
                self.end_body();
                continue;
            }
            // The rest of a line that does not matter.
            if self.line.named && !self.line.matters && matches!(self.place, Place::Head | Place::Trailers) {
                let (passed, behind) = bytes.split_at(memchr::memchr(b'\n', bytes).unwrap_or(bytes.len()));
                if let Some(&last) = passed.last() {
                    self.last = last;
                    bytes = behind;
                    continue;
                }
            }
            bytes = rest;
            match self.place {
                Place::Lost => return true,
                Place::ChunkSize { size, ended } => self.place = chunk_size(size, ended, byte, self.last),
                Place::Head | Place::Trailers => {
                    if !self.takes(byte) {
                        return false;
                    }
                }
                Place::Body { .. } => {}
            }
            self.last = byte;
        }
        true
    }

    /// A byte of a head or of trailers.
    fn takes(&mut self, byte: u8) -> bool {
        match byte {
            b'\n' if self.last != b'\r' => return false,
            b'\n' => return self.end_line(),
            b'\r' => {}
            b':' if !self.line.named => self.line.end_name(),
            _ if self.line.named => self.line.keep(byte),
            // One more than matters, so that longer names differ.
            _ if self.line.name.len() <= NAME => self.line.name.push(byte.to_ascii_lowercase()),
            _ => {}
        }
        true
    }

    fn end_line(&mut self) -> bool {
        let mut line = std::mem::take(&mut self.line);
        let accepted = self.take_line(&line);
        line.clear();
        self.line = line;
        accepted
    }

    fn take_line(&mut self, line: &Line) -> bool {
        let is_empty = line.name.is_empty() && !line.named;
        if matches!(self.place, Place::Trailers) {
            if is_empty {
                self.place = Place::Head;
            }
            return true;
        }
        if !is_empty {
            self.begun = true;
            if line.named && line.name == CONTENT_LENGTH {
                match length_of(&line.value) {
                    Some(length) if self.length.is_none_or(|known| known == length) => {
                        self.length = Some(length);
                    }
                    _ => self.place = Place::Lost,
                }
            }
            if line.named && line.name == TRANSFER_ENCODING {
                let last = line.value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
                self.chunked = Some(last.trim_ascii() == b"chunked");
            }
            return !(self.length.is_some() && self.chunked.is_some());
        }
        // Empty lines before a request count for nothing (section 2.2).
        if self.begun {
            self.begun = false;
            self.place = match (self.length.take(), self.chunked.take()) {
                (_, Some(true)) => Place::ChunkSize { size: 0, ended: false },
                (_, Some(false)) => Place::Lost,
                (length, None) => Place::Body { left: length.unwrap_or(0), chunked: false },
            };
            self.end_body();
        }
        true
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

impl Line {
    fn end_name(&mut self) {
        self.named = true;
        self.matters = self.name == CONTENT_LENGTH || self.name == TRANSFER_ENCODING;
    }

    /// Makes it an empty line, which keeps its room for the next.
    fn clear(&mut self) {
        self.name.clear();
        self.value.clear();
        (self.named, self.matters) = (false, false);
    }

    /// A byte of the value.
    fn keep(&mut self, byte: u8) {
        if self.matters && self.value.len() < VALUE {
            self.value.push(byte.to_ascii_lowercase());
        }
    }
}

/// A Content-Length: digits alone (section 8.6 of RFC 9110).
fn length_of(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
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
    use super::*;

    /// Whether the bytes pass, cut in two at each place and one by one.
    fn passes(bytes: &[u8]) -> bool {
        let whole = HeadScan::default().accepts(bytes);
        for cut in 0..bytes.len() {
            let mut scan = HeadScan::default();
            let cut_passes = scan.accepts(&bytes[..cut]) && scan.accepts(&bytes[cut..]);
            assert_eq!(cut_passes, whole, "{cut}: {}", String::from_utf8_lossy(bytes));
        }
        let mut scan = HeadScan::default();
        assert_eq!(bytes.iter().all(|byte| scan.accepts(&[*byte])), whole);
        whole
    }

    const BAD: [&str; 4] = [
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-ENCODING:chunked\r\nContent-length:1\r\n\r\n",
    ];
    const GOOD: [&str; 6] = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\na\nb\n\n",
        "POST / HTTP/1.1\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\n\n\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n\
         A;name=\"1\"\r\n0123\n56789\r\n1 \r\n\n\r\n0\r\nAfter: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length-X: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
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
    fn two_ways_to_tell_the_length_and_bare_line_feeds_do_not_pass_behind_other_requests_either() {
        for bad in BAD {
            assert!(!passes(bad.as_bytes()), "{bad}");
            for good in GOOD {
                assert!(!passes(format!("{good}{bad}").as_bytes()), "{good}{bad}");
            }
        }
    }

    #[test]
    fn what_hyper_refuses_is_left_to_it() {
        for refused in [
            "POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n\n",
            "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n\n",
        ] {
            assert!(passes(refused.as_bytes()), "{refused}");
        }
    }
}
