//! Answers that an attacker could ask for too often, rationed. Spec: RFC 5961 §5.3 and §7 (challenge ACKs).

use crate::keys::below;
use crate::settings::Settings;
use crate::time::{Duration, Instant};
use rand::rngs::ChaCha12Rng;

/// The rations of one host.
#[derive(Debug)]
pub(crate) struct Limits {
    second: u64,
    challenges: u32,
    /// Resets left in the present second.
    resets: u32,
    rng: ChaCha12Rng,
}

impl Limits {
    pub(crate) fn new(rng: ChaCha12Rng) -> Self {
        Self {
            second: u64::MAX,
            challenges: 0,
            resets: 0,
            rng,
        }
    }

    /// One answer to an unacceptable segment for each connection and interval, so that two hosts never acknowledge each other for ever.
    pub(crate) fn allow_answer(&self, now: Instant, last: &mut u32, settings: &Settings) -> bool {
        let ms = (now.as_millis() as u32).max(1);
        let since = Duration::from_millis(u64::from(ms.wrapping_sub(*last)));
        if *last != 0 && since < settings.tcp_invalid_ratelimit {
            return false;
        }
        *last = ms;
        true
    }

    /// The host's ration of challenges. It varies by chance, so that counting them tells nothing about other connections (CVE-2016-5696).
    pub(crate) fn allow_challenge(&mut self, now: Instant, settings: &Settings) -> bool {
        self.refill(now, settings);
        spend(&mut self.challenges)
    }

    /// The host's ration of resets for segments that belong to nothing: a flood of those is not reflected at its rate. As with challenges nobody
    /// can read from what is left what others caused.
    pub(crate) fn allow_reset(&mut self, now: Instant, settings: &Settings) -> bool {
        self.refill(now, settings);
        spend(&mut self.resets)
    }

    /// A new second: from half to one and a half of each ration, by chance.
    fn refill(&mut self, now: Instant, settings: &Settings) {
        let second = now.as_millis() / 1_000;
        if second == self.second {
            return;
        }
        self.second = second;
        let mut about = |limit: u32| limit.div_ceil(2) + below(&mut self.rng, u64::from(limit)) as u32;
        self.challenges = about(settings.tcp_challenge_ack_limit);
        self.resets = about(settings.icmp_msgs_per_sec);
    }
}

fn spend(ration: &mut u32) -> bool {
    match ration.checked_sub(1) {
        Some(left) => {
            *ration = left;
            true
        }
        None => false,
    }
}
