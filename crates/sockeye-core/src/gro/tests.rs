//! Segmentation and coalescing against each other: what one splits the other puts together again.

use super::*;
use crate::gso;
use crate::host::Medium;
use crate::keys::{Keys, below};
use crate::packet::Head;
use crate::wire::{self, packet_from_bytes, tcp};
use bytes::Bytes;
use rand::Rng as _;
use std::collections::VecDeque;
use std::net::Ipv6Addr;

/// A super-segment of `len` bytes from one of several ports, with a body in uneven slices.
fn super_segment(v6: bool, port: u16, seq: u32, len: usize, mss: u16) -> Packet {
    let mut packet = Packet::default();
    let payload: Vec<u8> = (0..len).map(|n| (n + n / 251) as u8).collect();
    let mut rest = Bytes::from(payload);
    while !rest.is_empty() {
        packet.push_payload(rest.split_to(rest.len().min(4_000)));
    }
    let flags = Flags::ACK.and(Flags::PSH);
    let header = tcp::Header {
        source: port,
        destination: 80,
        seq,
        ack: 9,
        flags,
        window: 500,
        urgent: 0,
    };
    let timestamps = Some(tcp::Timestamps { value: 7, echo: 8 });
    tcp::build(
        &mut packet.head,
        &header,
        &tcp::Options {
            timestamps,
            ..tcp::Options::default()
        },
    );
    with_ip(&mut packet.head, v6, protocol::TCP, len);
    packet.meta.l4 = if v6 { 40 } else { 20 };
    packet.meta.csum = Csum::Partial;
    packet.meta.gso = Gso::Tcp { mss };
    packet
}

fn with_ip(head: &mut Head, v6: bool, protocol: u8, payload: usize) {
    let transport = head.len() + payload;
    if v6 {
        let (src, dst) = (Ipv6Addr::from([0xfd; 16]), Ipv6Addr::from([0xfe; 16]));
        let payload_len = transport as u16;
        let (traffic_class, flow_label, next_header, hop_limit) = (2, 0, protocol, 64);
        ipv6::build(
            head,
            &ipv6::Header {
                traffic_class,
                flow_label,
                payload_len,
                next_header,
                hop_limit,
                src,
                dst,
            },
        );
    } else {
        let header = ipv4::Header {
            header_len: 20,
            tos: 2,
            total_len: (transport + 20) as u16,
            id: 100,
            dont_fragment: true,
            more_fragments: false,
            offset: 0,
            ttl: 64,
            protocol,
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
        };
        ipv4::build(head, &header);
    }
}

fn segmented(packet: Packet, mtu: u32) -> VecDeque<Packet> {
    let mut out = VecDeque::new();
    gso::segment(packet, mtu, &mut out);
    out
}

#[test]
fn split_and_merged_is_the_same() {
    for v6 in [false, true] {
        for (len, mss) in [
            (1, 1_448),
            (1_448, 1_448),
            (1_449, 1_448),
            (60_000, 1_448),
            (64_000, 1_000),
            (65_000, 65_000),
        ] {
            for from_wire in [false, true] {
                let original = super_segment(v6, 1, 0xffff_ff00, len, mss);
                let mut batch: Vec<Packet> = segmented(original.clone(), 1_500).into();
                assert_eq!(
                    batch.len(),
                    len.div_ceil(usize::from(mss.min(if v6 { 1_428 } else { 1_448 })))
                );
                if from_wire {
                    for packet in &mut batch {
                        gso::finish(packet);
                        *packet = packet_from_bytes(packet.to_vec().into(), Medium::Ip);
                    }
                }
                coalesce(&mut batch);
                assert_eq!(batch.len(), 1);
                gso::finish(&mut batch[0]);
                let mut original = original;
                gso::finish(&mut original);
                assert_eq!(
                    batch[0].to_vec(),
                    original.to_vec(),
                    "v6 {v6} len {len} mss {mss} wire {from_wire}"
                );
            }
        }
    }
}

#[test]
fn segments_are_right_one_by_one() {
    for v6 in [false, true] {
        let wire = segmented(super_segment(v6, 1, 1_000, 5_000, 1_400), 9_000);
        let mut seq = 1_000;
        let count = wire.len();
        for (nth, mut packet) in wire.into_iter().enumerate() {
            gso::finish(&mut packet);
            assert_eq!(packet.meta.csum, Csum::Full);
            let layout = Layout::find(packet.head.as_slice(), 0).unwrap();
            assert_eq!(transport_checksum(&packet, &layout), 0);
            let (header, _, _) = tcp::parse(&packet.head.as_slice()[layout.l4..]).unwrap();
            assert_eq!((header.seq, header.flags.has(Flags::PSH)), (seq, nth + 1 == count));
            if !v6 {
                let ip = ipv4::parse(packet.head.as_slice()).unwrap();
                assert!(ipv4::verify(&packet.head.as_slice()[..20]));
                assert_eq!(
                    (ip.id, usize::from(ip.total_len)),
                    (100 + nth as u16, packet.total_len())
                );
            }
            seq += packet.meta.len;
        }
        assert_eq!(seq, 6_000);
    }
}

#[test]
fn datagrams_split_by_size() {
    let mut packet = Packet::with_payload(Bytes::from(vec![7; 2_500]));
    wire::udp::build(&mut packet.head, 1, 2, 2_500);
    with_ip(&mut packet.head, false, protocol::UDP, 2_500);
    packet.meta.csum = Csum::Partial;
    packet.meta.gso = Gso::Udp { size: 1_000 };
    let lens = segmented(packet, 1_500).into_iter().map(|packet| {
        let udp = wire::udp::parse(&packet.head.as_slice()[20..]).unwrap();
        (usize::from(udp.len), packet.meta.len)
    });
    assert_eq!(lens.collect::<Vec<_>>(), [(1_008, 1_000), (1_008, 1_000), (508, 500)]);
}

/// Whatever is mixed, dropped and swapped: every flow's bytes stay, in the order in which they came.
#[test]
fn nothing_is_lost_or_overtaken() {
    let mut rng = Keys::new(1, "gro").stream("test");
    for round in 0..300 {
        let mut flows: Vec<VecDeque<Packet>> = (0..12)
            .map(|port| {
                segmented(
                    super_segment(port % 2 == 0, port, 5, 1 + below(&mut rng, 20_000) as usize, 1_000),
                    1_500,
                )
            })
            .collect();
        let mut batch = Vec::new();
        while flows.iter().any(|flow| !flow.is_empty()) {
            let flow = below(&mut rng, 12) as usize;
            let Some(mut packet) = flows[flow].pop_front() else {
                continue;
            };
            if below(&mut rng, 20) == 0 {
                flows[flow].push_back(packet.clone());
                continue;
            }
            if below(&mut rng, 2) == 0 {
                gso::finish(&mut packet);
            }
            batch.push(packet);
        }
        let expected = wires(&batch);
        let before = batch.len();
        coalesce(&mut batch);
        assert!(batch.len() < before);
        let split: Vec<Packet> = batch.into_iter().flat_map(|packet| segmented(packet, 1_500)).collect();
        assert_eq!(wires(&split), expected, "round {round}");
    }
}

/// Sequence numbers and payloads by port.
fn wires(batch: &[Packet]) -> Vec<Vec<(u32, Vec<u8>)>> {
    let mut ports = vec![Vec::new(); 12];
    for packet in batch {
        let layout = Layout::find(packet.head.as_slice(), 0).unwrap();
        let (header, _, _) = tcp::parse(&packet.head.as_slice()[layout.l4..]).unwrap();
        ports[usize::from(header.source)].push((header.seq, packet.body.concat()));
    }
    ports
}

#[test]
fn differences_are_kept() {
    let change = |at: usize, to: u8| move |packet: &mut Packet| packet.head.as_mut_slice()[at] = to;
    let same = |_: &mut Packet| {};
    for (case, first, second, want) in [
        ("alike", &same as &dyn Fn(&mut Packet), &same as &dyn Fn(&mut Packet), 1),
        ("type of service", &same, &change(1, 0), 2),
        ("hop limit", &same, &change(8, 63), 2),
        ("acknowledgment", &same, &change(31, 10), 2),
        ("window", &same, &change(35, 10), 2),
        ("timestamp", &same, &change(47, 10), 2),
        ("FIN", &same, &change(33, 0x11), 2),
        ("PSH on the first", &change(33, 0x18), &same, 2),
        ("PSH on the last", &same, &change(33, 0x18), 1),
        ("urgent", &same, &change(33, 0x30), 2),
        ("CWR", &change(33, 0x90), &same, 2),
        ("ECE", &same, &change(33, 0x50), 2),
        ("ECE on both", &change(33, 0x50), &change(33, 0x50), 1),
        ("a mark", &same, &change(1, 3), 2),
        ("a gap", &same, &change(27, 0), 2),
    ] {
        let mut batch: Vec<Packet> = segmented(super_segment(false, 1, 0, 3_000, 1_000), 1_500)
            .into_iter()
            .take(2)
            .collect();
        first(&mut batch[0]);
        second(&mut batch[1]);
        coalesce(&mut batch);
        assert_eq!(batch.len(), want, "{case}");
    }
    let mut batch: Vec<Packet> = segmented(super_segment(false, 1, 0, 2_000, 1_000), 1_500).into();
    for packet in &mut batch {
        gso::finish(packet);
    }
    batch[1].head.as_mut_slice()[36] ^= 1;
    coalesce(&mut batch);
    assert_eq!(
        (batch.len(), batch[1].meta.csum),
        (2, Csum::Full),
        "a wrong checksum is left to be found"
    );
}

/// Random and mutated bytes with any split and any offsets: nothing panics, and no payload appears from nowhere.
#[test]
fn no_packet_does_harm() {
    let mut rng = Keys::new(2, "gro").stream("test");
    for _ in 0..20_000 {
        let mut batch = Vec::new();
        for nth in 0..4_u32 {
            let mut bytes = super_segment(below(&mut rng, 2) == 0, 1, nth * 100, 100, 1_000).to_vec();
            for _ in 0..below(&mut rng, 4) {
                let at = below(&mut rng, bytes.len() as u64) as usize;
                bytes[at] = rng.next_u32() as u8;
            }
            bytes.truncate(below(&mut rng, 300) as usize);
            let split = below(&mut rng, bytes.len().min(128) as u64 + 1) as usize;
            let mut packet = Packet {
                head: Head::from_slice(&bytes[..split]),
                ..Packet::default()
            };
            packet.push_payload(Bytes::copy_from_slice(&bytes[split..]));
            (packet.meta.l3, packet.meta.l4) =
                [(0, 20), (0, 40), (rng.next_u32() as u8, rng.next_u32() as u8)][below(&mut rng, 3) as usize];
            packet.meta.csum = [Csum::Full, Csum::Partial, Csum::Verified][below(&mut rng, 3) as usize];
            packet.meta.gso = [
                Gso::None,
                Gso::Tcp {
                    mss: below(&mut rng, 60) as u16,
                },
                Gso::Udp {
                    size: below(&mut rng, 60) as u16,
                },
            ][below(&mut rng, 3) as usize];
            batch.push(packet);
        }
        let before: u32 = batch.iter().map(|packet| packet.meta.len).sum();
        coalesce(&mut batch);
        let mut wire: VecDeque<Packet> = batch.into_iter().flat_map(|packet| segmented(packet, 1_500)).collect();
        wire.iter_mut().for_each(gso::finish);
        assert_eq!(wire.iter().map(|packet| packet.meta.len).sum::<u32>(), before);
        assert_eq!(
            wire.iter()
                .flat_map(|packet| &packet.body)
                .map(Bytes::len)
                .sum::<usize>(),
            before as usize
        );
    }
}
