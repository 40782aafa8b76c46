//! Listening, accepting, connecting, shutting down.

use super::sock::{Inner, Kind, Sock};
use super::stream::{Place, adopt};
use super::{Address, SO_SNDTIMEO, SOCK_CLOEXEC, SOCK_NONBLOCK, errno, hand_out, nonblocking};
use crate::net::{TcpListener, TcpStream, UdpSocket, errors};
use rustix::net::RecvFlags;
use sockeye_core::error::Errno;
use sockeye_sys::{descriptor, pair};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lets others connect to a socket: up to `backlog` of them wait to be accepted. A socket without an address gets a dynamic port.
///
/// # Errors
/// `EADDRINUSE` when another listens there, `EINVAL` when it is connected, `EOPNOTSUPP` for datagrams, `EBADF`, `ENOTSOCK`.
pub fn listen(fd: i32, backlog: i32) -> io::Result<()> {
    let Some(sock) = Sock::of(fd)? else {
        return Ok(descriptor::with(fd, |fd| rustix::net::listen(fd, backlog))??);
    };
    let mut inner = sock.lock();
    let (how, options) = (inner.options.bind_options(), inner.options.tcp(sock.family));
    let stream = inner.stream()?;
    let binding = match std::mem::take(&mut stream.place) {
        Place::Bound(binding) => binding,
        Place::Fresh => {
            let any = sock.family.unspecified();
            let bound = sock.host.shard().look(|stack| stack.host.tcp_bind(any, how));
            bound.map_err(errors::bind)?
        }
        place @ Place::Listening { .. } => {
            stream.place = place;
            return Ok(());
        }
        place => {
            stream.place = place;
            return Err(errno(Errno::EINVAL));
        }
    };
    let v6 = sock.family.unspecified().is_ipv6();
    let backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
    stream.place = Place::Listening {
        listener: TcpListener::start(&sock.host, binding, v6, backlog, options)?,
        accepted: std::collections::VecDeque::new(),
    };
    drop(inner);
    sock.look();
    Ok(())
}

/// Takes the connection that has waited longest, as a new descriptor, and tells who connected; waits for one.
///
/// # Errors
/// `EAGAIN` when it does not wait, or not that long (`SO_RCVTIMEO`), `EINVAL` when it does not listen, `EOPNOTSUPP` for datagrams,
/// `EMFILE`, `EBADF`, `ENOTSOCK`.
pub fn accept(fd: i32) -> io::Result<(i32, Address)> {
    accept4(fd, 0)
}

/// As [`accept`], with `SOCK_NONBLOCK` and `SOCK_CLOEXEC` for the new descriptor.
///
/// # Errors
/// Those of [`accept`], `EINVAL` for other flags.
pub fn accept4(fd: i32, flags: i32) -> io::Result<(i32, Address)> {
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(errno(Errno::EINVAL));
    }
    let Some(sock) = Sock::of(fd)? else {
        let (new, from) = descriptor::with(fd, |fd| rustix::net::acceptfrom_with(fd, super::socket_flags(flags)))??;
        let from = from.map_or(Address::Unspecified, Address::from_kernel);
        return Ok((descriptor::hand_out(new), from));
    };
    let listens = |inner: &mut Inner| {
        inner
            .stream()
            .map(|stream| matches!(stream.place, Place::Listening { .. }))
    };
    loop {
        if !listens(&mut sock.lock())? {
            return Err(errno(Errno::EINVAL));
        }
        let mut bell = [0];
        let rung = descriptor::with(fd, |fd| rustix::net::recv(fd, &mut bell[..], RecvFlags::empty()))??;
        if rung.0 == 0 {
            return Err(errno(Errno::EINVAL));
        }
        let mut inner = sock.lock();
        let Inner { end, kind, .. } = &mut *inner;
        let (Kind::Stream(stream), Some(end)) = (kind, end) else {
            return Err(errno(Errno::EINVAL));
        };
        let Place::Listening { accepted, .. } = &mut stream.place else {
            return Err(errno(Errno::EINVAL));
        };
        let next = accepted.pop_front();
        stream.ring(&sock, end);
        drop(inner);
        if let Some(connection) = next {
            let from = connection.peer_or_unspecified();
            let (_, app) = adopt(&sock, connection)?;
            return Ok((hand_out(app, flags)?, from.into()));
        }
    }
}

/// Connects to a remote, given by address or by name; waits until it is. A datagram socket only notes whom [`send`](super::send) is for, and
/// forgets it with [`Address::Unspecified`]. Of several addresses a name may have, the first that accepts is taken.
///
/// # Errors
/// `ECONNREFUSED`, `ETIMEDOUT`, `ENETUNREACH`, `EHOSTUNREACH`; `EINPROGRESS` when it does not wait, or not that long (`SO_SNDTIMEO`): it is
/// writable once it is decided, and `SO_ERROR` tells how; `EALREADY`, `EISCONN`; `NotFound` for a name that nobody knows; `EBADF`, `ENOTSOCK`.
///
/// ```
/// use sockeye::bsd::{self, AF_INET, SOCK_STREAM};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let host = sockeye::Host::builder().name("www.example", [127, 0, 0, 1]).build_on_thread()?;
/// # let _entered = host.enter();
/// let fd = bsd::socket(AF_INET, SOCK_STREAM, 0)?;
/// let error = bsd::connect(fd, "www.example:http").unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused); // nobody listens there
/// bsd::close(fd)?;
/// # Ok(()) }
/// ```
pub fn connect(fd: i32, to: impl Into<Address>) -> io::Result<()> {
    let to = to.into();
    let Some(sock) = Sock::of(fd)? else {
        let to = to.unix()?;
        return Ok(descriptor::with(fd, |fd| rustix::net::connect(fd, &to))??);
    };
    let is_stream = sock.lock().is_stream();
    if !is_stream && to == Address::Unspecified {
        if let Kind::Datagram(datagram) = &sock.lock().kind
            && let Some(socket) = &datagram.socket
        {
            socket.disconnect();
        }
        return Ok(());
    }
    let remotes = to.resolve(&sock.host, sock.family, if is_stream { "tcp" } else { "udp" })?;
    if !is_stream {
        let socket = datagram_socket(&sock)?;
        crate::blocking::block_on(socket.connect(&remotes[..]))?;
        sock.look();
        return Ok(());
    }
    let waits = !nonblocking(fd, 0)?;
    let mut last = errno(Errno::EINVAL);
    for remote in remotes {
        match connect_stream(&sock, fd, remote, waits) {
            Err(error) if waits && is_of_address(&error) => last = error,
            other => return other,
        }
    }
    Err(last)
}

/// Another address may do better.
fn is_of_address(error: &io::Error) -> bool {
    let number = error.raw_os_error().unwrap_or_default();
    [
        Errno::ECONNREFUSED,
        Errno::ETIMEDOUT,
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
    ]
    .iter()
    .any(|errno| *errno as i32 == number)
}

fn connect_stream(sock: &Arc<Sock>, fd: i32, remote: SocketAddr, waits: bool) -> io::Result<()> {
    let mut inner = sock.lock();
    let options = inner.options.tcp(sock.family);
    let until = inner
        .options
        .timeout(SO_SNDTIMEO)
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let stream = inner.stream()?;
    let binding = match std::mem::take(&mut stream.place) {
        Place::Fresh => None,
        Place::Bound(binding) => Some(binding),
        place => {
            let error = match &place {
                Place::Connecting { .. } => Errno::EALREADY,
                Place::Connected(_) if std::mem::take(&mut stream.report) => {
                    stream.place = place;
                    return Ok(());
                }
                Place::Ended(_) => Errno::ECONNABORTED,
                _ => Errno::EISCONN,
            };
            stream.place = place;
            return Err(errno(error));
        }
    };
    let opening = TcpStream::begin(&sock.host, binding, remote, options)?;
    stream.fill = descriptor::with(fd, |fd| pair::fill(fd))?;
    stream.place = Place::Connecting { stream: opening, waits };
    inner.error = None;
    drop(inner);
    sock.look();
    if waits {
        wait_for(sock, until)
    } else {
        Err(errno(Errno::EINPROGRESS))
    }
}

/// Until the connection is decided.
fn wait_for(sock: &Sock, until: Option<Instant>) -> io::Result<()> {
    let mut inner = sock.lock();
    loop {
        if !matches!(inner.stream()?.place, Place::Connecting { .. }) {
            return match inner.error.take() {
                Some(error) => Err(io::Error::from_raw_os_error(error)),
                None => Ok(()),
            };
        }
        let left = until.map_or(Duration::from_secs(3_600), |until| {
            until.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            if let Place::Connecting { waits, .. } = &mut inner.stream()?.place {
                *waits = false;
            }
            return Err(errno(Errno::EINPROGRESS));
        }
        inner = wait(sock, inner, left);
    }
}

fn wait<'a>(sock: &Sock, inner: MutexGuard<'a, Inner>, left: Duration) -> MutexGuard<'a, Inner> {
    let woken = sock.changed.wait_timeout(inner, left);
    woken.unwrap_or_else(PoisonError::into_inner).0
}

/// The host's socket of one for datagrams; one that is not bound is, to a dynamic port.
pub(super) fn datagram_socket(sock: &Sock) -> io::Result<Arc<UdpSocket>> {
    let mut inner = sock.lock();
    let (how, udp) = (inner.options.bind_options(), inner.options.udp(sock.family));
    let Kind::Datagram(datagram) = &mut inner.kind else {
        return Err(errno(Errno::EOPNOTSUPP));
    };
    if let Some(socket) = &datagram.socket {
        return Ok(Arc::clone(socket));
    }
    let socket = Arc::new(UdpSocket::open(&sock.host, sock.family.unspecified(), how)?);
    socket.set_options(udp);
    datagram.socket = Some(Arc::clone(&socket));
    drop(inner);
    sock.look();
    Ok(socket)
}

/// Ends a direction or both: `SHUT_RD`, `SHUT_WR`, `SHUT_RDWR`. What was written before is delivered.
///
/// # Errors
/// `ENOTCONN` when it is not connected, `EINVAL` for another `how`, `EBADF`, `ENOTSOCK`.
pub fn shutdown(fd: i32, how: i32) -> io::Result<()> {
    let how = match how {
        super::SHUT_RD => rustix::net::Shutdown::Read,
        super::SHUT_WR => rustix::net::Shutdown::Write,
        super::SHUT_RDWR => rustix::net::Shutdown::Both,
        _ => return Err(errno(Errno::EINVAL)),
    };
    if let Some(sock) = Sock::of(fd)? {
        let mut inner = sock.lock();
        let Inner { end, kind, .. } = &mut *inner;
        match kind {
            Kind::Stream(stream) => match &stream.place {
                Place::Connected(_) => {}
                Place::Listening { .. } => {
                    // Whoever waits in accept hears of it.
                    stream.let_go(&sock.host);
                    if let Some(end) = end {
                        rustix::net::shutdown(end, rustix::net::Shutdown::Write)?;
                    }
                    return Ok(());
                }
                _ => return Err(errno(Errno::ENOTCONN)),
            },
            Kind::Datagram(datagram) => {
                let connected = datagram
                    .socket
                    .as_ref()
                    .is_some_and(|socket| socket.peer_addr().is_ok());
                if !connected {
                    return Err(errno(Errno::ENOTCONN));
                }
            }
        }
    }
    Ok(descriptor::with(fd, |fd| rustix::net::shutdown(fd, how))??)
}
