//! A [`Netem`] at work: packets go in by `push`, come out by `pop` when their time has come.

use super::chance::Strikes;
use super::corrupt::corrupt;
use super::delay::{DelayStage, Departure, HOLD, Luck};
use super::loss::LossStage;
use super::rate::{Left, RateStage};
use super::under_way::UnderWay;
use super::{Fate, Netem, NetemCounters, Window};
use crate::gso;
use crate::keys::Keys;
use crate::packet::{Mark, Packet};
use crate::time::Instant;
use crate::wire::ecn;
use rand::Rng as _;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Packets under way at most: a bound on memory that no ordinary traffic reaches. More are dropped as by a full queue.
const UNDER_WAY_LIMIT: usize = 1 << 17;

/// Too-big packets kept for whoever answers them; older ones go first.
const TOO_BIG_KEPT: usize = 64;

/// One direction of a link. A pipe of [`Netem::NONE`] passes super-segments whole and at once; any other works on wire packets.
#[derive(Debug)]
pub struct Pipe {
    /// `None` when there is nothing to do.
    stages: Option<Box<Stages>>,
    under_way: UnderWay,
    too_big: VecDeque<Packet>,
    counters: NetemCounters,
    /// For splitting super-segments, kept for its memory.
    segments: VecDeque<Packet>,
}

#[derive(Debug)]
struct Stages {
    first_use: Option<Instant>,
    blackhole: Vec<Window>,
    loss: LossStage,
    mtu: Option<u32>,
    mtu_silent: bool,
    corrupt: Strikes,
    duplicate: Strikes,
    rate: Option<RateStage>,
    delay: DelayStage,
    /// Packets held back by `reorder` on a link without delay.
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    entered: Instant,
    until: Instant,
    /// Packets that still have to pass it.
    passes: u32,
    packet: Packet,
}

impl Pipe {
    /// The pipe called `name` of whatever `keys` belong to. The name decides its luck, together with the seed behind `keys`.
    pub fn new(config: &Netem, keys: &Keys, name: &str) -> Self {
        let keys = keys.child(name);
        let stages = (!config.is_none()).then(|| {
            Box::new(Stages {
                first_use: None,
                blackhole: config.blackhole.clone(),
                loss: LossStage::new(&config.loss, &keys),
                mtu: config.mtu,
                mtu_silent: config.mtu_silent,
                corrupt: Strikes::new(config.corrupt, &keys, "corrupt"),
                duplicate: Strikes::new(config.duplicate, &keys, "duplicate"),
                rate: config
                    .rate
                    .map(|rate| RateStage::new(rate, config.queue, config.discipline)),
                delay: DelayStage::new(config, &keys),
                held: VecDeque::new(),
            })
        });
        Self {
            stages,
            under_way: UnderWay::default(),
            too_big: VecDeque::new(),
            counters: NetemCounters::default(),
            segments: VecDeque::new(),
        }
    }

    /// Puts a packet in.
    pub fn push(&mut self, now: Instant, packet: Packet) {
        self.push_with(now, packet, &mut |_, _| {});
    }

    /// Puts a packet in and tells what becomes of each wire packet of it, shown as it came in, and of each copy made of one.
    pub fn push_with(&mut self, now: Instant, packet: Packet, tell: &mut dyn FnMut(&Packet, Fate)) {
        if self.stages.is_none() {
            let packets = packet.wire_packets();
            self.counters.packets += packets as u64;
            self.counters.bytes += (packet.head.len() * packets) as u64 + u64::from(packet.meta.len);
            if self.under_way.len() >= UNDER_WAY_LIMIT {
                tell(&packet, Fate::QueueFull);
                self.counters.queue_dropped += packets as u64;
                return;
            }
            tell(&packet, Fate::Passed(packet.meta.mark));
            self.under_way.insert(now, packet);
            return;
        }
        let mut segments = std::mem::take(&mut self.segments);
        gso::segment(packet, u32::MAX, &mut segments);
        for segment in segments.drain(..) {
            self.push_one(now, segment, tell);
        }
        self.segments = segments;
    }

    /// Passes a whole batch where it lies, when there is nothing to do to it and nothing under way before it. False: it is for `push`.
    pub fn pass<'a>(&mut self, now: Instant, batch: impl IntoIterator<Item = &'a mut Packet>) -> bool {
        if self.stages.is_some() || self.under_way.len() > 0 {
            return false;
        }
        for packet in batch {
            let packets = packet.wire_packets();
            self.counters.packets += packets as u64;
            self.counters.bytes += (packet.head.len() * packets) as u64 + u64::from(packet.meta.len);
            packet.meta.at = now;
        }
        true
    }

    /// The next packet whose time has come; its `meta.at` says when that was.
    pub fn pop(&mut self, now: Instant) -> Option<Packet> {
        while let Some(stages) = &mut self.stages
            && stages.held.front().is_some_and(|held| held.until <= now)
        {
            if let Some(held) = stages.held.pop_front() {
                self.schedule(held.entered, held.until, held.packet);
            }
        }
        self.under_way.pop(now)
    }

    /// When `pop` has something to give; `None` when the pipe is empty.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let held = self.stages.as_ref().and_then(|stages| stages.held.front());
        [self.under_way.first(), held.map(|held| held.until)]
            .into_iter()
            .flatten()
            .min()
    }

    /// When a packet that enters at `now` would arrive, chance left aside: where a lost one belongs among those that arrive.
    pub fn would_arrive(&self, now: Instant) -> Instant {
        let Some(stages) = &self.stages else { return now };
        let left = stages.rate.as_ref().map_or(now, |rate| rate.free_at(now));
        left + stages.delay.base()
    }

    /// What the pipe did so far.
    pub fn counters(&self) -> &NetemCounters {
        &self.counters
    }

    /// A packet that was dropped because it is longer than the mtu; its sender should hear of it by ICMP (RFC 1191, RFC 8201).
    pub fn take_too_big(&mut self) -> Option<Packet> {
        self.too_big.pop_front()
    }

    /// Packets inside.
    pub fn under_way(&self) -> usize {
        self.under_way.len() + self.stages.as_ref().map_or(0, |stages| stages.held.len())
    }

    fn push_one(&mut self, now: Instant, mut packet: Packet, tell: &mut dyn FnMut(&Packet, Fate)) {
        let Some(stages) = self.stages.as_deref_mut() else {
            return;
        };
        self.counters.packets += 1;
        self.counters.bytes += packet.total_len() as u64;
        let fortune = stages.draw(now, &packet);
        let left = match fortune.drop {
            Some(fate) => Err(fate),
            None if self.under_way.len() >= UNDER_WAY_LIMIT => Err(Fate::QueueFull),
            None => stages.leave(now, &packet),
        };
        let left = match left {
            Ok(left) => left,
            Err(fate) => {
                tell(&packet, fate);
                self.drop(packet, fate);
                return;
            }
        };
        let copy_left = if fortune.duplicate {
            stages.leave(now, &packet).ok()
        } else {
            None
        };
        self.counters.corrupted += u64::from(fortune.corrupt.is_some());
        self.counters.reordered += u64::from(fortune.luck.reorder);
        self.counters.duplicated += u64::from(copy_left.is_some());

        let mut copy_mark = packet.meta.mark;
        if fortune.corrupt.is_some() {
            copy_mark.add(Mark::CORRUPTED);
        }
        let mut mark = copy_mark;
        if left.marked {
            mark.add(Mark::CONGESTION);
        }
        if fortune.luck.reorder {
            mark.add(Mark::REORDERED);
        }
        copy_mark.add(Mark::DUPLICATE);
        if copy_left.is_some_and(|left| left.marked) {
            copy_mark.add(Mark::CONGESTION);
        }
        tell(&packet, Fate::Passed(mark));
        if copy_left.is_some() {
            tell(&packet, Fate::Passed(copy_mark));
        }
        if let Some(draw) = fortune.corrupt {
            corrupt(&mut packet, draw);
        }
        let copy = copy_left.map(|left| (left, packet.clone()));
        packet.meta.mark = mark;
        self.counters.marked += u64::from(left.marked);
        if left.marked {
            mark_packet(&mut packet);
        }
        let departure = stages.delay.depart(left.at, fortune.luck);
        self.depart(now, left.at, departure, packet);
        if let (Some((left, mut copy)), Some(stages)) = (copy, self.stages.as_deref_mut()) {
            copy.meta.mark = copy_mark;
            self.counters.marked += u64::from(left.marked);
            if left.marked {
                mark_packet(&mut copy);
            }
            let luck = stages.delay.draw_copy();
            let departure = stages.delay.depart(left.at, luck);
            self.depart(now, left.at, departure, copy);
        }
    }

    /// Sends a packet on that entered at `entered` and left the queue at `left`.
    fn depart(&mut self, entered: Instant, left: Instant, departure: Departure, packet: Packet) {
        let due = match departure {
            Departure::At(due) => due,
            Departure::Overtakes => left,
            Departure::HeldBackBy(passes) => {
                if let Some(stages) = &mut self.stages {
                    let until = left + HOLD;
                    stages.held.push_back(Held {
                        entered,
                        until,
                        passes,
                        packet,
                    });
                }
                return;
            }
        };
        self.schedule(entered, due, packet);
        // It passes all that are held back; those that were passed often enough follow it.
        let mut freed: SmallVec<[Held; 2]> = SmallVec::new();
        if let Some(stages) = &mut self.stages {
            let mut n = 0;
            while n < stages.held.len() {
                stages.held[n].passes -= 1;
                if stages.held[n].passes == 0 {
                    freed.extend(stages.held.remove(n));
                } else {
                    n += 1;
                }
            }
        }
        for held in freed {
            self.schedule(held.entered, due, held.packet);
        }
    }

    fn schedule(&mut self, entered: Instant, due: Instant, packet: Packet) {
        self.counters.note_delay(due.since(entered));
        self.under_way.insert(due, packet);
    }

    fn drop(&mut self, packet: Packet, fate: Fate) {
        match fate {
            Fate::Lost => self.counters.lost += 1,
            Fate::Outage => self.counters.outage_lost += 1,
            Fate::QueueFull => self.counters.queue_dropped += 1,
            Fate::Codel => self.counters.codel_dropped += 1,
            Fate::TooBig => {
                self.counters.too_big += 1;
                if self.stages.as_ref().is_some_and(|stages| stages.mtu_silent) {
                    return;
                }
                if self.too_big.len() == TOO_BIG_KEPT {
                    let _ = self.too_big.pop_front();
                }
                self.too_big.push_back(packet);
            }
            Fate::Passed(_) => {}
        }
    }
}

/// Sets "congestion experienced" in the IP header. One that was corrupted on its way may no longer be fit for it.
fn mark_packet(packet: &mut Packet) {
    let l3 = usize::from(packet.meta.l3);
    if let Some(ip) = packet.head.as_mut_slice().get_mut(l3..) {
        let _ = ecn::mark(ip);
    }
}

/// What chance and the configuration have in store for one packet.
struct Fortune {
    drop: Option<Fate>,
    /// Which bit to flip, as a draw.
    corrupt: Option<u64>,
    duplicate: bool,
    luck: Luck,
}

impl Stages {
    /// Draws once at every stage, also for a packet that does not get that far.
    fn draw(&mut self, now: Instant, packet: &Packet) -> Fortune {
        let since = now.since(*self.first_use.get_or_insert(now));
        let outage = self
            .blackhole
            .iter()
            .any(|window| window.start <= since && since < window.end);
        let lost = self.loss.next();
        let length = packet.total_len().saturating_sub(usize::from(packet.meta.l3));
        let too_big = self.mtu.is_some_and(|mtu| length > mtu as usize);
        Fortune {
            drop: if outage {
                Some(Fate::Outage)
            } else if lost {
                Some(Fate::Lost)
            } else {
                too_big.then_some(Fate::TooBig)
            },
            corrupt: self.corrupt.next().then(|| self.corrupt.rng().next_u64()),
            duplicate: self.duplicate.next(),
            luck: self.delay.draw(),
        }
    }

    /// When the packet will have left the queue, or what keeps it from that.
    fn leave(&mut self, now: Instant, packet: &Packet) -> Result<Left, Fate> {
        match &mut self.rate {
            Some(rate) => {
                let ip = packet.head.as_slice().get(usize::from(packet.meta.l3)..);
                let ect = ip.is_some_and(|ip| ecn::of(ip) != ecn::NOT_ECT);
                rate.send(now, packet.total_len(), ect)
            }
            None => Ok(Left { at: now, marked: false }),
        }
    }
}

#[cfg(test)]
mod tests;
