//! Fragments back into datagrams: RFC 791 §3.2, RFC 8200 §4.5, RFC 1122 §3.3.2.
//!
//! Nothing overlaps: a datagram of which one byte came twice in different fragments is thrown away whole, also what of it is still to come
//! (RFC 5722; for IPv4 too, since only attacks do that). A fragment that came twice unchanged is a duplicate made by the network and does
//! no harm. Memory, datagrams, pieces and time are limited (FragmentSmack); the oldest datagram goes first.

use crate::counters::{Counters, DropReason};
use crate::gso::ip_checksum;
use crate::host::InterfaceId;
use crate::packet::{Head, Packet};
use crate::settings::Settings;
use crate::time::{Duration, Instant};
use crate::wire::protocol;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::IpAddr;

/// Incomplete datagrams kept at most.
const DATAGRAMS_MAX: usize = 64;
/// Fragments of one datagram, at most: 65,535 bytes over a link of 296.
const PIECES_MAX: usize = 256;
/// What a piece costs beside its bytes.
const PIECE_OVERHEAD: usize = 64;
/// The longest payload that a length field can tell of.
const LONGEST: usize = 0xffff;

/// What the fragments of one datagram have in common. RFC 791 §3.2, RFC 8200 §4.5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Whole {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) id: u32,
    /// IPv4's protocol. 0 for IPv6, where it does not count.
    pub(crate) protocol: u8,
}

/// One fragment without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) whole: Whole,
    /// Place of the payload in that of the datagram, in bytes.
    pub(crate) offset: usize,
    /// Not the last one.
    pub(crate) more: bool,
    /// The IP header without extensions; the first fragment's becomes the datagram's.
    pub(crate) header: &'a [u8],
    /// Protocol of the datagram's payload: what follows the fragment header, for IPv6.
    pub(crate) protocol: u8,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// Where it came in.
    pub(crate) interface: InterfaceId,
}

/// A datagram that did not become whole in time although its first fragment came: its sender is to be told. RFC 1122 §3.3.2.
#[derive(Debug)]
pub(crate) struct Expired {
    /// The first fragment, IP header and payload.
    pub(crate) packet: Packet,
    pub(crate) whole: Whole,
    pub(crate) protocol: u8,
    pub(crate) interface: InterfaceId,
}

/// All incomplete datagrams, the oldest first.
#[derive(Debug)]
pub(crate) struct Reassembly {
    datagrams: VecDeque<Datagram>,
    expired: VecDeque<Expired>,
    held: usize,
    limit: usize,
    time: Duration,
}

#[derive(Debug)]
struct Datagram {
    whole: Whole,
    interface: InterfaceId,
    until: Instant,
    /// Sorted by offset, disjoint.
    pieces: Vec<(usize, Bytes)>,
    /// Payload bytes in the pieces.
    have: usize,
    /// Length of the whole payload, once the last fragment came.
    len: Option<usize>,
    first: Option<First>,
    /// Which of the four ECN codepoints were seen, a bit each.
    ecn: u8,
    /// Two fragments overlapped: nothing of it is believed any more.
    spoilt: bool,
}

#[derive(Clone, Debug)]
struct First {
    header: Head,
    protocol: u8,
}

const NOT_ECT: u8 = 1 << 0;
const CE: u8 = 1 << 3;

impl Reassembly {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            datagrams: VecDeque::new(),
            expired: VecDeque::new(),
            held: 0,
            limit: settings.ipfrag_high_thresh,
            time: settings.ipfrag_time,
        }
    }

    /// Takes a fragment. Gives the datagram that it completes, with its IP header put right and nothing verified yet.
    ///
    /// # Errors
    /// `BadFragment` or `FragmentMemory` when it is of no use.
    pub(crate) fn on_fragment(
        &mut self,
        now: Instant,
        fragment: &Fragment<'_>,
        payload: Bytes,
        counters: &mut Counters,
    ) -> Result<Option<Packet>, DropReason> {
        self.handle_timeout(now, counters);
        check(fragment, payload.len())?;
        let at = match self
            .datagrams
            .iter()
            .position(|datagram| datagram.whole == fragment.whole)
        {
            Some(at) => at,
            None => self.begin(now, fragment, counters),
        };
        let datagram = &mut self.datagrams[at];
        let before = datagram.cost();
        let told = datagram.add(fragment, payload);
        self.held = self.held + datagram.cost() - before;
        told?;
        if datagram.is_complete() {
            let datagram = self.take(at).ok_or(DropReason::BadFragment)?;
            let packet = datagram.join()?;
            counters.reasm_oks += 1;
            return Ok(Some(packet));
        }
        while self.held > self.limit {
            self.evict_oldest(counters);
        }
        Ok(None)
    }

    /// A datagram whose sender is to be told that it did not become whole.
    pub(crate) fn poll_expired(&mut self) -> Option<Expired> {
        self.expired.pop_front()
    }

    /// When to call [`Self::handle_timeout`] next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.datagrams.front().map(|datagram| datagram.until)
    }

    /// Gives up what waited too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant, counters: &mut Counters) {
        while self.datagrams.front().is_some_and(|datagram| datagram.until <= now) {
            let Some(datagram) = self.take(0) else { return };
            datagram
                .pieces
                .iter()
                .for_each(|_| counters.drop(DropReason::ReassemblyTimeout));
            self.expired.extend(datagram.expire());
        }
    }

    fn begin(&mut self, now: Instant, fragment: &Fragment<'_>, counters: &mut Counters) -> usize {
        while self.datagrams.len() >= DATAGRAMS_MAX {
            self.evict_oldest(counters);
        }
        self.datagrams.push_back(Datagram {
            whole: fragment.whole,
            interface: fragment.interface,
            until: now + self.time,
            pieces: Vec::new(),
            have: 0,
            len: None,
            first: None,
            ecn: 0,
            spoilt: false,
        });
        self.datagrams.len() - 1
    }

    fn evict_oldest(&mut self, counters: &mut Counters) {
        if let Some(datagram) = self.take(0) {
            datagram
                .pieces
                .iter()
                .for_each(|_| counters.drop(DropReason::FragmentMemory));
        }
    }

    fn take(&mut self, at: usize) -> Option<Datagram> {
        let datagram = self.datagrams.remove(at)?;
        self.held -= datagram.cost();
        Some(datagram)
    }
}

impl Datagram {
    fn cost(&self) -> usize {
        self.have + self.pieces.len() * PIECE_OVERHEAD
    }

    fn is_complete(&self) -> bool {
        !self.spoilt && self.first.is_some() && self.len == Some(self.have)
    }

    fn add(&mut self, fragment: &Fragment<'_>, payload: Bytes) -> Result<(), DropReason> {
        if self.spoilt {
            return Err(DropReason::BadFragment);
        }
        let (start, end) = (fragment.offset, fragment.offset + payload.len());
        let place = self.pieces.partition_point(|(offset, _)| *offset < start);
        let next = self.pieces.get(place);
        if next.is_some_and(|(offset, piece)| *offset == start && *piece == payload) {
            // RFC 8200 §4.5: an exact duplicate spoils nothing.
            return Err(DropReason::BadFragment);
        }
        let overlaps_next = next.is_some_and(|(offset, _)| *offset < end);
        let overlaps_last = place > 0 && self.pieces[place - 1].0 + self.pieces[place - 1].1.len() > start;
        let last_end = self.pieces.last().map_or(0, |(offset, piece)| offset + piece.len());
        let beyond_end = match self.len {
            Some(len) => end > len || !fragment.more && end != len,
            None => !fragment.more && end < last_end,
        };
        if overlaps_next || overlaps_last || beyond_end || self.pieces.len() >= PIECES_MAX {
            self.spoil();
            return Err(DropReason::BadFragment);
        }
        if start == 0 {
            self.first = Some(First {
                header: Head::from_slice(fragment.header),
                protocol: fragment.protocol,
            });
        }
        if !fragment.more {
            self.len = Some(end);
        }
        self.ecn |= 1 << (fragment.tos & 3);
        self.have += payload.len();
        self.pieces.insert(place, (start, payload));
        Ok(())
    }

    /// RFC 5722 §4: what is here and what is still to come is thrown away. Remembered until its time is over.
    fn spoil(&mut self) {
        self.spoilt = true;
        self.first = None;
        self.pieces = Vec::new();
        self.have = 0;
    }

    /// All pieces in one, behind the first fragment's header.
    fn join(self) -> Result<Packet, DropReason> {
        let First { mut header, protocol } = self.first.ok_or(DropReason::BadFragment)?;
        // RFC 3168 §5.3: congestion anywhere is congestion; it cannot be experienced by who does not speak of it.
        if self.ecn & CE != 0 && self.ecn & NOT_ECT != 0 {
            return Err(DropReason::BadFragment);
        }
        let congested = self.ecn & CE != 0;
        let mut payload = Vec::with_capacity(self.have);
        for (_, piece) in &self.pieces {
            payload.extend_from_slice(piece);
        }
        match self.whole.src {
            IpAddr::V4(_) if header.len() + self.have > LONGEST => return Err(DropReason::BadFragment),
            IpAddr::V4(_) => whole_v4(header.as_mut_slice(), self.have, congested),
            IpAddr::V6(_) => whole_v6(header.as_mut_slice(), protocol, self.have, congested),
        }
        let mut packet = Packet {
            head: header,
            ..Packet::default()
        };
        packet.push_payload(payload.into());
        Ok(packet)
    }

    fn expire(mut self) -> Option<Expired> {
        let First { header, protocol } = self.first.take()?;
        let mut packet = Packet {
            head: header,
            ..Packet::default()
        };
        let payload = self.pieces.swap_remove(0).1;
        if self.whole.src.is_ipv6() {
            whole_v6(packet.head.as_mut_slice(), protocol, payload.len(), false);
        }
        packet.push_payload(payload);
        Some(Expired {
            packet,
            whole: self.whole,
            protocol,
            interface: self.interface,
        })
    }
}

/// Turns a fragment's header into the whole datagram's.
fn whole_v4(header: &mut [u8], payload: usize, congested: bool) {
    let total = (header.len() + payload) as u16;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[6..8].fill(0);
    header[1] |= if congested { 3 } else { 0 };
    ip_checksum(header);
}

/// See [`whole_v4`]. The fragment header, and what stood between it and the fixed header, is gone.
fn whole_v6(header: &mut [u8], protocol: u8, payload: usize, congested: bool) {
    header[4..6].copy_from_slice(&(payload as u16).to_be_bytes());
    header[6] = protocol;
    header[1] |= if congested { 0x30 } else { 0 };
}

/// Rules for a fragment alone.
fn check(fragment: &Fragment<'_>, len: usize) -> Result<(), DropReason> {
    let least = match fragment.protocol {
        protocol::TCP => 20,
        _ => 8,
    };
    let misfit = len == 0 || fragment.more && !len.is_multiple_of(8) || fragment.offset + len > LONGEST;
    // Filters must be able to see the transport header: whole in the first fragment (RFC 7112, RFC 8200 §4.5), and not
    // overwritten by a second that starts inside it (RFC 3128).
    let tiny_first = fragment.offset == 0 && fragment.more && len < least;
    let inside_header = fragment.protocol == protocol::TCP && fragment.offset > 0 && fragment.offset < least;
    if misfit || tiny_first || inside_header {
        Err(DropReason::BadFragment)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
