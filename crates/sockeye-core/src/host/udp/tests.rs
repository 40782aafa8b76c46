use crate::counters::DropReason;
use crate::error::{BindError, ConnectError, SendError, SocketError};
use crate::host::pair::{Pair, at, datagram};
use crate::host::{Host, HostConfig, InterfaceId, Medium};
use crate::packet::Csum;
use crate::socket::{BindOptions, Outgoing, SocketId, UdpId, UdpOptions};
use crate::wire;
use bytes::Bytes;

const PLAIN: BindOptions = BindOptions {
    reuse_address: false,
    reuse_port: false,
    only_v6: false,
    freebind: false,
    port_range: None,
};

fn bind(host: &mut Host, local: &str) -> UdpId {
    host.udp_bind(at(local), PLAIN).unwrap()
}

/// What waits, as "from>to:payload".
fn received(host: &mut Host, id: UdpId) -> Vec<String> {
    std::iter::from_fn(|| host.udp_recv(id))
        .map(|got| format!("{}>{} {}", got.from, got.to, String::from_utf8_lossy(&got.data)))
        .collect()
}

#[test]
fn datagrams_go_both_ways() {
    for (local, client, remote) in [
        ("10.0.0.2:53", "0.0.0.0:4000", "10.0.0.1:4000"),
        ("[fd00::2]:53", "[::]:4000", "[fd00::1]:4000"),
        ("10.0.0.2:53", "[::]:4000", "10.0.0.1:4000"),
        ("[::]:53", "0.0.0.0:4000", "10.0.0.1:4000"),
    ] {
        let mut pair = Pair::new();
        let server = bind(&mut pair.b, local);
        let client = bind(&mut pair.a, client);
        let local = if local.starts_with("[::]") {
            "10.0.0.2:53"
        } else {
            local
        };
        pair.a.udp_send(pair.now, client, datagram(local, b"question")).unwrap();
        pair.settle();
        assert_eq!(received(&mut pair.b, server), [format!("{remote}>{local} question")]);
        assert_eq!(
            pair.b.poll_event().map(|event| event.socket),
            Some(SocketId::Udp(server))
        );
        pair.b.udp_send(pair.now, server, datagram(remote, b"answer")).unwrap();
        pair.settle();
        assert_eq!(received(&mut pair.a, client), [format!("{local}>{remote} answer")]);
        assert_eq!(pair.a.counters().udp_in_datagrams, 1);
        assert_eq!(pair.b.counters().udp_out_datagrams, 1);
    }
}

#[test]
fn marks_and_addresses_of_one_datagram() {
    let mut pair = Pair::new();
    let server = bind(&mut pair.b, "0.0.0.0:53");
    let client = bind(&mut pair.a, "0.0.0.0:4000");
    pair.a.udp_set_options(
        client,
        UdpOptions {
            ttl: Some(9),
            tos: 0x10,
            ..UdpOptions::default()
        },
    );
    let mut marks = Vec::new();
    for (tos, ttl) in [(None, None), (Some(0xb8), Some(3))] {
        let to = Outgoing {
            tos,
            ttl,
            ..datagram("10.0.0.2:53", b"")
        };
        pair.a.udp_send(pair.now, client, to).unwrap();
        pair.settle();
        let got = pair.b.udp_recv(server).unwrap();
        assert!(got.data.is_empty());
        marks.push((got.tos, got.ttl, got.interface));
    }
    assert_eq!(marks, [(0x10, 9, pair.link.0), (0xb8, 3, pair.link.0)]);
    let strange = Outgoing {
        from: Some([10, 0, 0, 9].into()),
        ..datagram("10.0.0.2:53", b"")
    };
    assert_eq!(
        pair.a.udp_send(pair.now, client, strange),
        Err(SendError::AddressNotAvailable)
    );
}

#[test]
fn a_connected_socket_hears_its_remote_alone() {
    let mut pair = Pair::new();
    let one = bind(&mut pair.b, "10.0.0.2:1");
    let two = bind(&mut pair.b, "10.0.0.2:2");
    let client = bind(&mut pair.a, "0.0.0.0:0");
    pair.a.udp_connect(client, Some(at("10.0.0.2:1"))).unwrap();
    let local = pair.a.udp_local(client).unwrap();
    assert_eq!(
        (local.ip(), pair.a.udp_peer(client)),
        ([10, 0, 0, 1].into(), Some(at("10.0.0.2:1")))
    );
    assert!((49_152..=65_535).contains(&local.port()));
    pair.b
        .udp_send(pair.now, one, datagram(&local.to_string(), b"mine"))
        .unwrap();
    pair.b
        .udp_send(pair.now, two, datagram(&local.to_string(), b"stray"))
        .unwrap();
    pair.settle();
    assert_eq!(received(&mut pair.a, client), [format!("10.0.0.2:1>{local} mine")]);
    // A destination of its own still works, and changing the remote does too.
    pair.a.udp_send(pair.now, client, datagram("", b"to one")).unwrap();
    pair.a
        .udp_send(pair.now, client, datagram("10.0.0.2:2", b"to two"))
        .unwrap();
    pair.settle();
    assert_eq!(received(&mut pair.b, one), [format!("{local}>10.0.0.2:1 to one")]);
    assert_eq!(received(&mut pair.b, two), [format!("{local}>10.0.0.2:2 to two")]);
    pair.a.udp_connect(client, Some(at("10.0.0.2:2"))).unwrap();
    pair.b
        .udp_send(pair.now, two, datagram(&local.to_string(), b"now mine"))
        .unwrap();
    pair.settle();
    assert_eq!(received(&mut pair.a, client), [format!("10.0.0.2:2>{local} now mine")]);
    pair.a.udp_connect(client, None).unwrap();
    assert_eq!(
        pair.a.udp_local(client).map(|local| local.ip()),
        Some([0, 0, 0, 0].into())
    );
    assert_eq!(pair.a.udp_peer(client), None);
    pair.b
        .udp_send(pair.now, one, datagram(&local.to_string(), b"anyone"))
        .unwrap();
    pair.settle();
    assert_eq!(received(&mut pair.a, client), [format!("10.0.0.2:1>{local} anyone")]);
    assert_eq!(
        pair.a.udp_send(pair.now, client, datagram("", b"")),
        Err(SendError::NoDestination)
    );
}

#[test]
fn a_refused_datagram_is_told_to_who_is_connected() {
    for (local, remote) in [("0.0.0.0:0", "10.0.0.2:9"), ("[::]:0", "[fd00::2]:9")] {
        let mut pair = Pair::new();
        let connected = bind(&mut pair.a, local);
        pair.a.udp_connect(connected, Some(at(remote))).unwrap();
        pair.a.udp_send(pair.now, connected, datagram("", b"hello")).unwrap();
        pair.settle();
        assert_eq!(pair.b.counters().udp_no_ports, 1);
        assert_eq!(pair.b.counters().drops(DropReason::NoSocket), 1);
        assert_eq!(
            pair.a.poll_event().map(|event| event.socket),
            Some(SocketId::Udp(connected))
        );
        assert_eq!(
            pair.a.udp_send(pair.now, connected, datagram("", b"hello")),
            Err(SendError::Refused)
        );
        pair.a.udp_send(pair.now, connected, datagram("", b"hello")).unwrap();
        pair.settle();
        assert_eq!(pair.a.udp_take_error(connected), Some(SocketError::ConnectionRefused));
        assert_eq!(pair.a.udp_take_error(connected), None);

        let lone = bind(&mut pair.a, local);
        pair.a.udp_send(pair.now, lone, datagram(remote, b"hello")).unwrap();
        pair.settle();
        assert_eq!(pair.a.udp_take_error(lone), None);
        let recverr = UdpOptions {
            recverr: true,
            ..UdpOptions::default()
        };
        pair.a.udp_set_options(lone, recverr);
        pair.a.udp_send(pair.now, lone, datagram(remote, b"hello")).unwrap();
        pair.settle();
        let report = pair.a.udp_take_report(lone).unwrap();
        assert_eq!(
            (report.error, report.to, report.from),
            (SocketError::ConnectionRefused, at(remote), at(remote).ip())
        );
        assert_eq!(&report.data[..], b"hello");
        let (icmp_type, icmp_code) = if report.from.is_ipv4() { (3, 3) } else { (1, 4) };
        assert_eq!((report.icmp_type, report.icmp_code), (icmp_type, icmp_code));
    }
}

#[test]
fn who_may_bind_where() {
    let mut pair = Pair::new();
    for (local, freebind, want) in [
        ("10.0.0.1:80", false, Ok(())),
        ("10.0.0.1:80", false, Err(BindError::AddressInUse)),
        ("10.0.0.9:80", false, Err(BindError::AddressNotAvailable)),
        ("10.0.0.9:80", true, Ok(())),
        ("127.0.0.1:80", false, Ok(())),
        ("224.0.0.251:5353", false, Ok(())),
        ("10.0.0.255:80", false, Ok(())),
        ("[::1]:80", false, Ok(())),
        ("[fd00::9]:80", false, Err(BindError::AddressNotAvailable)),
    ] {
        let options = BindOptions { freebind, ..PLAIN };
        assert_eq!(pair.a.udp_bind(at(local), options).map(|_| ()), want, "{local}");
    }
}

#[test]
fn a_closed_socket_leaves_nothing_behind() {
    let mut pair = Pair::new();
    for connect in [false, true] {
        let id = bind(&mut pair.a, "0.0.0.0:80");
        if connect {
            pair.a.udp_connect(id, Some(at("10.0.0.2:1"))).unwrap();
        }
        pair.a.udp_close(id);
        assert_eq!(pair.a.udp_local(id), None);
        assert_eq!(
            pair.a.udp_send(pair.now, id, datagram("10.0.0.2:1", b"")),
            Err(SendError::Invalid)
        );
    }
    assert_eq!(
        (pair.a.ports.len(), pair.a.demux.flows(), pair.a.udp.sockets.len()),
        (0, 0, 0)
    );
}

#[test]
fn destinations_that_cannot_be() {
    let mut pair = Pair::new();
    let v4 = bind(&mut pair.a, "0.0.0.0:0");
    let v6 = bind(&mut pair.a, "[fd00::1]:0");
    let only_v6 = pair
        .a
        .udp_bind(at("[::]:0"), BindOptions { only_v6: true, ..PLAIN })
        .unwrap();
    for (id, to, want) in [
        (v4, "[fd00::2]:1", SendError::FamilyMismatch),
        (v6, "10.0.0.2:1", SendError::FamilyMismatch),
        (only_v6, "10.0.0.2:1", SendError::FamilyMismatch),
        (v4, "10.0.0.2:0", SendError::Invalid),
        (v4, "192.0.2.1:1", SendError::Unreachable),
        (v6, "[2001:db8::1]:1", SendError::Unreachable),
        (v4, "10.0.0.255:1", SendError::BroadcastNotAllowed),
        (v4, "255.255.255.255:1", SendError::BroadcastNotAllowed),
    ] {
        assert_eq!(pair.a.udp_send(pair.now, id, datagram(to, b"")), Err(want), "{to}");
    }
    for (id, to, want) in [
        (v4, "[fd00::2]:1", ConnectError::FamilyMismatch),
        (only_v6, "10.0.0.2:1", ConnectError::FamilyMismatch),
        (v4, "192.0.2.1:1", ConnectError::Unreachable),
        (v4, "10.0.0.255:1", ConnectError::BroadcastNotAllowed),
    ] {
        assert_eq!(pair.a.udp_connect(id, Some(at(to))), Err(want), "{to}");
        assert_eq!(pair.a.udp_peer(id), None);
    }
}

#[test]
fn lengths() {
    for (to, len, dont_fragment, want) in [
        ("10.0.0.2:7", 1_472, true, Ok(())),
        ("10.0.0.2:7", 1_473, true, Err(SendError::MessageTooLong)),
        ("10.0.0.2:7", 1_473, false, Ok(())),
        ("10.0.0.2:7", 65_507, false, Ok(())),
        ("10.0.0.2:7", 65_508, false, Err(SendError::MessageTooLong)),
        ("[fd00::2]:7", 1_452, true, Ok(())),
        ("[fd00::2]:7", 1_453, true, Err(SendError::MessageTooLong)),
        ("[fd00::2]:7", 1_453, false, Ok(())),
        ("[fd00::2]:7", 65_527, false, Ok(())),
        ("[fd00::2]:7", 65_528, false, Err(SendError::MessageTooLong)),
    ] {
        let mut pair = Pair::new();
        let server = bind(&mut pair.b, "[::]:7");
        let client = bind(&mut pair.a, "[::]:0");
        pair.a.udp_set_options(
            client,
            UdpOptions {
                dont_fragment,
                ..UdpOptions::default()
            },
        );
        let data: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        assert_eq!(
            pair.a.udp_send(pair.now, client, datagram(to, &data)),
            want,
            "{to} {len}"
        );
        pair.settle();
        let got = pair.b.udp_recv(server).map(|got| got.data);
        assert_eq!(got.is_some(), want.is_ok(), "{to} {len}");
        assert!(got.is_none_or(|got| got == data), "{to} {len}");
    }
}

#[test]
fn a_datagram_may_stand_for_several() {
    for to in ["10.0.0.2:7", "[fd00::2]:7", "127.0.0.1:8"] {
        let mut pair = Pair::new();
        let server = bind(&mut pair.b, "[::]:7");
        let own = bind(&mut pair.a, "[::]:8");
        let client = bind(&mut pair.a, "[::]:0");
        let send = |pair: &mut Pair, len: usize, size| {
            let several = Outgoing {
                segment_size: Some(size),
                ..datagram(to, &vec![5; len])
            };
            pair.a.udp_send(pair.now, client, several)
        };
        send(&mut pair, 10_500, 1_000).unwrap();
        pair.settle();
        let lengths = |host: &mut Host, id| -> Vec<_> {
            std::iter::from_fn(|| host.udp_recv(id))
                .map(|got| got.data.len())
                .collect()
        };
        let got = if to.ends_with('7') {
            lengths(&mut pair.b, server)
        } else {
            lengths(&mut pair.a, own)
        };
        assert_eq!(got, [vec![1_000; 10], vec![500]].concat(), "{to}");
        assert_eq!(pair.a.counters().udp_out_datagrams, 11);
        assert_eq!(send(&mut pair, 10_500, 0), Err(SendError::Invalid));
        assert_eq!(send(&mut pair, 129, 1), Err(SendError::Invalid));
        if to.ends_with('7') {
            assert_eq!(send(&mut pair, 10_500, 1_480), Err(SendError::MessageTooLong));
        }
    }
}

#[test]
fn a_full_receive_queue_drops_and_counts() {
    let mut pair = Pair::new();
    let server = bind(&mut pair.b, "0.0.0.0:7");
    let client = bind(&mut pair.a, "0.0.0.0:0");
    pair.b.udp_set_options(
        server,
        UdpOptions {
            recv_buffer: Some(8_192),
            ..UdpOptions::default()
        },
    );
    for _ in 0..20 {
        pair.a
            .udp_send(pair.now, client, datagram("10.0.0.2:7", &[0; 1_024]))
            .unwrap();
    }
    pair.settle();
    let (number, bytes) = pair.b.udp_queued(server);
    assert_eq!((number, bytes), (7, 7_168));
    assert_eq!(pair.b.udp_drops(server), 13);
    assert_eq!(pair.b.counters().drops(DropReason::ReceiveQueueFull), 13);
    while pair.b.udp_recv(server).is_some() {}
    assert_eq!(pair.b.udp_queued(server), (0, 0));
}

#[test]
fn sharers_of_a_port() {
    let mut pair = Pair::new();
    let client = bind(&mut pair.a, "0.0.0.0:0");
    let address = BindOptions {
        reuse_address: true,
        ..PLAIN
    };
    let first = pair.b.udp_bind(at("0.0.0.0:7"), address).unwrap();
    let last = pair.b.udp_bind(at("0.0.0.0:7"), address).unwrap();
    pair.a.udp_send(pair.now, client, datagram("10.0.0.2:7", b"x")).unwrap();
    pair.settle();
    assert_eq!(
        (pair.b.udp_queued(first).0, pair.b.udp_queued(last).0),
        (0, 1),
        "the last one takes all"
    );

    let port = BindOptions {
        reuse_port: true,
        ..PLAIN
    };
    let group: Vec<_> = (0..4)
        .map(|_| pair.b.udp_bind(at("0.0.0.0:8"), port).unwrap())
        .collect();
    for _ in 0..200 {
        let client = bind(&mut pair.a, "0.0.0.0:0");
        for _ in 0..2 {
            pair.a.udp_send(pair.now, client, datagram("10.0.0.2:8", b"x")).unwrap();
        }
    }
    pair.settle();
    let taken: Vec<_> = group.iter().map(|id| pair.b.udp_queued(*id).0).collect();
    assert_eq!(taken.iter().sum::<usize>(), 400);
    assert!(
        taken.iter().all(|n| n % 2 == 0 && (50..150).contains(n)),
        "each client stays with one: {taken:?}"
    );
}

#[test]
fn broadcast_and_multicast_reach_all() {
    let mut pair = Pair::new();
    let share = BindOptions {
        reuse_address: true,
        ..PLAIN
    };
    let takers: Vec<_> = ["0.0.0.0:7", "0.0.0.0:7", "[::]:7"]
        .iter()
        .map(|local| pair.b.udp_bind(at(local), share).unwrap())
        .collect();
    let narrow = pair.b.udp_bind(at("10.0.0.2:7"), share).unwrap();
    let client = bind(&mut pair.a, "0.0.0.0:0");
    pair.a.udp_set_options(
        client,
        UdpOptions {
            broadcast: true,
            ..UdpOptions::default()
        },
    );
    for to in ["255.255.255.255:7", "10.0.0.255:7"] {
        pair.a.udp_send(pair.now, client, datagram(to, b"all")).unwrap();
        pair.settle();
        for id in &takers {
            assert_eq!(received(&mut pair.b, *id).len(), 1, "{to}");
        }
        assert!(received(&mut pair.b, narrow).is_empty(), "{to}");
    }
    pair.a
        .udp_send(pair.now, client, datagram("255.255.255.255:9", b"nobody"))
        .unwrap();
    pair.settle();
    assert_eq!(pair.b.counters().icmp_out_msgs, 0, "no error about a broadcast");

    let group = at("239.1.2.3:7");
    pair.a
        .udp_send(pair.now, client, datagram("239.1.2.3:7", b"early"))
        .unwrap();
    pair.settle();
    assert_eq!(pair.b.udp_queued(takers[0]).0, 0, "not joined");
    pair.b.udp_multicast(takers[0], group.ip(), None, true);
    pair.a
        .udp_send(pair.now, client, datagram("239.1.2.3:7", b"joined"))
        .unwrap();
    pair.settle();
    let got = pair.b.udp_recv(takers[0]).unwrap();
    assert_eq!((got.to, got.ttl), (group, 1));
    // What a member sends comes back to itself (IP_MULTICAST_LOOP).
    pair.b
        .udp_send(pair.now, takers[0], datagram("239.1.2.3:7", b"own"))
        .unwrap();
    pair.settle();
    assert_eq!(received(&mut pair.b, takers[0]), ["10.0.0.2:7>239.1.2.3:7 own"]);
    pair.b.udp_multicast(takers[0], group.ip(), None, false);
    pair.a
        .udp_send(pair.now, client, datagram("239.1.2.3:7", b"late"))
        .unwrap();
    pair.settle();
    assert_eq!(pair.b.udp_queued(takers[0]).0, 0, "left");
}

#[test]
fn a_host_talks_to_itself() {
    for (local, to, from) in [
        ("127.0.0.1:7", "127.0.0.1:7", "127.0.0.1"),
        ("0.0.0.0:7", "0.0.0.0:7", "127.0.0.1"),
        ("[::]:7", "[::]:7", "[::1]"),
        ("10.0.0.1:7", "10.0.0.1:7", "10.0.0.1"),
        ("0.0.0.0:7", "127.0.0.53:7", "127.0.0.1"),
    ] {
        let mut pair = Pair::new();
        let server = bind(&mut pair.a, local);
        let client = bind(
            &mut pair.a,
            if local.starts_with('[') {
                "[::]:4000"
            } else {
                "0.0.0.0:4000"
            },
        );
        pair.a.udp_send(pair.now, client, datagram(to, b"x")).unwrap();
        pair.settle();
        let got: Vec<_> = received(&mut pair.a, server);
        assert_eq!(got.len(), 1, "{local} {to}");
        assert!(got[0].starts_with(&format!("{from}:4000>")), "{got:?}");
        assert!(pair.seen.is_empty(), "nothing on the wire");
    }
}

#[test]
fn checksums_are_believed_or_verified() {
    // What the checksum field holds, and whether the datagram arrives.
    for (v6, field, want) in [
        (false, None, true),
        (false, Some(0), true),
        (false, Some(0xdead), false),
        (true, None, true),
        (true, Some(0), false),
        (true, Some(0xdead), false),
    ] {
        let mut pair = Pair::new();
        let server = bind(&mut pair.b, "[::]:7");
        let client = bind(&mut pair.a, "[::]:0");
        let to = if v6 { "[fd00::2]:7" } else { "10.0.0.2:7" };
        pair.a.udp_send(pair.now, client, datagram(to, b"odd length")).unwrap();
        let mut out = std::collections::VecDeque::new();
        pair.a.poll_transmit(pair.now, pair.link, &mut out, 10);
        let mut packet = out.pop_front().unwrap();
        assert_eq!(packet.meta.csum, Csum::Partial);
        crate::gso::finish(&mut packet);
        let mut bytes = packet.to_vec();
        let at = if v6 { 46 } else { 26 };
        if let Some(field) = field {
            bytes[at..at + 2].copy_from_slice(&u16::to_be_bytes(field));
        }
        let packet = wire::packet_from_bytes(Bytes::from(bytes), Medium::Ip);
        pair.b.receive(pair.now, pair.link, &mut vec![packet]);
        assert_eq!(pair.b.udp_recv(server).is_some(), want, "v6 {v6} {field:?}");
        assert_eq!(pair.b.counters().drops(DropReason::BadChecksum), u64::from(!want));
    }
}

#[test]
fn a_loopback_port_that_nobody_holds_may_be_the_far_end_s() {
    let settings = crate::settings::Settings {
        route_localnet: true,
        ..Default::default()
    };
    let gateway = HostConfig {
        any_address: true,
        settings: settings.clone(),
        ..HostConfig::default()
    };
    let program = HostConfig {
        settings,
        ..HostConfig::default()
    };
    let mut pair = Pair::with(program, gateway);
    pair.a.set_loopback_fallback(Some(pair.link));
    pair.b.set_loopback_fallback(Some(pair.link));
    let own = bind(&mut pair.a, "127.0.0.1:7");
    let client = bind(&mut pair.a, "0.0.0.0:4000");
    pair.a
        .udp_send(pair.now, client, datagram("127.0.0.1:7", b"inside"))
        .unwrap();
    pair.a
        .udp_send(pair.now, client, datagram("127.0.0.1:8", b"outside"))
        .unwrap();
    pair.settle();
    assert_eq!(received(&mut pair.a, own), ["127.0.0.1:4000>127.0.0.1:7 inside"]);
    let stray = pair.b.poll_stray();
    let Some(crate::socket::Stray::Datagram {
        local, remote, data, ..
    }) = stray
    else {
        panic!("{stray:?}");
    };
    assert_eq!(
        (local, remote, &data[..]),
        (at("127.0.0.1:8"), at("127.0.0.1:4000"), &b"outside"[..])
    );
    let answer = Outgoing {
        data: Bytes::from_static(b"answer"),
        ..Outgoing::default()
    };
    pair.b.send_datagram(pair.now, local, remote, answer).unwrap();
    pair.settle();
    assert_eq!(received(&mut pair.a, client), ["127.0.0.1:8>127.0.0.1:4000 answer"]);
    // A published port: the gateway speaks from its own address to the program's loopback, and hears the answer.
    let question = Outgoing {
        data: Bytes::from_static(b"question"),
        ..Outgoing::default()
    };
    pair.b
        .send_datagram(pair.now, at("10.0.0.2:5000"), at("127.0.0.1:7"), question)
        .unwrap();
    pair.settle();
    assert_eq!(received(&mut pair.a, own), ["10.0.0.2:5000>127.0.0.1:7 question"]);
    pair.a
        .udp_send(pair.now, own, datagram("10.0.0.2:5000", b"reply"))
        .unwrap();
    pair.settle();
    assert!(
        matches!(pair.b.poll_stray(), Some(crate::socket::Stray::Datagram { remote, .. }) if remote == at("127.0.0.1:7"))
    );
    assert_ne!(pair.link, InterfaceId::LOOPBACK);
}
