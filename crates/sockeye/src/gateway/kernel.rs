//! Kernel sockets as the gateway needs them: never blocking, closed on exec, errors as answers for the inside.

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};
use sockeye_core::buf::{Pool, Rope};
use sockeye_core::socket::{SynAnswer, Unreachable};
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What the kernel may queue for us at a datagram socket, in bytes.
const QUEUE: usize = 4 << 20;
/// Slices written by one call.
const SLICES: usize = 64;

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    }
}

fn socket(address: IpAddr, kind: SocketType, protocol: Option<net::Protocol>) -> Result<OwnedFd, Errno> {
    net::socket_with(
        family(address),
        kind,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        protocol,
    )
}

/// Starts a connection. `Ok` with `true` when it is established already.
pub(super) fn tcp_connect(remote: SocketAddr) -> Result<(OwnedFd, bool), Errno> {
    let fd = socket(remote.ip(), SocketType::STREAM, Some(ipproto::TCP))?;
    stream_options(&fd);
    match net::connect(&fd, &remote) {
        Ok(()) => Ok((fd, true)),
        Err(Errno::INPROGRESS) => Ok((fd, false)),
        Err(error) => Err(error),
    }
}

/// A stream that is not the kernel's TCP, never blocking.
pub(super) fn taken_over(stream: UnixStream) -> Result<OwnedFd, Errno> {
    match stream.set_nonblocking(true) {
        Ok(()) => Ok(stream.into()),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::BADF)),
    }
}

/// The program's TCP decided what to send when, so Nagle's algorithm has no say; and a remote that vanished must not hold its relay for
/// ever. A kernel that refuses either still relays.
fn stream_options(fd: impl AsFd) {
    let _ = sockopt::set_tcp_nodelay(&fd, true);
    let _ = sockopt::set_socket_keepalive(&fd, true);
}

/// A listener. An IPv6 one takes IPv6 alone.
pub(super) fn tcp_listen(local: SocketAddr) -> Result<OwnedFd, Errno> {
    let fd = socket(local.ip(), SocketType::STREAM, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    only_v6(&fd, local.ip())?;
    net::bind(&fd, &local)?;
    net::listen(&fd, 4_096)?;
    Ok(fd)
}

/// The next connection of a listener and who made it.
pub(super) fn tcp_accept(listener: impl AsFd) -> Result<(OwnedFd, SocketAddr), Errno> {
    let (fd, from) = net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    stream_options(&fd);
    let from = from
        .and_then(|any| SocketAddr::try_from(any).ok())
        .ok_or(Errno::CONNABORTED)?;
    Ok((fd, from))
}

/// Refuses the next connection of a listener when there is no descriptor left to take it with: gives up `spare` for a moment.
pub(super) fn tcp_shed(listener: impl AsFd, spare: &mut Option<OwnedFd>) {
    if spare.take().is_some()
        && let Ok((fd, _)) = tcp_accept(listener)
    {
        reset(fd);
    }
    *spare = self::spare();
}

/// A descriptor held back for [`tcp_shed`].
pub(super) fn spare() -> Option<OwnedFd> {
    rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).ok()
}

/// How a connection attempt failed. A socket that met itself counts as refused: the kernel happened to choose the closed port it was to
/// connect to for its own end.
pub(super) fn connect_error(fd: impl AsFd, remote: SocketAddr) -> Result<(), Errno> {
    take_error(&fd)?;
    if remote.ip().is_loopback() && local(&fd) == Some(remote) {
        Err(Errno::CONNREFUSED)
    } else {
        Ok(())
    }
}

/// A UDP socket, bound when `local` says so.
pub(super) fn udp(like: IpAddr, local: Option<SocketAddr>) -> Result<OwnedFd, Errno> {
    let fd = socket(like, SocketType::DGRAM, Some(ipproto::UDP))?;
    only_v6(&fd, like)?;
    if let Some(local) = local {
        net::bind(&fd, &local)?;
    }
    Ok(fd)
}

/// Lets more datagrams wait for us than the system's default, as far as the system allows: the program's own queue decides what is lost.
pub(super) fn deepen(fd: impl AsFd) {
    let _ = sockopt::set_socket_recv_buffer_size(fd, QUEUE);
}

/// A ping socket, where the system permits it (`net.ipv4.ping_group_range`).
pub(super) fn ping(remote: IpAddr) -> Result<OwnedFd, Errno> {
    let protocol = if remote.is_ipv4() {
        ipproto::ICMP
    } else {
        ipproto::ICMPV6
    };
    let fd = socket(remote, SocketType::DGRAM, Some(protocol))?;
    net::connect(&fd, &SocketAddr::new(remote, 0))?;
    Ok(fd)
}

fn only_v6(fd: impl AsFd, address: IpAddr) -> Result<(), Errno> {
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(fd, true)
    } else {
        Ok(())
    }
}

/// The address a socket is bound to.
pub(super) fn local(fd: impl AsFd) -> Option<SocketAddr> {
    net::getsockname(fd).ok().and_then(|any| SocketAddr::try_from(any).ok())
}

/// The pending error of a socket, taken.
pub(super) fn take_error(fd: impl AsFd) -> Result<(), Errno> {
    sockopt::socket_error(fd).and_then(|pending| pending)
}

/// Closes with RST: whoever is at the other end learns that the stream did not end well.
pub(super) fn reset(fd: OwnedFd) {
    let _ = sockopt::set_socket_linger(&fd, Some(Duration::ZERO));
    drop(fd);
}

/// Reads up to `max` bytes into a pooled buffer. Empty at the end of the stream.
pub(super) fn read(fd: impl AsFd, pool: &Pool, max: usize) -> Result<bytes::Bytes, Errno> {
    let mut result = Ok(0);
    let bytes = pool.fill(max, |buf| {
        result = net::recv(fd, &mut *buf, RecvFlags::DONTWAIT).map(|(_, n)| n);
        result.unwrap_or(0)
    });
    result.map(|_| bytes)
}

/// Writes from the front of `rope` and drops what was taken. Returns how much that was.
pub(super) fn write(fd: impl AsFd, rope: &mut Rope) -> Result<usize, Errno> {
    let taken = {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (place, slice) in slices.iter_mut().zip(rope.slices()) {
            *place = IoSlice::new(slice);
            count += 1;
        }
        let mut control = net::SendAncillaryBuffer::default();
        net::sendmsg(
            fd,
            &slices[..count],
            &mut control,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )?
    };
    rope.drop_front(taken);
    Ok(taken)
}

/// What the inside is told when the machine's network answers a connection attempt like this.
pub(super) fn syn_answer(error: Errno) -> SynAnswer {
    match error {
        Errno::CONNREFUSED | Errno::CONNRESET => SynAnswer::Refuse,
        Errno::TIMEDOUT => SynAnswer::Ignore,
        other => SynAnswer::Unreachable(unreachable(other)),
    }
}

/// The ICMP error that gives a program the errno that the gateway got.
pub(super) fn unreachable(error: Errno) -> Unreachable {
    match error {
        Errno::CONNREFUSED => Unreachable::Port,
        Errno::NETUNREACH | Errno::NETDOWN | Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::INVAL => {
            Unreachable::Network
        }
        Errno::ACCESS | Errno::PERM => Unreachable::Prohibited,
        Errno::NOPROTOOPT => Unreachable::Protocol,
        _ => Unreachable::Host,
    }
}
