//! Packets that mean harm, made by someone who knows the formats: extension headers, options, fragments and errors about errors, then
//! damaged. Whatever they are, the outcome must not depend on how their bytes were split between head and body, and the layer must work after.

use super::*;
use crate::packet::Head;
use crate::wire::{ipv4, ipv6, tcp};
use std::net::{Ipv4Addr, Ipv6Addr};

use rand::rngs::Xoshiro256PlusPlus;

const V4: [&str; 8] = [
    "10.0.2.15",
    "10.0.2.2",
    "10.0.2.255",
    "224.0.0.1",
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "192.0.2.1",
];
const V6: [&str; 8] = [
    "fd00::15",
    "fd00::2",
    "ff02::1",
    "::1",
    "::",
    "ff02::1:ff00:15",
    "2001:db8::1",
    "fe80::1",
];

/// What part of a datagram's payload a packet has: its bytes, and where they belong (more to come, offset) when that is not all.
type Part = (Vec<u8>, Option<(bool, usize)>);

struct Maker {
    rng: Xoshiro256PlusPlus,
    /// Fragments of the datagram that was begun.
    later: Vec<Vec<u8>>,
}

impl Maker {
    fn draw(&mut self, n: u64) -> usize {
        below(&mut self.rng, n) as usize
    }

    /// One time in `n`.
    fn rarely(&mut self, n: u64) -> bool {
        self.draw(n) == 0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// Mostly the expected one of the pool, else any.
    fn address(&mut self, pool: [&str; 8], expected: usize) -> IpAddr {
        let at = if self.rarely(6) { self.draw(8) } else { expected };
        address(pool[at])
    }

    /// The rest of a datagram that was begun, or a new packet.
    fn next(&mut self) -> Vec<u8> {
        if let Some(rest) = self.later.pop().filter(|_| !self.rarely(4)) {
            rest
        } else {
            self.packet(2)
        }
    }

    /// A packet whose checksums are right.
    fn packet(&mut self, depth: usize) -> Vec<u8> {
        let mut packets = if self.rarely(2) {
            self.packets_v4(depth)
        } else {
            self.packets_v6(depth)
        };
        let first = packets.remove(0);
        if depth == 2 {
            self.later.extend(packets);
        }
        first
    }

    fn packets_v4(&mut self, depth: usize) -> Vec<Vec<u8>> {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (self.address(V4, 1), self.address(V4, 0)) else {
            panic!()
        };
        let protocol = [1, 1, 6, 17, 17, 58, 200][self.draw(7)];
        let (tos, ttl, id) = (self.draw(256) as u8, self.draw(256) as u8, self.draw(1 << 16) as u16);
        let parts = self.parts(src.into(), dst.into(), protocol, depth);
        parts
            .into_iter()
            .map(|part| self.part_v4(src, dst, protocol, (tos, ttl, id), part))
            .collect()
    }

    fn part_v4(
        &mut self,
        src: Ipv4Addr,
        dst: Ipv4Addr,
        protocol: u8,
        (tos, ttl, id): (u8, u8, u16),
        (payload, fragment): Part,
    ) -> Vec<u8> {
        let (more, offset) = fragment.unwrap_or_default();
        let mut head = Head::for_output();
        let header = ipv4::Header {
            header_len: 20,
            tos,
            total_len: 20 + payload.len() as u16,
            id,
            dont_fragment: fragment.is_none(),
            more_fragments: more,
            offset: offset as u16,
            ttl,
            protocol,
            src,
            dst,
        };
        ipv4::build(&mut head, &header);
        let mut bytes = head.as_slice().to_vec();
        if self.rarely(4) {
            let words = self.draw(11);
            bytes.extend(self.bytes(words * 4));
            bytes[0] += words as u8;
            let total = (bytes.len() + payload.len()) as u16;
            bytes[2..4].copy_from_slice(&total.to_be_bytes());
            gso::ip_checksum(&mut bytes);
        }
        bytes.extend(payload);
        bytes
    }

    fn packets_v6(&mut self, depth: usize) -> Vec<Vec<u8>> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (self.address(V6, 1), self.address(V6, 0)) else {
            panic!()
        };
        let protocol = [58, 58, 6, 17, 17, 1, 59, 200][self.draw(8)];
        let id = self.draw(1 << 32) as u32;
        let parts = self.parts(src.into(), dst.into(), protocol, depth);
        parts
            .into_iter()
            .map(|part| self.part_v6(src, dst, protocol, id, part))
            .collect()
    }

    fn part_v6(&mut self, src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, id: u32, (payload, fragment): Part) -> Vec<u8> {
        let mut chain = payload;
        let mut next = protocol;
        if let Some((more, offset)) = fragment {
            let mut head = Head::for_output();
            let fields = ipv6::Fragment {
                next_header: next,
                offset: offset as u16,
                more,
                id,
            };
            ipv6::build_fragment(&mut head, &fields);
            chain.splice(0..0, head.as_slice().iter().copied());
            next = protocol::FRAGMENT;
        }
        for _ in 0..self.draw(5).saturating_sub(1) {
            let kind = [0, 43, 60, 60, 51, 44][self.draw(6)];
            let units = if self.rarely(8) { self.draw(32) } else { self.draw(3) };
            let mut header = self.extension(kind, units);
            header[0] = next;
            chain.splice(0..0, header);
            next = kind;
        }
        let mut head = Head::for_output();
        let header = ipv6::Header {
            traffic_class: self.draw(256) as u8,
            flow_label: 0,
            payload_len: chain.len() as u16,
            next_header: next,
            hop_limit: if self.rarely(2) { 255 } else { 64 },
            src,
            dst,
        };
        ipv6::build(&mut head, &header);
        [head.as_slice(), &chain].concat()
    }

    /// An extension header of `8 * (units + 1)` bytes.
    fn extension(&mut self, kind: u8, units: usize) -> Vec<u8> {
        match kind {
            protocol::FRAGMENT => vec![0; 8], // RFC 6946: the whole datagram.
            protocol::AUTHENTICATION => {
                let mut header = self.bytes(8 * (units + 1));
                header[1] = (2 * units) as u8;
                header
            }
            _ => {
                let mut header = vec![0; 8 * (units + 1)];
                header[1] = units as u8;
                if kind != protocol::ROUTING {
                    let len = header.len() - 4;
                    (header[2], header[3]) = (if self.rarely(3) { self.draw(256) as u8 } else { 1 }, len as u8);
                }
                header
            }
        }
    }

    /// A transport header with data and a right checksum, perhaps in two parts.
    fn parts(&mut self, src: IpAddr, dst: IpAddr, protocol: u8, depth: usize) -> Vec<Part> {
        let len = if self.rarely(4) {
            self.draw(1_200)
        } else {
            self.draw(64)
        };
        let data = if depth > 0 && self.rarely(2) {
            self.packet(depth - 1)
        } else {
            self.bytes(len)
        };
        let mut head = Head::for_output();
        match protocol {
            protocol::TCP => {
                let options = tcp::Options {
                    mss: Some(1_460),
                    sack_permitted: true,
                    ..tcp::Options::default()
                };
                tcp::build(
                    &mut head,
                    &tcp::Header {
                        source: 1,
                        destination: 2,
                        ..tcp::Header::default()
                    },
                    &options,
                );
            }
            protocol::UDP => udp::build(&mut head, 1, 2, data.len()),
            protocol::ICMP | protocol::ICMPV6 => {
                let kinds = [0, 3, 5, 8, 11, 12, 1, 2, 4, 100, 128, 129, 133, 134, 135, 136, 137, 200];
                let kind = kinds[self.draw(18)];
                let code = if self.rarely(2) { 0 } else { self.draw(8) as u8 };
                let word = (self.draw(3_000) as u32).to_be_bytes();
                head.prepend(8)
                    .copy_from_slice(&[kind, code, 0, 0, word[0], word[1], word[2], word[3]]);
            }
            _ => {}
        }
        let mut bytes = [head.as_slice(), &data].concat();
        let at = match protocol {
            protocol::TCP => Some(16),
            protocol::UDP => Some(6),
            protocol::ICMP | protocol::ICMPV6 => Some(2),
            _ => None,
        };
        if let Some(at) = at {
            let check = if protocol == protocol::ICMP {
                crate::wire::checksum::checksum(&bytes)
            } else {
                crate::wire::checksum::transport(src, dst, protocol, [&bytes[..]], bytes.len())
            };
            bytes[at..at + 2].copy_from_slice(&check.to_be_bytes());
        }
        if !self.rarely(3) || bytes.len() < 24 {
            return vec![(bytes, None)];
        }
        let cut = (bytes.len() / 16) * 8;
        let rest = bytes.split_off(cut);
        vec![(bytes, Some((true, 0))), (rest, Some((false, cut)))]
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        if self.rarely(2) {
            return;
        }
        for _ in 0..self.draw(4) {
            let (at, value) = (self.draw(bytes.len() as u64), self.draw(256) as u8);
            bytes[at] = value;
        }
        if self.rarely(4) {
            bytes.truncate(1 + self.draw(bytes.len() as u64));
        }
        if self.rarely(2) && bytes.len() >= 20 && bytes[0] >> 4 == 4 {
            // Damage that IPv4's header checksum does not stop.
            let len = (usize::from(bytes[0] & 15) * 4).clamp(20, bytes.len());
            gso::ip_checksum(&mut bytes[..len]);
        }
    }

    /// Split anywhere.
    fn split(&mut self, bytes: &Bytes) -> Packet {
        let at = self.draw(bytes.len().min(128) as u64 + 1);
        let mut packet = Packet {
            head: Head::from_slice(&bytes[..at]),
            ..Packet::default()
        };
        let mut rest = bytes.slice(at..);
        while !rest.is_empty() {
            let len = 1 + if self.rarely(2) {
                self.draw(20)
            } else {
                self.draw(rest.len() as u64)
            };
            packet.push_payload(rest.split_to(len.min(rest.len())));
        }
        packet
    }
}

/// What a packet led to, in words: what was delivered, sent, learnt and counted.
fn outcome(node: &mut Node, packet: Packet) -> String {
    let told = match node.ip.input(NOW, ETH, packet, &mut node.counters, &node.settings) {
        Ok(Delivery::Datagram(datagram)) => {
            let l4 = usize::from(datagram.packet.meta.l4);
            let Datagram {
                src,
                dst,
                protocol,
                ttl,
                tos,
                ..
            } = datagram;
            format!(
                "{src} {dst} {protocol} {ttl} {tos} {:?}",
                &datagram.packet.to_vec()[l4..]
            )
        }
        other => format!("{other:?}"),
    };
    let mut sent = node.sent(ETH);
    sent.extend(node.sent(InterfaceId::LOOPBACK));
    let sent: Vec<_> = sent.into_iter().map(on_wire).collect();
    let paths = ["10.0.2.2", "fd00::2", "192.0.2.1"].map(|dst| node.ip.path_mtu(address(dst)));
    format!("{told} sent {sent:?} paths {paths:?} counted {:?}", node.counters)
}

#[test]
fn the_split_makes_no_difference() {
    for seed in 0..8 {
        let mut maker = Maker {
            rng: Keys::new(seed, "hostile").stream("test"),
            later: Vec::new(),
        };
        let mut refused = 0;
        let mut nodes = [false, true, true].map(|_| Node::new(&["10.0.2.15", "fd00::15"], seed % 2 == 1));
        for node in &mut nodes {
            node.settings.route_localnet = seed % 4 > 1;
        }
        for n in 0..15_000 {
            let mut bytes = maker.next();
            maker.damage(&mut bytes);
            let bytes = Bytes::from(bytes);
            let parsed = packet_from_bytes(bytes.clone(), Medium::Ip);
            let mut plain = Packet::default();
            plain.push_payload(bytes.clone());
            let any = maker.split(&bytes);
            let [a, b, c] = &mut nodes;
            let want = outcome(a, parsed);
            refused += usize::from(want.starts_with("Err(BadFragment)"));
            assert_eq!(outcome(b, plain), want, "seed {seed}, packet {n}: {bytes:?}");
            assert_eq!(outcome(c, any), want, "seed {seed}, packet {n}: {bytes:?}");
        }
        let [node, ..] = nodes;
        assert!(refused > 10);
        assert!(
            node.counters.icmp_in_msgs > 500 && node.counters.reasm_oks > 100,
            "{:?}",
            node.counters
        );
    }
}
