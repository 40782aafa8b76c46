//! Ours.

pub(crate) use sockeye::net;

pub(crate) mod world;

#[allow(clippy::duplicate_mod, reason = "the same body on both: that is the point")]
#[path = "../body/mod.rs"]
mod body;

/// What is left out of the body because tokio does otherwise; see the table there.
mod alone {
    use super::net::UdpSocket;
    use super::world::World;
    use std::io::ErrorKind;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_refused_datagram_fails_the_next_receive() {
        let world = World::new().await;
        let client = world.client(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
        client.connect((world.v4(), 9)).await.unwrap();
        client.send(b"anybody?").await.unwrap();
        let error = client.recv(&mut [0; 4]).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.raw_os_error()),
            (ErrorKind::ConnectionRefused, Some(111))
        );
    }

    #[tokio::test]
    async fn nothing_is_asked_and_nothing_comes() {
        let world = World::new().await;
        let listener = world
            .server(super::net::TcpListener::bind((world.v4(), 80)))
            .await
            .unwrap();
        let mut client = world
            .client(super::net::TcpStream::connect((world.v4(), 80)))
            .await
            .unwrap();
        assert_eq!(client.read(&mut []).await.unwrap(), 0);
        drop(listener);
    }
}
