//! `getsockopt` and `setsockopt`, with Linux's levels, names, sizes and errors. The table of options is core's.

use super::sock::{Inner, Kind, Sock};
use super::stream::Place;
use super::{
    IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MTU, IP_MULTICAST_IF, IP_OPTIONS, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP,
    IPPROTO_UDP, IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP, IPV6_MTU, SO_ACCEPTCONN, SO_BINDTODEVICE, SO_DOMAIN,
    SO_ERROR, SO_PROTOCOL, SO_RCVTIMEO, SO_SNDTIMEO, SO_TYPE, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, TCP_CONGESTION,
    TCP_INFO, TCP_MAXSEG, errno,
};
use crate::net::errors;
use rustix::net::sockopt;
use sockeye_core::bsd::address::Family;
use sockeye_core::bsd::options::table::{self, DATAGRAM, STREAM};
use sockeye_core::bsd::options::tcp_info;
use sockeye_core::error::Errno;
use sockeye_core::socket::TcpInfo;
use sockeye_sys::descriptor;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Linux's numbers of two states that are no connection's.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// Sets an option to the bytes of a value, as `setsockopt(2)` takes them.
///
/// # Errors
/// `ENOPROTOOPT` for an option that there is not, `EINVAL`, `EDOM`, `ENOENT` for a value that it does not take; `EBADF`, `ENOTSOCK`;
/// `EOPNOTSUPP` on an AF_UNIX socket.
pub fn setsockopt(fd: i32, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let sock = Sock::of(fd)?.ok_or_else(|| errno(Errno::EOPNOTSUPP))?;
    let mut inner = sock.lock();
    let who = who(&inner);
    match (level, name) {
        (IPPROTO_TCP, TCP_CONGESTION) if who == STREAM => inner.options.set_congestion(value),
        (SOL_SOCKET, SO_BINDTODEVICE) => inner.options.set_device(value),
        (IPPROTO_IP, IP_MULTICAST_IF) => return Ok(()),
        (IPPROTO_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP) => {
            let group: [u8; 4] = *value.first_chunk().ok_or_else(|| errno(Errno::EINVAL))?;
            drop(inner);
            return multicast(&sock, Ipv4Addr::from(group), name == IP_ADD_MEMBERSHIP);
        }
        (IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP | IPV6_DROP_MEMBERSHIP) => {
            let group: [u8; 16] = *value.first_chunk().ok_or_else(|| errno(Errno::EINVAL))?;
            drop(inner);
            return multicast_v6(&sock, &Ipv6Addr::from(group), name == IPV6_ADD_MEMBERSHIP);
        }
        _ => {
            let spec = table::find(level, name, who).ok_or_else(|| errno(Errno::ENOPROTOOPT))?;
            inner.options.set(spec, value)
        }
    }
    .map_err(errors::errno)?;
    tell_host(&sock, &inner);
    share(fd, &inner, level, name)
}

/// Sets an option that is a number.
///
/// # Errors
/// Those of [`setsockopt`].
///
/// ```
/// use sockeye::bsd::{self, AF_INET, IPPROTO_TCP, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, TCP_NODELAY};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let host = sockeye::Host::builder().build_on_thread()?;
/// # let _entered = host.enter();
/// let fd = bsd::socket(AF_INET, SOCK_STREAM, 0)?;
/// bsd::setsockopt_int(fd, SOL_SOCKET, SO_REUSEADDR, 1)?;
/// bsd::setsockopt_int(fd, IPPROTO_TCP, TCP_NODELAY, 1)?;
/// assert_eq!(bsd::getsockopt_int(fd, IPPROTO_TCP, TCP_NODELAY)?, 1);
/// # bsd::close(fd)?;
/// # Ok(()) }
/// ```
pub fn setsockopt_int(fd: i32, level: i32, name: i32, value: i32) -> io::Result<()> {
    setsockopt(fd, level, name, &value.to_ne_bytes())
}

/// The bytes of an option's value, as `getsockopt(2)` gives them.
///
/// # Errors
/// `ENOPROTOOPT` or `EOPNOTSUPP` for an option that there is not, `ENOTCONN` for the MTU towards nobody; `EBADF`, `ENOTSOCK`.
pub fn getsockopt(fd: i32, level: i32, name: i32) -> io::Result<Vec<u8>> {
    let Some(sock) = Sock::of(fd)? else {
        return local_value(fd, level, name);
    };
    let mut inner = sock.lock();
    if let Some(value) = live_value(&sock, &mut inner, level, name)? {
        return Ok(value);
    }
    let who = who(&inner);
    match table::find(level, name, who) {
        Some(spec) => Ok(inner.options.value(spec)),
        // A level that the protocol has nothing of is refused in another way over IPv4.
        None if !table::has_level(level, who) && sock.family == Family::V4 => Err(errno(Errno::EOPNOTSUPP)),
        None => Err(errno(Errno::ENOPROTOOPT)),
    }
}

/// The value of an option that is a number.
///
/// # Errors
/// Those of [`getsockopt`], `EINVAL` when it is none.
pub fn getsockopt_int(fd: i32, level: i32, name: i32) -> io::Result<i32> {
    let value = getsockopt(fd, level, name)?;
    let number = value.first_chunk().ok_or_else(|| errno(Errno::EINVAL))?;
    Ok(i32::from_ne_bytes(*number))
}

const fn who(inner: &Inner) -> u8 {
    match inner.kind {
        Kind::Stream(_) => STREAM,
        Kind::Datagram(_) => DATAGRAM,
    }
}

fn tell_host(sock: &Sock, inner: &Inner) {
    let (tcp, udp) = (inner.options.tcp(sock.family), inner.options.udp(sock.family));
    match &inner.kind {
        Kind::Stream(stream) => match &stream.place {
            Place::Connecting { stream, .. } | Place::Connected(stream) => stream.set_options(tcp),
            Place::Listening { listener, .. } => listener.set_options(tcp),
            Place::Fresh | Place::Bound(_) | Place::Ended(_) => {}
        },
        Kind::Datagram(datagram) => {
            if let Some(socket) = &datagram.socket {
                socket.set_options(udp);
            }
        }
    }
}

/// What the pair has to know, too: the kernel's own reads and writes honour timeouts.
fn share(fd: i32, inner: &Inner, level: i32, name: i32) -> io::Result<()> {
    if level != SOL_SOCKET || !inner.is_stream() {
        return Ok(());
    }
    let which = match name {
        SO_RCVTIMEO => sockopt::Timeout::Recv,
        SO_SNDTIMEO => sockopt::Timeout::Send,
        _ => return Ok(()),
    };
    let timeout = inner.options.timeout(name);
    Ok(descriptor::with(fd, |fd| {
        sockopt::set_socket_timeout(fd, which, timeout)
    })??)
}

fn multicast(sock: &Sock, group: Ipv4Addr, join: bool) -> io::Result<()> {
    let socket = super::connection::datagram_socket(sock)?;
    if join {
        socket.join_multicast_v4(group, Ipv4Addr::UNSPECIFIED)
    } else {
        socket.leave_multicast_v4(group, Ipv4Addr::UNSPECIFIED)
    }
}

fn multicast_v6(sock: &Sock, group: &Ipv6Addr, join: bool) -> io::Result<()> {
    let socket = super::connection::datagram_socket(sock)?;
    if join {
        socket.join_multicast_v6(group, 0)
    } else {
        socket.leave_multicast_v6(group, 0)
    }
}

/// Options whose value is not what was set, but what is.
fn live_value(sock: &Sock, inner: &mut Inner, level: i32, name: i32) -> io::Result<Option<Vec<u8>>> {
    let int = |value: i32| Ok(Some(value.to_ne_bytes().to_vec()));
    let is_stream = inner.is_stream();
    let listens = matches!(&inner.kind, Kind::Stream(stream) if matches!(stream.place, Place::Listening { .. }));
    match (level, name) {
        (SOL_SOCKET, SO_ERROR) => {
            let pending = inner.error.take();
            let udp = match &inner.kind {
                Kind::Datagram(datagram) => datagram
                    .socket
                    .as_ref()
                    .and_then(|socket| socket.take_error().ok().flatten()),
                Kind::Stream(_) => None,
            };
            int(pending
                .or_else(|| udp.and_then(|error| error.raw_os_error()))
                .unwrap_or(0))
        }
        (SOL_SOCKET, SO_TYPE) => int(if is_stream { SOCK_STREAM } else { SOCK_DGRAM }),
        (SOL_SOCKET, SO_DOMAIN) => int(sock.family.number()),
        (SOL_SOCKET, SO_ACCEPTCONN) => int(i32::from(listens)),
        (SOL_SOCKET, SO_PROTOCOL) => int(if is_stream { IPPROTO_TCP } else { IPPROTO_UDP }),
        (SOL_SOCKET, SO_BINDTODEVICE) => Ok(Some(inner.options.device())),
        (IPPROTO_IP, IP_OPTIONS) => Ok(Some(Vec::new())),
        (IPPROTO_IP, IP_MTU) | (IPPROTO_IPV6, IPV6_MTU) if !is_connected(inner) => Err(errno(Errno::ENOTCONN)),
        (IPPROTO_TCP, TCP_CONGESTION) if is_stream => {
            let default = sock
                .host
                .shard()
                .look(|stack| stack.host.settings().tcp_congestion_control);
            Ok(Some(inner.options.congestion(default)))
        }
        (IPPROTO_TCP, TCP_INFO) if is_stream => {
            let state = if listens { LISTEN } else { CLOSE };
            let info = info(inner).unwrap_or_else(|| TcpInfo {
                state,
                ..TcpInfo::default()
            });
            Ok(Some(tcp_info(&info)))
        }
        (IPPROTO_TCP, TCP_MAXSEG) => match info(inner) {
            Some(info) => int(info.snd_mss as i32),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

fn is_connected(inner: &Inner) -> bool {
    match &inner.kind {
        Kind::Stream(stream) => matches!(stream.place, Place::Connected(_)),
        Kind::Datagram(datagram) => datagram
            .socket
            .as_ref()
            .is_some_and(|socket| socket.peer_addr().is_ok()),
    }
}

fn info(inner: &Inner) -> Option<TcpInfo> {
    let Kind::Stream(stream) = &inner.kind else { return None };
    match &stream.place {
        Place::Connecting { stream, .. } | Place::Connected(stream) => stream.info().ok(),
        _ => None,
    }
}

/// What can be asked of an AF_UNIX socket here.
fn local_value(fd: i32, level: i32, name: i32) -> io::Result<Vec<u8>> {
    let value = match (level, name) {
        (SOL_SOCKET, SO_TYPE) => descriptor::with(fd, |fd| sockopt::socket_type(fd))??.as_raw() as i32,
        (SOL_SOCKET, SO_DOMAIN) => super::AF_UNIX,
        (SOL_SOCKET, SO_PROTOCOL) => 0,
        (SOL_SOCKET, SO_ACCEPTCONN) => i32::from(descriptor::with(fd, |fd| sockopt::socket_acceptconn(fd))??),
        (SOL_SOCKET, SO_ERROR) => match descriptor::with(fd, |fd| sockopt::socket_error(fd))?? {
            Ok(()) => 0,
            Err(error) => error.raw_os_error(),
        },
        _ => return Err(errno(Errno::ENOPROTOOPT)),
    };
    Ok(value.to_ne_bytes().to_vec())
}
