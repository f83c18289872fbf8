//! The units in which strangers are counted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 address, or the /64 that an IPv6 address lies in: whoever has one
/// address of a /64 has them all (RFC 6177, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address; an IPv4 address in IPv6 clothes (RFC 4291,
    /// section 2.5.5.2) counts as the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let prefix = u128::from(v6) & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from(prefix)))
            }
            v4 => Self(v4),
        }
    }
}

/// What a network lies in: the /16 of an IPv4 address, the /48 of an IPv6
/// network. Whoever guesses from many networks has them, as a rule, in few
/// surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Surroundings(IpAddr);

impl Surroundings {
    /// Whether one party has all of it, as a rule: a /48 is what a site gets
    /// (RFC 6177, section 2); in a /16 of IPv4 there are thousands.
    pub fn are_one_site(self) -> bool {
        self.0.is_ipv6()
    }
}

/// A part of the address space, the smaller the fewer have a say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    prefix: IpAddr,
    bits: u8,
}

impl Block {
    fn of(address: IpAddr, bits: u8) -> Self {
        let prefix = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
                Ipv4Addr::from(u32::from(v4) & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
                Ipv6Addr::from(u128::from(v6) & mask).into()
            }
        };
        Self { prefix, bits }
    }
}

impl Network {
    /// The blocks that it lies in, the largest first, itself last: /16 and /24
    /// of an IPv4 address; /32, what a provider gets, and /48 of an IPv6
    /// network.
    pub fn blocks(self) -> [Block; 3] {
        let bits = if self.0.is_ipv4() { [16, 24, 32] } else { [32, 48, 64] };
        bits.map(|bits| Block::of(self.0, bits))
    }

    /// What it lies in.
    pub fn surroundings(self) -> Surroundings {
        Surroundings(match self.0 {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                Ipv4Addr::new(a, b, 0, 0).into()
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_counts_by_64_and_mapped_ipv4_as_ipv4() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_network_lies_in_blocks_of_three_sizes() {
        let of = |text: &str| Network::of(text.parse().unwrap()).blocks();
        let shared = |a: &str, b: &str| {
            of(a).iter().zip(of(b)).take_while(|(of_one, of_other)| **of_one == *of_other).count()
        };
        for (a, b, expected) in [
            ("192.0.2.1", "192.0.2.1", 3),
            ("192.0.2.1", "192.0.2.2", 2),
            ("192.0.2.1", "192.0.3.1", 1),
            ("192.0.2.1", "192.1.2.1", 0),
            ("2001:db8::1", "2001:db8::ffff:2", 3),
            ("2001:db8::1", "2001:db8:0:1::1", 2),
            ("2001:db8::1", "2001:db8:1::1", 1),
            ("2001:db8::1", "2001:db9::1", 0),
            ("32.1.13.184", "2001:db8::1", 0),
        ] {
            assert_eq!(shared(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn surroundings_are_a_16_of_ipv4_and_a_48_of_ipv6() {
        let of = |text: &str| Network::of(text.parse().unwrap()).surroundings();
        assert_eq!(of("192.0.2.1"), of("192.0.255.255"));
        assert_ne!(of("192.0.2.1"), of("192.1.2.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8:0:ffff::1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:1::1"));
        assert!(of("2001:db8::1").are_one_site() && !of("192.0.2.1").are_one_site());
    }
}
