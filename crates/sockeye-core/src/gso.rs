//! Super-segments into wire packets, and checksums into their fields: what a network card's offload would do.
//!
//! Done just before a link that wants wire packets, never earlier: a memory link and the host's inside carry super-segments whole.

use crate::packet::{Body, Csum, Gso, Packet};
use crate::wire::layout::Layout;
use crate::wire::tcp::Flags;
use crate::wire::{checksum, protocol};
use bytes::Bytes;
use std::collections::VecDeque;

/// Appends the wire packets that `packet` stands for to `out`; TCP segments never as IP packets longer than `mtu`. A packet that stands for
/// itself is moved whole, whatever its length.
pub fn segment(mut packet: Packet, mtu: u32, out: &mut VecDeque<Packet>) {
    let size = match packet.meta.gso {
        Gso::None => return out.push_back(packet),
        Gso::Tcp { mss: size } | Gso::Udp { size } => u32::from(size.max(1)),
    };
    let may_shrink = matches!(packet.meta.gso, Gso::Tcp { .. });
    // Headers alone make a head that fits all; anything else is no super-segment, whatever its metadata says.
    let whole = |layout: &Layout| layout.end == packet.head.len() && !layout.fragment;
    let Some(layout) = Layout::find(packet.head.as_slice(), usize::from(packet.meta.l3)).filter(whole) else {
        packet.meta.gso = Gso::None;
        return out.push_back(packet);
    };
    let headers = (packet.head.len() - layout.l3) as u32;
    // A stream may be cut anywhere, a datagram may not.
    let size = if may_shrink {
        size.min(mtu.saturating_sub(headers).max(1))
    } else {
        size
    };
    let total = packet.meta.len;
    if packet.meta.csum != Csum::Partial {
        clear_checksum(&mut packet, &layout);
    }
    packet.meta.gso = Gso::None;
    packet.meta.csum = Csum::Partial;
    packet.meta.pins = packet.meta.pins.max(total);
    let mut body = Slices::new(std::mem::take(&mut packet.body));
    let mut done = 0;
    loop {
        let len = size.min(total - done);
        let last = done + len == total;
        let mut wire = if last {
            std::mem::take(&mut packet)
        } else {
            Packet {
                head: packet.head.clone(),
                body: Body::new(),
                meta: packet.meta,
            }
        };
        wire.meta.len = len;
        body.take_into(len as usize, &mut wire.body);
        let nth = Nth {
            number: (done / size) as u16,
            offset: done,
            first: done == 0,
            last,
        };
        patch(&mut wire, &layout, &nth);
        out.push_back(wire);
        if last {
            return;
        }
        done += len;
    }
}

/// Computes the transport checksum of a packet whose field is still empty, for whoever takes the bytes out of memory.
pub fn finish(packet: &mut Packet) {
    if packet.meta.csum != Csum::Partial {
        return;
    }
    packet.meta.csum = Csum::Full;
    let Some(layout) = Layout::find(packet.head.as_slice(), usize::from(packet.meta.l3)) else {
        return;
    };
    let Some(at) = layout.checksum_field() else { return };
    if layout.fragment {
        return;
    }
    clear_checksum(packet, &layout);
    let mut check = transport_checksum(packet, &layout);
    if check == 0 && layout.protocol == protocol::UDP {
        check = 0xffff; // RFC 768: 0 means none.
    }
    packet.head.as_mut_slice()[at..at + 2].copy_from_slice(&check.to_be_bytes());
}

/// The checksum of everything from the transport header on, the field included: 0 when that is right.
pub(crate) fn transport_checksum(packet: &Packet, layout: &Layout) -> u16 {
    let head = packet.head.as_slice();
    let mut sum = if layout.protocol == protocol::ICMP {
        checksum::Sum::default()
    } else {
        let len = head.len() - layout.l4 + packet.meta.len as usize;
        let addresses = if layout.v6 { 8..40 } else { 12..20 };
        checksum::pseudo_header_of(&head[layout.l3..][addresses], layout.protocol, len)
    };
    sum.add(&head[layout.l4..]);
    for slice in &packet.body {
        sum.add(slice);
    }
    sum.finish()
}

/// Sets the transport's checksum field to 0.
pub(crate) fn clear_checksum(packet: &mut Packet, layout: &Layout) {
    if let Some(field) = layout
        .checksum_field()
        .and_then(|at| packet.head.as_mut_slice().get_mut(at..at + 2))
    {
        field.fill(0);
    }
}

/// Which wire packet of a super-segment.
struct Nth {
    number: u16,
    offset: u32,
    first: bool,
    last: bool,
}

/// Makes the headers right for one wire packet: lengths, identification, sequence number, flags.
fn patch(packet: &mut Packet, layout: &Layout, nth: &Nth) {
    let payload = packet.meta.len as usize;
    let head = packet.head.as_mut_slice();
    let end = head.len();
    set_length(head, layout, end - layout.l3 + payload);
    if !layout.v6 {
        let id = u16::from_be_bytes([head[layout.l3 + 4], head[layout.l3 + 5]]).wrapping_add(nth.number);
        head[layout.l3 + 4..layout.l3 + 6].copy_from_slice(&id.to_be_bytes());
        ip_checksum(&mut head[layout.l3..layout.l4]);
    }
    let transport = &mut head[layout.l4..];
    match layout.protocol {
        protocol::TCP => {
            let seq = u32::from_be_bytes([transport[4], transport[5], transport[6], transport[7]]);
            transport[4..8].copy_from_slice(&seq.wrapping_add(nth.offset).to_be_bytes());
            if !nth.last {
                transport[13] &= !(Flags::FIN.0 | Flags::PSH.0);
            }
            if !nth.first {
                transport[13] &= !Flags::CWR.0; // RFC 3168 §6.1.2: said once.
            }
        }
        protocol::UDP => {
            let len = (transport.len() + payload) as u16;
            transport[4..6].copy_from_slice(&len.to_be_bytes());
        }
        _ => {}
    }
}

/// Writes the length field of the IP header at `layout.l3`, for an IP packet of `total` bytes. One too long for the field (a super-segment)
/// gets the largest value.
pub(crate) fn set_length(head: &mut [u8], layout: &Layout, total: usize) {
    let (at, len) = if layout.v6 { (4, total - 40) } else { (2, total) };
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    head[layout.l3 + at..layout.l3 + at + 2].copy_from_slice(&len.to_be_bytes());
}

/// Computes an IPv4 header's checksum anew.
pub(crate) fn ip_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let check = checksum::checksum(header);
    header[10..12].copy_from_slice(&check.to_be_bytes());
}

/// Slices handed out by byte counts, from the front.
pub(crate) struct Slices {
    body: smallvec::IntoIter<[Bytes; 2]>,
    current: Bytes,
}

impl Slices {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body: body.into_iter(),
            current: Bytes::new(),
        }
    }

    /// The next `len` bytes, or fewer at the end.
    pub(crate) fn take(&mut self, len: usize) -> Body {
        let mut taken = Body::new();
        self.take_into(len, &mut taken);
        taken
    }

    /// As [`Slices::take`], appended to `taken`.
    fn take_into(&mut self, mut len: usize, taken: &mut Body) {
        while len > 0 {
            if self.current.is_empty() {
                let Some(next) = self.body.next() else { break };
                self.current = next;
            }
            let piece = if self.current.len() <= len {
                std::mem::take(&mut self.current)
            } else {
                self.current.split_to(len)
            };
            len -= piece.len();
            if !piece.is_empty() {
                taken.push(piece);
            }
        }
    }
}
