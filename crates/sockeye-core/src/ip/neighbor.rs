//! Which link-layer address a neighbour has, and whether it still answers: one cache for ARP (RFC 826) and NDP (RFC 4861 §7.3).
//!
//! It decides when to ask ([`Neighbors::poll_solicit`]), what to believe (`on_mention`, `on_advert`), which packets wait for an answer and which wait no
//! longer. It neither reads nor builds messages, and never sends: the caller does, for both protocols alike. ARP gets the same reachability states
//! as NDP: an ARP reply is a solicited advertisement that overrides.
//!
//! Limits (RFC 6583): so many unanswered neighbours, so many new ones a second, so many packets parked with each, so many entries.

use crate::host::InterfaceId;
use crate::keys::{Keys, below};
use crate::packet::Packet;
use crate::time::{Duration, Instant};
use crate::wire::ethernet::{Mac, is_group};
use rand::rngs::Xoshiro256PlusPlus;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// Neighbours asked for at the same time, at most; beyond it the oldest question is given up.
pub(crate) const INCOMPLETE_MAX: usize = 512;
/// Neighbours asked for in one second, at most: a scan through us is not a flood on the link. RFC 6583 §7.
const ASKED_MAX: u32 = 1_000;
/// Packets that wait for one neighbour, at most; beyond it the oldest goes. RFC 4861 §7.2.2, RFC 1122 §2.3.2.2.
pub(crate) const PARKED_MAX: usize = 3;
/// Neighbours remembered, at most; beyond it the one not used for longest goes.
const ENTRIES_MAX: usize = 4_096;
/// `MAX_MULTICAST_SOLICIT`. RFC 4861 §10, as are the following.
const MULTICAST_SOLICITS: u8 = 3;
/// `MAX_UNICAST_SOLICIT`.
const UNICAST_SOLICITS: u8 = 3;
/// `RETRANS_TIMER`; RFC 1122 §2.3.2.1 asks for no more than one question a second and neighbour.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// `DELAY_FIRST_PROBE_TIME`.
const DELAY_FIRST_PROBE: Duration = Duration::from_secs(5);
/// `REACHABLE_TIME`, of which the half to the one and a half are taken.
const REACHABLE_TIME: Duration = Duration::from_secs(30);

/// A neighbour by the link it is on and its address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Neighbor {
    pub(crate) interface: InterfaceId,
    pub(crate) address: IpAddr,
}

/// A question to send: who has this address?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Solicit {
    pub(crate) neighbor: Neighbor,
    /// Asked of this one alone; `None` asks everyone (broadcast, or the solicited-node group).
    pub(crate) to: Option<Mac>,
}

/// What an answer says. RFC 4861 §7.2.5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Advert {
    /// `None` when the answer leaves it out, as it may when it was asked of the neighbour alone.
    pub(crate) mac: Option<Mac>,
    /// It answers a question of ours: the way there and back works.
    pub(crate) solicited: bool,
    /// It replaces what is known.
    pub(crate) overrides: bool,
}

/// Packets that need wait no longer.
pub(crate) type Unparked = VecDeque<Packet>;

/// The cache.
#[derive(Debug)]
pub(crate) struct Neighbors {
    entries: BTreeMap<Neighbor, Entry>,
    /// Entries whose state changes by itself, by when.
    due: BTreeSet<(Instant, Neighbor)>,
    /// Unanswered neighbours from the oldest on; some may have been answered since.
    asked: VecDeque<Neighbor>,
    incomplete: usize,
    /// The present second, and how many new neighbours were asked for in it.
    asks: (u64, u32),
    solicits: VecDeque<Solicit>,
    failed: VecDeque<(Neighbor, Packet)>,
    rng: Xoshiro256PlusPlus,
}

#[derive(Debug)]
struct Entry {
    state: State,
    used: Instant,
    due: Option<Instant>,
}

/// RFC 4861 §7.3.2.
#[derive(Debug)]
enum State {
    Incomplete { asked: u8, parked: Unparked },
    Reachable { mac: Mac },
    Stale { mac: Mac },
    Delay { mac: Mac },
    Probe { mac: Mac, asked: u8 },
}

impl State {
    fn mac(&self) -> Option<Mac> {
        match *self {
            Self::Incomplete { .. } => None,
            Self::Reachable { mac } | Self::Stale { mac } | Self::Delay { mac } | Self::Probe { mac, .. } => Some(mac),
        }
    }
}

impl Neighbors {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self {
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            asked: VecDeque::new(),
            incomplete: 0,
            asks: (0, 0),
            solicits: VecDeque::new(),
            failed: VecDeque::new(),
            rng: keys.stream("neighbors"),
        }
    }

    /// The link-layer address to send to, if known. Being used is what makes a stale one be asked again, after a while. RFC 4861 §7.3.3.
    pub(crate) fn lookup(&mut self, now: Instant, neighbor: Neighbor) -> Option<Mac> {
        let entry = self.entries.get_mut(&neighbor)?;
        entry.used = now;
        let mac = entry.state.mac()?;
        if let State::Stale { mac } = entry.state {
            entry.state = State::Delay { mac };
            self.wake_at(neighbor, Some(now + DELAY_FIRST_PROBE));
        }
        Some(mac)
    }

    /// True when [`Self::lookup`] would give an address.
    pub(crate) fn knows(&self, neighbor: Neighbor) -> bool {
        self.entries
            .get(&neighbor)
            .is_some_and(|entry| entry.state.mac().is_some())
    }

    /// Keeps a packet until the neighbour answers, and asks if nobody did yet. Returns the packet that has to make room, if any.
    pub(crate) fn park(&mut self, now: Instant, neighbor: Neighbor, packet: Packet) -> Option<Packet> {
        if !self.entries.contains_key(&neighbor) && self.may_ask(now) {
            self.ask(now, neighbor);
        }
        let Some(Entry {
            state: State::Incomplete { parked, .. },
            ..
        }) = self.entries.get_mut(&neighbor)
        else {
            return Some(packet);
        };
        parked.push_back(packet);
        if parked.len() > PARKED_MAX {
            parked.pop_front()
        } else {
            None
        }
    }

    /// One question more, if the second has one left.
    fn may_ask(&mut self, now: Instant) -> bool {
        let second = now.as_millis() / 1_000;
        if self.asks.0 != second {
            self.asks = (second, 0);
        }
        self.asks.1 += 1;
        self.asks.1 <= ASKED_MAX
    }

    /// Somebody told its link-layer address by the way: in a question, or as a router. It may send; that we reach it is not shown.
    /// `create` when the message was for us. RFC 4861 §7.2.3, RFC 826.
    pub(crate) fn on_mention(&mut self, now: Instant, neighbor: Neighbor, mac: Mac, create: bool) -> Unparked {
        if !is_usable(mac) {
            return Unparked::new();
        }
        match self.entries.get(&neighbor).map(|entry| entry.state.mac()) {
            Some(Some(known)) if known == mac => Unparked::new(),
            Some(_) => self.learn(now, neighbor, State::Stale { mac }),
            None if create => {
                self.make_room();
                let _ = self.entries.insert(
                    neighbor,
                    Entry {
                        state: State::Stale { mac },
                        used: now,
                        due: None,
                    },
                );
                Unparked::new()
            }
            None => Unparked::new(),
        }
    }

    /// An answer, or an unasked announcement. Nobody is remembered whom we do not want to talk to. RFC 4861 §7.2.5.
    pub(crate) fn on_advert(&mut self, now: Instant, neighbor: Neighbor, advert: Advert) -> Unparked {
        let Some(entry) = self.entries.get(&neighbor) else {
            return Unparked::new();
        };
        let known = entry.state.mac();
        let reachable = matches!(entry.state, State::Reachable { .. });
        let Some(mac) = advert.mac.or(known).filter(|mac| is_usable(*mac)) else {
            return Unparked::new();
        };
        let changed = known.is_some_and(|known| known != mac);
        let next = match (changed, advert.overrides, advert.solicited) {
            // Two claim the address: doubt the one we have, believe neither.
            (true, false, _) if reachable => State::Stale {
                mac: known.unwrap_or(mac),
            },
            (true, false, _) => return Unparked::new(),
            (_, _, true) => State::Reachable { mac },
            (true, true, false) => State::Stale { mac },
            (false, _, false) if known.is_none() => State::Stale { mac },
            (false, _, false) => return Unparked::new(),
        };
        self.learn(now, neighbor, next)
    }

    /// The next question to send.
    pub(crate) fn poll_solicit(&mut self) -> Option<Solicit> {
        self.solicits.pop_front()
    }

    /// A packet whose neighbour did not answer.
    pub(crate) fn poll_failed(&mut self) -> Option<(Neighbor, Packet)> {
        self.failed.pop_front()
    }

    /// When to call [`Self::handle_timeout`] next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Asks again, doubts, or gives up, wherever it is time to.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, neighbor)) = self.due.first()
            && at <= now
        {
            let _ = self.due.pop_first();
            if let Some(entry) = self.entries.get_mut(&neighbor) {
                entry.due = None;
            }
            self.on_due(now, neighbor);
        }
    }

    fn on_due(&mut self, now: Instant, neighbor: Neighbor) {
        let Some(entry) = self.entries.get_mut(&neighbor) else {
            return;
        };
        let to = match &mut entry.state {
            State::Incomplete { asked, .. } if *asked < MULTICAST_SOLICITS => {
                *asked += 1;
                None
            }
            State::Incomplete { .. } => return self.give_up(neighbor),
            State::Reachable { mac } => {
                entry.state = State::Stale { mac: *mac };
                return;
            }
            State::Stale { .. } => return,
            State::Delay { mac } => {
                let mac = *mac;
                entry.state = State::Probe { mac, asked: 1 };
                Some(mac)
            }
            State::Probe { mac, asked } if *asked < UNICAST_SOLICITS => {
                *asked += 1;
                Some(*mac)
            }
            // The next packet asks everyone anew.
            State::Probe { .. } => return self.give_up(neighbor),
        };
        self.solicits.push_back(Solicit { neighbor, to });
        self.wake_at(neighbor, Some(now + RETRANS_TIMER));
    }

    fn ask(&mut self, now: Instant, neighbor: Neighbor) {
        self.make_room();
        while self.incomplete >= INCOMPLETE_MAX {
            let Some(oldest) = self.asked.pop_front() else { break };
            if self.is_incomplete(oldest) {
                self.give_up(oldest);
            }
        }
        if self.asked.len() >= 2 * INCOMPLETE_MAX {
            let mut asked = std::mem::take(&mut self.asked);
            asked.retain(|neighbor| self.is_incomplete(*neighbor));
            self.asked = asked;
        }
        let state = State::Incomplete {
            asked: 1,
            parked: Unparked::new(),
        };
        let _ = self.entries.insert(
            neighbor,
            Entry {
                state,
                used: now,
                due: None,
            },
        );
        self.incomplete += 1;
        self.asked.push_back(neighbor);
        self.solicits.push_back(Solicit { neighbor, to: None });
        self.wake_at(neighbor, Some(now + RETRANS_TIMER));
    }

    fn is_incomplete(&self, neighbor: Neighbor) -> bool {
        self.entries
            .get(&neighbor)
            .is_some_and(|entry| entry.state.mac().is_none())
    }

    /// Changes the state of a known neighbour; what waited for it is free.
    fn learn(&mut self, now: Instant, neighbor: Neighbor, next: State) -> Unparked {
        let until = match next {
            State::Reachable { .. } => Some(now + self.reachable_time()),
            _ => None,
        };
        let Some(entry) = self.entries.get_mut(&neighbor) else {
            return Unparked::new();
        };
        let before = std::mem::replace(&mut entry.state, next);
        self.wake_at(neighbor, until);
        match before {
            State::Incomplete { parked, .. } => {
                self.incomplete -= 1;
                parked
            }
            _ => Unparked::new(),
        }
    }

    fn give_up(&mut self, neighbor: Neighbor) {
        self.wake_at(neighbor, None);
        if let Some(Entry {
            state: State::Incomplete { parked, .. },
            ..
        }) = self.entries.remove(&neighbor)
        {
            self.incomplete -= 1;
            self.failed.extend(parked.into_iter().map(|packet| (neighbor, packet)));
        }
    }

    /// Forgets the neighbour not used for longest when there are too many. Unanswered ones have their own limit.
    fn make_room(&mut self) {
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        let known = self.entries.iter().filter(|(_, entry)| entry.state.mac().is_some());
        if let Some(oldest) = known.min_by_key(|(_, entry)| entry.used).map(|(neighbor, _)| *neighbor) {
            self.give_up(oldest);
        }
    }

    fn wake_at(&mut self, neighbor: Neighbor, at: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&neighbor) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut entry.due, at) {
            let _ = self.due.remove(&(before, neighbor));
        }
        if let Some(at) = at {
            let _ = self.due.insert((at, neighbor));
        }
    }

    /// RFC 4861 §6.3.2: not the same for all, so that hosts do not ask in step.
    fn reachable_time(&mut self) -> Duration {
        let base = REACHABLE_TIME.as_nanos() as u64;
        Duration::from_nanos(base / 2 + below(&mut self.rng, base))
    }
}

/// One station's address: neither nobody's nor a group's. RFC 1812 §3.3.2.
fn is_usable(mac: Mac) -> bool {
    !is_group(mac) && mac != [0; 6]
}

#[cfg(test)]
mod tests;
