//! The gateway: a [`Host`] that answers for any address and relays what it accepts to kernel sockets.
//!
//! Among tokio's tasks [`Gateway::run`] serves a link with it. Otherwise its owner moves packets between it and the program's host, and calls
//! [`Gateway::handle_io`] when its descriptor is readable. It has no threads and never blocks. A policy may decide about each flow: allow,
//! refuse, drop, redirect, or take it over ([`Gateway::set_policy`]). The inside network is 10.0.2.0/24 and fd00::/64 (see [`crate::addresses`]); every other address is the
//! machine's network, and 127.0.0.0/8 and ::1 are the machine's own loopback. Addresses of the machine's network that happen to lie in the
//! inside network cannot be reached.
//!
//! What is not relayed: multicast and broadcast, urgent data, IP options, hop limits and traffic classes; keepalive probes end at the
//! gateway. An ICMP error of the machine's network arrives as one of the gateway's own, of the same kind.
//!
//! ```no_run
//! use sockeye::gateway::{Gateway, GatewayConfig};
//! use sockeye_core::{Instant, Packet};
//! use std::collections::VecDeque;
//!
//! fn main() -> std::io::Result<()> {
//!     let mut gateway = Gateway::new(GatewayConfig::default())?;
//!     let start = std::time::Instant::now();
//!     loop {
//!         let now = Instant::ZERO + start.elapsed();
//!         let mut from_program: Vec<Packet> = Vec::new(); // from the other end of your link
//!         gateway.receive(now, &mut from_program);
//!         gateway.handle_io(now);
//!         if gateway.poll_timeout().is_some_and(|at| at <= now) {
//!             gateway.handle_timeout(now);
//!         }
//!         let mut to_program = VecDeque::new();
//!         gateway.poll_transmit(now, &mut to_program, 64);
//!         // Hand `to_program` over, then wait for your link, the gateway's descriptor, or its timeout.
//!     }
//! }
//! ```

mod attend;
mod config;
mod counters;
mod decision;
mod dns;
mod echo;
mod ground;
mod kernel;
mod poller;
mod publish;
mod relay;
mod run;
mod tcp;
mod udp;

pub use config::{GatewayConfig, Limits};
pub use counters::{Direction, Flow, FlowState, GatewayCounters, LinkCounters, LinkReport, Protocol};
pub use decision::{Decision, Request};
pub use publish::{BadRule, Publish, PublishPolicy, PublishRule};

use crate::addresses;
use crate::names::{Answers, resolv_conf as names};
use crate::services::{Framed, Service, datagram};
use attend::Visits;
use bytes::Bytes;
use decision::{Judge, Ruling};
use dns::{Asker, Dns};
use echo::Pings;
use ground::{Ground, Owner};
use poller::{Key, Kind, Ready, Token};
use publish::Doors;
use sockeye_core::socket::{Echo, Event, Outgoing, Refused, SocketId, Stray, SynAnswer, SynId, Unreachable};
use sockeye_core::{Host, Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use tcp::{Relays, Target};
use udp::Mappings;

/// A host for any address, and the kernel sockets behind it.
#[derive(Debug)]
pub struct Gateway {
    ground: Ground,
    relays: Relays,
    mappings: Mappings,
    pings: Pings,
    visits: Visits,
    dns: Dns,
    doors: Doors,
    judge: Judge,
    /// Empty; kept for its room.
    ready: Vec<(Token, Ready)>,
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
        let dns = Dns::new(&ground);
        Ok(Self {
            ground,
            relays: Relays::default(),
            mappings: Mappings::default(),
            pings: Pings::default(),
            visits: Visits::default(),
            dns,
            doors,
            judge: Judge::default(),
            ready: Vec::new(),
        })
    }

    /// Has `policy` decide about each TCP connection and each pair of UDP addresses that goes from inside to the machine's network or its
    /// loopback, before anything is opened or answered. Without a policy all are allowed. The built-in services, the name server and published
    /// ports are not asked about. While there is a policy, pings are answered "prohibited".
    ///
    /// A decision about datagrams is remembered for a while; TCP is asked about each time.
    pub fn set_policy(&mut self, policy: impl FnMut(&Request<'_>) -> Decision + Send + 'static) {
        self.judge.set_policy(Box::new(policy));
    }

    /// Says how to find the process that an address and port inside belongs to, for [`Request::process`]: whoever runs the program may know.
    pub fn set_processes(&mut self, find: impl FnMut(Protocol, SocketAddr) -> Option<u32> + Send + 'static) {
        self.judge.set_processes(Box::new(find));
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
        let all = [
            self.ground.host.poll_timeout(),
            self.relays.poll_timeout(),
            self.mappings.poll_timeout(),
            self.pings.poll_timeout(),
            self.visits.poll_timeout(),
            self.dns.poll_timeout(),
        ];
        all.into_iter().flatten().min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ground.now = now;
        self.ground.host.handle_timeout(now);
        self.relays.handle_timeout(&mut self.ground);
        self.mappings.handle_timeout(&mut self.ground);
        self.pings.handle_timeout(&self.ground);
        self.visits.handle_timeout(&mut self.ground);
        self.dns.handle_timeout(&mut self.ground);
        self.settle();
    }

    /// Serves the kernel sockets that are ready. Call it when the gateway's descriptor ([`AsFd`]) is readable.
    pub fn handle_io(&mut self, now: Instant) {
        self.ground.now = now;
        let mut ready = std::mem::take(&mut self.ready);
        self.ground.poller.poll(&mut ready);
        for (token, ready) in ready.drain(..) {
            let ground = &mut self.ground;
            match token.kind {
                Kind::Relay => self.relays.on_ready(ground, token.key, ready),
                Kind::Udp => self.mappings.on_ready(ground, token.key, ready),
                Kind::Echo => self.pings.on_ready(ground, token.key, ready),
                Kind::Query => self.dns.on_ready(ground, token.key, ready),
                Kind::Listener => self.on_door(token.key),
            }
        }
        self.ready = ready;
        self.settle();
    }

    fn on_door(&mut self, key: Key) {
        let Some(door) = self.doors.get(key) else { return };
        match door.protocol {
            Protocol::Tcp => self.relays.on_client(&mut self.ground, &self.doors, door),
            Protocol::Udp => self.mappings.on_door(&mut self.ground, &self.doors, key, door),
        }
    }

    /// The program began to listen on a TCP port, or bound a UDP socket to a port it named: publishes that port as the policy says. `None`
    /// when the policy says not to, an error when the machine has no such port free: worth a warning, not a failure.
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

    /// All published ports: which transport, where on the machine, which port of the program.
    pub fn published(&self) -> impl Iterator<Item = (Protocol, SocketAddr, u16)> {
        self.doors.iter().map(|door| (door.protocol, door.outside, door.port))
    }

    /// All flows there are, then the latest that ended.
    pub fn flows(&self) -> Vec<Flow> {
        let ground = &self.ground;
        let live = self
            .relays
            .flows(ground)
            .chain(self.visits.flows(ground))
            .chain(self.mappings.flows(ground));
        live.chain(ground.history.iter().cloned()).collect()
    }

    /// True when nothing that the program sent waits here for the outside, and the program has ended all it sent.
    pub fn all_passed_on(&self) -> bool {
        self.relays.all_passed_on()
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

    /// Carries what the parts have to say to each other, until none has anything more.
    fn settle(&mut self) {
        loop {
            if let Some(stray) = self.ground.host.poll_stray() {
                self.on_stray(stray);
            } else if let Some(event) = self.ground.host.poll_event() {
                self.on_event(event);
            } else if let Some((key, question)) = self.visits.poll_question() {
                if !self.dns.on_question(&mut self.ground, Asker::Stream(key), &question) {
                    self.visits.on_answer(&mut self.ground, key, None);
                }
            } else if let Some((asker, answer)) = self.dns.poll_answer() {
                self.on_answer(asker, answer);
            } else if let Some(key) = self.visits.poll_gone() {
                self.dns.on_asker_gone(key);
            } else {
                return;
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let SocketId::Tcp(id) = event.socket else { return };
        match self.ground.owners.get(&id) {
            Some(&Owner::Relay(key)) => self.relays.on_event(&mut self.ground, key),
            Some(&Owner::Service(key)) => self.visits.on_event(&mut self.ground, key),
            None => {}
        }
    }

    fn on_answer(&mut self, asker: Asker, answer: Vec<u8>) {
        match asker {
            Asker::Stream(key) => self.visits.on_answer(&mut self.ground, key, Some(answer)),
            Asker::Datagram { local, remote } => self.send_datagram(local, remote, answer.into()),
        }
    }

    fn on_stray(&mut self, stray: Stray) {
        match stray {
            Stray::Syn { id, local, remote } => self.on_syn(id, local, remote),
            Stray::Datagram {
                local, remote, data, ..
            } => self.on_datagram(local, remote, &data),
            Stray::Echo { echo, .. } => self.on_echo(echo),
        }
    }

    fn on_syn(&mut self, id: SynId, local: SocketAddr, remote: SocketAddr) {
        let ground = &mut self.ground;
        let answer = match destination(&ground.config, &self.doors, &mut self.dns, Protocol::Tcp, local) {
            Destination::Outside => {
                let name = ground.answers.name_of(local.ip());
                match self.judge.decide(Protocol::Tcp, remote, local, name) {
                    Decision::Allow => return self.relays.on_syn(ground, id, remote, local, Target::Kernel(local)),
                    Decision::Redirect(to) => return self.relays.on_syn(ground, id, remote, local, Target::Kernel(to)),
                    Decision::Handle(to) => return self.relays.on_syn(ground, id, remote, local, Target::Stream(to)),
                    Decision::Refuse => SynAnswer::Refuse,
                    Decision::Drop => SynAnswer::Ignore,
                }
            }
            Destination::Services => {
                return self.visits.on_syn(ground, id, remote, local, Service::at(local.port()));
            }
            Destination::Names => {
                let service = Service::Names(Framed::default());
                return self.visits.on_syn(ground, id, remote, local, Some(service));
            }
            Destination::Nobody => SynAnswer::Refuse,
            Destination::NoHost => SynAnswer::Unreachable(Unreachable::Host),
            Destination::Many => SynAnswer::Ignore,
        };
        ground.host.answer_syn(ground.now, id, answer);
    }

    fn on_datagram(&mut self, local: SocketAddr, remote: SocketAddr, data: &Bytes) {
        let ground = &mut self.ground;
        if self.mappings.on_reply(ground, &self.doors, remote, local, data) {
            return;
        }
        let why = match destination(&ground.config, &self.doors, &mut self.dns, Protocol::Udp, local) {
            Destination::Outside => {
                let name = ground.answers.name_of(local.ip());
                match self.judge.rule(remote, local, name) {
                    Ruling::To(to) => return self.mappings.on_datagram(ground, remote, local, to, data),
                    Ruling::Refuse => Unreachable::Port,
                    Ruling::Drop => return ground.counters.udp_dropped += 1,
                }
            }
            Destination::Names => {
                self.dns.on_question(ground, Asker::Datagram { local, remote }, data);
                return;
            }
            Destination::Services => match datagram(local.port(), data) {
                Some(Some(answer)) => return self.send_datagram(local, remote, answer),
                Some(None) => return,
                None => Unreachable::Port,
            },
            Destination::Many => return self.ground.counters.udp_dropped += 1,
            Destination::Nobody => Unreachable::Port,
            Destination::NoHost => Unreachable::Host,
        };
        let len = data.len();
        ground
            .host
            .refuse(ground.now, Refused::Datagram { local, remote, len }, why);
    }

    fn on_echo(&mut self, echo: Echo) {
        let ground = &mut self.ground;
        ground.counters.echo_requests += 1;
        let at = SocketAddr::new(echo.local, 0);
        let why = match destination(&ground.config, &self.doors, &mut self.dns, Protocol::Udp, at) {
            Destination::Outside if !self.judge.is_in_office() => return self.pings.on_echo(ground, echo),
            Destination::Many => return,
            Destination::NoHost => Unreachable::Host,
            Destination::Outside | Destination::Services | Destination::Names | Destination::Nobody => {
                Unreachable::Prohibited
            }
        };
        let what = Refused::Echo {
            local: echo.local,
            remote: echo.remote,
            ident: echo.ident,
            sequence: echo.sequence,
        };
        ground.host.refuse(ground.now, what, why);
    }

    fn send_datagram(&mut self, local: SocketAddr, remote: SocketAddr, data: Bytes) {
        let outgoing = Outgoing {
            data,
            ..Outgoing::default()
        };
        if self
            .ground
            .host
            .send_datagram(self.ground.now, local, remote, outgoing)
            .is_err()
        {
            self.ground.counters.udp_dropped += 1;
        }
    }
}

/// Where something sent to `to` belongs.
fn destination(
    config: &GatewayConfig,
    doors: &Doors,
    dns: &mut Dns,
    protocol: Protocol,
    to: SocketAddr,
) -> Destination {
    let address = to.ip();
    let many = match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.octets() == [10, 0, 2, 255],
        IpAddr::V6(v6) => v6.is_multicast(),
    };
    if many {
        Destination::Many
    } else if dns.is_listed(to) {
        Destination::Names
    } else if addresses::is_gateway(address) {
        Destination::Services
    } else if addresses::is_names(address) {
        if to.port() == names::PORT {
            Destination::Names
        } else {
            Destination::Nobody
        }
    } else if addresses::is_inside(address) || is_nowhere(address) {
        Destination::NoHost
    } else if address.is_loopback() && (!config.host_loopback || doors.leads_back(protocol, to)) {
        Destination::Nobody
    } else {
        Destination::Outside
    }
}

/// Addresses that name no host on any network. The kernel takes some of them for the machine itself. RFC 6890.
fn is_nowhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unspecified() || v6.to_ipv4_mapped().is_some(),
    }
}

impl AsFd for Gateway {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ground.poller.as_fd()
    }
}
