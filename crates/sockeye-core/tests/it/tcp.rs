//! TCP between two hosts: cases that random transfers met once, or hardly ever meet.

use bytes::Bytes;
use sockeye_core::sim::{HostId, LinkConfig, Sim};
use sockeye_core::socket::{BindOptions, TcpId, TcpOptions};
use sockeye_core::time::{MS, SECOND};
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
