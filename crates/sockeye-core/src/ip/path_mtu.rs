//! What routers told about how long a packet may be on the way to a destination: RFC 1191 (IPv4), RFC 8201 (IPv6).
//!
//! It remembers and forgets; whether a message is to be believed is for whoever knows the quoted packet (RFC 5927 §7).

use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// No report makes IPv4 packets smaller: 512 bytes of data must always go, and Linux's `min_pmtu` is the same. RFC 1191 §3 leaves 68.
pub(crate) const FLOOR_V4: u32 = 552;
/// RFC 8200 §5: every link carries that much.
pub(crate) const FLOOR_V6: u32 = 1_280;
/// After this a larger one is tried again. RFC 1191 §6.3, RFC 8201 §5.3.
const LIFETIME: Duration = Duration::from_secs(600);
/// Destinations remembered at most; beyond it the oldest report goes.
const ENTRIES_MAX: usize = 1_024;
/// Sizes to try, downwards, when the router does not say: RFC 1191 §7, table 7-1.
const PLATEAUS: [u32; 9] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296];

/// Path MTUs lower than those of our links.
#[derive(Debug, Default)]
pub(crate) struct PathMtu {
    entries: BTreeMap<IpAddr, Entry>,
    expiry: BTreeSet<(Instant, IpAddr)>,
}

#[derive(Debug)]
struct Entry {
    mtu: u32,
    until: Instant,
}

impl PathMtu {
    /// The largest packet that gets to `dst`, when that was ever reported.
    pub(crate) fn find(&self, dst: IpAddr) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(&dst).map(|entry| entry.mtu)
    }

    /// A router cannot forward more than `mtu` bytes at once to `dst`. Returns the path MTU that holds now, or `None` when the report is not
    /// believed. `current` is the one that held so far.
    pub(crate) fn on_report(&mut self, now: Instant, dst: IpAddr, mtu: u32, current: u32) -> Option<u32> {
        let floor = match dst {
            IpAddr::V4(_) => FLOOR_V4,
            // RFC 8201 §4: a report below the minimum link MTU must be discarded.
            IpAddr::V6(_) if mtu < FLOOR_V6 => return None,
            IpAddr::V6(_) => FLOOR_V6,
        };
        let mtu = mtu.max(floor);
        // RFC 1191 §4, RFC 8201 §4: a report never raises it.
        if mtu >= current {
            return None;
        }
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&dst) {
            self.forget_oldest();
        }
        let until = now + LIFETIME;
        if let Some(before) = self.entries.insert(dst, Entry { mtu, until }) {
            let _ = self.expiry.remove(&(before.until, dst));
        }
        let _ = self.expiry.insert((until, dst));
        Some(mtu)
    }

    /// When to call [`Self::handle_timeout`] next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.expiry.first().map(|(at, _)| *at)
    }

    /// Forgets what is too old.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.expiry.first().is_some_and(|(at, _)| *at <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, dst)) = self.expiry.pop_first() {
            let _ = self.entries.remove(&dst);
        }
    }
}

/// What to try after a packet of `total` bytes was too long for a router that does not say what it takes (RFC 1191 §5).
pub(crate) fn next_plateau(total: u32) -> u32 {
    PLATEAUS.into_iter().find(|plateau| *plateau < total).unwrap_or(68)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;
    use std::net::Ipv4Addr;

    #[test]
    fn reports_table() {
        for (case, dst, mtu, current, want) in [
            ("lower", "192.0.2.1", 1400, 1500, Some(1400)),
            ("not lower", "192.0.2.1", 1500, 1500, None),
            ("higher", "192.0.2.1", 9000, 1500, None),
            ("below the floor", "192.0.2.1", 68, 1500, Some(FLOOR_V4)),
            ("at the floor already", "192.0.2.1", 68, FLOOR_V4, None),
            ("IPv6", "2001:db8::1", 1400, 1500, Some(1400)),
            ("IPv6 minimum", "2001:db8::1", 1280, 1500, Some(1280)),
            ("IPv6 below the minimum", "2001:db8::1", 1279, 1500, None),
        ] {
            let mut paths = PathMtu::default();
            let dst = dst.parse().unwrap();
            assert_eq!(paths.on_report(Instant::ZERO, dst, mtu, current), want, "{case}");
            assert_eq!(paths.find(dst), want, "{case}");
        }
    }

    #[test]
    fn a_report_ages() {
        let mut paths = PathMtu::default();
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let _ = paths.on_report(Instant::ZERO, a, 1400, 1500);
        let _ = paths.on_report(Instant::ZERO + 300 * SECOND, b, 1400, 1500);
        let _ = paths.on_report(Instant::ZERO + 400 * SECOND, a, 1300, 1400);
        assert_eq!(paths.poll_timeout(), Some(Instant::ZERO + 900 * SECOND));
        paths.handle_timeout(Instant::ZERO + 900 * SECOND);
        assert_eq!((paths.find(a), paths.find(b)), (Some(1300), None));
        paths.handle_timeout(Instant::ZERO + 1_000 * SECOND);
        assert_eq!((paths.find(a), paths.poll_timeout()), (None, None));
    }

    #[test]
    fn remembers_so_many() {
        let mut paths = PathMtu::default();
        for n in 0..5_000 {
            let _ = paths.on_report(Instant::from_millis(n.into()), Ipv4Addr::from(n).into(), 1400, 1500);
        }
        assert_eq!((paths.entries.len(), paths.expiry.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert_eq!(paths.find(Ipv4Addr::from(4_999).into()), Some(1400));
    }

    #[test]
    fn plateaus() {
        for (total, want) in [(65_535, 32_000), (1_500, 1_492), (1_492, 1_006), (576, 508), (100, 68)] {
            assert_eq!(next_plateau(total), want);
        }
    }
}
