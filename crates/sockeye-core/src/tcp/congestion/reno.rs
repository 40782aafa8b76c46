//! Slow start and congestion avoidance as RFC 5681 §3.1 has them, counting bytes (RFC 3465).

use super::{AckSample, CongestionControl, Window};
use crate::time::Instant;

/// RFC 5681.
#[derive(Clone, Copy, Debug)]
pub(in crate::tcp) struct Reno;

impl CongestionControl for Reno {
    fn on_ack(&mut self, ack: &AckSample, window: &mut Window) {
        if !ack.cwnd_limited {
            return;
        }
        let mut acked = ack.acked;
        if window.in_slow_start() {
            let step = acked.min(window.ssthresh - window.cwnd);
            window.cwnd += step;
            acked -= step;
        }
        // One segment a window's worth of acknowledged bytes.
        let grown = u64::from(window.mss) * u64::from(acked) / u64::from(window.cwnd.max(1));
        window.cwnd = window.cwnd.saturating_add(grown as u32);
    }

    fn on_congestion(&mut self, _now: Instant, window: &mut Window) {
        window.ssthresh = (window.cwnd / 2).max(2 * window.mss);
    }

    fn on_ecn(&mut self, now: Instant, window: &mut Window) {
        if window.in_slow_start() {
            return self.on_congestion(now, window);
        }
        // RFC 8511 §3.1: four fifths.
        window.ssthresh = (window.cwnd / 5 * 4).max(2 * window.mss);
    }

    fn on_undo(&mut self) {}

    fn on_idle(&mut self) {}
}
