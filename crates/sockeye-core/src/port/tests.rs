use super::*;
use std::collections::{BTreeMap, BTreeSet};

const RANGE: (u16, u16) = (49_152, 65_535);

fn ports() -> Ports {
    Ports::new(&Keys::new(1, "ports"))
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One socket of a case: `a` SO_REUSEADDR, `p` SO_REUSEPORT, `6` IPV6_V6ONLY, then the address on port 80, then what it does after bind.
fn parse(text: &str) -> (SocketAddr, BindOptions, Vec<&str>) {
    let mut words = text.split(' ');
    let first = words.next().unwrap();
    let (flags, host) = first.split_once('@').unwrap_or(("", first));
    let options = BindOptions {
        reuse_address: flags.contains('a'),
        reuse_port: flags.contains('p'),
        only_v6: flags.contains('6'),
        freebind: false,
        port_range: None,
    };
    let host: IpAddr = match host {
        "*" => [0, 0, 0, 0].into(),
        "**" => [0_u16; 8].into(),
        "A" => [10, 0, 0, 1].into(),
        "B" => [10, 0, 0, 2].into(),
        "mA" => "::ffff:10.0.0.1".parse().unwrap(),
        "m*" => "::ffff:0.0.0.0".parse().unwrap(),
        "6A" => "fd00::1".parse().unwrap(),
        "6B" => "fd00::2".parse().unwrap(),
        other => panic!("{other}"),
    };
    (SocketAddr::new(host, 80), options, words.collect())
}

/// Does what `first` says, then `second`, and tells how far the second one got: bound and listening, "bind" or "listen" refused.
fn outcome(transport: Transport, first: &str, second: &str) -> &'static str {
    let mut ports = ports();
    let mut last = "ok";
    for text in [first, second] {
        let (local, options, words) = parse(text);
        last = "ok";
        let Ok((port, claim)) = ports.claim_bind(transport, local, options, RANGE) else {
            last = "bind";
            continue;
        };
        assert_eq!(port, 80);
        for word in words {
            match word {
                "listen" if ports.claim_listen(claim).is_err() => last = "listen",
                "listen" => {}
                // Accepts a connection on 10.0.0.1 or fd00::1, then closes the listener: the child (or its TIME-WAIT) stays.
                "child" => {
                    let _ = ports.claim_child(claim, [10, 0, 0, 1].into());
                    ports.release(claim);
                }
                "child6" => {
                    let _ = ports.claim_child(claim, "fd00::1".parse().unwrap());
                    ports.release(claim);
                }
                "connect" => ports.settle(claim, [10, 0, 0, 1].into()),
                "close" => ports.release(claim),
                other => panic!("{other}"),
            }
        }
    }
    last
}

#[test]
fn bind_rules_of_tcp() {
    for (first, second, want) in [
        // Plain sockets: a port is free or it is not.
        ("*", "*", "bind"),
        ("*", "A", "bind"),
        ("A", "*", "bind"),
        ("A", "A", "bind"),
        ("A", "B", "ok"),
        ("* close", "* listen", "ok"),
        ("* listen", "*", "bind"),
        ("A listen", "B listen", "ok"),
        // SO_REUSEADDR on one of both helps nobody.
        ("a@*", "*", "bind"),
        ("*", "a@*", "bind"),
        ("a@* listen", "*", "bind"),
        ("* listen", "a@*", "bind"),
        // On both: bind shares until one listens, and a wildcard does not steal from a listener (ip(7): unlike on BSD).
        ("a@*", "a@*", "ok"),
        ("a@*", "a@* listen", "ok"),
        ("a@* listen", "a@*", "bind"),
        ("a@* listen", "a@* listen", "bind"),
        ("a@* listen", "a@A", "bind"),
        ("a@A listen", "a@*", "bind"),
        ("a@A listen", "a@B listen", "ok"),
        ("a@A", "a@* listen", "ok"),
        // SO_REUSEPORT on both shares always, on one of both never.
        ("p@*", "p@*", "ok"),
        ("p@* listen", "p@* listen", "ok"),
        ("p@* listen", "p@A listen", "ok"),
        ("p@* listen", "*", "bind"),
        ("* listen", "p@*", "bind"),
        ("p@* listen", "a@*", "bind"),
        ("a@* listen", "p@*", "bind"),
        ("ap@* listen", "ap@* listen", "ok"),
        ("ap@* listen", "a@*", "bind"),
        ("ap@* listen", "p@* listen", "ok"),
        ("ap@*", "a@* listen", "ok"),
        // Restarting a server: connections of the old one, TIME-WAIT included, remember its options.
        ("* listen child", "*", "bind"),
        ("* listen child", "a@*", "bind"),
        ("a@* listen child", "*", "bind"),
        ("a@* listen child", "a@* listen", "ok"),
        ("a@* listen child", "a@A listen", "ok"),
        ("p@* listen child", "p@* listen", "ok"),
        ("p@* listen child", "a@*", "bind"),
        // A connection sits on one address only.
        ("* listen child", "B listen", "ok"),
        ("* listen child", "A", "bind"),
        ("* connect", "B listen", "ok"),
        ("* connect", "A", "bind"),
        ("* connect", "*", "bind"),
        ("a@* connect", "a@* listen", "ok"),
        // Dual stack: a wildcard IPv6 socket holds the port for IPv4 too, unless IPV6_V6ONLY.
        ("**", "*", "bind"),
        ("*", "**", "bind"),
        ("**", "A", "bind"),
        ("A", "**", "bind"),
        ("6@**", "*", "ok"),
        ("*", "6@**", "ok"),
        ("6@**", "A", "ok"),
        ("A listen", "6@** listen", "ok"),
        ("**", "**", "bind"),
        ("6@**", "**", "bind"),
        ("**", "6@**", "bind"),
        ("6@**", "6@**", "bind"),
        ("**", "6A", "bind"),
        ("6@**", "6A", "bind"),
        ("6A", "6@**", "bind"),
        ("6A", "*", "ok"),
        ("*", "6A listen", "ok"),
        ("6A", "6B", "ok"),
        ("6A", "6A", "bind"),
        ("a@** listen", "a@*", "bind"),
        ("a@**", "a@* listen", "ok"),
        ("p@** listen", "p@* listen", "ok"),
        ("** listen child", "6@**", "ok"),
        ("** listen child6", "6@**", "bind"),
        // Linux 6.18 refuses this one, by accident of how it stores the child's address; no packet could be meant for both.
        ("** listen child6", "*", "ok"),
        // A v4-mapped address is the IPv4 address.
        ("mA", "A", "bind"),
        ("mA", "6@**", "ok"),
        ("mA", "**", "bind"),
        ("m*", "A", "bind"),
        ("m*", "6A", "ok"),
        ("B", "mA", "ok"),
    ] {
        assert_eq!(outcome(Transport::Tcp, first, second), want, "{first}, then {second}");
    }
}

#[test]
fn bind_rules_of_udp() {
    for (first, second, want) in [
        ("*", "*", "bind"),
        ("*", "A", "bind"),
        ("A", "*", "bind"),
        ("A", "B", "ok"),
        ("a@*", "*", "bind"),
        ("*", "a@*", "bind"),
        ("a@*", "a@*", "ok"),
        ("a@*", "a@A", "ok"),
        ("p@*", "p@*", "ok"),
        ("p@*", "*", "bind"),
        ("p@*", "a@*", "bind"),
        ("ap@*", "a@*", "ok"),
        ("ap@*", "p@*", "ok"),
        ("* connect", "*", "bind"),
        ("* connect", "A", "bind"),
        ("* connect", "B", "ok"),
        ("a@* connect", "a@*", "ok"),
        ("**", "*", "bind"),
        ("6@**", "*", "ok"),
        ("6A", "*", "ok"),
        ("mA", "A", "bind"),
        ("* close", "*", "ok"),
    ] {
        assert_eq!(outcome(Transport::Udp, first, second), want, "{first}, then {second}");
    }
}

#[test]
fn tcp_and_udp_ports_are_apart() {
    let mut ports = ports();
    let options = BindOptions::default();
    assert!(
        ports
            .claim_bind(Transport::Tcp, at("0.0.0.0:53"), options, RANGE)
            .is_ok()
    );
    assert!(
        ports
            .claim_bind(Transport::Udp, at("0.0.0.0:53"), options, RANGE)
            .is_ok()
    );
}

/// Linux: two sockets that share a port may each be ready to listen, and the second one learns it at listen.
#[test]
fn the_second_listener_is_refused_at_listen() {
    let mut ports = ports();
    let share = BindOptions {
        reuse_address: true,
        ..BindOptions::default()
    };
    let (_, one) = ports
        .claim_bind(Transport::Tcp, at("0.0.0.0:80"), share, RANGE)
        .unwrap();
    let (_, two) = ports
        .claim_bind(Transport::Tcp, at("0.0.0.0:80"), share, RANGE)
        .unwrap();
    assert_eq!(ports.claim_listen(one), Ok(()));
    assert_eq!(ports.claim_listen(two), Err(ListenError::AddressInUse));
    ports.release(one);
    assert_eq!(ports.claim_listen(two), Ok(()));
}

#[test]
fn bind_to_port_0_gives_every_port_of_the_range_once() {
    let mut ports = ports();
    let range = (50_000, 50_999);
    let options = BindOptions::default();
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for _ in 0..1_000 {
        let (port, _) = ports
            .claim_bind(Transport::Udp, at("0.0.0.0:0"), options, range)
            .unwrap();
        assert!((range.0..=range.1).contains(&port) && seen.insert(port), "{port}");
        order.push(port);
    }
    let steps = order.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(steps < 100, "{steps} of 1000 ports follow their predecessor");
    let next = ports.claim_bind(Transport::Udp, at("0.0.0.0:0"), options, range);
    assert_eq!(next, Err(BindError::PortsExhausted));
    // The same ports once more on another family's wildcard.
    let six = BindOptions {
        only_v6: true,
        ..options
    };
    assert!(ports.claim_bind(Transport::Udp, at("[::]:0"), six, range).is_ok());
}

/// socket(7) SO_REUSEADDR: sharing is what port 0 comes to when nothing is free, not before.
#[test]
fn bind_to_port_0_shares_only_when_it_must() {
    let mut ports = ports();
    let share = BindOptions {
        reuse_address: true,
        ..BindOptions::default()
    };
    let mut bind = || {
        ports
            .claim_bind(Transport::Tcp, at("0.0.0.0:0"), share, (50_000, 50_009))
            .unwrap()
            .0
    };
    let first: BTreeSet<_> = (0..10).map(|_| bind()).collect();
    assert_eq!(first.len(), 10);
    assert!(first.contains(&bind()));
}

#[test]
fn connect_uses_a_port_once_for_each_destination() {
    let mut ports = ports();
    let range = (50_000, 50_099);
    let mut flows = BTreeSet::new();
    for remote in ["192.0.2.1:80", "192.0.2.1:81", "192.0.2.2:80", "[2001:db8::1]:80"].map(at) {
        let local: IpAddr = if remote.is_ipv4() {
            [10, 0, 0, 1].into()
        } else {
            "fd00::1".parse().unwrap()
        };
        for _ in 0..100 {
            let (port, _) = ports
                .claim_connect(local, remote, range, |port| flows.contains(&(remote, port)))
                .unwrap();
            assert!((range.0..=range.1).contains(&port) && flows.insert((remote, port)));
        }
        let none = ports.claim_connect(local, remote, range, |port| flows.contains(&(remote, port)));
        assert_eq!(none, None);
    }
    // Four hundred connections, two local addresses, a hundred ports: two claims a port.
    assert_eq!(ports.len(), 200);
}

#[test]
fn connect_leaves_bound_ports_alone_and_bind_leaves_connections_alone() {
    let mut ports = ports();
    let options = BindOptions::default();
    let range = (50_000, 50_001);
    let (_, bound) = ports
        .claim_bind(Transport::Tcp, at("127.0.0.1:50000"), options, range)
        .unwrap();
    let (port, chosen) = ports
        .claim_connect([10, 0, 0, 1].into(), at("192.0.2.1:80"), range, |_| false)
        .unwrap();
    assert_eq!(port, 50_001);
    let bind = |ports: &mut Ports, text| {
        ports
            .claim_bind(Transport::Tcp, at(text), options, range)
            .map(|(port, _)| port)
    };
    assert_eq!(bind(&mut ports, "0.0.0.0:50001"), Err(BindError::AddressInUse));
    assert_eq!(bind(&mut ports, "10.0.0.1:50001"), Err(BindError::AddressInUse));
    assert_eq!(bind(&mut ports, "127.0.0.1:50001"), Ok(50_001));
    ports.release(chosen);
    ports.release(bound);
    assert_eq!(bind(&mut ports, "10.0.0.1:50001"), Ok(50_001));
    assert_eq!(bind(&mut ports, "127.0.0.1:50000"), Ok(50_000));
}

/// RFC 6056 §3.1: what one destination sees says little about what another one will see.
#[test]
fn destinations_see_different_sequences() {
    let mut ports = ports();
    let mut sequence = |remote: &str| -> Vec<u16> {
        let next = |_| {
            ports
                .claim_connect([10, 0, 0, 1].into(), at(remote), RANGE, |_| false)
                .unwrap()
                .0
        };
        (0..100).map(next).collect()
    };
    let (one, other) = (sequence("192.0.2.1:80"), sequence("192.0.2.2:80"));
    let near = one
        .iter()
        .zip(&other)
        .filter(|(one, other)| one.abs_diff(**other) < 64)
        .count();
    assert_ne!(one[0], other[0]);
    assert!(near < 50, "{near} of 100 ports close to each other");
    // Towards one destination a port comes back as late as possible: steps are small and go one way round.
    let number = RANGE.1 - RANGE.0 + 1;
    let steps = one
        .windows(2)
        .map(|pair| (pair[1] - RANGE.0 + number - (pair[0] - RANGE.0)) % number);
    assert!(
        steps.clone().all(|step| (1..=8).contains(&step)),
        "{:?}",
        steps.collect::<Vec<_>>()
    );
}

#[test]
fn the_last_child_frees_the_port() {
    let mut ports = ports();
    let options = BindOptions::default();
    let (_, listener) = ports
        .claim_bind(Transport::Tcp, at("0.0.0.0:80"), options, RANGE)
        .unwrap();
    ports.claim_listen(listener).unwrap();
    let children: Vec<_> = (0..1_000)
        .map(|_| ports.claim_child(listener, [10, 0, 0, 1].into()))
        .collect();
    assert_eq!(ports.len(), 2);
    ports.release(listener);
    for child in children {
        assert!(
            ports
                .claim_bind(Transport::Tcp, at("0.0.0.0:80"), options, RANGE)
                .is_err()
        );
        ports.release(child);
    }
    assert!(
        ports
            .claim_bind(Transport::Tcp, at("0.0.0.0:80"), options, RANGE)
            .is_ok()
    );
    assert_eq!(ports.claim_child(NO_CLAIM, [10, 0, 0, 1].into()), NO_CLAIM);
    ports.release(NO_CLAIM);
}

#[test]
fn claims_come_and_go_without_a_trace() {
    let mut ports = ports();
    let mut rng = Keys::new(3, "ports").stream("test");
    let mut held = BTreeMap::new();
    for step in 0..50_000_u32 {
        let port = 1 + below(&mut rng, 40) as u16;
        if below(&mut rng, 2) == 0 {
            let options = BindOptions {
                reuse_port: port.is_multiple_of(2),
                ..BindOptions::default()
            };
            let bound = ports.claim_bind(Transport::Udp, SocketAddr::new([0; 4].into(), port), options, RANGE);
            let alone = !held.values().any(|(_, other)| *other == port);
            assert_eq!(bound.is_ok(), alone || options.reuse_port, "step {step}");
            if let Ok((port, claim)) = bound {
                let _ = held.insert(step, (claim, port));
            }
        } else if let Some(first) = held.keys().nth(below(&mut rng, 30) as usize).copied() {
            let (claim, _) = held.remove(&first).unwrap();
            ports.release(claim);
        }
        assert_eq!(ports.len(), held.len());
    }
    for (claim, _) in held.into_values() {
        ports.release(claim);
    }
    assert_eq!(ports.len(), 0);
    for port in 0..=u16::MAX {
        assert_eq!(ports.udp.get(port), END);
    }
}
