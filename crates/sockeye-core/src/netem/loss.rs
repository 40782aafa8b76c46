//! Which packets are lost. Outages are not here (`pipe`), full queues neither (`rate`).

use super::chance::{NEVER, Strikes, geometric};
use crate::keys::Keys;
use rand::rngs::Xoshiro256PlusPlus;

/// A loss model. Probabilities are fractions, 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Loss {
    /// Nothing is lost.
    #[default]
    None,
    /// Each packet by itself, with this probability.
    Random(f64),
    /// Gilbert-Elliott: a good and a bad state, each with its own loss, so that losses come in bursts. netem's `loss gemodel p r 1-h 1-k`.
    GilbertElliott {
        /// Probability to go from good to bad, a packet.
        p: f64,
        /// Probability to go from bad to good, a packet.
        r: f64,
        /// netem's `1-h`: loss in the bad state.
        bad: f64,
        /// netem's `1-k`: loss in the good state.
        good: f64,
    },
    /// Every n-th packet: n, 2n, 3n and so on. 0 loses nothing.
    Every(u64),
    /// Exactly these packets, counted from 1, in rising order.
    List(Vec<u64>),
}

/// A loss model at work.
#[derive(Clone, Debug)]
pub(super) enum LossStage {
    None,
    Random(Strikes),
    Bursts(Bursts),
    Every { n: u64, seen: u64 },
    List { list: Vec<u64>, next: usize, seen: u64 },
}

/// The Gilbert-Elliott chain. How long it dwells in a state is drawn once a stay.
#[derive(Clone, Debug)]
pub(super) struct Bursts {
    in_bad: bool,
    /// Packets left of this stay.
    stay: u64,
    /// Probability to leave the good state, and the bad one.
    leave: [f64; 2],
    /// Losses within the good state, and within the bad one.
    lose: [Strikes; 2],
    rng: Xoshiro256PlusPlus,
}

impl LossStage {
    pub(super) fn new(config: &Loss, keys: &Keys) -> Self {
        match config {
            Loss::None => Self::None,
            Loss::Random(probability) => Self::Random(Strikes::new(*probability, keys, "loss")),
            Loss::GilbertElliott { p, r, bad, good } => {
                let mut rng = keys.stream("loss");
                Self::Bursts(Bursts {
                    in_bad: false,
                    stay: geometric(&mut rng, *p),
                    leave: [*p, *r],
                    lose: [
                        Strikes::new(*good, keys, "loss good"),
                        Strikes::new(*bad, keys, "loss bad"),
                    ],
                    rng,
                })
            }
            Loss::Every(n) => Self::Every { n: *n, seen: 0 },
            Loss::List(list) => Self::List {
                list: list.clone(),
                next: 0,
                seen: 0,
            },
        }
    }

    /// Whether the next packet is lost.
    pub(super) fn next(&mut self) -> bool {
        match self {
            Self::None => false,
            Self::Random(strikes) => strikes.next(),
            Self::Bursts(bursts) => bursts.next(),
            Self::Every { n, seen } => {
                *seen += 1;
                *n > 0 && seen.is_multiple_of(*n)
            }
            Self::List { list, next, seen } => {
                *seen += 1;
                let lost = list.get(*next) == Some(seen);
                *next += usize::from(lost);
                lost
            }
        }
    }
}

impl Bursts {
    fn next(&mut self) -> bool {
        while self.stay == 0 {
            self.in_bad = !self.in_bad;
            // The packet that changed the state belongs to the new stay, which so lasts at least one packet.
            let more = geometric(&mut self.rng, self.leave[usize::from(self.in_bad)]);
            self.stay = more.saturating_add(1);
        }
        self.stay -= u64::from(self.stay != NEVER);
        self.lose[usize::from(self.in_bad)].next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(config: &Loss, seed: u64, n: usize) -> Vec<bool> {
        let mut stage = LossStage::new(config, &Keys::new(seed, "test"));
        (0..n).map(|_| stage.next()).collect()
    }

    fn rate(lost: &[bool]) -> f64 {
        lost.iter().filter(|l| **l).count() as f64 / lost.len() as f64
    }

    #[test]
    fn counted_losses_are_exact() {
        let which = |config| -> Vec<usize> {
            let lost = lost(&config, 1, 10);
            (1..=10).filter(|n| lost[n - 1]).collect()
        };
        assert_eq!(which(Loss::None), []);
        assert_eq!(which(Loss::Every(3)), [3, 6, 9]);
        assert_eq!(which(Loss::Every(0)), []);
        assert_eq!(which(Loss::List(vec![1, 2, 10, 11])), [1, 2, 10]);
        assert_eq!(which(Loss::Random(1.0)), (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn bursts_have_the_lengths_of_the_model() {
        // Losing all in the bad state: bursts last 1/r packets on average, good times 1/p.
        let (p, r) = (0.01, 0.1);
        let lost = lost(
            &Loss::GilbertElliott {
                p,
                r,
                bad: 1.0,
                good: 0.0,
            },
            7,
            1_000_000,
        );
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        let mean = lost.iter().filter(|l| **l).count() as f64 / bursts;
        // A geometric length has deviation sqrt(1-r)/r.
        let sigma = (1.0 - r).sqrt() / r / bursts.sqrt();
        assert!(
            (mean - 1.0 / r).abs() < 4.0 * sigma,
            "mean burst {mean}, {bursts} bursts"
        );
        assert!((rate(&lost) - p / (p + r)).abs() < 0.005, "loss {}", rate(&lost));
    }

    #[test]
    fn one_parameter_is_random_loss() {
        let p = 0.05;
        let lost = lost(
            &Loss::GilbertElliott {
                p,
                r: 1.0 - p,
                bad: 1.0,
                good: 0.0,
            },
            8,
            400_000,
        );
        assert!((rate(&lost) - p).abs() < 4.0 * (p * (1.0 - p) / 400_000.0_f64).sqrt());
        // The packet after a lost one is lost no more often than any.
        let after: Vec<bool> = lost.windows(2).filter(|pair| pair[0]).map(|pair| pair[1]).collect();
        assert!((rate(&after) - p).abs() < 0.01, "{}", rate(&after));
    }

    #[test]
    fn states_lose_at_their_own_rates() {
        let config = Loss::GilbertElliott {
            p: 0.02,
            r: 0.08,
            bad: 0.5,
            good: 0.01,
        };
        let rate = rate(&lost(&config, 9, 1_000_000));
        let want = 0.2 * 0.5 + 0.8 * 0.01;
        assert!((rate - want).abs() < 0.005, "{rate}, want {want}");
    }
}
