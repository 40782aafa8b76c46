//! Two Internet layers back to back, and one alone with hostile bytes.

use super::*;
use crate::counters::{Counters, DropReason};
use crate::gso;
use crate::host::Medium;
use crate::keys::below;
use crate::packet::Csum;
use crate::settings::Settings;
use crate::wire::{icmp, packet_from_bytes, protocol, udp};
use rand::Rng as _;

mod hostile;

const ETH: InterfaceId = InterfaceId(1);
const NOW: Instant = Instant::from_millis(1_000);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host with one bare-IP interface.
struct Node {
    ip: Ip,
    counters: Counters,
    settings: Settings,
}

impl Node {
    fn new(addresses: &[&str], any_address: bool) -> Self {
        let config = HostConfig {
            any_address,
            ..HostConfig::default()
        };
        let mut ip = Ip::new(&config, &Keys::new(1, addresses[0]));
        let addresses = addresses.iter().map(|text| {
            let address = address(text);
            (address, if address.is_ipv4() { 24 } else { 64 })
        });
        let eth = InterfaceConfig {
            name: "eth0".into(),
            medium: Medium::Ip,
            mtu: 1_500,
            gso: false,
            addresses: addresses.collect(),
        };
        assert_eq!(ip.add_interface(eth), ETH);
        Self {
            ip,
            counters: Counters::default(),
            settings: Settings::default(),
        }
    }

    fn program() -> Self {
        Self::new(&["10.0.2.15", "fd00::15"], false)
    }

    fn gateway() -> Self {
        Self::new(&["10.0.2.2", "fd00::2"], true)
    }

    /// Sends a payload with an already built transport header.
    fn send(&mut self, dst: &str, protocol: u8, packet: Packet) {
        let path = self.ip.route(address(dst), None).unwrap();
        let header = Header {
            src: path.src,
            dst: address(dst),
            protocol,
            ttl: 64,
            tos: 2,
            dont_fragment: true,
        };
        self.ip.output(NOW, &path, &header, packet, &mut self.counters);
    }

    fn send_udp(&mut self, dst: &str, payload: &'static [u8]) {
        let mut packet = Packet::with_payload(Bytes::from_static(payload));
        udp::build(&mut packet.head, 1_000, 2_000, payload.len());
        packet.meta.csum = Csum::Partial;
        self.send(dst, protocol::UDP, packet);
    }

    fn send_echo(&mut self, dst: &str, payload: &'static [u8]) {
        let family = if address(dst).is_ipv4() {
            icmp::Family::V4
        } else {
            icmp::Family::V6
        };
        let protocol = if address(dst).is_ipv4() {
            protocol::ICMP
        } else {
            protocol::ICMPV6
        };
        let mut packet = Packet::with_payload(Bytes::from_static(payload));
        icmp::build(
            &mut packet.head,
            family,
            icmp::Message::EchoRequest { ident: 7, sequence: 8 },
        );
        packet.meta.csum = Csum::Partial;
        self.send(dst, protocol, packet);
    }

    fn sent(&mut self, interface: InterfaceId) -> Vec<Packet> {
        let mut out = VecDeque::new();
        self.ip.poll_transmit(NOW, interface, &mut out, usize::MAX);
        out.into()
    }

    fn input(&mut self, interface: InterfaceId, packet: Packet) -> Result<Delivery, DropReason> {
        self.ip
            .input(NOW, interface, packet, &mut self.counters, &self.settings)
    }

    fn input_bytes(&mut self, bytes: &[u8]) -> Result<Delivery, DropReason> {
        self.input(ETH, packet_from_bytes(Bytes::copy_from_slice(bytes), Medium::Ip))
    }
}

/// The bytes of a packet as a wire would carry them.
fn on_wire(mut packet: Packet) -> Vec<u8> {
    gso::finish(&mut packet);
    packet.to_vec()
}

fn datagram(delivery: Result<Delivery, DropReason>) -> Datagram {
    match delivery {
        Ok(Delivery::Datagram(datagram)) => datagram,
        other => panic!("{other:?}"),
    }
}

#[test]
fn datagrams_arrive_by_any_split() {
    for dst in ["10.0.2.2", "fd00::2"] {
        let (mut program, mut gateway) = (Node::program(), Node::gateway());
        program.send_udp(dst, b"hello");
        let packet = program.sent(ETH).pop().unwrap();
        let bytes = on_wire(packet.clone());
        let mut variants = vec![packet];
        variants.push(packet_from_bytes(bytes.clone().into(), Medium::Ip));
        for split in 0..bytes.len() {
            let mut packet = Packet {
                head: crate::packet::Head::from_slice(&bytes[..split]),
                ..Packet::default()
            };
            let middle = split + (bytes.len() - split) / 2;
            packet.push_payload(Bytes::copy_from_slice(&bytes[split..middle]));
            packet.push_payload(Bytes::copy_from_slice(&[&bytes[middle..], b"padding"].concat()));
            variants.push(packet);
        }
        for packet in variants {
            let got = datagram(gateway.input(ETH, packet));
            let l4 = usize::from(got.packet.meta.l4);
            assert_eq!(
                (got.dst, got.protocol, got.ttl, got.tos),
                (address(dst), protocol::UDP, 64, 2)
            );
            assert_eq!(got.packet.head.len(), l4 + udp::HEADER_LEN);
            assert_eq!(got.packet.body.concat(), b"hello");
            assert_eq!(got.packet.meta.len, 5);
        }
    }
}

#[test]
fn echo_is_answered_for_our_own_addresses() {
    for (dst, answered) in [
        ("10.0.2.2", true),
        ("fd00::2", true),
        ("192.0.2.1", false),
        ("2001:db8::1", false),
    ] {
        let (mut program, mut gateway) = (Node::program(), Node::gateway());
        for (network, via) in [("0.0.0.0", "10.0.2.2"), ("::", "fd00::2")] {
            let route = Route {
                network: address(network),
                prefix: 0,
                via: Some(address(via)),
                interface: ETH,
            };
            program.ip.add_route(&route);
        }
        program.send_echo(dst, b"ping");
        let bytes = on_wire(program.sent(ETH).pop().unwrap());
        let delivery = gateway.input_bytes(&bytes);
        if !answered {
            assert_eq!(datagram(delivery).dst, address(dst));
            continue;
        }
        assert!(matches!(delivery, Ok(Delivery::Consumed)));
        let reply = on_wire(gateway.sent(ETH).pop().unwrap());
        let got = datagram(program.input_bytes(&reply));
        assert_eq!(got.src, address(dst));
        let family = if got.src.is_ipv4() {
            icmp::Family::V4
        } else {
            icmp::Family::V6
        };
        let header = &got.packet.head.as_slice()[usize::from(got.packet.meta.l4)..];
        assert_eq!(
            icmp::parse(family, header),
            Ok(icmp::Message::EchoReply { ident: 7, sequence: 8 })
        );
        assert_eq!(got.packet.body.concat(), b"ping");
    }
}

#[test]
fn our_own_addresses_are_behind_the_loopback() {
    let mut node = Node::program();
    for (dst, src) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.9.9.9", "127.0.0.1"),
        ("10.0.2.15", "10.0.2.15"),
        ("::1", "::1"),
    ] {
        node.send_udp(dst, b"to myself");
        let packet = node.sent(InterfaceId::LOOPBACK).pop().unwrap();
        let got = datagram(node.input(InterfaceId::LOOPBACK, packet));
        assert_eq!((got.src, got.dst), (address(src), address(dst)));
    }
}

#[test]
fn errors_come_back_with_what_they_are_about() {
    for (dst, why) in [
        ("10.0.2.2", Unreachable::Port),
        ("10.0.2.2", Unreachable::TooBig(1_400)),
        ("10.0.2.2", Unreachable::HopLimit),
        ("fd00::2", Unreachable::Port),
        ("fd00::2", Unreachable::TooBig(1_400)),
        ("fd00::2", Unreachable::Protocol),
    ] {
        let (mut program, mut gateway) = (Node::program(), Node::gateway());
        program.send_udp(dst, b"hello");
        let about = datagram(gateway.input(ETH, program.sent(ETH).pop().unwrap()));
        gateway.ip.unreachable(NOW, &about, why, &mut gateway.counters);
        let bytes = on_wire(gateway.sent(ETH).pop().unwrap());
        let Ok(Delivery::Error(error)) = program.input_bytes(&bytes) else {
            panic!("{dst} {why:?}")
        };
        assert_eq!(
            (error.kind, error.protocol, error.remote, error.from),
            (why, protocol::UDP, address(dst), address(dst))
        );
        assert!(program.ip.is_local(error.local));
        assert_eq!(udp::parse(&error.quoted).unwrap().destination, 2_000);
        assert_eq!(&error.quoted[8..], b"hello");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn who_may_send_what_to_whom() {
    let local = |route_localnet, any_address| {
        let mut node = Node::new(&["10.0.2.15", "fd00::15"], any_address);
        node.settings.route_localnet = route_localnet;
        node
    };
    for (case, src, dst, want) in [
        ("to us", "10.0.2.2", "10.0.2.15", [None, None, None]),
        (
            "to others",
            "10.0.2.2",
            "192.0.2.1",
            [Some(DropReason::NotForUs), Some(DropReason::NotForUs), None],
        ),
        ("to the network", "10.0.2.2", "10.0.2.255", [None, None, None]),
        ("to everybody", "10.0.2.2", "255.255.255.255", [None, None, None]),
        (
            "to a group we are not in",
            "10.0.2.2",
            "224.0.0.9",
            [Some(DropReason::NotForUs); 3],
        ),
        ("to all hosts", "10.0.2.2", "224.0.0.1", [None; 3]),
        (
            "from loopback",
            "127.0.0.1",
            "10.0.2.15",
            [Some(DropReason::Martian), None, Some(DropReason::Martian)],
        ),
        (
            "to loopback",
            "10.0.2.2",
            "127.0.0.1",
            [Some(DropReason::Martian), None, Some(DropReason::Martian)],
        ),
        ("from a group", "224.0.0.1", "10.0.2.15", [Some(DropReason::Martian); 3]),
        (
            "from the network",
            "10.0.2.255",
            "10.0.2.15",
            [Some(DropReason::Martian); 3],
        ),
        ("from nobody", "0.0.0.0", "10.0.2.15", [Some(DropReason::Martian); 3]),
        (
            "from ourselves",
            "10.0.2.15",
            "10.0.2.15",
            [Some(DropReason::Martian), Some(DropReason::Martian), None],
        ),
        ("v6 to us", "fd00::2", "fd00::15", [None; 3]),
        (
            "v6 to others",
            "fd00::2",
            "2001:db8::1",
            [Some(DropReason::NotForUs), Some(DropReason::NotForUs), None],
        ),
        ("v6 solicited node", "fd00::2", "ff02::1:ff00:15", [None; 3]),
        (
            "v6 other solicited node",
            "fd00::2",
            "ff02::1:ff00:16",
            [Some(DropReason::NotForUs); 3],
        ),
        ("v6 from nobody", "::", "fd00::15", [Some(DropReason::Martian); 3]),
        (
            "v6 mapped",
            "::ffff:10.0.2.2",
            "fd00::15",
            [Some(DropReason::Martian); 3],
        ),
    ] {
        let nodes = [local(false, false), local(true, false), local(false, true)];
        for (mut node, want) in nodes.into_iter().zip(want) {
            let mut packet = Packet::with_payload(Bytes::from_static(b"x"));
            udp::build(&mut packet.head, 1, 2, 1);
            packet.meta.csum = Csum::Partial;
            let (src, dst) = (address(src), address(dst));
            let header = Header {
                src,
                dst,
                protocol: 17,
                ttl: 1,
                tos: 0,
                dont_fragment: false,
            };
            assert!(node.ip.prepend(&header, &mut packet));
            assert_eq!(node.input(ETH, packet).err(), want, "{case}");
        }
    }
}

#[test]
fn fragments_in_any_order_become_the_datagram() {
    let mut rng = Keys::new(6, "fragments").stream("test");
    for round in 0..200 {
        let dst = ["10.0.2.2", "fd00::2"][round % 2];
        let (mut program, mut gateway) = (Node::program(), Node::gateway());
        let payload: Vec<u8> = (0..1_500 + below(&mut rng, 64_000) as u32)
            .map(|n| (n * 7 / 3) as u8)
            .collect();
        let mut packet = Packet::with_payload(payload.clone().into());
        udp::build(&mut packet.head, 1_000, 2_000, payload.len());
        packet.meta.csum = Csum::Partial;
        let path = program.ip.route(address(dst), None).unwrap();
        let header = Header {
            src: path.src,
            dst: address(dst),
            protocol: 17,
            ttl: 64,
            tos: 0,
            dont_fragment: false,
        };
        program.ip.output(NOW, &path, &header, packet, &mut program.counters);
        let mut fragments = program.sent(ETH);
        assert_eq!(program.counters.frag_creates, fragments.len() as u64);
        assert!(fragments.iter().all(|fragment| fragment.total_len() <= 1_500));
        let mut whole = None;
        while !fragments.is_empty() {
            let at = below(&mut rng, fragments.len() as u64) as usize;
            let packet = packet_from_bytes(on_wire(fragments.swap_remove(at)).into(), Medium::Ip);
            match gateway.input(ETH, packet) {
                Ok(Delivery::Consumed) => {}
                other => whole = Some(datagram(other)),
            }
        }
        assert_eq!(whole.unwrap().packet.body.concat(), payload);
        assert_eq!(gateway.counters.reasm_oks, 1);
    }
}

#[test]
fn a_first_fragment_alone_is_told_of() {
    for dst in ["10.0.2.2", "fd00::2"] {
        let (mut program, mut gateway) = (Node::program(), Node::gateway());
        let path = program.ip.route(address(dst), None).unwrap();
        let header = Header {
            src: path.src,
            dst: address(dst),
            protocol: 17,
            ttl: 64,
            tos: 0,
            dont_fragment: false,
        };
        let mut packet = Packet::with_payload(vec![1; 3_000].into());
        udp::build(&mut packet.head, 1_000, 2_000, 3_000);
        packet.meta.csum = Csum::Partial;
        program.ip.output(NOW, &path, &header, packet, &mut program.counters);
        let first = program.sent(ETH).remove(0);
        assert!(matches!(gateway.input(ETH, first), Ok(Delivery::Consumed)));
        let due = gateway.ip.poll_timeout().unwrap();
        assert_eq!(due, NOW + gateway.settings.ipfrag_time);
        gateway.ip.handle_timeout(due, &mut gateway.counters);
        assert_eq!(gateway.ip.poll_timeout(), None);
        assert_eq!(gateway.counters.drops(DropReason::ReassemblyTimeout), 1);
        let report = on_wire(gateway.sent(ETH).pop().unwrap());
        let Ok(Delivery::Error(error)) = program.input_bytes(&report) else {
            panic!("{dst}")
        };
        assert_eq!(
            (error.kind, error.icmp_code, error.remote),
            (Unreachable::HopLimit, 1, address(dst))
        );
        assert_eq!(udp::parse(&error.quoted).unwrap().destination, 2_000);
    }
}

#[test]
fn no_bytes_do_harm() {
    let mut rng = Keys::new(5, "ip").stream("test");
    let (mut program, mut gateway) = (Node::program(), Node::gateway());
    let mut seeds = Vec::new();
    let mut delivered = 0;
    for dst in ["10.0.2.2", "fd00::2"] {
        program.send_udp(dst, b"some payload that is mutated");
        program.send_echo(dst, b"some payload that is mutated");
    }
    for packet in program.sent(ETH) {
        seeds.push(on_wire(packet.clone()));
        if let Ok(Delivery::Datagram(about)) = gateway.input(ETH, packet) {
            gateway
                .ip
                .unreachable(NOW, &about, Unreachable::Port, &mut gateway.counters);
        }
    }
    seeds.extend(gateway.sent(ETH).into_iter().map(on_wire));
    for n in 0..100_000_u32 {
        let mut bytes = seeds[below(&mut rng, seeds.len() as u64) as usize].clone();
        if n % 4 == 0 {
            rng.fill_bytes(&mut bytes);
            bytes[0] = if n % 8 == 0 { 0x45 } else { 0x60 };
        }
        for _ in 0..below(&mut rng, 4) {
            let at = below(&mut rng, bytes.len() as u64) as usize;
            bytes[at] = rng.next_u32() as u8;
        }
        if n % 4 == 1 {
            bytes.truncate(below(&mut rng, bytes.len() as u64 + 1) as usize);
        }
        let mut packet = packet_from_bytes(bytes.into(), Medium::Ip);
        // Checksums let hardly anything through: believe half of them.
        if n & 2 == 0 {
            packet.meta.csum = Csum::Verified;
        }
        if let Ok(Delivery::Datagram(about)) = gateway.input(ETH, packet) {
            delivered += 1;
            gateway
                .ip
                .unreachable(NOW, &about, Unreachable::Protocol, &mut gateway.counters);
        }
        gateway.sent(ETH);
        gateway.sent(InterfaceId::LOOPBACK);
    }
    assert!(delivered > 1_000);
}
