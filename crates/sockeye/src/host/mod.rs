//! An Internet host among tokio's tasks: made from addresses and links, shared by its sockets, moved along by one task of its own.

mod alarm;
mod anyone;
mod build_error;
mod builder;
mod clock;
mod current;
mod driver;
mod naming;
mod pump;
mod shard;
mod waiters;

pub use anyone::{Attempt, Datagram};
pub use build_error::BuildError;
pub use builder::{HostBuilder, Interface};
pub use current::{Entered, Scope};
pub use pump::Pump;

#[cfg(feature = "sim")]
pub(crate) use shard::Next;
pub(crate) use shard::{Shard, Stack};
pub(crate) use waiters::{Want, WhoWaits};

use crate::names::resolver::Resolver;
use crate::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, UdpSocket};
use sockeye_core::counters::Counters;
use sockeye_core::host::Memory;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
#[cfg(feature = "sim")]
use std::sync::PoisonError;

/// An Internet host: IP, UDP and TCP in user space, over the links it was built with. Clones are the same host; so are its sockets, which
/// keep it alive.
///
/// It has no thread: packets and timers are moved by one task on the runtime that it was built on, and otherwise by whoever calls a socket.
/// Any number of hosts live in one process, and know nothing of each other but what their links carry.
///
/// When the last handle and the last socket are dropped, the host ends as a machine whose last program has ended: what was written is still
/// delivered, peers see FIN (or RST, where received bytes were left unread), and then its task ends. When its runtime ends first, connections
/// are reset, and whoever waits on a socket from elsewhere gets an error instead of waiting for ever.
///
/// ```
/// use sockeye::{Host, link};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (left, right) = link::pair();
/// let server = Host::builder().address("10.0.0.1/24").link(left).build()?;
/// let client = Host::builder().address("10.0.0.2/24").link(right).build()?;
/// let listener = server.tcp_listen("0.0.0.0:80").await?;
/// let (stream, accepted) = tokio::join!(client.tcp_connect("10.0.0.1:80"), listener.accept());
/// assert_eq!(stream?.local_addr()?, accepted?.1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Host {
    handle: Arc<Handle>,
}

/// What the clones of a [`Host`] share; its end is the end of the host.
#[derive(Debug)]
struct Handle {
    shard: Arc<Shard>,
    names: BTreeMap<String, Vec<IpAddr>>,
    resolver: Resolver,
    #[cfg(feature = "sim")]
    shared_names: Option<SharedNames>,
}

/// Names that all machines of a simulation know, whenever they were added.
#[cfg(feature = "sim")]
pub(crate) type SharedNames = Arc<std::sync::Mutex<BTreeMap<String, Vec<IpAddr>>>>;

impl Drop for Handle {
    fn drop(&mut self) {
        self.shard.orphan();
    }
}

impl Host {
    /// Starts to describe a host. Without anything said it has its loopback addresses and no link.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Connects to the first of the addresses that accepts. The same as [`TcpStream::connect`] with this host current.
    ///
    /// # Errors
    /// Those of [`TcpStream::connect`].
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub async fn tcp_connect(&self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        crate::net::connect(self, addr).await
    }

    /// Listens on the first of the addresses that can be had. The same as [`TcpListener::bind`] with this host current.
    ///
    /// # Errors
    /// Those of [`TcpListener::bind`].
    pub async fn tcp_listen(&self, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        crate::net::listen(self, addr).await
    }

    /// A TCP socket for IPv4, to be set up before it connects or listens.
    pub fn tcp_socket_v4(&self) -> TcpSocket {
        TcpSocket::on(self, false)
    }

    /// A TCP socket for IPv6, and IPv4 where it listens on `[::]`.
    pub fn tcp_socket_v6(&self) -> TcpSocket {
        TcpSocket::on(self, true)
    }

    /// A UDP socket on the first of the addresses that can be had. The same as [`UdpSocket::bind`] with this host current.
    ///
    /// # Errors
    /// Those of [`UdpSocket::bind`].
    pub async fn udp_bind(&self, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        crate::net::udp_bind(self, addr).await
    }

    /// What happened so far: packets, segments, drops by reason.
    pub fn counters(&self) -> Counters {
        self.shard().look(|stack| stack.host.counters().clone())
    }

    /// What TCP takes of memory now, in bytes.
    pub fn memory(&self) -> Memory {
        self.shard().look(|stack| stack.host.memory())
    }

    /// The addresses of a name: the host's own table first, then its name servers.
    pub(crate) async fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self.known(&crate::names::normal(name)) {
            Some(known) => Ok(known),
            None => self.handle.resolver.lookup(self, name).await,
        }
    }

    fn known(&self, name: &str) -> Option<Vec<IpAddr>> {
        let own = self.handle.names.get(name).cloned();
        #[cfg(feature = "sim")]
        let own = own.or_else(|| {
            let shared = self.handle.shared_names.as_ref()?.lock();
            shared.unwrap_or_else(PoisonError::into_inner).get(name).cloned()
        });
        own
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.handle.shard
    }
}

#[cfg(test)]
mod tests;
