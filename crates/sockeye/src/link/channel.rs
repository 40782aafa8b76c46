//! A link whose other end is yours: hand packets in, take packets out, as bytes.

use super::queue::{CAPACITY, Queue};
use super::{Caps, MemoryLink};
use bytes::Bytes;
use sockeye_core::Packet;
use sockeye_core::host::Medium;
use sockeye_core::wire::packet_from_bytes;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Your end of a packet channel; see [`channel`]. Clones share it.
///
/// Dropping the last clone is pulling the cable.
#[derive(Clone, Debug)]
pub struct Wire {
    medium: Medium,
    to_host: Queue,
    from_host: Queue,
    /// Closes both queues with the last clone.
    _ends: Arc<Ends>,
}

#[derive(Debug)]
struct Ends([Queue; 2]);

/// A link for a host and the other end of it, for you: every packet that the host sends comes out of [`Wire::packet_out`], and what you give
/// to [`Wire::packet_in`] arrives at the host. Packets are complete: IP header first, checksums computed, no longer than `mtu` bytes.
///
/// ```
/// use sockeye::link::{self, Link};
/// let (link, wire) = link::channel(1_420);
/// assert_eq!(link.caps().mtu, 1_420);
/// assert!(wire.try_packet_out().is_none());
/// ```
pub fn channel(mtu: u32) -> (MemoryLink, Wire) {
    let caps = Caps::ip(mtu);
    let (to_host, from_host) = (Queue::default(), Queue::default());
    let wire = Wire {
        medium: caps.medium,
        to_host: to_host.clone(),
        from_host: from_host.clone(),
        _ends: Arc::new(Ends([to_host.clone(), from_host.clone()])),
    };
    (MemoryLink::new(caps, from_host, to_host), wire)
}

impl Wire {
    /// A packet arrives at the host: the bytes of one IP packet, of any kind and from anyone. A host drops what is no packet, and counts it.
    /// Bytes are shared, not copied, when you give a `Vec` or `Bytes`.
    ///
    /// # Errors
    /// `WouldBlock` while 256 packets wait that the host has not looked at: drop this one, as a full queue would, or try again later.
    pub fn packet_in(&self, packet: impl Into<Bytes>) -> io::Result<()> {
        match self.to_host.try_push(packet_from_bytes(packet.into(), self.medium)) {
            None => Ok(()),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{CAPACITY} packets wait for the host already"),
            )),
        }
    }

    /// The next packet that the host sends; waits for one. `None` once the host is gone and all its packets were taken.
    ///
    /// # Cancel safety
    /// A dropped future has taken no packet.
    pub async fn packet_out(&self) -> Option<Bytes> {
        poll_fn(|cx| self.poll_packet_out(cx)).await
    }

    /// Gives every packet that comes out here to the host behind `other`, until this host is gone. What finds that host's queue full is lost,
    /// as on any network.
    ///
    /// # Cancel safety
    /// A dropped future has taken no packet.
    pub async fn carry_to(&self, other: &Self) {
        while let Some(packet) = self.packet_out().await {
            let _ = other.packet_in(packet);
        }
    }

    /// The next packet that the host sends, if one waits.
    pub fn try_packet_out(&self) -> Option<Bytes> {
        self.from_host.try_pop().map(|packet| to_bytes(&packet))
    }

    /// As [`Wire::packet_out`], for your own `poll` functions. Only the task that asked last is woken.
    pub fn poll_packet_out(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut one: Vec<Packet> = Vec::new();
        self.from_host
            .poll_pop(cx, 1, &mut one)
            .map(|_| one.first().map(to_bytes))
    }
}

fn to_bytes(packet: &Packet) -> Bytes {
    packet.to_vec().into()
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.iter().for_each(Queue::close);
    }
}
