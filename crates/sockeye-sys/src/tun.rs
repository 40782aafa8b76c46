//! A TUN device: the kernel's TCP/IP, with us as the wire. tun.rst of the kernel's documentation, netdevice(7), network_namespaces(7).

use rustix::fs::{Mode, OFlags};
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `struct in6_ifreq`, which libc has not.
#[repr(C)]
struct Ifreq6 {
    address: [u8; 16],
    prefix: u32,
    index: i32,
}

/// `struct in6_rtmsg`, likewise.
#[repr(C)]
struct Route6 {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_len: u16,
    source_len: u16,
    metric: u32,
    info: u64,
    flags: u32,
    index: i32,
}

/// A TUN device that carries bare IP packets. It is gone when this is dropped.
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
    name: [u8; 16],
}

/// Moves the calling thread, and threads that it starts from here on, to a network of their own in which there is nothing but a loopback
/// device that is down. network_namespaces(7); needs root.
///
/// # Errors
/// `EPERM` without the right to.
pub fn own_network() -> io::Result<()> {
    // SAFETY: CLONE_NEWNET changes what network calls of this thread see, and no memory.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

impl Tun {
    /// Makes a device.
    ///
    /// # Errors
    /// Those of opening /dev/net/tun, and `EPERM` without the right to.
    pub fn open(name: &str) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        let mut padded = [0; 16];
        let len = name.len().min(padded.len() - 1);
        padded[..len].copy_from_slice(&name.as_bytes()[..len]);
        let tun = Self { fd, name: padded };
        let mut request = tun.request();
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq, which lives through the call.
        check(unsafe { libc::ioctl(tun.fd.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })?;
        Ok(tun)
    }

    /// Sets its MTU, gives it the address `local`, a route to `remote`, and brings it up.
    ///
    /// # Errors
    /// Those of netdevice(7).
    pub fn configure(&self, local: IpAddr, remote: IpAddr, mtu: u32) -> io::Result<()> {
        let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        // SAFETY: socket(2) takes no pointers.
        let socket = owned(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        let mut request = self.request();
        request.ifr_ifru.ifru_mtu = mtu as i32;
        ioctl(&socket, libc::SIOCSIFMTU, &mut request)?;
        if let (IpAddr::V4(local), IpAddr::V4(remote)) = (local, remote) {
            let mut request = self.request();
            request.ifr_ifru.ifru_addr = sockaddr(local);
            ioctl(&socket, libc::SIOCSIFADDR, &mut request)?;
            request.ifr_ifru.ifru_netmask = sockaddr(Ipv4Addr::BROADCAST);
            ioctl(&socket, libc::SIOCSIFNETMASK, &mut request)?;
            // A point-to-point device has a route to its far end.
            request.ifr_ifru.ifru_dstaddr = sockaddr(remote);
            ioctl(&socket, libc::SIOCSIFDSTADDR, &mut request)?;
        }
        let mut request = self.request();
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        ioctl(&socket, libc::SIOCSIFFLAGS, &mut request)?;
        if let (IpAddr::V6(local), IpAddr::V6(remote)) = (local, remote) {
            self.configure_v6(&socket, local, remote)?;
        }
        Ok(())
    }

    fn configure_v6(&self, socket: &OwnedFd, local: Ipv6Addr, remote: Ipv6Addr) -> io::Result<()> {
        const ROUTE_UP: u32 = 1;
        let mut request = self.request();
        ioctl(socket, libc::SIOCGIFINDEX, &mut request)?;
        // SAFETY: SIOCGIFINDEX filled in this member of the union.
        let index = unsafe { request.ifr_ifru.ifru_ifindex };
        let mut address = Ifreq6 {
            address: local.octets(),
            prefix: 128,
            index,
        };
        ioctl(socket, libc::SIOCSIFADDR, &mut address)?;
        let mut route = Route6 {
            destination: remote.octets(),
            source: [0; 16],
            gateway: [0; 16],
            kind: 0,
            destination_len: 128,
            source_len: 0,
            metric: 1,
            info: 0,
            flags: ROUTE_UP,
            index,
        };
        ioctl(socket, libc::SIOCADDRT, &mut route)
    }

    fn request(&self) -> libc::ifreq {
        let mut name = [0; libc::IFNAMSIZ];
        for (to, from) in name.iter_mut().zip(self.name) {
            *to = from as libc::c_char;
        }
        libc::ifreq {
            ifr_name: name,
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 },
        }
    }

    /// The next packet that the kernel sends, if one waits. `buffer` is as long as the longest packet.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::read(&self.fd, buffer) {
            Ok(len) => Ok(Some(len)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the kernel a packet.
    ///
    /// # Errors
    /// Those of write(2): `EINVAL` for what is no IP packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.fd, packet)?;
        Ok(())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    check(result)?;
    // SAFETY: a call that succeeded gave this descriptor to us and nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// One request of netdevice(7), with the structure that it takes.
fn ioctl<T>(socket: &OwnedFd, request: libc::Ioctl, argument: &mut T) -> io::Result<()> {
    // SAFETY: callers pair each request with the structure that it reads and writes; it lives through the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), request as _, std::ptr::from_mut(argument)) })
}

/// An IPv4 address as ifreq holds it.
fn sockaddr(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..6].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    const _: () = assert!(size_of::<libc::sockaddr>() == 16);
    libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: data,
    }
}
