//! A link between two hosts: two pipes, one a direction, and what is written down about them.

use super::capture::Capture;
use super::{Entity, HostId, Sim};
use crate::host::{InterfaceConfig, InterfaceId, Medium};
use crate::keys::Keys;
use crate::netem::{Netem, Pipe, too_big_answer};
use crate::packet::Packet;
use crate::time::Instant;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A link of a simulation, in the order they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub(super) usize);

/// How a link is.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// What befalls packets from the first host to the second.
    pub there: Netem,
    /// What befalls packets from the second host to the first.
    pub back: Netem,
    /// Frame format.
    pub medium: LinkMedium,
    /// Largest IP packet that the hosts send.
    pub mtu: u32,
    /// Whether the hosts may send super-segments.
    pub gso: bool,
}

/// Frame format of a simulated link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkMedium {
    /// Bare IP packets.
    #[default]
    Ip,
    /// Ethernet: neighbours are looked for by ARP and NDP.
    Ethernet,
}

impl LinkConfig {
    /// Alike in both directions; bare IP packets of at most 1500 bytes.
    pub fn both(netem: Netem) -> Self {
        Self {
            there: netem.clone(),
            back: netem,
            medium: LinkMedium::Ip,
            mtu: 1500,
            gso: true,
        }
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self::both(Netem::NONE)
    }
}

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) name: String,
    pub(super) pipe: Pipe,
    pub(super) to: (usize, InterfaceId),
    /// The wire by which answers come: its twin, or itself for a loopback.
    pub(super) back: usize,
    pub(super) planned: Option<Instant>,
    pub(super) medium: Medium,
    mtu: Option<u32>,
}

impl Wire {
    /// Puts a packet on the wire; `end` is the end of the link that sends it.
    pub(super) fn send(&mut self, now: Instant, packet: Packet, end: usize, capture: Option<&mut Capture>) {
        match capture {
            None => self.pipe.push(now, packet),
            Some(capture) => self
                .pipe
                .push_with(now, packet, &mut |packet, fate| capture.packet(now, end, packet, fate)),
        }
    }

    /// The ICMP message that tells the sender of a packet that was too long for this wire.
    pub(super) fn too_big_answer(&mut self) -> Option<Packet> {
        let mtu = self.mtu?;
        while let Some(packet) = self.pipe.take_too_big() {
            if let Some(answer) = too_big_answer(&packet, mtu) {
                return Some(answer);
            }
        }
        None
    }
}

impl Sim {
    /// Links two hosts. Link number n (from 0) joins 10.n.0.1 and 10.n.0.2, fd00:n::1 and fd00:n::2.
    ///
    /// # Panics
    /// When there are 256 links already.
    pub fn connect(&mut self, a: HostId, b: HostId, config: &LinkConfig) -> LinkId {
        let link = self.wires.len() / 2;
        assert!(link < 256, "256 links at most");
        let mut interfaces = [InterfaceId::LOOPBACK; 2];
        for (end, id) in [a, b].into_iter().enumerate() {
            let medium = match config.medium {
                LinkMedium::Ip => Medium::Ip,
                LinkMedium::Ethernet => Medium::Ethernet {
                    address: [2, 0, 0, 0, link as u8, end as u8 + 1],
                },
            };
            let node = &mut self.nodes[id.0];
            let interface = node.host.add_interface(InterfaceConfig {
                name: format!("eth{}", node.wires.len()),
                medium,
                mtu: config.mtu,
                gso: config.gso,
                addresses: vec![(address(link, end, false), 24), (address(link, end, true), 64)],
            });
            node.wires.push((interface, self.wires.len() + end));
            interfaces[end] = interface;
        }
        for (from, to, interface, netem) in [
            (a, b, interfaces[1], &config.there),
            (b, a, interfaces[0], &config.back),
        ] {
            let name = format!("{}>{}#{link}", self.nodes[from.0].name, self.nodes[to.0].name);
            self.wires.push(Wire {
                pipe: Pipe::new(netem, &Keys::new(self.seed, &name), "netem"),
                name,
                to: (to.0, interface),
                back: self.wires.len() ^ 1,
                planned: None,
                medium: if config.medium == LinkMedium::Ip {
                    Medium::Ip
                } else {
                    Medium::Ethernet { address: [0; 6] }
                },
                mtu: netem.mtu,
            });
        }
        self.captures.push(None);
        for id in [a, b] {
            self.flush(id.0);
        }
        LinkId(link)
    }

    /// Carries what a host made with [`crate::host::Loopback::External`] sends to itself: as bad as asked for.
    ///
    /// # Panics
    /// When there are 256 links already.
    pub fn loop_back(&mut self, id: HostId, netem: &Netem) -> LinkId {
        let (link, wire) = (self.wires.len() / 2, self.wires.len());
        assert!(link < 256, "256 links at most");
        let name = format!("{}>lo#{link}", self.nodes[id.0].name);
        // The second wire of the pair carries nothing.
        for (netem, back) in [(netem, wire), (&Netem::NONE, wire + 1)] {
            self.wires.push(Wire {
                pipe: Pipe::new(netem, &Keys::new(self.seed, &name), "netem"),
                name: name.clone(),
                to: (id.0, InterfaceId::LOOPBACK),
                back,
                planned: None,
                medium: Medium::Ip,
                mtu: netem.mtu,
            });
        }
        self.nodes[id.0].wires.push((InterfaceId::LOOPBACK, wire));
        self.captures.push(None);
        self.flush(id.0);
        LinkId(link)
    }

    /// The address of a host on a link.
    ///
    /// # Panics
    /// When the host is not on the link.
    pub fn address(&self, id: HostId, link: LinkId, v6: bool) -> IpAddr {
        let end = (0..2).find(|end| self.nodes[id.0].wires.iter().any(|(_, wire)| *wire == 2 * link.0 + end));
        address(link.0, end.expect("the host is on the link"), v6)
    }

    /// The interface of a host on a link.
    ///
    /// # Panics
    /// When the host is not on the link.
    pub fn interface(&self, id: HostId, link: LinkId) -> InterfaceId {
        let wires = &self.nodes[id.0].wires;
        wires
            .iter()
            .find(|(_, wire)| wire / 2 == link.0)
            .expect("the host is on the link")
            .0
    }

    /// The first link that joins two hosts.
    pub fn link_between(&self, a: HostId, b: HostId) -> Option<LinkId> {
        let wires = |id: HostId| self.nodes[id.0].wires.iter().map(|(_, wire)| *wire);
        wires(a)
            .find(|wire| wires(b).any(|other| other == wire ^ 1))
            .map(|wire| LinkId(wire / 2))
    }

    /// Replaces what befalls packets that a host sends on a link, from now on. Packets under way are lost.
    pub fn set_netem(&mut self, id: HostId, link: LinkId, netem: &Netem) {
        let interface = self.interface(id, link);
        let found = self.nodes[id.0].wires.iter().find(|(other, _)| *other == interface);
        if let Some((_, wire)) = found.copied() {
            let line = &mut self.wires[wire];
            let keys = Keys::new(self.seed, &line.name);
            line.pipe = Pipe::new(netem, &keys, &format!("netem {}", self.now));
            line.mtu = netem.mtu;
            self.plan(Entity::Wire(wire));
        }
    }
}

/// The address of one end (0 or 1) of a link.
fn address(link: usize, end: usize, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::new(0xfd00, link as u16, 0, 0, 0, 0, 0, end as u16 + 1))
    } else {
        IpAddr::V4(Ipv4Addr::new(10, link as u8, 0, end as u8 + 1))
    }
}
