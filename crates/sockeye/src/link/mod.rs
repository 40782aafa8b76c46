//! Where packets leave a host and arrive: memory, a channel that you pump, or whatever you have that carries packets.
//!
//! | link | for |
//! |---|---|
//! | [`pair`] | two hosts in one process; super-segments pass whole, nothing is copied |
//! | [`channel`] | packets that you already hold: a VPN, a microVM, a capture |
//! | [`Tun`] | the machine's own TCP/IP, by a TUN or TAP device |
//! | [`Udp`] | a host on another machine, one packet in each datagram |
//! | [`Ethernet`] | a wire of the machine's, as a station of its own |
//! | [`Impaired`] | any of these, as bad as asked for |
//! | your own | implement [`Link`] |
//!
//! # Writing a link
//! A link moves batches and never waits: what has nothing to give, or takes no more, answers `Pending` and wakes the task later. It says
//! in [`Caps`] what it can do; what it cannot do is done for it before it sees a packet (splitting super-segments, checksums). This one
//! carries IP packets in UDP datagrams between two processes:
//!
//! ```
//! use sockeye::link::{Caps, Link, packet};
//! use sockeye_core::{Instant, Packet};
//! use std::{collections::VecDeque, io, task::{Context, Poll, ready}};
//! use tokio::{io::ReadBuf, net::UdpSocket};
//!
//! struct Tunnel(UdpSocket); // connected to the other end
//!
//! impl Link for Tunnel {
//!     fn caps(&self) -> Caps {
//!         Caps::ip(1_400)
//!     }
//!
//!     fn poll_recv(&mut self, cx: &mut Context<'_>, _: Instant, batch: &mut Vec<Packet>, max: usize) -> Poll<io::Result<()>> {
//!         let before = batch.len();
//!         while batch.len() < before + max {
//!             let mut bytes = vec![0; 2_048];
//!             let mut buf = ReadBuf::new(&mut bytes);
//!             match self.0.poll_recv(cx, &mut buf) {
//!                 Poll::Ready(Ok(())) => {
//!                     let len = buf.filled().len();
//!                     bytes.truncate(len);
//!                     batch.push(packet(bytes));
//!                 }
//!                 Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {} // the other end is not up yet
//!                 Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
//!                 Poll::Pending if batch.len() > before => break,
//!                 Poll::Pending => return Poll::Pending,
//!             }
//!         }
//!         Poll::Ready(Ok(()))
//!     }
//!
//!     fn poll_send(&mut self, cx: &mut Context<'_>, _: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
//!         while let Some(packet) = batch.front() {
//!             let _lost_like_any_packet = ready!(self.0.poll_send(cx, &packet.to_vec()));
//!             batch.pop_front();
//!         }
//!         Poll::Ready(Ok(()))
//!     }
//! }
//! # async fn end(at: &str) -> io::Result<UdpSocket> { UdpSocket::bind(at).await }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> io::Result<()> {
//! # let (a, b) = (end("127.0.0.1:0").await?, end("127.0.0.1:0").await?);
//! # a.connect(b.local_addr()?).await?;
//! # b.connect(a.local_addr()?).await?;
//! # let (mut a, mut b) = (Tunnel(a), Tunnel(b));
//! # let mut out = VecDeque::from([packet(vec![0x45; 40])]);
//! # std::future::poll_fn(|cx| a.poll_send(cx, Instant::ZERO, &mut out)).await?;
//! # let mut batch = Vec::new();
//! # std::future::poll_fn(|cx| b.poll_recv(cx, Instant::ZERO, &mut batch, 8)).await?;
//! # assert_eq!(batch[0].to_vec(), [0x45; 40]);
//! # Ok(()) }
//! ```

mod channel;
mod ethernet;
mod impaired;
mod memory;
mod queue;
mod tun;
mod udp;

pub use channel::{Wire, channel};
pub use ethernet::Ethernet;
pub use impaired::Impaired;
pub use memory::{MemoryLink, pair};
pub use tun::{Kind as TunKind, Offload, Tun, TunError, TunOptions};
pub use udp::Udp;

use bytes::Bytes;
use sockeye_core::host::Medium;
use sockeye_core::{Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

/// Something that carries packets. See the [module](self) for an example of writing one.
///
/// Nothing that arrives by a link can harm a host: packets may be anything. A host asks one link from one task at a time.
pub trait Link: Send + 'static {
    /// What the link can do. It is asked once, when the host is built.
    fn caps(&self) -> Caps;

    /// Appends packets that have arrived to `batch`: at least one and at most `max`.
    ///
    /// `Pending` when none has; the task of `cx` is then woken when one does. `now` is the host's time.
    ///
    /// # Errors
    /// An error ends the link: the host asks it for nothing more, and what it would send there is lost as on a cable that was pulled.
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        batch: &mut Vec<Packet>,
        max: usize,
    ) -> Poll<io::Result<()>>;

    /// Takes packets off the front of `batch` until it is empty. It is also called with an empty batch, at [`Link::deadline`] among others.
    ///
    /// `Pending` when the link takes no more just now: the rest stays in the batch, and the task of `cx` is woken when there is room.
    ///
    /// # Errors
    /// As with [`Link::poll_recv`]. A single packet that cannot be sent is no error: drop it, as a network would.
    fn poll_send(&mut self, cx: &mut Context<'_>, now: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>>;

    /// When the link wants both of its functions called although nothing arrived: for links that hold packets back. `None` for never.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// What a link can do. What it cannot, the host does before it hands packets over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Frame format: bare IP packets, or Ethernet with our address.
    pub medium: Medium,
    /// Longest IP packet in bytes: 1280..=65535, or from 68 on where only IPv4 is spoken. RFC 8200 §5, RFC 791 §3.2.
    pub mtu: u32,
    /// It takes super-segments, up to 64 KiB that stand for many packets ([`sockeye_core::packet::Gso`]), and splits them itself if need be.
    pub gso: bool,
    /// It takes packets whose transport checksum is not computed yet ([`sockeye_core::packet::Csum::Partial`]).
    pub checksum: bool,
}

impl Caps {
    /// A plain link for IP packets of at most `mtu` bytes: every packet stands for itself and is complete.
    ///
    /// ```
    /// let caps = sockeye::link::Caps::ip(1_420);
    /// assert!(!caps.gso && !caps.checksum);
    /// ```
    pub const fn ip(mtu: u32) -> Self {
        Self {
            medium: Medium::Ip,
            mtu,
            gso: false,
            checksum: false,
        }
    }
}

/// A packet from the bytes of one IP packet, to hand to a host. [`Packet::to_vec`] is the way back. Anything is accepted: a host drops what
/// is no packet, and counts it.
///
/// ```
/// let bytes = vec![0x45; 40];
/// assert_eq!(sockeye::link::packet(bytes.clone()).to_vec(), bytes);
/// ```
pub fn packet(bytes: impl Into<Bytes>) -> Packet {
    sockeye_core::wire::packet_from_bytes(bytes.into(), Medium::Ip)
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn caps(&self) -> Caps {
        (**self).caps()
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        batch: &mut Vec<Packet>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        (**self).poll_recv(cx, now, batch, max)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, now: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        (**self).poll_send(cx, now, batch)
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }
}

#[cfg(test)]
mod tests;
