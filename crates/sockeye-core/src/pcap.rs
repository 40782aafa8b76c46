//! Packets as a capture file: pcapng, as bytes for the caller to write wherever it likes.
//!
//! Super-segments are written as the wire packets they stand for, with their checksums computed: a capture shows what a wire would carry.
//! Every packet carries its direction, and a comment when there is something to say about it (what Netem did to it).
//! Specification: draft-ietf-opsawg-pcapng (section header, interface description and enhanced packet blocks).

use crate::gso;
use crate::host::Medium;
use crate::packet::Packet;
use crate::time::Instant;
use std::collections::VecDeque;

/// Which way a packet went, seen from the captured interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received by it.
    In,
    /// Sent by it.
    Out,
}

/// An interface of a capture, as numbered by [`Writer::interface`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface(u32);

/// Makes the bytes of a capture. The caller keeps them or writes them out; this holds none.
#[derive(Debug, Default)]
pub struct Writer {
    interfaces: u32,
    /// Nanoseconds since 1970 at [`Instant::ZERO`].
    epoch: u64,
    segments: VecDeque<Packet>,
}

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;

const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;

/// Timestamps count nanoseconds.
const NANOSECONDS: u8 = 9;

impl Writer {
    /// Begins a capture: its header goes to the end of `into`. `epoch` is the time at [`Instant::ZERO`] in nanoseconds since 1970; 0 in a
    /// simulation.
    pub fn new(epoch: u64, into: &mut Vec<u8>) -> Self {
        block(into, SECTION_HEADER, |body| {
            put32(body, 0x1A2B_3C4D); // byte order
            put16(body, 1); // version 1.0
            put16(body, 0);
            body.extend_from_slice(&u64::MAX.to_le_bytes()); // section length: not known
            option(
                body,
                SHB_USERAPPL,
                concat!("sockeye ", env!("CARGO_PKG_VERSION")).as_bytes(),
            );
            option(body, END_OF_OPTIONS, &[]);
        });
        Self {
            epoch,
            ..Self::default()
        }
    }

    /// Describes one more interface.
    pub fn interface(&mut self, name: &str, medium: Medium, into: &mut Vec<u8>) -> Interface {
        block(into, INTERFACE_DESCRIPTION, |body| {
            put16(
                body,
                match medium {
                    Medium::Ip => LINKTYPE_RAW,
                    Medium::Ethernet { .. } => LINKTYPE_ETHERNET,
                },
            );
            put16(body, 0);
            put32(body, 0); // no limit on the length of packets
            option(body, IF_NAME, name.as_bytes());
            option(body, IF_TSRESOL, &[NANOSECONDS]);
            option(body, END_OF_OPTIONS, &[]);
        });
        self.interfaces += 1;
        Interface(self.interfaces - 1)
    }

    /// Appends a packet to `into`; a super-segment becomes several, each with the comment.
    pub fn packet(
        &mut self,
        at: Instant,
        interface: Interface,
        direction: Direction,
        packet: &Packet,
        comment: Option<&str>,
        into: &mut Vec<u8>,
    ) {
        let mut segments = std::mem::take(&mut self.segments);
        gso::segment(packet.clone(), u32::MAX, &mut segments);
        for mut segment in segments.drain(..) {
            gso::finish(&mut segment);
            self.wire_packet(at, interface, direction, &segment, comment, into);
        }
        self.segments = segments;
    }

    fn wire_packet(
        &self,
        at: Instant,
        interface: Interface,
        direction: Direction,
        packet: &Packet,
        comment: Option<&str>,
        into: &mut Vec<u8>,
    ) {
        let time = self.epoch.saturating_add(at.as_nanos());
        let len = packet.total_len() as u32;
        block(into, ENHANCED_PACKET, |body| {
            put32(body, interface.0);
            put32(body, (time >> 32) as u32);
            put32(body, time as u32);
            put32(body, len);
            put32(body, len);
            body.extend_from_slice(packet.head.as_slice());
            for slice in &packet.body {
                body.extend_from_slice(slice);
            }
            pad(body, len as usize);
            let flags: u32 = match direction {
                Direction::In => 1,
                Direction::Out => 2,
            };
            option(body, EPB_FLAGS, &flags.to_le_bytes());
            if let Some(comment) = comment {
                option(body, COMMENT, comment.as_bytes());
            }
            option(body, END_OF_OPTIONS, &[]);
        });
    }
}

/// One block: type, length, body, length again.
fn block(into: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    put32(into, kind);
    put32(into, 0);
    fill(into);
    let len = (into.len() - start + 4) as u32;
    put32(into, len);
    into[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
}

fn option(into: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    put16(into, code);
    put16(into, value.len() as u16);
    into.extend_from_slice(value);
    pad(into, value.len());
}

/// Whatever is `len` bytes long is filled up to a multiple of 4.
fn pad(into: &mut Vec<u8>, len: usize) {
    into.resize(into.len() + len.next_multiple_of(4) - len, 0);
}

fn put16(into: &mut Vec<u8>, value: u16) {
    into.extend_from_slice(&value.to_le_bytes());
}

fn put32(into: &mut Vec<u8>, value: u32) {
    into.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests;
