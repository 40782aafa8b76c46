//! Arriving TCP segments of one flow into one super-segment, so that everything above works on fewer and larger packets.
//!
//! Only what loses nothing is merged: neighbouring sequence numbers, the same acknowledgment, window, options and IP fields. Packets of
//! one flow stay in order. Merged payload was verified, so the whole needs no checksum any more.

use crate::gso::{clear_checksum, ip_checksum, set_length, transport_checksum};
use crate::packet::{Csum, Gso, Packet};
use crate::wire::layout::Layout;
use crate::wire::tcp::Flags;
use crate::wire::{ipv4, ipv6, protocol};

/// Flows that are merged at a time.
const FLOWS: usize = 8;
/// Longest IP packet.
const MAX_TOTAL: usize = 65_535;

/// Merges what belongs together in `batch`, in place.
pub fn coalesce(batch: &mut Vec<Packet>) {
    if batch.len() < 2 {
        return;
    }
    let mut flows: [Option<Flow>; FLOWS] = [None; FLOWS];
    let mut next = 0;
    let mut kept = 0;
    for at in 0..batch.len() {
        let (before, rest) = batch.split_at_mut(at);
        let packet = &mut rest[0];
        if let Some(segment) = Segment::of(packet) {
            let known = flows
                .iter()
                .position(|flow| flow.as_ref().is_some_and(|flow| segment.is_of(flow, packet, before)));
            if let Some(nth) = known
                && let Some(flow) = &mut flows[nth]
                && flow.take(&segment, packet, before)
            {
                continue;
            }
            // The flow goes on with this packet; if the flow is new, it takes the oldest place.
            let place = known.unwrap_or_else(|| {
                next = (next + 1) % FLOWS;
                next
            });
            if let Some(old) = flows[place].replace(Flow::new(kept, segment)) {
                old.finish(before);
            }
        }
        if kept != at {
            batch.swap(kept, at);
        }
        kept += 1;
    }
    for flow in flows.into_iter().flatten() {
        flow.finish(batch);
    }
    batch.truncate(kept);
}

/// What matters of one TCP packet.
#[derive(Clone, Copy)]
struct Segment {
    layout: Layout,
    seq: u32,
    len: u32,
    flags: Flags,
    /// Nothing about it forbids merging.
    plain: bool,
}

impl Segment {
    /// `None` for what is no TCP segment with its header in the head.
    fn of(packet: &mut Packet) -> Option<Self> {
        let head = packet.head.as_slice();
        let layout = Layout::find(head, usize::from(packet.meta.l3))?;
        if layout.protocol != protocol::TCP || layout.fragment || layout.end != head.len() {
            return None;
        }
        let tcp = &head[layout.l4..];
        let mut segment = Self {
            layout,
            seq: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
            len: packet.meta.len,
            flags: Flags(tcp[13] & !Flags::PSH.0),
            plain: false,
        };
        let (at, total) = if layout.v6 {
            (4, segment.len as usize + head.len() - layout.l4)
        } else {
            (2, packet.total_len() - layout.l3)
        };
        let no_options = layout.l4 - layout.l3 == if layout.v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
        let length = u16::from_be_bytes([head[layout.l3 + at], head[layout.l3 + at + 1]]);
        segment.plain = packet.meta.gso == Gso::None
            && matches!(segment.flags, Flags::ACK | ACK_ECE)
            && segment.len > 0
            && segment.len <= 0xffff
            && no_options
            && usize::from(length) == total
            && (packet.meta.csum != Csum::Full || verify(packet, &layout));
        Some(segment)
    }

    /// True when it belongs to `flow`, mergeable or not.
    fn is_of(&self, flow: &Flow, packet: &Packet, before: &[Packet]) -> bool {
        let (l3, l4) = (self.layout.l3, self.layout.l4);
        let other = flow.first.layout;
        let addresses = if self.layout.v6 { 8..40 } else { 12..20 };
        let (mine, theirs) = (packet.head.as_slice(), before[flow.at].head.as_slice());
        self.layout.v6 == other.v6
            && mine[l4..l4 + 4] == theirs[other.l4..other.l4 + 4]
            && mine[l3 + addresses.start..l3 + addresses.end]
                == theirs[other.l3 + addresses.start..other.l3 + addresses.end]
    }
}

const ACK_ECE: Flags = Flags::ACK.and(Flags::ECE);

/// Verifies IP and TCP checksums, and remembers that they are right.
fn verify(packet: &mut Packet, layout: &Layout) -> bool {
    let right = (layout.v6 || ipv4::verify(&packet.head.as_slice()[layout.l3..layout.l4]))
        && transport_checksum(packet, layout) == 0;
    if right {
        packet.meta.csum = Csum::Verified;
    }
    right
}

/// A super-segment in the making.
#[derive(Clone, Copy)]
struct Flow {
    /// Where its first packet lies in the batch; the others' payloads are appended to it.
    at: usize,
    first: Segment,
    next_seq: u32,
    total: usize,
    merged: bool,
    /// Nothing may follow: a short or pushed segment was the last.
    closed: bool,
    push: bool,
}

impl Flow {
    fn new(at: usize, first: Segment) -> Self {
        Self {
            at,
            first,
            next_seq: first.seq.wrapping_add(first.len),
            total: first.layout.end - first.layout.l3 + first.len as usize,
            merged: false,
            closed: !first.plain,
            push: false,
        }
    }

    /// Appends the payload of `packet` if that loses nothing.
    fn take(&mut self, segment: &Segment, packet: &mut Packet, before: &mut [Packet]) -> bool {
        let into = &mut before[self.at];
        let fits = !self.closed
            && segment.plain
            && segment.seq == self.next_seq
            && segment.len <= self.first.len
            && segment.layout == self.first.layout
            && self.total + segment.len as usize <= MAX_TOTAL
            && same_fields(&self.first.layout, into.head.as_slice(), packet.head.as_slice());
        if !fits || is_pushed(into, &self.first.layout) {
            return false;
        }
        into.body.append(&mut packet.body);
        into.meta.len += segment.len;
        into.meta.pins = into.meta.pins.max(packet.meta.pins);
        into.meta.mark.add(packet.meta.mark);
        self.next_seq = self.next_seq.wrapping_add(segment.len);
        self.total += segment.len as usize;
        self.merged = true;
        self.push = is_pushed(packet, &segment.layout);
        self.closed = self.push || segment.len < self.first.len;
        true
    }

    /// Makes the headers tell of the whole.
    fn finish(&self, batch: &mut [Packet]) {
        if !self.merged {
            return;
        }
        let (packet, layout) = (&mut batch[self.at], &self.first.layout);
        packet.meta.gso = Gso::Tcp {
            mss: self.first.len as u16,
        };
        packet.meta.csum = Csum::Partial;
        clear_checksum(packet, layout);
        let head = packet.head.as_mut_slice();
        if self.push {
            head[layout.l4 + 13] |= Flags::PSH.0;
        }
        set_length(head, layout, self.total);
        if !layout.v6 {
            ip_checksum(&mut head[layout.l3..layout.l4]);
        }
    }
}

fn is_pushed(packet: &Packet, layout: &Layout) -> bool {
    Flags(packet.head.as_slice()[layout.l4 + 13]).has(Flags::PSH)
}

/// True when the headers differ only in what merging makes up for: lengths, identification, checksums, sequence number, PSH.
fn same_fields(layout: &Layout, a: &[u8], b: &[u8]) -> bool {
    let same = |from: usize, to: usize| a[from..to] == b[from..to];
    let (l3, l4) = (layout.l3, layout.l4);
    let ip = if layout.v6 {
        same(0, l3 + 4) && same(l3 + 6, l3 + 8)
    } else {
        same(0, l3 + 2) && same(l3 + 6, l3 + 10)
    };
    let flags = (a[l4 + 13] ^ b[l4 + 13]) & !Flags::PSH.0 == 0;
    ip && flags && same(l4 + 8, l4 + 13) && same(l4 + 14, l4 + 16) && same(l4 + 20, layout.end)
}

#[cfg(test)]
mod tests;
