//! What lies between the hosts: the wires, what befalls packets on them, and what is written down about it.

use super::capture::Capture;
use crate::link::{Caps, Link};
use sockeye_core::host::Medium;
use sockeye_core::keys::Keys;
use sockeye_core::netem::{Fate, Netem, NetemCounters, Pipe, too_big_answer, unreachable_answer};
use sockeye_core::sim::Digest;
use sockeye_core::socket::Unreachable;
use sockeye_core::wire::layout::Layout;
use sockeye_core::{Instant, Packet};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Largest IP packet that a host sends.
const MTU: u32 = 1_500;

/// All wires, and the hosts' ends of them. Locked by one thread only, but a [`Link`] has to be `Send`.
#[derive(Debug)]
pub(super) struct Fabric {
    seed: u64,
    ends: Vec<End>,
    places: BTreeMap<IpAddr, usize>,
    wires: Vec<Wire>,
    between: BTreeMap<(usize, usize), usize>,
    digest: Digest,
    packets: u64,
    pub(super) capture: Option<Box<Capture>>,
}

/// Where a host is plugged in.
#[derive(Debug)]
struct End {
    name: String,
    arrived: VecDeque<Packet>,
    host: Option<Waker>,
    /// Counts restarts: the cable of an earlier life leads nowhere.
    life: u64,
    up: bool,
}

/// One direction between two hosts.
#[derive(Debug)]
struct Wire {
    name: String,
    to: usize,
    pipe: Pipe,
    mtu: Option<u32>,
    /// Nothing gets through: a partition or a black hole.
    cut: bool,
    changes: u64,
}

/// A host's link: its cable to the fabric.
#[derive(Debug)]
pub(super) struct Cable {
    fabric: Arc<Mutex<Fabric>>,
    end: usize,
    life: u64,
}

/// Why a packet went no further before any wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// No link joins the two hosts.
    NoLink,
    /// No host has the address.
    Nobody,
    /// The network is partitioned, or the way is a black hole.
    Cut,
    /// The host at the end is down.
    Down,
}

impl Lost {
    pub(super) const fn remark(self) -> &'static str {
        match self {
            Self::NoLink => "lost: no link",
            Self::Nobody => "lost: no host has that address",
            Self::Cut => "lost: the network is cut",
            Self::Down => "lost: the host is down",
        }
    }
}

impl Fabric {
    pub(super) fn new(seed: u64, capture: bool) -> Self {
        Self {
            seed,
            ends: Vec::new(),
            places: BTreeMap::new(),
            wires: Vec::new(),
            between: BTreeMap::new(),
            digest: Digest::new(seed),
            packets: 0,
            capture: capture.then(Box::default),
        }
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// A place for one more host.
    pub(super) fn add_end(&mut self, name: &str, addresses: &[IpAddr]) {
        self.places
            .extend(addresses.iter().map(|address| (*address, self.ends.len())));
        self.ends.push(End {
            name: name.to_owned(),
            arrived: VecDeque::new(),
            host: None,
            life: 0,
            up: true,
        });
    }

    /// Links two hosts. False when they are already.
    pub(super) fn link(&mut self, a: usize, b: usize, netem: &Netem) -> bool {
        if self.between.contains_key(&(a, b)) {
            return false;
        }
        for (from, to) in [(a, b), (b, a)] {
            let name = format!("{}>{}", self.ends[from].name, self.ends[to].name);
            let _ = self.between.insert((from, to), self.wires.len());
            self.wires.push(Wire {
                pipe: Pipe::new(netem, &Keys::new(self.seed, &name), "netem"),
                name,
                to,
                mtu: netem.mtu,
                cut: false,
                changes: 0,
            });
        }
        true
    }

    /// Changes what befalls packets one way. Packets under way are lost. False when there is no link.
    pub(super) fn impair(&mut self, from: usize, to: usize, netem: &Netem) -> bool {
        let Some(&wire) = self.between.get(&(from, to)) else {
            return false;
        };
        let wire = &mut self.wires[wire];
        wire.changes += 1;
        let keys = Keys::new(self.seed, &wire.name);
        wire.pipe = Pipe::new(netem, &keys, &format!("netem {}", wire.changes));
        wire.mtu = netem.mtu;
        true
    }

    /// Cuts or heals one way. What is under way when it is cut never arrives.
    pub(super) fn cut(&mut self, from: usize, to: usize, cut: bool) -> bool {
        let Some(&wire) = self.between.get(&(from, to)) else {
            return false;
        };
        self.wires[wire].cut = cut;
        true
    }

    pub(super) fn heal(&mut self) {
        self.wires.iter_mut().for_each(|wire| wire.cut = false);
    }

    pub(super) fn counters(&self, from: usize, to: usize) -> Option<&NetemCounters> {
        Some(self.wires[*self.between.get(&(from, to))?].pipe.counters())
    }

    /// Pulls a host's cable, for good.
    pub(super) fn unplug(&mut self, end: usize) {
        let end = &mut self.ends[end];
        end.life += 1;
        end.up = false;
        end.arrived.clear();
        end.host = None;
    }

    /// A cable for a host that starts.
    pub(super) fn plug_in(this: &Arc<Mutex<Self>>, end: usize) -> Cable {
        let mut fabric = lock(this);
        fabric.ends[end].up = true;
        Cable {
            fabric: Arc::clone(this),
            end,
            life: fabric.ends[end].life,
        }
    }

    /// When the next packet arrives anywhere.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.wires.iter().filter_map(|wire| wire.pipe.poll_timeout()).min()
    }

    /// Lets packets arrive that are due; true when one did. Wakers are left in `woken`.
    pub(super) fn deliver(&mut self, now: Instant, woken: &mut Vec<Waker>) -> bool {
        let mut any = false;
        for (nth, wire) in self.wires.iter_mut().enumerate() {
            while wire.pipe.poll_timeout().is_some_and(|at| at <= now) {
                let Some(packet) = wire.pipe.pop(now) else { break };
                any = true;
                let end = &mut self.ends[wire.to];
                let lost = match (wire.cut, end.up) {
                    (true, _) => Some(Lost::Cut),
                    (_, false) => Some(Lost::Down),
                    _ => None,
                };
                if let Some(lost) = lost {
                    if let Some(capture) = &mut self.capture {
                        capture.lost(now, &wire.name, &packet, lost);
                    }
                    continue;
                }
                self.digest.arrived(now, nth, &packet);
                end.arrived.push_back(packet);
                woken.extend(end.host.take());
            }
        }
        any
    }

    /// A packet arrives that no wire brought: a forged one.
    pub(super) fn forge(&mut self, now: Instant, to: usize, packet: Packet, woken: &mut Vec<Waker>) {
        if let Some(capture) = &mut self.capture {
            let name = format!("{}>{}", "forged", self.ends[to].name);
            capture.packet(now, &name, &packet, Some("forged"));
        }
        self.digest.arrived(now, usize::from(u16::MAX), &packet);
        let end = &mut self.ends[to];
        end.arrived.push_back(packet);
        woken.extend(end.host.take());
    }

    /// A host sends a packet.
    fn send(&mut self, now: Instant, from: usize, packet: Packet) {
        self.packets += packet.wire_packets() as u64;
        let found = self.wire_for(from, &packet);
        let wire = match found {
            Ok(wire) if !self.wires[wire].cut => wire,
            _ => {
                let lost = found.err().unwrap_or(Lost::Cut);
                self.digest.sent(now, usize::from(u16::MAX), &packet);
                if let Some(capture) = &mut self.capture {
                    capture.lost(now, &format!("{}>?", self.ends[from].name), &packet, lost);
                }
                if lost != Lost::Cut
                    && let Some(answer) = unreachable_answer(&packet, Unreachable::Host)
                {
                    self.ends[from].arrived.push_back(answer);
                }
                return;
            }
        };
        self.digest.sent(now, wire, &packet);
        let wire = &mut self.wires[wire];
        match &mut self.capture {
            None => wire.pipe.push(now, packet),
            Some(capture) => wire.pipe.push_with(now, packet, &mut |packet, fate: Fate| {
                capture.packet(now, &wire.name, packet, fate.remarks(packet).as_deref());
            }),
        }
        let Some(mtu) = wire.mtu else { return };
        while let Some(packet) = wire.pipe.take_too_big() {
            self.ends[from].arrived.extend(too_big_answer(&packet, mtu));
        }
    }

    fn wire_for(&self, from: usize, packet: &Packet) -> Result<usize, Lost> {
        let head = packet.head.as_slice();
        let layout = Layout::find(head, usize::from(packet.meta.l3)).ok_or(Lost::Nobody)?;
        let to = self.places.get(&layout.addresses(head).1).ok_or(Lost::Nobody)?;
        self.between.get(&(from, *to)).copied().ok_or(Lost::NoLink)
    }
}

impl Link for Cable {
    fn caps(&self) -> Caps {
        Caps {
            medium: Medium::Ip,
            mtu: MTU,
            gso: true,
            checksum: true,
        }
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        _now: Instant,
        batch: &mut Vec<Packet>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        let mut fabric = lock(&self.fabric);
        let end = &mut fabric.ends[self.end];
        if end.life != self.life {
            return Poll::Pending;
        }
        if end.arrived.is_empty() {
            end.host = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = max.min(end.arrived.len());
        batch.extend(end.arrived.drain(..n));
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, now: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        let mut fabric = lock(&self.fabric);
        if fabric.ends[self.end].life != self.life {
            batch.clear();
            return Poll::Ready(Ok(()));
        }
        for packet in batch.drain(..) {
            fabric.send(now, self.end, packet);
        }
        // An answer of the network itself is there at once.
        if !fabric.ends[self.end].arrived.is_empty() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

pub(super) fn lock(fabric: &Mutex<Fabric>) -> MutexGuard<'_, Fabric> {
    fabric.lock().unwrap_or_else(PoisonError::into_inner)
}
