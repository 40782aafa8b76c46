//! Many hosts, links between them, and a clock that jumps: a network in one struct, the same every time for the same seed.
//!
//! Nothing here waits: time moves to the next thing that happens, a packet's arrival or a host's timer. Equal times keep the order in
//! which things were planned. [`Sim::digest`] is a fingerprint of every packet with its time: two runs that differ anywhere differ there.
//!
//! ```
//! use sockeye_core::sim::{LinkConfig, Sim};
//! let mut sim = Sim::new(42);
//! let (a, b) = (sim.host("a"), sim.host("b"));
//! sim.connect(a, b, &LinkConfig::both("rate 10mbit delay 20ms loss 1%".parse().unwrap()));
//! sim.run_for(sockeye_core::time::SECOND);
//! assert_eq!(sim.now().as_millis(), 1_000);
//! ```

mod capture;
mod digest;
mod flow;
mod link;
mod oracle;
mod watch;

pub use digest::Digest;
pub use flow::{Ending, Flow, Flows, Outcome, Pace, Part, Plan, Stuck};
pub use link::{LinkConfig, LinkId, LinkMedium};
pub use oracle::{Stream, Wrong};

use crate::host::{Host, HostConfig, InterfaceId};
use crate::keys::Keys;
use crate::netem::NetemCounters;
use crate::packet::Packet;
use crate::socket::Event;
use crate::time::{Duration, Instant};
use capture::Capture;
use link::Wire;
use rand::Rng as _;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use watch::Watch;

/// A host of a simulation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(usize);

/// Packets taken from a host at a time.
const BURST: usize = 64;

/// So many things do not happen at one instant unless two of them call for each other for ever.
const STEPS_AN_INSTANT: u32 = 1_000_000;

/// Hosts and links under a virtual clock.
#[derive(Debug)]
pub struct Sim {
    seed: u64,
    now: Instant,
    nodes: Vec<Node>,
    /// Both directions of all links: link `n` is wires `2n` (from the first host) and `2n + 1` (back).
    wires: Vec<Wire>,
    captures: Vec<Option<Box<Capture>>>,
    agenda: BinaryHeap<Reverse<(Instant, u64, Entity)>>,
    planned: u64,
    digest: Digest,
    watch: Watch,
    steps_now: u32,
    ports: u16,
    out: VecDeque<Packet>,
    batch: Vec<Packet>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entity {
    Wire(usize),
    Node(usize),
}

#[derive(Debug)]
struct Node {
    name: String,
    host: Host,
    /// Its end of each wire that leaves it.
    wires: Vec<(InterfaceId, usize)>,
    /// What it is planned for; an entry of the agenda with another time is out of date.
    planned: Option<Instant>,
    events: VecDeque<Event>,
}

impl Sim {
    /// An empty network at time zero. All chance in it follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Instant::ZERO,
            nodes: Vec::new(),
            wires: Vec::new(),
            captures: Vec::new(),
            agenda: BinaryHeap::new(),
            planned: 0,
            digest: Digest::new(seed),
            watch: Watch::default(),
            steps_now: 0,
            ports: 0,
            out: VecDeque::new(),
            batch: Vec::new(),
        }
    }

    /// Two hosts `a` and `b` with a link between them, as bad in both directions.
    pub fn pair(seed: u64, link: &LinkConfig) -> (Self, HostId, HostId) {
        let mut sim = Self::new(seed);
        let (a, b) = (sim.host("a"), sim.host("b"));
        let _ = sim.connect(a, b, link);
        (sim, a, b)
    }

    /// Adds a host with default settings. Its name decides its luck, together with the seed.
    pub fn host(&mut self, name: &str) -> HostId {
        self.host_with(name, HostConfig::default())
    }

    /// Adds a host; the seed in `config` is replaced by one that follows from the simulation's and the name.
    pub fn host_with(&mut self, name: &str, config: HostConfig) -> HostId {
        let seed = Keys::new(self.seed, name).stream("host").next_u64();
        self.nodes.push(Node {
            name: name.to_owned(),
            host: Host::new(HostConfig { seed, ..config }),
            wires: Vec::new(),
            planned: None,
            events: VecDeque::new(),
        });
        HostId(self.nodes.len() - 1)
    }

    /// The seed of all chance here.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A host, to look at.
    pub fn look(&self, id: HostId) -> &Host {
        &self.nodes[id.0].host
    }

    /// Does something with a host, then sends what it wants sent.
    pub fn on<R>(&mut self, id: HostId, act: impl FnOnce(&mut Host, Instant) -> R) -> R {
        let result = act(&mut self.nodes[id.0].host, self.now);
        self.flush(id.0);
        result
    }

    /// The next event of a host that was not taken yet.
    pub fn take_event(&mut self, id: HostId) -> Option<Event> {
        self.nodes[id.0].events.pop_front()
    }

    /// All hosts, in the order they were added.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.nodes.len()).map(HostId)
    }

    /// Fingerprint of all packets so far: their bytes, order, times and ways.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// Promises of TCP that a host broke, as far as its packets tell: a window exceeded or taken back, a segment too large.
    pub fn broken(&self) -> &[String] {
        self.watch.broken()
    }

    /// What the link did to packets: from its first host, and back.
    pub fn netem(&self, link: LinkId) -> (&NetemCounters, &NetemCounters) {
        (
            self.wires[2 * link.0].pipe.counters(),
            self.wires[2 * link.0 + 1].pipe.counters(),
        )
    }

    /// When the next thing happens; `None` when nothing ever will unless asked to.
    pub fn next_time(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, _, entity))) = self.agenda.peek().copied() {
            if *self.planned_for(entity) == Some(at) {
                return Some(at);
            }
            let _ = self.agenda.pop();
        }
        None
    }

    /// Goes to the next thing that happens, and does it. False when there is none.
    ///
    /// # Panics
    /// When things go on for ever at one instant, and (in debug builds) when a host breaks one of its invariants.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_time() else { return false };
        let Some(Reverse((_, _, entity))) = self.agenda.pop() else {
            return false;
        };
        if at > self.now {
            self.now = at;
            self.steps_now = 0;
        }
        self.steps_now += 1;
        assert!(
            self.steps_now < STEPS_AN_INSTANT,
            "seed {}: {} keeps busy for ever at {}",
            self.seed,
            self.name_of(entity),
            self.now
        );
        *self.planned_for(entity) = None;
        match entity {
            Entity::Wire(wire) => self.deliver(wire),
            Entity::Node(node) => {
                self.nodes[node].host.handle_timeout(self.now);
                self.flush(node);
            }
        }
        true
    }

    /// Lets time pass up to `until`, and everything happen that happens by then.
    pub fn run_until(&mut self, until: Instant) {
        while self.next_time().is_some_and(|at| at <= until) {
            let _ = self.step();
        }
        if until > self.now {
            self.now = until;
            self.steps_now = 0;
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Goes on until `done` says so, or nothing happens any more, or `limit` of virtual time is over. Says whether it is done.
    pub fn run_while(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if self.next_time().is_none_or(|at| at > end) {
                return false;
            }
            let _ = self.step();
        }
    }

    /// Lets a packet arrive at a host as if a link brought it: for tests that speak for themselves.
    pub fn inject(&mut self, id: HostId, interface: InterfaceId, packet: Packet) {
        self.batch.push(packet);
        self.nodes[id.0].host.receive(self.now, interface, &mut self.batch);
        self.batch.clear();
        self.flush(id.0);
    }

    /// A port that no one else got from here.
    fn next_port(&mut self) -> u16 {
        self.ports += 1;
        1024 + self.ports
    }

    fn deliver(&mut self, wire: usize) {
        let mut batch = std::mem::take(&mut self.batch);
        let line = &mut self.wires[wire];
        while batch.len() < BURST {
            let Some(packet) = line.pipe.pop(self.now) else { break };
            self.digest.arrived(self.now, wire, &packet);
            self.watch.arrived(wire, line.back, &packet);
            batch.push(packet);
        }
        let (node, interface) = line.to;
        self.plan(Entity::Wire(wire));
        self.nodes[node].host.receive(self.now, interface, &mut batch);
        batch.clear();
        self.batch = batch;
        self.flush(node);
    }

    /// Sends what a host wants to send, takes its events, and plans its next timer.
    fn flush(&mut self, node: usize) {
        let mut out = std::mem::take(&mut self.out);
        for n in 0..self.nodes[node].wires.len() {
            let (interface, wire) = self.nodes[node].wires[n];
            loop {
                self.nodes[node]
                    .host
                    .poll_transmit(self.now, interface, &mut out, BURST);
                if out.is_empty() {
                    break;
                }
                for packet in out.drain(..) {
                    self.digest.sent(self.now, wire, &packet);
                    self.watch.sent(wire, self.wires[wire].back, &packet);
                    let capture = self.captures[wire / 2].as_deref_mut();
                    self.wires[wire].send(self.now, packet, wire % 2, capture);
                }
                while let Some(answer) = self.wires[wire].too_big_answer() {
                    self.batch.push(answer);
                    self.nodes[node].host.receive(self.now, interface, &mut self.batch);
                    self.batch.clear();
                }
            }
            self.plan(Entity::Wire(wire));
        }
        self.out = out;
        while let Some(event) = self.nodes[node].host.poll_event() {
            self.nodes[node].events.push_back(event);
        }
        self.plan(Entity::Node(node));
        self.check(node);
    }

    fn planned_for(&mut self, entity: Entity) -> &mut Option<Instant> {
        match entity {
            Entity::Wire(wire) => &mut self.wires[wire].planned,
            Entity::Node(node) => &mut self.nodes[node].planned,
        }
    }

    /// Puts an entity on the agenda for its next time, if that changed.
    fn plan(&mut self, entity: Entity) {
        let next = match entity {
            Entity::Wire(wire) => self.wires[wire].pipe.poll_timeout(),
            Entity::Node(node) => self.nodes[node].host.poll_timeout(),
        };
        let next = next.map(|at| at.max(self.now));
        if *self.planned_for(entity) == next {
            return;
        }
        *self.planned_for(entity) = next;
        if let Some(at) = next {
            self.planned += 1;
            self.agenda.push(Reverse((at, self.planned, entity)));
        }
    }

    fn name_of(&self, entity: Entity) -> &str {
        match entity {
            Entity::Wire(wire) => &self.wires[wire].name,
            Entity::Node(node) => &self.nodes[node].name,
        }
    }

    /// In debug builds, every invariant of the host that just did something.
    fn check(&self, node: usize) {
        if cfg!(debug_assertions)
            && let Err(broken) = self.nodes[node].host.check()
        {
            let name = &self.nodes[node].name;
            panic!("seed {}: {name} at {}: {broken:?}", self.seed, self.now);
        }
    }
}
