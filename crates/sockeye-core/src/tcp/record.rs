//! Ends of records (`MSG_EOR`): no segment holds bytes of both sides of one, however often it is sent. send(2), as Linux has it.
//!
//! They matter while their bytes wait to be sent or acknowledged, and lie in the flow state.

use super::seq::SeqNumber;
use super::tcb::Tcb;
use crate::settings::Settings;
use crate::time::Instant;
use std::collections::VecDeque;

/// The numbers behind the last bytes of records, rising.
#[derive(Debug, Default)]
pub(super) struct Records {
    ends: VecDeque<SeqNumber>,
}

impl Records {
    /// How many of the `len` bytes from `seq` on lie before the next end.
    pub(super) fn within(&self, seq: SeqNumber, len: u32) -> u32 {
        let next = self.ends.partition_point(|end| end.at_or_before(seq));
        self.ends.get(next).map_or(len, |end| len.min(end.after(seq)))
    }

    /// Of the `len` bytes before `end`, how many lie behind the last end among them.
    pub(super) fn behind(&self, end: SeqNumber, len: u32) -> u32 {
        let before = self.ends.partition_point(|mark| mark.before(end));
        let last = before.checked_sub(1).and_then(|nth| self.ends.get(nth));
        last.map_or(len, |mark| len.min(end.after(*mark)))
    }

    pub(super) fn has_end(&self, seq: SeqNumber) -> bool {
        let nth = self.ends.partition_point(|end| end.before(seq));
        self.ends.get(nth) == Some(&seq)
    }

    /// Everything before `snd_una` is acknowledged.
    pub(super) fn on_acked(&mut self, snd_una: SeqNumber) {
        while self.ends.front().is_some_and(|end| end.at_or_before(snd_una)) {
            let _ = self.ends.pop_front();
        }
    }
}

impl Tcb {
    /// What was written so far ends a record.
    pub(crate) fn end_record(&mut self, now: Instant, settings: &Settings) {
        if self.queued() == 0 {
            return;
        }
        let end = self.tx_end();
        let records = &mut self.flow(now, settings).records;
        if !records.has_end(end) {
            records.ends.push_back(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_across_an_end() {
        let mut records = Records::default();
        records.ends.extend([100, 150].map(SeqNumber));
        for (seq, len, want) in [(0, 50, 50), (0, 200, 100), (99, 9, 1), (100, 80, 50), (150, 80, 80)] {
            assert_eq!(records.within(SeqNumber(seq), len), want, "{seq} {len}");
        }
        for (end, len, want) in [(90, 50, 50), (120, 50, 20), (100, 80, 80), (160, 80, 10)] {
            assert_eq!(records.behind(SeqNumber(end), len), want, "{end} {len}");
        }
        records.on_acked(SeqNumber(100));
        assert!(!records.has_end(SeqNumber(100)) && records.has_end(SeqNumber(150)));
    }
}
