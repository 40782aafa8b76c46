//! IP over Ethernet, on a device of the machine: packet(7). RFC 894, RFC 2464; neighbours are the core's business (RFC 826, RFC 4861).

use super::tun::frames;
use super::{Caps, Link, Tun};
use sockeye_core::buf::Pool;
use sockeye_core::host::Medium;
use sockeye_core::packet::Gso;
use sockeye_core::{Instant, Packet, gso};
use sockeye_sys::packet::PacketSocket;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;

/// A host on an Ethernet device of the machine, as a station of its own beside the machine: with another hardware address, and with IP
/// addresses that the machine does not have. Frames that the machine sends itself do not come by, so the two cannot talk to each other
/// on the same device; everyone else on the wire reaches both.
///
/// It takes root, or `CAP_NET_RAW`. TCP super-segments and unfinished checksums pass both ways where the device passes them.
///
/// ```no_run
/// use sockeye::{Host, link::Ethernet};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = Host::builder()
///     .address("192.168.1.77/24")
///     .link(Ethernet::open("eth0")?)
///     .route("0.0.0.0/0", "192.168.1.1")
///     .build()?;
/// # drop(host);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Ethernet {
    device: Arc<PacketSocket>,
    watched: AsyncFd<Arc<PacketSocket>>,
    caps: Caps,
    pool: Pool,
}

impl Ethernet {
    /// Opens the device, with a hardware address drawn at random.
    ///
    /// # Errors
    /// `PermissionDenied` without the right to, `NotFound` when there is no such device.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn open(device: &str) -> io::Result<Self> {
        Self::with_address(device, Tun::random_address())
    }

    /// Opens the device, with this hardware address as ours: one that nobody else on the wire has.
    ///
    /// # Errors
    /// As [`Ethernet::open`].
    ///
    /// # Panics
    /// As [`Ethernet::open`].
    pub fn with_address(device: &str, address: [u8; 6]) -> io::Result<Self> {
        let socket = PacketSocket::open(device).map_err(|error| explain(device, &error))?;
        let mtu = socket.mtu();
        let socket = Arc::new(socket);
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; the Arc keeps this descriptor open and the same"
        )]
        let watched = AsyncFd::new(Arc::clone(&socket))?;
        Ok(Self {
            device: socket,
            watched,
            caps: Caps {
                medium: Medium::Ethernet { address },
                mtu,
                gso: true,
                checksum: true,
            },
            pool: Pool::default(),
        })
    }

    /// Sends from the front of `batch`; `WouldBlock` when the device takes no more just now.
    fn try_send(&self, batch: &mut VecDeque<Packet>) -> io::Result<()> {
        while let Some(packet) = batch.front_mut() {
            if matches!(packet.meta.gso, Gso::Udp { .. }) {
                // Kernels before 6.2 do not know how to split it.
                let mut parts = VecDeque::new();
                gso::segment(std::mem::take(packet), self.caps.mtu, &mut parts);
                batch.pop_front();
                parts.into_iter().rev().for_each(|part| batch.push_front(part));
                continue;
            }
            match frames::write(&*self.device, true, packet) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) => tracing::debug!(%error, "a frame was not taken"),
                Ok(()) => {}
            }
            batch.pop_front();
        }
        Ok(())
    }
}

fn explain(device: &str, error: &io::Error) -> io::Error {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::PERM) => io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("frames of {device} take root, or CAP_NET_RAW: sudo setcap cap_net_raw+ep PROGRAM"),
        ),
        Some(rustix::io::Errno::NODEV | rustix::io::Errno::INVAL) => io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no network device {device}; `ip link` lists those that are"),
        ),
        _ => io::Error::new(error.kind(), format!("{device}: {error}")),
    }
}

impl Link for Ethernet {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        _now: Instant,
        batch: &mut Vec<Packet>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        let before = batch.len();
        loop {
            let mut guard = ready!(self.watched.poll_read_ready(cx))?;
            while batch.len() < before + max {
                match frames::read(&*self.device, true, self.caps.medium, &self.pool) {
                    Ok(Some(packet)) => batch.push(packet),
                    Ok(None) => {
                        guard.clear_ready();
                        break;
                    }
                    // The device went down, and may come up again.
                    Err(error) if error.kind() == io::ErrorKind::NetworkDown => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if batch.len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, _now: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        loop {
            match self.try_send(batch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(self.watched.poll_write_ready(cx))?.clear_ready();
        }
    }
}
