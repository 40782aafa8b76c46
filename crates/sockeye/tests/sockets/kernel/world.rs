//! The kernel's loopback: server and client are on one machine.

use std::net::IpAddr;

pub(crate) struct World;

impl World {
    pub(crate) async fn new() -> Self {
        Self
    }

    /// Runs what the server's machine does.
    pub(crate) async fn server<F: Future>(&self, future: F) -> F::Output {
        future.await
    }

    /// Runs what the client's machine does.
    pub(crate) async fn client<F: Future>(&self, future: F) -> F::Output {
        future.await
    }

    /// The server's address.
    pub(crate) fn v4(&self) -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }

    /// The server's other address.
    pub(crate) fn v6(&self) -> IpAddr {
        "::1".parse().unwrap()
    }

    /// The client's address.
    pub(crate) fn client_v4(&self) -> IpAddr {
        self.v4()
    }
}
