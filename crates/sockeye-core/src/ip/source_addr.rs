//! Which of our addresses a packet carries when nobody chose one: RFC 6724 §5 as far as a host without privacy or mobile addresses needs
//! it (rules 1, 2, 5 and 8), and RFC 1122 §3.3.4.3 for IPv4, which comes to the same.

use super::route::common_prefix;
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

/// The best of `candidates` (address, and whether it is on the outgoing interface) towards `dst`.
pub(super) fn select(dst: IpAddr, candidates: impl Iterator<Item = (IpAddr, bool)>) -> Option<IpAddr> {
    let wanted = scope(dst);
    candidates
        .filter(|(address, _)| address.is_ipv4() == dst.is_ipv4())
        .enumerate()
        .max_by_key(|(nth, (address, on_interface))| {
            let scope = scope(*address);
            // Rule 2: the smallest scope that is wide enough, else the widest.
            let fit = if scope >= wanted {
                (true, Reverse(scope))
            } else {
                (false, Reverse(u8::MAX - scope))
            };
            (
                *address == dst,
                fit,
                *on_interface,
                common_prefix(*address, dst),
                Reverse(*nth),
            )
        })
        .map(|(_, (address, _))| address)
}

/// How far an address reaches, as RFC 4007 numbers it. RFC 6724 §3.2 gives IPv4 addresses theirs.
fn scope(address: IpAddr) -> u8 {
    const LINK: u8 = 2;
    const GLOBAL: u8 = 14;
    let local = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) if v6.is_multicast() => return v6.octets()[1] & 15,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == Ipv6Addr::LOCALHOST,
    };
    if local { LINK } else { GLOBAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        for (case, dst, candidates, want) in [
            ("itself", "10.0.0.2", &["10.0.0.1", "10.0.0.2"][..], Some("10.0.0.2")),
            ("same family", "fd00::1", &["10.0.0.1", "fd00::15"], Some("fd00::15")),
            ("none of the family", "fd00::1", &["10.0.0.1"], None),
            (
                "scope wide enough",
                "2001:db8::1",
                &["fe80::1", "2001:db9::1"],
                Some("2001:db9::1"),
            ),
            (
                "scope not too wide",
                "fe80::2",
                &["2001:db9::1", "fe80::1"],
                Some("fe80::1"),
            ),
            (
                "link multicast",
                "ff02::1",
                &["2001:db9::1", "fe80::1"],
                Some("fe80::1"),
            ),
            (
                "outgoing interface first",
                "10.9.0.1",
                &["10.0.0.1", "+192.168.0.1"],
                Some("192.168.0.1"),
            ),
            (
                "longest prefix",
                "10.1.1.3",
                &["+10.0.0.1", "+10.1.0.1", "+10.1.1.1"],
                Some("10.1.1.1"),
            ),
            (
                "first when all is equal",
                "11.0.0.1",
                &["192.168.0.1", "192.168.0.2"],
                Some("192.168.0.1"),
            ),
            (
                "global over loopback",
                "8.8.8.8",
                &["+127.0.0.1", "10.0.0.1"],
                Some("10.0.0.1"),
            ),
        ] {
            let parse = |text: &str| text.trim_start_matches('+').parse().unwrap();
            let list = candidates.iter().map(|text| (parse(text), text.starts_with('+')));
            assert_eq!(select(parse(dst), list), want.map(parse), "{case}");
        }
    }
}
