//! How many ICMP errors may leave. RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f).

use crate::keys::{Keys, below};
use crate::time::Instant;
use rand::rngs::ChaCha12Rng;

const SECOND: u64 = 1_000_000_000;

/// Tokens that come at a steady rate, up to a second's worth.
#[derive(Debug)]
pub(super) struct TokenBucket {
    rate: u64,
    /// In billionths of a token.
    tokens: u64,
    at: Instant,
    rng: Box<ChaCha12Rng>,
}

impl TokenBucket {
    /// A full bucket for `rate` a second.
    pub(super) fn new(rate: u32, keys: &Keys) -> Self {
        let rate = u64::from(rate);
        Self {
            rate,
            tokens: rate * SECOND,
            at: Instant::ZERO,
            rng: Box::new(keys.secret_stream("icmp errors")),
        }
    }

    /// Takes a token if there is one. Now and then it costs two, so that nobody can tell from what is left what others caused (the side
    /// channel of CVE-2020-25705).
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let elapsed = u64::try_from(now.since(self.at).as_nanos())
            .unwrap_or(u64::MAX)
            .min(SECOND);
        self.tokens = (self.tokens + elapsed * self.rate).min(self.rate * SECOND);
        self.at = now;
        if self.tokens < SECOND {
            return false;
        }
        let price = if below(&mut *self.rng, 16) == 0 { 2 } else { 1 };
        self.tokens = self.tokens.saturating_sub(price * SECOND);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_burst() {
        let mut bucket = TokenBucket::new(100, &Keys::new(1, "bucket"));
        let mut burst = |now| (0..1_000).filter(|_| bucket.take(Instant::from_millis(now))).count();
        let first = burst(0);
        assert!((80..=100).contains(&first), "{first}");
        assert_eq!(burst(0), 0);
        assert!((1..=10).contains(&burst(100)));
        assert!((80..=100).contains(&burst(60_000)));
        assert!(!TokenBucket::new(0, &Keys::new(1, "bucket")).take(Instant::from_millis(5_000)));
    }
}
