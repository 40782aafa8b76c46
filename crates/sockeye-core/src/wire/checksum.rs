//! The Internet checksum: RFC 1071 (its arithmetic), RFC 1624 (incremental update), RFC 793 and RFC 8200 §8.1 (pseudo-headers).

use std::net::IpAddr;

/// A one's complement sum in the making. Pieces may have any length: an odd one shifts what follows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    sum: u64,
    odd: bool,
}

impl Sum {
    /// Adds bytes that follow the ones before.
    pub fn add(&mut self, bytes: &[u8]) {
        let part = sum(bytes);
        self.sum += u64::from(if self.odd { part.swap_bytes() } else { part });
        self.odd ^= bytes.len() & 1 == 1;
    }

    /// Adds a 16-bit number, as if it stood at an even place.
    pub fn add_u16(&mut self, value: u16) {
        self.sum += u64::from(value);
    }

    /// The checksum: the complement of the sum. Over bytes that contain a right checksum it is 0.
    pub fn finish(self) -> u16 {
        !fold(self.sum)
    }
}

/// The checksum of one piece of bytes.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    !sum(bytes)
}

/// The checksum of `len` bytes in `parts` under the pseudo-header of RFC 793 §3.1 or RFC 8200 §8.1. 0 when the parts contain a right one.
pub fn transport<'a>(
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    parts: impl IntoIterator<Item = &'a [u8]>,
    len: usize,
) -> u16 {
    let mut sum = pseudo_header(src, dst, protocol, len);
    for part in parts {
        sum.add(part);
    }
    sum.finish()
}

/// The sum over a pseudo-header whose two addresses are those bytes, as IP headers have them.
pub(crate) fn pseudo_header_of(addresses: &[u8], protocol: u8, len: usize) -> Sum {
    let mut sum = Sum::default();
    sum.add(addresses);
    sum.sum += u64::from(protocol) + (len as u64 >> 16) + (len as u64 & 0xffff);
    sum
}

/// The sum over a pseudo-header.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Sum {
    let mut sum = Sum::default();
    for address in [src, dst] {
        match address {
            IpAddr::V4(v4) => sum.add(&v4.octets()),
            IpAddr::V6(v6) => sum.add(&v6.octets()),
        }
    }
    sum.sum += u64::from(protocol) + (len as u64 >> 16) + (len as u64 & 0xffff);
    sum
}

/// `check` after a 16-bit word it covers changed from `old` to `new`. RFC 1624 §3, equation 3.
pub fn update(check: u16, old: u16, new: u16) -> u16 {
    !fold(u64::from(!check) + u64::from(!old) + u64::from(new))
}

/// One's complement sum, not complemented. Words are added in little-endian order, whose sum is the swapped one (RFC 1071 §2B).
#[inline]
fn sum(bytes: &[u8]) -> u16 {
    // Headers, most of them.
    if bytes.len() < 64 {
        return fold(sum_words(bytes)).swap_bytes();
    }
    sum_long(bytes)
}

fn sum_long(bytes: &[u8]) -> u16 {
    let (wide, rest) = bytes.as_chunks::<64>();
    // A lane holds the sum of so many halves without overflow.
    let total: u64 = wide.chunks(1 << 16).map(sum_wide).sum();
    fold(total + sum_words(rest)).swap_bytes()
}

/// The sum of 32-bit words; what is left at the end is filled up with zeros.
#[inline]
fn sum_words(bytes: &[u8]) -> u64 {
    let mut total = 0;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        total += u64::from(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        total += u64::from(u32::from_le_bytes(last));
    }
    total
}

/// The sum of all 16-bit halves, in sixteen independent lanes that compilers turn into vector instructions. Each lane adds whole 32-bit words
/// (wrapping) and their high halves; the low halves are what the first sum has more than the second, shifted.
fn sum_wide(chunks: &[[u8; 64]]) -> u64 {
    let mut whole = [0_u32; 16];
    let mut high = [0_u32; 16];
    for chunk in chunks {
        let (words, _) = chunk.as_chunks::<4>();
        for lane in 0..16 {
            let word = u32::from_le_bytes(words[lane]);
            whole[lane] = whole[lane].wrapping_add(word);
            high[lane] = high[lane].wrapping_add(word >> 16);
        }
    }
    let halves = |lane: usize| u64::from(whole[lane].wrapping_sub(high[lane] << 16)) + u64::from(high[lane]);
    (0..16).map(halves).sum()
}

fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};
    use rand::Rng as _;

    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u64::from(*b));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    #[test]
    fn agrees_with_a_naive_loop() {
        let mut rng = Keys::new(1, "checksum").stream("test");
        let mut bytes = vec![0; 70_000];
        for _ in 0..400 {
            rng.fill_bytes(&mut bytes);
            let len = below(&mut rng, 70_000) as usize;
            let len = if len.is_multiple_of(3) { len } else { len % 100 };
            let cut = below(&mut rng, len as u64 + 1) as usize;
            assert_eq!(checksum(&bytes[..len]), naive(&bytes[..len]));
            let mut sum = Sum::default();
            sum.add(&bytes[..cut]);
            sum.add(&bytes[cut..len]);
            assert_eq!(sum.finish(), naive(&bytes[..len]), "{len} cut at {cut}");
        }
        assert_eq!(checksum(&[0xff; 65_536]), naive(&[0xff; 65_536]));
        // The most that the lanes may hold, and a word more.
        let most = vec![0xff; (64 << 16) + 4];
        assert_eq!(checksum(&most), naive(&most));
    }

    #[test]
    fn rfc_1071_example() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn update_is_as_good_as_anew() {
        let mut rng = Keys::new(2, "checksum").stream("test");
        for _ in 0..1_000 {
            let mut bytes = [0; 20];
            rng.fill_bytes(&mut bytes);
            bytes[10..12].fill(0);
            let check = checksum(&bytes);
            let old = u16::from_be_bytes([bytes[4], bytes[5]]);
            let new = rng.next_u32() as u16;
            bytes[4..6].copy_from_slice(&new.to_be_bytes());
            assert_eq!(update(check, old, new), checksum(&bytes));
        }
        // RFC 1624 §4: the example that equation 2 of RFC 1141 gets wrong.
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn pseudo_headers() {
        let v4 = transport([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, [&[1_u8, 2, 3][..]], 3);
        assert_eq!(v4, naive(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 3, 1, 2, 3]));
        let (a, b) = ([0xfd; 16], [0xfe; 16]);
        let whole = [&a[..], &b[..], &[0, 1, 0, 2, 0, 0, 0, 58, 7]].concat();
        assert_eq!(transport(a.into(), b.into(), 58, [&[7_u8][..]], 65_538), naive(&whole));
    }
}
