//! Whose request it is: the socket's address, or what a trusted proxy says.

use std::net::IpAddr;

use ipnet::IpNet;
use poem::http::HeaderMap;

/// The proxies that are believed.
pub(super) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Believes these networks.
    pub(super) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether `address` is a proxy's.
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address. Only when the socket's is a proxy's, the headers
    /// are read, from the right: each proxy adds the address that it saw, so
    /// the first one that is not a proxy's is the client's; what stands left
    /// of it anyone may have written.
    pub(super) fn client(&self, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = socket.to_canonical();
        if !self.trust(client) {
            return client;
        }
        let forwarded = listed(headers, "forwarded");
        let named: Vec<Option<IpAddr>> = if forwarded.is_empty() {
            listed(headers, "x-forwarded-for").into_iter().map(node).collect()
        } else {
            forwarded.into_iter().map(|element| forwarded_for(element).and_then(node)).collect()
        };
        for address in named.into_iter().rev() {
            // An obfuscated or broken entry (RFC 7239, section 6.3) ends what
            // can be known.
            let Some(address) = address else { break };
            client = address.to_canonical();
            if !self.trust(client) {
                break;
            }
        }
        client
    }
}

/// The elements of a list header, over all its lines in order.
fn listed<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|element| !element.is_empty()).collect()
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

    fn client(socket: &str, headers: &[(&'static str, &str)]) -> String {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proxies.client(socket.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn a_stranger_is_who_the_socket_says() {
        assert_eq!(client("192.0.2.1", &[("x-forwarded-for", "198.51.100.1")]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &[("forwarded", "for=198.51.100.1")]), "192.0.2.1");
    }

    #[test]
    fn a_proxy_is_read_from_the_right_up_to_the_first_stranger() {
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, 198.51.100.1, 10.0.0.2")]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.1")]),
            "198.51.100.1"
        );
        assert_eq!(
            client(
                "::ffff:10.0.0.1",
                &[("forwarded", "for=203.0.113.9, for=\"[2001:db8::7]:443\";proto=https")]
            ),
            "2001:db8::7"
        );
        assert_eq!(client("2001:db8::1", &[("forwarded", "For=198.51.100.1:80")]), "198.51.100.1");
    }

    #[test]
    fn what_cannot_be_read_is_not_believed() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "198.51.100.1, unknown")]), "10.0.0.1");
        assert_eq!(
            client("10.0.0.1", &[("forwarded", "for=198.51.100.1, for=_hidden, for=10.0.0.2")]),
            "10.0.0.2"
        );
    }
}
