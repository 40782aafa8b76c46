//! From a keyed hash to an index: which record has this key?
//!
//! It decides where an index is found; the key itself lives in the record and is compared by the caller, after 32 bits of hash matched. It
//! is cut into 64 independent segments by the top bits of the hash, so that growing moves at most 1/64 of the entries at once, and it does
//! so without touching any record because the hash bits are kept. Same operations, same layout: nothing here is random.

/// Segments, chosen by the top six bits of the hash.
const SEGMENTS: usize = 64;
/// Slots of a segment when it gets its first entry.
const SMALLEST: usize = 4;
/// A slot without an entry. No entry looks like this, since `u32::MAX` is not a value.
const EMPTY: u64 = u64::MAX;

/// Open addressing with linear probing; 8 bytes a slot, at most three quarters of them taken.
#[derive(Debug)]
pub(crate) struct IndexTable {
    segments: Box<[Segment]>,
}

/// Slots of `(upper 32 bits of the hash, value)`; their number is 0 or a power of two.
#[derive(Clone, Debug, Default)]
struct Segment {
    slots: Vec<u64>,
    len: usize,
}

impl IndexTable {
    /// Not a value: what `peek` gives when there is no candidate.
    pub(crate) const NONE: u32 = u32::MAX;

    /// An empty table.
    pub(crate) fn new() -> Self {
        Self {
            segments: vec![Segment::default(); SEGMENTS].into(),
        }
    }

    /// Entries held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Adds an entry. Entries with equal hashes may stand side by side; equal keys are the caller's business.
    pub(crate) fn insert(&mut self, hash: u64, value: u32) {
        debug_assert_ne!(value, Self::NONE, "u32::MAX is not a value");
        self.segments[segment(hash)].insert(tag(hash), value);
    }

    /// The first value under `hash` that `is_it` says yes to.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let segment = &self.segments[segment(hash)];
        let at = segment.position(tag(hash), &mut is_it)?;
        Some(segment.slots[at] as u32)
    }

    /// Takes out the first value under `hash` that `is_it` says yes to.
    pub(crate) fn remove(&mut self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let segment = &mut self.segments[segment(hash)];
        let at = segment.position(tag(hash), &mut is_it)?;
        let value = segment.slots[at] as u32;
        segment.remove(at);
        Some(value)
    }

    /// The first candidate under `hash`, or [`IndexTable::NONE`]. A batch calls it for all its packets before it looks at any record, so
    /// that the cache misses overlap.
    pub(crate) fn peek(&self, hash: u64) -> u32 {
        self.find(hash, |_| true).unwrap_or(Self::NONE)
    }

    /// The most slots that finding an entry looks at: what an attacker would want to drive up. Walks the whole table.
    pub(crate) fn longest_probe(&self) -> usize {
        self.segments.iter().map(Segment::longest_probe).max().unwrap_or(0)
    }

    /// Bytes of all slots.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.slots.len() * 8).sum()
    }
}

impl Default for IndexTable {
    fn default() -> Self {
        Self::new()
    }
}

const fn segment(hash: u64) -> usize {
    (hash >> 58) as usize
}

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Segment {
    /// Where an entry with this tag wants to be. The top bits of the tag chose the segment; the low ones choose the slot.
    fn home(&self, slot: u64) -> usize {
        (slot >> 32) as usize & (self.slots.len() - 1)
    }

    fn longest_probe(&self) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        let taken = self.slots.iter().enumerate().filter(|(_, slot)| **slot != EMPTY);
        taken
            .map(|(at, slot)| (at.wrapping_sub(self.home(*slot)) & mask) + 1)
            .max()
            .unwrap_or(0)
    }

    fn insert(&mut self, tag: u32, value: u32) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.resize((self.slots.len() * 2).max(SMALLEST));
        }
        self.len += 1;
        self.put(u64::from(tag) << 32 | u64::from(value));
    }

    fn put(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(slot);
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn position(&self, tag: u32, is_it: &mut impl FnMut(u32) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = self.home(u64::from(tag) << 32);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            if (slot >> 32) as u32 == tag && is_it(slot as u32) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    /// Empties a slot and moves followers back over the hole, so that no probe stops short and no tombstone stays.
    fn remove(&mut self, mut hole: usize) {
        self.len -= 1;
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot == EMPTY {
                break;
            }
            // An entry may move back to the hole unless that would put it in front of its home.
            let from_home = at.wrapping_sub(self.home(slot)) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
        if self.len * 8 < self.slots.len() && self.slots.len() > 64 {
            self.resize(self.slots.len() / 2);
        }
    }

    fn resize(&mut self, slots: usize) {
        for slot in std::mem::replace(&mut self.slots, vec![EMPTY; slots]) {
            if slot != EMPTY {
                self.put(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};
    use std::collections::BTreeMap;

    /// Few distinct hashes, so that probes collide, wrap around and share tags.
    fn crowded(key: u64) -> u64 {
        let tag = [
            0x0000_0000,
            0x0000_0003,
            0xffff_ffff,
            0xffff_fffe,
            0x0400_0001,
            0x1234_5678,
        ][key as usize % 6];
        (tag + key / 6 % 3) << 32
    }

    fn check_against_map(seed: u64, keys: u64, hash: impl Fn(u64) -> u64) {
        let mut rng = Keys::new(seed, "table").stream("test");
        let mut table = IndexTable::new();
        let mut model = BTreeMap::new();
        for step in 0..100_000 {
            let key = below(&mut rng, keys);
            // The value is the key, as an index is to the key its record holds.
            let found = table.find(hash(key), |value| u64::from(value) == key);
            assert_eq!(found.is_some(), model.contains_key(&key), "step {step}");
            let grow = (step / 20_000) % 2 == 0;
            if found.is_none() && (grow || below(&mut rng, 4) == 0) {
                table.insert(hash(key), key as u32);
                let _ = model.insert(key, ());
            } else if found.is_some() && (!grow || below(&mut rng, 4) == 0) {
                assert_eq!(
                    table.remove(hash(key), |value| u64::from(value) == key),
                    Some(key as u32)
                );
                let _ = model.remove(&key);
            }
            assert_eq!(table.len(), model.len());
        }
        for key in 0..keys {
            let found = table.find(hash(key), |value| u64::from(value) == key);
            assert_eq!(found.is_some(), model.contains_key(&key));
        }
    }

    #[test]
    fn agrees_with_a_map() {
        let key = Keys::new(1, "table").key("hash");
        check_against_map(1, 20_000, |n| key.hash(&[n]));
        check_against_map(2, 100, |n| key.hash(&[n]));
        check_against_map(3, 100, crowded);
    }

    #[test]
    fn costs_seventeen_bytes_an_entry_at_a_million_and_gives_memory_back() {
        let key = Keys::new(2, "table").key("hash");
        let mut table = IndexTable::new();
        for n in 0..1_000_000 {
            table.insert(key.hash(&[n]), n as u32);
        }
        assert!(table.bytes() <= 17_000_000, "{} bytes", table.bytes());
        for n in 0..1_000_000 {
            assert_eq!(table.remove(key.hash(&[n]), |value| value == n as u32), Some(n as u32));
        }
        assert_eq!(table.len(), 0);
        assert!(table.bytes() <= 64 * 64 * 8, "{} bytes", table.bytes());
    }

    #[test]
    fn peek_gives_a_candidate() {
        let mut table = IndexTable::new();
        assert_eq!(table.peek(5 << 32), IndexTable::NONE);
        table.insert(5 << 32, 77);
        assert_eq!(table.peek(5 << 32), 77);
        assert_eq!(table.peek(6 << 32), IndexTable::NONE);
    }
}
