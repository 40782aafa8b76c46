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
//! A link moves batches and never waits. What has nothing to give, or takes no more, answers `Pending`, and wakes the task when that changes:
//! that is all a host hears of it. The rest of the contract:
//!
//! - **What it cannot do is done for it.** [`Caps`] says what a link takes. A plain one ([`Caps::ip`]) gets packets that each stand for themselves,
//!   with their checksums, no longer than `mtu`. One that says `gso` gets super-segments too ([`sockeye_core::packet::Gso`]), one that says
//!   `checksum` gets packets whose transport checksum is still to be computed; [`sockeye_core::gso`] has both as functions, for when it
//!   turns out that the other side cannot.
//! - **Anything may arrive.** A host checks what it is given, drops what is no packet and counts why. A link need not look inside, except for
//!   who sent it where the carrier can be spoken to by others.
//! - **A packet may be lost, a link must not stall.** What cannot be sent is dropped. `Pending` from `poll_send` leaves the rest in the batch:
//!   the connections behind it wait, nothing is lost.
//! - **An error is the end.** It is for a device that was deleted or a peer that will not be back; nothing passes after it.
//! - **Batches pay.** A host locks once for each. A batch of more than what a processor's cache holds pays less.
//! - **Time is the host's.** `now` is its clock, which may be virtual; a link that holds packets back says until when with [`Link::deadline`].
//! - **It is called from one task at a time**, mostly from the host's own, and for sending also from whoever calls a socket.
//!
//! A whole one, with two hosts that it joins (`examples/custom_link.rs`):
//!
//! ```
#![doc = include_str!("../../examples/custom_link.rs")]
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
