//! UDP sockets.

mod message;
mod options;

use crate::Host;
use crate::host::{Stack, Want};
use crate::net::address::{resolve, shown};
use crate::net::future::Wait;
use crate::net::tcp::of_interest;
use crate::net::{ToSocketAddrs, errors};
use bytes::{BufMut, Bytes};
use sockeye_core::error::{Errno, SendError};
use sockeye_core::socket::{BindOptions, Outgoing, Received, SocketId, UdpId, UdpOptions};
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use tokio::io::{Interest, ReadBuf, Ready};

/// Longer than any datagram's payload: such a send fails before anything is copied.
const TOO_LONG: usize = 1 << 16;

/// A UDP socket, as tokio's of this name.
///
/// A datagram that is longer than the buffer it is received into is cut off, and the rest is lost. ICMP errors about what was sent come out
/// of a connected socket's next call. RFC 768, RFC 1122 §4.1.
///
/// ```
/// use sockeye::Host;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = Host::builder().build()?;
/// let (here, there) = (host.udp_bind("127.0.0.1:0").await?, host.udp_bind("127.0.0.1:53").await?);
/// here.send_to(b"who?", "127.0.0.1:53").await?;
/// let mut buf = [0; 512];
/// let (n, from) = there.recv_from(&mut buf).await?;
/// assert_eq!((&buf[..n], from), (&b"who?"[..], here.local_addr()?));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    host: Host,
    id: UdpId,
    v6: bool,
    options: Mutex<UdpOptions>,
}

/// Binds to the first of the addresses that can be had.
pub(crate) async fn udp_bind(host: &Host, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
    let mut last = None;
    for address in resolve(host, &addr).await? {
        match UdpSocket::open(host, address, BindOptions::default()) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| errors::errno(Errno::EINVAL)))
}

/// The next datagram, or a pending error, which comes first.
fn receive(stack: &mut Stack, id: UdpId, stays: bool) -> Poll<io::Result<Received>> {
    if let Some(error) = stack.host.udp_take_error(id) {
        return Poll::Ready(Err(errors::socket(error)));
    }
    let received = if stays {
        stack.host.udp_peek(id).cloned()
    } else {
        stack.host.udp_recv(id)
    };
    received.map_or(Poll::Pending, |received| Poll::Ready(Ok(received)))
}

/// Sends a datagram; bytes are shared, so that a later try finds them again.
fn send(
    stack: &mut Stack,
    now: sockeye_core::Instant,
    id: UdpId,
    data: &Bytes,
    to: Option<SocketAddr>,
) -> Poll<io::Result<usize>> {
    let datagram = Outgoing {
        to: to.map(|to| SocketAddr::new(to.ip().to_canonical(), to.port())),
        data: data.clone(),
        ..Outgoing::default()
    };
    match stack.host.udp_send(now, id, datagram) {
        Ok(()) => Poll::Ready(Ok(data.len())),
        Err(SendError::WouldBlock) => Poll::Pending,
        Err(error) => Poll::Ready(Err(errors::send(error))),
    }
}

impl UdpSocket {
    /// A socket of the current host, on the first of the addresses that can be had. Port 0 gets a free one; `[::]` is for IPv4 too.
    ///
    /// # Errors
    /// `AddrInUse` when another socket has the port, `AddrNotAvailable` for an address that is not the host's, `NotFound` without a current
    /// host or for a name that it does not know.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        udp_bind(&Host::current()?, addr).await
    }

    /// A socket on this address.
    pub(crate) fn open(host: &Host, address: SocketAddr, options: BindOptions) -> io::Result<Self> {
        let bound = host.shard().look(|stack| stack.host.udp_bind(address, options));
        Ok(Self {
            host: host.clone(),
            id: bound.map_err(errors::bind)?,
            v6: address.is_ipv6(),
            options: Mutex::default(),
        })
    }

    /// As [`UdpSocket::poll_recv_from`], the datagram itself, without a copy.
    pub(crate) fn poll_received(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        self.poll_now(cx, Want::READ, |stack, _| receive(stack, self.id, false))
    }

    /// Sets the remote.
    pub(crate) fn connect_to(&self, address: SocketAddr) -> io::Result<()> {
        let connected = self
            .host
            .shard()
            .look(|stack| stack.host.udp_connect(self.id, Some(address)));
        connected.map_err(errors::connect)
    }

    /// No remote any more.
    pub(crate) fn disconnect(&self) {
        // Letting go of a remote cannot fail.
        let _ = self.host.shard().look(|stack| stack.host.udp_connect(self.id, None));
    }

    /// The host it belongs to.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Sets the remote: whom [`UdpSocket::send`] sends to, and the only one that datagrams are accepted from.
    ///
    /// # Errors
    /// `NetworkUnreachable` without a route, `EAFNOSUPPORT` for an address of the wrong family; the last address's error when none will do.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        let mut last = None;
        for address in resolve(&self.host, &addr).await? {
            match self.connect_to(address) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| errors::errno(Errno::EINVAL)))
    }

    /// The address it is bound to; once connected the one that the remote sees.
    ///
    /// # Errors
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let local = self.host.shard().look(|stack| stack.host.udp_local(self.id));
        local
            .map(|local| shown(local, self.v6))
            .ok_or_else(|| errors::errno(Errno::EBADF))
    }

    /// The remote that it is connected to.
    ///
    /// # Errors
    /// `NotConnected` when it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let peer = self.host.shard().look(|stack| stack.host.udp_peer(self.id));
        peer.map(|peer| shown(peer, self.v6))
            .ok_or_else(|| errors::errno(Errno::ENOTCONN))
    }

    /// The pending error, if there is one, which is then no longer pending (`SO_ERROR`).
    ///
    /// # Errors
    /// None today.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let error = self.host.shard().look(|stack| stack.host.udp_take_error(self.id));
        Ok(error.map(errors::socket))
    }

    fn wait<R, F>(&self, want: Want, attempt: F) -> Wait<'_, F>
    where
        F: FnMut(&mut Stack, sockeye_core::Instant) -> Poll<io::Result<R>> + Unpin,
    {
        Wait::new(&self.host, SocketId::Udp(self.id), want, attempt)
    }

    fn poll_now<R>(
        &self,
        cx: &mut Context<'_>,
        want: Want,
        attempt: impl FnOnce(&mut Stack, sockeye_core::Instant) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let result = self.host.shard().poll(cx, SocketId::Udp(self.id), want, attempt);
        if result.is_ready() {
            turn.made_progress();
        }
        result
    }

    /// A copy of what is to be sent, made outside of the lock.
    fn copied(&self, buf: &[u8]) -> io::Result<Bytes> {
        if buf.len() >= TOO_LONG {
            return Err(errors::errno(Errno::EMSGSIZE));
        }
        Ok(self.host.shard().pool().copy_from_slice(buf))
    }

    fn from(&self, received: &Received) -> SocketAddr {
        shown(received.from, self.v6)
    }

    fn readiness(stack: &Stack, id: UdpId) -> Ready {
        let failed = stack.host.udp_has_error(id);
        let mut ready = Ready::EMPTY;
        if stack.host.udp_writable(id) || failed {
            ready |= Ready::WRITABLE;
        }
        if stack.host.udp_queued(id).0 > 0 || failed {
            ready |= Ready::READABLE;
        }
        if failed {
            ready |= Ready::ERROR;
        }
        ready
    }

    fn poll_ready_for(stack: &Stack, id: UdpId, interest: Interest) -> Poll<io::Result<Ready>> {
        let ready = of_interest(Self::readiness(stack, id), interest);
        if ready.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(ready))
        }
    }

    /// Waits until the socket is ready for any of `interest`, and tells for what. Be prepared for `WouldBlock` all the same.
    ///
    /// # Errors
    /// `NetworkDown` when the host's runtime has ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let id = self.id;
        let want = Want {
            read: interest.is_readable() || interest.is_error(),
            write: interest.is_writable(),
        };
        self.wait(want, |stack, _| Self::poll_ready_for(stack, id, interest))
            .await
    }

    /// Waits until there is a datagram or an error.
    ///
    /// # Errors
    /// As [`UdpSocket::ready`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Waits until a datagram can be sent, which is nearly always.
    ///
    /// # Errors
    /// As [`UdpSocket::ready`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// As [`UdpSocket::readable`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// As [`UdpSocket::ready`].
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.poll_now(cx, Want::READ, |stack, _| {
            Self::poll_ready_for(stack, self.id, Interest::READABLE)
        });
        ready.map_ok(drop)
    }

    /// As [`UdpSocket::writable`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// As [`UdpSocket::ready`].
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.poll_now(cx, Want::WRITE, |stack, _| {
            Self::poll_ready_for(stack, self.id, Interest::WRITABLE)
        });
        ready.map_ok(drop)
    }

    /// Does `io` when the socket is ready for `interest`, else gives `WouldBlock`.
    ///
    /// # Errors
    /// `WouldBlock`, and those of `io`.
    pub fn try_io<R>(&self, interest: Interest, io: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        let ready = self.host.shard().look(|stack| Self::readiness(stack, self.id));
        if of_interest(ready, interest).is_empty() {
            return Err(errors::would_block());
        }
        io()
    }

    /// Does `io` whenever the socket is ready for `interest`, until it gives something else than `WouldBlock`.
    ///
    /// # Errors
    /// Those of `io`, and `NetworkDown` when the host's runtime has ended.
    ///
    /// # Cancel safety
    /// As safe as `io`.
    pub async fn async_io<R>(&self, interest: Interest, mut io: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        loop {
            let _ = self.ready(interest).await?;
            match io() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// Sends `buf` as one datagram to the remote it is connected to; waits for room in the link's queue. Returns its length.
    ///
    /// # Errors
    /// `EDESTADDRREQ` when it is not connected; `EMSGSIZE` for a datagram too long, `NetworkUnreachable` without a route, `PermissionDenied` for a broadcast that is not allowed; and the
    /// error of an earlier datagram (`ConnectionRefused`, ...) on a connected socket, which then was not sent.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let (id, data) = (self.id, self.copied(buf)?);
        self.wait(Want::WRITE, |stack, now| send(stack, now, id, &data, None))
            .await
    }

    /// As [`UdpSocket::send`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send`].
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let data = self.copied(buf)?;
        self.poll_now(cx, Want::WRITE, |stack, now| send(stack, now, self.id, &data, None))
    }

    /// As [`UdpSocket::send`], without waiting.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send`], and `WouldBlock` when there is no room.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        let data = self.copied(buf)?;
        self.host
            .shard()
            .attempt(|stack, now| send(stack, now, self.id, &data, None))
    }

    /// Sends `buf` as one datagram to `target`; waits for room in the link's queue. Of several addresses the first is taken. Returns its length.
    ///
    /// # Errors
    /// `EMSGSIZE` for a datagram too long, `NetworkUnreachable` without a route, `PermissionDenied` for a broadcast that is not allowed; and the
    /// error of an earlier datagram (`ConnectionRefused`, ...) on a connected socket, which then was not sent.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = *resolve(&self.host, &target)
            .await?
            .first()
            .ok_or_else(|| errors::errno(Errno::EINVAL))?;
        let (id, data) = (self.id, self.copied(buf)?);
        self.wait(Want::WRITE, |stack, now| send(stack, now, id, &data, Some(target)))
            .await
    }

    /// As [`UdpSocket::send_to`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`].
    pub fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], target: SocketAddr) -> Poll<io::Result<usize>> {
        let data = self.copied(buf)?;
        self.poll_now(cx, Want::WRITE, |stack, now| {
            send(stack, now, self.id, &data, Some(target))
        })
    }

    /// As [`UdpSocket::send_to`], without waiting.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`], and `WouldBlock` when there is no room.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        let data = self.copied(buf)?;
        self.host
            .shard()
            .attempt(|stack, now| send(stack, now, self.id, &data, Some(target)))
    }

    /// Receives the next datagram; waits for one. Returns its length, or that of `buf` when it is longer.
    ///
    /// # Errors
    /// `ConnectionRefused` and the like when that came back for a datagram sent by a connected socket; `NetworkDown` when the host's runtime
    /// has ended.
    ///
    /// # Cancel safety
    /// A dropped future has taken no datagram.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let id = self.id;
        let received = self.wait(Want::READ, |stack, _| receive(stack, id, false)).await?;
        let n = fill(buf, &received);
        Ok(n)
    }

    /// As [`UdpSocket::recv`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv`].
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let received = ready!(self.poll_now(cx, Want::READ, |stack, _| receive(stack, self.id, false)))?;
        let n = received.data.len().min(buf.remaining());
        buf.put_slice(&received.data[..n]);
        Poll::Ready(Ok(()))
    }

    /// As [`UdpSocket::recv`], without waiting.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv`], and `WouldBlock` when there is none.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let received = self.host.shard().attempt(|stack, _| receive(stack, self.id, false))?;
        let n = fill(buf, &received);
        Ok(n)
    }

    /// As [`UdpSocket::recv`], into what room `buf` has.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv`].
    ///
    /// # Cancel safety
    /// A dropped future has taken no datagram.
    pub async fn recv_buf(&self, buf: &mut impl BufMut) -> io::Result<usize> {
        let id = self.id;
        let received = self.wait(Want::READ, |stack, _| receive(stack, id, false)).await?;
        let n = put(buf, &received);
        Ok(n)
    }

    /// As [`UdpSocket::try_recv`], into what room `buf` has.
    ///
    /// # Errors
    /// Those of [`UdpSocket::try_recv`].
    pub fn try_recv_buf(&self, buf: &mut impl BufMut) -> io::Result<usize> {
        let received = self.host.shard().attempt(|stack, _| receive(stack, self.id, false))?;
        let n = put(buf, &received);
        Ok(n)
    }

    /// Receives the next datagram; waits for one. Returns its length, or that of `buf` when it is longer, and who sent it.
    ///
    /// # Errors
    /// `ConnectionRefused` and the like when that came back for a datagram sent by a connected socket; `NetworkDown` when the host's runtime
    /// has ended.
    ///
    /// # Cancel safety
    /// A dropped future has taken no datagram.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let id = self.id;
        let received = self.wait(Want::READ, |stack, _| receive(stack, id, false)).await?;
        let n = fill(buf, &received);
        Ok((n, self.from(&received)))
    }

    /// As [`UdpSocket::recv_from`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`].
    pub fn poll_recv_from(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        let received = ready!(self.poll_now(cx, Want::READ, |stack, _| receive(stack, self.id, false)))?;
        let n = received.data.len().min(buf.remaining());
        buf.put_slice(&received.data[..n]);
        Poll::Ready(Ok(self.from(&received)))
    }

    /// As [`UdpSocket::recv_from`], without waiting.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`], and `WouldBlock` when there is none.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = self.host.shard().attempt(|stack, _| receive(stack, self.id, false))?;
        let n = fill(buf, &received);
        Ok((n, self.from(&received)))
    }

    /// As [`UdpSocket::recv_from`], into what room `buf` has.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`].
    ///
    /// # Cancel safety
    /// A dropped future has taken no datagram.
    pub async fn recv_buf_from(&self, buf: &mut impl BufMut) -> io::Result<(usize, SocketAddr)> {
        let id = self.id;
        let received = self.wait(Want::READ, |stack, _| receive(stack, id, false)).await?;
        let n = put(buf, &received);
        Ok((n, self.from(&received)))
    }

    /// As [`UdpSocket::try_recv_from`], into what room `buf` has.
    ///
    /// # Errors
    /// Those of [`UdpSocket::try_recv_from`].
    pub fn try_recv_buf_from(&self, buf: &mut impl BufMut) -> io::Result<(usize, SocketAddr)> {
        let received = self.host.shard().attempt(|stack, _| receive(stack, self.id, false))?;
        let n = put(buf, &received);
        Ok((n, self.from(&received)))
    }

    /// Shows the next datagram, which stays; waits for one. Returns its length, or that of `buf` when it is longer.
    ///
    /// # Errors
    /// `ConnectionRefused` and the like when that came back for a datagram sent by a connected socket; `NetworkDown` when the host's runtime
    /// has ended.
    ///
    /// # Cancel safety
    /// A dropped future has taken no datagram.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let id = self.id;
        let received = self.wait(Want::READ, |stack, _| receive(stack, id, true)).await?;
        let n = fill(buf, &received);
        Ok(n)
    }

    /// As [`UdpSocket::peek`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`UdpSocket::peek`].
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let received = ready!(self.poll_now(cx, Want::READ, |stack, _| receive(stack, self.id, true)))?;
        let n = received.data.len().min(buf.remaining());
        buf.put_slice(&received.data[..n]);
        Poll::Ready(Ok(()))
    }

    /// As [`UdpSocket::peek`], without waiting.
    ///
    /// # Errors
    /// Those of [`UdpSocket::peek`], and `WouldBlock` when there is none.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let received = self.host.shard().attempt(|stack, _| receive(stack, self.id, true))?;
        let n = fill(buf, &received);
        Ok(n)
    }

    /// Shows the next datagram, which stays; waits for one. Returns its length, or that of `buf` when it is longer, and who sent it.
    ///
    /// # Errors
    /// `ConnectionRefused` and the like when that came back for a datagram sent by a connected socket; `NetworkDown` when the host's runtime
    /// has ended.
    ///
    /// # Cancel safety
    /// A dropped future has taken no datagram.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let id = self.id;
        let received = self.wait(Want::READ, |stack, _| receive(stack, id, true)).await?;
        let n = fill(buf, &received);
        Ok((n, self.from(&received)))
    }

    /// As [`UdpSocket::peek_from`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`UdpSocket::peek_from`].
    pub fn poll_peek_from(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        let received = ready!(self.poll_now(cx, Want::READ, |stack, _| receive(stack, self.id, true)))?;
        let n = received.data.len().min(buf.remaining());
        buf.put_slice(&received.data[..n]);
        Poll::Ready(Ok(self.from(&received)))
    }

    /// As [`UdpSocket::peek_from`], without waiting.
    ///
    /// # Errors
    /// Those of [`UdpSocket::peek_from`], and `WouldBlock` when there is none.
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = self.host.shard().attempt(|stack, _| receive(stack, self.id, true))?;
        let n = fill(buf, &received);
        Ok((n, self.from(&received)))
    }

    /// Who sent the next datagram, which stays; waits for one.
    ///
    /// # Errors
    /// Those of [`UdpSocket::peek_from`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        self.peek_from(&mut []).await.map(|(_, from)| from)
    }

    /// As [`UdpSocket::peek_sender`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`UdpSocket::peek_from`].
    pub fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        self.poll_peek_from(cx, &mut ReadBuf::new(&mut []))
    }

    /// As [`UdpSocket::peek_sender`], without waiting.
    ///
    /// # Errors
    /// Those of [`UdpSocket::try_peek_from`].
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        self.try_peek_from(&mut []).map(|(_, from)| from)
    }
}

/// Copies what fits of a datagram to the front of `buf`.
fn fill(buf: &mut [u8], received: &Received) -> usize {
    let n = received.data.len().min(buf.len());
    buf[..n].copy_from_slice(&received.data[..n]);
    n
}

/// Appends what fits of a datagram to `buf`.
fn put(buf: &mut impl BufMut, received: &Received) -> usize {
    let n = received.data.len().min(buf.remaining_mut());
    buf.put_slice(&received.data[..n]);
    n
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let mut waited = Vec::new();
        self.host.shard().call(|stack, _| {
            stack.waiters.close(SocketId::Udp(self.id), &mut waited);
            stack.host.udp_close(self.id);
        });
        drop(waited);
    }
}
