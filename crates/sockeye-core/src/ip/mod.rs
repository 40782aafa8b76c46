//! The Internet layer: interfaces, addresses, routes, ICMP. It decides whether a packet is for us and where one of ours leaves.
//!
//! What a datagram says is for the transports; `Host` hands it to them. Echo requests to our own addresses are answered in here, and so
//! is everything between neighbours. RFC 791, RFC 792, RFC 1122 §3, RFC 8200, RFC 4443, RFC 8504.

mod address;
mod fragment;
mod icmp;
mod input;
mod interface;
mod link;
mod neighbor;
mod output;
mod path_mtu;
mod reassembly;
mod redirect;
mod route;
mod shape;
mod source_addr;
mod token_bucket;

use crate::counters::Counters;
use crate::host::{HostConfig, InterfaceConfig, InterfaceId, Route};
use crate::keys::Keys;
use crate::packet::Packet;
use crate::socket::Unreachable;
use crate::time::{Duration, Instant, sooner};
use bytes::Bytes;
use interface::Interface;
use neighbor::Neighbors;
use output::Identification;
use path_mtu::{Bounds, PathMtu};
use reassembly::Reassembly;
use redirect::Redirects;
use route::Routes;
use std::collections::VecDeque;
use std::net::IpAddr;
use token_bucket::TokenBucket;

/// Where a packet to some destination goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The interface it leaves by.
    pub(crate) interface: InterfaceId,
    /// Who takes it from there: a router, or the destination itself.
    pub(crate) next_hop: IpAddr,
    /// Its source address.
    pub(crate) src: IpAddr,
    /// Longest IP packet in bytes, as far as links and routers have told.
    pub(crate) mtu: u32,
    /// Longest that gets through as far as TCP has found out by itself, for TCP: an error of its may not stop others.
    pub(crate) proven: u32,
    /// Up to where longer ones than that are worth trying.
    pub(crate) ceiling: u32,
}

/// The fields of an IP header that a transport chooses, for both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Source.
    pub(crate) src: IpAddr,
    /// Destination.
    pub(crate) dst: IpAddr,
    /// Protocol of the payload.
    pub(crate) protocol: u8,
    /// Hop limit.
    pub(crate) ttl: u8,
    /// Type of service or traffic class, ECN bits included.
    pub(crate) tos: u8,
    /// Never to be fragmented, neither here nor on the way.
    pub(crate) dont_fragment: bool,
}

/// A whole datagram for a transport.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// Starts with the IP header; `meta.l4` is the transport header, which ends where the head ends. Padding is gone.
    pub(crate) packet: Packet,
    /// Source.
    pub(crate) src: IpAddr,
    /// Destination.
    pub(crate) dst: IpAddr,
    /// Protocol of the header at `meta.l4`.
    pub(crate) protocol: u8,
    /// Hop limit as it arrived.
    pub(crate) ttl: u8,
    /// Type of service or traffic class as it arrived.
    pub(crate) tos: u8,
    /// Where it came in.
    pub(crate) interface: InterfaceId,
}

/// What became of a packet that came in.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// It is for a transport.
    Datagram(Datagram),
    /// It reports an error about something we sent.
    Error(IcmpError),
    /// It was for this layer: a fragment, an echo request, a neighbour's question.
    Consumed,
}

/// An error that some host reports about a packet of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    /// Transport of our packet.
    pub(crate) protocol: u8,
    /// Source of our packet.
    pub(crate) local: IpAddr,
    /// Destination of our packet.
    pub(crate) remote: IpAddr,
    /// What is wrong.
    pub(crate) kind: Unreachable,
    /// As it came; a report made here has those of the message it stands for.
    pub(crate) icmp_type: u8,
    /// See `icmp_type`.
    pub(crate) icmp_code: u8,
    /// Who reports it.
    pub(crate) from: IpAddr,
    /// Our packet from its transport header on, as much as was quoted.
    pub(crate) quoted: Bytes,
}

/// The Internet layer of one host.
#[derive(Debug)]
pub(crate) struct Ip {
    interfaces: Vec<Interface>,
    routes: Routes,
    any_address: bool,
    default_ttl: u8,
    neighbors: Neighbors,
    path_mtus: PathMtu,
    reassembly: Reassembly,
    redirects: Redirects,
    identification: Identification,
    icmp_errors: TokenBucket,
    /// What `poll_error` has to tell.
    errors: VecDeque<IcmpError>,
}

impl Ip {
    /// The layer with its loopback interface.
    pub(crate) fn new(config: &HostConfig, keys: &Keys) -> Self {
        let mut ip = Self {
            interfaces: Vec::new(),
            routes: Routes::default(),
            any_address: config.any_address,
            default_ttl: config.settings.ip_default_ttl,
            neighbors: Neighbors::new(keys),
            path_mtus: PathMtu::default(),
            reassembly: Reassembly::new(&config.settings),
            redirects: Redirects::default(),
            identification: Identification::new(keys),
            icmp_errors: TokenBucket::new(config.settings.icmp_msgs_per_sec, keys),
            errors: VecDeque::new(),
        };
        ip.add_interface(Interface::loopback_config());
        ip
    }

    /// Adds an interface with its addresses.
    pub(crate) fn add_interface(&mut self, config: InterfaceConfig) -> InterfaceId {
        let id = InterfaceId(self.interfaces.len() as u32);
        self.interfaces.push(Interface::new(&config));
        for (address, prefix) in config.addresses {
            self.add_address(id, address, prefix);
        }
        id
    }

    /// Adds an address of ours and the route to its network.
    pub(crate) fn add_address(&mut self, interface: InterfaceId, address: IpAddr, prefix: u8) {
        if let Some(of) = self.interfaces.get_mut(interface.0 as usize) {
            of.add_address(address, prefix);
            self.routes.add(&Route {
                network: address,
                prefix,
                via: None,
                interface,
            });
        }
    }

    /// Adds a route.
    pub(crate) fn add_route(&mut self, route: &Route) {
        self.routes.add(route);
    }

    /// True for an address of ours, any loopback address included.
    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        address::is_loopback(address) || self.interfaces.iter().any(|interface| interface.has(address))
    }

    /// True for the limited broadcast and for the directed ones of our networks.
    pub(crate) fn is_broadcast(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
            || self.interfaces.iter().any(|interface| interface.is_broadcast(address))
    }

    /// Joins (`true`) or leaves a multicast group, on one interface or on all. It is left when it was left as often as joined.
    pub(crate) fn set_group(&mut self, group: IpAddr, interface: Option<InterfaceId>, join: bool) {
        for (nth, of) in self.interfaces.iter_mut().enumerate() {
            if interface.is_none_or(|wanted| wanted.0 as usize == nth) {
                of.set_group(group, join);
            }
        }
    }

    /// The way to `dst`, with the given source address or the best of ours. `None` when no route leads there.
    pub(crate) fn route(&self, dst: IpAddr, src: Option<IpAddr>) -> Option<Path> {
        if self.is_local(dst) {
            let mtu = limit(dst, self.interface(InterfaceId::LOOPBACK)?.mtu);
            // Any loopback address speaks from the first one, as everywhere.
            let own = if address::is_loopback(dst) && !self.interface(InterfaceId::LOOPBACK)?.has(dst) {
                IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)
            } else {
                dst
            };
            return Some(Path {
                interface: InterfaceId::LOOPBACK,
                next_hop: dst,
                src: src.unwrap_or(own),
                mtu,
                proven: mtu,
                ceiling: mtu,
            });
        }
        let redirected = || self.redirects.find(dst);
        let routed = || self.routes.find(dst, None);
        let (interface, next_hop) = redirected().or_else(routed).or_else(|| self.link_wide(dst))?;
        self.path(dst, src, interface, next_hop)
    }

    /// The way to `dst` by one interface, whatever the routes prefer; without a route there, `dst` is taken to be on the link.
    pub(crate) fn route_via(&self, dst: IpAddr, interface: InterfaceId) -> Option<Path> {
        let next_hop = self
            .routes
            .find(dst, Some(interface))
            .map_or(dst, |(_, next_hop)| next_hop);
        self.path(dst, None, interface, next_hop)
    }

    fn path(&self, dst: IpAddr, src: Option<IpAddr>, interface: InterfaceId, next_hop: IpAddr) -> Option<Path> {
        let link = limit(dst, self.interface(interface)?.mtu);
        let bounds = self.path_mtus.bounds(dst).unwrap_or(Bounds::NONE);
        let src = src.or_else(|| self.source_address(dst, interface))?;
        Some(Path {
            interface,
            next_hop,
            src,
            mtu: bounds.told.min(link),
            proven: bounds.proven.min(link),
            ceiling: bounds.ceiling.min(link),
        })
    }

    /// A link for a multicast or broadcast destination that no route covers: the first one that has addresses of the family.
    fn link_wide(&self, dst: IpAddr) -> Option<(InterfaceId, IpAddr)> {
        if !address::is_link_wide(dst) {
            return None;
        }
        let mut links = self.interfaces.iter().enumerate().skip(1);
        let of_family = |interface: &Interface| interface.addresses().any(|(own, _)| own.is_ipv4() == dst.is_ipv4());
        links
            .find(|(_, interface)| of_family(interface))
            .map(|(nth, _)| (InterfaceId(nth as u32), dst))
    }

    fn source_address(&self, dst: IpAddr, interface: InterfaceId) -> Option<IpAddr> {
        let on = |nth: usize| nth == interface.0 as usize;
        let all = self.interfaces.iter().enumerate();
        source_addr::select(
            dst,
            all.flat_map(|(nth, of)| of.addresses().map(move |(own, _)| (own, on(nth)))),
        )
    }

    /// Appends up to `max` packets that leave by `interface` to `out`.
    pub(crate) fn poll_transmit(
        &mut self,
        _now: Instant,
        interface: InterfaceId,
        out: &mut VecDeque<Packet>,
        max: usize,
    ) {
        if let Some(of) = self.interfaces.get_mut(interface.0 as usize) {
            of.transmit(out, max);
        }
    }

    /// Packets that wait to leave by `interface`.
    pub(crate) fn queued(&self, interface: InterfaceId) -> usize {
        self.interface(interface).map_or(0, Interface::queued)
    }

    /// The next error that was found in here rather than reported by another host.
    pub(crate) fn poll_error(&mut self) -> Option<IcmpError> {
        self.errors.pop_front()
    }

    /// What a router told that the path to `dst` carries.
    pub(crate) fn path_mtu(&self, dst: IpAddr) -> Option<u32> {
        self.path_mtus.find(dst)
    }

    /// Takes note of a "too big" about a packet to `dst`. For TCP's packets its owner calls this, after it made sure that the message is
    /// about something it has in flight (RFC 5927 §7.2); for all others `input` does.
    pub(crate) fn lower_path_mtu(&mut self, now: Instant, dst: IpAddr, mtu: u32) {
        if let Some(path) = self.route(dst, None) {
            let _ = self.path_mtus.on_report(now, dst, mtu, path.mtu);
        }
    }

    /// A transport found out that packets of `mtu` bytes get to `dst`, and that beyond `ceiling` they do not.
    pub(crate) fn path_found(&mut self, now: Instant, dst: IpAddr, mtu: u32, ceiling: u32, lifetime: Duration) {
        let link = self.route(dst, None).and_then(|path| self.interface(path.interface));
        if link.is_some_and(|link| limit(dst, link.mtu) <= mtu) {
            self.path_mtus.forget(dst);
        } else {
            self.path_mtus.on_found(now, dst, (mtu, ceiling), lifetime);
        }
    }

    /// When to call `handle_timeout` next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let links = sooner(self.neighbors.poll_timeout(), self.redirects.poll_timeout());
        let paths = sooner(self.path_mtus.poll_timeout(), self.reassembly.poll_timeout());
        sooner(links, paths)
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant, counters: &mut Counters) {
        self.neighbors.handle_timeout(now);
        self.settle_neighbors(now, counters);
        self.reassembly.handle_timeout(now, counters);
        self.report_expired(now, counters);
        self.path_mtus.handle_timeout(now);
        self.redirects.handle_timeout(now);
    }

    fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.interfaces.get(id.0 as usize)
    }
}

/// No IPv4 packet is longer than its length field can tell, whatever the link carries; IPv6's does not count the header.
fn limit(dst: IpAddr, mtu: u32) -> u32 {
    if dst.is_ipv4() { mtu.min(0xffff) } else { mtu }
}

#[cfg(test)]
mod tests;
