//! How fast packets leave: one after another at a bit rate, the others waiting in a queue of bounded length (drop-tail).

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
}

impl RateStage {
    pub(super) fn new(bits_per_second: u64, limit: usize) -> Self {
        Self {
            bits_per_second: bits_per_second.max(1),
            limit,
            leaving: VecDeque::new(),
            busy_until: Instant::ZERO,
            fraction: 0,
        }
    }

    /// When the transmitter will be done with all it has.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        self.busy_until.max(now)
    }

    /// Queues a packet of `bytes` bytes and says when its last bit will have left; `None` when the queue is full.
    pub(super) fn send(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        while self.leaving.front().is_some_and(|at| *at <= now) {
            let _ = self.leaving.pop_front();
        }
        if self.leaving.len() >= self.limit {
            return None;
        }
        if self.busy_until < now {
            (self.busy_until, self.fraction) = (now, 0);
        }
        let rate = u128::from(self.bits_per_second);
        let time = bytes as u128 * 8 * 1_000_000_000 + u128::from(self.fraction);
        self.busy_until += Duration::from_nanos(u64::try_from(time / rate).unwrap_or(u64::MAX));
        self.fraction = (time % rate) as u64;
        self.leaving.push_back(self.busy_until);
        Some(self.busy_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{MS, SECOND};

    #[test]
    fn a_full_queue_drops_and_then_empties() {
        // 1000 bytes at 8 kbit/s take one second.
        let mut stage = RateStage::new(8_000, 2);
        let start = Instant::from_millis(500);
        assert_eq!(stage.send(start, 1000), Some(start + SECOND));
        assert_eq!(stage.send(start, 500), Some(start + 1500 * MS));
        assert_eq!(stage.send(start, 500), None);
        assert_eq!(stage.send(start + SECOND, 500), Some(start + 2 * SECOND));
        assert_eq!(stage.send(start + 10 * SECOND, 1000), Some(start + 11 * SECOND));
    }

    #[test]
    fn fractions_of_a_nanosecond_are_not_lost() {
        let mut stage = RateStage::new(3_000_000_000, usize::MAX);
        let mut last = Instant::ZERO;
        for _ in 0..3_000_000 {
            last = stage.send(Instant::ZERO, 125).unwrap();
        }
        assert_eq!(last, Instant::ZERO + SECOND);
    }
}
