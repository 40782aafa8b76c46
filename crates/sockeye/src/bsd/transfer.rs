//! Bytes and datagrams: `read`, `write`, `send`, `recv` and their like.

use super::connection::datagram_socket;
use super::datagram::outcome;
use super::sock::{Inner, Kind, Sock};
use super::stream::Place;
use super::{Address, MSG_CTRUNC, MSG_PEEK, MSG_TRUNC, POLLIN, SO_RCVTIMEO, SO_SNDTIMEO, errno, nonblocking};
use crate::net::errors;
use bytes::Bytes;
use rustix::net::{RecvFlags, ReturnFlags, SendFlags};
use sockeye_core::bsd::control::{self, Arrival};
use sockeye_core::error::Errno;
use sockeye_core::socket::{Outgoing, Received};
use sockeye_sys::descriptor;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What [`recvmsg`] gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Bytes in the buffers; with `MSG_TRUNC` the datagram's own length.
    pub len: usize,
    /// Who sent it; `None` on a stream.
    pub from: Option<Address>,
    /// Control messages as Linux lays them out, as far as options ask for them: `IP_PKTINFO`, `IP_RECVTTL`, `SO_TIMESTAMP`, ...
    pub control: Vec<u8>,
    /// `MSG_TRUNC` and `MSG_CTRUNC`, when something did not fit.
    pub flags: i32,
}

/// Reads received bytes, or the next datagram; waits for one. 0 is the end of a stream.
///
/// # Errors
/// `EAGAIN` when it does not wait, or not that long (`SO_RCVTIMEO`); `ENOTCONN`, `ECONNRESET`, `ETIMEDOUT`, `ECONNREFUSED`; `EBADF`,
/// `ENOTSOCK`.
pub fn read(fd: i32, buf: &mut [u8]) -> io::Result<usize> {
    recv(fd, buf, 0)
}

/// Writes bytes, or a datagram to the remote; waits for room.
///
/// # Errors
/// `EAGAIN`, `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EDESTADDRREQ`, `EMSGSIZE`; `EBADF`, `ENOTSOCK`.
pub fn write(fd: i32, data: &[u8]) -> io::Result<usize> {
    send(fd, data, 0)
}

/// As [`read`], with flags: `MSG_PEEK`, `MSG_DONTWAIT`, `MSG_WAITALL`, `MSG_TRUNC`.
///
/// # Errors
/// Those of [`read`].
pub fn recv(fd: i32, buf: &mut [u8], flags: i32) -> io::Result<usize> {
    receive(fd, &mut [IoSliceMut::new(buf)], flags, 0).map(|message| message.len)
}

/// As [`recv`], and tells who sent it.
///
/// # Errors
/// Those of [`read`].
///
/// ```
/// use sockeye::bsd::{self, AF_INET, SOCK_DGRAM};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let host = sockeye::Host::builder().build_on_thread()?;
/// # let _entered = host.enter();
/// let (here, there) = (bsd::socket(AF_INET, SOCK_DGRAM, 0)?, bsd::socket(AF_INET, SOCK_DGRAM, 0)?);
/// bsd::bind(there, "127.0.0.1:domain")?;
/// bsd::bind(here, "127.0.0.1:0")?;
/// bsd::sendto(here, b"who?", 0, "localhost:domain")?;
/// let mut buf = [0; 512];
/// assert_eq!(bsd::recvfrom(there, &mut buf, 0)?, (4, Some(bsd::getsockname(here)?)));
/// # bsd::close(here)?;
/// # bsd::close(there)?;
/// # Ok(()) }
/// ```
pub fn recvfrom(fd: i32, buf: &mut [u8], flags: i32) -> io::Result<(usize, Option<Address>)> {
    receive(fd, &mut [IoSliceMut::new(buf)], flags, 0).map(|message| (message.len, message.from))
}

/// Receives into several buffers, one after the other, with what options ask to be told: `room` bytes of it at most.
///
/// # Errors
/// Those of [`read`].
pub fn recvmsg(fd: i32, bufs: &mut [IoSliceMut<'_>], room: usize, flags: i32) -> io::Result<Message> {
    receive(fd, bufs, flags, room)
}

/// As [`write()`], with flags: `MSG_DONTWAIT`; `MSG_NOSIGNAL` is always set.
///
/// # Errors
/// Those of [`write()`].
pub fn send(fd: i32, data: &[u8], flags: i32) -> io::Result<usize> {
    transmit(fd, &[IoSlice::new(data)], None, &[], flags)
}

/// Sends one datagram to an address, or to a name; on a stream the address means nothing.
///
/// # Errors
/// Those of [`write()`], and of [`connect`](super::connect) about names and routes.
pub fn sendto(fd: i32, data: &[u8], flags: i32, to: impl Into<Address>) -> io::Result<usize> {
    transmit(fd, &[IoSlice::new(data)], Some(&to.into()), &[], flags)
}

/// Sends several buffers as one, to an address if there is one, with control messages as Linux lays them out: `IP_PKTINFO`, `IP_TTL`,
/// `UDP_SEGMENT`, ...
///
/// # Errors
/// Those of [`sendto`], `EINVAL` for control messages that are none.
pub fn sendmsg(fd: i32, bufs: &[IoSlice<'_>], to: Option<&Address>, control: &[u8], flags: i32) -> io::Result<usize> {
    transmit(fd, bufs, to, control, flags)
}

fn receive(fd: i32, bufs: &mut [IoSliceMut<'_>], flags: i32, room: usize) -> io::Result<Message> {
    let Some(sock) = Sock::of(fd)? else {
        return native(fd, bufs, RecvFlags::from_bits_retain(flags as u32));
    };
    if sock.lock().is_stream() {
        return receive_stream(&sock, fd, bufs, flags);
    }
    receive_datagram(&sock, fd, bufs, flags, room)
}

/// What the kernel has, in any of its sockets.
fn native(fd: i32, bufs: &mut [IoSliceMut<'_>], flags: RecvFlags) -> io::Result<Message> {
    let got = descriptor::with(fd, |fd| {
        rustix::net::recvmsg(fd, bufs, &mut rustix::net::RecvAncillaryBuffer::default(), flags)
    })??;
    Ok(Message {
        len: got.bytes,
        from: got.address.map(Address::from_kernel),
        control: Vec::new(),
        flags: if got.flags.contains(ReturnFlags::TRUNC) {
            MSG_TRUNC
        } else {
            0
        },
    })
}

fn receive_stream(sock: &Sock, fd: i32, bufs: &mut [IoSliceMut<'_>], flags: i32) -> io::Result<Message> {
    if !matches!(
        sock.lock().stream()?.place,
        Place::Connecting { .. } | Place::Connected(_) | Place::Ended(_)
    ) {
        return Err(errno(Errno::ENOTCONN));
    }
    let wanted = bufs.iter().any(|buf| !buf.is_empty());
    let got = native(fd, bufs, RecvFlags::from_bits_retain(flags as u32));
    match got {
        Ok(message) if message.len > 0 || !wanted => Ok(Message { from: None, ..message }),
        Ok(_) => match sock.take_error() {
            Some(error) => Err(error),
            None => Ok(Message::default()),
        },
        Err(error) if error.raw_os_error() == Some(Errno::ECONNRESET as i32) => Err(sock.take_error().unwrap_or(error)),
        Err(error) => Err(error),
    }
}

fn receive_datagram(
    sock: &Arc<Sock>,
    fd: i32,
    bufs: &mut [IoSliceMut<'_>],
    flags: i32,
    room: usize,
) -> io::Result<Message> {
    let timeout = sock.lock().options.timeout(SO_RCVTIMEO);
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        if let Some(message) = take_datagram(sock, fd, bufs, flags, room)? {
            return Ok(message);
        }
        if nonblocking(fd, flags)? {
            return Err(errno(Errno::EAGAIN));
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(errno(Errno::EAGAIN));
        }
        let millis = left.map_or(-1, |left| i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX));
        descriptor::poll(&mut [(fd, POLLIN, 0)], millis)?;
    }
}

/// The datagram in the pair, with what is known of it, and the next one into its place.
fn take_datagram(
    sock: &Arc<Sock>,
    fd: i32,
    bufs: &mut [IoSliceMut<'_>],
    flags: i32,
    room: usize,
) -> io::Result<Option<Message>> {
    let mut inner = sock.lock();
    let Inner { end, kind, options, .. } = &mut *inner;
    let (Kind::Datagram(datagram), Some(end)) = (kind, end) else {
        return Err(errno(Errno::EBADF));
    };
    datagram.refill(sock, end);
    let peek = flags & MSG_PEEK != 0;
    let quick = RecvFlags::from_bits_retain(flags as u32) | RecvFlags::DONTWAIT;
    let mut message = match native(fd, bufs, quick) {
        Ok(message) => message,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    let received = outcome(datagram.meta(peek))?;
    if !peek {
        datagram.refill(sock, end);
    }
    message.from = received.as_ref().map(|received| shown(sock, received.from).into());
    if let Some(received) = received.filter(|_| room > 0) {
        let control = control::build(options, sock.family, &arrival(&received));
        let (control, cut) = control::fit(&control, room);
        message.control = control;
        message.flags |= if cut { MSG_CTRUNC } else { 0 };
    }
    Ok(Some(message))
}

fn arrival(received: &Received) -> Arrival {
    Arrival {
        to: received.to,
        tos: received.tos,
        ttl: received.ttl,
        drops: 0,
        at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    }
}

fn shown(sock: &Sock, address: SocketAddr) -> SocketAddr {
    crate::net::shown(address, sock.family.unspecified().is_ipv6())
}

fn transmit(fd: i32, bufs: &[IoSlice<'_>], to: Option<&Address>, control: &[u8], flags: i32) -> io::Result<usize> {
    let Some(sock) = Sock::of(fd)? else {
        return transmit_local(fd, bufs, to, flags);
    };
    if !sock.lock().is_stream() {
        return send_datagram(&sock, fd, bufs, to, control, flags);
    }
    match sock.lock().stream()?.place {
        Place::Connected(_) | Place::Connecting { .. } | Place::Ended(_) => {}
        _ => return Err(errno(Errno::EPIPE)),
    }
    transmit_local(fd, bufs, None, flags).map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::EPIPE as i32 || code == Errno::ECONNRESET as i32 => {
            sock.take_error().unwrap_or_else(|| errno(Errno::EPIPE))
        }
        _ => error,
    })
}

/// On a socket of the kernel.
fn transmit_local(fd: i32, bufs: &[IoSlice<'_>], to: Option<&Address>, flags: i32) -> io::Result<usize> {
    let flags = SendFlags::from_bits_retain(flags as u32) | SendFlags::NOSIGNAL;
    let control = &mut rustix::net::SendAncillaryBuffer::default();
    let sent = match to {
        None => descriptor::with(fd, |fd| rustix::net::sendmsg(fd, bufs, control, flags))?,
        Some(to) => {
            let to = to.unix()?;
            descriptor::with(fd, |fd| rustix::net::sendmsg_addr(fd, &to, bufs, control, flags))?
        }
    };
    Ok(sent?)
}

fn send_datagram(
    sock: &Arc<Sock>,
    fd: i32,
    bufs: &[IoSlice<'_>],
    to: Option<&Address>,
    control: &[u8],
    flags: i32,
) -> io::Result<usize> {
    let socket = datagram_socket(sock)?;
    let (timeout, segment_size) = {
        let inner = sock.lock();
        (inner.options.timeout(SO_SNDTIMEO), inner.options.segment_size())
    };
    let data: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
    let len = data.len();
    let to = match to {
        None | Some(Address::Unspecified) => None,
        Some(to) => to.resolve(&sock.host, sock.family, "udp")?.first().copied(),
    };
    let mut datagram = Outgoing {
        to,
        data: Bytes::from(data),
        segment_size,
        ..Outgoing::default()
    };
    control::parse(control, &mut datagram).map_err(errors::errno)?;
    let until = if nonblocking(fd, flags)? {
        Some(Instant::now())
    } else {
        timeout.and_then(|timeout| Instant::now().checked_add(timeout))
    };
    let sent = crate::blocking::block_until(socket.send_msg(datagram), until);
    sent.unwrap_or_else(|| Err(errno(Errno::EAGAIN))).map(|()| len)
}
