use crate::world::{World, loopbacks, numbered};
use rustix::net::sockopt::set_socket_linger;
use sockeye::gateway::{FlowState, GatewayConfig};
use sockeye_core::error::SocketError;
use sockeye_core::netem::{Loss, Netem};
use sockeye_core::socket::Close;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A kernel server for one connection.
fn server<T: Send + 'static>(
    at: &str,
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind(at).unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn bytes_go_both_ways_and_ends_carry_over() {
    for at in loopbacks() {
        let mut world = World::new();
        let data = numbered(3 << 20);
        let (address, served) = server(at, |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
            all.len()
        });
        let id = world.connect(address).unwrap();
        world.write(id, &data);
        world.shutdown(id);
        assert!(world.read_all(id) == data, "{at}");
        assert_eq!(served.join().unwrap(), data.len());
        let gone = |world: &mut World| {
            world
                .gateway
                .flows()
                .first()
                .filter(|flow| flow.state == FlowState::Closed)
                .cloned()
        };
        let flow = world.until("the end of the flow", gone);
        assert_eq!((flow.sent, flow.received), (data.len() as u64, data.len() as u64));
        assert_eq!((flow.outside, flow.connect_time.is_some()), (address, true));
        assert_eq!(world.gateway.counters().tcp_opened, 1);
    }
}

#[test]
fn a_closed_port_refuses_inside_too() {
    let mut world = World::new();
    assert_eq!(world.connect(closed_port()), Err(SocketError::ConnectionRefused));
    assert_eq!(world.gateway.counters().tcp_refused, 1);
    for nobody in ["10.0.2.2:81", "10.0.2.3:80", "[fd00::2]:1"] {
        assert_eq!(
            world.connect(nobody.parse().unwrap()),
            Err(SocketError::ConnectionRefused),
            "{nobody}"
        );
    }
}

#[test]
fn there_is_nobody_else_on_the_inside_network() {
    let mut world = World::new();
    for nobody in ["10.0.2.99:80", "[fd00::99]:80"] {
        assert_eq!(
            world.connect(nobody.parse().unwrap()),
            Err(SocketError::HostUnreachable),
            "{nobody}"
        );
    }
}

#[test]
fn the_machines_loopback_can_be_closed() {
    let mut world = World::with(GatewayConfig {
        host_loopback: false,
        ..GatewayConfig::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(
        world.connect(listener.local_addr().unwrap()),
        Err(SocketError::ConnectionRefused)
    );
}

#[test]
fn a_reset_outside_comes_after_the_bytes_before_it() {
    let mut world = World::new();
    let data = numbered(50_000);
    let bytes = data.clone();
    let (tell, told) = mpsc::channel::<()>();
    let (address, served) = server("127.0.0.1:0", move |mut stream| {
        stream.write_all(&bytes).unwrap();
        told.recv().unwrap();
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let id = world.connect(address).unwrap();
    let flowed = |world: &mut World| (world.gateway.flows()[0].received >= 50_000).then_some(());
    world.until("the bytes to pass the gateway", flowed);
    tell.send(()).unwrap();
    served.join().unwrap();
    let (got, error) = world.read(id, usize::MAX).expect_err("a reset");
    assert_eq!((got == data, error), (true, SocketError::ConnectionReset));
}

#[test]
fn a_reset_inside_reaches_the_server() {
    let mut world = World::new();
    let (address, served) = server("127.0.0.1:0", |mut stream| {
        let mut all = Vec::new();
        (stream.read_to_end(&mut all).unwrap_err().kind(), all.len())
    });
    let id = world.connect(address).unwrap();
    world.write(id, b"half a word");
    world.until("the bytes to arrive", |world| {
        (world.gateway.flows()[0].sent == 11).then_some(())
    });
    world.close(id, Close::Reset);
    world.until("the reset", |world| {
        (world.gateway.flows()[0].state == FlowState::Reset).then_some(())
    });
    assert_eq!(served.join().unwrap(), (ErrorKind::ConnectionReset, 11));
}

#[test]
fn a_server_that_does_not_read_stops_the_program() {
    let mut world = World::new();
    let (tell, told) = mpsc::channel::<()>();
    let (address, served) = server("127.0.0.1:0", move |mut stream| {
        told.recv().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let id = world.connect(address).unwrap();
    let data = numbered(64 << 20);
    let mut left = bytes::Bytes::from(data.clone());
    let mut stuck = (0, std::time::Instant::now());
    world.until("the program to be stopped", |world| {
        let now = world.now();
        let _ = world.program.tcp_write(now, id, &mut left);
        if left.len() != stuck.0 {
            stuck = (left.len(), std::time::Instant::now());
        }
        (stuck.1.elapsed() > Duration::from_millis(300)).then_some(())
    });
    assert!(left.len() > 32 << 20, "only {} bytes held back", left.len());
    tell.send(()).unwrap();
    world.until("the rest to go", |world| {
        let now = world.now();
        let _ = world.program.tcp_write(now, id, &mut left);
        left.is_empty().then_some(())
    });
    world.shutdown(id);
    world.until("the server", |_| served.is_finished().then_some(()));
    assert!(served.join().unwrap() == data);
}

#[test]
fn a_program_that_does_not_read_stops_the_server() {
    let mut world = World::new();
    let (address, served) = server("127.0.0.1:0", |mut stream| {
        let data = numbered(32 << 20);
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(&data).unwrap();
    });
    let id = world.connect(address).unwrap();
    let mut stuck = (0, std::time::Instant::now());
    let held = world.until("the server to be stopped", |world| {
        let received = world.gateway.flows()[0].received;
        if received != stuck.0 {
            stuck = (received, std::time::Instant::now());
        }
        (stuck.1.elapsed() > Duration::from_millis(300)).then_some(received)
    });
    assert!(held < 16 << 20, "{held} bytes were taken from the server for nobody");
    assert!(world.read_all(id) == numbered(32 << 20));
    served.join().unwrap();
}

#[test]
fn many_connections_at_once() {
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        for _ in 0..100 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        }
    });
    let ids: Vec<_> = (0..100).map(|_| world.connect(address).unwrap()).collect();
    for (n, id) in ids.iter().enumerate() {
        world.write(*id, &numbered(n * 100));
        world.shutdown(*id);
    }
    for (n, id) in ids.into_iter().enumerate() {
        assert!(world.read_all(id) == numbered(n * 100), "{n}");
        world.close(id, Close::Graceful);
    }
    served.join().unwrap();
}

#[test]
fn a_bad_link_changes_nothing_but_the_time() {
    let netem = Netem {
        loss: Loss::Random(0.03),
        reorder: 0.05,
        duplicate: 0.02,
        corrupt: 0.005,
        delay: Duration::from_millis(3),
        jitter: Duration::from_millis(1),
        ..Netem::default()
    };
    for at in loopbacks() {
        let mut world = World::over(GatewayConfig::default(), &netem);
        let data = numbered(1 << 20);
        let (address, served) = server(at, |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let id = world.connect(address).unwrap();
        world.write(id, &data);
        world.shutdown(id);
        assert!(world.read_all(id) == data, "{at}");
        served.join().unwrap();
        let retransmitted = world.gateway.host().counters().tcp_retrans_segs;
        assert!(retransmitted > 0 && world.pipes.iter().all(|pipe| pipe.counters().lost > 0));
    }
}
