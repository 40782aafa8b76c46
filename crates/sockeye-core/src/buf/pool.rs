//! Reused buffers behind [`Bytes`]: the most recently freed one first, because it is the warmest.
//!
//! With plain allocation of 64 KiB buffers the allocator returns memory to the system and every buffer is faulted in again, which costs more
//! than all of TCP. A buffer goes back to its pool when the last slice of it is dropped, from any thread.

use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Sizes of buffers, each four times the one before: what fits none but the next is at least a quarter of it.
const SIZES: [usize; 3] = [4 << 10, 16 << 10, LARGE];
const LARGE: usize = 64 << 10;

/// A pool of buffers of 4, 16 and 64 KiB. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Pool {
    shelves: [Arc<Shelf>; 3],
}

#[derive(Debug)]
struct Shelf {
    size: usize,
    keep: usize,
    free: Mutex<Vec<Box<[u8]>>>,
    /// Buffers on loan.
    lent: AtomicUsize,
}

/// A buffer on loan; returns to its shelf when dropped.
struct Loan {
    buf: Box<[u8]>,
    len: usize,
    shelf: Arc<Shelf>,
}

impl Pool {
    /// A pool that keeps at most `keep` bytes of free buffers of each size; more than that goes back to the allocator.
    pub fn new(keep: usize) -> Self {
        let shelf = |size: usize| {
            Arc::new(Shelf {
                size,
                keep: (keep / size).max(1),
                free: Mutex::default(),
                lent: AtomicUsize::new(0),
            })
        };
        Self {
            shelves: SIZES.map(shelf),
        }
    }

    /// Where buffers for `len` bytes, at most 64 KiB, come from.
    fn shelf(&self, len: usize) -> &Arc<Shelf> {
        let [small, medium, large] = &self.shelves;
        [small, medium]
            .into_iter()
            .find(|shelf| len <= shelf.size)
            .unwrap_or(large)
    }

    /// Copies `bytes` into pooled buffers and returns them as one slice when they fit one buffer, else the first 64 KiB of them.
    /// The only copy on the way in.
    pub fn copy_from_slice(&self, bytes: &[u8]) -> Bytes {
        let take = bytes.len().min(LARGE);
        self.fill(take, |buf| {
            buf.copy_from_slice(&bytes[..take]);
            take
        })
    }

    /// Lends a buffer of at least `want` bytes (at most 64 KiB) to `fill`, which writes from its front and returns how many bytes it wrote.
    /// Its contents before that are arbitrary bytes of earlier use. What comes back keeps no more than four times its own length in memory:
    /// a buffer that turns out to be filled little is copied out of and returns at once.
    pub fn fill(&self, want: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Bytes {
        let want = want.min(LARGE);
        let mut loan = Shelf::take(self.shelf(want));
        loan.len = fill(&mut loan.buf[..want]).min(want);
        if loan.len == 0 {
            return Bytes::new();
        }
        if loan.len * 4 < loan.buf.len() {
            return self.copied_out(&loan.buf[..loan.len]);
        }
        Bytes::from_owner(loan)
    }

    /// A copy in memory that fits.
    fn copied_out(&self, bytes: &[u8]) -> Bytes {
        let shelf = self.shelf(bytes.len());
        if bytes.len() * 4 < shelf.size {
            return Bytes::copy_from_slice(bytes);
        }
        let mut loan = Shelf::take(shelf);
        loan.len = bytes.len();
        loan.buf[..bytes.len()].copy_from_slice(bytes);
        Bytes::from_owner(loan)
    }

    /// Bytes of buffers on loan: the memory that slices of this pool keep from being used again.
    pub fn outstanding(&self) -> usize {
        let lent = |shelf: &Arc<Shelf>| shelf.lent.load(Ordering::Relaxed) * shelf.size;
        self.shelves.iter().map(lent).sum()
    }
}

impl Default for Pool {
    /// Keeps at most 16 MiB of free buffers of each size.
    fn default() -> Self {
        Self::new(16 << 20)
    }
}

impl Shelf {
    fn take(shelf: &Arc<Self>) -> Loan {
        let free = shelf
            .free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop();
        let _ = shelf.lent.fetch_add(1, Ordering::Relaxed);
        let buf = free.unwrap_or_else(|| vec![0; shelf.size].into_boxed_slice());
        Loan {
            buf,
            len: 0,
            shelf: Arc::clone(shelf),
        }
    }
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.buf[..self.len]
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let _ = self.shelf.lent.fetch_sub(1, Ordering::Relaxed);
        let mut free = self
            .shelf
            .free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if free.len() < self.shelf.keep {
            free.push(std::mem::take(&mut self.buf));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_buffer_is_used_again_first() {
        let pool = Pool::new(1 << 20);
        let first = pool.copy_from_slice(&[1; 50_000]);
        let address = first.as_ptr();
        drop(first);
        let second = pool.copy_from_slice(&[2; 60_000]);
        assert_eq!(second.as_ptr(), address);
        assert_eq!(&second[..], &[2; 60_000]);
    }

    #[test]
    fn a_slice_keeps_its_buffer_from_reuse() {
        let pool = Pool::new(1 << 20);
        let whole = pool.copy_from_slice(&[1; 20_000]);
        let part = whole.slice(10..20);
        drop(whole);
        let other = pool.copy_from_slice(&[2; 20_000]);
        assert_eq!(&part[..], &[1; 10]);
        assert_eq!(&other[..], &[2; 20_000]);
    }

    #[test]
    fn what_is_lent_is_known_and_little_keeps_little() {
        let pool = Pool::new(1 << 20);
        const K: usize = 1 << 10;
        for (len, want) in [
            (1, 0),
            (K - 1, 0),
            (K, 4 * K),
            (4 * K, 4 * K),
            (4 * K + 1, 16 * K),
            (16 * K, 64 * K),
            (64 * K, 64 * K),
        ] {
            let bytes = pool.fill(LARGE, |buf| {
                buf[..len].fill(7);
                len
            });
            assert_eq!(&bytes[..], &vec![7; len]);
            assert_eq!(pool.outstanding(), want, "{len} bytes");
            drop(bytes);
            assert_eq!(pool.outstanding(), 0);
        }
    }
}
