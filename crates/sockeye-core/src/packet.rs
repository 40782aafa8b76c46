//! One packet: on its way in, on its way out, inside a simulated link, under Netem, in a capture. Always the same type.
//!
//! Headers lie inline, with room in front for a link or tunnel header; the payload is a short list of shared slices, never copied between
//! layers. A super-segment of up to 64 KiB that stands for many wire packets is one `Packet`: [`Meta::gso`] says how it splits.

use crate::time::Instant;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// Room for all headers of one packet: Ethernet with a VLAN tag, IPv6 and TCP with full options take 118 bytes.
pub const HEAD_ROOM: usize = 128;

/// Payload slices, in order.
pub type Body = SmallVec<[Bytes; 2]>;

/// One wire packet, or one super-segment that stands for several.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    /// All headers, inline.
    pub head: Head,
    /// The payload, as slices in order.
    pub body: Body,
    /// What travels beside the bytes.
    pub meta: Meta,
}

/// Header bytes with headroom in front, so that each layer prepends its own.
#[derive(Clone)]
pub struct Head {
    buf: [u8; HEAD_ROOM],
    start: u8,
    end: u8,
}

/// What is known about a packet besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meta {
    /// Payload length: the sum of the body's slices.
    pub len: u32,
    /// Bytes of memory that the body keeps alive, where that is more than the packet: a piece of a larger one. Else 0.
    pub pins: u32,
    /// How the payload splits into wire packets.
    pub gso: Gso,
    /// Whether the transport checksum in the header is to be believed.
    pub csum: Csum,
    /// Offset of the IP header in `head` (after a link header).
    pub l3: u8,
    /// Offset of the transport header in `head`.
    pub l4: u8,
    /// Keyed hash of the 4-tuple; 0 when not yet computed.
    pub hash: u32,
    /// Arrival (in) or departure (out).
    pub at: Instant,
    /// What captures and counters want to say about this packet.
    pub mark: Mark,
}

/// How a payload splits into wire packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gso {
    /// One wire packet.
    #[default]
    None,
    /// TCP segments of at most `mss` payload bytes.
    Tcp {
        /// Payload bytes of each segment but the last.
        mss: u16,
    },
    /// UDP datagrams of `size` payload bytes.
    Udp {
        /// Payload bytes of each datagram but the last.
        size: u16,
    },
}

/// Whether the transport checksum can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Csum {
    /// The field holds a full checksum that nobody verified yet.
    #[default]
    Full,
    /// Verified, by us or by the link.
    Verified,
    /// Not computed yet: the bytes never left memory, so they are good; a link that leaves memory computes it first.
    Partial,
}

/// Remarks on a packet, for captures and counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(u8);

impl Mark {
    /// Nothing to remark.
    pub const NONE: Self = Self(0);
    /// The payload was sent before.
    pub const RETRANSMISSION: Self = Self(1);
    /// A copy made by Netem.
    pub const DUPLICATE: Self = Self(2);
    /// Bits were flipped by Netem.
    pub const CORRUPTED: Self = Self(4);
    /// Netem let it overtake others.
    pub const REORDERED: Self = Self(8);
    /// Netem's queue marked it: congestion experienced. RFC 3168 §5.
    pub const CONGESTION: Self = Self(16);
    /// Longer than its path is known to carry, to find out whether it does. RFC 4821.
    pub const PROBE: Self = Self(32);

    /// True when every remark in `other` is made.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds the remarks of `other`.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Head {
    /// An empty head with all its room in front: layers prepend, from the innermost out.
    pub fn for_output() -> Self {
        Self {
            buf: [0; HEAD_ROOM],
            start: HEAD_ROOM as u8,
            end: HEAD_ROOM as u8,
        }
    }

    /// A head that holds `bytes`, at the end of its room so that an outer header still fits in front.
    ///
    /// # Panics
    /// When `bytes` is longer than [`HEAD_ROOM`].
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut head = Self::for_output();
        head.prepend(bytes.len()).copy_from_slice(bytes);
        head
    }

    /// The header bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.buf[usize::from(self.start)..usize::from(self.end)]
    }

    /// The header bytes, to change in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.buf[usize::from(self.start)..usize::from(self.end)]
    }

    /// Number of header bytes.
    pub fn len(&self) -> usize {
        usize::from(self.end - self.start)
    }

    /// True when there is no header.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Free room in front of the header.
    pub fn headroom(&self) -> usize {
        usize::from(self.start)
    }

    /// Makes room for `n` bytes in front and returns them, to be filled by the caller.
    ///
    /// # Panics
    /// When fewer than `n` bytes are free in front.
    pub fn prepend(&mut self, n: usize) -> &mut [u8] {
        assert!(
            n <= self.headroom(),
            "head has {} bytes of room, {n} asked",
            self.headroom()
        );
        self.start -= n as u8;
        let start = usize::from(self.start);
        &mut self.buf[start..start + n]
    }

    /// Drops `n` bytes from the front (a link header that was dealt with).
    ///
    /// # Panics
    /// When the head is shorter than `n`.
    pub fn strip(&mut self, n: usize) {
        assert!(n <= self.len(), "head has {} bytes, {n} to strip", self.len());
        self.start += n as u8;
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::for_output()
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl Packet {
    /// A packet of one payload slice and no header yet.
    pub fn with_payload(payload: Bytes) -> Self {
        let mut packet = Self::default();
        packet.push_payload(payload);
        packet
    }

    /// Appends a payload slice; an empty one is not kept.
    pub fn push_payload(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.meta.len += slice.len() as u32;
            self.body.push(slice);
        }
    }

    /// Bytes of header and payload together.
    pub fn total_len(&self) -> usize {
        self.head.len() + self.meta.len as usize
    }

    /// How many wire packets this one stands for.
    pub fn wire_packets(&self) -> usize {
        match self.meta.gso {
            Gso::None => 1,
            Gso::Tcp { mss: size } | Gso::Udp { size } => {
                (self.meta.len as usize).div_ceil(usize::from(size.max(1))).max(1)
            }
        }
    }

    /// All bytes from offset `at` on, head and body as one: shared when they are one slice of the body, else copied together.
    ///
    /// # Panics
    /// When the packet has fewer than `at` bytes.
    pub fn bytes_from(&self, at: usize) -> Bytes {
        let head = self.head.as_slice();
        if let ([slice], Some(skip)) = (&self.body[..], at.checked_sub(head.len())) {
            return slice.slice(skip..);
        }
        let mut bytes = BytesMut::with_capacity(self.total_len() - at);
        let mut skip = at;
        for part in std::iter::once(head).chain(self.body.iter().map(AsRef::as_ref)) {
            bytes.extend_from_slice(&part[skip.min(part.len())..]);
            skip = skip.saturating_sub(part.len());
        }
        bytes.freeze()
    }

    /// Header and payload copied into one contiguous buffer, as they would appear on the wire. The checksum is as it stands.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.total_len());
        bytes.extend_from_slice(self.head.as_slice());
        for slice in &self.body {
            bytes.extend_from_slice(slice);
        }
        bytes
    }
}
