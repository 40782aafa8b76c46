//! Two hosts of ours, joined by a link in memory.

use sockeye::{Host, link};
use std::net::IpAddr;

pub(crate) struct World {
    server: Host,
    client: Host,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (left, right) = link::pair();
        let host = |link, n| {
            let host = Host::builder()
                .address(format!("10.0.0.{n}/24"))
                .address(format!("fd00::{n}/64"));
            host.link(link).seed(n).build().unwrap()
        };
        Self {
            server: host(left, 1),
            client: host(right, 2),
        }
    }

    /// Runs what the server's machine does.
    pub(crate) async fn server<F: Future>(&self, future: F) -> F::Output {
        self.server.scope(future).await
    }

    /// Runs what the client's machine does.
    pub(crate) async fn client<F: Future>(&self, future: F) -> F::Output {
        self.client.scope(future).await
    }

    /// The server's address.
    pub(crate) fn v4(&self) -> IpAddr {
        "10.0.0.1".parse().unwrap()
    }

    /// The server's other address.
    pub(crate) fn v6(&self) -> IpAddr {
        "fd00::1".parse().unwrap()
    }

    /// The client's address.
    pub(crate) fn client_v4(&self) -> IpAddr {
        "10.0.0.2".parse().unwrap()
    }
}
