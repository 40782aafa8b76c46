//! What datagram sockets need beyond rustix: the error queue (`IP_RECVERR`, `MSG_ERRQUEUE`) and receiving many at once. ip(7), recvmmsg(2).

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

/// Who raised an error of the error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This machine.
    Local,
    /// An ICMP message.
    Icmp,
    /// An ICMPv6 message.
    Icmp6,
    /// Something else.
    Other,
}

/// One entry of a socket's error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedError {
    /// The error number.
    pub errno: i32,
    /// Who raised it.
    pub origin: Origin,
    /// ICMP type, for ICMP errors.
    pub icmp_type: u8,
    /// ICMP code, for ICMP errors.
    pub icmp_code: u8,
    /// The path MTU, for "too long".
    pub info: u32,
    /// Where the datagram in question went.
    pub to: Option<SocketAddr>,
    /// Who sent the ICMP message.
    pub from: Option<IpAddr>,
    /// How many bytes of the datagram's payload came back, at most the length of the buffer given.
    pub len: usize,
}

/// Asks for ICMP errors on a socket, connected or not: they are queued, and the next call fails with them too.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_recverr(fd: impl AsFd, v6: bool) -> io::Result<()> {
    let (level, name) = if v6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int that lives through the call, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes one entry of the error queue, without waiting, and the start of the datagram it is about. `None` when the queue is empty.
///
/// # Errors
/// Those of recvmsg(2) other than `EAGAIN`.
pub fn take_queued_error(fd: impl AsFd, buf: &mut [u8]) -> io::Result<Option<QueuedError>> {
    #[repr(align(8))]
    struct Control([u8; 512]);
    let mut control = Control([0; 512]);
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut iov = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: every pointer in `message` leads to memory of the length given beside it, which lives through the call.
    let n = unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut message, flags) };
    if n < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock {
            Ok(None)
        } else {
            Err(error)
        };
    }
    // SAFETY: zeroed at first, and the kernel wrote a valid address, or none, over it.
    let to = decode(unsafe { name.assume_init_ref() });
    Ok(Some(extended_error(&message, to, n as usize)))
}

/// Finds the extended error among the control messages of a received message.
fn extended_error(message: &libc::msghdr, to: Option<SocketAddr>, len: usize) -> QueuedError {
    let mut found = QueuedError {
        errno: libc::EIO,
        origin: Origin::Other,
        icmp_type: 0,
        icmp_code: 0,
        info: 0,
        to,
        from: None,
        len,
    };
    // SAFETY: the kernel filled the control buffer that `message` leads to and set its length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a header wholly inside the control buffer, which is aligned to 8.
        let header = unsafe { *next };
        let wanted = matches!(
            (header.cmsg_level, header.cmsg_type),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        );
        // SAFETY: plain arithmetic on a length.
        let least = unsafe { libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as u32) } as usize;
        if wanted && header.cmsg_len as usize >= least {
            // SAFETY: the data of this control message is at least as long as the structure; `read_unaligned` asks for no alignment.
            let error = unsafe { libc::CMSG_DATA(next).cast::<libc::sock_extended_err>().read_unaligned() };
            found.errno = error.ee_errno as i32;
            found.origin = match error.ee_origin {
                libc::SO_EE_ORIGIN_LOCAL => Origin::Local,
                libc::SO_EE_ORIGIN_ICMP => Origin::Icmp,
                libc::SO_EE_ORIGIN_ICMP6 => Origin::Icmp6,
                _ => Origin::Other,
            };
            (found.icmp_type, found.icmp_code, found.info) = (error.ee_type, error.ee_code, error.ee_info);
            found.from = offender(next, header.cmsg_len as usize, least);
        }
        // SAFETY: as for CMSG_FIRSTHDR; `next` is the header that was just looked at.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    found
}

/// The address of who reported an error: it follows the extended error in the same control message.
fn offender(message: *const libc::cmsghdr, len: usize, least: usize) -> Option<IpAddr> {
    let room = len.checked_sub(least)?.min(size_of::<libc::sockaddr_storage>());
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    // SAFETY: `room` bytes follow the extended error inside the control message, and the storage holds at least as many.
    unsafe {
        let start = libc::CMSG_DATA(message).add(size_of::<libc::sock_extended_err>());
        std::ptr::copy_nonoverlapping(start, storage.as_mut_ptr().cast::<u8>(), room);
    }
    // SAFETY: zeroed, then partly overwritten: every byte is initialised, and every bit pattern is a valid sockaddr_storage.
    decode(unsafe { storage.assume_init_ref() }).map(|address| address.ip())
}

fn decode(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: a sockaddr_storage is large and aligned enough for every address, and all bit patterns are valid in it.
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(address.into(), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(address, port, 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Datagrams received by one call.
const MANY: usize = 32;
/// The longest datagram there is.
const LONGEST: usize = 65_536;

/// Room to receive many datagrams by one call. The memory is touched only as far as datagrams fill it.
pub struct Inbox {
    room: Box<[u8]>,
    names: Box<[libc::sockaddr_storage; MANY]>,
    lengths: [usize; MANY],
    count: usize,
}

impl Inbox {
    /// As many datagrams are received by one call at most.
    pub const MANY: usize = MANY;

    /// An empty one.
    pub fn new() -> Self {
        Self {
            room: vec![0; MANY * LONGEST].into_boxed_slice(),
            // SAFETY: all zeros is a valid sockaddr_storage (of family "unspecified").
            names: Box::new(unsafe { zeroed() }),
            lengths: [0; MANY],
            count: 0,
        }
    }

    /// Receives what waits at `fd`, at most [`Inbox::MANY`], without waiting. Returns how many; what was received before is gone.
    ///
    /// # Errors
    /// Those of recvmmsg(2), `EAGAIN` among them; a pending ICMP error counts as one and is taken.
    pub fn receive(&mut self, fd: impl AsFd) -> io::Result<usize> {
        self.count = 0;
        // SAFETY: all zeros is a valid iovec and a valid mmsghdr.
        let (mut iovs, mut messages): ([libc::iovec; MANY], [libc::mmsghdr; MANY]) = unsafe { (zeroed(), zeroed()) };
        let places = self.room.chunks_exact_mut(LONGEST).zip(self.names.iter_mut());
        for ((message, iov), (room, name)) in messages.iter_mut().zip(iovs.iter_mut()).zip(places) {
            iov.iov_base = room.as_mut_ptr().cast();
            iov.iov_len = room.len();
            message.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            message.msg_hdr.msg_iov = std::ptr::from_mut(iov);
            message.msg_hdr.msg_iovlen = 1;
        }
        let raw = fd.as_fd().as_raw_fd();
        let flags = libc::MSG_DONTWAIT as _;
        // SAFETY: `messages` holds MANY headers whose pointers lead to memory of the length given beside them, all of it alive here.
        let n = unsafe { libc::recvmmsg(raw, messages.as_mut_ptr(), MANY as u32, flags, std::ptr::null_mut()) };
        if n < 0 {
            return Err(io::Error::last_os_error());
        }
        self.count = n as usize;
        for (length, message) in self.lengths.iter_mut().zip(&messages) {
            *length = (message.msg_len as usize).min(LONGEST);
        }
        Ok(self.count)
    }

    /// What the last call received.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], Option<SocketAddr>)> {
        let places = self.room.chunks_exact(LONGEST).zip(self.names.iter());
        let filled = places.zip(self.lengths).take(self.count);
        filled.map(|((room, name), length)| (&room[..length], decode(name)))
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn many_datagrams_arrive_in_order_with_their_senders() {
        let (a, b) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        for n in 0..5_u8 {
            a.send_to(&vec![n; usize::from(n) * 1000], b.local_addr().unwrap())
                .unwrap();
        }
        let mut inbox = Inbox::new();
        assert_eq!(inbox.receive(&b).unwrap(), 5);
        for (n, (data, from)) in inbox.datagrams().enumerate() {
            assert_eq!((data.len(), from), (n * 1000, Some(a.local_addr().unwrap())));
            assert!(data.iter().all(|byte| usize::from(*byte) == n));
        }
        assert_eq!(inbox.receive(&b).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(inbox.datagrams().count(), 0);
    }

    #[test]
    fn a_closed_port_reaches_the_error_queue_of_an_unconnected_socket() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        set_recverr(&socket, false).unwrap();
        let mut buf = [0; 64];
        assert_eq!(take_queued_error(&socket, &mut buf).unwrap(), None);
        socket.send_to(b"anybody?", closed).unwrap();
        let error = take_queued_error(&socket, &mut buf).unwrap().unwrap();
        assert_eq!((error.errno, error.origin), (libc::ECONNREFUSED, Origin::Icmp));
        assert_eq!((error.icmp_type, error.icmp_code, error.len), (3, 3, 8));
        assert_eq!((error.to, error.from), (Some(closed), Some(closed.ip())));
        assert_eq!(&buf[..8], b"anybody?");
    }
}
