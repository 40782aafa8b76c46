//! A byte stream as a queue of shared slices: appended at the back, dropped at the front, sliced in the middle, never copied.

use crate::packet::Body;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Small appends collect in chunks of up to this size, so that byte-wise writers do not make a slice a byte.
const TAIL_CHUNK: usize = 4 << 10;
/// The first such chunk of a rope: a single byte must not cost a page. The next ones are as large as what is held already.
const FIRST_CHUNK: usize = 64;
/// Slices shorter than this are copied rather than kept: a handle costs about as much.
const COPY_BELOW: usize = 128;
/// What a slice costs beside its bytes: its handle here, and its share of what keeps it alive.
const SLICE_COST: usize = 64;

/// A queue of bytes. Offsets count from its front.
#[derive(Debug, Default)]
pub struct Rope {
    chunks: VecDeque<Bytes>,
    /// Bytes appended last, still growing; they follow `chunks`.
    tail: BytesMut,
    len: usize,
    /// Where the last slice was taken: chunk index and the offset of that chunk's first byte.
    cursor: (usize, usize),
}

impl Rope {
    /// An empty rope; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no bytes are held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a slice without copying it.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.seal();
            self.len += bytes.len();
            self.chunks.push_back(bytes);
        }
    }

    /// Appends a copy of `bytes`; short ones share a chunk.
    pub fn append(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            if self.tail.capacity() == self.tail.len() {
                self.seal();
                self.tail.reserve(self.len.clamp(FIRST_CHUNK, TAIL_CHUNK));
            }
            let n = bytes.len().min(self.tail.capacity() - self.tail.len());
            self.tail.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
        }
    }

    /// Moves up to `max` bytes from the front to the end of `into`, without copying them. Returns how many.
    pub fn move_to(&mut self, max: usize, into: &mut Self) -> usize {
        if into.is_empty() && self.len <= max {
            // All of it, at once.
            std::mem::swap(self, into);
            return into.len;
        }
        let mut moved = 0;
        while let Some(chunk) = self.pop_chunk(max - moved) {
            moved += chunk.len();
            into.push(chunk);
        }
        moved
    }

    /// Moves `other`'s bytes to the end. They keep `pins` bytes of memory alive in all: when that is more than four times what they are, or
    /// when they are few, they are copied, so that nobody makes us hold large buffers for small change.
    pub fn keep(&mut self, mut other: Self, pins: usize) {
        let len = other.len;
        self.keep_slices(std::iter::from_fn(|| other.pop_chunk(usize::MAX)), len, pins);
    }

    /// As [`Rope::keep`], of `len` bytes in slices.
    pub(crate) fn keep_slices(&mut self, slices: impl IntoIterator<Item = Bytes>, len: usize, pins: usize) {
        let wasteful = len.saturating_mul(4) < pins;
        for slice in slices {
            if wasteful || slice.len() < COPY_BELOW {
                self.append(&slice);
            } else {
                self.push(slice);
            }
        }
    }

    /// Memory taken, as far as a rope can tell: its bytes, what its handles cost, and the room that its last chunk has left.
    pub fn footprint(&self) -> usize {
        self.len + self.chunks.len() * SLICE_COST + (self.tail.capacity() - self.tail.len())
    }

    /// Turns the growing tail into a shared chunk; what room it has left stays with the tail.
    #[inline]
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let sealed = self.tail.split().freeze();
            self.chunks.push_back(sealed);
        }
    }

    /// Drops `n` bytes from the front.
    ///
    /// # Panics
    /// When fewer than `n` bytes are held.
    pub fn drop_front(&mut self, mut n: usize) {
        assert!(n <= self.len, "rope holds {} bytes, {n} to drop", self.len);
        self.len -= n;
        let dropped = n;
        let mut gone = 0;
        while n > 0 {
            if self.chunks.is_empty() {
                self.seal();
            }
            let front = &mut self.chunks[0];
            if front.len() > n {
                bytes::Buf::advance(front, n);
                break;
            }
            n -= front.len();
            let _ = self.chunks.pop_front();
            gone += 1;
        }
        self.cursor = if self.cursor.0 >= gone && self.cursor.1 >= dropped {
            (self.cursor.0 - gone, self.cursor.1 - dropped)
        } else {
            (0, 0)
        };
    }

    /// Appends to `into` the slices that make up `n` bytes from offset `at`. Nothing is copied.
    ///
    /// # Panics
    /// When `at + n` lies beyond the end.
    pub fn slice(&mut self, at: usize, n: usize, into: &mut Body) {
        assert!(at + n <= self.len, "rope holds {} bytes, {at}+{n} asked", self.len);
        if n == 0 {
            return;
        }
        self.seal();
        let (mut index, mut base) = if self.cursor.1 <= at { self.cursor } else { (0, 0) };
        while base + self.chunks[index].len() <= at {
            base += self.chunks[index].len();
            index += 1;
        }
        self.cursor = (index, base);
        let (mut from, mut left) = (at - base, n);
        while left > 0 {
            let chunk = &self.chunks[index];
            let take = left.min(chunk.len() - from);
            into.push(chunk.slice(from..from + take));
            left -= take;
            from = 0;
            index += 1;
        }
    }

    /// Takes up to `max` bytes from the front as one slice, without copying; may be shorter than what is held. `None` when empty.
    pub fn pop_chunk(&mut self, max: usize) -> Option<Bytes> {
        if max == 0 || self.len == 0 {
            return None;
        }
        if self.chunks.is_empty() {
            self.seal();
        }
        self.cursor = (0, 0);
        let front = self.chunks.front_mut()?;
        let chunk = if front.len() <= max {
            self.chunks.pop_front()?
        } else {
            front.split_to(max)
        };
        self.len -= chunk.len();
        Some(chunk)
    }

    /// Copies up to `buf.len()` bytes from the front without taking them. Returns how many.
    pub fn peek(&self, buf: &mut [u8]) -> usize {
        let mut done = 0;
        for slice in self.slices() {
            let n = slice.len().min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&slice[..n]);
            done += n;
            if done == buf.len() {
                break;
            }
        }
        done
    }

    /// Copies up to `buf.len()` bytes from the front and drops them. Returns how many.
    pub fn read(&mut self, buf: &mut [u8]) -> usize {
        let n = self.peek(buf);
        self.drop_front(n);
        n
    }

    /// The bytes, slice by slice.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks
            .iter()
            .map(AsRef::as_ref)
            .chain((!self.tail.is_empty()).then(|| self.tail.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(rope: &mut Rope, at: usize, n: usize) -> Vec<u8> {
        let mut body = Body::new();
        rope.slice(at, n, &mut body);
        body.iter().flat_map(|b| b.to_vec()).collect()
    }

    #[test]
    fn slices_follow_the_stream_whatever_the_chunks() {
        let mut rope = Rope::new();
        let bytes: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        rope.append(&bytes[..10]);
        rope.push(Bytes::copy_from_slice(&bytes[10..7000]));
        rope.append(&bytes[7000..]);
        for (at, n) in [(0, 20_000), (5, 10), (6_999, 2), (12_000, 8_000), (3, 0), (100, 100)] {
            assert_eq!(collect(&mut rope, at, n), &bytes[at..at + n], "{at}+{n}");
        }
        rope.drop_front(7_001);
        assert_eq!(rope.len(), 12_999);
        assert_eq!(collect(&mut rope, 100, 200), &bytes[7_101..7_301]);
        let mut out = [0; 50];
        assert_eq!(rope.read(&mut out), 50);
        assert_eq!(out[..], bytes[7_001..7_051]);
        assert_eq!(rope.pop_chunk(3).unwrap()[..], bytes[7_051..7_054]);
        rope.drop_front(rope.len());
        assert!(rope.is_empty() && rope.pop_chunk(9).is_none());
    }

    #[test]
    fn what_is_kept_pins_four_times_its_length_at_most() {
        let buffer = Bytes::from(vec![1; 64 << 10]);
        for (len, pins, shared) in [(16 << 10, 64 << 10, true), (16_000, 64 << 10, false), (100, 100, false)] {
            let (mut piece, mut rope) = (Rope::new(), Rope::new());
            piece.push(buffer.slice(..len));
            rope.keep(piece, pins);
            assert_eq!(rope.len(), len);
            let at = rope.slices().next().unwrap().as_ptr();
            assert_eq!(at == buffer.as_ptr(), shared, "{len} bytes of {pins}");
            assert!(rope.footprint() <= 2 * len + FIRST_CHUNK, "{len}: {}", rope.footprint());
        }
        let mut rope = Rope::new();
        rope.append(&[1]);
        assert!(rope.footprint() <= FIRST_CHUNK, "{}", rope.footprint());
    }

    #[test]
    fn small_writes_share_chunks() {
        let mut rope = Rope::new();
        for byte in 0..1000_u32 {
            rope.append(&[byte as u8]);
        }
        // Doubling from 64 bytes on.
        assert!(rope.slices().count() <= 6, "{}", rope.slices().count());
    }
}
