//! Ports: who holds which, who may share, and which one a socket gets that does not care.
//!
//! It decides by claims: one for each bound socket, and one for all connections alike that live on a port (children of a listener,
//! connections whose port was chosen here), counted. Whoever holds a claim releases it exactly once. It knows neither addresses of
//! interfaces (the caller checks that a local address is ours) nor packets (`demux` finds sockets).
//!
//! Spec: RFC 6335 §6 (the three ranges; all of them open to anyone here), RFC 6056 §3.3.4 (choice by double hash) and §3.3.5 (random
//! steps). The rules of sharing are those of Linux, socket(7) and ip(7), which no RFC writes down.

use crate::error::{BindError, ListenError};
use crate::keys::{Key, Keys, below};
use crate::slab::Slab;
use crate::socket::BindOptions;
use crate::tuple::{FourTuple, Transport};
use rand::Rng;
use rand::rngs::ChaCha12Rng;
use std::net::{IpAddr, SocketAddr};

/// No claim: for what takes no port, such as a connection accepted for an address that is not ours. Releasing it does nothing.
pub(crate) const NO_CLAIM: u32 = u32::MAX;

/// The end of a port's list of claims.
const END: u32 = u32::MAX;
/// Entries of RFC 6056's table of counters. More of them let a watcher of one destination learn less about the others.
const INCREMENTS: usize = 8_192;
/// Ports tried at random before the search walks.
const RANDOM_PROBES: u32 = 16;
/// Steps between chosen ports are 1 to this. RFC 6056 §3.3.5 N.
const LARGEST_STEP: u64 = 8;

/// All claims of one host.
#[derive(Debug)]
pub(crate) struct Ports {
    claims: Slab<Claim>,
    tcp: Heads,
    udp: Heads,
    /// F and G of RFC 6056 §3.3.4.
    offset_key: Key,
    counter_key: Key,
    /// RFC 6056's table; filled when first used.
    increments: Vec<u16>,
    rng: ChaCha12Rng,
}

/// One holder of a port, or several alike.
#[derive(Debug)]
struct Claim {
    transport: Transport,
    kind: Kind,
    options: BindOptions,
    port: u16,
    local: IpAddr,
    /// The address it was bound to, before `settle`.
    bound: IpAddr,
    /// Sockets that share this claim: more than 1 only for `Child` and `Chosen`.
    count: u32,
    next: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A socket that asked for its port (or for any) by bind.
    Bound,
    /// As `Bound`, and a TCP listener.
    Listening,
    /// Connections that a listener accepted.
    Child,
    /// Connections whose port was chosen at connect.
    Chosen,
}

impl Ports {
    /// No port taken.
    pub(crate) fn new(keys: &Keys) -> Self {
        Self {
            claims: Slab::new(),
            tcp: Heads::default(),
            udp: Heads::default(),
            offset_key: keys.key("port offset"),
            counter_key: keys.key("port counter"),
            increments: Vec::new(),
            rng: keys.secret_stream("ports"),
        }
    }

    /// Takes `local` for one socket; port 0 gets one of `range` (inclusive). Returns the port and the claim.
    ///
    /// # Errors
    /// `AddressInUse` when another holds an overlapping address and not both allow sharing; `PortsExhausted` when port 0 finds none.
    pub(crate) fn claim_bind(
        &mut self,
        transport: Transport,
        local: SocketAddr,
        options: BindOptions,
        range: (u16, u16),
    ) -> Result<(u16, u32), BindError> {
        let address = local.ip().to_canonical();
        let port = match local.port() {
            0 => self
                .free_port(transport, address, options, range)
                .ok_or(BindError::PortsExhausted)?,
            port if self.may_share(transport, port, address, options, END) => port,
            _ => return Err(BindError::AddressInUse),
        };
        Ok((port, self.add(transport, port, address, options, Kind::Bound)))
    }

    /// Makes a bound TCP socket a listener, which shares less than a bound one.
    ///
    /// # Errors
    /// `AddressInUse` when another listener came first, both bound with `SO_REUSEADDR` only.
    pub(crate) fn claim_listen(&mut self, claim: u32) -> Result<(), ListenError> {
        let Some(held) = self.claims.at(claim) else {
            return Ok(());
        };
        if !self.may_share(held.transport, held.port, held.local, held.options, claim) {
            return Err(ListenError::AddressInUse);
        }
        if let Some(held) = self.claims.at_mut(claim) {
            held.kind = Kind::Listening;
        }
        Ok(())
    }

    /// The claim of a connection that a listener accepted on address `local`. It lives on when the listener has gone, and keeps the port from
    /// a bind without `SO_REUSEADDR`.
    pub(crate) fn claim_child(&mut self, listener: u32, local: IpAddr) -> u32 {
        let Some(held) = self.claims.at(listener) else {
            return NO_CLAIM;
        };
        let (transport, port, options) = (held.transport, held.port, held.options);
        self.join(transport, port, local.to_canonical(), options, Kind::Child)
    }

    /// Chooses a port for a TCP connection from `local` to `remote` out of `range` (inclusive): RFC 6056 algorithm 4 with random steps. One
    /// port serves many destinations; `taken` tells whether this very 4-tuple exists. Ports that someone bound are left alone. `None` when
    /// every port is taken towards this destination.
    pub(crate) fn claim_connect(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        range: (u16, u16),
        mut taken: impl FnMut(u16) -> bool,
    ) -> Option<(u16, u32)> {
        let local = local.to_canonical();
        let ends = FourTuple::new(SocketAddr::new(local, 0), remote);
        let number = u64::from(range.1.checked_sub(range.0)?) + 1;
        if self.increments.is_empty() {
            self.increments = (0..INCREMENTS).map(|_| self.rng.next_u32() as u16).collect();
        }
        let counter = ends.hash(&self.counter_key, 0) as usize % INCREMENTS;
        let start = ends.hash(&self.offset_key, 0) % number + u64::from(self.increments[counter]);
        let chosen = (0..number).find_map(|step| {
            let port = range.0 + ((start + step) % number) as u16;
            let free = port != 0 && !self.is_bound(Transport::Tcp, port) && !taken(port);
            free.then_some((step, port))
        });
        let (step, port) = chosen?;
        let ahead = step + 1 + below(&mut self.rng, LARGEST_STEP);
        self.increments[counter] = self.increments[counter].wrapping_add(ahead as u16);
        Some((
            port,
            self.join(Transport::Tcp, port, local, BindOptions::default(), Kind::Chosen),
        ))
    }

    /// A socket bound to any address has connected from `local`: the other addresses are free again for others.
    pub(crate) fn settle(&mut self, claim: u32, local: IpAddr) {
        if let Some(held) = self.claims.at_mut(claim).filter(|held| held.kind == Kind::Bound) {
            held.local = local.to_canonical();
        }
    }

    /// A socket has dissolved its connection and waits on the address again that it was bound to.
    pub(crate) fn unsettle(&mut self, claim: u32) {
        if let Some(held) = self.claims.at_mut(claim).filter(|held| held.kind == Kind::Bound) {
            held.local = held.bound;
        }
    }

    /// Lets go of a claim, once for each time that one was handed out.
    pub(crate) fn release(&mut self, claim: u32) {
        let Some(held) = self.claims.at_mut(claim) else {
            debug_assert_eq!(claim, NO_CLAIM, "a claim released twice");
            return;
        };
        held.count -= 1;
        if held.count > 0 {
            return;
        }
        let (transport, port, next) = (held.transport, held.port, held.next);
        let generation = self.claims.generation(claim).unwrap_or_default();
        let _ = self.claims.remove(claim, generation);
        let head = self.head(transport, port);
        if head == claim {
            self.heads_mut(transport).set(port, next);
            return;
        }
        let mut at = head;
        while let Some(held) = self.claims.at_mut(at) {
            if held.next == claim {
                held.next = next;
                return;
            }
            at = held.next;
        }
        debug_assert!(false, "claim {claim} was not on the list of port {port}");
    }

    /// Claims held, those that several sockets share counted once.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.claims.len()
    }

    /// A port for a bind that leaves the choice to us. RFC 6056 §3.3.1: random, then the next free one. First one that nobody holds at this
    /// address; only when there is none, one that may be shared.
    fn free_port(
        &mut self,
        transport: Transport,
        address: IpAddr,
        options: BindOptions,
        range: (u16, u16),
    ) -> Option<u16> {
        let number = u64::from(range.1.checked_sub(range.0)?) + 1;
        let mut start = 0;
        for _ in 0..RANDOM_PROBES {
            start = below(&mut self.rng, number);
            let port = range.0 + start as u16;
            if self.is_free(transport, port, address, options) {
                return Some(port);
            }
        }
        let mut walk = (0..number).map(|step| range.0 + ((start + step) % number) as u16);
        walk.clone()
            .find(|port| self.is_free(transport, *port, address, options))
            .or_else(|| walk.find(|port| *port != 0 && self.may_share(transport, *port, address, options, END)))
    }

    fn is_free(&self, transport: Transport, port: u16, address: IpAddr, options: BindOptions) -> bool {
        port != 0
            && !self
                .on(transport, port)
                .any(|(_, held)| overlap(address, options, held.local, held.options))
    }

    /// True when no claim on the port (but `but`) forbids this one.
    fn may_share(&self, transport: Transport, port: u16, address: IpAddr, options: BindOptions, but: u32) -> bool {
        !self
            .on(transport, port)
            .any(|(claim, held)| claim != but && held.forbids(address, options))
    }

    /// True when someone bound the port, or a listener's connections live on it.
    fn is_bound(&self, transport: Transport, port: u16) -> bool {
        self.on(transport, port).any(|(_, held)| held.kind != Kind::Chosen)
    }

    fn on(&self, transport: Transport, port: u16) -> impl Iterator<Item = (u32, &Claim)> {
        let claim = |at: u32| Some((at, self.claims.at(at)?));
        std::iter::successors(claim(self.head(transport, port)), move |(_, held)| claim(held.next))
    }

    /// One more of what is alike.
    fn join(&mut self, transport: Transport, port: u16, local: IpAddr, options: BindOptions, kind: Kind) -> u32 {
        let alike = |held: &Claim| held.kind == kind && held.local == local && held.options == options;
        let found = self
            .on(transport, port)
            .find(|(_, held)| alike(held))
            .map(|(claim, _)| claim);
        match found.and_then(|claim| Some((claim, self.claims.at_mut(claim)?))) {
            Some((claim, held)) => {
                held.count += 1;
                claim
            }
            None => self.add(transport, port, local, options, kind),
        }
    }

    fn add(&mut self, transport: Transport, port: u16, local: IpAddr, options: BindOptions, kind: Kind) -> u32 {
        let next = self.head(transport, port);
        let claim = Claim {
            transport,
            kind,
            options,
            port,
            local,
            bound: local,
            count: 1,
            next,
        };
        let (index, _) = self.claims.insert(claim);
        self.heads_mut(transport).set(port, index);
        index
    }

    fn head(&self, transport: Transport, port: u16) -> u32 {
        match transport {
            Transport::Tcp => self.tcp.get(port),
            Transport::Udp => self.udp.get(port),
        }
    }

    fn heads_mut(&mut self, transport: Transport) -> &mut Heads {
        match transport {
            Transport::Tcp => &mut self.tcp,
            Transport::Udp => &mut self.udp,
        }
    }
}

impl Claim {
    /// True when this claim keeps a socket with these options from `address`: the addresses overlap, and the two have neither
    /// `SO_REUSEPORT` in common nor (unless this one listens) `SO_REUSEADDR`.
    fn forbids(&self, address: IpAddr, options: BindOptions) -> bool {
        let shared_port = self.options.reuse_port && options.reuse_port;
        let shared_address = self.options.reuse_address && options.reuse_address && self.kind != Kind::Listening;
        overlap(address, options, self.local, self.options) && !shared_port && !shared_address
    }
}

/// True when packets to one could be meant for the other: equal addresses, or one is the wildcard and covers the other's family.
fn overlap(one: IpAddr, one_options: BindOptions, other: IpAddr, other_options: BindOptions) -> bool {
    let covers = |wild: IpAddr, options: BindOptions, what: IpAddr| {
        wild.is_unspecified() && (wild.is_ipv4() == what.is_ipv4() || (wild.is_ipv6() && !options.only_v6))
    };
    one == other || covers(one, one_options, other) || covers(other, other_options, one)
}

/// The first claim of every port, in pages that exist once one of their ports was taken.
#[derive(Debug, Default)]
struct Heads {
    pages: Vec<Option<Box<[u32; 256]>>>,
}

impl Heads {
    fn get(&self, port: u16) -> u32 {
        match self.pages.get(usize::from(port >> 8)) {
            Some(Some(page)) => page[usize::from(port & 0xff)],
            _ => END,
        }
    }

    fn set(&mut self, port: u16, head: u32) {
        if self.pages.is_empty() {
            self.pages.resize(256, None);
        }
        let page = self.pages[usize::from(port >> 8)].get_or_insert_with(|| Box::new([END; 256]));
        page[usize::from(port & 0xff)] = head;
    }
}

#[cfg(test)]
mod tests;
