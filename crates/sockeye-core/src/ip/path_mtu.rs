//! How long a packet may be on the way to a destination: what routers told, RFC 1191 (IPv4), RFC 8201 (IPv6), and what transports found out by
//! probing, RFC 4821.
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

/// What is known of a path; `u32::MAX` where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// A router said that it forwards no more.
    pub(crate) told: u32,
    /// A transport found out that so much gets through. Never more than `told`.
    pub(crate) proven: u32,
    /// Up to where it may be worth trying.
    pub(crate) ceiling: u32,
}

impl Bounds {
    pub(crate) const NONE: Self = Self {
        told: u32::MAX,
        proven: u32::MAX,
        ceiling: u32::MAX,
    };
}

#[derive(Debug)]
struct Entry {
    bounds: Bounds,
    until: Instant,
}

impl PathMtu {
    /// The largest packet that gets to `dst`, when a router reported it.
    pub(crate) fn find(&self, dst: IpAddr) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        self.bounds(dst)
            .map(|bounds| bounds.told)
            .filter(|told| *told < u32::MAX)
    }

    /// All that is known of the path to `dst`.
    pub(crate) fn bounds(&self, dst: IpAddr) -> Option<Bounds> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(&dst).map(|entry| entry.bounds)
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
        // Where a search goes on, it goes on up to there. RFC 4821 §7.6.2.
        let before = self.bounds(dst).unwrap_or(Bounds::NONE);
        let bounds = Bounds {
            told: mtu,
            proven: before.proven.min(mtu),
            ceiling: before.ceiling.min(mtu),
        };
        self.remember(dst, bounds, now + LIFETIME);
        Some(mtu)
    }

    /// Packets of `found.0` bytes get to `dst`, such of more than `found.1` do not; `lifetime` later they are worth a try again.
    pub(crate) fn on_found(&mut self, now: Instant, dst: IpAddr, found: (u32, u32), lifetime: Duration) {
        let floor = if dst.is_ipv4() { FLOOR_V4 } else { FLOOR_V6 };
        let told = self.bounds(dst).unwrap_or(Bounds::NONE).told;
        let proven = found.0.max(floor).min(told);
        let bounds = Bounds {
            told,
            proven,
            ceiling: found.1.clamp(proven, told),
        };
        self.remember(dst, bounds, now + lifetime);
    }

    /// The path carries what the link does.
    pub(crate) fn forget(&mut self, dst: IpAddr) {
        if let Some(entry) = self.entries.remove(&dst) {
            let _ = self.expiry.remove(&(entry.until, dst));
        }
    }

    fn remember(&mut self, dst: IpAddr, bounds: Bounds, until: Instant) {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&dst) {
            self.forget_oldest();
        }
        if let Some(before) = self.entries.insert(dst, Entry { bounds, until }) {
            let _ = self.expiry.remove(&(before.until, dst));
        }
        let _ = self.expiry.insert((until, dst));
    }

    /// When to call [`Self::handle_timeout`] next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.expiry.first().map(|(at, _)| *at)
    }

    /// Forgets what is too old. Where a search had ended it may go on first, from where it had got to: who begins anew with long packets would
    /// fall into the same hole.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, dst)) = self.expiry.first().copied().filter(|(at, _)| *at <= now) {
            match self.bounds(dst) {
                Some(Bounds { told, proven, ceiling }) if proven < told && ceiling < u32::MAX => {
                    let bounds = Bounds { proven, ..Bounds::NONE };
                    self.remember(dst, bounds, now + LIFETIME);
                }
                _ => self.forget_oldest(),
            }
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
    fn a_search_goes_on_before_it_is_forgotten() {
        let mut paths = PathMtu::default();
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        let at = |seconds: u32| Instant::ZERO + seconds * SECOND;
        let bounds = |told, proven, ceiling| Some(Bounds { told, proven, ceiling });
        const NO: u32 = u32::MAX;
        paths.on_found(at(0), a, (1_064, 1_500), 300 * SECOND);
        assert_eq!((paths.find(a), paths.bounds(a)), (None, bounds(NO, 1_064, 1_500)));
        // A router that speaks up after all says where the search ends, and makes nothing longer.
        assert_eq!(paths.on_report(at(1), a, 1_400, 1_500), Some(1_400));
        assert_eq!(paths.bounds(a), bounds(1_400, 1_064, 1_400));
        paths.on_found(at(10), a, (1_280, 1_286), 300 * SECOND);
        paths.handle_timeout(at(309));
        assert_eq!(paths.bounds(a), bounds(1_400, 1_280, 1_286));
        paths.handle_timeout(at(310));
        assert_eq!(paths.bounds(a), bounds(NO, 1_280, NO));
        paths.handle_timeout(at(910));
        assert_eq!((paths.bounds(a), paths.poll_timeout()), (None, None));
        // Never below what must go through anyway.
        paths.on_found(at(911), a, (100, 100), 300 * SECOND);
        assert_eq!(paths.bounds(a), bounds(NO, FLOOR_V4, FLOOR_V4));
        paths.forget(a);
        assert_eq!((paths.bounds(a), paths.poll_timeout()), (None, None));
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
