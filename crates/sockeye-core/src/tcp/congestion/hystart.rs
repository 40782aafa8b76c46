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
    pub(super) fn on_ack(&mut self, ack: &AckSample) -> Pace {
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
        Pace::Grow(if self.conservative.is_some() {
            ack.acked / CSS_GROWTH_DIVISOR
        } else {
            ack.acked
        })
    }
}
