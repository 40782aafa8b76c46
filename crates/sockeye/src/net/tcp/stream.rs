//! A connection, as tokio's stream.

use super::attempt::{self, LOOK_FIRST, gather};
use super::options::linger_time;
use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::Host;
use crate::host::{Stack, Want};
use crate::net::address::{resolve, shown};
use crate::net::future::Wait;
use crate::net::{ToSocketAddrs, errors};
use bytes::{Buf, BufMut, Bytes};
use sockeye_core::buf::Rope;
use sockeye_core::error::Errno;
use sockeye_core::socket::{Binding, Close, Shutdown, SocketId, State, TcpId, TcpInfo, TcpOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

/// A TCP connection, as tokio's of this name: [`AsyncRead`] and [`AsyncWrite`] (vectored), and all that can be done through `&self`.
///
/// Dropping it closes it: what was written is still delivered, then FIN; RST at once when received bytes were left unread.
///
/// ```
/// use sockeye::{Host, net::{TcpListener, TcpStream}};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = Host::builder().build()?;
/// let listener = host.tcp_listen("127.0.0.1:7").await?;
/// let mut client = host.tcp_connect("127.0.0.1:7").await?;
/// let (mut server, _) = listener.accept().await?;
/// client.write_all(b"hello").await?;
/// client.shutdown().await?;
/// let mut heard = String::new();
/// server.read_to_string(&mut heard).await?;
/// assert_eq!(heard, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TcpStream {
    pub(super) host: Host,
    pub(super) id: TcpId,
    v6: bool,
    /// `SO_LINGER`: 0 off, else seconds and one.
    pub(super) linger: AtomicU32,
}

/// Connects to the first of the addresses that accepts.
pub(crate) async fn connect(host: &Host, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let mut last = None;
    for address in resolve(host, &addr).await? {
        match TcpStream::open(host, None, address, TcpOptions::default()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| errors::errno(Errno::EINVAL)))
}

impl TcpStream {
    /// Connects from the current host to the first of the addresses that accepts.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody listens there, `TimedOut` without an answer for about two minutes, `NetworkUnreachable` without a
    /// route, `HostUnreachable` when a router or the link says so, `NotFound` without a current host or for a name that it does not know.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub async fn connect(addr: impl ToSocketAddrs) -> io::Result<Self> {
        connect(&Host::current()?, addr).await
    }

    pub(crate) fn new(host: Host, id: TcpId, v6: bool) -> Self {
        Self {
            host,
            id,
            v6,
            linger: AtomicU32::new(0),
        }
    }

    /// Opens a connection, and waits until it is established.
    pub(super) async fn open(
        host: &Host,
        binding: Option<Binding>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> io::Result<Self> {
        let stream = Self::begin(host, binding, remote, options)?;
        stream.established().await?;
        Ok(stream)
    }

    /// Starts to open a connection.
    pub(crate) fn begin(
        host: &Host,
        binding: Option<Binding>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> io::Result<Self> {
        let started = host.shard().call(|stack, now| {
            stack
                .host
                .tcp_connect(now, binding, remote, options)
                .map_err(|(binding, error)| {
                    if let Some(binding) = binding {
                        stack.host.tcp_unbind(binding);
                    }
                    error
                })
        });
        let id = started.map_err(errors::connect)?;
        Ok(Self::new(host.clone(), id, remote.is_ipv6()))
    }

    /// Waits until the connection is established, or will not be.
    pub(crate) async fn established(&self) -> io::Result<()> {
        let id = self.id;
        self.wait(Want::WRITE, |stack, _| Self::poll_open(stack, id)).await
    }

    /// As `established`, for one that is told by its waker. Only who asked last is woken.
    pub(crate) fn poll_established(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_now(cx, Want::WRITE, |stack, _| Self::poll_open(stack, self.id))
    }

    fn poll_open(stack: &mut Stack, id: TcpId) -> Poll<io::Result<()>> {
        if let Some(error) = stack.host.tcp_take_error(id) {
            return Poll::Ready(Err(errors::socket(error)));
        }
        let is = stack.host.tcp_readiness(id);
        match (is.established, is.closed) {
            (true, _) => Poll::Ready(Ok(())),
            (false, true) => Poll::Ready(Err(errors::errno(Errno::ECONNABORTED))),
            (false, false) => Poll::Pending,
        }
    }

    /// Takes up to `max` received bytes; none at the end of the stream.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Rope>> {
        self.poll_now(cx, Want::READ, |stack, now| attempt::take(stack, now, self.id, max))
    }

    /// Queues what there is room for.
    pub(crate) fn poll_put(&self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<usize>> {
        self.poll_now(cx, Want::WRITE, |stack, now| attempt::put(stack, now, self.id, data))
    }

    fn wait<R, F>(&self, want: Want, attempt: F) -> Wait<'_, F>
    where
        F: FnMut(&mut Stack, sockeye_core::Instant) -> Poll<io::Result<R>> + Unpin,
    {
        Wait::new(&self.host, SocketId::Tcp(self.id), want, attempt)
    }

    /// The call of a `poll_*` function.
    fn poll_now<R>(
        &self,
        cx: &mut Context<'_>,
        want: Want,
        attempt: impl FnOnce(&mut Stack, sockeye_core::Instant) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let result = self.host.shard().poll(cx, SocketId::Tcp(self.id), want, attempt);
        if result.is_ready() {
            turn.made_progress();
        }
        result
    }

    /// The host it belongs to.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Our end of the connection.
    ///
    /// # Errors
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let local = self.host.shard().look(|stack| stack.host.tcp_local(self.id));
        local
            .map(|local| shown(local, self.v6))
            .ok_or_else(|| errors::errno(Errno::EBADF))
    }

    /// The other end of the connection.
    ///
    /// # Errors
    /// `NotConnected` once the connection has ended.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let connected = self.host.shard().look(|stack| {
            let state = stack.host.tcp_state(self.id);
            let gone = matches!(state, State::Closed | State::TimeWait | State::SynSent);
            stack.host.tcp_peer(self.id).filter(|_| !gone)
        });
        connected
            .map(|peer| shown(peer, self.v6))
            .ok_or_else(|| errors::errno(Errno::ENOTCONN))
    }

    /// The other end as `accept` tells it, whatever became of the connection since.
    pub(crate) fn peer_or_unspecified(&self) -> SocketAddr {
        let peer = self.host.shard().look(|stack| stack.host.tcp_peer(self.id));
        shown(
            peer.unwrap_or_else(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
            self.v6,
        )
    }

    /// The pending error, if there is one, which is then no longer pending (`SO_ERROR`).
    ///
    /// # Errors
    /// None today.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let error = self.host.shard().look(|stack| stack.host.tcp_take_error(self.id));
        Ok(error.map(errors::socket))
    }

    /// Waits until the stream is ready for any of `interest`, and tells for what. Another task may be faster to use it: be prepared for
    /// `WouldBlock`.
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
            write: interest.is_writable() || interest.is_error(),
        };
        self.wait(want, |stack, _| Self::poll_ready_for(stack, id, interest))
            .await
    }

    /// Waits until a read would give something: bytes, the end, or an error. Holds no buffer while it waits.
    ///
    /// # Errors
    /// As [`TcpStream::ready`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Waits until a write would take something, or fail.
    ///
    /// # Errors
    /// As [`TcpStream::ready`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// As [`TcpStream::readable`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// As [`TcpStream::ready`].
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.poll_now(cx, Want::READ, |stack, _| {
            Self::poll_ready_for(stack, self.id, Interest::READABLE)
        });
        ready.map_ok(drop)
    }

    /// As [`TcpStream::writable`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// As [`TcpStream::ready`].
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.poll_now(cx, Want::WRITE, |stack, _| {
            Self::poll_ready_for(stack, self.id, Interest::WRITABLE)
        });
        ready.map_ok(drop)
    }

    fn poll_ready_for(stack: &Stack, id: TcpId, interest: Interest) -> Poll<io::Result<Ready>> {
        let ready = attempt::of_interest(attempt::ready(&stack.host.tcp_readiness(id)), interest);
        if ready.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(ready))
        }
    }

    /// Reads what is there into `buf`, without waiting. 0 is the end of the stream (or an empty `buf`).
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `ConnectionReset` or `TimedOut` when that ended the connection.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_read_vectored(&mut [IoSliceMut::new(buf)])
    }

    /// As [`TcpStream::try_read`], into several buffers, one after the other.
    ///
    /// # Errors
    /// Those of [`TcpStream::try_read`].
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let max = bufs.iter().map(|buf| buf.len()).sum();
        if max == 0 {
            return Ok(0);
        }
        let mut rope = self
            .host
            .shard()
            .attempt(|stack, now| attempt::take(stack, now, self.id, max))?;
        let mut n = 0;
        for buf in bufs {
            let mut done = 0;
            while done < buf.len()
                && let Some(chunk) = rope.pop_chunk(buf.len() - done)
            {
                buf[done..done + chunk.len()].copy_from_slice(&chunk);
                done += chunk.len();
            }
            n += done;
        }
        Ok(n)
    }

    /// As [`TcpStream::try_read`], into what room `buf` has.
    ///
    /// # Errors
    /// Those of [`TcpStream::try_read`].
    pub fn try_read_buf(&self, buf: &mut impl BufMut) -> io::Result<usize> {
        // A growing buffer has room without end.
        let max = buf.remaining_mut().min(64 << 10);
        if max == 0 {
            return Ok(0);
        }
        let mut rope = self
            .host
            .shard()
            .attempt(|stack, now| attempt::take(stack, now, self.id, max))?;
        let n = rope.len();
        while let Some(chunk) = rope.pop_chunk(usize::MAX) {
            buf.put(chunk);
        }
        Ok(n)
    }

    /// Writes as much of `buf` as there is room for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `BrokenPipe` after a shutdown, and once the error that ended the connection was told; that error
    /// (`ConnectionReset`, `TimedOut`) the first time.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(buf)])
    }

    /// As [`TcpStream::try_write`], from several buffers, one after the other.
    ///
    /// # Errors
    /// Those of [`TcpStream::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut room = usize::MAX;
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() > LOOK_FIRST {
            room = self
                .host
                .shard()
                .attempt(|stack, now| attempt::room(stack, now, self.id))?;
        }
        let mut data = gather(self.host.shard().pool(), bufs, room);
        self.host
            .shard()
            .attempt(|stack, now| attempt::put(stack, now, self.id, &mut data))
    }

    /// Does `io` when the stream is ready for `interest`, else gives `WouldBlock`.
    ///
    /// # Errors
    /// `WouldBlock`, and those of `io`.
    pub fn try_io<R>(&self, interest: Interest, io: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        let is = self.host.shard().look(|stack| stack.host.tcp_readiness(self.id));
        if attempt::of_interest(attempt::ready(&is), interest).is_empty() {
            return Err(errors::would_block());
        }
        io()
    }

    /// Does `io` whenever the stream is ready for `interest`, until it gives something else than `WouldBlock`.
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

    /// Copies received bytes to the front of `buf`, and leaves them to be read; waits for at least one. Returns how many, 0 at the end.
    ///
    /// # Errors
    /// Those of [`TcpStream::try_read`].
    ///
    /// # Cancel safety
    /// Safe: no bytes are taken in any case.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let (id, max) = (self.id, buf.len());
        let slices = self.wait(Want::READ, |stack, _| attempt::peek(stack, id, max)).await?;
        let mut into = buf;
        slices.iter().for_each(|slice| into.put_slice(slice));
        Ok(slices.iter().map(Bytes::len).sum())
    }

    /// As [`TcpStream::peek`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`TcpStream::try_read`].
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        let max = buf.remaining();
        let slices = ready!(self.poll_now(cx, Want::READ, |stack, _| attempt::peek(stack, self.id, max)))?;
        slices.iter().for_each(|slice| buf.put_slice(slice));
        Poll::Ready(Ok(slices.iter().map(Bytes::len).sum()))
    }

    /// Takes received bytes without copying them: at most `max`, at least one; waits for them. `None` is the end of the stream.
    ///
    /// # Errors
    /// Those of [`TcpStream::try_read`].
    ///
    /// # Cancel safety
    /// A dropped future has taken no bytes.
    ///
    /// ```
    /// # use sockeye::{Host, net::{TcpListener, TcpStream}};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let host = Host::builder().build()?;
    /// # let listener = host.tcp_listen("127.0.0.1:7").await?;
    /// # let client = host.tcp_connect("127.0.0.1:7").await?;
    /// # let (server, _) = listener.accept().await?;
    /// client.write_chunk(vec![7; 9_000].into()).await?;
    /// drop(client);
    /// let mut total = 0;
    /// while let Some(chunk) = server.read_chunk(usize::MAX).await? {
    ///     total += chunk.len();
    /// }
    /// assert_eq!(total, 9_000);
    /// # Ok(()) }
    /// ```
    pub async fn read_chunk(&self, max: usize) -> io::Result<Option<Bytes>> {
        let id = self.id;
        self.wait(Want::READ, |stack, now| attempt::take_chunk(stack, now, id, max.max(1)))
            .await
    }

    /// Writes all of `chunk`, without copying it when it is 4 KiB or more; waits for room.
    ///
    /// # Errors
    /// Those of [`TcpStream::try_write`], but for `WouldBlock`.
    ///
    /// # Cancel safety
    /// Not safe: a dropped future may have written the first part.
    pub async fn write_chunk(&self, mut chunk: Bytes) -> io::Result<()> {
        let id = self.id;
        while chunk.has_remaining() {
            let _ = self
                .wait(Want::WRITE, |stack, now| attempt::put(stack, now, id, &mut chunk))
                .await?;
        }
        Ok(())
    }

    /// A snapshot of the connection, with Linux's names, meanings and units: round trips, windows, losses, what limits it.
    ///
    /// # Errors
    /// `NotConnected` when nothing is left of it.
    pub fn info(&self) -> io::Result<TcpInfo> {
        self.host
            .shard()
            .call(|stack, now| stack.host.tcp_info(now, self.id))
            .ok_or_else(|| errors::errno(Errno::ENOTCONN))
    }

    /// Lends the stream as a half to read and a half to write, for one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        super::split::split(self)
    }

    /// Splits the stream for good into a half to read and a half to write, for two tasks. Dropping the second sends FIN.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        super::split::into_split(self)
    }

    /// FIN after all that was written. For a connection that is gone there is nothing to do, and that is no error, as with tokio.
    pub(super) fn shutdown_write(&self) {
        self.end(Shutdown::Write);
    }

    /// Ends one direction or both.
    pub(crate) fn end(&self, how: Shutdown) {
        self.host
            .shard()
            .call(|stack, now| stack.host.tcp_shutdown(now, self.id, how));
    }

    pub(super) fn poll_read_shared(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let max = buf.remaining();
        if max == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut rope: Rope =
            ready!(self.poll_now(cx, Want::READ, |stack, now| attempt::take(stack, now, self.id, max)))?;
        while let Some(chunk) = rope.pop_chunk(usize::MAX) {
            buf.put_slice(&chunk);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write_shared(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut room = usize::MAX;
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() > LOOK_FIRST {
            let shard = self.host.shard();
            let socket = SocketId::Tcp(self.id);
            room = ready!(shard.poll(cx, socket, Want::WRITE, |stack, now| attempt::room(stack, now, self.id)))?;
        }
        let mut data = gather(self.host.shard().pool(), bufs, room);
        self.poll_now(cx, Want::WRITE, |stack, now| {
            attempt::put(stack, now, self.id, &mut data)
        })
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_read_shared(cx, buf)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_shared(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_shared(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: what was written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// FIN after all that was written; reading goes on. No error, even when the connection is gone.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown_write();
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let how = match linger_time(*self.linger.get_mut()) {
            Some(Duration::ZERO) => Close::Reset,
            _ => Close::Graceful,
        };
        let mut waited = Vec::new();
        self.host.shard().call(|stack, now| {
            stack.waiters.close(SocketId::Tcp(self.id), &mut waited);
            stack.host.tcp_close(now, self.id, how);
        });
        drop(waited);
    }
}
