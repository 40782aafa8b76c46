//! Better first hops, as routers told us: RFC 1122 §3.2.2.2, RFC 4861 §8.3. Each is for one destination.
//!
//! Only the first hop that is used now may name another, and only one on the same link. Bare IP links have but one hop, so nothing is
//! believed there.

use super::{Datagram, Delivery, Ip, icmp::contiguous};
use crate::counters::DropReason;
use crate::host::InterfaceId;
use crate::time::{Duration, Instant};
use crate::wire::ipv4;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// After this the routes decide again. RFC 1122 §3.3.1.3 leaves it open.
const LIFETIME: Duration = Duration::from_secs(600);
/// Destinations remembered at most; beyond it the oldest goes.
const ENTRIES_MAX: usize = 256;

impl Ip {
    /// An ICMP redirect, for a host or a network alike. RFC 1122 §3.2.2.2.
    pub(super) fn on_redirect_v4(&mut self, now: Instant, datagram: &Datagram) -> Result<Delivery, DropReason> {
        let l4 = usize::from(datagram.packet.meta.l4);
        let gateway = datagram.packet.head.as_slice()[l4..]
            .get(4..8)
            .and_then(|octets| octets.first_chunk::<4>());
        let via = Ipv4Addr::from(*gateway.ok_or(DropReason::Truncated)?);
        let quoted = ipv4::parse(&contiguous(&datagram.packet))?;
        if !self.is_local(quoted.src.into()) {
            return Err(DropReason::StrayIcmp);
        }
        self.on_redirect(now, datagram, quoted.dst.into(), via.into())?;
        Ok(Delivery::Consumed)
    }

    /// The sender of `datagram` says that packets to `dst` should rather go `via`.
    ///
    /// # Errors
    /// `StrayIcmp` when that is not to be believed.
    pub(super) fn on_redirect(
        &mut self,
        now: Instant,
        datagram: &Datagram,
        dst: IpAddr,
        via: IpAddr,
    ) -> Result<(), DropReason> {
        let interface = datagram.interface;
        let link_local = matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let on_link = self.routes.find(via, Some(interface)) == Some((interface, via));
        let reachable = self.mac(interface).is_some() && (on_link || link_local || via == dst);
        let asked = |path: super::Path| path.interface == interface && path.next_hop == datagram.src;
        if !reachable || self.is_local(via) || via.is_multicast() || !self.route(dst, None).is_some_and(asked) {
            return Err(DropReason::StrayIcmp);
        }
        self.redirects.learn(now, dst, interface, via);
        Ok(())
    }
}

/// First hops that differ from those of our routes.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    entries: BTreeMap<IpAddr, Entry>,
    expiry: BTreeSet<(Instant, IpAddr)>,
}

#[derive(Debug)]
struct Entry {
    interface: InterfaceId,
    via: IpAddr,
    until: Instant,
}

impl Redirects {
    /// Interface and first hop towards `dst`, if a router named one.
    #[inline]
    pub(super) fn find(&self, dst: IpAddr) -> Option<(InterfaceId, IpAddr)> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(&dst).map(|entry| (entry.interface, entry.via))
    }

    /// Packets to `dst` go `via` from now on.
    pub(super) fn learn(&mut self, now: Instant, dst: IpAddr, interface: InterfaceId, via: IpAddr) {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&dst) {
            self.forget_oldest();
        }
        let until = now + LIFETIME;
        if let Some(before) = self.entries.insert(dst, Entry { interface, via, until }) {
            let _ = self.expiry.remove(&(before.until, dst));
        }
        let _ = self.expiry.insert((until, dst));
    }

    /// That hop does not answer: the routes decide again. RFC 1122 §3.3.1.4.
    pub(super) fn forget_via(&mut self, interface: InterfaceId, via: IpAddr) {
        let expiry = &mut self.expiry;
        self.entries.retain(|dst, entry| {
            let keep = entry.interface != interface || entry.via != via;
            if !keep {
                let _ = expiry.remove(&(entry.until, *dst));
            }
            keep
        });
    }

    /// When to call [`Self::handle_timeout`] next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.expiry.first().map(|(at, _)| *at)
    }

    /// Forgets what is too old.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn ip(n: u32) -> IpAddr {
        Ipv4Addr::from(n).into()
    }

    #[test]
    fn remembers_and_forgets() {
        let mut redirects = Redirects::default();
        let eth = InterfaceId(1);
        redirects.learn(Instant::ZERO, ip(1), eth, ip(9));
        redirects.learn(Instant::ZERO, ip(1), eth, ip(8));
        redirects.learn(Instant::from_millis(1), ip(2), eth, ip(9));
        assert_eq!(redirects.find(ip(1)), Some((eth, ip(8))));
        redirects.forget_via(eth, ip(8));
        assert_eq!(
            (redirects.find(ip(1)), redirects.find(ip(2))),
            (None, Some((eth, ip(9))))
        );
        redirects.handle_timeout(Instant::from_millis(600_001));
        assert_eq!((redirects.find(ip(2)), redirects.poll_timeout()), (None, None));
        for n in 0..1_000 {
            redirects.learn(Instant::from_millis(n.into()), ip(n), eth, ip(9));
        }
        assert_eq!(
            (redirects.entries.len(), redirects.expiry.len()),
            (ENTRIES_MAX, ENTRIES_MAX)
        );
        assert_eq!(redirects.find(ip(999)), Some((eth, ip(9))));
    }
}
