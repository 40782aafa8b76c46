//! The gateway: a [`Host`] that answers for any address and relays what it accepts to kernel sockets.
//!
//! Its owner moves packets between it and the program's host, and calls [`Gateway::handle_io`] when its descriptor is readable. It has no
//! threads and never blocks. The inside network is 10.0.2.0/24 and fd00::/64 (see [`crate::addresses`]); every other address is the
//! machine's network, and 127.0.0.0/8 and ::1 are the machine's own loopback. Addresses of the machine's network that happen to lie in the
//! inside network cannot be reached.

mod config;
mod counters;
mod ground;
mod kernel;
mod poller;
mod publish;
mod tcp;

pub use config::{GatewayConfig, Limits};
pub use counters::{Direction, Flow, FlowState, GatewayCounters, LinkCounters, LinkReport, Protocol};
pub use publish::{BadRule, Publish, PublishPolicy, PublishRule};

use crate::addresses;
use crate::names::Answers;
use ground::{Ground, Owner};
use poller::Kind;
use publish::Doors;
use sockeye_core::socket::{Event, Refused, SocketId, Stray, SynAnswer, Unreachable};
use sockeye_core::{Host, Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use tcp::Relays;

/// A host for any address, and the kernel sockets behind it.
#[derive(Debug)]
pub struct Gateway {
    ground: Ground,
    relays: Relays,
    doors: Doors,
}

/// Where something that the program sends belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    /// The built-in services.
    Services,
    /// The name server.
    Names,
    /// The machine's network, or its loopback.
    Outside,
    /// The name server's address, another port; or our own loopback, which is closed: nobody listens there.
    Nobody,
    /// No such host.
    NoHost,
    /// To many at once: not relayed.
    Many,
}

impl Gateway {
    /// A gateway with its published ports open.
    ///
    /// # Errors
    /// When an explicitly published port cannot be had, or the kernel gives no epoll descriptor.
    pub fn new(config: GatewayConfig) -> io::Result<Self> {
        let ground = Ground::new(config)?;
        let doors = Doors::open(&ground)?;
        Ok(Self {
            ground,
            relays: Relays::default(),
            doors,
        })
    }

    /// Takes all of `batch`: packets from the program's side of the link.
    pub fn receive(&mut self, now: Instant, batch: &mut Vec<Packet>) {
        self.ground.now = now;
        let link = self.ground.link;
        self.ground.host.receive(now, link, batch);
        self.settle();
    }

    /// Appends up to `max` packets to the program's side of the link to `out`.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut VecDeque<Packet>, max: usize) {
        self.ground.now = now;
        self.ground.host.poll_transmit(now, self.ground.link, out, max);
        // Room in a send buffer may have been made.
        self.settle();
    }

    /// When to call [`Gateway::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = [self.ground.host.poll_timeout(), self.relays.poll_timeout()];
        own.into_iter().flatten().min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ground.now = now;
        self.ground.host.handle_timeout(now);
        self.relays.handle_timeout(&mut self.ground);
        self.settle();
    }

    /// Serves the kernel sockets that are ready. Call it when the gateway's descriptor ([`AsFd`]) is readable.
    pub fn handle_io(&mut self, now: Instant) {
        self.ground.now = now;
        for (token, ready) in self.ground.poller.events() {
            match token.kind {
                Kind::Relay => self.relays.on_ready(&mut self.ground, token.key, ready),
                Kind::Listener => {
                    if let Some(door) = self.doors.get(token.key) {
                        self.relays.on_client(&mut self.ground, &self.doors, door);
                    }
                }
                Kind::Udp | Kind::Echo | Kind::Query => {}
            }
        }
        self.settle();
    }

    /// The program began to listen: publishes its port as the policy says. `None` when the policy says not to, an error when the machine
    /// has no such port free: worth a warning, not a failure.
    pub fn on_listen(&mut self, what: Publish) -> Option<io::Result<SocketAddr>> {
        self.doors.on_listen(&self.ground, what)
    }

    /// Publishes a port, whatever the policy. Returns the machine's address for it.
    ///
    /// # Errors
    /// When the machine's port cannot be had; the text says which and why.
    pub fn publish(&mut self, what: Publish) -> io::Result<SocketAddr> {
        self.doors.publish(&self.ground, what)
    }

    /// The program no longer listens there. Connections that exist go on.
    pub fn unpublish(&mut self, protocol: Protocol, inside: SocketAddr) {
        self.doors.unpublish(protocol, inside);
    }

    /// All flows there are, then the latest that ended.
    pub fn flows(&self) -> Vec<Flow> {
        let ended = self.ground.history.iter().cloned();
        self.relays.flows(&self.ground).chain(ended).collect()
    }

    /// What the link did so far, for the built-in page: its owner says so from time to time.
    pub fn set_link_report(&mut self, report: LinkReport) {
        self.ground.report = report;
    }

    /// Totals.
    pub fn counters(&self) -> &GatewayCounters {
        &self.ground.counters
    }

    /// The gateway's end of the link, for its counters.
    pub fn host(&self) -> &Host {
        &self.ground.host
    }

    /// Names that the program asked for and the addresses it was given.
    pub fn answers(&self) -> &Answers {
        &self.ground.answers
    }

    /// The name that was last answered with `address`.
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.ground.answers.name_of(address)
    }

    /// Carries what the host has to say to those who wait for it, until it has nothing more.
    fn settle(&mut self) {
        loop {
            if let Some(stray) = self.ground.host.poll_stray() {
                self.on_stray(stray);
            } else if let Some(event) = self.ground.host.poll_event() {
                self.on_event(event);
            } else {
                return;
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let SocketId::Tcp(id) = event.socket else { return };
        match self.ground.owners.get(&id) {
            Some(&Owner::Relay(key)) => self.relays.on_event(&mut self.ground, key),
            Some(Owner::Service(_)) | None => {}
        }
    }

    fn on_stray(&mut self, stray: Stray) {
        let now = self.ground.now;
        match stray {
            Stray::Syn { id, local, remote } => match self.destination(Protocol::Tcp, local) {
                Destination::Outside => self.relays.on_syn(&mut self.ground, id, remote, local),
                Destination::Many => drop(self.ground.host.answer_syn(now, id, SynAnswer::Ignore)),
                Destination::NoHost => {
                    let answer = SynAnswer::Unreachable(Unreachable::Host);
                    self.ground.host.answer_syn(now, id, answer);
                }
                Destination::Services | Destination::Names | Destination::Nobody => {
                    self.ground.host.answer_syn(now, id, SynAnswer::Refuse);
                }
            },
            Stray::Datagram {
                local, remote, data, ..
            } => {
                let what = Refused::Datagram {
                    local,
                    remote,
                    len: data.len(),
                };
                match self.destination(Protocol::Udp, local) {
                    Destination::Many => self.ground.counters.udp_dropped += 1,
                    Destination::NoHost => self.ground.host.refuse(now, what, Unreachable::Host),
                    _ => self.ground.host.refuse(now, what, Unreachable::Port),
                }
            }
            Stray::Echo { echo, .. } => {
                self.ground.counters.echo_requests += 1;
                let what = Refused::Echo {
                    local: echo.local,
                    remote: echo.remote,
                    ident: echo.ident,
                    sequence: echo.sequence,
                };
                self.ground.host.refuse(now, what, Unreachable::Prohibited);
            }
        }
    }

    fn destination(&self, protocol: Protocol, to: SocketAddr) -> Destination {
        let address = to.ip();
        let many = match address {
            IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.octets() == [10, 0, 2, 255],
            IpAddr::V6(v6) => v6.is_multicast(),
        };
        if many {
            Destination::Many
        } else if addresses::is_gateway(address) {
            Destination::Services
        } else if addresses::is_names(address) {
            if to.port() == 53 {
                Destination::Names
            } else {
                Destination::Nobody
            }
        } else if addresses::is_inside(address) {
            Destination::NoHost
        } else if address.is_loopback() && (!self.ground.config.host_loopback || self.doors.leads_back(protocol, to)) {
            Destination::Nobody
        } else {
            Destination::Outside
        }
    }
}

impl AsFd for Gateway {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ground.poller.as_fd()
    }
}
