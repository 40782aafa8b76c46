//! Two Internet layers on one Ethernet, with every frame going through plain bytes.

use super::*;
use crate::host::{HostConfig, InterfaceConfig, Route};
use crate::keys::{Keys, below};
use crate::settings::Settings;
use crate::time::{Duration, SECOND};
use crate::wire::{packet_from_bytes, udp};
use crate::{gso, ip::Path};
use bytes::Bytes;
use std::collections::VecDeque;

mod frames;

const ETH: InterfaceId = InterfaceId(1);
const A: Mac = [2, 0, 0, 0, 0, 0xa];
const B: Mac = [2, 0, 0, 0, 0, 0xb];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

struct Node {
    ip: Ip,
    mac: Mac,
    counters: Counters,
    settings: Settings,
    heard: Vec<(IpAddr, Vec<u8>)>,
}

impl Node {
    fn new(mac: Mac, addresses: &[&str]) -> Self {
        let mut layer = Ip::new(&HostConfig::default(), &Keys::new(1, addresses[0]));
        let addresses = addresses
            .iter()
            .map(|text| (ip(text), if text.contains(':') { 64 } else { 24 }))
            .collect();
        let medium = Medium::Ethernet { address: mac };
        let eth = InterfaceConfig {
            name: "eth0".into(),
            medium,
            mtu: 1_500,
            gso: false,
            addresses,
        };
        assert_eq!(layer.add_interface(eth), ETH);
        let (counters, settings) = (Counters::default(), Settings::default());
        Self {
            ip: layer,
            mac,
            counters,
            settings,
            heard: Vec::new(),
        }
    }

    /// Sends a UDP datagram of `len` bytes, in fragments if need be.
    fn send(&mut self, now: Instant, dst: &str, len: usize) {
        let path = self.ip.route(ip(dst), None).unwrap();
        self.send_by(now, &path, ip(dst), len);
    }

    fn send_by(&mut self, now: Instant, path: &Path, dst: IpAddr, len: usize) {
        let mut packet = Packet::with_payload((0..len).map(|n| n as u8).collect::<Vec<_>>().into());
        udp::build(&mut packet.head, 1, 2, len);
        packet.meta.csum = Csum::Partial;
        let header = Header {
            src: path.src,
            dst,
            protocol: 17,
            ttl: 64,
            tos: 0,
            dont_fragment: false,
        };
        self.ip.output(now, path, &header, packet, &mut self.counters);
    }

    fn send_frame_to(&mut self, to: Mac, packet: Packet) {
        self.ip.send_frame(ETH, to, packet, &mut self.counters);
    }

    /// What it sends now, as bytes on the wire.
    fn frames(&mut self, now: Instant) -> Vec<Bytes> {
        let mut out = VecDeque::new();
        self.ip.poll_transmit(now, ETH, &mut out, usize::MAX);
        let finished = out.into_iter().map(|mut packet| {
            gso::finish(&mut packet);
            Bytes::from(packet.to_vec())
        });
        finished.collect()
    }

    fn receive(&mut self, now: Instant, frame: Bytes) -> Result<(), DropReason> {
        let packet = packet_from_bytes(frame, Medium::Ethernet { address: self.mac });
        match self.ip.input(now, ETH, packet, &mut self.counters, &self.settings) {
            Ok(Delivery::Datagram(datagram)) => {
                self.heard.push((datagram.src, datagram.packet.body.concat()));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(reason) => {
                self.counters.drop(reason);
                Err(reason)
            }
        }
    }
}

/// Two hosts and the clock.
struct Wire {
    a: Node,
    b: Node,
    now: Instant,
    frames: usize,
}

impl Wire {
    fn new() -> Self {
        let a = Node::new(A, &["10.0.2.15", "fd00::15", "fe80::a"]);
        let b = Node::new(B, &["10.0.2.2", "fd00::2", "fe80::b"]);
        Self {
            a,
            b,
            now: Instant::ZERO,
            frames: 0,
        }
    }

    /// Carries frames both ways until there are no more.
    fn settle(&mut self) {
        loop {
            let (from_a, from_b) = (self.a.frames(self.now), self.b.frames(self.now));
            if from_a.is_empty() && from_b.is_empty() {
                return;
            }
            self.frames += from_a.len() + from_b.len();
            from_a.into_iter().for_each(|frame| {
                let _ = self.b.receive(self.now, frame);
            });
            from_b.into_iter().for_each(|frame| {
                let _ = self.a.receive(self.now, frame);
            });
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        let due = |wire: &Self| {
            [wire.a.ip.poll_timeout(), wire.b.ip.poll_timeout()]
                .into_iter()
                .flatten()
                .min()
        };
        while let Some(at) = due(self).filter(|at| *at <= end) {
            self.now = at;
            self.a.ip.handle_timeout(at, &mut self.a.counters);
            self.b.ip.handle_timeout(at, &mut self.b.counters);
            self.settle();
        }
        self.now = end;
    }
}

#[test]
fn neighbours_find_each_other() {
    for (dst, src) in [("10.0.2.2", "10.0.2.15"), ("fd00::2", "fd00::15")] {
        let mut wire = Wire::new();
        for len in 0..3 {
            wire.a.send(wire.now, dst, len);
        }
        wire.settle();
        let lens: Vec<_> = wire.b.heard.iter().map(|(from, data)| (*from, data.len())).collect();
        assert_eq!(
            lens,
            [(ip(src), 0), (ip(src), 1), (ip(src), 2)],
            "in the order they were sent"
        );
        assert_eq!(wire.frames, 2 + 3, "one question, one answer");
        // The answer's receiver learnt from the question: no question back.
        wire.b.send(wire.now, src, 9);
        wire.settle();
        assert_eq!((wire.a.heard.len(), wire.frames), (1, 6));
        // But a doubt, which is asked about after five seconds.
        wire.run(6 * SECOND);
        assert_eq!(wire.frames, 8);
        // Unused, neighbours go stale in silence; used, they are asked again.
        wire.run(60 * SECOND);
        assert_eq!(wire.frames, 8);
        wire.a.send(wire.now, dst, 1);
        wire.run(6 * SECOND);
        assert_eq!((wire.b.heard.len(), wire.frames), (4, 11));
        assert_eq!(wire.a.counters.drops(DropReason::NoNeighbor), 0);
    }
}

#[test]
fn nobody_answers() {
    for (dst, icmp) in [("10.0.2.77", (3, 1)), ("fd00::77", (1, 3))] {
        let mut wire = Wire::new();
        for len in 0..5 {
            wire.a.send(wire.now, dst, len);
        }
        assert_eq!(wire.a.counters.drops(DropReason::NoNeighbor), 2, "three may wait");
        wire.run(10 * SECOND);
        assert_eq!(wire.frames, 3);
        assert_eq!(wire.a.counters.drops(DropReason::NoNeighbor), 5);
        let errors: Vec<_> = std::iter::from_fn(|| wire.a.ip.poll_error()).collect();
        assert_eq!(errors.len(), 3);
        for (error, len) in errors.iter().zip(2..) {
            assert_eq!(
                (error.remote, error.protocol, error.kind),
                (ip(dst), 17, Unreachable::Host)
            );
            assert_eq!((error.icmp_type, error.icmp_code), icmp);
            assert_eq!(error.quoted.len(), 8 + len);
            assert_eq!(error.quoted[..4], [0, 1, 0, 2]);
        }
        assert_eq!(wire.a.ip.poll_timeout(), None);
    }
}

#[test]
fn groups_and_broadcasts_need_no_question() {
    for (dst, mac) in [
        ("255.255.255.255", ethernet::BROADCAST),
        ("10.0.2.255", ethernet::BROADCAST),
        ("224.0.0.1", [1, 0, 0x5e, 0, 0, 1]),
        ("ff02::1", [0x33, 0x33, 0, 0, 0, 1]),
    ] {
        let mut wire = Wire::new();
        wire.a.send(wire.now, dst, 4);
        let frames = wire.a.frames(wire.now);
        assert_eq!(frames.len(), 1, "{dst}");
        assert_eq!(frames[0][..6], mac, "{dst}");
        assert_eq!(wire.b.receive(wire.now, frames[0].clone()), Ok(()), "{dst}");
        assert_eq!(wire.b.heard.len(), 1, "{dst}");
    }
}

#[test]
fn a_router_is_the_next_hop() {
    let mut wire = Wire::new();
    wire.a.ip.add_route(&Route {
        network: ip("0.0.0.0"),
        prefix: 0,
        via: Some(ip("10.0.2.2")),
        interface: ETH,
    });
    wire.a.send(wire.now, "192.0.2.1", 4);
    wire.settle();
    assert_eq!(
        wire.b.counters.drops(DropReason::NotForUs),
        1,
        "it came to the router, who does not forward"
    );
}

/// RFC 1122 §3.2.2.2, RFC 4861 §8: only the current first hop may name another, on the same link.
#[test]
fn a_router_knows_a_better_one() {
    for (dst, via, from, better, believed) in [
        ("192.0.2.1", "10.0.2.2", "10.0.2.2", "10.0.2.3", true),
        ("192.0.2.1", "10.0.2.2", "10.0.2.3", "10.0.2.4", false),
        ("192.0.2.1", "10.0.2.2", "10.0.2.2", "10.0.3.3", false),
        ("192.0.2.1", "10.0.2.2", "10.0.2.2", "10.0.2.15", false),
        ("2001:db8::1", "fe80::b", "fe80::b", "fe80::c", true),
        ("2001:db8::1", "fe80::b", "fe80::b", "2001:db8::1", true),
        ("2001:db8::1", "fe80::b", "fe80::c", "fe80::d", false),
    ] {
        let mut wire = Wire::new();
        let (dst, via, better) = (ip(dst), ip(via), ip(better));
        wire.a.ip.add_route(&Route {
            network: dst,
            prefix: 16,
            via: Some(via),
            interface: ETH,
        });
        let path = wire.a.ip.route(dst, None).unwrap();
        assert_eq!(path.next_hop, via);
        let mut packet = Packet::default();
        let (protocol, to) = match (dst, better) {
            (IpAddr::V4(dst), IpAddr::V4(better)) => {
                let IpAddr::V4(src) = path.src else { panic!() };
                let quote = ipv4_header(src, dst);
                packet.head.prepend(quote.len()).copy_from_slice(&quote);
                packet.head.prepend(4).copy_from_slice(&better.octets());
                packet.head.prepend(4).copy_from_slice(&[5, 1, 0, 0]);
                (protocol::ICMP, path.src)
            }
            (IpAddr::V6(dst), IpAddr::V6(better)) => {
                packet.head.prepend(16).copy_from_slice(&dst.octets());
                packet.head.prepend(16).copy_from_slice(&better.octets());
                packet.head.prepend(8).copy_from_slice(&[137, 0, 0, 0, 0, 0, 0, 0]);
                (protocol::ICMPV6, path.src)
            }
            _ => panic!(),
        };
        packet.meta.csum = Csum::Partial;
        let header = Header {
            src: ip(from),
            dst: to,
            protocol,
            ttl: 255,
            tos: 0,
            dont_fragment: true,
        };
        assert!(wire.b.ip.prepend(&header, &mut packet));
        wire.b.send_frame_to(A, packet);
        let told = wire.b.frames(wire.now).pop().unwrap();
        let want = if believed { Ok(()) } else { Err(DropReason::StrayIcmp) };
        assert_eq!(wire.a.receive(wire.now, told), want, "{from} names {better}");
        let now = wire.a.ip.route(dst, None).unwrap().next_hop;
        assert_eq!(now, if believed { better } else { via }, "{from} names {better}");
        if believed {
            // Nobody is there: back to the route.
            wire.a.send(wire.now, &dst.to_string(), 1);
            wire.run(10 * SECOND);
            assert_eq!(wire.a.ip.route(dst, None).unwrap().next_hop, via);
        }
    }
}

fn ipv4_header(src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
    let mut head = crate::packet::Head::for_output();
    let header = ipv4::Header {
        header_len: 20,
        tos: 0,
        total_len: 28,
        id: 0,
        dont_fragment: false,
        more_fragments: false,
        offset: 0,
        ttl: 64,
        protocol: 17,
        src,
        dst,
    };
    ipv4::build(&mut head, &header);
    [head.as_slice(), &[0; 8]].concat()
}

#[test]
fn long_datagrams_cross_in_fragments() {
    for dst in ["10.0.2.2", "fd00::2"] {
        let mut wire = Wire::new();
        // Only three packets may wait for the neighbour, fragments included: make it known first.
        wire.a.send(wire.now, dst, 1);
        wire.settle();
        wire.b.heard.clear();
        let mut rng = Keys::new(1, "link").stream("order");
        for len in [1_472, 1_473, 2_000, 9_000, 65_000] {
            wire.a.send(wire.now, dst, len);
            let mut frames = wire.a.frames(wire.now);
            for n in (1..frames.len()).rev() {
                frames.swap(n, below(&mut rng, n as u64 + 1) as usize);
            }
            assert!(frames.iter().all(|frame| frame.len() <= 1_514));
            frames
                .into_iter()
                .for_each(|frame| assert_eq!(wire.b.receive(wire.now, frame), Ok(())));
            let (_, data) = wire.b.heard.pop().unwrap();
            assert_eq!(data, (0..len).map(|n| n as u8).collect::<Vec<_>>(), "{dst} {len}");
        }
        assert!(wire.a.counters.frag_creates > 50 && wire.b.counters.reasm_oks >= 4);
        // Without its last fragment the sender is told, 30 seconds later.
        wire.a.send(wire.now, dst, 4_000);
        let mut frames = wire.a.frames(wire.now);
        let _ = frames.pop();
        frames
            .into_iter()
            .for_each(|frame| assert_eq!(wire.b.receive(wire.now, frame), Ok(())));
        wire.b.ip.handle_timeout(wire.now + 30 * SECOND, &mut wire.b.counters);
        assert_eq!(
            (wire.b.counters.icmp_out_msgs > 0, wire.b.ip.reassembly.poll_timeout()),
            (true, None),
            "{dst}"
        );
        let told = wire.b.frames(wire.now).pop().unwrap();
        let packet = packet_from_bytes(told, Medium::Ethernet { address: A });
        let told = wire
            .a
            .ip
            .input(wire.now, ETH, packet, &mut wire.a.counters, &wire.a.settings);
        let Ok(Delivery::Error(error)) = told else {
            panic!("{told:?}")
        };
        assert_eq!(
            (error.remote, error.kind, error.protocol),
            (ip(dst), Unreachable::HopLimit, 17)
        );
        assert_eq!(error.quoted[..4], [0, 1, 0, 2]);
    }
}

/// RFC 4862 §5.4.3: somebody who wants our address hears that it is taken.
#[test]
fn our_address_is_defended() {
    let (mut a, mut b) = (Node::new(A, &["fd00::15"]), Node::new(B, &["fd00::2"]));
    let target = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x15);
    let group = ndp::solicited_node(target);
    let mut packet = Packet::default();
    ndp::build_solicitation(&mut packet.head, target, None);
    let (mac, nobody) = (ethernet::multicast(group.into()), Ipv6Addr::UNSPECIFIED);
    b.ip.send_ndp(Instant::ZERO, ETH, mac, nobody, group, packet, &mut b.counters);
    let question = b.frames(Instant::ZERO).pop().unwrap();
    assert_eq!(a.receive(Instant::ZERO, question), Ok(()));
    let answer = a.frames(Instant::ZERO).pop().unwrap();
    assert_eq!(answer[..6], [0x33, 0x33, 0, 0, 0, 1]);
    let parsed = ndp::parse(target, "ff02::1".parse().unwrap(), 255, &answer[54..]);
    let advert = NeighborAdvertisement {
        target,
        mac: Some(A),
        router: false,
        solicited: false,
        overrides: true,
    };
    assert_eq!(parsed, Ok(ndp::Message::NeighborAdvertisement(advert)));
}

/// Random and mutated frames: nothing panics, and the layer works afterwards.
#[test]
fn no_frame_does_harm() {
    let mut wire = Wire::new();
    let mut seen = Vec::new();
    for dst in ["10.0.2.2", "fd00::2", "ff02::1"] {
        wire.a.send(wire.now, dst, 3_000);
        while let frames = wire.a.frames(wire.now)
            && !frames.is_empty()
        {
            for frame in frames {
                seen.push(frame.clone());
                let _ = wire.b.receive(wire.now, frame);
            }
            for frame in wire.b.frames(wire.now) {
                seen.push(frame.clone());
                let _ = wire.a.receive(wire.now, frame);
            }
        }
    }
    assert!(seen.len() > 8);
    let mut rng = Keys::new(7, "link").stream("mutation");
    for round in 0..100_000 {
        let mut frame = seen[below(&mut rng, seen.len() as u64) as usize].to_vec();
        for _ in 0..below(&mut rng, 6) {
            let at = below(&mut rng, frame.len() as u64) as usize;
            frame[at] = below(&mut rng, 256) as u8;
        }
        if below(&mut rng, 4) == 0 {
            frame.truncate(below(&mut rng, frame.len() as u64 + 1) as usize);
        }
        let _ = wire.b.receive(wire.now, frame.into());
        let _ = wire.b.frames(wire.now);
        if round % 64 == 0 {
            wire.now += Duration::from_millis(below(&mut rng, 2_000));
            wire.b.ip.handle_timeout(wire.now, &mut wire.b.counters);
            while wire.b.ip.poll_error().is_some() {}
        }
    }
    wire.run(120 * SECOND);
    wire.b.heard.clear();
    for dst in ["10.0.2.2", "fd00::2"] {
        wire.a.send(wire.now, dst, 5);
        wire.run(10 * SECOND);
    }
    assert_eq!(wire.b.heard.len(), 2);
}
