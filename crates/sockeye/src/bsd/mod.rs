//! Sockets as 4.2BSD made them: calls on integers that are real file descriptors, over a [`Host`].
//!
//! A socket is a descriptor: [`read`], [`write()`], [`dup`] and [`close`] work on it, ours and the operating system's own; so do its `poll`, `select`,
//! `epoll`, `fcntl`. [`send`] and [`recv`] take flags besides; a datagram takes an address at every [`sendto`]; [`connect`] takes an address,
//! or the name of a host and of a service. Ports 0 to 1023 are well known ([`getservbyname`] knows them), 1024 to 49151 registered, 49152 to
//! 65535 dynamic: a socket that names none gets one of these.
//!
//! ```
//! use sockeye::bsd::{self, AF_INET, SOCK_STREAM};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = sockeye::Host::builder().build_on_thread()?;
//! host.make_default();
//! let listener = bsd::socket(AF_INET, SOCK_STREAM, 0)?;
//! bsd::bind(listener, "127.0.0.1:echo")?;
//! bsd::listen(listener, 5)?;
//! let client = bsd::socket(AF_INET, SOCK_STREAM, 0)?;
//! bsd::connect(client, "localhost:echo")?;
//! let (server, from) = bsd::accept(listener)?;
//! assert_eq!(from, bsd::getsockname(client)?);
//! bsd::write(client, b"hello")?;
//! let mut buf = [0; 16];
//! let n = bsd::read(server, &mut buf)?;
//! assert_eq!(&buf[..n], b"hello");
//! for fd in [client, server, listener] {
//!     bsd::close(fd)?;
//! }
//! # Ok(()) }
//! ```
//!
//! Errors are `io::Error`s with the errno that Linux gives. AF_INET and AF_INET6 sockets are the current host's
//! ([`Host::make_default`]); AF_UNIX sockets are the kernel's own, since they never leave the machine.
//!
//! How: the program's descriptor is one end of a socket pair; one thread of the process serves the other ends. What follows from that:
//! a write has succeeded when the pair took it, `EPIPE` and `ECONNRESET` may come a call later; the operating system's own `recvfrom`,
//! `getsockname`, `setsockopt` and `ioctl` speak of the pair, ours of the socket; on a datagram socket the system's `read` gives payload only,
//! and a pending error shows as `POLLIN`, not `POLLERR`.

mod address;
mod connection;
mod datagram;
mod names;
mod options;
mod service;
mod sock;
mod stream;
mod transfer;

pub use address::Address;
pub use connection::{accept, accept4, connect, listen, shutdown};
pub use names::{AddrInfo, HostEntry, getaddrinfo, gethostbyname, getservbyname, getservbyport};
pub use options::{getsockopt, getsockopt_int, setsockopt, setsockopt_int};
pub use sockeye_core::bsd::PollFd;
pub use sockeye_core::bsd::abi::*;
pub use transfer::{Message, read, recv, recvfrom, recvmsg, send, sendmsg, sendto, write};

use crate::Host;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sock::{Kind, Sock};
use sockeye_core::bsd::address::Family;
use sockeye_core::bsd::options::Options;
use sockeye_core::error::Errno;
use sockeye_sys::descriptor;
use std::io;
use std::os::fd::OwnedFd;
use stream::Place;

fn errno(errno: Errno) -> io::Error {
    crate::net::errors::errno(errno)
}

/// Makes a socket: of the current host for `AF_INET` and `AF_INET6`, of the kernel for `AF_UNIX`; `SOCK_STREAM` or `SOCK_DGRAM`, with
/// `SOCK_NONBLOCK` and `SOCK_CLOEXEC` if wanted. `protocol` is 0, or `IPPROTO_TCP` and `IPPROTO_UDP` where they belong.
///
/// # Errors
/// `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `EINVAL` for what is none of these; `EPERM` for `SOCK_RAW`; `NotFound` without a
/// current host; `EMFILE` when the process has no descriptor left.
///
/// ```
/// use sockeye::bsd::{self, AF_INET6, SOCK_DGRAM, SOCK_NONBLOCK};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let host = sockeye::Host::builder().build_on_thread()?;
/// let _entered = host.enter();
/// let fd = bsd::socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0)?;
/// assert_eq!(bsd::recv(fd, &mut [0; 8], 0).unwrap_err().raw_os_error(), Some(11)); // EAGAIN
/// bsd::close(fd)?;
/// # Ok(()) }
/// ```
pub fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<i32> {
    let flags = kind & (SOCK_NONBLOCK | SOCK_CLOEXEC);
    let kind = kind & !flags;
    if family == AF_UNIX {
        return local_socket(kind, flags, protocol);
    }
    let family = match family {
        AF_INET => Family::V4,
        AF_INET6 => Family::V6,
        _ => return Err(errno(Errno::EAFNOSUPPORT)),
    };
    let kind = match (kind, protocol) {
        (SOCK_STREAM, 0 | IPPROTO_TCP) => Kind::Stream(Box::default()),
        (SOCK_DGRAM, 0 | IPPROTO_UDP) => Kind::Datagram(Box::default()),
        (SOCK_RAW, _) => return Err(errno(Errno::EPERM)),
        (SOCK_STREAM | SOCK_DGRAM, _) => return Err(errno(Errno::EPROTONOSUPPORT)),
        _ => return Err(errno(Errno::ESOCKTNOSUPPORT)),
    };
    let (_, app) = Sock::make(&Host::current()?, family, Options::default(), kind)?;
    hand_out(app, flags)
}

/// Two connected sockets of the kernel: `socketpair(2)`, for `AF_UNIX` alone.
///
/// # Errors
/// `EOPNOTSUPP` for other families, and the kernel's.
///
/// ```
/// use sockeye::bsd::{self, AF_UNIX, SOCK_STREAM};
/// let [a, b] = bsd::socketpair(AF_UNIX, SOCK_STREAM, 0)?;
/// bsd::write(a, b"hi")?;
/// assert_eq!(bsd::read(b, &mut [0; 8])?, 2);
/// # bsd::close(a)?;
/// # bsd::close(b)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn socketpair(family: i32, kind: i32, protocol: i32) -> io::Result<[i32; 2]> {
    if family != AF_UNIX {
        return Err(errno(Errno::EOPNOTSUPP));
    }
    if protocol != 0 {
        return Err(errno(Errno::EPROTONOSUPPORT));
    }
    let flags = kind & (SOCK_NONBLOCK | SOCK_CLOEXEC);
    let kind = SocketType::from_raw((kind & !flags) as u32);
    let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, kind, socket_flags(flags), None)?;
    Ok([descriptor::hand_out(a), descriptor::hand_out(b)])
}

fn local_socket(kind: i32, flags: i32, protocol: i32) -> io::Result<i32> {
    if protocol != 0 {
        return Err(errno(Errno::EPROTONOSUPPORT));
    }
    let kind = SocketType::from_raw(kind as u32);
    let fd = rustix::net::socket_with(AddressFamily::UNIX, kind, socket_flags(flags), None)?;
    Ok(descriptor::hand_out(fd))
}

const fn socket_flags(flags: i32) -> SocketFlags {
    SocketFlags::from_bits_retain(flags as u32)
}

/// Gives the program its end, with the flags it asked for: pairs are made with both set.
fn hand_out(app: OwnedFd, flags: i32) -> io::Result<i32> {
    if flags & SOCK_NONBLOCK == 0 {
        rustix::io::ioctl_fionbio(&app, false)?;
    }
    if flags & SOCK_CLOEXEC == 0 {
        rustix::io::fcntl_setfd(&app, rustix::io::FdFlags::empty())?;
    }
    Ok(descriptor::hand_out(app))
}

/// True when calls on this descriptor do not wait.
fn nonblocking(fd: i32, flags: i32) -> io::Result<bool> {
    Ok(flags & MSG_DONTWAIT != 0 || descriptor::fcntl(fd, F_GETFL, 0)? & O_NONBLOCK != 0)
}

/// Takes a local address. Port 0 lets the host choose a dynamic one.
///
/// # Errors
/// `EADDRINUSE`, `EADDRNOTAVAIL`, `EINVAL` when it has one already, `EAFNOSUPPORT` for an address of another family, `EBADF`, `ENOTSOCK`.
///
/// ```
/// use sockeye::bsd::{self, AF_INET, SOCK_DGRAM};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let host = sockeye::Host::builder().build_on_thread()?;
/// # let _entered = host.enter();
/// let fd = bsd::socket(AF_INET, SOCK_DGRAM, 0)?;
/// bsd::bind(fd, "0.0.0.0:0")?;
/// assert!(bsd::getsockname(fd)?.inet()?.port() >= 49_152);
/// # bsd::close(fd)?;
/// # Ok(()) }
/// ```
pub fn bind(fd: i32, address: impl Into<Address>) -> io::Result<()> {
    let address = address.into();
    let Some(sock) = Sock::of(fd)? else {
        let address = address.unix()?;
        return Ok(descriptor::with(fd, |fd| rustix::net::bind(fd, &address))??);
    };
    let protocol = if sock.lock().is_stream() { "tcp" } else { "udp" };
    let [local, ..] = address.resolve(&sock.host, sock.family, protocol)?[..] else {
        return Err(errno(Errno::EINVAL));
    };
    let mut inner = sock.lock();
    let how = inner.options.bind_options();
    let udp = inner.options.udp(sock.family);
    match &mut inner.kind {
        Kind::Stream(stream) => {
            if !matches!(stream.place, Place::Fresh) {
                return Err(errno(Errno::EINVAL));
            }
            let bound = sock.host.shard().look(|stack| stack.host.tcp_bind(local, how));
            stream.place = Place::Bound(bound.map_err(crate::net::errors::bind)?);
        }
        Kind::Datagram(datagram) => {
            if datagram.socket.is_some() {
                return Err(errno(Errno::EINVAL));
            }
            let socket = crate::net::UdpSocket::open(&sock.host, local, how)?;
            socket.set_options(udp);
            datagram.socket = Some(socket.into());
        }
    }
    drop(inner);
    sock.look();
    Ok(())
}

/// The address that a socket is bound to.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`.
pub fn getsockname(fd: i32) -> io::Result<Address> {
    let Some(sock) = Sock::of(fd)? else {
        let name = descriptor::with(fd, |fd| rustix::net::getsockname(fd))??;
        return Ok(Address::from_kernel(name));
    };
    let inner = sock.lock();
    let local = match &inner.kind {
        Kind::Stream(stream) => stream.local(),
        Kind::Datagram(datagram) => datagram.socket.as_ref().and_then(|socket| socket.local_addr().ok()),
    };
    Ok(local.unwrap_or_else(|| sock.family.unspecified()).into())
}

/// The remote that a socket is connected to.
///
/// # Errors
/// `ENOTCONN`, `EBADF`, `ENOTSOCK`.
pub fn getpeername(fd: i32) -> io::Result<Address> {
    let Some(sock) = Sock::of(fd)? else {
        let name = descriptor::with(fd, |fd| rustix::net::getpeername(fd))??;
        return Ok(name.map_or(Address::Unspecified, Address::from_kernel));
    };
    let inner = sock.lock();
    let peer = match &inner.kind {
        Kind::Stream(stream) => match &stream.place {
            Place::Connected(stream) => stream.peer_addr().ok(),
            _ => None,
        },
        Kind::Datagram(datagram) => datagram.socket.as_ref().and_then(|socket| socket.peer_addr().ok()),
    };
    peer.map(Address::Inet).ok_or_else(|| errno(Errno::ENOTCONN))
}

/// Another descriptor of the same socket, the lowest number that is free.
///
/// # Errors
/// `EBADF`, `EMFILE`.
///
/// ```
/// use sockeye::bsd::{self, AF_UNIX, SOCK_STREAM};
/// let [a, b] = bsd::socketpair(AF_UNIX, SOCK_STREAM, 0)?;
/// let c = bsd::dup(a)?;
/// bsd::close(a)?;
/// bsd::write(c, b"still there")?;
/// # bsd::close(b)?;
/// # bsd::close(c)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn dup(fd: i32) -> io::Result<i32> {
    descriptor::fcntl(fd, F_DUPFD, 0)
}

/// Makes `new` a descriptor of the same socket as `old`, closing what `new` was: a socket or nothing.
///
/// # Errors
/// `EBADF` when `old` is no socket of this module's, or `new` something else than that.
pub fn dup2(old: i32, new: i32) -> io::Result<i32> {
    descriptor::dup2(old, new)
}

/// Closes a descriptor. With the last one of a socket it ends: what was written is delivered, then FIN; RST when bytes were left unread.
///
/// # Errors
/// `EBADF` for a number that is no socket of this module's: nobody's files are closed by mistake.
pub fn close(fd: i32) -> io::Result<()> {
    let sock = Sock::of(fd).ok().flatten();
    descriptor::close(fd)?;
    if let Some(sock) = sock {
        // Its port is free when this returns, if it was the last.
        sock.look();
    }
    Ok(())
}

/// Duplicating, descriptor flags and status flags: `F_DUPFD`, `F_DUPFD_CLOEXEC`, `F_GETFD`, `F_SETFD`, `F_GETFL`, `F_SETFL`.
///
/// # Errors
/// `EINVAL` for other commands, `EBADF`.
///
/// ```
/// use sockeye::bsd::{self, AF_UNIX, F_GETFL, F_SETFL, O_NONBLOCK, SOCK_STREAM};
/// let [a, b] = bsd::socketpair(AF_UNIX, SOCK_STREAM, 0)?;
/// bsd::fcntl(a, F_SETFL, bsd::fcntl(a, F_GETFL, 0)? | O_NONBLOCK)?;
/// assert!(bsd::read(a, &mut [0; 8]).is_err());
/// # bsd::close(a)?;
/// # bsd::close(b)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn fcntl(fd: i32, command: i32, argument: i32) -> io::Result<i32> {
    descriptor::fcntl(fd, command, argument)
}

/// The operating system's `poll`: how many descriptors, of any kind, are ready; waits for `timeout` milliseconds, for ever when negative.
///
/// # Errors
/// `EINTR`, `ENOMEM`; what is wrong with one descriptor is told in its `revents`.
///
/// ```
/// use sockeye::bsd::{self, AF_UNIX, POLLIN, PollFd, SOCK_STREAM};
/// let [a, b] = bsd::socketpair(AF_UNIX, SOCK_STREAM, 0)?;
/// let mut fds = [PollFd { fd: a, events: POLLIN, revents: 0 }];
/// assert_eq!(bsd::poll(&mut fds, 0)?, 0);
/// bsd::write(b, b"x")?;
/// assert_eq!((bsd::poll(&mut fds, -1)?, fds[0].revents), (1, POLLIN));
/// # bsd::close(a)?;
/// # bsd::close(b)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn poll(fds: &mut [PollFd], timeout: i32) -> io::Result<usize> {
    let mut list: Vec<_> = fds.iter().map(|entry| (entry.fd, entry.events, 0)).collect();
    let found = descriptor::poll(&mut list, timeout)?;
    for (entry, (_, _, revents)) in fds.iter_mut().zip(list) {
        entry.revents = revents;
    }
    Ok(found)
}
