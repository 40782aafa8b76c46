//! Ethernet frames on a device of the machine: packet(7).

use super::tun::{VNET_HEADER_LEN, check, index_of, mtu_of, owned};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A packet socket on one Ethernet device: every frame that arrives there, with a virtio-net header of [`VNET_HEADER_LEN`] bytes in front.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    mtu: u32,
}

impl PacketSocket {
    /// Opens one on the device called `name`: all stations' frames (promiscuous), but not those that the machine sends itself.
    ///
    /// # Errors
    /// `EPERM` without the right to (`CAP_NET_RAW`), `ENODEV` when there is no such device.
    pub fn open(name: &str) -> io::Result<Self> {
        let every = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: socket(2) takes no pointers. Protocol 0: nothing arrives before it is bound.
        let fd = owned(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        let index = index_of(name)?;
        set(&fd, libc::PACKET_VNET_HDR, &1_i32)?;
        set(&fd, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        let all_stations = libc::packet_mreq {
            mr_ifindex: index,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set(&fd, libc::PACKET_ADD_MEMBERSHIP, &all_stations)?;
        let at = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: every,
            sll_ifindex: index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: bind reads `len` bytes of `at`, which lives through the call.
        check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const at).cast(), len) })?;
        let mtu = mtu_of(name)?;
        Ok(Self { fd, mtu })
    }

    /// The device's MTU when this was opened, in bytes.
    pub const fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The next frame, if one waits: header, then frame.
    ///
    /// # Errors
    /// Those of readv(2): `ENETDOWN` once after the device went down.
    pub fn receive_vectored(&self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<Option<usize>> {
        match rustix::io::readv(&self.fd, buffers) {
            Ok(len) => Ok(Some(len)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends one frame: header, then frame.
    ///
    /// # Errors
    /// Those of writev(2).
    pub fn send_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<()> {
        const { assert!(VNET_HEADER_LEN == 10) };
        rustix::io::writev(&self.fd, pieces)?;
        Ok(())
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// One option of packet(7), with the value that it takes.
fn set<T>(fd: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: setsockopt reads `len` bytes of `value`; callers pair each option with its type.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            len,
        )
    })
}
