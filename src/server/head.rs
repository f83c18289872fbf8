//! A look at the bytes of HTTP/1.1 request heads for what hyper lets pass:
//! lines that end in a bare line feed (it takes them), and Content-Length
//! beside Transfer-Encoding (it drops the former before anyone sees it). Two
//! ways to read one request are how requests are smuggled past a proxy (RFC
//! 9112, sections 2.2 and 6.1), so such a connection is closed.

/// Longest header name that matters here.
const NAME: usize = 17;
const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";

/// Where the head of a request has got to.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    reading: bool,
    last: u8,
    /// The line's beginning, in lower case, up to the colon.
    name: Vec<u8>,
    name_ended: bool,
    length: bool,
    encoding: bool,
}

impl HeadScan {
    /// Looks at bytes that arrived. `at_rest`: no request is under way, so a
    /// head goes on or begins; else they are a body's.
    pub(super) fn accepts(&mut self, bytes: &[u8], at_rest: bool) -> bool {
        if !self.reading && at_rest {
            *self = Self { reading: true, last: self.last, ..Self::default() };
        }
        for &byte in bytes {
            if self.reading && !self.takes(byte) {
                return false;
            }
            self.last = byte;
        }
        true
    }

    fn takes(&mut self, byte: u8) -> bool {
        match byte {
            b'\n' if self.last != b'\r' => return false,
            b'\n' => {
                let line_is_empty = self.name.is_empty() && !self.name_ended;
                self.length |= self.name_ended && self.name == CONTENT_LENGTH;
                self.encoding |= self.name_ended && self.name == TRANSFER_ENCODING;
                self.name.clear();
                self.name_ended = false;
                self.reading = !line_is_empty;
                return !(self.length && self.encoding);
            }
            b'\r' => {}
            b':' => self.name_ended = true,
            _ if self.name_ended => {}
            // One more than matters, so that longer names differ.
            _ if self.name.len() <= NAME => self.name.push(byte.to_ascii_lowercase()),
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na\nb";

    #[test]
    fn ordinary_requests_pass_however_they_are_cut_and_bodies_are_not_looked_at() {
        for cut in 0..GOOD.len() {
            let mut scan = HeadScan::default();
            assert!(scan.accepts(&GOOD[..cut], true), "{cut}");
            assert!(scan.accepts(&GOOD[cut..], scan.reading), "{cut}");
            assert!(scan.accepts(b"\n\n", false), "{cut}");
            assert!(scan.accepts(GOOD, true), "{cut}");
        }
    }

    #[test]
    fn two_ways_to_tell_the_length_and_bare_line_feeds_do_not_pass() {
        for bad in [
            &b"GET / HTTP/1.1\nHost: x\n\n"[..],
            b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\ntransfer-ENCODING:chunked\r\nContent-length:1\r\n\r\n",
        ] {
            for cut in 0..bad.len() {
                let mut scan = HeadScan::default();
                let passed = scan.accepts(&bad[..cut], true) && scan.accepts(&bad[cut..], true);
                assert!(!passed, "{cut}: {}", String::from_utf8_lossy(bad));
            }
        }
        let mut scan = HeadScan::default();
        assert!(
            scan.accepts(
                b"GET / HTTP/1.1\r\nContent-Length-X: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                true
            )
        );
    }
}
