//! Attacks from and about the link: neighbours that do not exist, and two stacks made to argue.

use crate::target::*;
use crate::wire::Wire;
use sockeye_core::time::{MS, SECOND};

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// RFC 6583 §7: a scan of a network of 2^64 addresses through a host that has to answer. Questions, packets that wait for them and entries are few,
/// and a neighbour that is in use is not pushed out.
#[test]
fn a_scan_does_not_exhaust_the_neighbour_cache() {
    let mut host = Host::new(HostConfig {
        seed: 3,
        settings: Settings {
            tcp_max_syn_backlog: 256,
            ..Settings::default()
        },
        ..HostConfig::default()
    });
    let link = host.add_interface(InterfaceConfig {
        name: "eth0".to_owned(),
        medium: Medium::Ethernet { address: OURS },
        mtu: 1_500,
        gso: false,
        addresses: vec![([0xfd00, 0, 0, 0, 0, 0, 0, 1].into(), 64), (VICTIM.into(), 8)],
    });
    let mut now = Instant::from_millis(1_000);
    let any = SocketAddr::from(([0_u16; 8], 80));
    let binding = host.tcp_bind(any, BindOptions::default()).expect("free");
    let _ = host.tcp_listen(now, binding, 128, TcpOptions::default()).expect("free");
    let pool = sockeye_core::buf::Pool::new(1 << 20);
    let mut out = VecDeque::new();
    let (mut questions, mut answers, mut most) = (0, 0, 0);
    let honest = Ipv4Addr::new(10, 0, 0, 9);
    frame(&mut host, now, link, 0x806, &arp(1, honest));
    for n in 0..50_000_u32 {
        // A spoofed SYN from an address that is nobody's: the answer has to ask for it.
        let from = Ipv4Addr::from(0x0a40_0000 + n);
        let syn = Header {
            source: 1_024,
            destination: 80,
            seq: n,
            flags: Flags::SYN,
            window: 1_000,
            ..Header::default()
        };
        let mut head = Packet::default();
        build(&mut head.head, &syn, &Remote::OPTIONS);
        let bytes = ip(from, VICTIM, 6, 0, 0, head.head.as_slice());
        let padded = pool.copy_from_slice(&[&OURS[..], &THEIRS, &[8, 0], &bytes].concat());
        let mut packet = packet_from_bytes(padded, Medium::Ethernet { address: OURS });
        packet.meta.csum = Csum::Verified;
        host.receive(now, link, &mut vec![packet]);
        if n % 100 == 0 {
            now += MS;
            host.handle_timeout(now);
            // The honest neighbour's pings go on.
            let echo = ip(honest, VICTIM, 1, 0, 0, &[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
            frame(&mut host, now, link, 0x800, &echo);
        }
        host.poll_transmit(now, link, &mut out, usize::MAX >> 1);
        for packet in out.drain(..) {
            let bytes = packet.to_vec();
            questions += u32::from(bytes[12..14] == [8, 6]);
            answers += u32::from(bytes[..6] == THEIRS && bytes[12..14] == [8, 0]);
        }
        most = most.max(host.memory().total());
    }
    assert!(most <= 256 * 72, "{most} bytes of TCP for addresses that are nobody's");
    assert!(questions <= 1_000 * 2, "{questions} questions within half a second");
    assert_eq!(answers, 500, "the honest neighbour was pushed out");
    assert!(host.counters().drops(DropReason::NoNeighbor) > 40_000);
    // Nothing is left of it when the questions are given up.
    for _ in 0..10 {
        now += SECOND;
        host.handle_timeout(now);
        host.poll_transmit(now, link, &mut out, usize::MAX >> 1);
        out.clear();
    }
    assert_eq!(pool.outstanding(), 0);
}

fn frame(host: &mut Host, now: Instant, link: InterfaceId, kind: u16, payload: &[u8]) {
    let bytes = [&OURS[..], &THEIRS, &kind.to_be_bytes(), payload].concat();
    let mut packet = packet_from_bytes(Bytes::from(bytes), Medium::Ethernet { address: OURS });
    packet.meta.csum = Csum::Verified;
    host.receive(now, link, &mut vec![packet]);
}

/// An ARP packet from `from`, who asks for the host. RFC 826.
fn arp(operation: u8, from: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
    bytes.extend_from_slice(&THEIRS);
    bytes.extend_from_slice(&from.octets());
    bytes.extend_from_slice(&OURS);
    bytes.extend_from_slice(&VICTIM.octets());
    bytes
}

/// ACK loop (RFC 5961 §7): one spoofed segment to each side makes both believe that the other is out of step. Two of us do not argue about it.
#[test]
fn two_stacks_do_not_argue() {
    let mut wire = Wire::new([Settings::default(), Settings::default()]);
    let (a, b) = wire.connect(false, Default::default());
    wire.run(SECOND);
    wire.seen.clear();
    let ends = [(0, a), (1, b)].map(|(host, id)| v4(wire.hosts[host].tcp_local(id)));
    for round in 0..50_u32 {
        for host in 0..2 {
            let (to, from) = (ends[host], ends[1 - host]);
            let header = Header {
                source: from.port(),
                destination: to.port(),
                seq: round.wrapping_mul(70_000_000),
                ack: round.wrapping_mul(90_000_000),
                flags: Flags::ACK,
                window: 500,
                ..Header::default()
            };
            let mut head = Packet::default();
            build(&mut head.head, &header, &NO_OPTIONS);
            let bytes = ip(*from.ip(), *to.ip(), 6, 0, 0, head.head.as_slice());
            let mut packet = packet_from_bytes(Bytes::from(bytes), Medium::Ip);
            packet.meta.csum = Csum::Verified;
            wire.arrive(host, packet);
        }
        wire.run(100 * MS);
    }
    // Five seconds, one answer a half second each, and what those answers cause.
    assert!(wire.seen.len() <= 50, "{} segments for 100", wire.seen.len());
    let took = wire.transfer(0, a, b, 100_000, SECOND);
    assert!(took < SECOND);
}
