//! Round-trip time and the retransmission timeout. Spec: RFC 6298, RFC 7323 §4 (samples from timestamps).

use crate::settings::Settings;
use crate::time::Duration;

/// Smoothed round-trip time, its variation and minimum, in microseconds; 0 means no sample yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    pub(super) srtt: u32,
    pub(super) rttvar: u32,
    pub(super) min: u32,
    /// The sample taken last.
    pub(super) latest: u32,
}

impl Rtt {
    /// Takes in a sample. RFC 6298 §2.2 and §2.3.
    pub(super) fn sample(&mut self, rtt: Duration) {
        let r = u32::try_from(rtt.as_micros())
            .unwrap_or(u32::MAX / 8)
            .clamp(1, u32::MAX / 8);
        if self.srtt == 0 {
            (self.srtt, self.rttvar, self.min) = (r, r / 2, r);
        } else {
            // alpha = 1/8, beta = 1/4
            self.rttvar = self.rttvar - self.rttvar / 4 + self.srtt.abs_diff(r) / 4;
            self.srtt = (self.srtt - self.srtt / 8 + r / 8).max(1);
            self.min = self.min.min(r);
        }
        self.latest = r;
    }

    pub(super) fn srtt(&self) -> Option<Duration> {
        (self.srtt != 0).then(|| Duration::from_micros(u64::from(self.srtt)))
    }

    /// The timeout before any back-off. The lower bound is put on the variation, not on the sum, as Linux does: a steady path of 300 ms
    /// keeps 200 ms of slack. RFC 6298 §2.
    pub(super) fn rto(&self, settings: &Settings) -> Duration {
        match self.srtt() {
            None => settings.tcp_initial_rto,
            Some(srtt) => {
                let slack = Duration::from_micros(4 * u64::from(self.rttvar)).max(settings.tcp_rto_min);
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
        rtt.sample(100 * MS);
        assert_eq!((rtt.srtt, rtt.rttvar), (100_000, 50_000));
        assert_eq!(rtt.rto(&settings), 300 * MS);
        for _ in 0..100 {
            rtt.sample(100 * MS);
        }
        let steady = rtt.rto(&settings);
        assert!(steady >= 299 * MS && steady <= 301 * MS, "{steady:?}");
        assert_eq!(rtt.backed_off(1, &settings), 2 * steady);
        assert_eq!(rtt.backed_off(30, &settings), settings.tcp_rto_max);
    }
}
