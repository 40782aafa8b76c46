//! Bytes that arrived out of order, kept until the gap before them is filled; and what to tell the remote about them.
//!
//! Spec: RFC 9293 §3.10.7.4 (seventh check), RFC 2018 §4 (which blocks to report first), RFC 2883 (duplicates). Where segments overlap, what we
//! hold already stays: it may have been reported.

use super::seq::SeqNumber;
use crate::buf::Rope;
use crate::wire::tcp::SackBlocks;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Islands kept at most; beyond it the highest one is dropped, as RFC 2018 §8 allows.
const MAX_ISLANDS: usize = 512;

/// What an island costs beside its bytes: its record, and the room its last chunk has left.
const ISLAND_COST: usize = 192;

#[derive(Debug)]
struct Island {
    start: SeqNumber,
    bytes: Rope,
}

impl Island {
    fn end(&self) -> SeqNumber {
        self.start + self.bytes.len() as u32
    }
}

/// The islands, in sequence order, disjoint and not touching.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    islands: VecDeque<Island>,
    held: usize,
    /// Starts of the islands that changed last, latest first.
    recent: SmallVec<[SeqNumber; 4]>,
    /// Where a FIN stands that came before the bytes before it.
    fin: Option<SeqNumber>,
    /// A duplicate to report once. RFC 2883 §4.
    duplicate: Option<(SeqNumber, SeqNumber)>,
}

impl Assembler {
    pub(super) fn is_empty(&self) -> bool {
        self.islands.is_empty()
    }

    /// Keeps in mind that a FIN stands at `seq`; the first one told of holds.
    pub(super) fn keep_fin(&mut self, seq: SeqNumber) {
        let _ = self.fin.get_or_insert(seq);
    }

    /// True when the FIN kept in mind is what comes next.
    pub(super) fn fin_is_next(&self, rcv_nxt: SeqNumber) -> bool {
        self.fin == Some(rcv_nxt)
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Memory taken, to the handle of each island.
    pub(super) fn footprint(&self) -> usize {
        self.held + self.islands.len() * ISLAND_COST
    }

    /// Remembers a duplicate arrival, to be reported with the next acknowledgement.
    pub(super) fn report_duplicate(&mut self, left: SeqNumber, right: SeqNumber) {
        if left.before(right) {
            self.duplicate = Some((left, right));
        }
    }

    /// In-order bytes `[left, right)` arrived: those that an island holds already are a duplicate, of which the lowest is reported. RFC 2883 §4.2.
    pub(super) fn report_overlap(&mut self, left: SeqNumber, right: SeqNumber) {
        if let Some((start, end)) = self.islands.front().map(|island| (island.start, island.end()))
            && left.before(end)
            && start.before(right)
        {
            self.report_duplicate(start, if end.before(right) { end } else { right });
        }
    }

    /// True when a duplicate waits to be reported.
    pub(super) fn has_duplicate(&self) -> bool {
        self.duplicate.is_some()
    }

    /// Takes in `bytes` that begin at `seq`, somewhere after a gap. Returns how many were new.
    pub(super) fn insert(&mut self, mut seq: SeqNumber, mut bytes: Rope) -> usize {
        let before = self.held;
        let index = self.islands.partition_point(|island| island.end().before(seq));
        let (touched, mut twice) = (index, None);
        while !bytes.is_empty() {
            match self.islands.get(index) {
                // Inside or at the end of an island: skip what it holds, then let it grow.
                Some(island) if island.start.at_or_before(seq) => {
                    let known = island.end().after(seq).min(bytes.len() as u32);
                    if twice.is_none() && known > 0 {
                        twice = Some((seq, seq + known));
                    }
                    bytes.drop_front(known as usize);
                    seq += known;
                    let room = self.room_before(index + 1, seq, bytes.len());
                    seq += self.grow(index, &mut bytes, room);
                    self.join_next(index);
                }
                // In a gap: a new island, up to the next one.
                _ => {
                    let room = self.room_before(index, seq, bytes.len());
                    self.islands.insert(
                        index,
                        Island {
                            start: seq,
                            bytes: Rope::new(),
                        },
                    );
                    seq += self.grow(index, &mut bytes, room);
                    self.join_next(index);
                }
            }
        }
        if let Some((left, right)) = twice {
            // RFC 2883 §4: the first stretch that arrived twice.
            self.report_duplicate(left, right);
        }
        if let Some(island) = self.islands.get(touched) {
            let start = island.start;
            self.note_recent(start);
        }
        if self.islands.len() > MAX_ISLANDS
            && let Some(last) = self.islands.pop_back()
        {
            self.held -= last.bytes.len();
        }
        self.held.saturating_sub(before)
    }

    /// How many of `want` bytes from `seq` lie before island `index`.
    fn room_before(&self, index: usize, seq: SeqNumber, want: usize) -> usize {
        self.islands
            .get(index)
            .map_or(want, |next| want.min(next.start.since(seq).max(0) as usize))
    }

    /// Moves `n` bytes to the end of island `index`.
    fn grow(&mut self, index: usize, bytes: &mut Rope, n: usize) -> u32 {
        let (mut left, mut part) = (n, Rope::new());
        while let Some(chunk) = bytes.pop_chunk(left) {
            left -= chunk.len();
            part.push(chunk);
        }
        // What it keeps alive was settled before; here short pieces join.
        self.islands[index].bytes.keep(part, n);
        self.held += n;
        n as u32
    }

    /// Joins island `index` with the next one when they touch.
    fn join_next(&mut self, index: usize) {
        if self
            .islands
            .get(index + 1)
            .is_some_and(|next| self.islands[index].end() == next.start)
            && let Some(mut next) = self.islands.remove(index + 1)
        {
            let joined = std::mem::take(&mut next.bytes);
            self.islands[index].bytes.keep(joined, 0);
            self.recent.retain(|start| *start != next.start);
        }
    }

    fn note_recent(&mut self, start: SeqNumber) {
        self.recent.retain(|other| *other != start);
        self.recent.truncate(3);
        self.recent.insert(0, start);
    }

    /// Moves everything that now follows `rcv_nxt` without a gap to `into`. Returns the new `rcv_nxt`.
    pub(super) fn take_ready(&mut self, mut rcv_nxt: SeqNumber, into: &mut Rope) -> SeqNumber {
        while self
            .islands
            .front()
            .is_some_and(|first| first.start.at_or_before(rcv_nxt))
        {
            let Some(mut first) = self.islands.pop_front() else {
                break;
            };
            self.held -= first.bytes.len();
            self.recent.retain(|start| *start != first.start);
            let end = first.end();
            if rcv_nxt.before(end) {
                first.bytes.drop_front(rcv_nxt.after(first.start) as usize);
                into.keep(first.bytes, 0);
                rcv_nxt = end;
            }
        }
        rcv_nxt
    }

    /// Drops everything: memory is short. RFC 2018 §8.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The blocks to report, at most `room` of them: a duplicate first (RFC 2883 §4), then the islands that changed last (RFC 2018 §4), then the rest.
    pub(super) fn sack_blocks(&self, room: usize) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        if let Some((left, right)) = self.duplicate {
            blocks.push(left.0, right.0);
        }
        for start in &self.recent {
            let index = self.islands.partition_point(|island| island.start.before(*start));
            if let Some(island) = self.islands.get(index).filter(|island| island.start == *start) {
                blocks.push(island.start.0, island.end().0);
            }
        }
        for island in &self.islands {
            if blocks.as_slice().len() >= room {
                break;
            }
            if !self.recent.contains(&island.start) {
                blocks.push(island.start.0, island.end().0);
            }
        }
        blocks.truncate(room);
        blocks
    }

    /// The blocks were reported: a duplicate is reported once.
    pub(super) fn on_reported(&mut self) {
        self.duplicate = None;
    }

    /// Order, gaps and sums hold, and all lies in `(rcv_nxt, edge]`.
    pub(super) fn check(&self, rcv_nxt: SeqNumber, edge: SeqNumber) -> bool {
        let mut last = rcv_nxt;
        let mut held = 0;
        for island in &self.islands {
            if !last.before(island.start) || island.bytes.is_empty() {
                return false;
            }
            held += island.bytes.len();
            last = island.end();
        }
        held == self.held && (self.islands.is_empty() || last.at_or_before(edge)) && self.islands.len() <= MAX_ISLANDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};

    fn rope(start: u32, len: u32) -> Rope {
        let mut rope = Rope::new();
        rope.append(&(start..start + len).map(|i| i as u8).collect::<Vec<_>>());
        rope
    }

    #[test]
    fn any_order_with_overlaps_gives_the_stream_back() {
        let mut rng = Keys::new(7, "assembler").stream("order");
        for round in 0..300 {
            let (mut assembler, mut out) = (Assembler::default(), Rope::new());
            let base = SeqNumber(u32::MAX - 1000);
            let mut nxt = base;
            let total = 5_000;
            while nxt.after(base) < total {
                let start = below(&mut rng, u64::from(total)) as u32;
                let len = (1 + below(&mut rng, 700) as u32).min(total - start);
                let seq = base + start;
                if seq.at_or_before(nxt) {
                    let skip = nxt.after(seq);
                    if skip < len {
                        let mut bytes = rope(start, len);
                        bytes.drop_front(skip as usize);
                        while let Some(chunk) = bytes.pop_chunk(usize::MAX) {
                            out.push(chunk);
                        }
                        nxt = seq + len;
                        nxt = assembler.take_ready(nxt, &mut out);
                    }
                } else {
                    let _ = assembler.insert(seq, rope(start, len));
                }
                assert!(assembler.check(nxt, base + total), "round {round}");
            }
            assert_eq!((out.len() as u32, assembler.held()), (total, 0));
            let mut bytes = vec![0; total as usize];
            assert_eq!(out.read(&mut bytes), total as usize);
            assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == i as u8));
        }
    }

    #[test]
    fn the_latest_island_is_reported_first_and_a_duplicate_before_it() {
        let mut assembler = Assembler::default();
        for start in [100, 300, 500, 700] {
            assert_eq!(assembler.insert(SeqNumber(start), rope(start, 50)), 50);
        }
        assert_eq!(assembler.insert(SeqNumber(350), rope(350, 10)), 10);
        assert_eq!(
            assembler.sack_blocks(3).as_slice(),
            [(300, 360), (700, 750), (500, 550)]
        );
        assert_eq!(assembler.insert(SeqNumber(500), rope(500, 50)), 0);
        assert_eq!(
            assembler.sack_blocks(3).as_slice(),
            [(500, 550), (500, 550), (300, 360)]
        );
        assembler.on_reported();
        assert_eq!(
            assembler.sack_blocks(4).as_slice()[0],
            (500, 550),
            "a duplicate is reported once"
        );
        assert_eq!(assembler.sack_blocks(4).as_slice().len(), 4);
    }

    /// RFC 2883 §4.2: of what came again within a longer segment the lowest part is reported, once.
    #[test]
    fn a_partial_duplicate_is_reported() {
        for (left, right, want) in [
            (0, 600, Some((100, 300))),
            (0, 200, Some((100, 200))),
            (0, 100, None),
            (250, 300, Some((100, 300))),
        ] {
            let mut assembler = Assembler::default();
            for (start, len) in [(100, 200), (400, 100)] {
                let _ = assembler.insert(SeqNumber(start), rope(start, len));
            }
            assembler.report_overlap(SeqNumber(left), SeqNumber(right));
            let first = assembler.sack_blocks(3).as_slice()[0];
            assert_eq!(first, want.unwrap_or((400, 500)), "{left}..{right}");
        }
    }

    #[test]
    fn islands_are_limited() {
        let mut assembler = Assembler::default();
        for i in 0..2_000 {
            let _ = assembler.insert(SeqNumber(1_000 + i * 10), rope(0, 5));
        }
        assert_eq!(assembler.islands.len(), MAX_ISLANDS);
        assert!(assembler.check(SeqNumber(0), SeqNumber(u32::MAX / 4)));
    }
}
