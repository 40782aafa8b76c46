//! How long a packet is under way: a constant, jitter of a chosen shape, and packets that overtake others.
//!
//! As with netem, jitter reorders packets naturally (each has its own delay), and `reorder` lets the packets it strikes go at once while
//! the others are delayed. Without any delay there is nothing to overtake by going at once: then a struck packet is held back instead,
//! until one to three later packets have passed it or [`HOLD`] is over.

use super::Netem;
use super::chance::{Strikes, normal, pareto};
use crate::keys::{Keys, below, unit};
use crate::time::{Duration, Instant};
use rand::rngs::Xoshiro256PlusPlus;

/// The shape of jitter, around the constant delay, with netem's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// Anything from `delay - jitter` to `delay + jitter`, alike.
    #[default]
    Uniform,
    /// The bell curve, `jitter` its standard deviation.
    Normal,
    /// A long tail of late packets (Pareto of shape 3), `jitter` its standard deviation.
    Pareto,
    /// One quarter normal, three quarters Pareto.
    ParetoNormal,
}

/// How long a packet is held back at most by `reorder` on a link without delay.
pub const HOLD: Duration = Duration::from_millis(2);

/// As netem's tables, the shapes with tails are cut at this many standard deviations.
const CUT: f64 = 4.0;

/// What becomes of a packet that has left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// It arrives then, in its turn.
    At(Instant),
    /// It goes at once, past the packets still under way.
    Overtakes,
    /// It waits until this many later packets have passed it, or for [`HOLD`].
    HeldBackBy(u32),
}

/// Delay, jitter and reordering at work.
#[derive(Clone, Debug)]
pub(super) struct DelayStage {
    delay: Duration,
    jitter: Duration,
    distribution: Distribution,
    keep_order: bool,
    /// The latest arrival so far, for `keep_order`.
    latest: Instant,
    reorder: Strikes,
    /// Only every n-th packet may overtake; packets delayed since one did.
    gap: u32,
    since: u32,
    rng: Xoshiro256PlusPlus,
    /// Copies draw from a stream of their own, so that duplication does not change the delay of others.
    copies: Xoshiro256PlusPlus,
}

impl DelayStage {
    pub(super) fn new(config: &Netem, keys: &Keys) -> Self {
        Self {
            delay: config.delay,
            jitter: config.jitter,
            distribution: config.distribution,
            keep_order: config.keep_order,
            latest: Instant::ZERO,
            reorder: Strikes::new(config.reorder, keys, "reorder"),
            gap: config.reorder_gap.max(1),
            since: 0,
            rng: keys.stream("delay"),
            copies: keys.stream("delay of copies"),
        }
    }

    /// The luck of the next packet at this stage. Drawn for every packet, lost ones too, so that one stage does not disturb another.
    pub(super) fn draw(&mut self) -> Luck {
        let reorder = if self.since + 1 < self.gap {
            false
        } else {
            self.reorder.next()
        };
        self.since = if reorder { 0 } else { self.since.saturating_add(1) };
        let hold = if reorder {
            1 + below(self.reorder.rng(), 3) as u32
        } else {
            0
        };
        let delay = jittered(self.delay, self.jitter, self.distribution, &mut self.rng);
        Luck { delay, reorder, hold }
    }

    /// The luck of a copy: a delay of its own.
    pub(super) fn draw_copy(&mut self) -> Luck {
        Luck {
            delay: jittered(self.delay, self.jitter, self.distribution, &mut self.copies),
            reorder: false,
            hold: 0,
        }
    }

    /// The delay without jitter.
    pub(super) fn base(&self) -> Duration {
        self.delay
    }

    /// What becomes of a packet with this luck that leaves the queue at `left`.
    pub(super) fn depart(&mut self, left: Instant, luck: Luck) -> Departure {
        if luck.reorder && !self.keep_order {
            return if self.delay.is_zero() && self.jitter.is_zero() {
                Departure::HeldBackBy(luck.hold)
            } else {
                Departure::Overtakes
            };
        }
        let mut at = left + luck.delay;
        if self.keep_order {
            at = at.max(self.latest);
        }
        self.latest = self.latest.max(at);
        Departure::At(at)
    }
}

/// What chance has in store for one packet at this stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Luck {
    delay: Duration,
    pub(super) reorder: bool,
    hold: u32,
}

/// `delay` and jitter of that shape, never below zero.
fn jittered(delay: Duration, jitter: Duration, shape: Distribution, rng: &mut Xoshiro256PlusPlus) -> Duration {
    if jitter.is_zero() {
        return delay;
    }
    let z = match shape {
        Distribution::Uniform => 2.0 * unit(rng) - 1.0,
        Distribution::Normal => normal(rng),
        Distribution::Pareto => pareto(rng),
        Distribution::ParetoNormal => 0.25 * normal(rng) + 0.75 * pareto(rng),
    };
    let offset = z.clamp(-CUT, CUT) * jitter.as_nanos() as f64;
    let whole = delay.as_nanos() as f64 + offset;
    Duration::from_nanos(whole.max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MS;

    fn moments(shape: Distribution) -> (f64, f64) {
        let mut rng = Keys::new(3, "test").stream("delay");
        let n = 200_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let ms = jittered(100 * MS, 10 * MS, shape, &mut rng).as_nanos() as f64 / 1e6;
            sum += ms;
            squares += (ms - 100.0) * (ms - 100.0);
        }
        (sum / f64::from(n), (squares / f64::from(n)).sqrt())
    }

    #[test]
    fn jitter_has_the_moments_asked() {
        let cases = [
            (Distribution::Uniform, 10.0 / 3.0_f64.sqrt(), 0.05),
            (Distribution::Normal, 10.0, 0.1),
            // Cut at 4 deviations, the tail is a little lighter.
            (Distribution::Pareto, 10.0, 3.0),
            (Distribution::ParetoNormal, 10.0, 4.0),
        ];
        for (shape, want, tolerance) in cases {
            let (mean, deviation) = moments(shape);
            assert!((mean - 100.0).abs() < 0.5, "{shape:?}: mean {mean}");
            assert!((deviation - want).abs() < tolerance, "{shape:?}: deviation {deviation}");
        }
    }

    #[test]
    fn delay_is_never_negative() {
        let mut rng = Keys::new(4, "test").stream("delay");
        let all: Vec<_> = (0..1000)
            .map(|_| jittered(MS, 10 * MS, Distribution::Normal, &mut rng))
            .collect();
        assert!(all.contains(&Duration::ZERO) && all.iter().all(|d| *d <= 41 * MS));
    }

    #[test]
    fn only_every_nth_packet_may_overtake() {
        let config = Netem {
            delay: MS,
            reorder: 1.0,
            reorder_gap: 5,
            ..Netem::NONE
        };
        let mut stage = DelayStage::new(&config, &Keys::new(1, "test"));
        let which: Vec<usize> = (1..=20).filter(|_| stage.draw().reorder).collect();
        assert_eq!(which, [5, 10, 15, 20]);
    }
}
