//! How fast packets leave: one after another at a bit rate, the others waiting in a queue of bounded length under a [`Discipline`].

use super::Fate;
use super::discipline::{Discipline, Turn, Verdict, Warden};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// The transmitter and its queue.
#[derive(Clone, Debug)]
pub(super) struct RateStage {
    bits_per_second: u64,
    /// Packets in the queue, the one being sent included, at most.
    limit: usize,
    /// When each packet in the queue will have left.
    leaving: VecDeque<Instant>,
    /// When the transmitter is done with all it has, and the fraction of a nanosecond beyond that, in units of 1/rate.
    busy_until: Instant,
    fraction: u64,
    warden: Warden,
}

/// A packet that got through the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// When its last bit has left.
    pub(super) at: Instant,
    /// The queue marked it.
    pub(super) marked: bool,
}

impl RateStage {
    pub(super) fn new(bits_per_second: u64, limit: usize, discipline: Discipline) -> Self {
        Self {
            bits_per_second: bits_per_second.max(1),
            limit,
            leaving: VecDeque::new(),
            busy_until: Instant::ZERO,
            fraction: 0,
            warden: Warden::new(discipline),
        }
    }

    /// When the transmitter will be done with all it has.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        self.busy_until.max(now)
    }

    /// Queues a packet of `bytes` bytes; `ect` says whether it understands marks.
    ///
    /// # Errors
    /// Why it goes no further.
    pub(super) fn send(&mut self, now: Instant, bytes: usize, ect: bool) -> Result<Left, Fate> {
        while self.leaving.front().is_some_and(|at| *at <= now) {
            let _ = self.leaving.pop_front();
        }
        if self.leaving.len() >= self.limit {
            return Err(Fate::QueueFull);
        }
        if self.busy_until < now {
            (self.busy_until, self.fraction) = (now, 0);
        }
        let turn = Turn {
            at: self.busy_until,
            wait: self.busy_until.since(now),
            ahead: self.leaving.len(),
            ect,
        };
        let verdict = self.warden.judge(&turn);
        if verdict == Verdict::Drop {
            return Err(Fate::Codel);
        }
        let rate = u128::from(self.bits_per_second);
        let time = bytes as u128 * 8 * 1_000_000_000 + u128::from(self.fraction);
        self.busy_until += Duration::from_nanos(u64::try_from(time / rate).unwrap_or(u64::MAX));
        self.fraction = (time % rate) as u64;
        self.leaving.push_back(self.busy_until);
        Ok(Left {
            at: self.busy_until,
            marked: verdict == Verdict::Mark,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{MS, SECOND};

    #[test]
    fn a_full_queue_drops_and_then_empties() {
        // 1000 bytes at 8 kbit/s take one second.
        let mut stage = RateStage::new(8_000, 2, Discipline::Fifo);
        let start = Instant::from_millis(500);
        let mut send = |at, bytes| stage.send(at, bytes, true).map(|left| left.at);
        assert_eq!(send(start, 1000), Ok(start + SECOND));
        assert_eq!(send(start, 500), Ok(start + 1500 * MS));
        assert_eq!(send(start, 500), Err(Fate::QueueFull));
        assert_eq!(send(start + SECOND, 500), Ok(start + 2 * SECOND));
        assert_eq!(send(start + 10 * SECOND, 1000), Ok(start + 11 * SECOND));
    }

    #[test]
    fn fractions_of_a_nanosecond_are_not_lost() {
        let mut stage = RateStage::new(3_000_000_000, usize::MAX, Discipline::Fifo);
        let mut last = Instant::ZERO;
        for _ in 0..3_000_000 {
            last = stage.send(Instant::ZERO, 125, false).unwrap().at;
        }
        assert_eq!(last, Instant::ZERO + SECOND);
    }
}
