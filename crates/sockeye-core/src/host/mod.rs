//! One Internet host: the owner of everything, and the only place that hands a packet from one layer to the next.
//!
//! Calling contract: after any `receive`, `handle_timeout` or socket call, take `poll_transmit` of every interface until it gives nothing,
//! then `poll_timeout`, then `poll_event` until `None`. Same inputs and seed, same packets, always.

mod builder;
mod events;
mod fast_open;
mod memory;
#[cfg(test)]
pub(crate) mod pair;
mod raw;
mod receive;
mod stray;
mod tcp;
mod tcp_input;
mod tcp_table;
mod transmit;
mod udp;

pub use memory::Memory;

use crate::buf::Pool;
use crate::counters::Counters;
use crate::demux::Demux;
use crate::ip::Ip;
use crate::keys::Keys;
use crate::port::Ports;
use crate::raw::Raw;
use crate::settings::Settings;
use crate::socket::{Event, SocketId};
use crate::stray::Strays;
use crate::tcp::{Bits, Broken};
use crate::udp::Udp;
pub use builder::HostBuilder;
use events::EventQueue;
use std::net::IpAddr;
use tcp_table::TcpTable;

/// What a host is made from.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// All chance and all secrets of the host follow from this.
    pub seed: u64,
    /// Accept packets for any address (a gateway): what no socket takes comes out of [`Host::poll_stray`].
    pub any_address: bool,
    /// Who carries packets to this host's own addresses.
    pub loopback: Loopback,
    /// All knobs.
    pub settings: Settings,
}

/// Who carries packets that a host sends to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// The host itself, at once.
    #[default]
    Internal,
    /// The owner: they come out of `poll_transmit(InterfaceId::LOOPBACK)` and go back in by `receive(InterfaceId::LOOPBACK)`.
    External,
}

/// An interface of a host, in the order they were added. The loopback interface always exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceId(pub(crate) u32);

impl InterfaceId {
    /// The loopback interface `lo`: 127.0.0.1/8 and ::1/128.
    pub const LOOPBACK: Self = Self(0);
}

/// What frames on a link look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// Bare IP packets: TUN, memory links.
    #[default]
    Ip,
    /// Ethernet frames; neighbours are found by ARP and NDP.
    Ethernet {
        /// Our hardware address.
        address: [u8; 6],
    },
}

/// How an interface is set up.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// Name shown to users: `eth0`.
    pub name: String,
    /// Frame format.
    pub medium: Medium,
    /// Largest IP packet in bytes, 1280..=65535 (68.. for IPv4 alone). RFC 8200 §5, RFC 791 §3.2.
    pub mtu: u32,
    /// The link takes super-segments and splits them itself (a memory link keeps them whole).
    pub gso: bool,
    /// Our addresses with prefix lengths. Each adds the route to its own network.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A route: where packets to `network/prefix` go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination network.
    pub network: IpAddr,
    /// Prefix length, 0..=32 or 0..=128. The longest match wins.
    pub prefix: u8,
    /// Next hop; `None` when the destination is on the link.
    pub via: Option<IpAddr>,
    /// Which interface.
    pub interface: InterfaceId,
}

/// One Internet host (RFC 1122's word): interfaces, routes, neighbours, UDP, TCP, sockets.
#[derive(Debug)]
pub struct Host {
    pub(crate) any_address: bool,
    pub(crate) loopback: Loopback,
    pub(crate) settings: Settings,
    pub(crate) counters: Counters,
    pub(crate) pool: Pool,
    pub(crate) ip: Ip,
    pub(crate) demux: Demux,
    pub(crate) ports: Ports,
    pub(crate) udp: Udp,
    pub(crate) raw: Raw,
    pub(crate) strays: Strays,
    pub(crate) tcp: TcpTable,
    pub(crate) events: EventQueue,
    /// Where packets to loopback addresses go that nobody here holds the port of.
    pub(crate) fallback: Option<InterfaceId>,
    /// Interfaces, loopback included.
    interfaces: u32,
}

impl Host {
    /// A host to be made step by step: `Host::builder().sysctl("net.ipv4.tcp_sack", "0")?.build()`.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// A host with nothing but its loopback interface.
    pub fn new(config: HostConfig) -> Self {
        let keys = Keys::new(config.seed, "host");
        Self {
            ip: Ip::new(&config, &keys),
            any_address: config.any_address,
            loopback: config.loopback,
            counters: Counters::default(),
            pool: Pool::default(),
            demux: Demux::new(&keys),
            ports: Ports::new(&keys),
            udp: Udp::default(),
            raw: Raw::new(&keys),
            strays: Strays::default(),
            tcp: TcpTable::new(&keys),
            events: EventQueue::default(),
            fallback: None,
            interfaces: 1,
            settings: config.settings,
        }
    }

    /// Buffers for bytes on their way in; sharing them makes the next write cheap.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The knobs, as they are set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Adds an interface; each of its addresses adds the route to its own network.
    pub fn add_interface(&mut self, config: InterfaceConfig) -> InterfaceId {
        self.interfaces += 1;
        self.ip.add_interface(config)
    }

    /// Adds an address to an interface, and the route to its network.
    pub fn add_address(&mut self, interface: InterfaceId, address: IpAddr, prefix: u8) {
        self.ip.add_address(interface, address, prefix);
    }

    /// Adds a route; the longest prefix wins.
    pub fn add_route(&mut self, route: Route) {
        self.ip.add_route(&route);
    }

    /// True for an address of ours.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.ip.is_local(address)
    }

    /// Packets to a loopback address and port that nobody here holds leave by `interface`: its far end is the machine's own loopback.
    pub fn set_loopback_fallback(&mut self, interface: Option<InterfaceId>) {
        self.fallback = interface;
    }

    /// The source address that packets to `remote` would carry.
    pub fn source_address(&self, remote: IpAddr) -> Option<IpAddr> {
        self.ip.route(remote, None).map(|path| path.src)
    }

    /// The oldest change that nobody has looked at; `None` when all are known. After an event look at the socket's readiness.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        match event.socket {
            SocketId::Tcp(id) => {
                if let Some(tcb) = self.tcp.conn_mut(id) {
                    tcb.bits.clear(Bits::EVENT);
                }
            }
            SocketId::Listener(id) => {
                if let Some(listener) = self.tcp.listeners.get_mut(id.index, id.generation) {
                    listener.event = false;
                }
            }
            SocketId::Udp(_) | SocketId::Raw(_) => {}
        }
        Some(event)
    }

    /// Checks what must always hold, on every connection. Costs time in proportion to everything there is: for tests and simulations.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        for (_, _, tcb) in self.tcp.conns.iter() {
            crate::tcp::check(tcb)?;
        }
        if self.tcp.conns.iter().map(|(_, _, tcb)| tcb.charge()).sum::<u64>() != self.tcp.budget.used() {
            return Err(Broken {
                rule: "the budget is the sum of what connections are charged",
            });
        }
        let orphans = self.tcp.conns.iter().filter(|(_, _, tcb)| tcb.bits.has(Bits::ORPHAN));
        if orphans.count() != self.tcp.orphans as usize {
            return Err(Broken {
                rule: "orphans are counted",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
