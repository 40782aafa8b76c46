//! Datagrams.

use super::*;
use std::future::poll_fn;
use tokio::io::{Interest, ReadBuf};

#[tokio::test]
async fn datagrams_arrive_with_their_sender() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let to = server.local_addr().unwrap();
    assert_eq!(client.send_to(b"hello", to).await.unwrap(), 5);
    let mut buf = [0; 16];
    let (n, from) = server.recv_from(&mut buf).await.unwrap();
    assert_eq!((&buf[..n], from), (&b"hello"[..], client.local_addr().unwrap()));
}

#[tokio::test]
async fn connected_sockets_speak_with_each_other() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    client.connect(server.local_addr().unwrap()).await.unwrap();
    server.connect(client.local_addr().unwrap()).await.unwrap();
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    client.send(b"ping").await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(server.recv(&mut buf).await.unwrap(), 4);
    server.send(b"pong!").await.unwrap();
    assert_eq!(client.recv(&mut buf).await.unwrap(), 5);
}

#[tokio::test]
async fn a_connected_socket_hears_only_its_remote() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let stranger = world.client(UdpSocket::bind((world.client_v4(), 0))).await.unwrap();
    server.connect(client.local_addr().unwrap()).await.unwrap();
    let to = server.local_addr().unwrap();
    stranger.send_to(b"stranger", to).await.unwrap();
    client.send_to(b"friend", to).await.unwrap();
    let mut buf = [0; 16];
    let n = server.recv(&mut buf).await.unwrap();
    assert_eq!(&buf[..n], b"friend");
}

#[tokio::test]
async fn connecting_fixes_the_local_address() {
    let world = World::new().await;
    let (_, server) = sockets(&world).await;
    let client = world.client(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    assert!(client.local_addr().unwrap().ip().is_unspecified());
    client.connect(server.local_addr().unwrap()).await.unwrap();
    assert_eq!(client.local_addr().unwrap().ip(), world.client_v4());
}

#[tokio::test]
async fn connecting_anew() {
    let world = World::new().await;
    let (client, one) = sockets(&world).await;
    let two = world.server(UdpSocket::bind((world.v4(), 0))).await.unwrap();
    for server in [&one, &two, &one] {
        client.connect(server.local_addr().unwrap()).await.unwrap();
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        client.send(b"x").await.unwrap();
        assert_eq!(server.recv(&mut [0; 4]).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_connected_socket_may_send_elsewhere() {
    let world = World::new().await;
    let (client, one) = sockets(&world).await;
    let two = world.server(UdpSocket::bind((world.v4(), 0))).await.unwrap();
    client.connect(one.local_addr().unwrap()).await.unwrap();
    client.send_to(b"x", two.local_addr().unwrap()).await.unwrap();
    assert_eq!(two.recv(&mut [0; 4]).await.unwrap(), 1);
}

#[tokio::test]
async fn an_unconnected_socket_has_no_peer() {
    let world = World::new().await;
    let (client, _) = sockets(&world).await;
    assert_eq!(client.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(
        client.send(b"x").await.unwrap_err().raw_os_error(),
        Some(errno::EDESTADDRREQ)
    );
    assert_eq!(
        client.try_send(b"x").unwrap_err().raw_os_error(),
        Some(errno::EDESTADDRREQ)
    );
}

#[tokio::test]
async fn a_long_datagram_is_cut_off() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let to = server.local_addr().unwrap();
    client.send_to(b"0123456789", to).await.unwrap();
    client.send_to(b"next", to).await.unwrap();
    let mut buf = [0; 4];
    assert_eq!(server.recv(&mut buf).await.unwrap(), 4);
    assert_eq!(&buf, b"0123");
    assert_eq!(server.recv(&mut buf).await.unwrap(), 4);
    assert_eq!(&buf, b"next");
}

#[tokio::test]
async fn an_empty_datagram_is_one() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    assert_eq!(client.send_to(&[], server.local_addr().unwrap()).await.unwrap(), 0);
    let (n, from) = server.recv_from(&mut [0; 4]).await.unwrap();
    assert_eq!((n, from), (0, client.local_addr().unwrap()));
}

#[tokio::test]
async fn large_datagrams() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let to = server.local_addr().unwrap();
    for len in [1_472, 1_473, 9_000, 65_507] {
        let data: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        assert_eq!(client.send_to(&data, to).await.unwrap(), len);
        let mut buf = vec![0; 70_000];
        assert_eq!(server.recv(&mut buf).await.unwrap(), len);
        assert!(buf[..len] == data, "{len}");
    }
}

#[tokio::test]
async fn datagrams_that_are_too_long() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let to = server.local_addr().unwrap();
    for len in [65_508, 65_535, 65_536, 100_000] {
        let error = client.send_to(&vec![0; len], to).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno::EMSGSIZE), "{len}");
    }
}

#[tokio::test]
async fn order_is_kept() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let to = server.local_addr().unwrap();
    for n in 0..100_u8 {
        client.send_to(&[n], to).await.unwrap();
    }
    for n in 0..100_u8 {
        let mut buf = [0; 4];
        assert_eq!((server.recv(&mut buf).await.unwrap(), buf[0]), (1, n));
    }
}

#[tokio::test]
async fn peeking_leaves_a_datagram() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    client.send_to(b"look", server.local_addr().unwrap()).await.unwrap();
    let from = client.local_addr().unwrap();
    let mut buf = [0; 16];
    assert_eq!(server.peek(&mut buf).await.unwrap(), 4);
    assert_eq!(server.peek_from(&mut buf[..2]).await.unwrap(), (2, from));
    assert_eq!(server.peek_sender().await.unwrap(), from);
    assert_eq!(server.try_peek(&mut buf).unwrap(), 4);
    assert_eq!(server.try_peek_from(&mut buf).unwrap(), (4, from));
    assert_eq!(server.try_peek_sender().unwrap(), from);
    assert_eq!(server.recv_from(&mut buf).await.unwrap(), (4, from));
    assert_eq!(&buf[..4], b"look");
    assert_eq!(server.try_peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn nothing_there_would_block() {
    let world = World::new().await;
    let (client, _) = sockets(&world).await;
    let mut buf = [0; 4];
    assert_eq!(client.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    let error = client.try_recv_from(&mut buf).unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::WouldBlock, None));
}

#[tokio::test]
async fn receiving_waits_and_a_dropped_one_takes_nothing() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    for n in 0..20_u8 {
        must_wait(server.recv_from(&mut [0; 4])).await;
        client.send_to(&[n], server.local_addr().unwrap()).await.unwrap();
        let mut buf = [0; 4];
        server.recv(&mut buf).await.unwrap();
        assert_eq!(buf[0], n);
    }
}

#[tokio::test]
async fn readiness_of_a_socket() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    client.writable().await.unwrap();
    assert_eq!(server.try_recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    must_wait(server.readable()).await;
    client.try_send_to(b"x", server.local_addr().unwrap()).unwrap();
    server.readable().await.unwrap();
    assert!(server.ready(Interest::READABLE).await.unwrap().is_readable());
    assert_eq!(server.try_recv(&mut [0; 4]).unwrap(), 1);
    assert_eq!(server.try_recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    must_wait(server.readable()).await;
}

#[tokio::test]
async fn polling_a_socket() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let to = server.local_addr().unwrap();
    poll_fn(|cx| client.poll_send_ready(cx)).await.unwrap();
    assert_eq!(server.try_recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    must_wait(poll_fn(|cx| server.poll_recv_ready(cx))).await;
    assert_eq!(poll_fn(|cx| client.poll_send_to(cx, b"abc", to)).await.unwrap(), 3);
    poll_fn(|cx| server.poll_recv_ready(cx)).await.unwrap();
    let mut bytes = [0; 8];
    let mut buf = ReadBuf::new(&mut bytes);
    let from = poll_fn(|cx| server.poll_peek_from(cx, &mut buf)).await.unwrap();
    assert_eq!((buf.filled(), from), (&b"abc"[..], client.local_addr().unwrap()));
    buf.clear();
    let from = poll_fn(|cx| server.poll_recv_from(cx, &mut buf)).await.unwrap();
    assert_eq!((buf.filled(), from), (&b"abc"[..], client.local_addr().unwrap()));
    client.connect(to).await.unwrap();
    assert_eq!(poll_fn(|cx| client.poll_send(cx, b"de")).await.unwrap(), 2);
    buf.clear();
    poll_fn(|cx| server.poll_recv(cx, &mut buf)).await.unwrap();
    assert_eq!(buf.filled(), b"de");
}

#[tokio::test]
async fn receiving_into_growing_buffers() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let (to, from) = (server.local_addr().unwrap(), client.local_addr().unwrap());
    let mut buf = Vec::with_capacity(64);
    client.send_to(b"a", to).await.unwrap();
    assert_eq!(server.recv_buf(&mut buf).await.unwrap(), 1);
    client.send_to(b"b", to).await.unwrap();
    assert_eq!(server.recv_buf_from(&mut buf).await.unwrap(), (1, from));
    client.send_to(b"c", to).await.unwrap();
    server.readable().await.unwrap();
    assert_eq!(server.try_recv_buf(&mut buf).unwrap(), 1);
    client.send_to(b"d", to).await.unwrap();
    server.readable().await.unwrap();
    assert_eq!(server.try_recv_buf_from(&mut buf).unwrap(), (1, from));
    assert_eq!(buf, b"abcd");
}

/// A connected socket whose remote is gone, once the news of that has come.
async fn refused(world: &World) -> UdpSocket {
    let (client, server) = sockets(world).await;
    client.connect(server.local_addr().unwrap()).await.unwrap();
    drop(server);
    client.send(b"anybody?").await.unwrap();
    let error = Interest::ERROR.add(Interest::READABLE);
    while !client.ready(error).await.unwrap().is_error() {
        let _nothing = client.try_recv(&mut []);
        tokio::task::yield_now().await;
    }
    client
}

#[tokio::test]
async fn a_refused_datagram_fails_the_next_send() {
    let world = World::new().await;
    let client = refused(&world).await;
    assert_eq!(
        client.send(b"x").await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn a_refused_datagram_is_the_pending_error() {
    let world = World::new().await;
    let client = refused(&world).await;
    assert_eq!(
        client.take_error().unwrap().unwrap().kind(),
        ErrorKind::ConnectionRefused
    );
    assert!(client.take_error().unwrap().is_none());
}

#[tokio::test]
async fn an_unconnected_socket_does_not_hear_of_refusals() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let nobody = server.local_addr().unwrap();
    drop(server);
    let other = world.server(UdpSocket::bind((world.v4(), 0))).await.unwrap();
    client.send_to(b"x", nobody).await.unwrap();
    // When this has come, the refusal has too.
    client.send_to(b"x", other.local_addr().unwrap()).await.unwrap();
    other.recv(&mut [0; 4]).await.unwrap();
    must_wait(client.recv(&mut [0; 4])).await;
    assert!(client.take_error().unwrap().is_none());
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let world = World::new().await;
    let (_, server) = sockets(&world).await;
    let error = world
        .server(UdpSocket::bind(server.local_addr().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_dropped_socket_gives_its_port_back() {
    let world = World::new().await;
    let (_, server) = sockets(&world).await;
    let address = server.local_addr().unwrap();
    drop(server);
    assert!(world.server(UdpSocket::bind(address)).await.is_ok());
}

#[tokio::test]
async fn an_address_that_is_not_ours() {
    let world = World::new().await;
    let error = world.server(UdpSocket::bind("192.0.2.1:0")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn tcp_and_udp_have_ports_of_their_own() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    assert!(
        world
            .server(UdpSocket::bind(listener.local_addr().unwrap()))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn port_0_cannot_be_sent_to() {
    let world = World::new().await;
    let (client, _) = sockets(&world).await;
    let error = client.send_to(b"x", (world.v4(), 0)).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(errno::EINVAL));
}

#[tokio::test]
async fn families_that_do_not_fit() {
    let world = World::new().await;
    let (client, _) = sockets(&world).await;
    let error = client.send_to(b"x", (world.v6(), 9)).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(errno::EAFNOSUPPORT));
    let error = client.connect((world.v6(), 9)).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(errno::EAFNOSUPPORT));
}

#[tokio::test]
async fn ipv6() {
    let world = World::new().await;
    let client = world.client(UdpSocket::bind("[::]:0")).await.unwrap();
    let server = world.server(UdpSocket::bind((world.v6(), 0))).await.unwrap();
    client.connect(server.local_addr().unwrap()).await.unwrap();
    client.send(b"six").await.unwrap();
    let (n, from) = server.recv_from(&mut [0; 8]).await.unwrap();
    assert_eq!((n, from), (3, client.local_addr().unwrap()));
}

#[tokio::test]
async fn a_dual_stack_socket_shows_ipv4_as_mapped() {
    let world = World::new().await;
    let (client, _) = sockets(&world).await;
    let server = world.server(UdpSocket::bind("[::]:0")).await.unwrap();
    let port = server.local_addr().unwrap().port();
    client.send_to(b"four", (world.v4(), port)).await.unwrap();
    let (_, from) = server.recv_from(&mut [0; 8]).await.unwrap();
    let IpAddr::V6(mapped) = from.ip() else {
        panic!("{from}")
    };
    assert_eq!(mapped.to_ipv4_mapped().map(IpAddr::from), Some(world.client_v4()));
    server.send_to(b"back", from).await.unwrap();
    assert_eq!(client.recv(&mut [0; 8]).await.unwrap(), 4);
}

#[tokio::test]
async fn broadcasts_need_permission() {
    let world = World::new().await;
    let (client, _) = sockets(&world).await;
    assert!(!client.broadcast().unwrap());
    let error = client.send_to(b"x", "255.255.255.255:9").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.raw_os_error()),
        (ErrorKind::PermissionDenied, Some(13))
    );
    client.set_broadcast(true).unwrap();
    assert!(client.broadcast().unwrap());
}

#[tokio::test]
async fn options_of_a_socket() {
    let world = World::new().await;
    let (client, _) = sockets(&world).await;
    assert_eq!((client.ttl().unwrap(), client.tos_v4().unwrap()), (64, 0));
    client.set_ttl(9).unwrap();
    client.set_tos_v4(0x20).unwrap();
    assert_eq!((client.ttl().unwrap(), client.tos_v4().unwrap()), (9, 0x20));
    assert_eq!(client.set_ttl(256).unwrap_err().raw_os_error(), Some(errno::EINVAL));
}

#[tokio::test]
async fn what_is_no_group_cannot_be_joined() {
    let world = World::new().await;
    let (client, _) = sockets(&world).await;
    let any = std::net::Ipv4Addr::UNSPECIFIED;
    let error = client.join_multicast_v4("10.0.0.9".parse().unwrap(), any).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(errno::EINVAL));
}

#[tokio::test]
async fn a_flood_is_cut_off_and_hangs_nobody() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let to = server.local_addr().unwrap();
    for n in 0..2_000_u32 {
        client.send_to(&[n as u8; 1_000], to).await.unwrap();
    }
    server.readable().await.unwrap();
    let mut got = 0;
    while server.try_recv(&mut [0; 1_000]).is_ok() {
        got += 1;
    }
    assert!((1..2_000).contains(&got), "{got}");
}

#[tokio::test]
async fn try_io_and_async_io() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let asked = server.try_io(Interest::READABLE, || -> io::Result<()> { panic!("it is not ready") });
    assert_eq!(asked.unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(client.async_io(Interest::WRITABLE, || Ok(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn several_tasks_may_receive() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let to = server.local_addr().unwrap();
    let send = async {
        client.send_to(b"x", to).await.unwrap();
        client.send_to(b"x", to).await.unwrap();
    };
    let (mut one, mut two) = ([0; 4], [0; 4]);
    let (one, two, ()) = tokio::join!(server.recv(&mut one), server.recv(&mut two), send);
    assert_eq!((one.unwrap(), two.unwrap()), (1, 1));
}
