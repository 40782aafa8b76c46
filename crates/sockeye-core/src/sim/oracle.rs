//! Bytes that know their place: byte `i` of a stream is a function of (seed, stream, i), so that a reader can tell at once whether a byte
//! is the right one, whatever became of the packets that carried it.

use bytes::Bytes;

/// One endless stream of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: u64,
}

/// A byte that is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where in the stream.
    pub offset: u64,
    /// What arrived.
    pub found: u8,
    /// What was sent.
    pub sent: u8,
}

impl Stream {
    /// Stream number `stream` of a run with this seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self {
            key: mix(seed ^ mix(stream.wrapping_add(0x9E37_79B9_7F4A_7C15))),
        }
    }

    /// The byte at `offset`.
    pub fn byte(self, offset: u64) -> u8 {
        self.word(offset / 8).to_le_bytes()[(offset % 8) as usize]
    }

    /// The `len` bytes from `offset`.
    pub fn bytes(self, offset: u64, len: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(len + 16);
        let skip = (offset % 8) as usize;
        for word in offset / 8..=(offset + len as u64) / 8 {
            bytes.extend_from_slice(&self.word(word).to_le_bytes());
        }
        Bytes::from(bytes).slice(skip..skip + len)
    }

    /// Whether `found` is what the stream has at `offset`.
    ///
    /// # Errors
    /// The first byte that is not.
    pub fn check(self, offset: u64, found: &[u8]) -> Result<(), Wrong> {
        let want = self.bytes(offset, found.len());
        if want == found {
            return Ok(());
        }
        match found.iter().zip(&want).position(|(found, want)| found != want) {
            Some(at) => Err(Wrong {
                offset: offset + at as u64,
                found: found[at],
                sent: want[at],
            }),
            None => Ok(()),
        }
    }

    fn word(self, index: u64) -> u64 {
        mix(self.key.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }
}

/// A bijection that leaves no pattern: the finaliser of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_depends_on_its_place_alone() {
        let stream = Stream::new(1, 2);
        let whole = stream.bytes(0, 1000);
        for (offset, len) in [(0, 0), (0, 1), (7, 9), (8, 8), (500, 500), (999, 1)] {
            assert_eq!(
                stream.bytes(offset, len),
                whole[offset as usize..offset as usize + len],
                "{offset}+{len}"
            );
            assert_eq!(
                stream.check(offset, &whole[offset as usize..offset as usize + len]),
                Ok(())
            );
        }
        assert!((0..1000).all(|i| stream.byte(i as u64) == whole[i]));
        assert_ne!(Stream::new(1, 3).bytes(0, 100), whole[..100]);
        let mut damaged = whole[100..200].to_vec();
        damaged[40] ^= 1;
        let wrong = stream.check(100, &damaged).unwrap_err();
        assert_eq!((wrong.offset, wrong.sent), (140, whole[140]));
        assert!(stream.check(1, &whole[..100]).is_err());
    }
}
