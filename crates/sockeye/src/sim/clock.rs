//! What machines believe the time of day to be.

use sockeye_core::Instant;
use std::time::{Duration, SystemTime};

/// The time of day when a simulation begins: 2020-01-01 00:00:00 UTC, in seconds since 1970.
const BEGIN: u64 = 1_577_836_800;

/// A clock that was set at some time, and runs at its own rate since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WallClock {
    set_at: Instant,
    offset_ms: i64,
    drift_ppm: i32,
}

impl WallClock {
    pub(super) const fn skewed(now: Instant, offset_ms: i64, drift_ppm: i32) -> Self {
        Self {
            set_at: now,
            offset_ms,
            drift_ppm,
        }
    }

    pub(super) fn at(self, now: Instant) -> SystemTime {
        let drifted = i128::from(now.since(self.set_at).as_nanos() as u64) * i128::from(self.drift_ppm) / 1_000_000;
        let nanos = i128::from(BEGIN) * 1_000_000_000
            + i128::from(now.as_nanos())
            + i128::from(self.offset_ms) * 1_000_000
            + drifted;
        let since_1970 = Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX));
        SystemTime::UNIX_EPOCH + since_1970
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_drift() {
        let at = |clock: WallClock, seconds: u64| {
            let shown = clock.at(Instant::from_millis(seconds * 1_000));
            shown.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i128 - i128::from(BEGIN) * 1_000_000_000
        };
        assert_eq!(at(WallClock::default(), 100), 100_000_000_000);
        let late = WallClock::skewed(Instant::from_millis(10_000), -500, 0);
        assert_eq!(at(late, 100), 99_500_000_000);
        let fast = WallClock::skewed(Instant::from_millis(10_000), 0, 100);
        assert_eq!(at(fast, 110), 110_010_000_000);
        assert_eq!(
            at(WallClock::skewed(Instant::ZERO, i64::MIN, 0), 1),
            -i128::from(BEGIN) * 1_000_000_000
        );
    }
}
