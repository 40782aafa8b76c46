//! The IP header in front of what a transport built, and the queue of the interface it leaves by. RFC 791 §3.1, RFC 8200 §3, RFC 6864.

use super::{Header, Ip, Path, fragment};
use crate::counters::{Counters, DropReason};
use crate::gso;
use crate::host::Medium;
use crate::keys::{Key, Keys};
use crate::packet::{Gso, Packet};
use crate::time::Instant;
use crate::wire::{ipv4, ipv6};
use std::collections::VecDeque;
use std::net::IpAddr;

impl Ip {
    /// Sends a packet whose head starts with its transport header. One too long for the path goes in fragments when its
    /// header allows that, else it is dropped: the transport knows the MTU.
    pub(crate) fn output(
        &mut self,
        now: Instant,
        path: &Path,
        header: &Header,
        mut packet: Packet,
        counters: &mut Counters,
    ) {
        counters.out_requests += 1;
        if !self.prepend(header, &mut packet) {
            return counters.drop(DropReason::NoRoute);
        }
        packet.meta.at = now;
        let room = (path.mtu as usize).saturating_sub(packet.head.len());
        match packet.meta.gso {
            Gso::None if packet.meta.len as usize > room => self.output_long(now, path, header, packet, counters),
            // The path became narrower since the transport asked for its MTU.
            Gso::Tcp { mss } if usize::from(mss) > room => {
                packet.meta.gso = Gso::Tcp {
                    mss: room.max(1) as u16,
                };
                self.send(now, path, packet, counters);
            }
            Gso::Udp { size } if usize::from(size) > room => {
                let mut singles = VecDeque::new();
                gso::segment(packet, u32::MAX, &mut singles);
                for single in singles {
                    self.output_long(now, path, header, single, counters);
                }
            }
            _ => self.send(now, path, packet, counters),
        }
    }

    /// Sends a packet that may be longer than the path carries: in fragments, if that is allowed.
    pub(super) fn output_long(
        &mut self,
        now: Instant,
        path: &Path,
        header: &Header,
        packet: Packet,
        counters: &mut Counters,
    ) {
        let mtu = path.mtu as usize;
        if packet.total_len() <= mtu {
            return self.send(now, path, packet, counters);
        }
        // One that has to wait for its neighbour waits whole: there is room for a few packets, not for all fragments of one.
        if !header.dont_fragment && !self.is_resolved(path) {
            return self.send(now, path, packet, counters);
        }
        let id = self.identification.next_wide(header);
        let mut fragments = VecDeque::new();
        if header.dont_fragment || !fragment::split(packet, mtu, id, |fragment| fragments.push_back(fragment)) {
            return counters.drop(DropReason::TooBig);
        }
        counters.frag_creates += fragments.len() as u64;
        for fragment in fragments {
            self.send(now, path, fragment, counters);
        }
    }

    /// To the interface, through a link header where the link wants one.
    fn send(&mut self, now: Instant, path: &Path, packet: Packet, counters: &mut Counters) {
        match self.interfaces.get_mut(path.interface.0 as usize) {
            Some(interface) if interface.medium == Medium::Ip => interface.queue(packet, counters),
            Some(_) => self.output_frame(now, path.interface, path.next_hop, packet, counters),
            None => counters.drop(DropReason::NoRoute),
        }
    }

    /// Prepends the IP header. False between addresses of different families.
    pub(super) fn prepend(&mut self, header: &Header, packet: &mut Packet) -> bool {
        // A super-segment may be longer than the length fields; segmentation writes the true lengths.
        let payload = packet.total_len();
        match (header.src, header.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let fields = ipv4::Header {
                    header_len: ipv4::HEADER_LEN as u8,
                    tos: header.tos,
                    total_len: (payload + ipv4::HEADER_LEN).min(0xffff) as u16,
                    id: if header.dont_fragment {
                        0
                    } else {
                        self.identification.next(header)
                    },
                    dont_fragment: header.dont_fragment,
                    more_fragments: false,
                    offset: 0,
                    ttl: header.ttl,
                    protocol: header.protocol,
                    src,
                    dst,
                };
                ipv4::build(&mut packet.head, &fields);
                packet.meta.l4 = ipv4::HEADER_LEN as u8;
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let fields = ipv6::Header {
                    traffic_class: header.tos,
                    flow_label: 0,
                    payload_len: payload.min(0xffff) as u16,
                    next_header: header.protocol,
                    hop_limit: header.ttl,
                    src,
                    dst,
                };
                ipv6::build(&mut packet.head, &fields);
                packet.meta.l4 = ipv6::HEADER_LEN as u8;
            }
            _ => return false,
        }
        packet.meta.l3 = 0;
        true
    }
}

/// Where identifications of fragmentable datagrams come from: counters shared by few destinations each, from secret starts, so that one
/// destination learns nothing about the traffic to others. RFC 7739 §5.3, RFC 6864 §4.3.
#[derive(Debug)]
pub(super) struct Identification {
    key: Key,
    counters: Box<[u32; 256]>,
}

impl Identification {
    pub(super) fn new(keys: &Keys) -> Self {
        Self {
            key: keys.key("ip identification"),
            counters: Box::new([0; 256]),
        }
    }

    /// The next identification; IPv6 uses all 32 bits. Distinct for many packets between two addresses.
    pub(super) fn next_wide(&mut self, header: &Header) -> u32 {
        let word = |address: IpAddr| crate::tuple::halves(&crate::tuple::mapped(address));
        let ([a, b], [c, d]) = (word(header.src), word(header.dst));
        let hash = self.key.hash(&[a, b, c, d, u64::from(header.protocol)]);
        let counter = &mut self.counters[(hash >> 56) as usize];
        *counter = counter.wrapping_add(1);
        counter.wrapping_add(hash as u32)
    }

    fn next(&mut self, header: &Header) -> u16 {
        self.next_wide(header) as u16
    }
}
