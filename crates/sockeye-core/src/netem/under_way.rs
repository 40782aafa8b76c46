//! Packets on their way, in the order of their arrival; equal times keep the order of insertion.

use crate::packet::Packet;
use crate::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A heap of small keys beside the packets, which stay where they are.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    order: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    packets: Vec<Option<Packet>>,
    free: Vec<usize>,
    inserted: u64,
}

impl UnderWay {
    pub(super) fn insert(&mut self, due: Instant, packet: Packet) {
        let place = match self.free.pop() {
            Some(place) => {
                self.packets[place] = Some(packet);
                place
            }
            None => {
                self.packets.push(Some(packet));
                self.packets.len() - 1
            }
        };
        self.inserted += 1;
        self.order.push(Reverse((due, self.inserted, place)));
    }

    /// When the first packet arrives.
    pub(super) fn first(&self) -> Option<Instant> {
        self.order.peek().map(|Reverse((due, ..))| *due)
    }

    /// The first packet that has arrived by `now`, stamped with when.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Packet> {
        if self.first()? > now {
            return None;
        }
        let Reverse((due, _, place)) = self.order.pop()?;
        self.free.push(place);
        let mut packet = self.packets[place].take()?;
        packet.meta.at = due;
        Some(packet)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}
