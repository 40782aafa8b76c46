//! Leaving slow start before the queue overflows: HyStart++, by the growth of the round-trip time.
//!
//! RFC 9406 §4: compare the minimum RTT of this round with that of the last; when it rose, grow at a quarter of the pace ("conservative slow
//! start") for five rounds, and go back when the rise was a passing one.

use super::AckSample;
use crate::time::Duration;

const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const RTT_SAMPLES: u32 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;
/// Segments that one acknowledgement adds at most where nothing spreads them over the round trip: `L`.
const UNPACED_SEGMENTS: u32 = 8;

/// The watch over one slow start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HyStart {
    last_round_min: Option<Duration>,
    this_round_min: Option<Duration>,
    samples: u32,
    /// In conservative slow start: the minimum RTT when it began, and rounds spent there.
    conservative: Option<(Duration, u8)>,
}

/// What slow start may do with an acknowledgement.
pub(super) enum Pace {
    /// Grow by this many bytes.
    Grow(u32),
    /// Slow start is over.
    Exit,
}

impl HyStart {
    pub(super) fn on_ack(&mut self, ack: &AckSample, mss: u32) -> Pace {
        if ack.round_start {
            self.last_round_min = self.this_round_min.take();
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.conservative {
                *rounds += 1;
                if *rounds >= CSS_ROUNDS {
                    return Pace::Exit;
                }
            }
        }
        if let Some(rtt) = ack.rtt {
            self.samples += 1;
            self.this_round_min = Some(self.this_round_min.map_or(rtt, |min| min.min(rtt)));
        }
        if let (Some(this), Some(last), true) = (self.this_round_min, self.last_round_min, self.samples >= RTT_SAMPLES)
        {
            let threshold = (last / 8).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
            match self.conservative {
                None if this >= last + threshold => self.conservative = Some((this, 0)),
                Some((baseline, _)) if this < baseline => self.conservative = None,
                _ => {}
            }
        }
        let most = if ack.paced { u32::MAX } else { UNPACED_SEGMENTS * mss };
        let acked = ack.acked.min(most);
        Pace::Grow(if self.conservative.is_some() {
            acked / CSS_GROWTH_DIVISOR
        } else {
            acked
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    /// A round of `samples` acknowledgements of 1000 bytes with this round-trip time; how much the window grew by the last of them.
    fn round(hystart: &mut HyStart, ms: u64, samples: u32) -> Option<u32> {
        let mut last = None;
        for n in 0..samples {
            let ack = AckSample {
                now: Instant::ZERO,
                acked: 1000,
                rtt: Some(Duration::from_millis(ms)),
                srtt: Duration::from_millis(ms),
                round_start: n == 0,
                paced: true,
                cwnd_limited: true,
                ..AckSample::default()
            };
            last = match hystart.on_ack(&ack, 1000) {
                Pace::Grow(bytes) => Some(bytes),
                Pace::Exit => return None,
            };
        }
        last
    }

    /// RFC 9406 §4.2: a rise of an eighth, within 4 and 16 ms, seen in eight samples.
    #[test]
    fn a_rise_slows_down() {
        for (before, after, samples, slows) in [
            (100, 111, 8, false),
            (100, 113, 8, true),
            (100, 113, 7, false),
            (10, 13, 8, false),
            (10, 14, 8, true),
            (400, 415, 8, false),
            (400, 416, 8, true),
        ] {
            let mut hystart = HyStart::default();
            assert_eq!(round(&mut hystart, before, 10), Some(1000));
            let want = if slows { 250 } else { 1000 };
            assert_eq!(round(&mut hystart, after, samples), Some(want), "{before} to {after}");
        }
    }

    #[test]
    fn a_passing_rise_is_forgiven_and_a_lasting_one_ends_slow_start() {
        let mut hystart = HyStart::default();
        let _ = round(&mut hystart, 100, 10);
        assert_eq!(round(&mut hystart, 120, 10), Some(250));
        assert_eq!(round(&mut hystart, 100, 10), Some(1000), "it fell below where it began");
        assert_eq!(round(&mut hystart, 130, 10), Some(250));
        for _ in 1..CSS_ROUNDS {
            assert_eq!(round(&mut hystart, 130, 10), Some(250));
        }
        assert_eq!(round(&mut hystart, 130, 10), None, "after five rounds");
    }

    /// RFC 9406 §4.2: without pacing eight segments an acknowledgement, however much it acknowledges.
    #[test]
    fn unpaced_growth_is_bounded() {
        for (paced, want) in [(true, 64_000), (false, 8_000)] {
            let ack = AckSample {
                now: Instant::ZERO,
                acked: 64_000,
                rtt: None,
                srtt: Duration::ZERO,
                round_start: false,
                paced,
                cwnd_limited: true,
                ..AckSample::default()
            };
            assert!(matches!(HyStart::default().on_ack(&ack, 1000), Pace::Grow(bytes) if bytes == want));
        }
    }
}
