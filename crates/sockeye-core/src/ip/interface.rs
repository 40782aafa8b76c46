//! One interface: its addresses, and the packets that wait to leave by it.

use super::route::broadcast;
use crate::counters::{Counters, DropReason};
use crate::gso;
use crate::host::{InterfaceConfig, Medium};
use crate::packet::{Gso, Packet};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Packets that may wait; a transport that looks at `queued` stays far below.
const QUEUE_LIMIT: usize = 4_096;
/// The loopback link's, as everywhere: a super-segment's size.
const LOOPBACK_MTU: u32 = 65_536;

/// One interface.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) medium: Medium,
    pub(super) mtu: u32,
    gso: bool,
    addresses: Vec<(IpAddr, u8)>,
    /// Directed broadcasts of its networks.
    broadcasts: Vec<IpAddr>,
    /// Multicast groups joined, with how often.
    groups: Vec<(IpAddr, u32)>,
    queue: VecDeque<Packet>,
}

impl Interface {
    /// What `lo` is made from.
    pub(super) fn loopback_config() -> InterfaceConfig {
        InterfaceConfig {
            name: "lo".into(),
            medium: Medium::Ip,
            mtu: LOOPBACK_MTU,
            gso: true,
            addresses: vec![(Ipv4Addr::LOCALHOST.into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)],
        }
    }

    /// An interface without addresses yet.
    pub(super) fn new(config: &InterfaceConfig) -> Self {
        Self {
            medium: config.medium,
            mtu: config.mtu,
            gso: config.gso,
            addresses: Vec::new(),
            broadcasts: Vec::new(),
            groups: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    pub(super) fn add_address(&mut self, address: IpAddr, prefix: u8) {
        if !self.has(address) {
            self.addresses.push((address, prefix));
            self.broadcasts.extend(broadcast(address, prefix));
        }
    }

    /// True for one of its addresses.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.addresses.iter().copied()
    }

    /// True for the directed broadcast of one of its networks.
    pub(super) fn is_broadcast(&self, address: IpAddr) -> bool {
        self.broadcasts.contains(&address)
    }

    /// Joins a multicast group (`true`) or leaves it; it is left when it was left as often as joined.
    pub(super) fn set_group(&mut self, group: IpAddr, join: bool) {
        match (self.groups.iter().position(|(joined, _)| *joined == group), join) {
            (Some(at), true) => self.groups[at].1 += 1,
            (None, true) => self.groups.push((group, 1)),
            (Some(at), false) if self.groups[at].1 == 1 => drop(self.groups.swap_remove(at)),
            (Some(at), false) => self.groups[at].1 -= 1,
            (None, false) => {}
        }
    }

    /// True for a multicast group whose packets are for us: all hosts, the solicited-node groups of our addresses (RFC 4291 §2.8), and
    /// what was joined.
    pub(super) fn is_member(&self, group: IpAddr) -> bool {
        let always = match group {
            IpAddr::V4(v4) => v4 == Ipv4Addr::new(224, 0, 0, 1),
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                let solicited = |own: &IpAddr| matches!(own, IpAddr::V6(own) if own.octets()[13..] == octets[13..]);
                let all_nodes = matches!(v6.segments(), [0xff01 | 0xff02, 0, 0, 0, 0, 0, 0, 1]);
                let of_nodes = octets[..13] == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
                all_nodes || (of_nodes && self.addresses.iter().any(|(own, _)| solicited(own)))
            }
        };
        always || self.groups.iter().any(|(joined, _)| *joined == group)
    }

    /// Queues a packet whose headers are complete, split into wire packets unless the link takes super-segments.
    pub(super) fn queue(&mut self, packet: Packet, counters: &mut Counters) {
        if self.queue.len() >= QUEUE_LIMIT {
            counters.drop(DropReason::OutputQueueFull);
        } else if self.gso || packet.meta.gso == Gso::None {
            self.queue.push_back(packet);
        } else {
            gso::segment(packet, self.mtu, &mut self.queue);
        }
    }

    /// Moves up to `max` packets to `out`.
    pub(super) fn transmit(&mut self, out: &mut VecDeque<Packet>, max: usize) {
        if max >= self.queue.len() && out.is_empty() {
            std::mem::swap(out, &mut self.queue);
        } else if max >= self.queue.len() {
            out.append(&mut self.queue);
        } else {
            out.extend(self.queue.drain(..max));
        }
    }

    /// Packets that wait.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }
}
