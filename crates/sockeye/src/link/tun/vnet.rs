//! The virtio-net header in front of a packet: what of it is still to be done by whoever gets it. virtio 1.2 §5.1.6 (the legacy layout, in
//! the machine's byte order), §5.1.6.2 and §5.1.6.4.

use sockeye_core::Packet;
use sockeye_core::packet::{Csum, Gso};
use sockeye_core::wire::layout::Layout;
use sockeye_core::wire::tcp::Flags;
use sockeye_core::wire::{checksum, protocol};
use sockeye_sys::tun::VNET_HEADER_LEN;

/// The header's bytes.
pub(super) type Header = [u8; VNET_HEADER_LEN];

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// Beside a type: the first segment alone carries CWR.
const GSO_ECN: u8 = 0x80;

/// Describes a packet that leaves. Where its checksum is not computed, its field gets what the kernel goes on from: the sum over the
/// pseudo-header.
pub(super) fn describe(packet: &mut Packet) -> Header {
    if packet.meta.csum != Csum::Partial {
        return [0; VNET_HEADER_LEN];
    }
    let head = packet.head.as_slice();
    let Some(layout) = Layout::find(head, usize::from(packet.meta.l3)) else {
        return [0; VNET_HEADER_LEN];
    };
    let Some(field) = layout.checksum_field() else {
        return [0; VNET_HEADER_LEN];
    };
    let head_len = head.len();
    let (src, dst) = layout.addresses(head);
    let covered = head_len - layout.l4 + packet.meta.len as usize;
    let (kind, size) = match packet.meta.gso {
        Gso::None => (GSO_NONE, 0),
        Gso::Tcp { mss } => {
            let kind = if layout.v6 { GSO_TCPV6 } else { GSO_TCPV4 };
            let reduced = Flags(head[layout.l4 + 13]).has(Flags::CWR);
            (if reduced { kind | GSO_ECN } else { kind }, mss)
        }
        Gso::Udp { size } => (GSO_UDP_L4, size),
    };
    let sum = !checksum::pseudo_header(src, dst, layout.protocol, covered).finish();
    packet.head.as_mut_slice()[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    Fields {
        flags: NEEDS_CSUM,
        kind,
        head_len: head_len as u16,
        size,
        start: layout.l4 as u16,
        offset: (field - layout.l4) as u16,
    }
    .bytes()
}

/// Notes what the header says of a packet that arrived.
pub(super) fn apply(header: &Header, packet: &mut Packet) {
    let fields = Fields::of(header);
    packet.meta.gso = match fields.kind & !GSO_ECN {
        _ if fields.size == 0 => Gso::None,
        GSO_TCPV4 | GSO_TCPV6 => Gso::Tcp { mss: fields.size },
        GSO_UDP_L4 => Gso::Udp { size: fields.size },
        _ => Gso::None,
    };
    if fields.flags & NEEDS_CSUM != 0 {
        let (start, offset) = (usize::from(fields.start), usize::from(fields.offset));
        if start == usize::from(packet.meta.l4) {
            packet.meta.csum = Csum::Partial;
        } else {
            complete(packet, start, start + offset);
        }
    } else if fields.flags & DATA_VALID != 0 {
        packet.meta.csum = Csum::Verified;
    }
}

/// Computes a checksum that is not that of our transport header: of a packet inside a packet. What lies outside of the head is left as it is.
fn complete(packet: &mut Packet, start: usize, field: usize) {
    let head = packet.head.as_slice();
    if field + 2 > head.len() || start > head.len() {
        return;
    }
    let mut sum = checksum::Sum::default();
    sum.add(&head[start..]);
    packet.body.iter().for_each(|slice| sum.add(slice));
    let check = match sum.finish() {
        // RFC 768: 0 means none.
        0 if head.get(9) == Some(&protocol::UDP) => 0xffff,
        check => check,
    };
    packet.head.as_mut_slice()[field..field + 2].copy_from_slice(&check.to_be_bytes());
}

/// `struct virtio_net_hdr`.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    flags: u8,
    kind: u8,
    /// Bytes of all headers.
    head_len: u16,
    /// Payload bytes of each packet but the last.
    size: u16,
    /// Where the checksum begins to cover, and how far behind that its field lies.
    start: u16,
    offset: u16,
}

impl Fields {
    fn bytes(&self) -> Header {
        let mut header = [0; VNET_HEADER_LEN];
        header[0] = self.flags;
        header[1] = self.kind;
        let words = [self.head_len, self.size, self.start, self.offset];
        for (place, word) in header[2..].chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        header
    }

    fn of(header: &Header) -> Self {
        let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        Self {
            flags: header[0],
            kind: header[1],
            head_len: word(2),
            size: word(4),
            start: word(6),
            offset: word(8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_core::host::Medium;
    use sockeye_core::wire::packet_from_bytes;

    /// A TCP segment of 3,000 bytes from 10.0.0.1 to 10.0.0.2, flags ACK and CWR, checksum field full of rubbish.
    fn segment() -> Packet {
        let mut bytes = vec![0; 40 + 3_000];
        bytes[..4].copy_from_slice(&[0x45, 0, (3_040 >> 8) as u8, (3_040 & 0xff) as u8]);
        bytes[8..10].copy_from_slice(&[64, protocol::TCP]);
        bytes[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        bytes[32] = 5 << 4;
        bytes[33] = 0x90;
        bytes[36..38].copy_from_slice(&[0xde, 0xad]);
        packet_from_bytes(bytes.into(), Medium::Ip)
    }

    #[test]
    fn what_leaves_unfinished_arrives_unfinished() {
        for (gso, kind) in [(Gso::None, GSO_NONE), (Gso::Tcp { mss: 1_460 }, GSO_TCPV4 | GSO_ECN)] {
            let mut packet = segment();
            packet.meta.csum = Csum::Partial;
            packet.meta.gso = gso;
            let header = describe(&mut packet);
            let fields = Fields::of(&header);
            assert_eq!((fields.flags, fields.kind, fields.head_len), (NEEDS_CSUM, kind, 40));
            assert_eq!((fields.start, fields.offset), (20, 16));
            // RFC 793 §3.1 by hand: both addresses, 6, and 3,020 bytes of TCP.
            let sum = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 6 + 3_020;
            assert_eq!(packet.head.as_slice()[36..38], u16::to_be_bytes(sum));
            let mut arrived = segment();
            apply(&header, &mut arrived);
            assert_eq!((arrived.meta.gso, arrived.meta.csum), (gso, Csum::Partial));
        }
    }

    #[test]
    fn what_is_finished_stays_so() {
        let mut packet = segment();
        let before = packet.to_vec();
        assert_eq!(describe(&mut packet), [0; VNET_HEADER_LEN]);
        apply(&[0; VNET_HEADER_LEN], &mut packet);
        assert_eq!((packet.to_vec(), packet.meta.csum), (before, Csum::Full));
        let mut valid = [0; VNET_HEADER_LEN];
        valid[0] = DATA_VALID;
        apply(&valid, &mut packet);
        assert_eq!(packet.meta.csum, Csum::Verified);
    }

    #[test]
    fn a_checksum_further_in_is_computed_or_left_alone() {
        let with = |start, offset| Fields {
            flags: NEEDS_CSUM,
            kind: GSO_NONE,
            head_len: 40,
            size: 0,
            start,
            offset,
        };
        let mut packet = segment();
        apply(&with(24, 12).bytes(), &mut packet);
        let head = packet.head.as_slice();
        let mut sum = checksum::Sum::default();
        sum.add(&head[24..]);
        packet.body.iter().for_each(|slice| sum.add(slice));
        // The field held 0xdead before, as the first part of the sum: that is what the whole lacks to be right.
        assert_eq!((packet.meta.csum, sum.finish()), (Csum::Full, 0xdead));
        for (start, offset) in [(24, 60_000), (60_000, 16), (65_535, 65_535)] {
            let mut packet = segment();
            apply(&with(start, offset).bytes(), &mut packet);
            assert_eq!(packet.to_vec(), segment().to_vec());
        }
    }
}
