//! QUIC by quinn.

use super::numbered;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use sockeye::net::UdpSocket;
use sockeye_examples::{Identity, Quic, bad_link};
use std::sync::Arc;

async fn endpoints(mtu: u32) -> (Endpoint, Endpoint) {
    let (server, user) = bad_link(mtu).unwrap();
    let identity = Identity::new("server.example").unwrap();
    let config = QuicServerConfig::try_from(identity.server(&["test"]).unwrap()).unwrap();
    let socket = server.scope(UdpSocket::bind("0.0.0.0:443")).await.unwrap();
    let server = Quic::endpoint(socket, Some(ServerConfig::with_crypto(Arc::new(config)))).unwrap();
    let config = QuicClientConfig::try_from(identity.client(&["test"]).unwrap()).unwrap();
    let socket = user.scope(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let mut client = Quic::endpoint(socket, None).unwrap();
    client.set_default_client_config(ClientConfig::new(Arc::new(config)));
    (server, client)
}

/// Gives back what comes on each stream of one connection.
async fn echo(server: Endpoint) {
    let connection = server.accept().await.unwrap().await.unwrap();
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        drop(tokio::spawn(async move {
            let all = recv.read_to_end(1 << 20).await.unwrap();
            send.write_all(&all).await.unwrap();
            send.finish().unwrap();
        }));
    }
    server.wait_idle().await;
}

async fn quic_at(mtu: u32) {
    let (server, client) = endpoints(mtu).await;
    let serving = tokio::spawn(echo(server));
    let connection = client
        .connect("10.0.0.1:443".parse().unwrap(), "server.example")
        .unwrap()
        .await
        .unwrap();
    let asking = (1..=8).map(|n| {
        let connection = connection.clone();
        tokio::spawn(async move {
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            let sent = numbered(n * 25_000);
            send.write_all(&sent).await.unwrap();
            send.finish().unwrap();
            assert!(recv.read_to_end(1 << 20).await.unwrap() == sent, "stream {n}");
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
    let path = connection.stats().path;
    assert!(path.lost_packets > 0, "the link was not bad: {path:?}");
    assert!(u32::from(path.current_mtu) + 28 <= mtu, "{path:?}");
    connection.close(0_u8.into(), b"done");
    client.wait_idle().await;
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn quic_over_a_bad_link() {
    quic_at(1_500).await;
}

#[tokio::test(start_paused = true)]
async fn quic_at_an_mtu_of_1280() {
    quic_at(1_280).await;
}
