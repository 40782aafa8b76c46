//! CUBIC: the window as a cubic function of the time since the last reduction. Spec: RFC 9438 (obsoletes RFC 8312).

use super::hystart::{HyStart, Pace};
use super::{AckSample, CongestionControl, Window};
use crate::time::{Duration, Instant};

/// Aggressiveness, in segments a second cubed. RFC 9438 §5.
const C: f64 = 0.4;
/// What is left of the window after a loss. RFC 9438 §4.6.
const BETA: f64 = 0.7;
/// What is left of the window after marks. RFC 8511 §3.1.
const BETA_ECN: f64 = 0.85;

/// State between reductions. Windows are in segments, as in the RFC.
#[derive(Clone, Debug, Default)]
pub(in crate::tcp) struct Cubic {
    curve: Curve,
    /// The curve before the last reduction, should that be undone. RFC 9438 §4.9.
    before: Curve,
    /// Bytes owed to the window that do not make a whole byte yet.
    credit: f64,
    hystart: HyStart,
}

/// Where the window is going.
#[derive(Clone, Copy, Debug, Default)]
struct Curve {
    /// Window before the last reduction.
    w_max: f64,
    /// Seconds from the start of the epoch until the window is back at `w_max`.
    k: f64,
    /// When congestion avoidance began.
    epoch: Option<Instant>,
    /// The window has not been in use since then: time that does not count.
    paused: Option<Instant>,
    /// What Reno would have by now.
    w_est: f64,
    /// Window before the last reduction, for the Reno-friendly growth rate.
    cwnd_prior: f64,
}

impl Curve {
    /// Congestion avoidance begins, with a window of `cwnd`. RFC 9438 §4.2; §4.8 and §4.10 where there is no window to go back to.
    fn begin(&mut self, now: Instant, cwnd: f64) -> Instant {
        self.k = cube_root((self.w_max - cwnd) / C);
        self.w_max = self.w_max.max(cwnd);
        self.w_est = cwnd;
        *self.epoch.insert(now)
    }

    /// The window `t` after the epoch began. RFC 9438 §4.2 figure 1.
    fn at(&self, t: Duration) -> f64 {
        let offset = t.as_secs_f64() - self.k;
        C * offset * offset * offset + self.w_max
    }
}

impl Cubic {
    /// RFC 9438 §4.2 to §4.5.
    fn avoid(&mut self, ack: &AckSample, acked: u32, window: &mut Window) {
        let mss = f64::from(window.mss);
        let cwnd = f64::from(window.cwnd) / mss;
        let curve = &mut self.curve;
        if let (Some(paused), Some(epoch)) = (curve.paused.take(), &mut curve.epoch) {
            *epoch += ack.now.since(paused);
        }
        let epoch = match curve.epoch {
            Some(epoch) => epoch,
            None => curve.begin(ack.now, cwnd),
        };
        let elapsed = ack.now.since(epoch);
        // Where the curve will be one round trip from now: §4.4 and §4.5.
        let target = curve.at(elapsed + ack.srtt).clamp(cwnd, 1.5 * cwnd);
        let segments = f64::from(acked) / mss;
        // §4.3: alpha is chosen to match Reno's average until the old window is reached again.
        let alpha = if curve.w_est < curve.cwnd_prior {
            3.0 * (1.0 - BETA) / (1.0 + BETA)
        } else {
            1.0
        };
        curve.w_est += alpha * segments / cwnd;
        let grown = if curve.at(elapsed) < curve.w_est {
            (curve.w_est - cwnd).max(0.0)
        } else {
            (target - cwnd) / cwnd * segments
        };
        self.credit += grown * mss;
        let whole = self.credit.clamp(0.0, f64::from(u32::MAX / 4)) as u32;
        self.credit -= f64::from(whole);
        window.cwnd = window.cwnd.saturating_add(whole);
    }

    /// Slow start, watched by HyStart++ while nothing is known of the path (RFC 9406 §4.3). Returns the bytes left for congestion avoidance.
    fn start(&mut self, ack: &AckSample, window: &mut Window) -> u32 {
        let pace = if window.ssthresh >= Window::UNKNOWN {
            self.hystart.on_ack(ack, window.mss)
        } else {
            Pace::Grow(ack.acked)
        };
        match pace {
            Pace::Exit => {
                window.ssthresh = window.cwnd;
                ack.acked
            }
            Pace::Grow(bytes) if ack.cwnd_limited => {
                let step = bytes.min(window.ssthresh - window.cwnd);
                window.cwnd += step;
                if window.in_slow_start() {
                    0
                } else {
                    ack.acked.saturating_sub(step)
                }
            }
            Pace::Grow(_) => 0,
        }
    }

    /// Leaves `beta` of the window. RFC 9438 §4.6.
    fn reduce(&mut self, beta: f64, window: &mut Window) {
        let cwnd = f64::from(window.cwnd) / f64::from(window.mss);
        self.before = self.curve;
        // Fast convergence: a flow that did not reach its old window leaves room to newcomers. RFC 9438 §4.7.
        let w_max = if cwnd < self.curve.w_max {
            cwnd * (1.0 + beta) / 2.0
        } else {
            cwnd
        };
        self.curve = Curve {
            w_max,
            cwnd_prior: cwnd,
            ..Curve::default()
        };
        self.credit = 0.0;
        self.hystart = HyStart::default();
        window.ssthresh = ((f64::from(window.cwnd) * beta) as u32).max(2 * window.mss);
    }
}

impl CongestionControl for Cubic {
    fn on_ack(&mut self, ack: &AckSample, window: &mut Window) {
        let left = if window.in_slow_start() {
            self.start(ack, window)
        } else {
            ack.acked
        };
        if window.in_slow_start() {
            return;
        }
        if ack.cwnd_limited {
            if left > 0 {
                self.avoid(ack, left, window);
            }
        } else {
            // The curve must not run ahead of what was tried. RFC 9438 §4.2, §5.8.
            let _ = self.curve.paused.get_or_insert(ack.now);
        }
    }

    fn on_congestion(&mut self, _now: Instant, window: &mut Window) {
        self.reduce(BETA, window);
    }

    fn on_timeout(&mut self, _now: Instant, window: &mut Window) {
        self.reduce(BETA, window);
        // RFC 9438 §4.8: after a timeout the curve begins where slow start ends.
        self.curve.w_max = 0.0;
    }

    fn on_ecn(&mut self, _now: Instant, window: &mut Window) {
        // RFC 8511 §3.1 is about congestion avoidance: slow start ends as by a loss.
        let beta = if window.in_slow_start() { BETA } else { BETA_ECN };
        self.reduce(beta, window);
    }

    fn on_undo(&mut self) {
        self.curve = self.before;
    }

    fn on_idle(&mut self) {
        self.curve.epoch = None;
        self.hystart = HyStart::default();
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

    #[test]
    fn cube_roots() {
        for x in [0.0_f64, 1e-6, 0.5, 1.0, 8.0, 27.0, 12_345.678, 1e12] {
            let root = cube_root(x);
            assert!((root * root * root - x).abs() <= 1e-9 * x.max(1.0), "{x}: {root}");
        }
    }

    const RTT: Duration = Duration::from_millis(100);

    /// One round trip's acknowledgements, a segment of 1000 bytes each.
    fn round(cubic: &mut Cubic, window: &mut Window, now: Instant, cwnd_limited: bool) {
        for _ in 0..window.cwnd / 1000 {
            let ack = AckSample {
                now,
                acked: 1000,
                rtt: Some(RTT),
                srtt: RTT,
                round_start: false,
                paced: true,
                cwnd_limited,
                ..AckSample::default()
            };
            cubic.on_ack(&ack, window);
        }
    }

    fn lost_at(cwnd: u32) -> (Cubic, Window) {
        let mut cubic = Cubic::default();
        let mut window = Window {
            cwnd,
            ssthresh: cwnd,
            mss: 1000,
        };
        cubic.on_congestion(Instant::ZERO, &mut window);
        window.cwnd = window.ssthresh;
        (cubic, window)
    }

    /// RFC 9438 §4.9: a needless reduction leaves no trace, neither in the window (which is recovery's) nor in the curve.
    #[test]
    fn an_undone_reduction_leaves_the_curve_as_it_was() {
        let grow = |mistaken: bool| {
            let (mut cubic, mut window) = lost_at(100_000);
            for n in 1..200 {
                let now = Instant::ZERO + RTT * n;
                // In the convex part, well above the old window.
                if mistaken && n == 150 {
                    let before = window;
                    cubic.on_congestion(now, &mut window);
                    cubic.on_undo();
                    window = before;
                }
                round(&mut cubic, &mut window, now, true);
            }
            window.cwnd
        };
        assert!(grow(false) > 150_000, "{}", grow(false));
        assert_eq!(grow(true), grow(false));
    }

    /// RFC 9438 §4.2, §5.8: time in which the application did not use the window does not count.
    #[test]
    fn the_curve_waits_for_the_application() {
        let (mut cubic, mut window) = lost_at(100_000);
        for n in 1..20 {
            round(&mut cubic, &mut window, Instant::ZERO + RTT * n, true);
        }
        let before = window.cwnd;
        for n in 20..1_000 {
            round(&mut cubic, &mut window, Instant::ZERO + RTT * n, false);
        }
        assert_eq!(window.cwnd, before);
        round(&mut cubic, &mut window, Instant::ZERO + RTT * 1_000, true);
        assert!(window.cwnd < before + 5_000, "{before} to {}", window.cwnd);
    }

    /// RFC 9438 §4.8: after a timeout the plateau is where slow start ends, not at the old window.
    #[test]
    fn after_a_timeout_the_curve_begins_anew() {
        let (mut cubic, mut window) = lost_at(100_000);
        cubic.on_timeout(Instant::ZERO, &mut window);
        assert_eq!(window.ssthresh, 49_000);
        window.cwnd = window.ssthresh;
        for n in 1..=20 {
            round(&mut cubic, &mut window, Instant::ZERO + RTT * n, true);
        }
        // 0.4 * 2^3 = 3.2 segments above it after two seconds (Reno's: some more).
        assert!((52_000..62_000).contains(&window.cwnd), "{}", window.cwnd);
    }

    #[test]
    fn grows_back_to_the_old_window_in_k_seconds() {
        let (mut cubic, mut window) = lost_at(100_000);
        assert_eq!(window.ssthresh, 70_000);
        let mut now = Instant::from_millis(1);
        let k = cube_root(30.0 / C);
        while now < Instant::from_millis((k * 1000.0) as u64) {
            round(&mut cubic, &mut window, now, true);
            now += RTT;
        }
        assert!((95_000..=106_000).contains(&window.cwnd), "{}", window.cwnd);
    }
}
