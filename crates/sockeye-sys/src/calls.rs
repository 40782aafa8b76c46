//! Socket calls as they are, numbers for numbers: for those who test what the kernel says to them.

use std::collections::BTreeMap;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

/// Descriptors by their numbers. A number that is not of this table is `EBADF`, whatever else it may be to the process. Several threads may
/// call at once; a descriptor that is closed while another call uses it lives until that ends.
#[derive(Debug, Default)]
pub struct Sockets {
    table: Mutex<BTreeMap<RawFd, Arc<OwnedFd>>>,
}

/// What `recvmsg` gave.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// `msg_flags`.
    pub flags: i32,
    /// From whom.
    pub from: Option<SocketAddr>,
    /// Control messages.
    pub control: Vec<u8>,
}

/// A socket address as the kernel has it.
struct Address {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl Sockets {
    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<RawFd, Arc<OwnedFd>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, fd: i32) -> io::Result<Arc<OwnedFd>> {
        let found = self.table().get(&fd).cloned();
        found.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn keep(&self, result: libc::c_int) -> io::Result<i32> {
        let fd = number(result as isize)? as i32;
        // SAFETY: a call that succeeded gave this descriptor to us and nobody else.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        let _ = self.table().insert(fd, Arc::new(owned));
        Ok(fd)
    }

    /// socket(2).
    ///
    /// # Errors
    /// Those of the call, as with all below.
    pub fn socket(&self, domain: i32, kind: i32, protocol: i32) -> io::Result<i32> {
        // SAFETY: socket(2) takes no pointers.
        self.keep(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) })
    }

    /// bind(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn bind(&self, fd: i32, address: SocketAddr) -> io::Result<i64> {
        let fd = self.at(fd)?;
        let address = Address::new(address);
        // SAFETY: the address lives through the call and is `len` bytes long.
        number(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address.storage).cast(), address.len) } as isize)
    }

    /// listen(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn listen(&self, fd: i32, backlog: i32) -> io::Result<i64> {
        let fd = self.at(fd)?;
        // SAFETY: listen(2) takes no pointers.
        number(unsafe { libc::listen(fd.as_raw_fd(), backlog) } as isize)
    }

    /// accept4(2): the new descriptor, and who connected.
    ///
    /// # Errors
    /// Those of the call.
    pub fn accept(&self, fd: i32, flags: i32) -> io::Result<(i32, Option<SocketAddr>)> {
        let fd = self.at(fd)?;
        let mut address = Address::room();
        // SAFETY: the address has room for `len` bytes, and both live through the call.
        let result = unsafe {
            libc::accept4(
                fd.as_raw_fd(),
                (&raw mut address.storage).cast(),
                &raw mut address.len,
                flags | libc::SOCK_CLOEXEC,
            )
        };
        Ok((self.keep(result)?, address.read()))
    }

    /// connect(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn connect(&self, fd: i32, address: SocketAddr) -> io::Result<i64> {
        let fd = self.at(fd)?;
        let address = Address::new(address);
        // SAFETY: the address lives through the call and is `len` bytes long.
        number(unsafe { libc::connect(fd.as_raw_fd(), (&raw const address.storage).cast(), address.len) } as isize)
    }

    /// recvmsg(2) with one buffer.
    ///
    /// # Errors
    /// Those of the call.
    pub fn receive(&self, fd: i32, buffer: &mut [u8], flags: i32) -> io::Result<Received> {
        let fd = self.at(fd)?;
        let mut address = Address::room();
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let mut control = [0_u64; 64];
        // SAFETY: a msghdr of zeroes is one without name, parts and control.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_name = (&raw mut address.storage).cast();
        message.msg_namelen = address.len;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<[u64; 64]>() as _;
        // SAFETY: name, part and control live through the call, with the lengths given.
        let got = number(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) })?;
        address.len = message.msg_namelen;
        let control = control.iter().flat_map(|word| word.to_ne_bytes());
        Ok(Received {
            len: got as usize,
            flags: message.msg_flags,
            from: address.read(),
            control: control.take(message.msg_controllen as usize).collect(),
        })
    }

    /// sendto(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn send(&self, fd: i32, data: &[u8], flags: i32, to: Option<SocketAddr>) -> io::Result<i64> {
        let fd = self.at(fd)?;
        let address = to.map(Address::new);
        let (name, len) = match &address {
            Some(address) => ((&raw const address.storage).cast(), address.len),
            None => (std::ptr::null(), 0),
        };
        // SAFETY: data and address live through the call, with the lengths given.
        number(unsafe {
            libc::sendto(
                fd.as_raw_fd(),
                data.as_ptr().cast(),
                data.len(),
                flags | libc::MSG_NOSIGNAL,
                name,
                len,
            )
        })
    }

    /// getsockopt(2): the option's bytes, at most `len`.
    ///
    /// # Errors
    /// Those of the call.
    pub fn option(&self, fd: i32, level: i32, name: i32, len: usize) -> io::Result<Vec<u8>> {
        let fd = self.at(fd)?;
        let mut value = vec![0_u8; len];
        let mut len = len as libc::socklen_t;
        // SAFETY: value has room for `len` bytes, and both live through the call.
        let got = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len) };
        number(got as isize)?;
        value.truncate(len as usize);
        Ok(value)
    }

    /// setsockopt(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn set_option(&self, fd: i32, level: i32, name: i32, value: &[u8]) -> io::Result<i64> {
        let fd = self.at(fd)?;
        let len = value.len() as libc::socklen_t;
        // SAFETY: value lives through the call and is `len` bytes long.
        number(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) } as isize)
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn shutdown(&self, fd: i32, how: i32) -> io::Result<i64> {
        let fd = self.at(fd)?;
        // SAFETY: shutdown(2) takes no pointers.
        number(unsafe { libc::shutdown(fd.as_raw_fd(), how) } as isize)
    }

    /// close(2).
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&self, fd: i32) -> io::Result<i64> {
        let closed = self.table().remove(&fd);
        closed
            .map(|_| 0)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    /// fcntl(2) with `F_GETFL` or `F_SETFL`.
    ///
    /// # Errors
    /// `EINVAL` for other commands.
    pub fn fcntl(&self, fd: i32, command: i32, argument: i32) -> io::Result<i64> {
        let fd = self.at(fd)?;
        if ![libc::F_GETFL, libc::F_SETFL].contains(&command) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: these commands take a number and no pointer.
        number(unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) } as isize)
    }

    /// ioctl(2) with one of the requests that give an int: `FIONREAD`, `SIOCOUTQ`, `SIOCOUTQNSD`, `SIOCATMARK`.
    ///
    /// # Errors
    /// `ENOTTY` for other requests.
    pub fn ioctl(&self, fd: i32, request: u64) -> io::Result<i32> {
        const GIVING_INT: [u64; 4] = [0x541b, 0x5411, 0x894b, 0x8905];
        let fd = self.at(fd)?;
        if !GIVING_INT.contains(&request) {
            return Err(io::Error::from_raw_os_error(libc::ENOTTY));
        }
        let mut value: libc::c_int = 0;
        // SAFETY: each of these requests writes one int, which lives through the call.
        number(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, &raw mut value) } as isize)?;
        Ok(value)
    }

    /// getsockname(2), or getpeername(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn name(&self, fd: i32, peer: bool) -> io::Result<Option<SocketAddr>> {
        let fd = self.at(fd)?;
        let mut address = Address::room();
        let call = if peer { libc::getpeername } else { libc::getsockname };
        // SAFETY: the address has room for `len` bytes, and both live through the call.
        number(unsafe { call(fd.as_raw_fd(), (&raw mut address.storage).cast(), &raw mut address.len) } as isize)?;
        Ok(address.read())
    }

    /// poll(2): what was found, by place.
    ///
    /// # Errors
    /// Those of the call.
    pub fn poll(&self, fds: &[(i32, i16)], timeout: i32) -> io::Result<(i64, Vec<i16>)> {
        let held: Vec<_> = fds.iter().map(|(fd, _)| self.at(*fd)).collect::<io::Result<_>>()?;
        let mut list: Vec<libc::pollfd> = held
            .iter()
            .zip(fds)
            .map(|(fd, (_, events))| libc::pollfd {
                fd: fd.as_raw_fd(),
                events: *events,
                revents: 0,
            })
            .collect();
        // SAFETY: the list lives through the call, with the length given.
        let found = number(unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, timeout) } as isize)?;
        Ok((found, list.iter().map(|entry| entry.revents).collect()))
    }

    /// epoll_create1(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn epoll_create(&self) -> io::Result<i32> {
        // SAFETY: epoll_create1(2) takes no pointers.
        self.keep(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
    }

    /// epoll_ctl(2).
    ///
    /// # Errors
    /// Those of the call.
    pub fn epoll_control(&self, epoll: i32, operation: i32, fd: i32, events: u32, data: u64) -> io::Result<i64> {
        let (epoll, fd) = (self.at(epoll)?, self.at(fd)?);
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: the event lives through the call.
        number(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) } as isize)
    }

    /// epoll_wait(2): data and events.
    ///
    /// # Errors
    /// Those of the call.
    pub fn epoll_wait(&self, epoll: i32, most: usize, timeout: i32) -> io::Result<Vec<(u64, u32)>> {
        let epoll = self.at(epoll)?;
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; most.clamp(1, 1_024)];
        let most = events.len() as libc::c_int;
        // SAFETY: there is room for `most` events, which live through the call.
        let found =
            number(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), most, timeout) } as isize)?;
        Ok(events[..found as usize]
            .iter()
            .map(|event| (event.u64, event.events))
            .collect())
    }

    /// Shuts everything down and lets go of it, so that threads that block in a call end.
    pub fn end(&self) {
        for fd in std::mem::take(&mut *self.table()).into_values() {
            // SAFETY: shutdown(2) takes no pointers; what is no socket refuses it.
            let _ = unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }
}

fn number(result: isize) -> io::Result<i64> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i64)
    }
}

impl Address {
    fn room() -> Self {
        Self {
            // SAFETY: a sockaddr_storage of zeroes is one of no family.
            storage: unsafe { zeroed() },
            len: size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    fn new(address: SocketAddr) -> Self {
        let mut made = Self::room();
        match address {
            SocketAddr::V4(v4) => {
                let name = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                made.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                // SAFETY: the storage is large enough and aligned for every kind of address.
                unsafe { (&raw mut made.storage).cast::<libc::sockaddr_in>().write(name) };
            }
            SocketAddr::V6(v6) => {
                let name = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr {
                        s6_addr: v6.ip().octets(),
                    },
                    sin6_scope_id: v6.scope_id(),
                };
                made.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
                // SAFETY: the storage is large enough and aligned for every kind of address.
                unsafe { (&raw mut made.storage).cast::<libc::sockaddr_in6>().write(name) };
            }
        }
        made
    }

    fn read(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET if self.len as usize >= size_of::<libc::sockaddr_in>() => {
                // SAFETY: the kernel wrote an address of this family, whole.
                let name = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
            }
            libc::AF_INET6 if self.len as usize >= size_of::<libc::sockaddr_in6>() => {
                // SAFETY: the kernel wrote an address of this family, whole.
                let name = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
                Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}
