//! Chance for the stages: how many packets until the next one is struck, and random numbers of other shapes.
//!
//! Whether a packet is struck is not drawn packet by packet: the gap to the next strike is (geometric), so a packet that is not struck
//! costs one subtraction. Only additions, multiplications, divisions and square roots are used, which every machine rounds alike: a seed
//! gives the same run everywhere.

use crate::keys::{Keys, unit};
use rand::rngs::Xoshiro256PlusPlus;

/// Strikes each packet with the same probability.
#[derive(Clone, Debug)]
pub(super) struct Strikes {
    probability: f64,
    /// Packets that pass before the next one is struck.
    gap: u64,
    rng: Xoshiro256PlusPlus,
}

impl Strikes {
    pub(super) fn new(probability: f64, keys: &Keys, purpose: &str) -> Self {
        let mut rng = keys.stream(purpose);
        let gap = geometric(&mut rng, probability);
        Self { probability, gap, rng }
    }

    /// Whether the next packet is struck.
    pub(super) fn next(&mut self) -> bool {
        if self.gap > 0 {
            self.gap -= u64::from(self.gap != NEVER);
            return false;
        }
        self.gap = geometric(&mut self.rng, self.probability);
        true
    }

    /// The stream, for whatever the strike itself needs to draw.
    pub(super) fn rng(&mut self) -> &mut Xoshiro256PlusPlus {
        &mut self.rng
    }
}

/// A gap that does not end.
pub(super) const NEVER: u64 = u64::MAX;

/// How many times an event of `probability` fails to happen before it happens.
pub(super) fn geometric(rng: &mut Xoshiro256PlusPlus, probability: f64) -> u64 {
    if probability <= 0.0 {
        return NEVER;
    }
    if probability >= 1.0 {
        return 0;
    }
    // 1 - unit is in (0, 1], where the logarithm is finite.
    let gap = ln(1.0 - unit(rng)) / ln(1.0 - probability);
    if gap < 1e18 { gap as u64 } else { NEVER }
}

/// A standard normal number: Marsaglia's polar method.
pub(super) fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    loop {
        let (x, y) = (2.0 * unit(rng) - 1.0, 2.0 * unit(rng) - 1.0);
        let s = x * x + y * y;
        if s > 0.0 && s < 1.0 {
            return x * (-2.0 * ln(s) / s).sqrt();
        }
    }
}

/// A Pareto number of shape 3, shifted and scaled to mean 0 and deviation 1. The largest of three uniform numbers is distributed as a cube
/// root, so no power is computed.
pub(super) fn pareto(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let mut draw = || 1.0 - unit(rng);
    let largest = draw().max(draw()).max(draw());
    (1.0 / largest - 1.5) / 0.75_f64.sqrt()
}

/// Natural logarithm of a positive number, from exact operations alone: `x = m * 2^e` with `m` in `[1, 2)`, then
/// `ln m = 2 artanh((m - 1) / (m + 1))`.
fn ln(x: f64) -> f64 {
    debug_assert!(x > 0.0 && x.is_finite());
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    let z = (m - 1.0) / (m + 1.0);
    let square = z * z;
    // z is at most 1/3: after 20 odd terms the rest is below 2^-60.
    let mut sum = 0.0;
    for k in (0..20_u32).rev() {
        sum = sum * square + 1.0 / f64::from(2 * k + 1);
    }
    2.0 * z * sum + exponent as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_the_logarithm() {
        for x in [1e-300, 1e-9, 0.1, 0.5, 0.999_999, 1.0, 1.5, 2.0, 10.0, 1e9] {
            assert!((ln(x) - x.ln()).abs() <= 1e-14 * x.ln().abs().max(1.0), "{x}");
        }
    }

    #[test]
    fn strikes_come_at_their_rate() {
        for (seed, probability) in [(1, 0.5), (2, 0.02), (3, 0.001), (4, 0.9)] {
            let mut strikes = Strikes::new(probability, &Keys::new(seed, "test"), "strikes");
            let n = 200_000;
            let struck = (0..n).filter(|_| strikes.next()).count() as f64;
            let (mean, sigma) = (
                f64::from(n) * probability,
                (f64::from(n) * probability * (1.0 - probability)).sqrt(),
            );
            assert!(
                (struck - mean).abs() < 4.0 * sigma,
                "{probability}: {struck} struck of {n}"
            );
        }
        let keys = Keys::new(5, "test");
        assert!(!(0..1000).any(|_| Strikes::new(0.0, &keys, "never").next()));
        let mut always = Strikes::new(1.0, &keys, "always");
        assert!((0..1000).all(|_| always.next()));
    }

    #[test]
    fn shapes_have_mean_0_and_deviation_1() {
        let mut rng = Keys::new(6, "test").stream("shapes");
        let n = 400_000;
        for (name, draw, tolerance) in [
            ("normal", normal as fn(&mut Xoshiro256PlusPlus) -> f64, 0.01),
            ("pareto", pareto, 0.1),
        ] {
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..n {
                let z = draw(&mut rng);
                sum += z;
                squares += z * z;
            }
            assert!((sum / f64::from(n)).abs() < 0.01, "{name} mean {}", sum / f64::from(n));
            let deviation = (squares / f64::from(n)).sqrt();
            assert!((deviation - 1.0).abs() < tolerance, "{name} deviation {deviation}");
        }
    }
}
