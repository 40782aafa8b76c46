use crate::world::{World, loopbacks};
use sockeye_core::error::SocketError;
use sockeye_core::socket::UdpOptions;
use std::net::UdpSocket;
use std::time::Duration;

fn kernel(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

#[test]
fn datagrams_go_out_and_their_answers_come_back() {
    for at in loopbacks() {
        let mut world = World::new();
        let server = kernel(at);
        let to = server.local_addr().unwrap();
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let id = world.udp(any);
        for size in [0, 1, 1_400, 9_000, 60_000] {
            world.send_to(id, to, &vec![7; size]);
            let mut buf = vec![0; 65_536];
            let (n, from) = server
                .recv_from(&mut buf)
                .unwrap_or_else(|error| panic!("{at} {size}: {error}"));
            assert_eq!(n, size);
            server.send_to(&buf[..n], from).unwrap();
            let answer = world.recv(id);
            assert_eq!((answer.from, &answer.data[..]), (to, &buf[..n]), "{at} {size}");
        }
        let flow = world.gateway.flows().remove(0);
        assert_eq!((flow.outside, flow.sent, flow.received), (to, 70_401, 70_401));
    }
}

#[test]
fn everybody_outside_sees_one_port() {
    let mut world = World::new();
    let (one, other) = (kernel("127.0.0.1:0"), kernel("127.0.0.1:0"));
    let id = world.udp("0.0.0.0:0");
    let mut seen = Vec::new();
    for server in [&one, &other] {
        world.send_to(id, server.local_addr().unwrap(), b"hello");
        seen.push(server.recv_from(&mut [0; 8]).unwrap().1);
    }
    assert_eq!(seen[0], seen[1]);
    // And whoever was told of it may answer, TFTP's way.
    let third = kernel("127.0.0.1:0");
    third.send_to(b"from elsewhere", seen[0]).unwrap();
    assert_eq!(world.recv(id).from, third.local_addr().unwrap());
}

#[test]
fn a_closed_port_is_an_error_of_the_socket() {
    for at in loopbacks() {
        let mut world = World::new();
        let closed = kernel(at).local_addr().unwrap();
        let id = world.udp(if closed.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" });
        world.program.udp_set_options(
            id,
            UdpOptions {
                recverr: true,
                ..UdpOptions::default()
            },
        );
        world.program.udp_connect(id, Some(closed)).unwrap();
        world.send_to(id, closed, b"anybody?");
        let error = world.until("an error", |world| world.program.udp_take_error(id));
        assert_eq!(error, SocketError::ConnectionRefused, "{at}");
        assert_eq!(world.gateway.counters().udp_errors, 1);
    }
}

#[test]
fn idle_ones_are_let_go() {
    let mut world = World::new();
    let server = kernel("127.0.0.1:0");
    let id = world.udp("0.0.0.0:0");
    world.send_to(id, server.local_addr().unwrap(), b"one");
    let first = server.recv_from(&mut [0; 8]).unwrap().1;
    world.skip(Duration::from_secs(50));
    world.send_to(id, server.local_addr().unwrap(), b"two");
    assert_eq!(server.recv_from(&mut [0; 8]).unwrap().1, first);
    world.skip(Duration::from_secs(70));
    let state = world.gateway.flows().remove(0).state;
    assert_eq!(state, sockeye::gateway::FlowState::Closed);
    world.send_to(id, server.local_addr().unwrap(), b"three");
    server.recv_from(&mut [0; 8]).unwrap();
}

#[test]
fn the_machines_loopback_answers_pings() {
    let mut world = World::new();
    let id = world.program.ping_open("0.0.0.0:0".parse().unwrap()).unwrap();
    let now = world.now();
    let mut request = vec![8, 0, 0, 0, 0, 0, 0, 1];
    request.extend_from_slice(b"ping!");
    let datagram = sockeye_core::socket::Outgoing {
        to: Some("127.0.0.9:0".parse().unwrap()),
        data: request.into(),
        ..Default::default()
    };
    world.program.raw_send(now, id, datagram).unwrap();
    let answer = world.until("an echo", |world| world.program.raw_recv(id));
    assert_eq!((answer.data[0], &answer.data[8..]), (0, &b"ping!"[..]));
}
