//! UDP relays. Each socket inside that sends to the machine's network has one kernel socket, whoever it sends to: others see one address
//! and port, and whoever they tell it may answer (RFC 4787 REQ-1 and REQ-8, endpoint-independent mapping and filtering, which peer-to-peer
//! programs, STUN and TFTP count on). Replies carry the address they came from. ICMP errors come back through the kernel's error queue.
//!
//! A kernel socket goes after [`IDLE`] without a datagram, or [`IDLE_CONVERSATION`] once both sides spoke several times (RFC 4787 REQ-5).

use super::counters::{Direction, Flow, FlowState, Protocol};
use super::ground::Ground;
use super::kernel;
use super::poller::{Arena, Key, Kind, Ready};
use super::publish::{Door, Doors};
use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{SendFlags, sendto, sockopt};
use sockeye_core::Instant;
use sockeye_core::socket::{Outgoing, Refused, Unreachable};
use sockeye_sys::net::{self, Inbox, Origin};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// An unanswered question waits so long for its answer.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// A conversation may pause so long.
pub(super) const IDLE_CONVERSATION: Duration = Duration::from_secs(180);
/// How often idle ones are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// Batches received from one socket in one turn; more wait for the next, so that one flood does not starve the rest.
const BATCHES: usize = 8;
/// Remotes of one socket that are counted one by one; further ones are relayed uncounted.
const PEERS: usize = 256;

/// Counts of one conversation.
#[derive(Clone, Copy, Debug)]
struct Talk {
    opened: Instant,
    sent: u64,
    received: u64,
    datagrams: (u32, u32),
}

impl Talk {
    fn new(opened: Instant) -> Self {
        Self {
            opened,
            sent: 0,
            received: 0,
            datagrams: (0, 0),
        }
    }

    fn on_sent(&mut self, len: usize) {
        self.sent += len as u64;
        self.datagrams.0 = self.datagrams.0.saturating_add(1);
    }

    fn on_received(&mut self, len: usize) {
        self.received += len as u64;
        self.datagrams.1 = self.datagrams.1.saturating_add(1);
    }

    /// How long it may stay silent.
    fn patience(&self) -> Duration {
        if self.datagrams.0 > 1 && self.datagrams.1 > 1 {
            IDLE_CONVERSATION
        } else {
            IDLE
        }
    }

    fn flow(&self, ground: &Ground, direction: Direction, inside: SocketAddr, outside: SocketAddr) -> Flow {
        Flow {
            protocol: Protocol::Udp,
            direction,
            inside,
            outside,
            name: ground.answers.name_of(outside.ip()).map(str::to_owned),
            state: FlowState::Open,
            sent: self.sent,
            received: self.received,
            opened: self.opened.as_micros(),
            connect_time: None,
            rtt: None,
            min_rtt: None,
            retransmissions: 0,
        }
    }
}

/// The kernel socket of one socket inside.
#[derive(Debug)]
struct Mapping {
    fd: OwnedFd,
    inside: SocketAddr,
    peers: BTreeMap<SocketAddr, Talk>,
    /// Who is spoken with in whose place.
    redirects: BTreeMap<SocketAddr, SocketAddr>,
    last: Instant,
}

impl Mapping {
    /// The address that the program knows a remote by.
    fn seen(&self, remote: SocketAddr) -> SocketAddr {
        self.redirects.get(&remote).copied().unwrap_or(remote)
    }

    fn patience(&self) -> Duration {
        self.peers.values().map(Talk::patience).max().unwrap_or(IDLE)
    }
}

/// A client of a published port, under the address that the program knows it by.
#[derive(Debug)]
struct Guest {
    door: Key,
    client: SocketAddr,
    inside: SocketAddr,
    talk: Talk,
    last: Instant,
}

/// All UDP relays.
#[derive(Debug, Default)]
pub(super) struct Mappings {
    mappings: Arena<Mapping>,
    by_inside: HashMap<SocketAddr, Key>,
    guests: HashMap<SocketAddr, Guest>,
    guest_of: HashMap<(Key, SocketAddr), SocketAddr>,
    unfinished: Vec<Key>,
    next_sweep: Option<Instant>,
    inbox: Inbox,
}

impl Mappings {
    pub(super) fn flows<'a>(&'a self, ground: &'a Ground) -> impl Iterator<Item = Flow> + 'a {
        let out = self.mappings.iter().flat_map(move |(_, mapping)| {
            let talks = mapping.peers.iter();
            talks.map(move |(peer, talk)| talk.flow(ground, Direction::Out, mapping.inside, *peer))
        });
        let guests = self.guests.values();
        out.chain(guests.map(move |guest| guest.talk.flow(ground, Direction::In, guest.inside, guest.client)))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.unfinished.is_empty() {
            self.next_sweep
        } else {
            Some(Instant::ZERO)
        }
    }

    pub(super) fn handle_timeout(&mut self, ground: &mut Ground) {
        for key in std::mem::take(&mut self.unfinished) {
            self.receive(ground, key);
        }
        if self.next_sweep.is_some_and(|at| at <= ground.now) {
            self.sweep(ground);
        }
    }

    fn sweep(&mut self, ground: &mut Ground) {
        let now = ground.now;
        let idle = |mapping: &Mapping| now.since(mapping.last) >= mapping.patience();
        let old: Vec<Key> = self
            .mappings
            .iter()
            .filter(|(_, mapping)| idle(mapping))
            .map(|(key, _)| key)
            .collect();
        for key in old {
            self.remove(ground, key);
        }
        let gone = |guest: &Guest| now.since(guest.last) >= guest.talk.patience();
        let old: Vec<SocketAddr> = self
            .guests
            .iter()
            .filter(|(_, guest)| gone(guest))
            .map(|(at, _)| *at)
            .collect();
        for at in old {
            self.remove_guest(ground, at);
        }
        let any = self.mappings.len() + self.guests.len() > 0;
        self.next_sweep = any.then(|| now + SWEEP);
    }

    fn remove(&mut self, ground: &mut Ground, key: Key) {
        let Some(mapping) = self.mappings.remove(key) else {
            return;
        };
        self.by_inside.remove(&mapping.inside);
        for (peer, talk) in &mapping.peers {
            let flow = talk.flow(ground, Direction::Out, mapping.inside, *peer);
            ground.history.push(Flow {
                state: FlowState::Closed,
                ..flow
            });
        }
    }

    fn remove_guest(&mut self, ground: &mut Ground, at: SocketAddr) {
        let Some(guest) = self.guests.remove(&at) else { return };
        self.guest_of.remove(&(guest.door, guest.client));
        let flow = guest.talk.flow(ground, Direction::In, guest.inside, guest.client);
        ground.history.push(Flow {
            state: FlowState::Closed,
            ..flow
        });
    }

    /// The program sent a datagram to `outside`, which goes `to` there or elsewhere.
    pub(super) fn on_datagram(
        &mut self,
        ground: &mut Ground,
        inside: SocketAddr,
        outside: SocketAddr,
        to: SocketAddr,
        data: &Bytes,
    ) {
        let key = match self.by_inside.get(&inside) {
            Some(key) => *key,
            None => match self.open(ground, inside) {
                Ok(key) => key,
                Err(error) => {
                    tracing::warn!(%error, "cannot open another socket");
                    ground.counters.udp_dropped += 1;
                    return refuse(ground, inside, outside, data.len(), kernel::unreachable(error));
                }
            },
        };
        let Some(mapping) = self.mappings.get_mut(key) else {
            return;
        };
        mapping.last = ground.now;
        if to != outside && (mapping.redirects.len() < PEERS || mapping.redirects.contains_key(&to)) {
            mapping.redirects.insert(to, outside);
        }
        let mut result = send(&mapping.fd, data, to);
        if result.is_err() {
            // The error may be an earlier datagram's: it is told from the queue, and this one gets its own try.
            drain_errors(ground, mapping);
            result = send(&mapping.fd, data, to);
        }
        match result {
            Ok(()) => {
                ground.counters.udp_out += 1;
                if mapping.peers.len() < PEERS || mapping.peers.contains_key(&outside) {
                    let talk = mapping.peers.entry(outside).or_insert_with(|| Talk::new(ground.now));
                    talk.on_sent(data.len());
                }
            }
            Err(Errno::AGAIN | Errno::NOBUFS) => ground.counters.udp_dropped += 1,
            Err(Errno::MSGSIZE) => {
                let mtu = path_mtu(to);
                refuse(ground, inside, outside, data.len(), Unreachable::TooBig(mtu));
            }
            Err(error) => refuse(ground, inside, outside, data.len(), kernel::unreachable(error)),
        }
    }

    fn open(&mut self, ground: &mut Ground, inside: SocketAddr) -> Result<Key, Errno> {
        if self.mappings.len() >= ground.config.limits.udp
            && let Some(oldest) = self
                .mappings
                .iter()
                .min_by_key(|(_, mapping)| mapping.last)
                .map(|(key, _)| key)
        {
            ground.counters.udp_limit += 1;
            self.remove(ground, oldest);
        }
        let fd = kernel::udp(inside.ip(), None)?;
        let _ = net::set_recverr(&fd, inside.is_ipv6());
        kernel::deepen(&fd);
        let mapping = Mapping {
            fd,
            inside,
            peers: BTreeMap::new(),
            redirects: BTreeMap::new(),
            last: ground.now,
        };
        let key = self.mappings.insert(mapping);
        let fd = &self.mappings.get(key).ok_or(Errno::BADF)?.fd;
        if ground.poller.add(fd, Kind::Udp, key).is_err() {
            self.mappings.remove(key);
            return Err(Errno::NOMEM);
        }
        self.by_inside.insert(inside, key);
        self.next_sweep.get_or_insert(ground.now + SWEEP);
        Ok(key)
    }

    /// The kernel socket of a mapping became ready for something.
    pub(super) fn on_ready(&mut self, ground: &mut Ground, key: Key, ready: Ready) {
        let Some(mapping) = self.mappings.get(key) else { return };
        if ready.error {
            drain_errors(ground, mapping);
        }
        if ready.read {
            self.receive(ground, key);
        }
    }

    fn receive(&mut self, ground: &mut Ground, key: Key) {
        let Some(mapping) = self.mappings.get_mut(key) else {
            return;
        };
        let mut errors = 0;
        for _ in 0..BATCHES {
            match self.inbox.receive(&mapping.fd) {
                Ok(n) => {
                    mapping.last = ground.now;
                    for (data, from) in self.inbox.datagrams() {
                        let Some(from) = from else { continue };
                        let from = mapping.seen(from);
                        if let Some(talk) = mapping.peers.get_mut(&from) {
                            talk.on_received(data.len());
                        }
                        deliver(ground, from, mapping.inside, data);
                    }
                    if n < Inbox::MANY {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // An ICMP error, now taken: the queue says which.
                    drain_errors(ground, mapping);
                    errors += 1;
                    if errors > 4 {
                        return;
                    }
                }
            }
        }
        self.unfinished.push(key);
    }

    /// Datagrams wait at a published port.
    pub(super) fn on_door(&mut self, ground: &mut Ground, doors: &Doors, key: Key, door: &Door) {
        if self.inbox.receive(&door.fd).is_err() {
            return;
        }
        for index in 0..Inbox::MANY {
            let Some((data, from)) = self.inbox.datagrams().nth(index) else {
                return;
            };
            let Some(client) = from else { continue };
            let data = ground.host.pool().copy_from_slice(data);
            let Some((at, inside)) = self.guest(ground, doors, key, door, client) else {
                ground.counters.udp_dropped += 1;
                continue;
            };
            if let Some(guest) = self.guests.get_mut(&at) {
                guest.last = ground.now;
                guest.talk.on_received(data.len());
            }
            ground.counters.udp_in += 1;
            send_inside(ground, at, inside, data);
        }
    }

    /// The address under which the program knows a client of a door, and where the client is led to.
    fn guest(
        &mut self,
        ground: &mut Ground,
        doors: &Doors,
        key: Key,
        door: &Door,
        client: SocketAddr,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let (wanted, inside) = doors.way_in(ground, door, client);
        if let Some(known) = self.guest_of.get(&(key, client)) {
            return Some((*known, inside));
        }
        if self.guests.len() >= ground.config.limits.udp {
            ground.counters.udp_limit += 1;
            let oldest = self
                .guests
                .iter()
                .min_by_key(|(_, guest)| guest.last)
                .map(|(at, _)| *at)?;
            self.remove_guest(ground, oldest);
        }
        let ports = (0..64_u16).map(|step| wanted.port().wrapping_add(step * 997).max(1));
        let at = ports
            .map(|port| SocketAddr::new(wanted.ip(), port))
            .find(|at| !self.guests.contains_key(at))?;
        let guest = Guest {
            door: key,
            client,
            inside,
            talk: Talk::new(ground.now),
            last: ground.now,
        };
        self.guests.insert(at, guest);
        self.guest_of.insert((key, client), at);
        self.next_sweep.get_or_insert(ground.now + SWEEP);
        Some((at, inside))
    }

    /// Sends a datagram of the program to a client of a published port, when it is for one.
    pub(super) fn on_reply(
        &mut self,
        ground: &mut Ground,
        doors: &Doors,
        from: SocketAddr,
        to: SocketAddr,
        data: &Bytes,
    ) -> bool {
        let Some(guest) = self
            .guests
            .get_mut(&to)
            .filter(|guest| guest.inside.port() == from.port())
        else {
            return false;
        };
        let Some(door) = doors.get(guest.door) else {
            return false;
        };
        guest.last = ground.now;
        match send(&door.fd, data, guest.client).or_else(|_| send(&door.fd, data, guest.client)) {
            Ok(()) => {
                guest.talk.on_sent(data.len());
                ground.counters.udp_out += 1;
            }
            Err(_) => ground.counters.udp_dropped += 1,
        }
        true
    }
}

fn send(fd: impl AsFd, data: &[u8], to: SocketAddr) -> Result<(), Errno> {
    sendto(fd, data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &to).map(|_| ())
}

/// Hands a datagram from the machine's network to the program.
fn deliver(ground: &mut Ground, from: SocketAddr, inside: SocketAddr, data: &[u8]) {
    let data = ground.host.pool().copy_from_slice(data);
    ground.counters.udp_in += 1;
    send_inside(ground, from, inside, data);
}

fn send_inside(ground: &mut Ground, from: SocketAddr, inside: SocketAddr, data: Bytes) {
    let from = SocketAddr::new(from.ip(), from.port());
    let outgoing = Outgoing {
        data,
        ..Outgoing::default()
    };
    if ground.host.send_datagram(ground.now, from, inside, outgoing).is_err() {
        ground.counters.udp_dropped += 1;
    }
}

fn refuse(ground: &mut Ground, inside: SocketAddr, outside: SocketAddr, len: usize, why: Unreachable) {
    ground.counters.udp_errors += 1;
    let what = Refused::Datagram {
        local: outside,
        remote: inside,
        len,
    };
    ground.host.refuse(ground.now, what, why);
}

/// Passes on what the kernel's error queue holds about datagrams from `inside`.
fn drain_errors(ground: &mut Ground, mapping: &Mapping) {
    let mut quoted = [0; 2_048];
    for _ in 0..64 {
        let Ok(Some(error)) = net::take_queued_error(&mapping.fd, &mut quoted) else {
            return;
        };
        let Some(to) = error.to else { continue };
        if error.origin != Origin::Other {
            refuse(ground, mapping.inside, mapping.seen(to), error.len, queued_kind(&error));
        }
    }
}

/// The kind of an error from the error queue.
pub(super) fn queued_kind(error: &net::QueuedError) -> Unreachable {
    match (error.origin, error.icmp_type) {
        (Origin::Icmp, 11) | (Origin::Icmp6, 3) => Unreachable::HopLimit,
        _ if Errno::from_raw_os_error(error.errno) == Errno::MSGSIZE => Unreachable::TooBig(error.info),
        _ => kernel::unreachable(Errno::from_raw_os_error(error.errno)),
    }
}

/// The path's MTU as the kernel knows it: learnt by asking a connected socket.
fn path_mtu(to: SocketAddr) -> u32 {
    let least = match to.ip() {
        IpAddr::V4(_) => 576,
        IpAddr::V6(_) => 1_280,
    };
    let Ok(fd) = kernel::udp(to.ip(), None) else {
        return least;
    };
    if rustix::net::connect(&fd, &to).is_err() {
        return least;
    }
    let mtu = if to.is_ipv4() {
        sockopt::ip_mtu(&fd)
    } else {
        sockopt::ipv6_mtu(&fd)
    };
    mtu.unwrap_or(least)
}
