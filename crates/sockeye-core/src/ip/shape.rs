//! Moves the border between a packet's head and body, so that a header can be read in one piece whatever split it arrived with.

use crate::packet::{HEAD_ROOM, Head, Packet};
use bytes::{Buf as _, Bytes};

/// Makes the head at least `n` bytes long, from the body. False when there are not as many, or no room.
#[inline]
pub(super) fn pull(packet: &mut Packet, n: usize) -> bool {
    n <= packet.head.len() || pull_slowly(packet, n)
}

#[cold]
fn pull_slowly(packet: &mut Packet, n: usize) -> bool {
    if n > HEAD_ROOM || n > packet.total_len() {
        return false;
    }
    let mut bytes = [0; HEAD_ROOM];
    let have = packet.head.len();
    bytes[..have].copy_from_slice(packet.head.as_slice());
    take_front(packet, &mut bytes[have..n]);
    packet.head = Head::from_slice(&bytes[..n]);
    true
}

/// Moves the first bytes of the body, which must be long enough, into `into`.
fn take_front(packet: &mut Packet, mut into: &mut [u8]) {
    packet.meta.len -= into.len() as u32;
    while !into.is_empty() {
        let front = &mut packet.body[0];
        let len = front.len().min(into.len());
        let (now, rest) = into.split_at_mut(len);
        front.copy_to_slice(now);
        into = rest;
        if front.is_empty() {
            packet.body.remove(0);
        }
    }
}

/// Makes the head exactly `n` bytes long, as far as there are so many: what was behind goes to the front of the body.
#[inline]
pub(super) fn cut(packet: &mut Packet, n: usize) {
    if packet.head.len() > n {
        cut_slowly(packet, n);
    }
}

#[cold]
fn cut_slowly(packet: &mut Packet, n: usize) {
    let (head, rest) = packet.head.as_slice().split_at(n);
    let rest = Bytes::copy_from_slice(rest);
    packet.head = Head::from_slice(head);
    packet.meta.len += rest.len() as u32;
    packet.body.insert(0, rest);
}

/// Drops what is beyond `total` bytes of head and body: a link's padding.
#[inline]
pub(super) fn trim(packet: &mut Packet, total: usize) {
    if packet.total_len() > total {
        trim_slowly(packet, total);
    }
}

#[cold]
fn trim_slowly(packet: &mut Packet, total: usize) {
    if packet.head.len() > total {
        cut_slowly(packet, total);
    }
    let mut left = total - packet.head.len();
    packet.meta.len = left as u32;
    for slice in &mut packet.body {
        slice.truncate(left);
        left -= slice.len();
    }
    packet.body.retain(|slice| !slice.is_empty());
}

/// The first bytes of head and body, copied into `into`. Returns how many there were.
pub(super) fn peek(packet: &Packet, into: &mut [u8]) -> usize {
    let mut at = 0;
    for slice in std::iter::once(packet.head.as_slice()).chain(packet.body.iter().map(|slice| &slice[..])) {
        let len = slice.len().min(into.len() - at);
        into[at..at + len].copy_from_slice(&slice[..len]);
        at += len;
    }
    at
}

/// Replaces the first `old` bytes of head and body by `new`: an unwrapped or shortened header. False when `new` does not fit a head.
pub(super) fn replace(packet: &mut Packet, old: usize, new: &[u8]) -> bool {
    if new.len() > HEAD_ROOM || old > packet.total_len() {
        return false;
    }
    if packet.head.len() > old {
        cut_slowly(packet, old);
    }
    let mut left = old - packet.head.len();
    packet.meta.len -= left as u32;
    while left > 0 {
        let front = &mut packet.body[0];
        let len = front.len().min(left);
        front.advance(len);
        left -= len;
        if front.is_empty() {
            packet.body.remove(0);
        }
    }
    packet.head = Head::from_slice(new);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};

    #[test]
    fn no_byte_is_lost() {
        let mut rng = Keys::new(1, "shape").stream("test");
        let bytes: Vec<u8> = (0..200).collect();
        for _ in 0..5_000 {
            let mut draw = |n: usize| below(&mut rng, n as u64 + 1) as usize;
            let (head, middle) = (draw(128), draw(60));
            let mut packet = Packet {
                head: Head::from_slice(&bytes[..head]),
                ..Packet::default()
            };
            packet.push_payload(Bytes::copy_from_slice(&bytes[head..head + middle]));
            packet.push_payload(Bytes::copy_from_slice(&bytes[head + middle..]));
            let n = draw(210);
            if pull(&mut packet, n) {
                assert!(packet.head.len() >= n);
            } else {
                assert!(n > HEAD_ROOM);
            }
            assert_eq!(packet.to_vec(), bytes);
            let n = draw(128);
            cut(&mut packet, n);
            assert_eq!(packet.to_vec(), bytes);
            assert_eq!(packet.total_len(), 200);
            let total = draw(200);
            trim(&mut packet, total);
            assert_eq!(packet.to_vec(), &bytes[..total]);
            assert_eq!(packet.total_len(), total);
            let mut some = vec![0; draw(200)];
            let n = peek(&packet, &mut some);
            assert_eq!(some[..n], bytes[..n]);
            assert_eq!(n, some.len().min(total));
            let old = draw(total);
            assert!(replace(&mut packet, old, b"new"));
            assert_eq!(packet.to_vec(), [b"new", &bytes[old..total]].concat());
            assert_eq!(packet.total_len(), 3 + total - old);
        }
    }
}
