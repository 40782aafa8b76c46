//! The tests, written once.

mod open;
mod options;
mod programs;
mod ready;
mod stream;
mod udp;

pub(crate) use super::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
pub(crate) use super::world::World;
pub(crate) use std::io::{self, ErrorKind};
pub(crate) use std::net::{IpAddr, SocketAddr};
pub(crate) use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Linux's numbers (errno(3)), for errors whose kind does not say all.
pub(crate) mod errno {
    pub(crate) const EINVAL: i32 = 22;
    pub(crate) const EDESTADDRREQ: i32 = 89;
    pub(crate) const EMSGSIZE: i32 = 90;
    pub(crate) const EAFNOSUPPORT: i32 = 97;
}

/// A connection: the client's end and the server's.
pub(crate) async fn connected(world: &World) -> (TcpStream, TcpStream) {
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    connect_to(world, &listener).await
}

pub(crate) async fn connect_to(world: &World, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(world.client(TcpStream::connect(address)), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// A port of the server's that nobody has.
pub(crate) async fn closed(world: &World) -> SocketAddr {
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    listener.local_addr().unwrap()
}

/// Two UDP sockets: the client's and the server's.
pub(crate) async fn sockets(world: &World) -> (UdpSocket, UdpSocket) {
    let client = world.client(UdpSocket::bind((world.client_v4(), 0))).await.unwrap();
    let server = world.server(UdpSocket::bind((world.v4(), 0))).await.unwrap();
    (client, server)
}

/// What a future gives that must have to wait: nothing, when polled a few times.
pub(crate) async fn must_wait<T>(future: impl Future<Output = T>) {
    tokio::pin!(future);
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = &mut future => panic!("it did not have to wait"),
            () = tokio::task::yield_now() => {}
        }
    }
}

/// Writes until nothing more is taken, and stays so while the other side's machine has time to take what it takes. Returns how much it was.
pub(crate) async fn fill(stream: &TcpStream) -> usize {
    let (mut sent, mut patience) = (0, 0);
    while patience < 200 {
        match stream.try_write(&[5; 50_000]) {
            Ok(n) => (sent, patience) = (sent + n, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                patience += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    sent
}

/// Resets a connection.
pub(crate) fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}
