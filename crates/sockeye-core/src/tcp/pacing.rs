//! When the next burst may leave: a window is spread over its round trip instead of being thrown at the first queue on the way.
//!
//! It holds data, lost or new; acknowledgements, probes and FIN alone pass. A burst is what leaves in a millisecond, and at least two segments; the next
//! one waits until the first would have left at the pacing rate. `output` asks before it sends; what is held sets [`Pacing::wake`], which is among
//! the connection's deadlines. A rate of zero means no pacing, and then nothing here costs anything.
//!
//! The rate is the congestion control's when it has one (BBR), else a multiple of the window over the round-trip time, by Linux's ratios: enough
//! that pacing alone never keeps the window from being used. draft-ietf-ccwg-bbr §5.6.2, RFC 9406 §4.2 (why slow start may then be bolder).

use super::tcb::{Flow, Tcb};
use crate::settings::Settings;
use crate::time::{Duration, Instant};

/// Paths shorter than this are memory: a timer would cost more than the queue that it spares.
const SHORTEST: Duration = Duration::from_micros(50);
/// A burst is what the rate allows in this time; as much may be made up for when we come late.
const BURST: Duration = Duration::from_millis(1);

/// State of the pacer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pacing {
    /// Bytes a second; 0 is no pacing.
    pub(super) rate: u64,
    /// Bytes in a burst.
    burst: u32,
    /// Bytes left of the present one.
    left: u32,
    /// When the next one may begin.
    next: Instant,
    /// Something is held until then.
    pub(super) wake: Option<Instant>,
}

impl Pacing {
    /// What the user allows holds from the first byte on, when nothing is known of the path yet.
    pub(super) fn allowed(most: Option<u64>, mss: u32) -> Self {
        let mut pacing = Self::default();
        pacing.set(most.unwrap_or(0), mss);
        pacing
    }

    fn set(&mut self, rate: u64, mss: u32) {
        self.rate = rate;
        self.burst = u32::try_from(rate / 1_000).unwrap_or(u32::MAX).max(2 * mss);
        if rate == 0 {
            self.wake = None;
        }
    }

    /// Bytes that may leave now.
    pub(super) fn room(&self, now: Instant) -> u32 {
        match self.rate {
            0 => u32::MAX,
            _ if self.next <= now => self.burst,
            _ => self.left,
        }
    }

    /// Something waits for the next burst.
    pub(super) fn hold(&mut self) {
        self.wake = Some(self.next);
    }

    /// The timer fired, or it may have.
    pub(super) fn on_deadline(&mut self, now: Instant) {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
        }
    }

    /// `bytes` bytes leave.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u32) {
        if self.rate == 0 {
            return;
        }
        if self.next <= now {
            self.left = self.burst;
            self.next = self.next.max(now - BURST);
        }
        self.left = self.left.saturating_sub(bytes);
        self.next += Duration::from_nanos(u64::from(bytes) * 1_000_000_000 / self.rate);
        self.wake = None;
    }
}

/// Sets the rate after an acknowledgement, by what is known now.
pub(super) fn update(tcb: &Tcb, flow: &mut Flow, settings: &Settings) {
    let mss = u32::from(tcb.mss);
    let most = tcb.opt().max_pacing_rate.unwrap_or(u64::MAX);
    let rate = match (flow.congestion.pacing_rate(), tcb.rtt.brisk()) {
        (Some(rate), _) => rate.max(1),
        (None, Some(rtt)) if rtt >= SHORTEST => {
            let ratio = if tcb.cwnd < tcb.ssthresh {
                settings.tcp_pacing_ss_ratio
            } else {
                settings.tcp_pacing_ca_ratio
            };
            let window = tcb.cwnd.max(flow.recovery.pipe(&flow.sent));
            // Microseconds and percent; a window below 2^30 leaves room for both.
            u64::from(window) * u64::from(ratio) * 10_000 / (rtt.as_micros() as u64).max(1)
        }
        _ if most < u64::MAX => most,
        _ => 0,
    };
    flow.pacing.set(rate.min(most), mss);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At 10 MB/s bursts of 10,000 bytes; what leaves in any stretch of time is the rate and one burst more.
    #[test]
    fn bursts_keep_to_the_rate() {
        let mut pacing = Pacing::default();
        pacing.set(10_000_000, 1_000);
        let (mut now, mut sent) = (Instant::from_millis(5), 0_u64);
        let start = now;
        for n in 0..1_000 {
            let mut burst = 0;
            while pacing.room(now) >= 1_000 {
                pacing.on_sent(now, 1_000);
                burst += 1_000;
            }
            // Who comes from idleness has one burst to make up for.
            assert_eq!(burst, if n == 0 { 20_000 } else { 10_000 });
            sent += burst;
            let allowed = now.since(start).as_micros() as u64 * 10 + 2 * 10_000;
            assert!(sent <= allowed, "{sent} of {allowed}");
            pacing.hold();
            now = pacing.wake.expect("something is held");
        }
        assert_eq!(now.since(start), Duration::from_millis(1_000));
    }

    /// Who wakes late makes up for it, by one burst at most.
    #[test]
    fn late_is_made_up_for_once() {
        let mut pacing = Pacing::default();
        pacing.set(1_000_000, 500);
        let late = Instant::from_millis(100);
        for _ in 0..2 {
            assert_eq!(pacing.room(late), 1_000);
            pacing.on_sent(late, 1_000);
        }
        assert_eq!(pacing.room(late), 0);
        pacing.hold();
        assert_eq!(pacing.wake, Some(Instant::from_millis(101)));
    }

    #[test]
    fn no_rate_no_limit() {
        let mut pacing = Pacing::default();
        pacing.on_sent(Instant::ZERO, 1_000);
        assert_eq!((pacing.room(Instant::ZERO), pacing.wake), (u32::MAX, None));
    }
}
