use crate::world::{World, numbered};
use sockeye::addresses::{GATEWAY_V4, PROGRAM_V4};
use sockeye::gateway::{GatewayConfig, Protocol, Publish, PublishPolicy};
use sockeye_core::error::SocketError;
use sockeye_core::socket::Close;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

fn at(protocol: Protocol, inside: &str, outside: Option<&str>) -> Publish {
    Publish {
        protocol,
        inside: inside.parse().unwrap(),
        only_v6: false,
        outside: outside.map(|text| text.parse().unwrap()),
    }
}

#[test]
fn a_client_outside_reaches_the_program() {
    for listen in ["0.0.0.0:8000", "127.0.0.1:8000", "[::]:8000"] {
        let mut world = World::new();
        let listener = world.listen(listen.parse().unwrap());
        let outside = world
            .gateway
            .publish(at(Protocol::Tcp, listen, Some("127.0.0.1:0")))
            .unwrap();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(outside).unwrap();
            stream.write_all(&numbered(100_000)).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            (all, stream.local_addr().unwrap())
        });
        let id = world.accept(listener);
        let all = world.read_all(id);
        assert!(all == numbered(100_000), "{listen}");
        world.write(id, b"thanks");
        let peer = world.program.tcp_peer(id).unwrap();
        world.close(id, Close::Graceful);
        world.until("the client", |_| client.is_finished().then_some(()));
        let (answer, from) = client.join().unwrap();
        assert_eq!(answer, b"thanks");
        assert_eq!(peer.port(), from.port(), "{listen}");
        assert_eq!(peer.ip().to_canonical(), GATEWAY_V4, "{listen}");
    }
}

#[test]
fn nobody_inside_is_a_reset_outside() {
    let mut world = World::new();
    let outside = world
        .gateway
        .publish(at(Protocol::Tcp, "0.0.0.0:8001", Some("127.0.0.1:0")))
        .unwrap();
    let client = thread::spawn(move || {
        TcpStream::connect(outside)
            .unwrap()
            .read(&mut [0; 8])
            .unwrap_err()
            .kind()
    });
    world.until("the client", |_| client.is_finished().then_some(()));
    assert_eq!(client.join().unwrap(), ErrorKind::ConnectionReset);
}

#[test]
fn ports_come_and_go_with_their_listeners() {
    let mut world = World::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let inside = SocketAddr::new([0, 0, 0, 0].into(), free.port());
    let what = at(Protocol::Tcp, &inside.to_string(), None);
    assert_eq!(world.gateway.on_listen(what).unwrap().unwrap(), free);
    TcpStream::connect(free).unwrap();
    // The machine's port leads to the program, so the program does not get there through it.
    assert_eq!(world.connect(free), Err(SocketError::ConnectionRefused));
    world.gateway.unpublish(Protocol::Tcp, inside);
    TcpStream::connect(free).unwrap_err();
}

#[test]
fn a_taken_port_is_said_so() {
    let mut world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let outside = taken.local_addr().unwrap();
    let error = world
        .gateway
        .on_listen(at(Protocol::Tcp, &format!("0.0.0.0:{}", outside.port()), None))
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&outside.to_string()), "{error}");
    let explicit = |rule: &str| {
        sockeye::gateway::Gateway::new(GatewayConfig {
            publish: PublishPolicy::Explicit(vec![rule.parse().unwrap()]),
            ..GatewayConfig::default()
        })
    };
    explicit(&format!("127.0.0.1:{}:80", outside.port())).unwrap_err();
    explicit("127.0.0.1:0:80").unwrap();
}

#[test]
fn datagrams_of_clients_reach_the_program_and_back() {
    let mut world = World::new();
    let id = world.udp("0.0.0.0:5353");
    let outside = world
        .gateway
        .publish(at(Protocol::Udp, "0.0.0.0:5353", Some("127.0.0.1:0")))
        .unwrap();
    let clients = [
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    ];
    for client in &clients {
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        client.send_to(b"question", outside).unwrap();
    }
    for _ in &clients {
        let question = world.recv(id);
        assert_eq!(
            (&question.data[..], question.from.ip()),
            (&b"question"[..], GATEWAY_V4.into())
        );
        assert_eq!(question.to.ip(), PROGRAM_V4);
        world.send_to(id, question.from, format!("answer {}", question.from.port()).as_bytes());
    }
    for client in &clients {
        let mut buf = [0; 64];
        let (n, from) = client.recv_from(&mut buf).unwrap();
        assert_eq!(
            (from, &buf[..n]),
            (
                outside,
                format!("answer {}", client.local_addr().unwrap().port()).as_bytes()
            )
        );
    }
}
