//! Whose request it is: the socket's address, or what a trusted proxy says.

use std::net::IpAddr;

use ipnet::IpNet;
use poem::http::HeaderMap;

use crate::config::TrustedHeader;

/// The proxies that are believed, and the one header that they write. All
/// other headers are the client's, who may write into them what it likes: a
/// proxy that sets one passes on the others as they came.
pub(super) struct Proxies {
    networks: Vec<IpNet>,
    header: TrustedHeader,
}

impl Proxies {
    /// Believes these networks, in this header.
    pub(super) fn new(networks: Vec<IpNet>, header: TrustedHeader) -> Self {
        Self { networks, header }
    }

    /// Whether `address` is a proxy's.
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client's address. Only when the socket's is a proxy's, the header
    /// is read, from the right: each proxy adds the address that it saw, so
    /// the first one that is not a proxy's is the client's; what stands left
    /// of it anyone may have written.
    pub(super) fn client(&self, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = socket.to_canonical();
        if !self.trust(client) {
            return client;
        }
        for element in listed(headers, self.header.as_str()).into_iter().rev() {
            let named = match self.header {
                TrustedHeader::XForwardedFor => element,
                TrustedHeader::Forwarded => element.and_then(forwarded_for),
            };
            // An obfuscated or broken entry (RFC 7239, section 6.3) ends what
            // can be known: what stands left of it may be anyone's.
            let Some(address) = named.and_then(node) else { break };
            client = address.to_canonical();
            if !self.trust(client) {
                break;
            }
        }
        client
    }
}

/// The elements of a list header, over all its lines in order; `None` for one
/// that is no text, which hides no other.
fn listed<'a>(headers: &'a HeaderMap, name: &str) -> Vec<Option<&'a str>> {
    let lines = headers.get_all(name).into_iter().map(|value| value.as_bytes());
    let elements = lines.flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    elements.filter(|element| !element.is_empty()).map(|element| std::str::from_utf8(element).ok()).collect()
}

/// The `for` parameter of an element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without port and brackets (RFC 7239, section 6).
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: TrustedHeader, socket: &str, headers: &[(&'static str, &[u8])]) -> String {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, poem::http::HeaderValue::from_bytes(value).unwrap());
        }
        Proxies::new(networks, header).client(socket.parse().unwrap(), &map).to_string()
    }

    fn x_forwarded_for(socket: &str, lines: &[&[u8]]) -> String {
        let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        client(TrustedHeader::XForwardedFor, socket, &headers)
    }

    fn forwarded(socket: &str, line: &[u8]) -> String {
        client(TrustedHeader::Forwarded, socket, &[("forwarded", line)])
    }

    #[test]
    fn a_stranger_is_who_the_socket_says() {
        assert_eq!(x_forwarded_for("192.0.2.1", &[b"198.51.100.1"]), "192.0.2.1");
        assert_eq!(forwarded("192.0.2.1", b"for=198.51.100.1"), "192.0.2.1");
    }

    #[test]
    fn a_proxy_is_read_from_the_right_up_to_the_first_stranger() {
        assert_eq!(x_forwarded_for("10.0.0.1", &[b"203.0.113.9, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(x_forwarded_for("10.0.0.1", &[b"203.0.113.9", b"198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            forwarded("::ffff:10.0.0.1", b"for=203.0.113.9, for=\"[2001:db8::7]:443\";proto=https"),
            "2001:db8::7"
        );
        assert_eq!(forwarded("2001:db8::1", b"For=198.51.100.1:80"), "198.51.100.1");
    }

    #[test]
    fn the_header_that_the_proxy_does_not_write_is_the_clients_and_does_not_count() {
        let both: &[(&str, &[u8])] =
            &[("forwarded", b"for=203.0.113.9"), ("x-forwarded-for", b"198.51.100.1")];
        assert_eq!(client(TrustedHeader::XForwardedFor, "10.0.0.1", both), "198.51.100.1");
        assert_eq!(client(TrustedHeader::Forwarded, "10.0.0.1", both), "203.0.113.9");
        assert_eq!(client(TrustedHeader::XForwardedFor, "10.0.0.1", &both[..1]), "10.0.0.1");
        assert_eq!(client(TrustedHeader::Forwarded, "10.0.0.1", &both[1..]), "10.0.0.1");
    }

    #[test]
    fn what_cannot_be_read_is_not_believed() {
        assert_eq!(x_forwarded_for("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(x_forwarded_for("10.0.0.1", &[b"198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(forwarded("10.0.0.1", b"for=198.51.100.1, for=_hidden, for=10.0.0.2"), "10.0.0.2");
    }

    #[test]
    fn bytes_that_are_no_text_hide_nothing_right_of_them_and_uncover_nothing_left_of_them() {
        assert_eq!(x_forwarded_for("10.0.0.1", &[b"203.0.113.9, \xff, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(x_forwarded_for("10.0.0.1", &[b"203.0.113.9", b"\xff, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(x_forwarded_for("10.0.0.1", &[b"203.0.113.9", b"\xff, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(forwarded("10.0.0.1", b"for=203.0.113.9, for=\"\xff\", for=198.51.100.1"), "198.51.100.1");
    }
}
