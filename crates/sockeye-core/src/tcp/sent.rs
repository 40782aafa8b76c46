//! What we know about every byte sent and not yet acknowledged: a partition of `[snd_una, snd_nxt)` into runs of equal fate.
//!
//! The bytes themselves stay in the send rope. Transmissions of one moment merge into one run and runs split only at SACK or loss edges, so
//! the number of runs follows holes and bursts, not segments. It decides nothing: `recovery` says what is lost, `output` what is sent.
//! Spec: RFC 2018 (SACK), RFC 6675 §3 (pipe), RFC 8985 §5 (what is kept per segment).

use super::seq::SeqNumber;
use crate::time::Instant;
use std::collections::VecDeque;

/// Runs kept at most. A SACK that would split further is ignored, which RFC 2018 §8 allows: SACK is advice.
const MAX_RUNS: usize = 2_048;

/// What became of a run of bytes, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// On its way, first time or again.
    Flying,
    /// The remote holds it, out of order.
    Sacked,
    /// Taken for lost; to be sent again.
    Lost,
}

/// A run of sequence numbers that share a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) start: SeqNumber,
    pub(super) len: u32,
    pub(super) fate: Fate,
    /// Sent more than once: its acknowledgement is ambiguous. RFC 6298 §3 (Karn).
    pub(super) resent: bool,
    /// When it was last sent.
    pub(super) at: Instant,
    /// Bytes delivered on this connection when it was sent, and when that was: for the delivery rate.
    pub(super) delivered: u64,
    pub(super) delivered_at: Instant,
}

impl Sent {
    pub(super) fn end(&self) -> SeqNumber {
        self.start + self.len
    }
}

/// What an acknowledgement told, gathered over all runs it newly covered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivered {
    /// Bytes newly known to have arrived.
    pub(super) bytes: u32,
    /// Of these, bytes that had been taken for lost and were not sent again.
    pub(super) were_lost: u32,
    /// The run sent last among those, by time and then by sequence number: RACK's reference. RFC 8985 §6.2.
    pub(super) newest: Option<Sent>,
    /// Departure of the earliest run that was sent just once.
    pub(super) rtt_from: Option<Instant>,
    /// Something resent is among them: the others may have waited for it at the remote, so no departure makes a sample. RFC 6298 §3 (Karn).
    pub(super) ambiguous: bool,
    /// A run that was never resent was delivered below one that was SACKed before: the path reorders. RFC 8985 §6.2 step 4.
    pub(super) reordered: bool,
}

impl Delivered {
    fn add(&mut self, run: &Sent, below_sacked: bool) {
        self.bytes += run.len;
        if run.fate == Fate::Lost {
            self.were_lost += run.len;
        }
        let later = |a: &Sent, b: &Sent| a.at > b.at || (a.at == b.at && b.end().before(a.end()));
        if self.newest.as_ref().is_none_or(|newest| later(run, newest)) {
            self.newest = Some(*run);
        }
        self.ambiguous |= run.resent;
        if !run.resent {
            self.rtt_from = Some(self.rtt_from.map_or(run.at, |at| at.min(run.at)));
            self.reordered |= below_sacked;
        }
    }
}

/// The runs, in sequence order.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    runs: VecDeque<Sent>,
    flying: u32,
    sacked: u32,
    lost: u32,
    /// End of the highest SACKed run: the forward acknowledgement.
    fack: Option<SeqNumber>,
}

impl Scoreboard {
    /// Bytes on their way: RFC 6675's pipe.
    pub(super) fn in_flight(&self) -> u32 {
        self.flying
    }

    pub(super) fn sacked(&self) -> u32 {
        self.sacked
    }

    pub(super) fn lost(&self) -> u32 {
        self.lost
    }

    /// Memory taken.
    pub(super) fn footprint(&self) -> usize {
        self.runs.len() * size_of::<Sent>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn runs(&self) -> impl DoubleEndedIterator<Item = &Sent> {
        self.runs.iter()
    }

    pub(super) fn first(&self) -> Option<&Sent> {
        self.runs.front()
    }

    fn total(&mut self, fate: Fate) -> &mut u32 {
        match fate {
            Fate::Flying => &mut self.flying,
            Fate::Sacked => &mut self.sacked,
            Fate::Lost => &mut self.lost,
        }
    }

    /// Records bytes sent for the first time.
    pub(super) fn push(&mut self, run: Sent) {
        self.flying += run.len;
        if let Some(last) = self.runs.back_mut()
            && last.fate == Fate::Flying
            && !last.resent
            && last.at == run.at
            && last.delivered == run.delivered
        {
            last.len += run.len;
            return;
        }
        self.runs.push_back(run);
    }

    /// Takes off everything before `una`, and tells what that newly delivered.
    pub(super) fn acknowledge(&mut self, una: SeqNumber, told: &mut Delivered) {
        while let Some(front) = self.runs.front_mut() {
            if !front.start.before(una) {
                break;
            }
            let mut gone = *front;
            if una.before(front.end()) {
                gone.len = una.after(front.start);
                front.len -= gone.len;
                front.start = una;
            } else {
                let _ = self.runs.pop_front();
            }
            *self.total(gone.fate) -= gone.len;
            if gone.fate != Fate::Sacked {
                let below_sacked = self.fack.is_some_and(|fack| gone.start.before(fack));
                told.add(&gone, below_sacked);
            }
        }
        if self.fack.is_some_and(|fack| fack.at_or_before(una)) {
            self.fack = None;
        }
    }

    /// Index of the run that starts at `seq`, after splitting one there if need be. `None` beyond the end or at the cap.
    fn split(&mut self, seq: SeqNumber) -> Option<usize> {
        let index = self.runs.partition_point(|run| run.end().at_or_before(seq));
        let run = self.runs.get_mut(index)?;
        if !run.start.before(seq) {
            return Some(index);
        }
        if self.runs.len() >= MAX_RUNS {
            return None;
        }
        let run = &mut self.runs[index];
        let mut right = *run;
        run.len = seq.after(run.start);
        right.start = seq;
        right.len -= run.len;
        self.runs.insert(index + 1, right);
        Some(index + 1)
    }

    /// Makes `[left, right)` runs of their own and returns their indices.
    fn range(&mut self, left: SeqNumber, right: SeqNumber) -> Option<std::ops::Range<usize>> {
        let first = self.split(left)?;
        let last = match self.runs.back() {
            Some(back) if right.before(back.end()) => self.split(right)?,
            _ => self.runs.len(),
        };
        Some(first..last)
    }

    /// Marks `[left, right)` as held by the remote, and tells what that newly delivered.
    pub(super) fn sack(&mut self, left: SeqNumber, right: SeqNumber, told: &mut Delivered) {
        // The usual case costs one search: everything in the block is known already.
        let index = self.runs.partition_point(|run| run.end().at_or_before(left));
        if self
            .runs
            .get(index)
            .is_some_and(|run| run.fate == Fate::Sacked && right.at_or_before(run.end()))
        {
            return;
        }
        let fack = self.fack;
        let Some(range) = self.range(left, right) else { return };
        for index in range.clone() {
            let run = self.runs[index];
            if run.fate != Fate::Sacked {
                told.add(&run, fack.is_some_and(|fack| run.start.before(fack)));
                self.set_fate(index, Fate::Sacked);
            }
        }
        self.fack = Some(fack.map_or(right, |fack| fack.max(right)));
        self.merge_around(range);
    }

    fn set_fate(&mut self, index: usize, fate: Fate) {
        let Sent { len, fate: old, .. } = self.runs[index];
        *self.total(old) -= len;
        *self.total(fate) += len;
        self.runs[index].fate = fate;
    }

    /// Joins equal neighbours from just before to just after `range`.
    fn merge_around(&mut self, range: std::ops::Range<usize>) {
        let first = range.start.saturating_sub(1);
        let mut index = (range.end).min(self.runs.len().saturating_sub(1));
        while index > first {
            let (left, right) = (self.runs[index - 1], self.runs[index]);
            let alike = left.fate == right.fate
                && (left.fate == Fate::Sacked
                    || (left.at == right.at && left.resent == right.resent && left.delivered == right.delivered));
            if alike {
                self.runs[index - 1].len += right.len;
                self.runs[index - 1].at = left.at.max(right.at);
                let _ = self.runs.remove(index);
            }
            index -= 1;
        }
    }

    /// Marks as lost every flying run that `is_lost` says so of. Returns the bytes marked.
    pub(super) fn mark_lost(&mut self, mut is_lost: impl FnMut(&Sent) -> bool) -> u32 {
        let before = self.lost;
        for index in 0..self.runs.len() {
            let run = self.runs[index];
            if run.fate == Fate::Flying && is_lost(&run) {
                self.set_fate(index, Fate::Lost);
            }
        }
        self.lost - before
    }

    /// Marks the first `len` bytes as lost, where no SACK tells more. RFC 6582 §3.2.
    pub(super) fn mark_head_lost(&mut self, len: u32) {
        let Some(first) = self.runs.front() else { return };
        let (left, right) = (first.start, first.start + len);
        if let Some(range) = self.range(left, right) {
            for index in range {
                if self.runs[index].fate == Fate::Flying {
                    self.set_fate(index, Fate::Lost);
                }
            }
        }
    }

    /// Takes back every verdict of loss: the recovery was needless.
    pub(super) fn forgive(&mut self) {
        for index in 0..self.runs.len() {
            if self.runs[index].fate == Fate::Lost {
                self.set_fate(index, Fate::Flying);
            }
        }
    }

    /// Forgets all SACKs: the remote has thrown away what it had reported. RFC 2018 §8.
    pub(super) fn renege(&mut self) {
        for index in 0..self.runs.len() {
            if self.runs[index].fate == Fate::Sacked {
                self.set_fate(index, Fate::Lost);
            }
        }
        self.fack = None;
    }

    /// The first run that waits to be sent again.
    pub(super) fn next_lost(&self) -> Option<&Sent> {
        if self.lost == 0 {
            None
        } else {
            self.runs.iter().find(|run| run.fate == Fate::Lost)
        }
    }

    /// Records that `[seq, seq + len)` was sent again now.
    pub(super) fn resend(&mut self, seq: SeqNumber, len: u32, at: Instant, delivered: u64, delivered_at: Instant) {
        let Some(range) = self.range(seq, seq + len) else {
            return;
        };
        for index in range.clone() {
            if self.runs[index].fate != Fate::Sacked {
                self.set_fate(index, Fate::Flying);
                let run = &mut self.runs[index];
                (run.resent, run.at, run.delivered, run.delivered_at) = (true, at, delivered, delivered_at);
            }
        }
        self.merge_around(range);
    }

    /// Recounts everything: `(flying, sacked, lost)`, and checks order and continuity from `una` to `nxt`.
    pub(super) fn check(&self, una: SeqNumber, nxt: SeqNumber) -> bool {
        let mut at = una;
        let (mut flying, mut sacked, mut lost) = (0, 0, 0);
        for run in &self.runs {
            if run.start != at || run.len == 0 {
                return false;
            }
            at = run.end();
            match run.fate {
                Fate::Flying => flying += run.len,
                Fate::Sacked => sacked += run.len,
                Fate::Lost => lost += run.len,
            }
        }
        at == nxt && (flying, sacked, lost) == (self.flying, self.sacked, self.lost) && self.runs.len() <= MAX_RUNS + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u32, len: u32, at: u64) -> Sent {
        Sent {
            start: SeqNumber(start),
            len,
            fate: Fate::Flying,
            resent: false,
            at: Instant::from_millis(at),
            delivered: 0,
            delivered_at: Instant::ZERO,
        }
    }

    fn board() -> Scoreboard {
        let mut board = Scoreboard::default();
        for i in 0..10 {
            board.push(run(i * 100, 100, u64::from(i)));
        }
        board
    }

    #[test]
    fn one_moment_is_one_run() {
        let mut board = Scoreboard::default();
        board.push(run(0, 100, 1));
        board.push(run(100, 100, 1));
        board.push(run(200, 100, 2));
        assert_eq!(board.runs().count(), 2);
        assert_eq!(board.in_flight(), 300);
    }

    #[test]
    fn sack_splits_counts_and_merges() {
        let mut board = board();
        let mut told = Delivered::default();
        board.sack(SeqNumber(150), SeqNumber(250), &mut told);
        board.sack(SeqNumber(250), SeqNumber(400), &mut told);
        assert_eq!((told.bytes, board.sacked(), board.in_flight()), (250, 250, 750));
        assert!(board.check(SeqNumber(0), SeqNumber(1000)));
        assert_eq!(board.runs().filter(|r| r.fate == Fate::Sacked).count(), 1);
        board.sack(SeqNumber(150), SeqNumber(400), &mut told);
        assert_eq!(told.bytes, 250, "known already");
        assert_eq!(board.mark_lost(|r| r.end().at_or_before(SeqNumber(150))), 150);
        assert_eq!(board.next_lost().map(|r| r.start), Some(SeqNumber(0)));
        board.resend(SeqNumber(0), 120, Instant::from_millis(50), 0, Instant::ZERO);
        assert_eq!((board.lost(), board.in_flight()), (30, 720));
        assert!(board.check(SeqNumber(0), SeqNumber(1000)));
        let mut told = Delivered::default();
        board.acknowledge(SeqNumber(500), &mut told);
        assert_eq!(told.bytes, 250, "what was SACKed had been told before");
        assert!(told.newest.is_some_and(|r| r.resent) && board.check(SeqNumber(500), SeqNumber(1000)));
    }
}
