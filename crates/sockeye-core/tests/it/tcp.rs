//! TCP between two hosts: cases that random transfers met once, or hardly ever meet.

use bytes::Bytes;
use sockeye_core::HostConfig;
use sockeye_core::buf::Rope;
use sockeye_core::error::{SocketError, WriteError};
use sockeye_core::settings::Settings;
use sockeye_core::sim::{HostId, LinkConfig, Sim};
use sockeye_core::socket::{BindOptions, Close, Shutdown, State, TcpId, TcpOptions};
use sockeye_core::time::{Duration, MS, SECOND};
use std::net::SocketAddr;

/// A connection from `a` to `b`, accepted.
fn connected(sim: &mut Sim, a: HostId, b: HostId, options: [TcpOptions; 2]) -> (TcpId, TcpId) {
    let link = sim.link_between(a, b).expect("they are linked");
    let to = SocketAddr::new(sim.address(b, link, false), 80);
    let [client, server] = options;
    let listener = sim.on(b, |host, now| {
        let binding = host.tcp_bind(to, BindOptions::default()).expect("the port is free");
        host.tcp_listen(now, binding, 16, server).expect("nobody else listens")
    });
    let client = sim
        .on(a, |host, now| host.tcp_connect(now, None, to, client))
        .expect("a route exists");
    let accepted = |sim: &mut Sim| sim.look(b).listener_pending(listener) > 0;
    assert!(sim.run_while(60 * SECOND, accepted), "no connection");
    let server = sim
        .on(b, |host, now| host.tcp_accept(now, listener))
        .expect("it is pending");
    (client, server)
}

/// Small segments into a reader that reads nothing: what is held stays within the limit and what the window's granularity adds once.
#[test]
fn a_full_receive_buffer_takes_no_more() {
    let (mut sim, a, b) = Sim::pair(1, &LinkConfig::default());
    let small = TcpOptions {
        nodelay: true,
        max_segment: Some(123),
        ..TcpOptions::default()
    };
    let limit = 131_072;
    let (client, server) = connected(&mut sim, a, b, [small, TcpOptions::default()]);
    for _ in 0..20_000 {
        let _ = sim.on(a, |host, now| {
            host.tcp_write(now, client, &mut Bytes::from_static(&[1; 15]))
        });
        sim.run_for(MS);
    }
    let held = sim.look(b).tcp_readiness(server).readable;
    assert!((limit - 1_000..=limit + 128).contains(&held), "{held} bytes held");
}

fn pair(line: &str) -> (Sim, HostId, HostId) {
    Sim::pair(1, &LinkConfig::both(line.parse().expect("a good line")))
}

fn both_default() -> [TcpOptions; 2] {
    [TcpOptions::default(), TcpOptions::default()]
}

fn netem(sim: &mut Sim, from: HostId, to: HostId, line: &str) {
    let link = sim.link_between(from, to).expect("they are linked");
    sim.set_netem(from, link, &line.parse().expect("a good line"));
}

fn write(sim: &mut Sim, host: HostId, id: TcpId, bytes: usize) -> usize {
    let mut data = Bytes::from(vec![7; bytes]);
    sim.on(host, |host, now| host.tcp_write(now, id, &mut data))
        .unwrap_or(0)
}

/// Reads all there is; how much that was.
fn read(sim: &mut Sim, host: HostId, id: TcpId) -> usize {
    let mut rope = Rope::new();
    sim.on(
        host,
        |host, now| while host.tcp_read(now, id, usize::MAX, &mut rope) > 0 {},
    );
    rope.len()
}

fn close(sim: &mut Sim, host: HostId, id: TcpId, how: Close) {
    sim.on(host, |host, now| host.tcp_close(now, id, how));
}

/// When a connection has an error, within a time, and which.
fn failure(sim: &mut Sim, host: HostId, id: TcpId, within: Duration) -> Option<(Duration, SocketError)> {
    let start = sim.now();
    let failed = sim.run_while(within, |sim| sim.look(host).tcp_readiness(id).error.is_some());
    let after = sim.now().since(start);
    let error = sim.on(host, |host, _| host.tcp_take_error(id));
    if failed {
        error.map(|error| (after, error))
    } else {
        None
    }
}

fn assert_between(what: &str, time: Duration, low: Duration, high: Duration) {
    assert!(
        (low..=high).contains(&time),
        "{what}: after {time:?}, want {low:?} to {high:?}"
    );
}

#[test]
fn a_port_nobody_listens_on_refuses() {
    for v6 in [false, true] {
        let (mut sim, a, b) = pair("delay 10ms");
        let link = sim.link_between(a, b).expect("they are linked");
        let to = SocketAddr::new(sim.address(b, link, v6), 81);
        let id = sim
            .on(a, |host, now| host.tcp_connect(now, None, to, TcpOptions::default()))
            .expect("a route exists");
        let (after, error) = failure(&mut sim, a, id, SECOND).expect("it fails");
        assert_eq!((after, error), (20 * MS, SocketError::ConnectionRefused));
        assert!(sim.look(a).tcp_readiness(id).closed);
    }
}

/// RFC 9293 §3.8.3 MUST-20: a SYN that nobody answers is given up after `tcp_syn_retries`: 1 + 2 + 4 .. + 64 seconds.
#[test]
fn nobody_answers_a_syn() {
    let (mut sim, a, b) = pair("loss 100%");
    let link = sim.link_between(a, b).expect("they are linked");
    let to = SocketAddr::new(sim.address(b, link, false), 80);
    let id = sim
        .on(a, |host, now| host.tcp_connect(now, None, to, TcpOptions::default()))
        .expect("a route exists");
    let (after, error) = failure(&mut sim, a, id, 600 * SECOND).expect("it fails");
    assert_eq!(error, SocketError::TimedOut);
    assert_between("SYN", after, 126 * SECOND, 130 * SECOND);
    assert_eq!(sim.netem(link).0.lost, 7);
}

/// RFC 5482 and RFC 9293 §3.8.3: the user timeout ends a connection whose data is not acknowledged.
#[test]
fn the_user_timeout_ends_a_silent_connection() {
    let (mut sim, a, b) = pair("delay 10ms");
    let mut options = both_default();
    options[0].user_timeout = Some(5 * SECOND);
    let (client, _) = connected(&mut sim, a, b, options);
    netem(&mut sim, a, b, "loss 100%");
    let _ = write(&mut sim, a, client, 1000);
    let (after, error) = failure(&mut sim, a, client, 600 * SECOND).expect("it fails");
    assert_eq!(error, SocketError::TimedOut);
    assert_between("user timeout", after, 5 * SECOND, 8 * SECOND);
}

/// RFC 9293 §3.8.3 R2: without a user timeout the host's own patience ends it, after some 15 minutes.
#[test]
fn retransmission_ends_in_the_end() {
    let (mut sim, a, b) = pair("delay 10ms");
    let (client, server) = connected(&mut sim, a, b, both_default());
    netem(&mut sim, a, b, "loss 100%");
    let _ = write(&mut sim, a, client, 1000);
    let (after, error) = failure(&mut sim, a, client, 3_600 * SECOND).expect("it fails");
    assert_eq!(error, SocketError::TimedOut);
    assert_between("retransmission", after, 800 * SECOND, 1_100 * SECOND);
    // The other side learns of it when it speaks.
    netem(&mut sim, a, b, "");
    let _ = write(&mut sim, b, server, 1);
    let (_, error) = failure(&mut sim, b, server, 10 * SECOND).expect("it fails");
    assert_eq!(error, SocketError::ConnectionReset);
}

/// RFC 9293 §3.8.4: keepalive.
#[test]
fn keepalive_finds_a_dead_peer_and_leaves_a_live_one() {
    let (mut sim, a, b) = pair("delay 10ms");
    let mut options = both_default();
    options[0] = TcpOptions {
        keepalive: true,
        keepalive_time: Some(10 * SECOND),
        keepalive_intvl: Some(SECOND),
        keepalive_probes: Some(3),
        ..TcpOptions::default()
    };
    let (client, server) = connected(&mut sim, a, b, options);
    assert!(failure(&mut sim, a, client, 300 * SECOND).is_none());
    assert_eq!(read(&mut sim, b, server), 0);
    netem(&mut sim, a, b, "loss 100%");
    let (after, error) = failure(&mut sim, a, client, 300 * SECOND).expect("it fails");
    assert_eq!(error, SocketError::TimedOut);
    assert_between("keepalive", after, 3 * SECOND, 14 * SECOND);
}

/// RFC 9293 §3.8.6.1 MUST-36: a closed window is probed for as long as it takes, even when what opens it again is lost.
#[test]
fn a_window_that_opens_unheard_is_found_open() {
    let (mut sim, a, b) = pair("delay 10ms");
    let mut options = both_default();
    options[1].recv_buffer = Some(10_000);
    let (client, server) = connected(&mut sim, a, b, options);
    let mut sent = 0;
    for _ in 0..20 {
        sent += write(&mut sim, a, client, 10_000);
        sim.run_for(SECOND);
    }
    sim.run_for(1_800 * SECOND);
    assert_eq!(
        sim.look(a).tcp_readiness(client).error,
        None,
        "half an hour of a closed window is no failure"
    );
    netem(&mut sim, b, a, "loss 100%");
    let mut got = read(&mut sim, b, server);
    sim.run_for(SECOND);
    netem(&mut sim, b, a, "delay 10ms");
    for _ in 0..1_000 {
        sim.run_for(SECOND);
        got += read(&mut sim, b, server);
    }
    assert_eq!(got, sent);
}

/// RFC 9293 §3.6 and RFC 1122 §4.2.2.13: unread bytes at close mean that bytes are lost, and the other side is told by RST.
#[test]
fn closing_with_unread_bytes_resets() {
    let (mut sim, a, b) = pair("delay 10ms");
    let (client, server) = connected(&mut sim, a, b, both_default());
    let _ = write(&mut sim, a, client, 1000);
    sim.run_for(SECOND);
    close(&mut sim, b, server, Close::Graceful);
    let (_, error) = failure(&mut sim, a, client, SECOND).expect("it fails");
    assert_eq!(error, SocketError::ConnectionReset);
    sim.run_for(SECOND);
    assert_eq!(sim.look(b).tcp_ids().count(), 0);
}

#[test]
fn one_direction_closes_and_the_other_goes_on() {
    let (mut sim, a, b) = pair("delay 10ms");
    let (client, server) = connected(&mut sim, a, b, both_default());
    let _ = write(&mut sim, a, client, 100);
    sim.on(a, |host, now| host.tcp_shutdown(now, client, Shutdown::Write));
    sim.run_for(SECOND);
    assert_eq!(sim.look(a).tcp_state(client), State::FinWait2);
    assert_eq!(sim.look(b).tcp_state(server), State::CloseWait);
    assert!(sim.look(b).tcp_readiness(server).fin_received && !sim.look(b).tcp_readiness(server).eof);
    assert_eq!(read(&mut sim, b, server), 100);
    assert!(sim.look(b).tcp_readiness(server).eof);
    let mut got = 0;
    for _ in 0..100 {
        assert_eq!(write(&mut sim, b, server, 1_000), 1_000);
        sim.run_for(100 * MS);
        got += read(&mut sim, a, client);
    }
    assert_eq!(got, 100_000);
    let broken = sim.on(a, |host, now| {
        host.tcp_write(now, client, &mut Bytes::from_static(b"x"))
    });
    assert_eq!(broken, Err(WriteError::BrokenPipe));
    close(&mut sim, b, server, Close::Graceful);
    sim.run_for(SECOND);
    assert!(sim.look(a).tcp_readiness(client).eof);
    close(&mut sim, a, client, Close::Graceful);
    sim.run_for(SECOND);
    assert_eq!((sim.look(a).tcp_ids().count(), sim.look(b).tcp_ids().count()), (0, 0));
}

/// RFC 9293 §3.6: an orphan whose peer never closes does not wait for ever (Linux's tcp_fin_timeout).
#[test]
fn an_orphan_does_not_wait_for_ever() {
    let (mut sim, a, b) = pair("delay 10ms");
    let (client, _server) = connected(&mut sim, a, b, both_default());
    close(&mut sim, a, client, Close::Graceful);
    sim.run_for(300 * SECOND);
    assert_eq!(sim.look(a).tcp_ids().count(), 0);
    assert_eq!(sim.look(a).poll_timeout(), None);
}

/// RFC 9293 §3.5 figure 8: both sides connect at once, and one connection comes of it.
#[test]
fn both_connect_at_once() {
    for line in [
        "delay 10ms",
        "delay 10ms loss 20%",
        "delay 10ms jitter 5ms duplicate 30%",
    ] {
        for seed in 0..20 {
            let (mut sim, a, b) = Sim::pair(seed, &LinkConfig::both(line.parse().expect("a good line")));
            let link = sim.link_between(a, b).expect("they are linked");
            let at = |id, sim: &Sim| SocketAddr::new(sim.address(id, link, false), 5_000);
            let (here, there) = (at(a, &sim), at(b, &sim));
            let mut ids = Vec::new();
            for (id, local, remote) in [(a, here, there), (b, there, here)] {
                ids.push(sim.on(id, |host, now| {
                    let binding = host.tcp_bind(local, BindOptions::default()).expect("the port is free");
                    host.tcp_connect(now, Some(binding), remote, TcpOptions::default())
                        .expect("a route exists")
                }));
            }
            let done = sim.run_while(120 * SECOND, |sim| {
                [(a, ids[0]), (b, ids[1])]
                    .iter()
                    .all(|(id, tcp)| sim.look(*id).tcp_state(*tcp) == State::Established)
            });
            assert!(
                done,
                "{line}, seed {seed}: {:?} {:?}",
                sim.look(a).tcp_state(ids[0]),
                sim.look(b).tcp_state(ids[1])
            );
            let _ = write(&mut sim, a, ids[0], 10_000);
            let _ = write(&mut sim, b, ids[1], 10_000);
            sim.run_for(60 * SECOND);
            assert_eq!(
                (read(&mut sim, a, ids[0]), read(&mut sim, b, ids[1])),
                (10_000, 10_000),
                "{line}, seed {seed}"
            );
        }
    }
}

/// RFC 9293 §3.6.1 and RFC 6191: the same two ports again while TIME-WAIT lasts.
#[test]
fn a_port_in_time_wait_connects_again() {
    let (mut sim, a, b) = pair("delay 10ms");
    let link = sim.link_between(a, b).expect("they are linked");
    let to = SocketAddr::new(sim.address(b, link, false), 80);
    let local = SocketAddr::new(sim.address(a, link, false), 4_000);
    let reuse = BindOptions {
        reuse_address: true,
        ..BindOptions::default()
    };
    let listener = sim.on(b, |host, now| {
        let binding = host.tcp_bind(to, reuse).expect("the port is free");
        host.tcp_listen(now, binding, 16, TcpOptions::default())
            .expect("nobody else listens")
    });
    for round in 0..5 {
        let client = sim.on(a, |host, now| {
            let binding = host
                .tcp_bind(local, reuse)
                .unwrap_or_else(|error| panic!("round {round}: {error}"));
            host.tcp_connect(now, Some(binding), to, TcpOptions::default())
                .map_err(|(_, error)| error)
        });
        let client = client.unwrap_or_else(|error| panic!("round {round}: {error}"));
        sim.run_for(2 * SECOND);
        let server = sim
            .on(b, |host, now| host.tcp_accept(now, listener))
            .unwrap_or_else(|| panic!("round {round}: none"));
        assert_eq!(write(&mut sim, a, client, 500), 500);
        sim.run_for(SECOND);
        assert_eq!(read(&mut sim, b, server), 500);
        // The server closes first: TIME-WAIT is there, where the next SYN arrives.
        close(&mut sim, b, server, Close::Graceful);
        sim.run_for(SECOND);
        close(&mut sim, a, client, Close::Graceful);
        sim.run_for(SECOND);
    }
}

#[test]
fn what_was_not_accepted_is_reset_with_the_listener() {
    let (mut sim, a, b) = pair("delay 10ms");
    let link = sim.link_between(a, b).expect("they are linked");
    let to = SocketAddr::new(sim.address(b, link, false), 80);
    let listener = sim.on(b, |host, now| {
        let binding = host.tcp_bind(to, BindOptions::default()).expect("the port is free");
        host.tcp_listen(now, binding, 16, TcpOptions::default())
            .expect("nobody else listens")
    });
    let id = sim
        .on(a, |host, now| host.tcp_connect(now, None, to, TcpOptions::default()))
        .expect("a route exists");
    sim.run_for(SECOND);
    assert_eq!(sim.look(a).tcp_state(id), State::Established);
    sim.on(b, |host, now| host.listener_close(now, listener));
    let (_, error) = failure(&mut sim, a, id, SECOND).expect("it fails");
    assert_eq!(error, SocketError::ConnectionReset);
}

/// More clients than the queue holds, and no cookies: the others wait, none is refused, and all get in when the listener accepts.
#[test]
fn a_full_queue_makes_clients_wait() {
    let mut sim = Sim::new(1);
    let dropping = HostConfig {
        settings: Settings {
            tcp_syncookies: 0,
            ..Settings::default()
        },
        ..HostConfig::default()
    };
    let (a, b) = (sim.host("a"), sim.host_with("b", dropping));
    let link = sim.connect(a, b, &LinkConfig::both("delay 10ms".parse().expect("a good line")));
    let to = SocketAddr::new(sim.address(b, link, false), 80);
    let listener = sim.on(b, |host, now| {
        let binding = host.tcp_bind(to, BindOptions::default()).expect("the port is free");
        host.tcp_listen(now, binding, 3, TcpOptions::default())
            .expect("nobody else listens")
    });
    for _ in 0..20 {
        let _ = sim
            .on(a, |host, now| host.tcp_connect(now, None, to, TcpOptions::default()))
            .expect("a route exists");
    }
    sim.run_for(500 * MS);
    assert!(sim.look(b).listener_pending(listener) <= 4);
    let mut got = 0;
    for _ in 0..200 {
        while let Some(id) = sim.on(b, |host, now| host.tcp_accept(now, listener)) {
            got += 1;
            close(&mut sim, b, id, Close::Reset);
        }
        sim.run_for(SECOND);
    }
    assert_eq!(got, 20);
}

/// RFC 3522, RFC 5682: a path that suddenly takes longer makes for a false timeout, which is found out and undone.
#[test]
fn a_false_timeout_is_undone() {
    let (mut sim, a, b) = pair("delay 20ms");
    let (client, server) = connected(&mut sim, a, b, both_default());
    let mut got = 0;
    for round in 0..400 {
        if round == 100 {
            netem(&mut sim, b, a, "delay 400ms keep-order");
        }
        let _ = write(&mut sim, a, client, 20_000);
        sim.run_for(20 * MS);
        got += read(&mut sim, b, server);
    }
    let counters = sim.look(a).counters();
    assert!(got > 1_000_000, "{got} bytes");
    assert!(
        counters.tcp_retrans_segs < 40,
        "{} segments repeated needlessly",
        counters.tcp_retrans_segs
    );
}

/// Two thousand idle connections, and one that works: its cost is its own.
#[test]
fn many_idle_connections_and_a_busy_one() {
    let (mut sim, a, b) = pair("delay 1ms");
    let link = sim.link_between(a, b).expect("they are linked");
    let to = SocketAddr::new(sim.address(b, link, true), 80);
    let listener = sim.on(b, |host, now| {
        let binding = host.tcp_bind(to, BindOptions::default()).expect("the port is free");
        host.tcp_listen(now, binding, 4_096, TcpOptions::default())
            .expect("nobody else listens")
    });
    let mut servers = Vec::new();
    for n in 0..2_000 {
        let _ = sim
            .on(a, |host, now| host.tcp_connect(now, None, to, TcpOptions::default()))
            .expect("a route exists");
        if n % 100 == 99 {
            sim.run_for(100 * MS);
            servers.extend(std::iter::from_fn(|| {
                sim.on(b, |host, now| host.tcp_accept(now, listener))
            }));
        }
    }
    assert_eq!(servers.len(), 2_000);
    sim.run_for(10 * SECOND);
    assert_eq!(sim.look(a).poll_timeout(), None, "idle connections wait for nothing");
    let _ = sim.transfer(a, b, 100_000).unwrap_or_else(|stuck| panic!("{stuck}"));
}
