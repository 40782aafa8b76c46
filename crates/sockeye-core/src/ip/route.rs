//! Which interface and next hop lead to an address: the longest matching prefix. RFC 1122 §3.3.1.

use crate::host::{InterfaceId, Route};
use std::net::IpAddr;

/// All routes of a host. It has a handful, so they lie in two sorted lists that are searched from the longest prefix on.
#[derive(Debug, Default)]
pub(super) struct Routes {
    v4: Vec<Entry>,
    v6: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    network: u128,
    mask: u128,
    prefix: u8,
    via: Option<IpAddr>,
    interface: InterfaceId,
}

impl Routes {
    /// Adds a route; one to the same network by the same interface is replaced. Bits behind the prefix do not matter.
    pub(super) fn add(&mut self, route: &Route) {
        let mask = mask(route.network, route.prefix);
        let entry = Entry {
            network: bits(route.network) & mask,
            mask,
            prefix: route.prefix,
            via: route.via,
            interface: route.interface,
        };
        let list = if route.network.is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        };
        list.retain(|old| (old.network, old.mask, old.interface) != (entry.network, entry.mask, entry.interface));
        let at = list.partition_point(|old| old.prefix >= entry.prefix);
        list.insert(at, entry);
    }

    /// Interface and next hop for `dst`, perhaps only by `interface`. Of equal prefixes the one added first wins.
    pub(super) fn find(&self, dst: IpAddr, interface: Option<InterfaceId>) -> Option<(InterfaceId, IpAddr)> {
        let list = if dst.is_ipv4() { &self.v4 } else { &self.v6 };
        let bits = bits(dst);
        list.iter()
            .find(|entry| {
                bits & entry.mask == entry.network && interface.is_none_or(|wanted| wanted == entry.interface)
            })
            .map(|entry| (entry.interface, entry.via.unwrap_or(dst)))
    }
}

/// The last address of an IPv4 network: its directed broadcast. `None` for IPv6 and for networks without one (RFC 3021).
pub(super) fn broadcast(network: IpAddr, prefix: u8) -> Option<IpAddr> {
    match network {
        IpAddr::V4(v4) if prefix < 31 => Some(IpAddr::V4((u32::from(v4) | u32::MAX >> prefix).into())),
        _ => None,
    }
}

/// How many leading bits two addresses of one family share.
pub(super) fn common_prefix(a: IpAddr, b: IpAddr) -> u32 {
    let width = if a.is_ipv4() { 32 } else { 128 };
    ((bits(a) ^ bits(b)).leading_zeros() + width).saturating_sub(128)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn mask(network: IpAddr, prefix: u8) -> u128 {
    let width = if network.is_ipv4() { 32 } else { 128 };
    let ones = u32::from(prefix).min(width);
    if ones == 0 {
        0
    } else {
        (u128::MAX << (width - ones)) & (u128::MAX >> (128 - width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let mut routes = Routes::default();
        for (network, prefix, via, interface) in [
            ("0.0.0.0", 0, Some("10.0.2.2"), 1),
            ("10.0.2.15", 24, None, 1),
            ("10.0.2.128", 25, Some("10.0.2.3"), 2),
            ("10.0.2.7", 32, None, 3),
            ("10.0.2.7", 32, None, 4),
            ("::", 0, Some("fd00::2"), 1),
            ("fd00::15", 64, None, 1),
        ] {
            let via = via.map(address);
            routes.add(&Route {
                network: address(network),
                prefix,
                via,
                interface: InterfaceId(interface),
            });
        }
        for (dst, only, want) in [
            ("192.0.2.1", None, Some((1, "10.0.2.2"))),
            ("10.0.2.9", None, Some((1, "10.0.2.9"))),
            ("10.0.2.200", None, Some((2, "10.0.2.3"))),
            ("10.0.2.200", Some(1), Some((1, "10.0.2.200"))),
            ("10.0.2.7", None, Some((3, "10.0.2.7"))),
            ("10.0.2.7", Some(9), None),
            ("fd00::9", None, Some((1, "fd00::9"))),
            ("2001:db8::1", None, Some((1, "fd00::2"))),
        ] {
            let want = want.map(|(interface, hop)| (InterfaceId(interface), address(hop)));
            assert_eq!(routes.find(address(dst), only.map(InterfaceId)), want, "{dst}");
        }
        assert_eq!(Routes::default().find(address("10.0.0.1"), None), None);
    }

    #[test]
    fn prefixes() {
        assert_eq!(broadcast(address("10.0.2.15"), 24), Some(address("10.0.2.255")));
        assert_eq!(broadcast(address("10.0.2.15"), 31), None);
        assert_eq!(common_prefix(address("10.0.2.15"), address("10.0.2.14")), 31);
        assert_eq!(common_prefix(address("fd00::"), address("fd00::")), 128);
    }
}
