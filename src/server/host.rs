//! Which host a request is for (RFC 9112, section 3.2; RFC 9113, section
//! 8.3.1). Nothing here is chosen by it: but who stands before or behind this
//! server may choose by it, and a request that can be read in two ways is how
//! one is misled.

use std::net::Ipv6Addr;

use hyper::header;
use hyper::http::request::Parts;

/// Whether this is `uri-host [ ":" port ]` (RFC 9110, section 7.2), and not
/// empty, which no `http` or `https` URI allows (section 4.2.1).
pub(super) fn is_host(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let (host, port) = split(text);
    let port_is_good =
        port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok_and(|_| digits(port)));
    let host_is_good = match host.strip_prefix('[') {
        Some(literal) => literal.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && is_name(host.as_bytes()),
    };
    host_is_good && port_is_good
}

/// Whether a request over HTTP/2 names one host: in `:authority`, in `Host`,
/// or in both alike.
pub(super) fn names_one(head: &Parts) -> bool {
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut lines = head.headers.get_all(header::HOST).iter().map(|line| line.as_bytes());
    let (line, further) = (lines.next(), lines.next());
    let named = match (authority, line) {
        (Some(authority), Some(line)) => is_same(authority, line).then_some(authority),
        (one, other) => one.or(other),
    };
    further.is_none() && named.is_some_and(is_host)
}

/// Whether both name the same host and port; those of `https` where none is
/// given.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (Ok(one), Ok(other)) = (std::str::from_utf8(one), std::str::from_utf8(other)) else { return false };
    let ((one, its_port), (other, other_port)) = (split(one), split(other));
    let port = |port: Option<&str>| port.filter(|port| !port.is_empty()).unwrap_or("443").to_owned();
    one.eq_ignore_ascii_case(other) && port(its_port) == port(other_port)
}

/// Host and port.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        // A colon within an address of IPv6 is none before a port.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A `reg-name` (RFC 3986, section 3.2.2), of which an IPv4 address is one.
fn is_name(mut name: &[u8]) -> bool {
    while let Some((&byte, rest)) = name.split_first() {
        name = match (byte, rest) {
            (b'%', [high, low, rest @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            (b'%', _) => return false,
            _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) => rest,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_port() {
        for good in [
            "x",
            "localhost",
            "licences.example.com",
            "a_b.example",
            "192.0.2.1",
            "192.0.2.1:8443",
            "x:",
            "x:0",
            "[::1]",
            "[2001:db8::1]:443",
            "caf%C3%A9.example",
            "XN--BCHER-KVA.example:443",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":443", "a b", "user@x", "x/y", "x?y", "x:port", "x:65536", "x:+1", "::1", "[::1", "::1]",
            "[x]", "[]", "x\u{e9}", "x%", "x%2", "x%zz", "a:b:1", "x,y z", "x#",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn over_http_2_authority_and_host_must_not_differ() {
        let names = |authority: Option<&str>, hosts: &[&str]| {
            let uri = authority.map_or("/".to_owned(), |authority| format!("https://{authority}/"));
            let mut request = hyper::Request::get(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            names_one(&request.body(()).unwrap().into_parts().0)
        };
        assert!(names(Some("x"), &[]) && names(None, &["x"]));
        assert!(names(Some("X:443"), &["x"]) && names(Some("x"), &["x:443"]) && names(Some("x:"), &["x"]));
        assert!(!names(Some("x"), &["y"]) && !names(Some("x:1"), &["x"]) && !names(Some("x"), &["x", "x"]));
        assert!(!names(None, &[]) && !names(None, &["x", "x"]) && !names(None, &[""]));
        assert!(!names(Some("user@x"), &[]));
    }
}
