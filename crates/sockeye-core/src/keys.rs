//! Chance and secrets, from one seed. Every stream has a name, so that drawing from one never disturbs another.

use rand::SeedableRng;
use rand::rngs::{ChaCha12Rng, Xoshiro256PlusPlus};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// A key of the one keyed hash: SipHash-1-3. Without it nobody outside can steer table slots, ports or sequence numbers.
#[derive(Clone, Copy)]
pub struct Key(u64, u64);

impl Key {
    /// Hash of a few words under this key.
    pub fn hash(&self, words: &[u64]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        for word in words {
            hasher.write_u64(*word);
        }
        hasher.finish()
    }
}

impl std::fmt::Debug for Key {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Source of all secrets and streams of one entity: a host, a link, a direction of a link.
#[derive(Clone, Debug)]
pub struct Keys {
    root: Key,
}

impl Keys {
    /// All that follows from `seed` for the entity called `name`.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hasher = SipHasher13::new_with_keys(seed, 0x736f_636b_6579_6521);
        hasher.write(name.as_bytes());
        let first = hasher.finish();
        hasher.write_u8(1);
        Self {
            root: Key(first, hasher.finish()),
        }
    }

    /// All that follows for a part of the entity, called `name`: one direction of a link.
    pub fn child(&self, name: &str) -> Self {
        Self { root: self.key(name) }
    }

    /// The key for one purpose.
    pub fn key(&self, purpose: &str) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.root.0, self.root.1);
        hasher.write(purpose.as_bytes());
        let first = hasher.finish();
        hasher.write_u8(1);
        Key(first, hasher.finish())
    }

    /// A stream of chance for one purpose that others may guess: impairments, jitter, workloads.
    pub fn stream(&self, purpose: &str) -> Xoshiro256PlusPlus {
        let Key(a, _) = self.key(purpose);
        Xoshiro256PlusPlus::seed_from_u64(a)
    }

    /// A stream of chance that must not be guessed from outside: ports, identifiers, token jitter.
    pub fn secret_stream(&self, purpose: &str) -> ChaCha12Rng {
        let Key(a, b) = self.key(purpose);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&a.to_le_bytes());
        seed[8..16].copy_from_slice(&b.to_le_bytes());
        ChaCha12Rng::from_seed(seed)
    }
}

/// A number in `0..n` (0 when `n` is 0), nearly uniform: the bias is below `n / 2^64`.
pub fn below(rng: &mut impl rand::Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// A number in `[0, 1)`.
pub fn unit(rng: &mut impl rand::Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn streams_are_repeatable_and_apart() {
        let draw = |seed, name, purpose| Keys::new(seed, name).stream(purpose).next_u64();
        assert_eq!(draw(1, "a", "loss"), draw(1, "a", "loss"));
        assert_ne!(draw(1, "a", "loss"), draw(1, "a", "delay"));
        assert_ne!(draw(1, "a", "loss"), draw(1, "b", "loss"));
        assert_ne!(draw(1, "a", "loss"), draw(2, "a", "loss"));
    }
}
