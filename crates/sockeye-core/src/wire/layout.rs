//! Where the headers of a packet lie, and packets from plain bytes.
//!
//! Only what is needed to find the next header is read; whether the fields make sense is for `ip::input` and the transports.

use super::{ethernet, ipv4, ipv6, protocol, tcp, udp};
use crate::host::Medium;
use crate::packet::{HEAD_ROOM, Head, Packet};
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the headers of a packet lie, as offsets into the bytes they were found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// IPv6 rather than IPv4.
    pub v6: bool,
    /// Start of the IP header.
    pub l3: usize,
    /// Start of the transport header, behind IPv6 extension headers.
    pub l4: usize,
    /// End of the transport header; `l4` for a protocol not known here, and for all but the first fragment.
    pub end: usize,
    /// Protocol of the transport header.
    pub protocol: u8,
    /// A fragment of a larger datagram: its transport header, if it has one, speaks of more than is here.
    pub fragment: bool,
}

impl Layout {
    /// Finds the headers in `bytes`, the IP header being at `l3`. `None` unless all of them are there and make sense.
    pub fn find(bytes: &[u8], l3: usize) -> Option<Self> {
        let ip = bytes.get(l3..)?;
        let (v6, l4, protocol, fragment, first) = match ip.first()? >> 4 {
            4 => {
                let header = ipv4::parse(ip).ok()?;
                let l4 = l3 + usize::from(header.header_len);
                (false, l4, header.protocol, header.is_fragment(), header.offset == 0)
            }
            6 => {
                let header = ipv6::parse(ip).ok()?;
                let chain = ipv6::walk(header.next_header, &ip[ipv6::HEADER_LEN..]).ok()?;
                let first = chain.fragment.is_none_or(|(fragment, _)| fragment.offset == 0);
                let l4 = l3 + ipv6::HEADER_LEN + chain.len;
                (true, l4, chain.protocol, chain.fragment.is_some(), first)
            }
            _ => return None,
        };
        let end = if first {
            l4 + transport_len(protocol, bytes.get(l4..)?)?
        } else {
            l4
        };
        (end <= bytes.len()).then_some(Self {
            v6,
            l3,
            l4,
            end,
            protocol,
            fragment,
        })
    }

    /// Source and destination, from the same bytes.
    pub fn addresses(&self, bytes: &[u8]) -> (IpAddr, IpAddr) {
        fn at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
            let mut octets = [0; N];
            octets.copy_from_slice(&bytes[at..at + N]);
            octets
        }
        if self.v6 {
            let v6 = |offset| IpAddr::V6(Ipv6Addr::from(at::<16>(bytes, self.l3 + offset)));
            (v6(8), v6(24))
        } else {
            let v4 = |offset| IpAddr::V4(Ipv4Addr::from(at::<4>(bytes, self.l3 + offset)));
            (v4(12), v4(16))
        }
    }

    /// Where the transport's checksum field lies, for a protocol that has one.
    pub fn checksum_field(&self) -> Option<usize> {
        match self.protocol {
            protocol::TCP => Some(self.l4 + 16),
            protocol::UDP => Some(self.l4 + 6),
            protocol::ICMP | protocol::ICMPV6 => Some(self.l4 + 2),
            _ => None,
        }
    }
}

/// Length of the transport header at the start of `bytes`; 0 for a protocol not known here. `None` when it cannot be told or is impossible.
pub(crate) fn transport_len(protocol: u8, bytes: &[u8]) -> Option<usize> {
    match protocol {
        protocol::TCP => {
            let len = usize::from(bytes.get(12)? >> 4) * 4;
            (len >= tcp::HEADER_LEN).then_some(len)
        }
        protocol::UDP => Some(udp::HEADER_LEN),
        protocol::ICMP | protocol::ICMPV6 => Some(super::icmp::HEADER_LEN),
        _ => Some(0),
    }
}

/// A packet from the bytes of one frame: all its headers in `head`, the rest in `body`, shared. What is not understood is split somewhere
/// and left to `ip::input` to refuse.
pub fn packet_from_bytes(mut bytes: Bytes, medium: Medium) -> Packet {
    let l3 = match medium {
        Medium::Ip => 0,
        Medium::Ethernet { .. } => ethernet::HEADER_LEN.min(bytes.len()),
    };
    let found = Layout::find(&bytes, l3).filter(|layout| layout.end <= HEAD_ROOM);
    let (l4, end) = found.map_or((l3, bytes.len().min(HEAD_ROOM)), |layout| (layout.l4, layout.end));
    let head = Head::from_slice(&bytes.split_to(end));
    let mut packet = Packet {
        head,
        ..Packet::default()
    };
    packet.push_payload(bytes);
    packet.meta.l3 = l3 as u8;
    packet.meta.l4 = l4 as u8;
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};
    use rand::Rng as _;

    #[test]
    fn headers_go_to_the_head() {
        let mut head = Head::for_output();
        tcp::build(
            &mut head,
            &tcp::Header::default(),
            &tcp::Options {
                mss: Some(1_460),
                ..Default::default()
            },
        );
        let header = ipv4::Header {
            header_len: 20,
            tos: 0,
            total_len: 20 + 24 + 5,
            id: 0,
            dont_fragment: true,
            more_fragments: false,
            offset: 0,
            ttl: 64,
            protocol: protocol::TCP,
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
        };
        ipv4::build(&mut head, &header);
        let bytes = [head.as_slice(), b"hello"].concat();
        let packet = packet_from_bytes(bytes.clone().into(), Medium::Ip);
        assert_eq!(
            (packet.head.len(), packet.meta.len, packet.meta.l3, packet.meta.l4),
            (44, 5, 0, 20)
        );
        let frame = [&[0; 14][..], &bytes].concat();
        let packet = packet_from_bytes(frame.clone().into(), Medium::Ethernet { address: [2; 6] });
        assert_eq!(
            (packet.head.len(), packet.meta.len, packet.meta.l3, packet.meta.l4),
            (58, 5, 14, 34)
        );
        assert_eq!(packet.to_vec(), frame);
        let layout = Layout::find(&bytes, 0).unwrap();
        assert_eq!(layout.addresses(&bytes), ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()));
    }

    #[test]
    fn no_bytes_do_harm() {
        let mut rng = Keys::new(3, "layout").stream("test");
        let mut bytes = [0; 300];
        for n in 0..100_000 {
            rng.fill_bytes(&mut bytes);
            bytes[0] = [0x45, 0x60, 0x4f, bytes[0]][n % 4];
            bytes[14] = [0x45, 0x60, 0x4f, bytes[14]][n % 4];
            bytes[6] %= 64;
            let len = below(&mut rng, 301) as usize;
            for medium in [Medium::Ip, Medium::Ethernet { address: [0; 6] }] {
                let packet = packet_from_bytes(Bytes::copy_from_slice(&bytes[..len]), medium);
                assert_eq!(packet.to_vec(), &bytes[..len]);
            }
        }
    }
}
