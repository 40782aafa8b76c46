//! What a router says when a packet does not fit the next link: whoever owns a [`super::Pipe`] with an mtu sends it back to the sender.
//!
//! Spec: RFC 1191 §4 ("fragmentation needed"), RFC 4443 §3.2 ("packet too big"), and when to keep silent: RFC 1122 §3.2.2, RFC 4443 §2.4.

use crate::packet::{Csum, Packet};
use crate::socket::Unreachable;
use crate::wire::{icmp, ipv4, ipv6, protocol};
use bytes::Bytes;
use std::net::IpAddr;

/// An IPv4 error is at most this long. RFC 1812 §4.3.2.3.
const ERROR_V4: usize = 576;
/// An IPv6 error is at most the smallest MTU. RFC 4443 §3.2.
const ERROR_V6: usize = 1280;

/// The ICMP message to the sender of `packet`, which is longer than `mtu`; it comes from the address that the packet was sent to, since
/// the narrow link has none. On Ethernet the hardware addresses change places. `None` for packets that no error is sent about.
pub fn too_big_answer(packet: &Packet, mtu: u32) -> Option<Packet> {
    unreachable_answer(packet, Unreachable::TooBig(mtu))
}

/// As [`too_big_answer`], for any reason that a packet does not get further.
pub fn unreachable_answer(packet: &Packet, why: Unreachable) -> Option<Packet> {
    let bytes = packet.to_vec();
    let (link, ip) = bytes.split_at_checked(usize::from(packet.meta.l3))?;
    let quote = |headers: usize, most: usize| Bytes::copy_from_slice(&ip[..ip.len().min(most - headers)]);
    let why = icmp::Message::Error(why);
    let mut answer;
    match ip.first()? >> 4 {
        4 => {
            let header = ipv4::parse(ip).ok()?;
            let inner = ip.get(usize::from(header.header_len))?;
            let is_error = header.protocol == protocol::ICMP && icmp::is_error(icmp::Family::V4, *inner);
            if header.offset != 0 || is_error || !speaks_for_itself(header.dst.into(), header.src.into()) {
                return None;
            }
            answer = Packet::with_payload(quote(ipv4::HEADER_LEN + icmp::HEADER_LEN, ERROR_V4));
            icmp::build(&mut answer.head, icmp::Family::V4, why);
            let reply = ipv4::Header {
                header_len: ipv4::HEADER_LEN as u8,
                tos: 0xC0,
                total_len: (ipv4::HEADER_LEN + answer.total_len()) as u16,
                id: 0,
                dont_fragment: true,
                more_fragments: false,
                offset: 0,
                ttl: 64,
                protocol: protocol::ICMP,
                src: header.dst,
                dst: header.src,
            };
            ipv4::build(&mut answer.head, &reply);
            answer.meta.l4 = (link.len() + ipv4::HEADER_LEN) as u8;
        }
        6 => {
            let header = ipv6::parse(ip).ok()?;
            let inner = ip.get(ipv6::HEADER_LEN)?;
            let is_error = header.next_header == protocol::ICMPV6 && icmp::is_error(icmp::Family::V6, *inner);
            if is_error || !speaks_for_itself(header.dst.into(), header.src.into()) {
                return None;
            }
            answer = Packet::with_payload(quote(ipv6::HEADER_LEN + icmp::HEADER_LEN, ERROR_V6));
            icmp::build(&mut answer.head, icmp::Family::V6, why);
            let reply = ipv6::Header {
                traffic_class: 0,
                flow_label: 0,
                payload_len: answer.total_len() as u16,
                next_header: protocol::ICMPV6,
                hop_limit: 64,
                src: header.dst,
                dst: header.src,
            };
            ipv6::build(&mut answer.head, &reply);
            answer.meta.l4 = (link.len() + ipv6::HEADER_LEN) as u8;
        }
        _ => return None,
    }
    answer.meta.csum = Csum::Partial;
    if !link.is_empty() {
        let (to, from) = link.split_at_checked(6)?;
        let (from, kind) = from.split_at_checked(6)?;
        let out = answer.head.prepend(link.len());
        out[..6].copy_from_slice(from);
        out[6..12].copy_from_slice(to);
        out[12..].copy_from_slice(kind);
        answer.meta.l3 = link.len() as u8;
    }
    Some(answer)
}

/// True when both are addresses of one host each.
fn speaks_for_itself(dst: IpAddr, src: IpAddr) -> bool {
    let one = |address: IpAddr| !address.is_multicast() && !address.is_unspecified();
    one(dst) && one(src) && dst != IpAddr::from([255; 4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gso;

    fn packet_v4(protocol: u8, first: u8, len: usize) -> Packet {
        let mut payload = vec![0; len - 20];
        payload[0] = first;
        let mut packet = Packet::with_payload(Bytes::from(payload));
        let header = ipv4::Header {
            header_len: 20,
            tos: 0,
            total_len: len as u16,
            id: 9,
            dont_fragment: true,
            more_fragments: false,
            offset: 0,
            ttl: 64,
            protocol,
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
        };
        ipv4::build(&mut packet.head, &header);
        packet.meta.l4 = 20;
        packet
    }

    #[test]
    fn says_how_long_a_packet_may_be() {
        let asked = packet_v4(17, 0, 1500);
        let mut answer = too_big_answer(&asked, 1400).unwrap();
        gso::finish(&mut answer);
        let bytes = answer.to_vec();
        let header = ipv4::parse(&bytes).unwrap();
        assert_eq!(
            (header.src, header.dst, bytes.len()),
            ([10, 0, 0, 2].into(), [10, 0, 0, 1].into(), 576)
        );
        assert!(ipv4::verify(&bytes[..20]));
        assert_eq!(crate::wire::checksum::checksum(&bytes[20..]), 0);
        let message = icmp::parse(icmp::Family::V4, &bytes[20..]);
        assert_eq!(message, Ok(icmp::Message::Error(Unreachable::TooBig(1400))));
        assert_eq!(bytes[28..], asked.to_vec()[..548]);
    }

    #[test]
    fn keeps_silent_about_errors_and_crowds() {
        assert!(too_big_answer(&packet_v4(1, 8, 1500), 1400).is_some());
        assert!(too_big_answer(&packet_v4(1, 3, 1500), 1400).is_none());
        let mut crowd = packet_v4(17, 0, 1500);
        crowd.head.as_mut_slice()[16] = 239;
        assert!(too_big_answer(&crowd, 1400).is_none());
    }

    #[test]
    fn frames_go_back_the_way_they_came() {
        let mut asked = packet_v4(17, 0, 1500);
        asked
            .head
            .prepend(14)
            .copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        (asked.meta.l3, asked.meta.l4) = (14, 34);
        let answer = too_big_answer(&asked, 1400).unwrap();
        assert_eq!(answer.to_vec()[..14], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        assert_eq!((answer.meta.l3, answer.meta.l4), (14, 34));
    }
}
