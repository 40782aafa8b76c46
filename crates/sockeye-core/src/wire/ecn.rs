//! The ECN field: the two low bits of IPv4's type of service and of IPv6's traffic class. RFC 3168 §5.

use super::{ipv4, ipv6};

/// The field within its byte.
pub const MASK: u8 = 3;
/// The transport does not understand marks.
pub const NOT_ECT: u8 = 0;
/// It does; RFC 8311 gives this codepoint to experiments.
pub const ECT_1: u8 = 1;
/// It does.
pub const ECT_0: u8 = 2;
/// A router on the way had a queue: congestion experienced.
pub const CE: u8 = 3;

/// The field of an IP packet of either version; not-ECT for what is too short to be one.
pub fn of(ip: &[u8]) -> u8 {
    match ip.first().map(|byte| byte >> 4) {
        Some(4) if ip.len() >= ipv4::HEADER_LEN => ip[1] & MASK,
        Some(6) if ip.len() >= ipv6::HEADER_LEN => ip[1] >> 4 & MASK,
        _ => NOT_ECT,
    }
}

/// Marks an IP packet, as a router with a queue does. True when it carries the mark now: its transport understands marks. The checksum of an
/// IPv4 header changes with it, right or wrong as it was (RFC 1624 §3).
pub fn mark(ip: &mut [u8]) -> bool {
    let field = of(ip);
    if field == NOT_ECT {
        return false;
    }
    if ip[0] >> 4 == 6 {
        ip[1] |= CE << 4;
    } else if field != CE {
        // HC' = ~(~HC + ~m + m'): m' is larger than m by what the field grows.
        let sum = u32::from(!u16::from_be_bytes([ip[10], ip[11]])) + u32::from(CE - field);
        let check = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
        ip[1] |= CE;
        ip[10..12].copy_from_slice(&check.to_be_bytes());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Head;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn a_mark_changes_nothing_else() {
        for tos in 0..=255_u8 {
            for id in [0, 1, 0x7fff, 0xfffe] {
                let mut head = Head::for_output();
                let header = ipv4::Header {
                    header_len: 20,
                    tos,
                    total_len: 1500,
                    id,
                    dont_fragment: true,
                    more_fragments: false,
                    offset: 0,
                    ttl: 64,
                    protocol: 6,
                    src: Ipv4Addr::new(10, 0, 0, 1),
                    dst: Ipv4Addr::new(10, 0, 0, 2),
                };
                ipv4::build(&mut head, &header);
                assert_eq!(mark(head.as_mut_slice()), tos & MASK != NOT_ECT);
                let marked = if tos & MASK == NOT_ECT { tos } else { tos | CE };
                assert_eq!(ipv4::parse(head.as_slice()).unwrap().tos, marked);
                assert!(ipv4::verify(head.as_slice()), "tos {tos:#x}, id {id:#x}");
            }
            let mut head = Head::for_output();
            let header = ipv6::Header {
                traffic_class: tos,
                flow_label: 0xfffff,
                payload_len: 9,
                next_header: 6,
                hop_limit: 64,
                src: Ipv6Addr::LOCALHOST,
                dst: Ipv6Addr::LOCALHOST,
            };
            ipv6::build(&mut head, &header);
            assert_eq!(mark(head.as_mut_slice()), tos & MASK != NOT_ECT);
            let mut want = header;
            want.traffic_class |= if tos & MASK == NOT_ECT { 0 } else { CE };
            assert_eq!(ipv6::parse(head.as_slice()), Ok(want));
        }
        assert!(!mark(&mut []) && !mark(&mut [0x47; 19]) && !mark(&mut [0x6f; 39]));
    }
}
