//! What we know about every byte sent and not yet acknowledged: a partition of `[snd_una, snd_nxt)` into runs of equal fate.
//!
//! The bytes themselves stay in the send rope. Transmissions of one moment merge into one run and runs split only at SACK or loss edges, so
//! the number of runs follows holes and bursts, not segments. It decides nothing: `recovery` says what is lost, `output` what is sent.
//! Spec: RFC 2018 (SACK), RFC 6675 §3 (pipe), RFC 8985 §5 (what is kept per segment).

use super::options::{ts_before, ts_clock};
use super::rate::Stamp;
use super::seq::SeqNumber;
use crate::time::{Duration, Instant, sooner};
use std::collections::VecDeque;

/// Runs kept at most. Beyond it detail is given up, never bytes: a SACK that would split further is ignored, which RFC 2018 §8 allows (SACK is
/// advice), and what is sent joins what was sent before it. So no pattern of SACKs or writes makes an acknowledgement dear.
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
    /// Segments it left in, at least 1.
    pub(super) segs: u32,
    pub(super) fate: Fate,
    /// Sent more than once: its acknowledgement is ambiguous. RFC 6298 §3 (Karn).
    pub(super) resent: bool,
    /// When it was last sent.
    pub(super) at: Instant,
    /// What was noted then, for the delivery rate.
    pub(super) stamp: Stamp,
}

impl Sent {
    pub(super) fn end(&self) -> SeqNumber {
        self.start + self.len
    }

    /// Sent later than `other`, by time and then by sequence number. RFC 8985 §6.2, RACK_sent_after().
    pub(super) fn after(&self, other: (Instant, SeqNumber)) -> bool {
        self.at > other.0 || (self.at == other.0 && other.1.before(self.end()))
    }

    /// Cuts off the part from `seq` on, which lies inside. Segments go where their bytes go.
    fn cut(&mut self, seq: SeqNumber) -> Self {
        let mut right = *self;
        let keep = seq.after(self.start);
        let segs = (u64::from(self.segs) * u64::from(keep) + u64::from(self.len) / 2) / u64::from(self.len);
        let most = self.segs.saturating_sub(1).max(1);
        (self.len, self.segs) = (keep, (segs as u32).clamp(1, most));
        (right.start, right.len) = (seq, right.len - keep);
        right.segs = right.segs.saturating_sub(self.segs).max(1);
        right
    }

    /// Shares its history with `other`, which follows it.
    fn alike(&self, other: &Self) -> bool {
        self.fate == other.fate
            && (self.fate == Fate::Sacked
                || (self.at == other.at
                    && self.resent == other.resent
                    && self.stamp.delivered == other.stamp.delivered))
    }

    fn join(&mut self, other: &Self) {
        self.len += other.len;
        self.segs += other.segs;
        self.at = self.at.max(other.at);
    }
}

/// What is known of the moment at which an acknowledgement arrives: enough to tell whose departure it can speak of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Witness {
    pub(super) now: Instant,
    /// The timestamp it echoes.
    pub(super) echo: Option<u32>,
    pub(super) ts_offset: u32,
    pub(super) min_rtt: Duration,
}

impl Witness {
    /// Can it be the latest departure of this run that arrived? Not when the echo is older, nor when the path is slower. RFC 8985 §6.2 step 2.
    fn speaks_of(&self, run: &Sent) -> bool {
        let older = |echo: u32| ts_before(echo, ts_clock(run.at, self.ts_offset));
        !run.resent || !(self.echo.is_some_and(older) || self.now.since(run.at) < self.min_rtt)
    }
}

/// What an acknowledgement told, gathered over all runs it newly covered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivered {
    witness: Witness,
    /// Bytes newly known to have arrived.
    pub(super) bytes: u32,
    /// The segments they left in.
    pub(super) segs: u32,
    /// Of these, bytes that were never resent.
    pub(super) originals: u32,
    /// End of the highest of them.
    pub(super) highest: Option<SeqNumber>,
    /// The run sent last among them: the clock of rate samples.
    pub(super) newest: Option<Sent>,
    /// The run sent last among those whose departure the acknowledgement can speak of: RACK's reference. RFC 8985 §6.2 step 2.
    pub(super) credible: Option<Sent>,
    /// Departure of the earliest run that was sent just once.
    pub(super) rtt_from: Option<Instant>,
    /// Something resent is among them: the others may have waited for it at the remote, so no departure makes a sample. RFC 6298 §3 (Karn).
    pub(super) ambiguous: bool,
    /// Earliest departure of a run that was never resent and was delivered below one that had been before: the path reorders. RFC 8985 §6.2 step 3.
    pub(super) overtaken: Option<Instant>,
    /// Earliest departure of a run that was taken for lost and arrived without being sent again.
    pub(super) lost_in_vain: Option<Instant>,
}

impl Delivered {
    pub(super) fn at(witness: Witness) -> Self {
        Self {
            witness,
            ..Self::default()
        }
    }

    fn add(&mut self, run: &Sent, below_fack: bool) {
        self.bytes += run.len;
        self.segs += run.segs;
        self.highest = Some(self.highest.map_or(run.end(), |end| end.max(run.end())));
        let newer = |than: &Option<Sent>| than.is_none_or(|than| run.after((than.at, than.end())));
        if newer(&self.newest) {
            self.newest = Some(*run);
        }
        if newer(&self.credible) && self.witness.speaks_of(run) {
            self.credible = Some(*run);
        }
        self.ambiguous |= run.resent;
        if !run.resent {
            self.originals += run.len;
            self.rtt_from = sooner(self.rtt_from, Some(run.at));
            if below_fack {
                self.overtaken = sooner(self.overtaken, Some(run.at));
            }
            if run.fate == Fate::Lost {
                self.lost_in_vain = sooner(self.lost_in_vain, Some(run.at));
            }
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
    /// Of `flying`, what was sent again.
    resent: u32,
    sacked_segs: u32,
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

    /// Segments SACKed: RACK.segs_sacked.
    pub(super) fn sacked_segs(&self) -> u32 {
        self.sacked_segs
    }

    pub(super) fn lost(&self) -> u32 {
        self.lost
    }

    /// Everything left in the order of its numbers and nothing is known of any: what is outstanding was sent after all that arrived.
    pub(super) fn untroubled(&self) -> bool {
        self.sacked == 0 && self.lost == 0 && self.resent == 0
    }

    /// Memory taken.
    pub(super) fn footprint(&self) -> usize {
        self.runs.len() * size_of::<Sent>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Segments of the runs that `pick` takes. Costs time in proportion to the runs.
    pub(super) fn segments(&self, pick: impl Fn(&Sent) -> bool) -> u32 {
        self.runs.iter().filter(|run| pick(run)).map(|run| run.segs).sum()
    }

    pub(super) fn runs(&self) -> impl DoubleEndedIterator<Item = &Sent> {
        self.runs.iter()
    }

    pub(super) fn first(&self) -> Option<&Sent> {
        self.runs.front()
    }

    /// The forward acknowledgement, as it stands before the next acknowledgement is taken in.
    pub(super) fn fack(&self) -> Option<SeqNumber> {
        self.fack
    }

    fn count(&mut self, run: &Sent, add: bool) {
        let change = |sum: &mut u32, by: u32| *sum = if add { *sum + by } else { *sum - by };
        match run.fate {
            Fate::Flying => {
                change(&mut self.flying, run.len);
                if run.resent {
                    change(&mut self.resent, run.len);
                }
            }
            Fate::Sacked => {
                change(&mut self.sacked, run.len);
                change(&mut self.sacked_segs, run.segs);
            }
            Fate::Lost => change(&mut self.lost, run.len),
        }
    }

    /// Changes run `index`, and the sums with it.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut Sent)) {
        let before = self.runs[index];
        self.count(&before, false);
        change(&mut self.runs[index]);
        let after = self.runs[index];
        self.count(&after, true);
    }

    /// Records bytes sent for the first time.
    pub(super) fn push(&mut self, run: Sent) {
        self.count(&run, true);
        let full = self.runs.len() >= MAX_RUNS;
        if let Some(last) = self.runs.back_mut()
            && last.fate == Fate::Flying
            && !last.resent
            && (full || (last.at == run.at && last.stamp.delivered == run.stamp.delivered))
        {
            last.join(&run);
            last.stamp = run.stamp;
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
            self.count(&gone, false);
            if una.before(gone.end()) {
                let rest = gone.cut(una);
                self.runs[0] = rest;
                self.count(&rest, true);
            } else {
                let _ = self.runs.pop_front();
            }
            if gone.fate != Fate::Sacked {
                let below = self.fack.is_some_and(|fack| gone.end().before(fack));
                told.add(&gone, below);
            }
        }
        if self.fack.is_some_and(|fack| fack.at_or_before(una)) {
            self.fack = None;
        }
    }

    /// Index of the run that starts at `seq`, after splitting one there if need be. `None` beyond the end, or at the cap unless it `must`.
    fn split(&mut self, seq: SeqNumber, must: bool) -> Option<usize> {
        let index = self.runs.partition_point(|run| run.end().at_or_before(seq));
        let run = self.runs.get(index)?;
        if !run.start.before(seq) {
            return Some(index);
        }
        if self.runs.len() >= MAX_RUNS && !must {
            return None;
        }
        let (mut left, whole) = (*run, *run);
        let right = left.cut(seq);
        self.count(&whole, false);
        self.count(&left, true);
        self.count(&right, true);
        self.runs[index] = left;
        self.runs.insert(index + 1, right);
        Some(index + 1)
    }

    /// Makes `[left, right)` runs of their own and returns their indices.
    fn range(&mut self, left: SeqNumber, right: SeqNumber, must: bool) -> Option<std::ops::Range<usize>> {
        let first = self.split(left, must)?;
        let last = match self.runs.back() {
            Some(back) if right.before(back.end()) => self.split(right, must)?,
            _ => self.runs.len(),
        };
        Some(first..last)
    }

    /// Marks `[left, right)` as held by the remote, and tells what that newly delivered. `fack` is that of before this acknowledgement: blocks of
    /// one acknowledgement say nothing about the order among themselves.
    pub(super) fn sack(&mut self, left: SeqNumber, right: SeqNumber, fack: Option<SeqNumber>, told: &mut Delivered) {
        // The usual case costs one search: everything in the block is known already.
        let index = self.runs.partition_point(|run| run.end().at_or_before(left));
        if self
            .runs
            .get(index)
            .is_some_and(|run| run.fate == Fate::Sacked && right.at_or_before(run.end()))
        {
            return;
        }
        let Some(range) = self.range(left, right, false) else {
            return;
        };
        for index in range.clone() {
            let run = self.runs[index];
            if run.fate != Fate::Sacked {
                told.add(&run, fack.is_some_and(|fack| run.end().before(fack)));
                self.set_fate(index, Fate::Sacked);
            }
        }
        self.fack = Some(self.fack.map_or(right, |fack| fack.max(right)));
        self.merge_around(range);
    }

    fn set_fate(&mut self, index: usize, fate: Fate) {
        self.change(index, |run| run.fate = fate);
    }

    /// Joins equal neighbours from just before to just after `range`.
    fn merge_around(&mut self, range: std::ops::Range<usize>) {
        let first = range.start.saturating_sub(1);
        let mut index = (range.end).min(self.runs.len().saturating_sub(1));
        while index > first {
            let right = self.runs[index];
            if self.runs[index - 1].alike(&right) {
                self.runs[index - 1].join(&right);
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

    /// Marks as lost what was never resent and has `threshold` segments, or as many bytes in segments of `mss`, SACKed above it. RFC 6675 §4.
    pub(super) fn mark_lost_by_count(&mut self, threshold: u32, mss: u32) {
        let (mut segs, mut bytes) = (0, 0);
        for index in (0..self.runs.len()).rev() {
            let run = self.runs[index];
            match run.fate {
                Fate::Sacked => (segs, bytes) = (segs + run.segs, bytes + run.len),
                Fate::Flying if !run.resent && (segs >= threshold || bytes > (threshold - 1) * mss) => {
                    self.set_fate(index, Fate::Lost);
                }
                _ => {}
            }
        }
    }

    /// Marks the first `len` bytes as lost, where no SACK tells more. RFC 6582 §3.2.
    pub(super) fn mark_head_lost(&mut self, len: u32) {
        let Some(first) = self.runs.front() else { return };
        let (left, right) = (first.start, first.start + len);
        if let Some(range) = self.range(left, right, true) {
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

    /// Records that the `len` bytes from `seq`, which lie in one run, left again now, in `segs` segments.
    pub(super) fn resend(&mut self, seq: SeqNumber, len: u32, segs: u32, now: Sending) {
        let stamp = |run: &mut Sent| {
            (run.fate, run.resent, run.at, run.stamp) = (Fate::Flying, true, now.at, now.stamp);
        };
        let Some(range) = self.range(seq, seq + len, true) else {
            return;
        };
        for index in range.clone() {
            self.change(index, |run| {
                stamp(run);
                run.segs = segs;
            });
        }
        // At the cap it joins what was sent again just before it: to take that for younger than it is only delays a verdict.
        if self.runs.len() > MAX_RUNS
            && let Some(before) = range.start.checked_sub(1)
            && self.runs[before].fate == Fate::Flying
            && self.runs[before].resent
        {
            self.change(before, stamp);
        }
        self.merge_around(range);
    }

    /// Recounts everything, and checks order and continuity from `una` to `nxt`.
    pub(super) fn check(&self, una: SeqNumber, nxt: SeqNumber) -> bool {
        let mut at = una;
        let mut recount = Self::default();
        for run in &self.runs {
            if run.start != at || run.len == 0 || run.segs == 0 {
                return false;
            }
            at = run.end();
            recount.count(run, true);
        }
        let sums = |board: &Self| (board.flying, board.resent, board.sacked, board.sacked_segs, board.lost);
        at == nxt && sums(&recount) == sums(self) && self.runs.len() <= 2 * MAX_RUNS
    }
}

/// What is noted of a departure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) at: Instant,
    pub(super) stamp: Stamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u32, len: u32, at: u64) -> Sent {
        Sent {
            start: SeqNumber(start),
            len,
            segs: 1,
            fate: Fate::Flying,
            resent: false,
            at: Instant::from_millis(at),
            stamp: Stamp::default(),
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
        board.sack(SeqNumber(150), SeqNumber(250), None, &mut told);
        board.sack(SeqNumber(250), SeqNumber(400), None, &mut told);
        assert_eq!((told.bytes, board.sacked(), board.in_flight()), (250, 250, 750));
        assert!(board.check(SeqNumber(0), SeqNumber(1000)));
        assert_eq!(board.runs().filter(|r| r.fate == Fate::Sacked).count(), 1);
        board.sack(SeqNumber(150), SeqNumber(400), None, &mut told);
        assert_eq!(told.bytes, 250, "known already");
        assert_eq!(board.mark_lost(|r| r.end().at_or_before(SeqNumber(150))), 150);
        assert_eq!(board.next_lost().map(|r| r.start), Some(SeqNumber(0)));
        let now = Sending {
            at: Instant::from_millis(50),
            stamp: Stamp::default(),
        };
        board.resend(SeqNumber(0), 100, 1, now);
        board.resend(SeqNumber(100), 20, 1, now);
        assert_eq!((board.lost(), board.in_flight()), (30, 720));
        assert!(board.check(SeqNumber(0), SeqNumber(1000)));
        let mut told = Delivered::default();
        board.acknowledge(SeqNumber(500), &mut told);
        assert_eq!(told.bytes, 250, "what was SACKed had been told before");
        assert!(told.newest.is_some_and(|r| r.resent) && board.check(SeqNumber(500), SeqNumber(1000)));
    }
}
