//! UDP sockets.

use super::{ToSocketAddrs, Waiting, Way, block_on};
use crate::{Host, net};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A UDP socket, as `std::net`'s of this name; its clones are the same socket.
///
/// ```
/// use sockeye::blocking::UdpSocket;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = sockeye::Host::builder().build_on_thread()?;
/// let _entered = host.enter();
/// let (here, there) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:53")?);
/// here.send_to(b"who?", "127.0.0.1:53")?;
/// let mut buf = [0; 512];
/// let (n, from) = there.recv_from(&mut buf)?;
/// assert_eq!((&buf[..n], from), (&b"who?"[..], here.local_addr()?));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct UdpSocket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: net::UdpSocket,
    waiting: Waiting,
}

impl UdpSocket {
    /// A socket of the current host, on the first of the addresses that can be had. Port 0 gets a free one.
    ///
    /// # Errors
    /// `AddrInUse` when another socket has the port, `AddrNotAvailable` for an address that is not the host's, `NotFound` without a current
    /// host or for a name that it does not know.
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let host = Host::current()?;
        Ok(Self(Arc::new(Inner {
            socket: block_on(net::udp_bind(&host, addr))?,
            waiting: Waiting::default(),
        })))
    }

    /// Sets the remote: whom [`UdpSocket::send`] sends to, and the only one that datagrams are accepted from.
    ///
    /// # Errors
    /// `NetworkUnreachable` without a route, `EAFNOSUPPORT` for an address of the wrong family.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        block_on(self.0.socket.connect(addr))
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// None today.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    /// Whether calls give `WouldBlock` instead of waiting. Holds for all clones.
    ///
    /// # Errors
    /// None today.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.waiting.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    /// Receives the next datagram, and tells who sent it; waits for one. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` when it does not wait, or not that long; `ConnectionRefused` and the like when that came back for what a connected socket
    /// sent; `NetworkDown` when the host has ended.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.waiting.run(Way::Read, self.0.socket.recv_from(buf))
    }

    /// As [`UdpSocket::recv_from`], and leaves the datagram to be received again.
    ///
    /// # Errors
    /// `WouldBlock` when it does not wait, or not that long; `ConnectionRefused` and the like when that came back for what a connected socket
    /// sent; `NetworkDown` when the host has ended.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.waiting.run(Way::Read, self.0.socket.peek_from(buf))
    }

    /// Receives the next datagram; waits for one. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` when it does not wait, or not that long; `ConnectionRefused` and the like when that came back for what a connected socket
    /// sent; `NetworkDown` when the host has ended.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.waiting.run(Way::Read, self.0.socket.recv(buf))
    }

    /// As [`UdpSocket::recv`], and leaves the datagram to be received again.
    ///
    /// # Errors
    /// `WouldBlock` when it does not wait, or not that long; `ConnectionRefused` and the like when that came back for what a connected socket
    /// sent; `NetworkDown` when the host has ended.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.waiting.run(Way::Read, self.0.socket.peek(buf))
    }

    /// Sends `buf` as one datagram to the first of the addresses. Returns its length.
    ///
    /// # Errors
    /// `EMSGSIZE` for a datagram too long, `NetworkUnreachable` without a route, `PermissionDenied` for a broadcast that is not allowed,
    /// `EDESTADDRREQ` without a remote; and the error of an earlier datagram on a connected socket, which then was not sent.
    pub fn send_to(&self, buf: &[u8], addr: impl ToSocketAddrs) -> io::Result<usize> {
        self.0.waiting.run(Way::Write, self.0.socket.send_to(buf, addr))
    }

    /// Sends `buf` as one datagram to the remote. Returns its length.
    ///
    /// # Errors
    /// `EMSGSIZE` for a datagram too long, `NetworkUnreachable` without a route, `PermissionDenied` for a broadcast that is not allowed,
    /// `EDESTADDRREQ` without a remote; and the error of an earlier datagram on a connected socket, which then was not sent.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.waiting.run(Way::Write, self.0.socket.send(buf))
    }

    /// The address it is bound to; once connected the one that the remote sees.
    ///
    /// # Errors
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.socket.local_addr()
    }

    /// The remote that it is connected to.
    ///
    /// # Errors
    /// `NotConnected` when it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.socket.peer_addr()
    }

    /// How long receiving waits; `None` for ever.
    ///
    /// # Errors
    /// None today.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.waiting.timeout(Way::Read))
    }

    /// Sets how long receiving waits, for all clones: after that it gives `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.waiting.set_timeout(Way::Read, timeout)
    }

    /// How long sending waits for room; `None` for ever.
    ///
    /// # Errors
    /// None today.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.waiting.timeout(Way::Write))
    }

    /// Sets how long sending waits for room, for all clones.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.waiting.set_timeout(Way::Write, timeout)
    }

    /// The pending error, if there is one, which is then no longer pending (`SO_ERROR`).
    ///
    /// # Errors
    /// None today.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.socket.take_error()
    }

    /// Whether broadcasts may be sent.
    ///
    /// # Errors
    /// None today.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.0.socket.broadcast()
    }

    /// Allows broadcasts to be sent.
    ///
    /// # Errors
    /// None today.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.0.socket.set_broadcast(broadcast)
    }

    /// The hop limit of what is sent, 1..=255.
    ///
    /// # Errors
    /// None today.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.socket.ttl()
    }

    /// Sets the hop limit, 1..=255.
    ///
    /// # Errors
    /// `InvalidInput` outside of that.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.socket.set_ttl(ttl)
    }

    /// Joins a multicast group, on all links.
    ///
    /// # Errors
    /// `InvalidInput` for what is no multicast address.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.socket.join_multicast_v4(*multiaddr, *interface)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// `InvalidInput` for what is no multicast address.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.socket.leave_multicast_v4(*multiaddr, *interface)
    }

    /// Joins a multicast group, on all links.
    ///
    /// # Errors
    /// `InvalidInput` for what is no multicast address.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.socket.join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// `InvalidInput` for what is no multicast address.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.socket.leave_multicast_v6(multiaddr, interface)
    }
}
