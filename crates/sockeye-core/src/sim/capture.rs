//! What was sent on a link, both ways, as a pcapng file in memory.

use super::{LinkId, Sim};
use crate::netem::Fate;
use crate::packet::Packet;
use crate::pcap::{Direction, Interface, Writer};
use crate::time::Instant;

/// A capture that goes on.
#[derive(Debug)]
pub(super) struct Capture {
    writer: Writer,
    interface: Interface,
    bytes: Vec<u8>,
}

impl Capture {
    pub(super) fn packet(&mut self, now: Instant, end: usize, packet: &Packet, fate: Fate) {
        let direction = if end == 0 { Direction::Out } else { Direction::In };
        self.writer.packet(
            now,
            self.interface,
            direction,
            packet,
            fate.comment().as_deref(),
            &mut self.bytes,
        );
    }
}

impl Sim {
    /// Captures all that is sent on a link from now on, as it is sent, with a comment on what becomes of it. What its first host sends is
    /// outgoing.
    pub fn capture(&mut self, link: LinkId) {
        let wire = &self.wires[2 * link.0];
        let mut bytes = Vec::new();
        let mut writer = Writer::new(0, &mut bytes);
        let interface = writer.interface(&wire.name, wire.medium, &mut bytes);
        self.captures[link.0] = Some(Box::new(Capture {
            writer,
            interface,
            bytes,
        }));
    }

    /// Ends a capture and gives its file; empty when there was none.
    pub fn end_capture(&mut self, link: LinkId) -> Vec<u8> {
        self.captures[link.0]
            .take()
            .map(|capture| capture.bytes)
            .unwrap_or_default()
    }
}
