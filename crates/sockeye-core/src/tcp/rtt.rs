//! Round-trip time and the retransmission timeout. Spec: RFC 6298, RFC 7323 §4 and appendix G (samples from timestamps, many of them),
//! RFC 4015 (after a timeout that came too early).

use crate::settings::Settings;
use crate::time::Duration;

/// Fractions of a microsecond kept of the averages, so that many small steps add up.
const SCALE: u32 = 16;
/// Largest sample: above the largest timeout, and its fractions fit.
const MOST: u32 = u32::MAX / SCALE / 2;
/// Samples a round trip that still make a difference.
const MOST_SAMPLES: u32 = 64;

/// Smoothed round-trip time, its variation and minimum; no sample yet while the first is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    /// In sixteenths of a microsecond.
    srtt: u32,
    rttvar: u32,
    /// In microseconds.
    min: u32,
    /// The sample taken last.
    latest: u32,
}

fn micros(rtt: Duration) -> u32 {
    u32::try_from(rtt.as_micros()).unwrap_or(MOST).clamp(1, MOST)
}

/// One step of a moving average. Rounded up, so that it can get all the way.
fn step(from: u32, to: u32, share: u32) -> u32 {
    if to >= from {
        from + (to - from).div_ceil(share)
    } else {
        from - (from - to).div_ceil(share)
    }
}

impl Rtt {
    /// Takes in one of `samples` samples that this round trip will give. RFC 6298 §2.2 and §2.3; with many samples the averages must not
    /// forget faster: RFC 7323 appendix G.
    pub(super) fn sample(&mut self, rtt: Duration, samples: u32) {
        let us = micros(rtt);
        let r = us * SCALE;
        if self.srtt == 0 {
            (self.srtt, self.rttvar, self.min) = (r, r / 2, us);
        } else {
            // alpha = 1/8, beta = 1/4
            let samples = samples.clamp(1, MOST_SAMPLES);
            self.rttvar = step(self.rttvar, self.srtt.abs_diff(r), 4 * samples);
            self.srtt = step(self.srtt, r, 8 * samples).max(1);
            self.min = self.min.min(us);
        }
        self.latest = us;
    }

    /// The timeout came before this sample, and before its time: the next waits at least so long. RFC 4015 §3.2 step 7.
    pub(super) fn on_early_timeout(&mut self, rtt: Duration) {
        let r = micros(rtt) * SCALE;
        self.srtt = self.srtt.max(r);
        self.rttvar = self.rttvar.max(r / 2);
    }

    pub(super) fn srtt(&self) -> Option<Duration> {
        (self.srtt != 0).then(|| Duration::from_micros(u64::from(self.srtt / SCALE)))
    }

    /// The average or the latest sample, whichever is shorter: the average is long in following a queue that drains.
    pub(super) fn brisk(&self) -> Option<Duration> {
        let us = (self.srtt / SCALE).min(self.latest);
        (self.srtt != 0).then(|| Duration::from_micros(u64::from(us)))
    }

    /// For TCP_INFO, in microseconds.
    pub(super) fn srtt_us(&self) -> u32 {
        self.srtt / SCALE
    }

    pub(super) fn rttvar_us(&self) -> u32 {
        self.rttvar / SCALE
    }

    /// The shortest sample; nothing before the first.
    pub(super) fn min(&self) -> Duration {
        Duration::from_micros(u64::from(self.min))
    }

    /// Forgets shorter round trips of long ago: the shortest of late is `min`. RFC 8985 §6.2 step 1.
    pub(super) fn renew_min(&mut self, min: Duration) {
        self.min = micros(min);
    }

    /// The timeout before any back-off. The lower bound is put on the variation, not on the sum, as Linux does: a steady path of 300 ms
    /// keeps 200 ms of slack. RFC 6298 §2.
    pub(super) fn rto(&self, settings: &Settings) -> Duration {
        match self.srtt() {
            None => settings.tcp_initial_rto,
            Some(srtt) => {
                let slack = Duration::from_micros(4 * u64::from(self.rttvar_us())).max(settings.tcp_rto_min);
                (srtt + slack).min(settings.tcp_rto_max)
            }
        }
    }

    /// The timeout after `backoff` doublings. RFC 6298 §5.5.
    pub(super) fn backed_off(&self, backoff: u8, settings: &Settings) -> Duration {
        self.rto(settings)
            .saturating_mul(1 << backoff.min(20))
            .min(settings.tcp_rto_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MS;

    #[test]
    fn timeout_follows_the_samples() {
        let settings = Settings::default();
        let mut rtt = Rtt::default();
        assert_eq!(rtt.rto(&settings), Duration::from_secs(1));
        rtt.sample(100 * MS, 1);
        assert_eq!((rtt.srtt_us(), rtt.rttvar_us()), (100_000, 50_000));
        assert_eq!(rtt.rto(&settings), 300 * MS);
        for _ in 0..100 {
            rtt.sample(100 * MS, 1);
        }
        let steady = rtt.rto(&settings);
        assert!(steady >= 299 * MS && steady <= 301 * MS, "{steady:?}");
        assert_eq!(rtt.backed_off(1, &settings), 2 * steady);
        assert_eq!(rtt.backed_off(30, &settings), settings.tcp_rto_max);
    }
    /// RFC 7323 appendix G: the variation seen once in ten round trips is remembered as long with forty samples a round trip as with one.
    #[test]
    fn many_samples_do_not_make_it_forgetful() {
        let spread = |samples: u32| {
            let mut rtt = Rtt::default();
            for _ in 0..40 * samples {
                rtt.sample(100 * MS, samples);
            }
            for _ in 0..samples {
                rtt.sample(180 * MS, samples);
            }
            for _ in 0..3 * samples {
                rtt.sample(100 * MS, samples);
            }
            rtt.rttvar_us()
        };
        let (one, many) = (spread(1), spread(40));
        println!("variation after three quiet round trips: {one} us with one sample each, {many} us with forty");
        assert!(one > 8_000 && many * 10 >= one * 8, "{many} of {one}");
    }

    /// RFC 4015 §3.2 step 7.
    #[test]
    fn an_early_timeout_makes_the_next_one_later() {
        let settings = Settings::default();
        let mut rtt = Rtt::default();
        rtt.sample(50 * MS, 1);
        rtt.on_early_timeout(600 * MS);
        assert_eq!(rtt.rto(&settings), 1_800 * MS);
    }
}
