//! A link between two hosts of one process. A packet that crosses it is moved: no copy, no checksum, super-segments whole.

use super::queue::Queue;
use super::{Caps, Link};
use sockeye_core::host::Medium;
use sockeye_core::{Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

/// One end of a link in memory, or the host's end of a packet channel; see [`pair`] and [`channel`](super::channel).
#[derive(Debug)]
pub struct MemoryLink {
    caps: Caps,
    outgoing: Queue,
    incoming: Queue,
}

/// The two ends of a perfect link in memory, for IP packets of at most 1500 bytes (change that with [`MemoryLink::mtu`]).
///
/// Nothing is lost on it: an end whose other end is slow waits. Once one end is dropped, with its host, the other is like a cable that leads
/// nowhere.
///
/// ```
/// use sockeye::link::{self, Link};
/// let (left, right) = link::pair();
/// assert_eq!(left.caps(), right.caps());
/// ```
pub fn pair() -> (MemoryLink, MemoryLink) {
    let (there, back) = (Queue::default(), Queue::default());
    let caps = Caps {
        medium: Medium::Ip,
        mtu: 1_500,
        gso: true,
        checksum: true,
    };
    let left = MemoryLink::new(caps, there.clone(), back.clone());
    (left, MemoryLink::new(caps, back, there))
}

impl MemoryLink {
    pub(super) const fn new(caps: Caps, outgoing: Queue, incoming: Queue) -> Self {
        Self {
            caps,
            outgoing,
            incoming,
        }
    }

    /// Sets the longest IP packet that this end sends, in bytes.
    #[must_use]
    pub const fn mtu(mut self, mtu: u32) -> Self {
        self.caps.mtu = mtu;
        self
    }

    /// Whether super-segments pass whole, which they do unless said otherwise. Without, every packet is one that a wire could carry.
    #[must_use]
    pub const fn gso(mut self, whole: bool) -> Self {
        self.caps.gso = whole;
        self
    }
}

impl Link for MemoryLink {
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
        match self.incoming.poll_pop(cx, max, batch) {
            Poll::Ready(true) => Poll::Ready(Ok(())),
            // The other end is gone, or slow: a cable does not tell.
            Poll::Ready(false) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, _now: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        self.outgoing.poll_push(cx, batch).map(Ok)
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.outgoing.close();
        self.incoming.close();
    }
}
