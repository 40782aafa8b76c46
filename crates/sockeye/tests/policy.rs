//! A gateway as a library: one decision a flow, relays to the machine's sockets or to whoever wants to be spoken with, over a link of tokio's.

use sockeye::gateway::{Decision, Gateway, GatewayConfig, Protocol, Request};
use sockeye::link::{self, MemoryLink};
use sockeye::{Host, net::TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A host as `sockeye run` gives it to a program, behind a gateway with this policy.
fn program(policy: impl FnMut(&Request<'_>) -> Decision + Send + 'static) -> Host {
    let (inside, outside) = link::pair();
    let mut gateway = Gateway::new(GatewayConfig::default()).unwrap();
    gateway.set_policy(policy);
    gateway.set_processes(|_, inside| Some(u32::from(inside.port()) + 1));
    tokio::spawn(gateway.run(outside));
    host(inside)
}

fn host(link: MemoryLink) -> Host {
    let host = Host::builder().address("10.0.2.15/24").route("0.0.0.0/0", "10.0.2.2");
    host.link(link).build().unwrap()
}

/// A server of the machine that echoes one connection to its end.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        std::io::copy(&mut &stream, &mut &stream).unwrap();
    });
    address
}

async fn echo(mut stream: TcpStream, bytes: usize) -> usize {
    let (mut read, mut write) = stream.split();
    let sent = vec![7; bytes];
    let (written, got) = tokio::join!(
        async {
            write.write_all(&sent).await?;
            write.shutdown().await
        },
        async {
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.map(|_| got)
        }
    );
    written.unwrap();
    let got = got.unwrap();
    assert!(got.iter().all(|byte| *byte == 7));
    got.len()
}

#[tokio::test]
async fn allowed_and_redirected_connections_reach_the_machine() {
    let server = echo_server();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let host = program(move |request| {
        let seen_now = (
            request.protocol,
            request.outside,
            request.process == Some(u32::from(request.inside.port()) + 1),
        );
        seen.lock().unwrap().push(seen_now);
        if request.outside.port() == 7 {
            Decision::Redirect(server)
        } else {
            Decision::Allow
        }
    });
    let stream = host.tcp_connect("192.0.2.9:7").await.unwrap();
    assert_eq!(stream.peer_addr().unwrap().to_string(), "192.0.2.9:7");
    assert_eq!(echo(stream, 300_000).await, 300_000);
    let server = echo_server();
    let stream = host.tcp_connect((Ipv4Addr::new(10, 0, 2, 2), server.port())).await;
    assert_eq!(
        stream.unwrap_err().kind(),
        ErrorKind::ConnectionRefused,
        "services are not asked about"
    );
    let want: Vec<_> = ["192.0.2.9:7".parse().unwrap()]
        .map(|to| (Protocol::Tcp, to, true))
        .into();
    assert_eq!(*asked.lock().unwrap(), want);
}

#[tokio::test]
async fn refused_and_dropped_connections_reach_nobody() {
    let host = program(|request| match request.outside.port() {
        1 => Decision::Refuse,
        _ => Decision::Drop,
    });
    let error = host.tcp_connect("192.0.2.9:1").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.raw_os_error()),
        (ErrorKind::ConnectionRefused, Some(111))
    );
    let dropped = tokio::time::timeout(Duration::from_millis(1_500), host.tcp_connect("192.0.2.9:2"));
    assert!(dropped.await.is_err(), "somebody answered");
}

#[tokio::test]
async fn a_connection_is_taken_over_by_a_thread_of_the_user() {
    let host = program(|_| {
        let (mut mine, its) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut heard = Vec::new();
            mine.read_to_end(&mut heard).unwrap(); // The program's end of stream comes over.
            let answer = heard.iter().rev().copied().collect::<Vec<_>>();
            mine.write_all(&answer).unwrap();
        });
        Decision::Handle(its)
    });
    let mut stream = host.tcp_connect("192.0.2.9:80").await.unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    got.reverse();
    assert!(got == sent, "{} of {} bytes, or others", got.len(), sent.len());
}

#[tokio::test]
async fn a_handler_that_goes_ends_the_connection() {
    let host = program(|_| Decision::Handle(UnixStream::pair().unwrap().0));
    let mut stream = host.tcp_connect("192.0.2.9:80").await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn datagrams_are_allowed_refused_dropped_and_redirected() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 64];
        for _ in 0..2 {
            let (n, from) = server.recv_from(&mut buf).unwrap();
            server.send_to(&buf[..n], from).unwrap();
        }
    });
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let host = program(move |request| {
        assert_eq!(request.protocol, Protocol::Udp);
        *count.lock().unwrap() += 1;
        match request.outside.port() {
            1 => Decision::Refuse,
            2 => Decision::Drop,
            _ => Decision::Redirect(at),
        }
    });
    let socket = host.udp_bind("0.0.0.0:0").await.unwrap();
    let mut buf = [0; 64];
    for text in [b"one", b"two"] {
        socket.send_to(text, "192.0.2.9:53").await.unwrap();
        let (n, from) = socket.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..n], from.to_string()), (&text[..], "192.0.2.9:53".to_owned()));
    }
    assert_eq!(*asked.lock().unwrap(), 1, "the second datagram was asked about, too");
    let refused = host.udp_bind("0.0.0.0:0").await.unwrap();
    refused.connect("192.0.2.9:1").await.unwrap();
    refused.send(b"x").await.unwrap();
    assert_eq!(
        refused.recv(&mut buf).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    let dropped = host.udp_bind("0.0.0.0:0").await.unwrap();
    dropped.connect("192.0.2.9:2").await.unwrap();
    dropped.send(b"x").await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(300), dropped.recv(&mut buf)).await;
    assert!(silence.is_err(), "somebody answered");
}

#[tokio::test]
async fn links_without_offload_and_links_too_small() {
    let server = echo_server();
    let (inside, outside) = link::pair();
    let mut gateway = Gateway::new(GatewayConfig::default()).unwrap();
    gateway.set_policy(move |_| Decision::Redirect(server));
    tokio::spawn(gateway.run(outside.gso(false)));
    let host = host(inside.gso(false));
    assert_eq!(
        echo(host.tcp_connect("192.0.2.9:7").await.unwrap(), 200_000).await,
        200_000
    );
    let (_inside, outside) = link::pair();
    let gateway = Gateway::new(GatewayConfig::default()).unwrap();
    let error = gateway.run(outside.mtu(1_400)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
