//! IP, ICMP and UDP between two hosts: ping, errors, fragments, neighbours.

use bytes::Bytes;
use sockeye_core::error::SocketError;
use sockeye_core::netem::Netem;
use sockeye_core::sim::{Flows, HostId, LinkConfig, LinkId, LinkMedium, Part, Plan, Sim};
use sockeye_core::socket::{BindOptions, Outgoing, RawId, Received, UdpId, UdpOptions};
use sockeye_core::time::{MS, SECOND};
use std::net::{IpAddr, SocketAddr};

/// Both families over both media.
const WAYS: [(bool, LinkMedium); 4] = [
    (false, LinkMedium::Ip),
    (true, LinkMedium::Ip),
    (false, LinkMedium::Ethernet),
    (true, LinkMedium::Ethernet),
];

fn pair(seed: u64, netem: &str, medium: LinkMedium) -> (Sim, HostId, HostId, LinkId) {
    let mut sim = Sim::new(seed);
    let (a, b) = (sim.host("a"), sim.host("b"));
    let config = LinkConfig {
        medium,
        ..LinkConfig::both(netem.parse().expect("a good line"))
    };
    let link = sim.connect(a, b, &config);
    (sim, a, b, link)
}

fn any(v6: bool) -> SocketAddr {
    SocketAddr::new(if v6 { [0_u16; 8].into() } else { [0_u8; 4].into() }, 0)
}

fn udp(sim: &mut Sim, host: HostId, local: SocketAddr) -> UdpId {
    sim.on(host, |host, _| host.udp_bind(local, BindOptions::default()))
        .expect("the port is free")
}

fn send(sim: &mut Sim, host: HostId, from: UdpId, to: SocketAddr, data: Bytes) {
    let datagram = Outgoing {
        to: Some(to),
        data,
        ..Outgoing::default()
    };
    sim.on(host, |host, now| host.udp_send(now, from, datagram))
        .expect("it can be sent");
}

fn received(sim: &mut Sim, host: HostId, id: UdpId) -> Option<Received> {
    sim.on(host, |host, _| host.udp_recv(id))
}

/// An echo request, as a ping socket wants it: the whole ICMP message, whose identifier the host fills in.
fn ping(sim: &mut Sim, host: HostId, id: RawId, to: IpAddr, sequence: u16, payload: &[u8]) {
    let mut data = vec![if to.is_ipv6() { 128 } else { 8 }, 0, 0, 0, 0, 0];
    data.extend_from_slice(&sequence.to_be_bytes());
    data.extend_from_slice(payload);
    let datagram = Outgoing {
        to: Some(SocketAddr::new(to, 0)),
        data: Bytes::from(data),
        ..Outgoing::default()
    };
    sim.on(host, |host, now| host.raw_send(now, id, datagram))
        .expect("it can be sent");
}

#[test]
fn ping_is_answered() {
    for (v6, medium) in WAYS {
        let (mut sim, a, b, link) = pair(1, "delay 10ms", medium);
        let to = sim.address(b, link, v6);
        let id = sim
            .on(a, |host, _| host.ping_open(any(v6)))
            .expect("identifiers are free");
        ping(&mut sim, a, id, to, 7, b"are you there?");
        sim.run_for(SECOND);
        let reply = sim
            .on(a, |host, _| host.raw_recv(id))
            .unwrap_or_else(|| panic!("no reply, v6 {v6} {medium:?}"));
        assert_eq!(reply.from.ip(), to);
        assert!(reply.data.ends_with(b"are you there?"), "{:?}", reply.data);
        assert_eq!(reply.data[0], if v6 { 129 } else { 0 });
        assert_eq!(reply.data[6..8], [0, 7]);
    }
}

#[test]
fn large_pings_are_fragmented_and_put_together() {
    for (v6, medium) in WAYS {
        let (mut sim, a, b, link) = pair(2, "", medium);
        let to = sim.address(b, link, v6);
        let id = sim
            .on(a, |host, _| host.ping_open(any(v6)))
            .expect("identifiers are free");
        let payload: Vec<u8> = (0..5_000_u32).map(|i| i as u8).collect();
        ping(&mut sim, a, id, to, 1, &payload);
        sim.run_for(SECOND);
        let reply = sim
            .on(a, |host, _| host.raw_recv(id))
            .unwrap_or_else(|| panic!("no reply, v6 {v6} {medium:?}"));
        assert!(reply.data.ends_with(&payload));
        assert_eq!(
            (sim.look(a).counters().reasm_oks, sim.look(b).counters().reasm_oks),
            (1, 1)
        );
    }
}

#[test]
fn a_port_nobody_holds_is_reported() {
    for (v6, medium) in WAYS {
        let (mut sim, a, b, link) = pair(3, "delay 1ms", medium);
        let to = SocketAddr::new(sim.address(b, link, v6), 9);
        let id = udp(&mut sim, a, any(v6));
        sim.on(a, |host, _| host.udp_connect(id, Some(to)))
            .expect("a route exists");
        sim.on(a, |host, now| {
            host.udp_send(
                now,
                id,
                Outgoing {
                    data: Bytes::from_static(b"x"),
                    ..Outgoing::default()
                },
            )
        })
        .expect("it can be sent");
        sim.run_for(SECOND);
        let error = sim.on(a, |host, _| host.udp_take_error(id));
        assert_eq!(error, Some(SocketError::ConnectionRefused), "v6 {v6} {medium:?}");
        assert_eq!(sim.look(b).counters().udp_no_ports, 1);
    }
}

#[test]
fn datagrams_arrive_whole_or_not_at_all() {
    for (seed, (v6, medium)) in (4..).zip(WAYS) {
        let (mut sim, a, b, link) = pair(seed, "loss 5% duplicate 5% corrupt 2% delay 5ms jitter 3ms", medium);
        let (from, to) = (
            udp(&mut sim, a, any(v6)),
            udp(&mut sim, b, SocketAddr::new(any(v6).ip(), 4000)),
        );
        let there = SocketAddr::new(sim.address(b, link, v6), 4000);
        let size = |n: u32| [10, 1_000, 4_000, 20_000][n as usize % 4] + n as usize;
        let sent = 400;
        let mut counts = vec![0_u32; sent as usize];
        for n in 0..sent {
            let mut data = vec![n as u8; size(n)];
            data[..4].copy_from_slice(&n.to_be_bytes());
            send(&mut sim, a, from, there, Bytes::from(data));
            sim.run_for(20 * MS);
            while let Some(datagram) = received(&mut sim, b, to) {
                let n = u32::from_be_bytes(datagram.data[..4].try_into().expect("four bytes"));
                assert_eq!(datagram.data.len(), size(n));
                assert!(
                    datagram.data[4..].iter().all(|byte| *byte == n as u8),
                    "datagram {n} is damaged"
                );
                counts[n as usize] += 1;
            }
        }
        let whole = counts.iter().filter(|count| **count > 0).count();
        let twice = counts.iter().filter(|count| **count > 1).count();
        // A datagram of 20,000 bytes is 14 fragments; each gets through 93 times of 100.
        assert!(
            (200..400).contains(&whole),
            "{whole} of {sent} arrived, v6 {v6} {medium:?}"
        );
        assert!(twice > 0, "not one duplicate");
        // Incomplete ones are not kept for ever.
        sim.run_for(120 * SECOND);
        let reassembled = sim.look(b).counters().reasm_oks;
        assert!(reassembled > 80, "{reassembled}");
    }
}

#[test]
fn too_big_is_learnt_and_kept_to() {
    for (v6, medium) in WAYS {
        let (mut sim, a, b, link) = pair(5, "mtu 1300", medium);
        let (from, to) = (
            udp(&mut sim, a, any(v6)),
            udp(&mut sim, b, SocketAddr::new(any(v6).ip(), 4000)),
        );
        let there = SocketAddr::new(sim.address(b, link, v6), 4000);
        // The first is too big and reported back; the ones after it go in fragments that fit.
        for n in 0..5 {
            send(&mut sim, a, from, there, Bytes::from(vec![n; 1_400]));
            sim.run_for(SECOND);
        }
        let arrived: Vec<u8> = std::iter::from_fn(|| received(&mut sim, b, to))
            .map(|datagram| datagram.data[0])
            .collect();
        assert_eq!(arrived, [1, 2, 3, 4], "v6 {v6} {medium:?}");
        assert_eq!(sim.netem(link).0.too_big, 1);
        // One that may not be fragmented is refused here.
        sim.on(a, |host, _| {
            let options = UdpOptions {
                dont_fragment: true,
                ..UdpOptions::default()
            };
            host.udp_set_options(from, options);
        });
        let datagram = Outgoing {
            to: Some(there),
            data: Bytes::from(vec![9; 1_400]),
            ..Outgoing::default()
        };
        let refused = sim.on(a, |host, now| host.udp_send(now, from, datagram));
        assert_eq!(
            refused,
            Err(sockeye_core::error::SendError::MessageTooLong),
            "v6 {v6} {medium:?}"
        );
    }
}

/// RFC 1191 §3, RFC 8201 §4: one connection learns, the next one knows.
#[test]
fn connections_learn_what_the_path_carries() {
    for (v6, medium) in WAYS {
        let (mut sim, a, b, link) = pair(8, "mtu 1300 delay 5ms", medium);
        let there = sim.address(b, link, v6);
        let mut too_big = [0; 2];
        for (reports, port) in too_big.iter_mut().zip(80..) {
            let mut flows = Flows::new();
            let plan = Plan {
                client: a,
                server: b,
                to: SocketAddr::new(there, port),
                up: Part::sends(200_000),
                down: Part::sends(0),
                excused: None,
            };
            flows.start(&mut sim, plan);
            flows
                .run(&mut sim, 20 * SECOND)
                .unwrap_or_else(|stuck| panic!("v6 {v6} {medium:?}: {stuck}"));
            *reports = sim.netem(link).0.too_big;
        }
        assert!(
            too_big[0] > 0 && too_big[1] == too_big[0],
            "{too_big:?}, v6 {v6} {medium:?}"
        );
    }
}

#[test]
fn a_neighbour_that_does_not_answer_is_given_up() {
    for v6 in [false, true] {
        let (mut sim, a, _, _) = pair(6, "", LinkMedium::Ethernet);
        let nobody: IpAddr = if v6 { "fd00::9".parse() } else { "10.0.0.9".parse() }.expect("an address");
        let id = udp(&mut sim, a, any(v6));
        let recverr = UdpOptions {
            recverr: true,
            ..UdpOptions::default()
        };
        sim.on(a, |host, _| host.udp_set_options(id, recverr));
        sim.on(a, |host, _| host.udp_connect(id, Some(SocketAddr::new(nobody, 9))))
            .expect("a route exists");
        for _ in 0..10 {
            let datagram = Outgoing {
                data: Bytes::from_static(b"hello?"),
                ..Outgoing::default()
            };
            let _ = sim.on(a, |host, now| host.udp_send(now, id, datagram));
        }
        sim.run_for(60 * SECOND);
        let error = sim.on(a, |host, _| host.udp_take_error(id));
        assert_eq!(error, Some(SocketError::HostUnreachable), "v6 {v6}");
    }
}

#[test]
fn neighbours_are_found_on_a_lossy_link() {
    let mut found = 0;
    for seed in 0..20 {
        let (mut sim, a, b, link) = pair(seed, "loss 20% duplicate 10%", LinkMedium::Ethernet);
        let v6 = seed % 2 == 1;
        let (from, to) = (
            udp(&mut sim, a, any(v6)),
            udp(&mut sim, b, SocketAddr::new(any(v6).ip(), 4000)),
        );
        let there = SocketAddr::new(sim.address(b, link, v6), 4000);
        for _ in 0..10 {
            send(&mut sim, a, from, there, Bytes::from_static(b"hello"));
            sim.run_for(SECOND);
        }
        found += usize::from(received(&mut sim, b, to).is_some());
    }
    assert_eq!(found, 20);
}

#[test]
fn an_outage_drops_all_and_then_nothing() {
    let (mut sim, a, b, link) = pair(7, "blackhole 1s..2s", LinkMedium::Ip);
    let (from, to) = (
        udp(&mut sim, a, any(false)),
        udp(&mut sim, b, SocketAddr::new(any(false).ip(), 4000)),
    );
    let there = SocketAddr::new(sim.address(b, link, false), 4000);
    for n in 0..30_u8 {
        send(&mut sim, a, from, there, Bytes::from(vec![n]));
        sim.run_for(100 * MS);
    }
    let arrived: Vec<u8> = std::iter::from_fn(|| received(&mut sim, b, to))
        .map(|datagram| datagram.data[0])
        .collect();
    let want: Vec<u8> = (0..10).chain(20..30).collect();
    assert_eq!(arrived, want);
    sim.set_netem(a, link, &Netem::NONE);
    send(&mut sim, a, from, there, Bytes::from_static(&[99]));
    sim.run_for(MS);
    assert_eq!(received(&mut sim, b, to).map(|datagram| datagram.data[0]), Some(99));
}
