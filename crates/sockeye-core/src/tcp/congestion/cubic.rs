//! CUBIC: the window as a cubic function of the time since the last reduction. Spec: RFC 8312 (obsoleted by RFC 9438, whose corrections are
//! followed: the Reno-friendly estimate grows by acknowledged bytes, and W_max is what was reached, not what would have been).

use super::hystart::{HyStart, Pace};
use super::{AckSample, CongestionControl, Window};
use crate::time::{Duration, Instant};

/// Aggressiveness, in segments a second cubed. RFC 8312 §5.
const C: f64 = 0.4;
/// What is left of the window after a loss. RFC 8312 §4.5.
const BETA: f64 = 0.7;
/// What is left of the window after marks. RFC 8511 §3.1.
const BETA_ECN: f64 = 0.85;

/// State between reductions. Windows are in segments, as in the RFC.
#[derive(Clone, Debug, Default)]
pub(in crate::tcp) struct Cubic {
    /// Window before the last reduction.
    w_max: f64,
    /// Seconds from the start of the epoch until the window is back at `w_max`.
    k: f64,
    /// When congestion avoidance began.
    epoch: Option<Instant>,
    /// What Reno would have by now.
    w_est: f64,
    /// Window before the last reduction, for the Reno-friendly growth rate.
    cwnd_prior: f64,
    /// Bytes owed to the window that do not make a whole byte yet.
    credit: f64,
    hystart: HyStart,
    /// `w_max`, `cwnd_prior` before the last reduction, should it be undone.
    before: (f64, f64),
}

impl Cubic {
    /// RFC 8312 §4.1 to §4.4.
    fn avoid(&mut self, ack: &AckSample, acked: u32, window: &mut Window) {
        let mss = f64::from(window.mss);
        let cwnd = f64::from(window.cwnd) / mss;
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => {
                self.k = if cwnd < self.w_max {
                    cube_root((self.w_max - cwnd) / C)
                } else {
                    0.0
                };
                self.w_max = self.w_max.max(cwnd);
                self.w_est = cwnd;
                *self.epoch.insert(ack.now)
            }
        };
        // Where the curve will be one round trip from now.
        let at = |t: Duration| {
            let offset = t.as_secs_f64() - self.k;
            C * offset * offset * offset + self.w_max
        };
        let elapsed = ack.now.since(epoch);
        let target = at(elapsed + ack.srtt).clamp(cwnd, 1.5 * cwnd);
        let segments = f64::from(acked) / mss;
        // RFC 9438 §4.3: alpha is chosen to match Reno's average until the old window is reached again.
        let alpha = if self.w_est < self.cwnd_prior {
            3.0 * (1.0 - BETA) / (1.0 + BETA)
        } else {
            1.0
        };
        self.w_est += alpha * segments / cwnd;
        let grown = if at(elapsed) < self.w_est {
            (self.w_est - cwnd).max(0.0)
        } else {
            (target - cwnd) / cwnd * segments
        };
        self.credit += grown * mss;
        let whole = self.credit.clamp(0.0, f64::from(u32::MAX / 4)) as u32;
        self.credit -= f64::from(whole);
        window.cwnd = window.cwnd.saturating_add(whole);
    }
}

impl CongestionControl for Cubic {
    fn on_ack(&mut self, ack: &AckSample, window: &mut Window) {
        let mut acked = ack.acked;
        if window.in_slow_start() {
            match self.hystart.on_ack(ack) {
                Pace::Exit => window.ssthresh = window.cwnd,
                Pace::Grow(bytes) if ack.cwnd_limited => {
                    let step = bytes.min(window.ssthresh - window.cwnd);
                    window.cwnd += step;
                    acked -= step.min(acked);
                    if window.in_slow_start() {
                        return;
                    }
                }
                Pace::Grow(_) => return,
            }
        }
        if ack.cwnd_limited {
            self.avoid(ack, acked, window);
        } else {
            // An idle application must not let the curve run ahead of what was tried. RFC 9438 §5.8.
            self.epoch = None;
        }
    }

    fn on_congestion(&mut self, _now: Instant, window: &mut Window) {
        self.reduce(BETA, window);
    }

    fn on_ecn(&mut self, _now: Instant, window: &mut Window) {
        // RFC 8511 §3.1 is about congestion avoidance: slow start ends as by a loss.
        let beta = if window.in_slow_start() { BETA } else { BETA_ECN };
        self.reduce(beta, window);
    }

    fn on_undo(&mut self) {
        (self.w_max, self.cwnd_prior) = self.before;
        self.epoch = None;
    }

    fn on_idle(&mut self) {
        self.epoch = None;
        self.hystart = HyStart::default();
    }
}

impl Cubic {
    /// Leaves `beta` of the window. RFC 8312 §4.5.
    fn reduce(&mut self, beta: f64, window: &mut Window) {
        let cwnd = f64::from(window.cwnd) / f64::from(window.mss);
        self.before = (self.w_max, self.cwnd_prior);
        // Fast convergence: a flow that did not reach its old window leaves room to newcomers. RFC 8312 §4.6.
        self.w_max = if cwnd < self.w_max {
            cwnd * (1.0 + beta) / 2.0
        } else {
            cwnd
        };
        self.cwnd_prior = cwnd;
        self.epoch = None;
        self.credit = 0.0;
        self.hystart = HyStart::default();
        window.ssthresh = ((f64::from(window.cwnd) * beta) as u32).max(2 * window.mss);
    }
}

/// Newton's method: the same bits on every machine, which a library's `cbrt` does not promise.
fn cube_root(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let mut guess = x.max(1.0);
    for _ in 0..64 {
        let next = (2.0 * guess + x / (guess * guess)) / 3.0;
        if next >= guess && guess < x.max(1.0) {
            break;
        }
        guess = next;
    }
    guess
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MS;

    #[test]
    fn cube_roots() {
        for x in [0.0_f64, 1e-6, 0.5, 1.0, 8.0, 27.0, 12_345.678, 1e12] {
            let root = cube_root(x);
            assert!((root * root * root - x).abs() <= 1e-9 * x.max(1.0), "{x}: {root}");
        }
    }

    /// The response function: RFC 8312 §5, `W = (C*(3+b)/(4*(1-b)))^(1/4) * RTT^(3/4) / p^(3/4)` on average.
    #[test]
    fn grows_back_to_the_old_window_in_k_seconds() {
        let mut cubic = Cubic::default();
        let mut window = Window {
            cwnd: 100_000,
            ssthresh: 100_000,
            mss: 1000,
        };
        cubic.on_congestion(Instant::ZERO, &mut window);
        assert_eq!(window.ssthresh, 70_000);
        window.cwnd = window.ssthresh;
        let rtt = 100 * MS;
        let mut now = Instant::from_millis(1);
        let k = cube_root(30.0 / C);
        while now < Instant::from_millis((k * 1000.0) as u64) {
            let acked = window.cwnd;
            for _ in 0..acked / 1000 {
                let ack = AckSample {
                    now,
                    acked: 1000,
                    rtt: Some(rtt),
                    srtt: rtt,
                    round_start: false,
                    cwnd_limited: true,
                };
                cubic.on_ack(&ack, &mut window);
            }
            now += rtt;
        }
        assert!((95_000..=106_000).contains(&window.cwnd), "{}", window.cwnd);
    }
}
