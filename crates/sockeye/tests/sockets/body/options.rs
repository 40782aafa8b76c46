//! Options: what they are at first, what they are set to, what is refused.

use super::*;
use std::time::Duration;

#[tokio::test]
async fn nodelay() {
    let world = World::new().await;
    let (client, _server) = connected(&world).await;
    assert!(!client.nodelay().unwrap());
    client.set_nodelay(true).unwrap();
    assert!(client.nodelay().unwrap());
    client.set_nodelay(false).unwrap();
    assert!(!client.nodelay().unwrap());
}

#[tokio::test]
async fn hop_limit_of_a_stream() {
    let world = World::new().await;
    let (client, _server) = connected(&world).await;
    assert_eq!(client.ttl().unwrap(), 64);
    client.set_ttl(7).unwrap();
    assert_eq!(client.ttl().unwrap(), 7);
    for wrong in [0, 256, u32::MAX - 1] {
        assert_eq!(
            client.set_ttl(wrong).unwrap_err().raw_os_error(),
            Some(errno::EINVAL),
            "{wrong}"
        );
    }
    assert_eq!(client.ttl().unwrap(), 7);
}

#[tokio::test]
async fn hop_limit_of_a_listener() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    assert_eq!(listener.ttl().unwrap(), 64);
    listener.set_ttl(9).unwrap();
    assert_eq!(listener.ttl().unwrap(), 9);
    assert_eq!(listener.set_ttl(256).unwrap_err().raw_os_error(), Some(errno::EINVAL));
}

#[tokio::test]
async fn accepted_streams_inherit_from_their_listener() {
    let world = World::new().await;
    let listener = world
        .server(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_nodelay(true).unwrap();
            socket.bind(SocketAddr::new(world.v4(), 0)).unwrap();
            socket.listen(8).unwrap()
        })
        .await;
    listener.set_ttl(9).unwrap();
    let (_client, server) = connect_to(&world, &listener).await;
    assert!(server.nodelay().unwrap());
    assert_eq!(server.ttl().unwrap(), 9);
}

#[tokio::test]
#[allow(deprecated, reason = "lingering is what is tested; the time is not used")]
async fn linger() {
    let world = World::new().await;
    let (client, _server) = connected(&world).await;
    assert_eq!(client.linger().unwrap(), None);
    client.set_linger(Some(Duration::from_millis(5_900))).unwrap();
    assert_eq!(client.linger().unwrap(), Some(Duration::from_secs(5)));
    client.set_linger(None).unwrap();
    assert_eq!(client.linger().unwrap(), None);
    client.set_zero_linger().unwrap();
    assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
}

#[tokio::test]
async fn zero_linger_set_before_connecting_resets() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = world.client(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_zero_linger().unwrap();
        socket.connect(address).await.unwrap()
    });
    let (client, server) = tokio::join!(connect, listener.accept());
    assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
    drop(client);
    let error = server.unwrap().0.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_socket_has_its_options_before_it_connects() {
    let world = World::new().await;
    world
        .client(async {
            let socket = TcpSocket::new_v4().unwrap();
            assert!(!socket.reuseaddr().unwrap() && !socket.reuseport().unwrap());
            assert!(!socket.keepalive().unwrap() && !socket.nodelay().unwrap());
            socket.set_reuseaddr(true).unwrap();
            socket.set_reuseport(true).unwrap();
            socket.set_keepalive(true).unwrap();
            socket.set_nodelay(true).unwrap();
            assert!(socket.reuseaddr().unwrap() && socket.reuseport().unwrap());
            assert!(socket.keepalive().unwrap() && socket.nodelay().unwrap());
            socket.set_keepalive(false).unwrap();
            assert!(!socket.keepalive().unwrap());
            assert!(socket.take_error().unwrap().is_none());
        })
        .await;
}

#[tokio::test]
async fn a_stream_has_the_options_of_its_socket() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = world
        .client(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_nodelay(true).unwrap();
            socket.connect(address).await.unwrap()
        })
        .await;
    assert!(client.nodelay().unwrap());
}

#[tokio::test]
async fn buffer_sizes_can_be_set() {
    let world = World::new().await;
    world
        .client(async {
            let socket = TcpSocket::new_v4().unwrap();
            assert!(socket.send_buffer_size().unwrap() > 0);
            assert!(socket.recv_buffer_size().unwrap() > 0);
            socket.set_send_buffer_size(50_000).unwrap();
            socket.set_recv_buffer_size(60_000).unwrap();
            assert!(socket.send_buffer_size().unwrap() >= 50_000);
            assert!(socket.recv_buffer_size().unwrap() >= 60_000);
        })
        .await;
}

#[tokio::test]
async fn small_buffers_hold_a_writer_back() {
    let world = World::new().await;
    let listener = world
        .server(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(8_192).unwrap();
            socket.bind(SocketAddr::new(world.v4(), 0)).unwrap();
            socket.listen(8).unwrap()
        })
        .await;
    let address = listener.local_addr().unwrap();
    let connect = world.client(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(8_192).unwrap();
        socket.connect(address).await.unwrap()
    });
    let (client, server) = tokio::join!(connect, listener.accept());
    // Nobody reads: far less than this can be under way.
    let sent = fill(&client).await;
    assert!(sent > 0 && sent < 200_000, "{sent}");
    drop(server);
}

#[tokio::test]
async fn type_of_service() {
    let world = World::new().await;
    world
        .client(async {
            let socket = TcpSocket::new_v4().unwrap();
            assert_eq!(socket.tos_v4().unwrap(), 0);
            socket.set_tos_v4(0x10).unwrap();
            assert_eq!(socket.tos_v4().unwrap(), 0x10);
        })
        .await;
}

#[tokio::test]
async fn a_healthy_connection_has_no_error() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    assert!(client.take_error().unwrap().is_none());
    assert!(server.take_error().unwrap().is_none());
}

#[tokio::test]
async fn a_reset_is_the_pending_error_once() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    reset(server);
    client.readable().await.unwrap();
    let error = client.take_error().unwrap().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(client.take_error().unwrap().is_none());
}
