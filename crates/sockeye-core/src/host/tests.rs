//! Two hosts and a wire between them: every call of the contract, seen from outside.

use super::*;
use crate::buf::Rope;
use crate::packet::Packet;
use crate::socket::{BindOptions, Close, Shutdown, State, Stray, SynAnswer, TcpId, TcpOptions};
use crate::time::{Duration, Instant, MS, SECOND};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const ETH0: InterfaceId = InterfaceId(1);

/// Two hosts, `a` at 10.0.0.1 and fd00::1, `b` at 10.0.0.2 and fd00::2.
struct Wire {
    now: Instant,
    hosts: [Host; 2],
    delay: Duration,
    on_wire: BTreeMap<(Instant, u64), (usize, Packet)>,
    serial: u64,
    /// Packets to lose: by number of departure.
    lose: Vec<u64>,
}

fn host(seed: u64, last: u8, config: HostConfig) -> Host {
    let mut host = Host::new(HostConfig { seed, ..config });
    let addresses = vec![
        (IpAddr::from([10, 0, 0, last]), 24),
        (IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]), 64),
    ];
    let eth0 = host.add_interface(InterfaceConfig {
        name: "eth0".into(),
        medium: Medium::Ip,
        mtu: 1_500,
        gso: true,
        addresses,
    });
    assert_eq!(eth0, ETH0);
    for network in [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0; 16])] {
        let via = if network.is_ipv4() {
            IpAddr::from([10, 0, 0, 3 - last])
        } else {
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(3 - last)])
        };
        host.add_route(Route {
            network,
            prefix: 0,
            via: Some(via),
            interface: eth0,
        });
    }
    host
}

impl Wire {
    fn new() -> Self {
        Self::with(HostConfig::default(), HostConfig::default())
    }

    fn with(a: HostConfig, b: HostConfig) -> Self {
        Self {
            now: Instant::from_millis(1_000),
            hosts: [host(1, 1, a), host(2, 2, b)],
            delay: 10 * MS,
            on_wire: BTreeMap::new(),
            serial: 0,
            lose: Vec::new(),
        }
    }

    fn pump(&mut self) {
        for from in 0..2 {
            let mut out = VecDeque::new();
            self.hosts[from].poll_transmit(self.now, ETH0, &mut out, usize::MAX);
            for packet in out {
                self.serial += 1;
                if !self.lose.contains(&self.serial) {
                    let _ = self
                        .on_wire
                        .insert((self.now + self.delay, self.serial), (1 - from, packet));
                }
            }
            if let Err(broken) = self.hosts[from].check() {
                panic!("{broken:?}");
            }
        }
    }

    /// One thing happens. False when nothing ever will.
    fn step(&mut self) -> bool {
        self.step_before(Instant::from_nanos(u64::MAX))
    }

    /// The same, unless it lies after `end`.
    fn step_before(&mut self, end: Instant) -> bool {
        self.pump();
        let arrival = self.on_wire.first_key_value().map(|((at, _), _)| *at);
        let timer = self.hosts.iter().filter_map(Host::poll_timeout).min();
        let Some(next) = [arrival, timer].into_iter().flatten().min() else {
            return false;
        };
        if next > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(next);
        while let Some(entry) = self.on_wire.first_entry()
            && entry.key().0 <= self.now
        {
            let (to, packet) = entry.remove();
            self.hosts[to].receive(self.now, ETH0, &mut vec![packet]);
        }
        for host in &mut self.hosts {
            host.handle_timeout(self.now);
        }
        self.pump();
        true
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end && self.step_before(end) {}
    }

    fn until(&mut self, mut done: impl FnMut(&mut [Host; 2], Instant) -> bool) {
        let end = self.now + 600 * SECOND;
        while !done(&mut self.hosts, self.now) {
            assert!(self.now < end && self.step(), "stuck at {}", self.now);
        }
    }

    /// A connection from `a` to a listener of `b` at `to`.
    fn connected(&mut self, to: &str) -> (TcpId, TcpId) {
        let to: SocketAddr = to.parse().unwrap();
        let any = if to.is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap();
        let binding = self.hosts[1]
            .tcp_bind(SocketAddr::new(any, to.port()), BindOptions::default())
            .unwrap();
        let listener = self.hosts[1]
            .tcp_listen(self.now, binding, 16, TcpOptions::default())
            .unwrap();
        let client = self.hosts[0]
            .tcp_connect(self.now, None, to, TcpOptions::default())
            .unwrap();
        let mut server = None;
        self.until(|hosts, now| {
            server = server.or_else(|| hosts[1].tcp_accept(now, listener));
            server.is_some() && hosts[0].tcp_readiness(client).established
        });
        (client, server.unwrap())
    }
}

fn read_all(host: &mut Host, now: Instant, id: TcpId, into: &mut Vec<u8>) {
    let mut rope = Rope::new();
    let n = host.tcp_read(now, id, usize::MAX, &mut rope);
    let at = into.len();
    into.resize(at + n, 0);
    let _ = rope.read(&mut into[at..]);
}

#[test]
fn a_megabyte_each_way_over_both_families() {
    for to in ["10.0.0.2:80", "[fd00::2]:80"] {
        let mut wire = Wire::new();
        wire.lose = vec![20, 40, 41, 42, 100];
        let (client, server) = wire.connected(to);
        let bytes: Bytes = (0..1 << 20)
            .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect::<Vec<_>>()
            .into();
        let mut left = [bytes.clone(), bytes.clone()];
        let mut got = [Vec::new(), Vec::new()];
        let ids = [client, server];
        wire.until(|hosts, now| {
            for side in 0..2 {
                if !left[side].is_empty() && hosts[side].tcp_readiness(ids[side]).writable > 0 {
                    let _ = hosts[side].tcp_write(now, ids[side], &mut left[side]);
                    if left[side].is_empty() {
                        hosts[side].tcp_shutdown(now, ids[side], Shutdown::Write);
                    }
                }
                read_all(&mut hosts[side], now, ids[side], &mut got[side]);
            }
            (0..2).all(|side| left[side].is_empty() && hosts[side].tcp_readiness(ids[side]).eof)
        });
        assert!(got.iter().all(|got| got[..] == bytes[..]), "{to}");
        for (host, id) in wire.hosts.iter_mut().zip(ids) {
            host.tcp_close(wire.now, id, Close::Graceful);
        }
        wire.run(200 * SECOND);
        for host in &wire.hosts {
            assert_eq!(
                (host.tcp.conns.len(), host.tcp.time_waits.len(), host.poll_timeout()),
                (0, 0, None),
                "{to}"
            );
        }
        assert!(wire.hosts[0].counters().tcp_retrans_segs + wire.hosts[1].counters().tcp_retrans_segs >= 1);
    }
}

#[test]
fn nobody_listens() {
    let mut wire = Wire::new();
    let client = wire.hosts[0]
        .tcp_connect(wire.now, None, "10.0.0.2:81".parse().unwrap(), TcpOptions::default())
        .unwrap();
    wire.run(SECOND);
    assert_eq!(
        wire.hosts[0].tcp_take_error(client),
        Some(crate::error::SocketError::ConnectionRefused)
    );
    assert_eq!(wire.hosts[0].tcp_state(client), State::Closed);
}

#[test]
fn nobody_answers() {
    let mut wire = Wire::new();
    wire.lose = (1..100).collect();
    let client = wire.hosts[0]
        .tcp_connect(wire.now, None, "10.0.0.2:81".parse().unwrap(), TcpOptions::default())
        .unwrap();
    wire.run(100 * SECOND);
    assert_eq!(wire.hosts[0].tcp_state(client), State::SynSent);
    wire.run(100 * SECOND);
    assert_eq!(
        wire.hosts[0].tcp_take_error(client),
        Some(crate::error::SocketError::TimedOut)
    );
}

#[test]
fn to_ourselves() {
    let mut wire = Wire::new();
    for (listen, to) in [
        ("127.0.0.1:90", "127.0.0.1:90"),
        ("[::1]:90", "[::1]:90"),
        ("0.0.0.0:91", "10.0.0.1:91"),
    ] {
        let host = &mut wire.hosts[0];
        let binding = host.tcp_bind(listen.parse().unwrap(), BindOptions::default()).unwrap();
        let listener = host.tcp_listen(wire.now, binding, 16, TcpOptions::default()).unwrap();
        let client = host
            .tcp_connect(wire.now, None, to.parse().unwrap(), TcpOptions::default())
            .unwrap();
        let mut out = VecDeque::new();
        host.poll_transmit(wire.now, ETH0, &mut out, 100);
        assert!(out.is_empty(), "nothing leaves");
        let server = host.tcp_accept(wire.now, listener).expect(to);
        let mut data = Bytes::from(vec![7; 300_000]);
        let mut got = Vec::new();
        let end = wire.now + 60 * SECOND;
        while got.len() < 300_000 && wire.now < end {
            let host = &mut wire.hosts[0];
            if !data.is_empty() {
                let _ = host.tcp_write(wire.now, client, &mut data);
            }
            read_all(host, wire.now, server, &mut got);
            assert!(wire.step());
        }
        assert_eq!(got.len(), 300_000);
        assert_eq!(wire.hosts[0].counters().tcp_retrans_segs, 0);
    }
}

/// The side that accepted sends; the other reads a little later.
#[test]
fn to_ourselves_the_other_way() {
    let mut wire = Wire::new();
    let host = &mut wire.hosts[0];
    let to: SocketAddr = "127.0.0.1:90".parse().unwrap();
    let binding = host.tcp_bind(to, BindOptions::default()).unwrap();
    let listener = host.tcp_listen(wire.now, binding, 16, TcpOptions::default()).unwrap();
    let client = host.tcp_connect(wire.now, None, to, TcpOptions::default()).unwrap();
    let mut out = VecDeque::new();
    host.poll_transmit(wire.now, ETH0, &mut out, 100);
    let server = host.tcp_accept(wire.now, listener).unwrap();
    let mut cookie = Bytes::from(vec![1; 36]);
    let _ = host.tcp_write(wire.now, client, &mut cookie).unwrap();
    host.poll_transmit(wire.now, ETH0, &mut out, 100);
    let mut data = Bytes::from(vec![7; 3_000_000]);
    let mut got = Vec::new();
    let mut now = wire.now;
    let end = now + 100 * MS;
    while got.len() < 3_000_000 {
        let host = &mut wire.hosts[0];
        assert!(now < end, "{} at {now}, {:?}", got.len(), host.tcp_info(now, server));
        now += 1_000 * Duration::from_nanos(100);
        if !data.is_empty() {
            let _ = host.tcp_write(now, server, &mut data);
        }
        host.poll_transmit(now, ETH0, &mut out, 100);
        now += Duration::from_micros(10);
        read_all(host, now, client, &mut got);
        host.handle_timeout(now);
        host.poll_transmit(now, ETH0, &mut out, 100);
    }
}

#[test]
fn whoever_fills_the_send_buffer_is_told_of_room() {
    let mut wire = Wire::new();
    let (client, server) = wire.connected("10.0.0.2:80");
    while wire.hosts[0].poll_event().is_some() {}
    let room = wire.hosts[0].tcp_readiness(client).writable;
    let mut data = Bytes::from(vec![0; room]);
    assert_eq!(
        wire.hosts[0].tcp_write(wire.now, client, &mut data),
        Ok(room),
        "all of it, and not a byte refused"
    );
    let mut told = false;
    wire.until(|hosts, now| {
        read_all(&mut hosts[1], now, server, &mut Vec::new());
        told |= hosts[0].poll_event().is_some();
        told && hosts[0].tcp_readiness(client).writable > 0
    });
}

#[test]
fn a_gateway_decides_on_strays() {
    let config = HostConfig {
        any_address: true,
        ..HostConfig::default()
    };
    let mut wire = Wire::with(HostConfig::default(), config);
    let to = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let ids: Vec<TcpId> = (1..=3)
        .map(|port| {
            wire.hosts[0]
                .tcp_connect(wire.now, None, to(port), TcpOptions::default())
                .unwrap()
        })
        .collect();
    wire.run(50 * MS);
    let mut accepted = None;
    while let Some(stray) = wire.hosts[1].poll_stray() {
        let Stray::Syn { id, local, .. } = stray else {
            panic!("{stray:?}")
        };
        let answer = match local.port() {
            1 => SynAnswer::Accept(TcpOptions::default()),
            2 => SynAnswer::Refuse,
            _ => SynAnswer::Unreachable(crate::socket::Unreachable::Host),
        };
        accepted = wire.hosts[1].answer_syn(wire.now, id, answer).or(accepted);
    }
    wire.run(50 * MS);
    let state = |wire: &Wire, n: usize| wire.hosts[0].tcp_state(ids[n]);
    assert_eq!(
        [state(&wire, 0), state(&wire, 1), state(&wire, 2)],
        [State::Established, State::Closed, State::Closed]
    );
    assert_eq!(
        wire.hosts[0].tcp_take_error(ids[1]),
        Some(crate::error::SocketError::ConnectionRefused)
    );
    assert_eq!(
        wire.hosts[0].tcp_take_error(ids[2]),
        Some(crate::error::SocketError::HostUnreachable)
    );
    assert_eq!(wire.hosts[1].tcp_local(accepted.unwrap()), Some(to(1)));
}

/// ip(7) IP_LOCAL_PORT_RANGE: port 0 is chosen from the socket's own range, and from no other when that is full.
#[test]
fn a_socket_may_bring_its_own_range_of_ports() {
    let mut host = host(1, 1, HostConfig::default());
    let options = BindOptions {
        port_range: Some((61_000, 61_001)),
        ..BindOptions::default()
    };
    let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let one = host.tcp_bind(any, options).unwrap();
    let two = host.tcp_bind(any, options).unwrap();
    let mut ports = [one.local().port(), two.local().port()];
    ports.sort_unstable();
    assert_eq!(ports, [61_000, 61_001]);
    assert_eq!(
        host.tcp_bind(any, options).unwrap_err(),
        crate::error::BindError::PortsExhausted
    );
    let udp = host.udp_bind(any, options).unwrap();
    assert!((61_000..=61_001).contains(&host.udp_local(udp).unwrap().port()));
    let freed = one.local().port();
    host.tcp_unbind(one);
    assert_eq!(host.tcp_bind(any, options).unwrap().local().port(), freed);
}

/// However many wait for a slow link, none costs anything until there is room. "Work follows events": ARCHITECTURE.md.
#[test]
fn who_waits_for_a_full_queue_is_not_visited() {
    let mut wire = Wire::new();
    let pairs: Vec<_> = (0..200)
        .map(|n| wire.connected(&format!("10.0.0.2:{}", 1_000 + n)))
        .collect();
    wire.run(SECOND);
    for (id, _) in &pairs {
        let written = wire.hosts[0].tcp_write(wire.now, *id, &mut Bytes::from_static(b"x"));
        assert_eq!(written, Ok(1));
    }
    // As many as the queue takes have moved there, the rest waits apart, and so does the last of those: it may have more.
    wire.hosts[0].poll_transmit(wire.now, InterfaceId::LOOPBACK, &mut VecDeque::new(), 1);
    assert_eq!(wire.hosts[0].tcp.ready.len(), 0);
    assert_eq!(wire.hosts[0].tcp.blocked[1].len(), 200 - 64 + 1);
    wire.run(SECOND);
    assert_eq!(wire.hosts[0].tcp.blocked[1].len(), 0);
    for (_, id) in pairs {
        let mut got = Vec::new();
        read_all(&mut wire.hosts[1], wire.now, id, &mut got);
        assert_eq!(got, b"x");
    }
}
