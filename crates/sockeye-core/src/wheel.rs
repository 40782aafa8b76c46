//! Timers: who is due? A hierarchical timer wheel of five levels of 64 slots; level 0 has ticks of 65.536 us, level 4 spans 19.5 hours.
//!
//! It decides nothing but order: timers come out by due time, those of one instant by id, and never before their time, to the nanosecond.
//! What a timer means, and whether a later due time is worth a re-arm (mostly not: store it and look when the old one fires), is up to its
//! owner. Setting and cancelling take constant time; a timer moves down a level at most four times before it fires.

use crate::time::Instant;
use std::collections::BTreeSet;

/// A tick is 2^16 ns.
const TICK_BITS: u32 = 16;
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = 5;
/// Timers beyond the span of all levels wait here for the next turn of the whole wheel.
const BEYOND: usize = LEVELS * SLOTS;
/// Timers of the tick that the wheel stands at, and those set for the past.
const CURRENT: u16 = BEYOND as u16 + 1;
/// Not armed.
const IDLE: u16 = u16::MAX;
/// The end of a list.
const END: u32 = u32::MAX;

/// A set of timers, at most one for each id. Ids are small numbers, such as slab indices: their nodes lie in one array.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The tick the wheel stands at. All timers of earlier ticks have fired or are in `current`.
    tick: u64,
    /// Timers of this tick, in the order they fire.
    current: BTreeSet<(Instant, u32)>,
    /// First timer of each slot of each level, and of `BEYOND`.
    slots: Box<[Slot]>,
    /// Which slots of each level hold timers.
    occupied: [u64; LEVELS],
    nodes: Vec<Node>,
    /// Where each timer lies: a slot, `CURRENT` or `IDLE`. Beside the nodes, which it would make half as large again.
    places: Vec<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u32,
    /// No timer of this slot is due before this. Exact unless that timer was cancelled.
    earliest: Instant,
}

/// One timer, in a list with the others of its slot.
#[derive(Clone, Copy, Debug)]
struct Node {
    due: Instant,
    next: u32,
    prev: u32,
}

const NO_NODE: Node = Node {
    due: Instant::ZERO,
    next: END,
    prev: END,
};

const NO_TIMERS: Slot = Slot {
    first: END,
    earliest: Instant::from_nanos(u64::MAX),
};

impl Wheel {
    /// A wheel without timers.
    pub(crate) fn new() -> Self {
        Self {
            tick: 0,
            current: BTreeSet::new(),
            slots: vec![NO_TIMERS; BEYOND + 1].into(),
            occupied: [0; LEVELS],
            nodes: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Arms timer `id` for `due`, whatever it was set to before.
    pub(crate) fn set(&mut self, id: u32, due: Instant) {
        if id as usize >= self.nodes.len() {
            self.nodes.resize(id as usize + 1, NO_NODE);
            self.places.resize(id as usize + 1, IDLE);
        }
        self.cancel(id);
        self.place(id, due);
    }

    /// Disarms timer `id`, if it is armed.
    pub(crate) fn cancel(&mut self, id: u32) {
        let Some((&node, &place)) = self.nodes.get(id as usize).zip(self.places.get(id as usize)) else {
            return;
        };
        match place {
            IDLE => return,
            CURRENT => assert!(self.current.remove(&(node.due, id)), "timer {id} lost"),
            slot => self.unlink(slot, node),
        }
        self.places[id as usize] = IDLE;
    }

    /// When timer `id` is due; `None` when it is not armed.
    pub(crate) fn due(&self, id: u32) -> Option<Instant> {
        let place = *self.places.get(id as usize)?;
        (place != IDLE).then(|| self.nodes[id as usize].due)
    }

    /// No timer is due before this; `None` when none is armed. It is exact unless the earliest timer was cancelled, and a
    /// [`Wheel::pop_due`] at that time makes it later.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if let Some((due, _)) = self.current.first() {
            return Some(*due);
        }
        let (slot, _) = self.next_slot()?;
        Some(self.slots[slot].earliest)
    }

    /// When the earliest timer is due. Looks at all timers of one slot: what `next_deadline` is held against.
    #[cfg(test)]
    pub(crate) fn exact_deadline(&self) -> Option<Instant> {
        if let Some((due, _)) = self.current.first() {
            return Some(*due);
        }
        let (slot, _) = self.next_slot()?;
        let mut earliest = None;
        let mut id = self.slots[slot].first;
        while id != END {
            let node = self.nodes[id as usize];
            earliest = Some(earliest.map_or(node.due, |due: Instant| due.min(node.due)));
            id = node.next;
        }
        earliest
    }

    /// Disarms the earliest timer that is due at `now` and returns its id; `None` when no more are due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let target = now.as_nanos() >> TICK_BITS;
        loop {
            if let Some(&(due, id)) = self.current.first() {
                if due > now {
                    return None;
                }
                let _ = self.current.pop_first();
                self.places[id as usize] = IDLE;
                return Some(id);
            }
            match self.next_slot() {
                Some((slot, start)) if start <= target => self.turn_to(slot, start),
                _ => {
                    self.tick = self.tick.max(target);
                    return None;
                }
            }
        }
    }

    /// The first slot that holds timers, and the tick at which it begins. The lowest level comes first: a timer lies on the level of the
    /// highest digit (base 64) in which its tick differs from the wheel's.
    fn next_slot(&self) -> Option<(usize, u64)> {
        for (level, occupied) in self.occupied.iter().enumerate() {
            if *occupied != 0 {
                let slot = occupied.trailing_zeros();
                let shift = LEVEL_BITS * level as u32;
                let turn = self.tick >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS);
                return Some((level * SLOTS + slot as usize, turn + (u64::from(slot) << shift)));
            }
        }
        let whole = LEVEL_BITS * LEVELS as u32;
        (self.slots[BEYOND].first != END).then_some((BEYOND, ((self.tick >> whole) + 1) << whole))
    }

    /// Stands the wheel at the beginning of `slot` and spreads the slot's timers over the levels below.
    fn turn_to(&mut self, slot: usize, start: u64) {
        self.tick = start;
        let mut id = std::mem::replace(&mut self.slots[slot], NO_TIMERS).first;
        if slot < BEYOND {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
        while id != END {
            let Node { due, next, .. } = self.nodes[id as usize];
            self.place(id, due);
            id = next;
        }
    }

    /// Puts an idle timer where it belongs, seen from where the wheel stands.
    fn place(&mut self, id: u32, due: Instant) {
        let tick = due.as_nanos() >> TICK_BITS;
        if tick <= self.tick {
            let _ = self.current.insert((due, id));
            self.nodes[id as usize] = Node { due, ..NO_NODE };
            self.places[id as usize] = CURRENT;
            return;
        }
        let level = ((tick ^ self.tick).ilog2() / LEVEL_BITS) as usize;
        let slot = if level < LEVELS {
            let digit = (tick >> (LEVEL_BITS * level as u32)) as usize % SLOTS;
            self.occupied[level] |= 1 << digit;
            level * SLOTS + digit
        } else {
            BEYOND
        };
        let Slot { first, earliest } = self.slots[slot];
        self.slots[slot] = Slot {
            first: id,
            earliest: earliest.min(due),
        };
        if first != END {
            self.nodes[first as usize].prev = id;
        }
        self.nodes[id as usize] = Node {
            due,
            next: first,
            prev: END,
        };
        self.places[id as usize] = slot as u16;
    }

    fn unlink(&mut self, slot: u16, node: Node) {
        let slot = usize::from(slot);
        if node.next != END {
            self.nodes[node.next as usize].prev = node.prev;
        }
        if node.prev != END {
            self.nodes[node.prev as usize].next = node.next;
            return;
        }
        self.slots[slot].first = node.next;
        if node.next == END {
            self.slots[slot] = NO_TIMERS;
            if slot < BEYOND {
                self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            }
        }
    }
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};
    use crate::time::{Duration, MS, SECOND};

    /// The obvious implementation, to compare with.
    #[derive(Default)]
    struct Model {
        order: BTreeSet<(Instant, u32)>,
        due: Vec<Option<Instant>>,
    }

    impl Model {
        fn set(&mut self, id: u32, due: Option<Instant>) {
            if self.due.len() <= id as usize {
                self.due.resize(id as usize + 1, None);
            }
            if let Some(old) = std::mem::replace(&mut self.due[id as usize], due) {
                assert!(self.order.remove(&(old, id)));
            }
            if let Some(due) = due {
                assert!(self.order.insert((due, id)));
            }
        }

        fn pop_due(&mut self, now: Instant) -> Option<u32> {
            let (due, id) = *self.order.first()?;
            (due <= now).then(|| self.set(id, None))?;
            Some(id)
        }
    }

    fn check_against_model(seed: u64, ids: u64) {
        let mut rng = Keys::new(seed, "wheel").stream("test");
        let mut now = Instant::from_nanos(below(&mut rng, 1 << 40));
        let mut wheel = Wheel::new();
        let mut model = Model::default();
        for step in 0..100_000 {
            let id = below(&mut rng, ids) as u32;
            match below(&mut rng, 10) {
                0..5 => {
                    let span = below(&mut rng, 56);
                    let due = match below(&mut rng, 20) {
                        0 => now,
                        1 => now - Duration::from_nanos(below(&mut rng, 1 << 20)),
                        2 => Instant::from_nanos(u64::MAX),
                        3 => model.order.first().map_or(now, |(due, _)| *due),
                        _ => now + Duration::from_nanos(below(&mut rng, 1 << span)),
                    };
                    wheel.set(id, due);
                    model.set(id, Some(due));
                }
                5..7 => {
                    wheel.cancel(id);
                    model.set(id, None);
                }
                action => {
                    let exact = model.order.first().map(|(due, _)| *due);
                    now = match (action, exact) {
                        (7, Some(due)) if below(&mut rng, 8) != 0 => now.max(due),
                        (8, _) => now + Duration::from_nanos(below(&mut rng, 1 << 34)),
                        _ => now + Duration::from_nanos(below(&mut rng, 1 << 18)),
                    };
                    for _ in 0..=below(&mut rng, 40) {
                        let popped = wheel.pop_due(now);
                        assert_eq!(popped, model.pop_due(now), "seed {seed} step {step}");
                        if popped.is_none() {
                            assert!(wheel.next_deadline().is_none_or(|due| due > now), "would spin");
                            break;
                        }
                    }
                }
            }
            let exact = model.order.first().map(|(due, _)| *due);
            assert_eq!(wheel.exact_deadline(), exact, "seed {seed} step {step}");
            assert_eq!(wheel.next_deadline().is_some(), exact.is_some());
            assert!(wheel.next_deadline() <= exact);
            assert_eq!(wheel.due(id), model.due.get(id as usize).copied().flatten());
        }
    }

    #[test]
    fn agrees_with_a_sorted_set() {
        check_against_model(1, 3);
        check_against_model(2, 50);
        check_against_model(3, 5_000);
    }

    #[test]
    fn never_early_by_a_nanosecond() {
        for due in [
            1,
            65_535,
            65_536,
            65_537,
            4_194_304,
            1 << 34,
            (1 << 46) - 1,
            1 << 46,
            1 << 50,
        ] {
            let mut wheel = Wheel::new();
            wheel.set(0, Instant::from_nanos(due));
            assert_eq!(wheel.next_deadline(), Some(Instant::from_nanos(due)));
            assert_eq!(wheel.pop_due(Instant::from_nanos(due - 1)), None, "{due}");
            assert_eq!(wheel.next_deadline(), Some(Instant::from_nanos(due)));
            assert_eq!(wheel.pop_due(Instant::from_nanos(due)), Some(0), "{due}");
            assert_eq!(wheel.next_deadline(), None);
        }
    }

    #[test]
    fn a_timer_may_be_set_while_others_fire() {
        let mut wheel = Wheel::new();
        for id in 0..3 {
            wheel.set(id, Instant::ZERO + 20 * MS);
        }
        assert_eq!(wheel.pop_due(Instant::ZERO + SECOND), Some(0));
        wheel.set(0, Instant::ZERO + 10 * MS);
        assert_eq!(wheel.pop_due(Instant::ZERO + SECOND), Some(0));
        wheel.cancel(1);
        assert_eq!(wheel.pop_due(Instant::ZERO + SECOND), Some(2));
        assert_eq!(wheel.pop_due(Instant::ZERO + SECOND), None);
    }
}
