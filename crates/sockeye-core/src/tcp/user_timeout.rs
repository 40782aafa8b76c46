//! How long data may wait for its acknowledgement: what the application asks, and what the remote advises. Spec: RFC 5482.
//!
//! Advice is given and taken only on connections that ask for it (`TcpOptions::advertise_timeout`, the RFC's ADV_UTO and ENABLED), and never over
//! what the application set itself (CHANGEABLE). It travels in SYNs and in the first segment after them; the half-open records of a listener do
//! not keep it, which is what the second is for.

use super::tcb::Tcb;
use crate::settings::Settings;
use crate::time::Duration;

/// The shortest timeout that advice can bring about. RFC 5482 §3.1.
const L_LIMIT: Duration = Duration::from_secs(100);
/// And the longest: a remote must not make us keep its connection for days. RFC 5482 §6.
const U_LIMIT: Duration = Duration::from_secs(3_600);
/// The field counts minutes.
const MINUTES: u16 = 1 << 15;

/// The option's value for a timeout: seconds while they fit, else minutes. RFC 5482 §3.3. Zero is reserved (§3.4).
fn encode(timeout: Duration) -> u16 {
    match timeout.as_secs() {
        0 => 1,
        seconds if seconds < u64::from(MINUTES) => seconds as u16,
        seconds => MINUTES | (seconds / 60).min(u64::from(MINUTES - 1)) as u16,
    }
}

fn decode(value: u16) -> Option<Duration> {
    let number = u64::from(value & !MINUTES);
    let unit = if value & MINUTES == 0 { 1 } else { 60 };
    (number != 0).then(|| Duration::from_secs(number * unit))
}

impl Tcb {
    /// The option of this segment, where it is due.
    pub(super) fn user_timeout_option(&self) -> Option<u16> {
        self.opt().advertise_timeout.map(encode)
    }

    /// The remote advises.
    pub(super) fn on_user_timeout_option(&mut self, value: u16) {
        if self.opt().advertise_timeout.is_some() && decode(value).is_some() {
            self.advice = value;
        }
    }

    /// The user timeout in force, if any is: the application's own, else what both ends advertised, within limits. RFC 5482 §3.1.
    pub(super) fn user_timeout(&self, settings: &Settings) -> Option<Duration> {
        let own = self.opt().user_timeout.filter(|timeout| !timeout.is_zero());
        own.or_else(|| {
            let adv_uto = self.opt().advertise_timeout?;
            let remote_uto = decode(self.advice)?;
            let l_limit = L_LIMIT.max(self.rtt.backed_off(self.backoff, settings));
            Some(adv_uto.max(remote_uto).max(l_limit).min(U_LIMIT))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_on_the_wire() {
        for (seconds, value, back) in [
            (0, 1, 1),
            (1, 1, 1),
            (100, 100, 100),
            (32_767, 32_767, 32_767),
            (32_768, MINUTES | 546, 32_760),
            (10_000_000, MINUTES | 32_767, 32_767 * 60),
        ] {
            assert_eq!(encode(Duration::from_secs(seconds)), value, "{seconds}");
            assert_eq!(decode(value), Some(Duration::from_secs(back)), "{seconds}");
        }
        // RFC 5482 §3.4: reserved.
        assert_eq!((decode(0), decode(MINUTES)), (None, None));
    }
}
