//! A TUN or TAP device as a link: the machine's own TCP/IP is at the other end.
//!
//! With a virtio-net header in front of each packet, super-segments of up to 64 KiB pass whole in both directions, and checksums are left to
//! whoever needs them. What the kernel refuses of that is done without, and [`Tun::offload`] tells.

mod error;
pub(super) mod frames;
mod vnet;

pub use error::{Kind, TunError};

use super::{Caps, Link};
use sockeye_core::buf::Pool;
use sockeye_core::host::Medium;
use sockeye_core::packet::Gso;
use sockeye_core::{Instant, Packet, gso};
use sockeye_sys::tun::{self, Attach, offload};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;

/// Bytes of one batch: with more, each would have left the processor's cache before anyone looks at it.
const BATCH: usize = 1 << 20;

/// A link to the machine's own TCP/IP, by a TUN or TAP device.
///
/// As a link of a [`Host`](crate::Host) it needs a tokio runtime with I/O enabled (`enable_all`), and panics on one without. On a thread of its
/// own, without any runtime, [`try_recv`](Self::try_recv) and [`try_send`](Self::try_send) move packets, and its descriptor can be polled.
///
/// ```no_run
/// use sockeye::{Host, link::Tun};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // ip tuntap add dev tun0 mode tun user $USER; ip addr add 10.9.0.1/24 dev tun0; ip link set tun0 up
/// let host = Host::builder().address("10.9.0.2/24").link(Tun::open("tun0")?).build()?;
/// let listener = host.tcp_listen("10.9.0.2:80").await?;
/// let (stream, from) = listener.accept().await?; // curl http://10.9.0.2/
/// # drop((stream, from));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Tun {
    queues: Vec<Queue>,
    caps: Caps,
    offload: Offload,
    vnet_header: bool,
    pool: Pool,
}

/// One descriptor of the device.
#[derive(Debug)]
struct Queue {
    device: Arc<tun::Tun>,
    /// Once a runtime watches it.
    watched: Option<AsyncFd<Arc<tun::Tun>>>,
}

/// What a device and the kernel behind it leave to each other instead of doing it for every packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Checksums are not computed for packets that never leave the machine's memory.
    pub checksum: bool,
    /// TCP super-segments pass whole, both ways.
    pub tcp: bool,
    /// Runs of UDP datagrams pass as one, both ways. Linux 6.2 and newer.
    pub udp: bool,
}

/// How to open a device; see [`Tun::options`].
#[derive(Clone, Copy, Debug)]
#[must_use = "open() opens the device"]
pub struct TunOptions {
    ethernet: Option<[u8; 6]>,
    queues: Option<usize>,
    offload: bool,
}

impl TunOptions {
    /// A TAP device: Ethernet frames instead of IP packets, with this hardware address as ours.
    pub const fn ethernet(mut self, address: [u8; 6]) -> Self {
        self.ethernet = Some(address);
        self
    }

    /// Opens so many queues (at least one) of a device with `multi_queue`. One host reads them in turn: that serves devices which were made
    /// so, and is no faster.
    pub const fn queues(mut self, queues: usize) -> Self {
        self.queues = Some(queues);
        self
    }

    /// Whether to ask for offload; `true` unless said otherwise. Without, every packet is complete and one that a wire could carry.
    pub const fn offload(mut self, wanted: bool) -> Self {
        self.offload = wanted;
        self
    }

    /// Opens the device, which is made if there is none of this name and we have the right to.
    ///
    /// # Errors
    /// See [`TunError`].
    pub fn open(self, name: &str) -> Result<Tun, TunError> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
        if !(1..=15).contains(&name.len()) || !name.bytes().all(plain) || matches!(name, "." | "..") {
            return Err(TunError::Name(name.to_owned()));
        }
        let wanted = Attach {
            tap: self.ethernet.is_some(),
            vnet_header: self.offload,
            multi_queue: self.queues.is_some(),
        };
        let (first, how) = attach(name, wanted)?;
        let other = |error| TunError::Other(name.to_owned(), error);
        let mtu = first.mtu().map_err(other)?;
        let offload = if how.vnet_header {
            agree(|what| first.set_offload(what))
        } else {
            // What a former user of it agreed on.
            let _ = first.set_offload(0);
            Offload::default()
        };
        if self.offload && (!offload.tcp || !offload.udp) {
            tracing::warn!(device = name, ?offload, "the kernel refuses offload");
        }
        let mut queues = vec![Queue::new(first)];
        for _ in 1..self.queues.unwrap_or(1) {
            let next = tun::Tun::attach(name, how).map_err(|error| TunError::of(name, how, error))?;
            queues.push(Queue::new(next));
        }
        Ok(Tun {
            queues,
            caps: Caps {
                medium: self.ethernet.map_or(Medium::Ip, |address| Medium::Ethernet { address }),
                mtu,
                gso: how.vnet_header,
                checksum: how.vnet_header,
            },
            offload,
            vnet_header: how.vnet_header,
            pool: Pool::default(),
        })
    }
}

/// Attaches to a device, without the header where there is none to be had.
fn attach(name: &str, wanted: Attach) -> Result<(tun::Tun, Attach), TunError> {
    let plain = Attach {
        vnet_header: false,
        ..wanted
    };
    match tun::Tun::attach(name, wanted) {
        Ok(device) => Ok((device, wanted)),
        Err(error) if wanted.vnet_header && error.kind() == io::ErrorKind::InvalidInput => {
            let device = tun::Tun::attach(name, plain).map_err(|error| TunError::of(name, plain, error))?;
            Ok((device, plain))
        }
        Err(error) => Err(TunError::of(name, wanted, error)),
    }
}

/// Asks for as much as the kernel grants.
fn agree(set: impl Fn(u32) -> io::Result<()>) -> Offload {
    let tcp = offload::CHECKSUM | offload::TCP4 | offload::TCP6 | offload::TCP_ECN;
    let udp = offload::UDP4 | offload::UDP6;
    let ladder = [
        (tcp | udp, true, true),
        (tcp, true, false),
        (offload::CHECKSUM, false, false),
    ];
    for (what, tcp, udp) in ladder {
        if set(what).is_ok() {
            return Offload {
                checksum: true,
                tcp,
                udp,
            };
        }
    }
    // Not even that: then nothing, which none refuses.
    let _ = set(0);
    Offload::default()
}

impl Tun {
    /// Opens a TUN device with as much offload as the kernel grants; see [`Tun::options`] for more. It is made if there is none of this name
    /// and we have the right to; one that an ordinary user may open is made with `ip tuntap add dev NAME mode tun user USER`.
    ///
    /// # Errors
    /// See [`TunError`].
    pub fn open(name: &str) -> Result<Self, TunError> {
        Self::options().open(name)
    }

    /// A TUN device, with one queue, and offload.
    pub const fn options() -> TunOptions {
        TunOptions {
            ethernet: None,
            queues: None,
            offload: true,
        }
    }

    /// A hardware address for a TAP, drawn at random: a local one, of a single station. IEEE 802-2014 §8.4.
    ///
    /// ```
    /// let [first, ..] = sockeye::link::Tun::random_address();
    /// assert_eq!(first & 3, 2);
    /// ```
    pub fn random_address() -> [u8; 6] {
        let [mut first, b, c, d, e, f, ..] = RandomState::new().hash_one(0).to_ne_bytes();
        first = first & !3 | 2;
        [first, b, c, d, e, f]
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        self.queues[0].device.name()
    }

    /// The longest IP packet: the device's MTU when it was opened, in bytes.
    pub const fn mtu(&self) -> u32 {
        self.caps.mtu
    }

    /// What was agreed on with the kernel.
    pub const fn offload(&self) -> Offload {
        self.offload
    }

    /// Brings the device up.
    ///
    /// # Errors
    /// `PermissionDenied` without the right to.
    pub fn bring_up(&self) -> io::Result<()> {
        self.queues[0].device.bring_up()
    }

    /// Appends packets that have arrived to `batch`, at most `max`; returns how many.
    ///
    /// # Errors
    /// When the device was deleted.
    pub fn try_recv(&mut self, batch: &mut Vec<Packet>, max: usize) -> io::Result<usize> {
        let before = batch.len();
        for nth in 0..self.queues.len() {
            let _ = self.recv_from(nth, batch, before + max)?;
        }
        Ok(batch.len() - before)
    }

    /// Reads one queue until it is empty (`true`), or the batch is full.
    fn recv_from(&self, nth: usize, batch: &mut Vec<Packet>, limit: usize) -> io::Result<bool> {
        let device = &self.queues[nth].device;
        let mut bytes = 0;
        while batch.len() < limit && bytes < BATCH {
            match frames::read(&**device, self.vnet_header, self.caps.medium, &self.pool) {
                Ok(Some(packet)) => {
                    bytes += packet.total_len();
                    batch.push(packet);
                }
                Ok(None) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Hands packets from the front of `batch` to the kernel until it is empty. What the kernel does not take (the device is down, the
    /// packet is none) is lost as on any wire.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes no more just now: the rest stays in the batch. Any other when the device was deleted.
    pub fn try_send(&mut self, batch: &mut VecDeque<Packet>) -> io::Result<()> {
        while let Some(packet) = batch.front_mut() {
            if matches!(packet.meta.gso, Gso::Udp { .. }) && self.vnet_header && !self.offload.udp {
                self.split_front(batch);
                continue;
            }
            match frames::write(&*self.queues[0].device, self.vnet_header, packet) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock || is_gone(&error) => return Err(error),
                Err(error) => tracing::debug!(%error, "a packet was not taken"),
                Ok(()) => {}
            }
            batch.pop_front();
        }
        Ok(())
    }

    /// Splits a super-segment that the kernel does not know how to.
    fn split_front(&self, batch: &mut VecDeque<Packet>) {
        if let Some(packet) = batch.pop_front() {
            let mut parts = VecDeque::new();
            gso::segment(packet, self.caps.mtu, &mut parts);
            while let Some(part) = parts.pop_back() {
                batch.push_front(part);
            }
        }
    }

    /// Has the runtime watch the device, if there is one here.
    fn watch(&mut self) -> io::Result<()> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Ok(());
        }
        for queue in &mut self.queues {
            if queue.watched.is_none() {
                #[expect(
                    deprecated,
                    reason = "what replaces it is unsafe; the Arc keeps this descriptor open and the same"
                )]
                let watched = AsyncFd::new(Arc::clone(&queue.device))?;
                queue.watched = Some(watched);
            }
        }
        Ok(())
    }
}

/// True when the device was deleted: nothing will ever pass again.
fn is_gone(error: &io::Error) -> bool {
    let gone = [
        rustix::io::Errno::BADFD,
        rustix::io::Errno::NODEV,
        rustix::io::Errno::BADF,
    ];
    gone.iter()
        .any(|gone| error.raw_os_error() == Some(gone.raw_os_error()))
}

impl Queue {
    fn new(device: tun::Tun) -> Self {
        Self {
            device: Arc::new(device),
            watched: None,
        }
    }
}

impl AsFd for Tun {
    /// The descriptor of the first queue.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queues[0].device.as_fd()
    }
}

impl Link for Tun {
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
        self.watch()?;
        let (before, limit) = (batch.len(), batch.len() + max);
        for (nth, queue) in self.queues.iter().enumerate() {
            let Some(watched) = &queue.watched else { continue };
            // Readiness is forgotten only once the queue is empty, and asked for again only while there is nothing to give.
            while batch.len() < limit
                && let Poll::Ready(guard) = watched.poll_read_ready(cx)
            {
                let is_empty = self.recv_from(nth, batch, limit)?;
                if is_empty {
                    guard?.clear_ready();
                }
                if batch.len() > before {
                    break;
                }
            }
        }
        if batch.len() > before {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, _now: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        loop {
            match self.try_send(batch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            self.watch()?;
            let Some(watched) = &self.queues[0].watched else {
                return Poll::Pending;
            };
            ready!(watched.poll_write_ready(cx))?.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_the_kernel_grants() {
        let all = offload::CHECKSUM | offload::TCP4 | offload::TCP6 | offload::TCP_ECN | offload::UDP4 | offload::UDP6;
        for (known, want) in [
            (all, (true, true, true)),
            (all & !offload::UDP6, (true, true, false)),
            (offload::CHECKSUM, (true, false, false)),
            (0, (false, false, false)),
        ] {
            let got = agree(|what| match what & !known {
                0 => Ok(()),
                _ => Err(io::ErrorKind::InvalidInput.into()),
            });
            assert_eq!((got.checksum, got.tcp, got.udp), want);
        }
    }

    #[test]
    fn names_that_no_device_can_have() {
        for name in ["", "a/b", "a b", "tun%d", "..", "sixteen-letters!", "a:1", "tün"] {
            let error = Tun::open(name).expect_err(name);
            assert!(matches!(error, TunError::Name(_)), "{name}: {error}");
        }
    }
}
