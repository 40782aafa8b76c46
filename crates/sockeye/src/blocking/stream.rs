//! Connections.

use super::{ToSocketAddrs, Waiting, Way, block_on, block_until, zero_timeout};
use crate::net::errors;
use crate::{Host, net};
use sockeye_core::error::Errno;
use sockeye_core::socket::{Shutdown as CoreShutdown, TcpInfo};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A TCP connection, as `std::net`'s of this name; its clones are the same connection, and the last one dropped closes it.
///
/// ```
/// use sockeye::blocking::{TcpListener, TcpStream};
/// use std::{io::{ErrorKind, Read}, time::Duration};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = sockeye::Host::builder().build_on_thread()?;
/// let _entered = host.enter();
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut stream = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(1))?;
/// stream.set_read_timeout(Some(Duration::from_millis(1)))?;
/// assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TcpStream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: net::TcpStream,
    waiting: Waiting,
}

impl TcpStream {
    /// Connects from the current host to the first of the addresses that accepts.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody listens there, `TimedOut` without an answer for about two minutes, `NetworkUnreachable` without a
    /// route, `HostUnreachable` when a router or the link says so, `NotFound` without a current host or for a name that it does not know.
    pub fn connect(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let host = Host::current()?;
        Ok(Self::new(block_on(net::connect(&host, addr))?))
    }

    /// Connects, and gives up after a time.
    ///
    /// # Errors
    /// Those of [`TcpStream::connect`], `TimedOut` after the time, `InvalidInput` for a time of zero.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        let host = Host::current()?;
        let connected = block_until(net::connect(&host, *addr), Instant::now().checked_add(timeout));
        let late = || Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
        Ok(Self::new(connected.unwrap_or_else(late)?))
    }

    pub(super) fn new(stream: net::TcpStream) -> Self {
        Self(Arc::new(Inner {
            stream,
            waiting: Waiting::default(),
        }))
    }

    /// The other end of the connection.
    ///
    /// # Errors
    /// `NotConnected` once the connection has ended.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.stream.peer_addr()
    }

    /// This end of the connection.
    ///
    /// # Errors
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.stream.local_addr()
    }

    /// Ends a direction or both, for all clones: reads give what is there and then the end, writes fail, the remote sees FIN.
    ///
    /// # Errors
    /// `NotConnected` when the connection has ended.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => CoreShutdown::Read,
            Shutdown::Write => CoreShutdown::Write,
            Shutdown::Both => CoreShutdown::Both,
        };
        self.0.stream.shutdown_by(how)
    }

    /// Another handle of the same connection.
    ///
    /// # Errors
    /// None today.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    /// How long a read waits; `None` for ever.
    ///
    /// # Errors
    /// None today.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.waiting.timeout(Way::Read))
    }

    /// Sets how long a read waits, for all clones: after that it gives `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.waiting.set_timeout(Way::Read, timeout)
    }

    /// How long a write waits for room; `None` for ever.
    ///
    /// # Errors
    /// None today.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.waiting.timeout(Way::Write))
    }

    /// Sets how long a write waits for room, for all clones: after that it gives `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.waiting.set_timeout(Way::Write, timeout)
    }

    /// Copies received bytes to the front of `buf`, and leaves them to be read; waits for at least one.
    ///
    /// # Errors
    /// Those of a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.waiting.run(Way::Read, self.0.stream.peek(buf))
    }

    /// Whether small segments leave at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// None today.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.stream.nodelay()
    }

    /// Lets small segments leave at once: no Nagle (RFC 9293 §3.7.4).
    ///
    /// # Errors
    /// None today.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.stream.set_nodelay(nodelay)
    }

    /// `SO_LINGER`; see [`net::TcpStream::set_linger`].
    ///
    /// # Errors
    /// None today.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.0.stream.linger()
    }

    /// Sets `SO_LINGER`: zero resets the connection when its last handle is dropped.
    ///
    /// # Errors
    /// None today.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.0.stream.set_linger(linger)
    }

    /// The hop limit of what is sent, 1..=255.
    ///
    /// # Errors
    /// None today.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.stream.ttl()
    }

    /// Sets the hop limit, 1..=255.
    ///
    /// # Errors
    /// `InvalidInput` outside of that.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.stream.set_ttl(ttl)
    }

    /// The pending error, if there is one, which is then no longer pending (`SO_ERROR`).
    ///
    /// # Errors
    /// None today.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.stream.take_error()
    }

    /// Whether reads and writes give `WouldBlock` instead of waiting. Holds for all clones.
    ///
    /// # Errors
    /// None today.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.waiting.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    /// A snapshot of the connection; see [`net::TcpStream::info`]. More than `std::net` has.
    ///
    /// # Errors
    /// `NotConnected` when nothing is left of it.
    pub fn info(&self) -> io::Result<TcpInfo> {
        self.0.stream.info()
    }

    fn read_now(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.waiting.run(Way::Read, async {
            loop {
                match self.0.stream.try_read_vectored(bufs) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.stream.readable().await?,
                    other => return other,
                }
            }
        })
    }

    /// As the kernel's: waits until everything is queued, and tells of what was when that fails halfway.
    fn write_now(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut done = 0;
        let mut rest: Vec<IoSlice<'_>> = bufs.to_vec();
        let mut rest = &mut rest[..];
        let written = self.0.waiting.run(Way::Write, async {
            loop {
                match self.0.stream.try_write_vectored(rest) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.stream.writable().await?,
                    Err(error) => return Err(error),
                    Ok(n) => {
                        done += n;
                        IoSlice::advance_slices(&mut rest, n);
                        if rest.iter().all(|buf| buf.is_empty()) {
                            return Ok(());
                        }
                    }
                }
            }
        });
        match written {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }
}

impl net::TcpStream {
    /// `shutdown(2)`, with the kernel's error.
    pub(crate) fn shutdown_by(&self, how: CoreShutdown) -> io::Result<()> {
        if self.peer_addr().is_err() {
            return Err(errors::errno(Errno::ENOTCONN));
        }
        self.end(how);
        Ok(())
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_now(&mut [IoSliceMut::new(buf)])
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_now(bufs)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_now(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_now(bufs)
    }

    /// Does nothing: what was written leaves by itself.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
