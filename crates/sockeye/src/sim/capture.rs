//! What a replay writes down: every packet as a line and as pcapng, and what was done to the network.

use super::fabric::Lost;
use sockeye_core::host::Medium;
use sockeye_core::pcap::{Direction, Interface, Writer};
use sockeye_core::wire::layout::Layout;
use sockeye_core::wire::{protocol, tcp, udp};
use sockeye_core::{Instant, Packet};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// A capture that goes on.
#[derive(Debug)]
pub(super) struct Capture {
    writer: Writer,
    interfaces: BTreeMap<String, Interface>,
    pub(super) pcapng: Vec<u8>,
    pub(super) lines: String,
    names: BTreeMap<std::net::IpAddr, String>,
    /// First sequence number of each direction of a connection: lines count from there.
    starts: BTreeMap<(SocketAddr, SocketAddr), u32>,
}

impl Default for Capture {
    fn default() -> Self {
        let mut pcapng = Vec::new();
        Self {
            writer: Writer::new(0, &mut pcapng),
            interfaces: BTreeMap::new(),
            pcapng,
            lines: String::new(),
            names: BTreeMap::new(),
            starts: BTreeMap::new(),
        }
    }
}

impl Capture {
    pub(super) fn name(&mut self, address: std::net::IpAddr, name: &str) {
        let _ = self.names.insert(address, name.to_owned());
    }

    /// Something that is no packet.
    pub(super) fn note(&mut self, now: Instant, what: &str) {
        let _ = writeln!(self.lines, "{}  {what}", stamp(now));
    }

    pub(super) fn lost(&mut self, now: Instant, wire: &str, packet: &Packet, why: Lost) {
        self.packet(now, wire, packet, Some(why.remark()));
    }

    pub(super) fn packet(&mut self, now: Instant, wire: &str, packet: &Packet, remark: Option<&str>) {
        let interface = match self.interfaces.get(wire) {
            Some(known) => *known,
            None => {
                let new = self.writer.interface(wire, Medium::Ip, &mut self.pcapng);
                let _ = self.interfaces.insert(wire.to_owned(), new);
                new
            }
        };
        self.writer
            .packet(now, interface, Direction::Out, packet, remark, &mut self.pcapng);
        let line = self.describe(packet);
        let _ = write!(self.lines, "{}  {line}", stamp(now));
        if let Some(remark) = remark {
            let _ = write!(self.lines, "  [{remark}]");
        }
        self.lines.push('\n');
    }

    fn describe(&mut self, packet: &Packet) -> String {
        let head = packet.head.as_slice();
        let Some(layout) = Layout::find(head, usize::from(packet.meta.l3)) else {
            return format!("{} bytes that are no packet", packet.total_len());
        };
        let (src, dst) = layout.addresses(head);
        let len = head.len() - layout.end + packet.meta.len as usize;
        let (from, to) = (self.named(src), self.named(dst));
        match layout.protocol {
            protocol::TCP if !layout.fragment => {
                let Ok((header, options, _)) = tcp::parse(&head[layout.l4..]) else {
                    return format!("{from} > {to}  tcp that is none");
                };
                let here = SocketAddr::new(src, header.source);
                let there = SocketAddr::new(dst, header.destination);
                self.segment(here, there, &header, &options, len)
            }
            protocol::UDP if !layout.fragment => match udp::parse(&head[layout.l4..]) {
                Ok(header) => format!("{from}:{} > {to}:{}  udp {len}", header.source, header.destination),
                Err(_) => format!("{from} > {to}  udp that is none"),
            },
            protocol::ICMP | protocol::ICMPV6 => format!("{from} > {to}  icmp {len}"),
            other => format!("{from} > {to}  protocol {other}, {len}"),
        }
    }

    fn segment(
        &mut self,
        here: SocketAddr,
        there: SocketAddr,
        header: &tcp::Header,
        options: &tcp::Options,
        len: usize,
    ) -> String {
        if header.flags.has(tcp::Flags::SYN) {
            let _ = self.starts.insert((here, there), header.seq);
        }
        let relative = |from, to, n: u32| n.wrapping_sub(self.starts.get(&(from, to)).copied().unwrap_or(0));
        let seq = relative(here, there, header.seq);
        let mut line = format!(
            "{}:{} > {}:{}  {:?} {seq}",
            self.named(here.ip()),
            here.port(),
            self.named(there.ip()),
            there.port(),
            header.flags
        );
        if len > 0 {
            let _ = write!(line, "..{} ({len})", seq.wrapping_add(len as u32));
        }
        if header.flags.has(tcp::Flags::ACK) {
            let _ = write!(line, " ack {}", relative(there, here, header.ack));
        }
        let _ = write!(line, " win {}", header.window);
        for (left, right) in options.sack.as_slice() {
            let (left, right) = (relative(there, here, *left), relative(there, here, *right));
            let _ = write!(line, " sack {left}..{right}");
        }
        line
    }

    fn named(&self, address: std::net::IpAddr) -> String {
        self.names.get(&address).cloned().unwrap_or_else(|| address.to_string())
    }
}

/// Minutes, seconds and microseconds.
pub(super) fn stamp(now: Instant) -> String {
    let micros = now.as_micros();
    let seconds = micros / 1_000_000;
    format!("{:02}:{:02}.{:06}", seconds / 60, seconds % 60, micros % 1_000_000)
}
