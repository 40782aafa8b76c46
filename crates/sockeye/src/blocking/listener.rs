//! Listening sockets.

use super::{TcpStream, ToSocketAddrs, Waiting, Way, block_on};
use crate::{Host, net};
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A TCP socket that listens, as `std::net`'s of this name.
///
/// ```
/// use sockeye::blocking::{TcpListener, TcpStream};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = sockeye::Host::builder().build_on_thread()?;
/// let _entered = host.enter();
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// for stream in listener.incoming().take(1) {
///     assert_eq!(stream?.peer_addr()?, client.local_addr()?);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TcpListener(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listener: net::TcpListener,
    waiting: Waiting,
}

/// The connections that a listener accepts, without end; see [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "iterators are lazy"]
pub struct Incoming<'a>(&'a TcpListener);

impl TcpListener {
    /// Listens on the current host, on the first of the addresses that can be had. Port 0 gets a free one.
    ///
    /// # Errors
    /// `AddrInUse` when another socket has the port, `AddrNotAvailable` for an address that is not the host's, `NotFound` without a current
    /// host or for a name that it does not know.
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let host = Host::current()?;
        Ok(Self::new(block_on(net::listen(&host, addr))?))
    }

    fn new(listener: net::TcpListener) -> Self {
        Self(Arc::new(Inner {
            listener,
            waiting: Waiting::default(),
        }))
    }

    /// Takes the connection that has waited longest; waits for one.
    ///
    /// # Errors
    /// `WouldBlock` on a socket that does not wait; `NetworkDown` when the host has ended.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.waiting.run(Way::Read, self.0.listener.accept())?;
        Ok((TcpStream::new(stream), peer))
    }

    /// Accepts for ever.
    pub const fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.listener.local_addr()
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// None today.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    /// The hop limit of its packets and those of what it accepts, 1..=255.
    ///
    /// # Errors
    /// None today.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.listener.ttl()
    }

    /// Sets the hop limit, 1..=255.
    ///
    /// # Errors
    /// `InvalidInput` outside of that.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.listener.set_ttl(ttl)
    }

    /// The pending error: a listener has none.
    ///
    /// # Errors
    /// None today.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    /// Whether [`TcpListener::accept`] gives `WouldBlock` instead of waiting. Holds for all clones; not for what is accepted.
    ///
    /// # Errors
    /// None today.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.waiting.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
