//! Sockets as programs use them: tokio's helpers, tasks that are aborted, both ends on one machine.

use super::*;
use std::io::IoSlice;
use tokio::io::{AsyncBufReadExt, BufReader, BufWriter};

/// A connection within the server's machine.
async fn on_one_machine(world: &World, address: &str) -> (TcpStream, TcpStream) {
    world
        .server(async {
            let listener = TcpListener::bind(address).await.unwrap();
            let to = listener.local_addr().unwrap();
            let (client, server) = tokio::join!(TcpStream::connect(to), listener.accept());
            (client.unwrap(), server.unwrap().0)
        })
        .await
}

#[tokio::test]
async fn within_one_machine() {
    let world = World::new().await;
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (mut client, mut server) = on_one_machine(&world, address).await;
        assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
        client.write_all(&[1; 300_000]).await.unwrap();
        drop(client);
        let mut got = Vec::new();
        assert_eq!(server.read_to_end(&mut got).await.unwrap(), 300_000, "{address}");
    }
}

#[tokio::test]
async fn to_localhost_by_name() {
    let world = World::new().await;
    world
        .server(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (client, server) = tokio::join!(TcpStream::connect(("localhost", port)), listener.accept());
            assert_eq!(client.unwrap().local_addr().unwrap(), server.unwrap().1);
        })
        .await;
}

#[tokio::test]
async fn lines() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    client.write_all(b"one\ntwo\r\nthree").await.unwrap();
    drop(client);
    let mut lines = BufReader::new(server).lines();
    for want in [Some("one"), Some("two"), Some("three"), None] {
        assert_eq!(lines.next_line().await.unwrap().as_deref(), want);
    }
}

#[tokio::test]
async fn a_buffered_writer() {
    let world = World::new().await;
    let (client, mut server) = connected(&world).await;
    let mut writer = BufWriter::new(client);
    for n in 0..1_000_u16 {
        writer.write_u16(n).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    for n in 0..1_000 {
        assert_eq!(server.read_u16().await.unwrap(), n);
    }
    assert_eq!(server.read_u16().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_buffer_written_to_its_end() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    let mut buf = bytes::Bytes::from(vec![9; 200_000]);
    let reading = tokio::spawn(async move {
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap()
    });
    client.write_all_buf(&mut buf).await.unwrap();
    drop(client);
    assert_eq!(reading.await.unwrap(), 200_000);
}

#[tokio::test]
async fn tokio_splits_it_too() {
    let world = World::new().await;
    let (client, mut server) = connected(&world).await;
    let (mut read, mut write) = tokio::io::split(client);
    write.write_all(b"x").await.unwrap();
    server.write_all(b"y").await.unwrap();
    assert_eq!(
        (read.read_u8().await.unwrap(), server.read_u8().await.unwrap()),
        (b'y', b'x')
    );
    let whole = read.unsplit(write);
    assert_eq!(whole.peer_addr().unwrap(), server.local_addr().unwrap());
}

#[tokio::test]
async fn the_server_speaks_first() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    server.write_all(b"220 ready\r\n").await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut client).read_line(&mut line).await.unwrap();
    assert_eq!(line, "220 ready\r\n");
}

#[tokio::test]
async fn both_sides_close_at_once() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    let (one, two) = tokio::join!(client.shutdown(), server.shutdown());
    one.unwrap();
    two.unwrap();
    let (mut one, mut two) = ([0; 1], [0; 1]);
    let (one, two) = tokio::join!(client.read(&mut one), server.read(&mut two));
    assert_eq!((one.unwrap(), two.unwrap()), (0, 0));
}

#[tokio::test]
async fn an_aborted_reader_closes_its_stream() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    let reading = tokio::spawn(async move { server.read_u8().await });
    tokio::task::yield_now().await;
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_aborted_writer_closes_its_stream() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    let writing = tokio::spawn(async move {
        loop {
            server.write_all(&[0; 100_000]).await.unwrap();
        }
    });
    client.readable().await.unwrap();
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    let mut got = Vec::new();
    assert!(client.read_to_end(&mut got).await.unwrap() > 0);
}

#[tokio::test]
async fn accepted_after_the_client_left() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let mut client = world
        .client(TcpStream::connect(listener.local_addr().unwrap()))
        .await
        .unwrap();
    client.write_all(b"note").await.unwrap();
    drop(client);
    let mut note = String::new();
    listener
        .accept()
        .await
        .unwrap()
        .0
        .read_to_string(&mut note)
        .await
        .unwrap();
    assert_eq!(note, "note");
}

#[tokio::test]
async fn accepted_after_the_client_reset() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let client = world
        .client(TcpStream::connect(listener.local_addr().unwrap()))
        .await
        .unwrap();
    let from = client.local_addr().unwrap();
    reset(client);
    let (mut server, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, from);
    assert_eq!(
        server.read(&mut [0; 1]).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn one_connection_after_another() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    for n in 0..200_u32 {
        let (mut client, mut server) = connect_to(&world, &listener).await;
        client.write_u32(n).await.unwrap();
        drop(client);
        assert_eq!(server.read_u32().await.unwrap(), n);
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn vectors_of_nothing() {
    let world = World::new().await;
    let (client, _server) = connected(&world).await;
    assert_eq!(client.try_write_vectored(&[]).unwrap(), 0);
    assert_eq!(
        client
            .try_write_vectored(&[IoSlice::new(b""), IoSlice::new(b"")])
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn a_stream_shared_by_two_tasks() {
    let world = World::new().await;
    let (client, mut server) = connected(&world).await;
    let client = std::sync::Arc::new(client);
    let reader = std::sync::Arc::clone(&client);
    let reading = tokio::spawn(async move {
        loop {
            reader.readable().await.unwrap();
            let mut buf = [0; 8];
            match reader.try_read(&mut buf) {
                Ok(n) => return buf[..n].to_vec(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    });
    client.writable().await.unwrap();
    assert_eq!(client.try_write(b"q").unwrap(), 1);
    assert_eq!(server.read_u8().await.unwrap(), b'q');
    server.write_all(b"a").await.unwrap();
    assert_eq!(reading.await.unwrap(), b"a");
}

#[tokio::test]
async fn datagrams_within_one_machine() {
    let world = World::new().await;
    world
        .server(async {
            let (one, two) = (
                UdpSocket::bind("127.0.0.1:0").await.unwrap(),
                UdpSocket::bind("[::]:0").await.unwrap(),
            );
            let port = two.local_addr().unwrap().port();
            one.send_to(b"x", ("127.0.0.1", port)).await.unwrap();
            let (_, from) = two.recv_from(&mut [0; 4]).await.unwrap();
            two.send_to(b"yz", from).await.unwrap();
            assert_eq!(one.recv(&mut [0; 4]).await.unwrap(), 2);
        })
        .await;
}

#[tokio::test]
async fn a_socket_that_speaks_with_itself() {
    let world = World::new().await;
    let socket = world.server(UdpSocket::bind("127.0.0.1:0")).await.unwrap();
    let own = socket.local_addr().unwrap();
    socket.connect(own).await.unwrap();
    socket.send(b"me").await.unwrap();
    assert_eq!(socket.recv_from(&mut [0; 4]).await.unwrap(), (2, own));
}

#[tokio::test]
async fn what_was_queued_before_a_connect_stays() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let stranger = world.client(UdpSocket::bind((world.client_v4(), 0))).await.unwrap();
    stranger.send_to(b"early", server.local_addr().unwrap()).await.unwrap();
    server.readable().await.unwrap();
    while server.try_peek(&mut [0; 4]).is_err() {
        tokio::task::yield_now().await;
    }
    server.connect(client.local_addr().unwrap()).await.unwrap();
    let (n, from) = server.recv_from(&mut [0; 8]).await.unwrap();
    assert_eq!((n, from), (5, stranger.local_addr().unwrap()));
}

#[tokio::test]
async fn a_server_on_all_addresses_answers_from_the_right_one() {
    let world = World::new().await;
    let client = world.client(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let server = world.server(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let to = SocketAddr::new(world.v4(), server.local_addr().unwrap().port());
    client.send_to(b"q", to).await.unwrap();
    let (_, from) = server.recv_from(&mut [0; 4]).await.unwrap();
    server.send_to(b"a", from).await.unwrap();
    assert_eq!(client.recv_from(&mut [0; 4]).await.unwrap().1, to);
}

#[tokio::test]
async fn a_refusal_does_not_end_a_socket() {
    let world = World::new().await;
    let (client, server) = sockets(&world).await;
    let nobody = world
        .server(UdpSocket::bind((world.v4(), 0)))
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    client.send_to(b"x", nobody).await.unwrap();
    client.send_to(b"y", server.local_addr().unwrap()).await.unwrap();
    assert_eq!(server.recv(&mut [0; 4]).await.unwrap(), 1);
}
