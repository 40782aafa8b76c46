//! Flips one bit of a packet, as a bad wire would: after the checksum was computed, so that the receiver can tell.

use crate::gso;
use crate::packet::{Csum, Mark, Packet};
use bytes::{Bytes, BytesMut};

/// Flips the bit of the IP packet that `draw` falls on (a link header stays whole). The checksum is made real first and has to be verified
/// again.
pub(super) fn corrupt(packet: &mut Packet, draw: u64) {
    gso::finish(packet);
    packet.meta.csum = Csum::Full;
    packet.meta.hash = 0;
    packet.meta.mark.add(Mark::CORRUPTED);
    let link_header = usize::from(packet.meta.l3).min(packet.head.len());
    let bits = (packet.total_len() - link_header) as u64 * 8;
    let bit = ((u128::from(draw) * u128::from(bits)) >> 64) as u64;
    flip(packet, link_header + (bit / 8) as usize, 1 << (bit % 8));
}

/// Changes the byte at `offset`, counted over header and payload. Shared payload is copied first: nobody else sees the change.
fn flip(packet: &mut Packet, mut offset: usize, mask: u8) {
    if let Some(byte) = packet.head.as_mut_slice().get_mut(offset) {
        *byte ^= mask;
        return;
    }
    offset -= packet.head.len();
    for slice in &mut packet.body {
        if offset < slice.len() {
            let mut own = BytesMut::from(&slice[..]);
            own[offset] ^= mask;
            *slice = Bytes::from(own);
            return;
        }
        offset -= slice.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_changes_one_byte_and_no_shared_one() {
        let shared = Bytes::from_static(&[7; 10]);
        let mut packet = Packet::with_payload(shared.clone());
        packet.push_payload(shared.clone());
        packet.head.prepend(4).copy_from_slice(&[1, 2, 3, 4]);
        for offset in 0..24 {
            let mut struck = packet.clone();
            flip(&mut struck, offset, 0x10);
            let mut want = packet.to_vec();
            want[offset] ^= 0x10;
            assert_eq!(struck.to_vec(), want, "offset {offset}");
        }
        assert_eq!(&shared[..], &[7; 10]);
    }
}
