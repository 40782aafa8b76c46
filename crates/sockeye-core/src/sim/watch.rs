//! A passive observer at each end of every wire: whether a host keeps TCP's promises, judged by nothing but the packets.
//!
//! What a host is told counts when it arrives, what it says when it leaves. Watched: the receiver's limit is never exceeded
//! (RFC 9293 §3.8.6), nor its segment size (§3.7.1); the acknowledgment number and the limit that a host announces never move left.

use crate::packet::{Csum, Gso, Mark, Packet};
use crate::wire::layout::Layout;
use crate::wire::tcp::{self, Flags};
use crate::wire::{checksum, protocol};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// All that was observed.
#[derive(Debug, Default)]
pub(super) struct Watch {
    halves: BTreeMap<(usize, SocketAddr, SocketAddr), Half>,
    broken: Vec<String>,
}

/// One sender of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    /// Sequence number of its SYN.
    syn: Option<u32>,
    /// Window scale in its SYN; segments of it are scaled when both SYNs had one.
    scale: Option<u8>,
    /// What it may send up to, as far as it was told.
    limit: Option<u32>,
    /// The segment size it was told, in bytes, and by which SYN; the largest when a repeated SYN says another.
    peer_mss: Option<(u32, u16)>,
    /// The acknowledgment number and the limit that it announced last.
    announced: Option<(u32, u32)>,
}

struct Segment {
    src: SocketAddr,
    dst: SocketAddr,
    header: tcp::Header,
    options: tcp::Options,
    header_len: usize,
    payload: u32,
    /// Payload bytes of its largest wire packet.
    largest: u32,
}

/// How many broken promises are remembered.
const REMEMBERED: usize = 20;

impl Segment {
    fn read(packet: &Packet) -> Option<Self> {
        let head = packet.head.as_slice();
        let layout = Layout::find(head, usize::from(packet.meta.l3))?;
        if layout.protocol != protocol::TCP || layout.fragment || layout.end != head.len() {
            return None;
        }
        let (src, dst) = layout.addresses(head);
        if packet.meta.mark.has(Mark::CORRUPTED) && packet.meta.csum == Csum::Full {
            // Most likely the receiver will not believe it. If it will, neither must we ignore it.
            let parts = std::iter::once(&head[layout.l4..]).chain(packet.body.iter().map(AsRef::as_ref));
            let len = head.len() - layout.l4 + packet.meta.len as usize;
            if checksum::transport(src, dst, protocol::TCP, parts, len) != 0 {
                return None;
            }
        }
        let (header, options, header_len) = tcp::parse(&head[layout.l4..]).ok()?;
        let payload = packet.meta.len;
        let largest = match packet.meta.gso {
            Gso::Tcp { mss } => payload.min(u32::from(mss)),
            _ => payload,
        };
        Some(Self {
            src: SocketAddr::new(src, header.source),
            dst: SocketAddr::new(dst, header.destination),
            header,
            options,
            header_len,
            payload,
            largest,
        })
    }

    fn is_syn(&self) -> bool {
        self.header.flags.has(Flags::SYN)
    }
}

/// Bytes from `b` to `a` on the circle.
fn since(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

impl Watch {
    /// What was done against the rules, in words.
    pub(super) fn broken(&self) -> &[String] {
        &self.broken
    }

    /// A packet enters `wire`, as its host sends it; `back` is the wire by which answers come.
    pub(super) fn sent(&mut self, wire: usize, back: usize, packet: &Packet) {
        let Some(segment) = Segment::read(packet) else { return };
        let peer = self
            .halves
            .get(&(back, segment.dst, segment.src))
            .copied()
            .unwrap_or_default();
        let half = self.halves.entry((wire, segment.src, segment.dst)).or_default();
        let flags = segment.header.flags;
        if segment.is_syn() && half.syn != Some(segment.header.seq) {
            *half = Half {
                syn: Some(segment.header.seq),
                scale: segment.options.window_scale,
                limit: half.limit,
                peer_mss: half.peer_mss,
                announced: None,
            };
        }
        if flags.has(Flags::RST) || half.syn.is_none() {
            return;
        }
        let mut complaints = Vec::new();
        let end = segment.header.seq.wrapping_add(segment.payload);
        if let Some(limit) = half.limit
            && since(end, limit) > 0
            && segment.payload > 1
        {
            complaints.push(format!(
                "sends up to {end}, {} beyond the peer's limit",
                since(end, limit)
            ));
        }
        let options = (segment.header_len - tcp::HEADER_LEN) as u32;
        if let Some((_, mss)) = half.peer_mss
            && segment.payload > 0
            && segment.largest + options > u32::from(mss)
        {
            complaints.push(format!(
                "sends {} bytes and {options} of options to a peer of MSS {mss}",
                segment.largest
            ));
        }
        if flags.has(Flags::ACK) && !segment.is_syn() {
            let scale = if peer.scale.is_some() {
                half.scale.unwrap_or(0)
            } else {
                0
            };
            let edge = segment
                .header
                .ack
                .wrapping_add(u32::from(segment.header.window) << scale);
            if let Some((ack, before)) = half.announced {
                if since(segment.header.ack, ack) < 0 {
                    complaints.push(format!("acknowledges {} after {ack}", segment.header.ack));
                }
                // A scaled window is rounded down: it may seem to shrink by what the scale cannot say.
                if since(edge, before) < -(1 << scale) {
                    complaints.push(format!("takes back {} bytes of window", since(before, edge)));
                }
            }
            half.announced = Some((segment.header.ack, edge));
        }
        for complaint in complaints {
            if self.broken.len() < REMEMBERED {
                self.broken.push(format!(
                    "{} to {} at {}: {complaint}",
                    segment.src, segment.dst, packet.meta.at
                ));
            }
        }
    }

    /// A packet leaves `wire`: the host at its end is told.
    pub(super) fn arrived(&mut self, wire: usize, back: usize, packet: &Packet) {
        let Some(segment) = Segment::read(packet) else { return };
        let teller = self
            .halves
            .get(&(wire, segment.src, segment.dst))
            .copied()
            .unwrap_or_default();
        let half = self.halves.entry((back, segment.dst, segment.src)).or_default();
        if segment.is_syn() && teller.syn == Some(segment.header.seq) {
            let mss = segment
                .options
                .mss
                .unwrap_or(if segment.src.is_ipv6() { 1220 } else { 536 });
            let same = half.peer_mss.filter(|(syn, _)| *syn == segment.header.seq);
            half.peer_mss = Some((segment.header.seq, same.map_or(mss, |(_, before)| mss.max(before))));
        }
        if !segment.header.flags.has(Flags::ACK) || segment.header.flags.has(Flags::RST) {
            return;
        }
        let scaled = !segment.is_syn() && half.scale.is_some();
        let scale = if scaled { teller.scale.unwrap_or(0) } else { 0 };
        let edge = segment
            .header
            .ack
            .wrapping_add(u32::from(segment.header.window) << scale);
        // A new connection between the same ports starts anew: what is far away belongs to another.
        half.limit = Some(match half.limit {
            Some(limit) if since(limit, edge) > 0 && since(limit, edge) < 1 << 30 => limit,
            _ => edge,
        });
    }
}
