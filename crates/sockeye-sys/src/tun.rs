//! A TUN or TAP device: the kernel's TCP/IP, with us at the other end of the wire. tun.rst of the kernel's documentation, netdevice(7),
//! network_namespaces(7), virtio 1.2 §5.1.6 (the header in front of packets that are not finished).

use rustix::fs::{Mode, OFlags};
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

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

/// A TUN or TAP device, or one queue of it. Unless it was made to stay (`ip tuntap add`), it is gone when this is dropped.
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
    name: [u8; 16],
}

/// How a device is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// Ethernet frames (TAP) instead of IP packets.
    pub tap: bool,
    /// A virtio-net header of [`VNET_HEADER_LEN`] bytes lies in front of each.
    pub vnet_header: bool,
    /// One of several queues.
    pub multi_queue: bool,
}

/// Length of the virtio-net header: `struct virtio_net_hdr`, as the kernel has it unless told otherwise.
pub const VNET_HEADER_LEN: usize = 10;

/// What is said with [`Tun::set_offload`]: which packets the other end may leave unfinished for us.
pub mod offload {
    /// Checksums are ours to compute or to believe.
    pub const CHECKSUM: u32 = libc::TUN_F_CSUM;
    /// TCP over IPv4 comes in super-segments.
    pub const TCP4: u32 = libc::TUN_F_TSO4;
    /// TCP over IPv6 does.
    pub const TCP6: u32 = libc::TUN_F_TSO6;
    /// Also where it says that the window was reduced (CWR).
    pub const TCP_ECN: u32 = libc::TUN_F_TSO_ECN;
    /// UDP datagrams of one size come together; Linux 6.2.
    pub const UDP4: u32 = libc::TUN_F_USO4;
    /// Over IPv6.
    pub const UDP6: u32 = libc::TUN_F_USO6;
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
    /// Makes a device for IP packets without a header in front, or attaches to it.
    ///
    /// # Errors
    /// Those of [`Tun::attach`].
    pub fn open(name: &str) -> io::Result<Self> {
        Self::attach(name, Attach::default())
    }

    /// Attaches to a device, which is made if it is not there.
    ///
    /// # Errors
    /// Those of opening /dev/net/tun; `EPERM` without the right to; `EINVAL` when it is there and of another kind, and for names that no
    /// device can have; `EBUSY` when another program has it.
    pub fn attach(name: &str, how: Attach) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        let mut tun = Self {
            fd,
            name: padded(name)?,
        };
        let mut flags = libc::IFF_NO_PI | if how.tap { libc::IFF_TAP } else { libc::IFF_TUN };
        if how.vnet_header {
            flags |= libc::IFF_VNET_HDR;
        }
        if how.multi_queue {
            flags |= libc::IFF_MULTI_QUEUE;
        }
        let mut request = tun.request();
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq, which lives through the call.
        check(unsafe { libc::ioctl(tun.fd.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })?;
        for (to, from) in tun.name.iter_mut().zip(request.ifr_name) {
            *to = from as u8;
        }
        if how.vnet_header {
            // A device that stays remembers what its last user said.
            let len = VNET_HEADER_LEN as libc::c_int;
            // SAFETY: TUNSETVNETHDRSZ reads one int, which lives through the call.
            check(unsafe { libc::ioctl(tun.fd.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, &raw const len) })?;
        }
        Ok(tun)
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        str::from_utf8(&self.name[..end]).unwrap_or_default()
    }

    /// Tells the kernel what we take; see [`offload`].
    ///
    /// # Errors
    /// `EINVAL` when it does not know one of them.
    pub fn set_offload(&self, what: u32) -> io::Result<()> {
        // SAFETY: TUNSETOFFLOAD takes a number.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(what)) })
    }

    /// The device's MTU, in bytes.
    ///
    /// # Errors
    /// `ENODEV` when the device was deleted.
    pub fn mtu(&self) -> io::Result<u32> {
        mtu_of(self.name())
    }

    /// Brings the device up.
    ///
    /// # Errors
    /// `EPERM` without the right to.
    pub fn bring_up(&self) -> io::Result<()> {
        let mut request = self.request();
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        ioctl(&any_socket()?, libc::SIOCSIFFLAGS, &mut request)
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
        self.bring_up()?;
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
        request(self.name)
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

    /// As [`Tun::receive`], into several buffers one after the other: a header, a packet.
    ///
    /// # Errors
    /// Those of readv(2): `EBADFD` when the device was deleted.
    pub fn receive_vectored(&self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<Option<usize>> {
        match rustix::io::readv(&self.fd, buffers) {
            Ok(len) => Ok(Some(len)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Tun::send`], from several pieces.
    ///
    /// # Errors
    /// Those of writev(2): `EBADFD` when the device was deleted, `EIO` while it is down.
    pub fn send_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<()> {
        rustix::io::writev(&self.fd, pieces)?;
        Ok(())
    }
}

/// True when the machine has a network device of this name.
///
/// # Errors
/// When there are no sockets to be had.
pub fn exists(name: &str) -> io::Result<bool> {
    match index_of(name) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EINVAL)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The index of a network device.
pub(crate) fn index_of(name: &str) -> io::Result<i32> {
    let mut request = request(padded(name)?);
    ioctl(&any_socket()?, libc::SIOCGIFINDEX, &mut request)?;
    // SAFETY: SIOCGIFINDEX filled in this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// The MTU of a network device, in bytes.
pub(crate) fn mtu_of(name: &str) -> io::Result<u32> {
    let mut request = request(padded(name)?);
    ioctl(&any_socket()?, libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: SIOCGIFMTU filled in this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_mtu } as u32)
}

/// A name as requests hold it.
fn padded(name: &str) -> io::Result<[u8; 16]> {
    let mut padded = [0; 16];
    if name.len() >= padded.len() || name.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    padded[..name.len()].copy_from_slice(name.as_bytes());
    Ok(padded)
}

fn request(padded: [u8; 16]) -> libc::ifreq {
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().zip(padded) {
        *to = from as libc::c_char;
    }
    libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 },
    }
}

/// Requests of netdevice(7) go by way of a socket, whichever.
fn any_socket() -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers.
    owned(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })
}

impl AsRawFd for Tun {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(crate) fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

pub(crate) fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
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
