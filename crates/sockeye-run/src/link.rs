//! The link between the program's host and the gateway, and the program's loopback: two directions each, as bad as asked for.
//!
//! On the loopback, "up" is towards the lower-numbered port: towards the server, as far as anyone can tell.

use crate::capture::Capture;
use crate::config::{RunConfig, Target};
use sockeye::gateway::{Gateway, LinkCounters, LinkReport};
use sockeye_core::keys::Keys;
use sockeye_core::netem::{Fate, Netem, Pipe, too_big_answer};
use sockeye_core::packet::Mark;
use sockeye_core::pcap;
use sockeye_core::{Instant, Packet};
use std::net::{IpAddr, SocketAddr};

/// Which way, as the program sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the program's host to the gateway.
    Up,
    /// From the gateway to the program's host.
    Down,
    /// From the program's host to itself.
    Loop,
}

/// All pipes of a run.
#[derive(Debug)]
pub(crate) struct Link {
    only: Vec<Target>,
    up: Lane,
    down: Lane,
    loop_up: Lane,
    loop_down: Lane,
    pub(crate) capture: Option<Capture>,
}

/// One direction: what is impaired goes through the pipe, what is not through a clear one.
#[derive(Debug)]
struct Lane {
    pipe: Pipe,
    clear: Pipe,
    mtu: u32,
}

impl Lane {
    fn new(netem: &Netem, keys: &Keys, name: &str) -> Self {
        Self {
            pipe: Pipe::new(netem, keys, name),
            clear: Pipe::new(&Netem::NONE, keys, name),
            mtu: netem.mtu.unwrap_or(u32::MAX),
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Packet> {
        self.clear.pop(now).or_else(|| self.pipe.pop(now))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.clear.poll_timeout(), self.pipe.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn add_to(&self, sum: &mut LinkCounters) {
        for counters in [self.pipe.counters(), self.clear.counters()] {
            sum.packets += counters.packets;
            sum.bytes += counters.bytes;
            sum.lost += counters.lost + counters.outage_lost + counters.too_big;
            sum.delayed += counters.delayed;
            sum.reordered += counters.reordered;
            sum.duplicated += counters.duplicated;
            sum.corrupted += counters.corrupted;
            sum.overflowed += counters.queue_dropped;
            sum.marked += counters.marked;
            sum.codel_dropped += counters.codel_dropped;
        }
    }
}

impl Link {
    pub(crate) fn new(config: &mut RunConfig) -> Self {
        let keys = Keys::new(config.seed, "link");
        Self {
            only: config.only.clone(),
            up: Lane::new(&config.up, &keys, "up"),
            down: Lane::new(&config.down, &keys, "down"),
            loop_up: Lane::new(&config.up, &keys, "loop up"),
            loop_down: Lane::new(&config.down, &keys, "loop down"),
            capture: config.pcap.take().map(Capture::new),
        }
    }

    /// Puts a packet on its way, or into `arrived` where nothing is to be done to it. What the link has to say about it to its sender, if
    /// anything (RFC 1191, RFC 8201).
    pub(crate) fn push(
        &mut self,
        now: Instant,
        way: Way,
        mut packet: Packet,
        gateway: &Gateway,
        arrived: &mut Vec<Packet>,
    ) -> Option<Packet> {
        let ends = ends(&packet);
        let impaired = self.only.is_empty()
            || match (way, ends) {
                (_, None) => true,
                (Way::Up, Some((_, dst))) => self.is_meant(dst, gateway),
                (Way::Down, Some((src, _))) => self.is_meant(src, gateway),
                (Way::Loop, Some((src, dst))) => self.is_meant(src, gateway) || self.is_meant(dst, gateway),
            };
        let towards_lower = ends.is_none_or(|(src, dst)| dst.port() <= src.port());
        let lane = match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
            Way::Loop if towards_lower => &mut self.loop_up,
            Way::Loop => &mut self.loop_down,
        };
        let pipe = if impaired { &mut lane.pipe } else { &mut lane.clear };
        if self.capture.is_none() && pipe.pass(now, [&mut packet]) {
            arrived.push(packet);
            return None;
        }
        let would_arrive = pipe.would_arrive(now);
        match &mut self.capture {
            None => pipe.push(now, packet),
            Some(capture) => pipe.push_with(now, packet, &mut |packet, fate| {
                let (interface, direction) = match way {
                    Way::Up => (capture.eth0, pcap::Direction::Out),
                    Way::Down => (capture.eth0, pcap::Direction::In),
                    Way::Loop => (capture.lo, pcap::Direction::Out),
                };
                // What arrives is captured on arrival; what is damaged, as it was before; what is lost, when it would have arrived.
                let arrives = matches!(fate, Fate::Passed(mark) if !mark.has(Mark::CORRUPTED));
                if way != Way::Down {
                    capture.packet(now, interface, direction, packet, fate.remarks(packet).as_deref());
                } else if !arrives {
                    capture.later(would_arrive, interface, direction, packet.clone(), fate.remarks(packet));
                } else {
                    capture.expect();
                }
            }),
        }
        let too_big = pipe.take_too_big()?;
        too_big_answer(&too_big, lane.mtu)
    }

    /// The next packet that arrives.
    pub(crate) fn pop(&mut self, now: Instant, way: Way) -> Option<Packet> {
        let packet = match way {
            Way::Up => self.up.pop(now),
            Way::Down => self.down.pop(now),
            Way::Loop => self.loop_up.pop(now).or_else(|| self.loop_down.pop(now)),
        }?;
        if let (Way::Down, Some(capture)) = (way, &mut self.capture)
            && !packet.meta.mark.has(Mark::CORRUPTED)
        {
            let remarks = Fate::Passed(packet.meta.mark).remarks(&packet);
            capture.arrival(now, capture.eth0, pcap::Direction::In, &packet, remarks.as_deref());
        }
        Some(packet)
    }

    /// When the next packet arrives.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lanes = [&self.up, &self.down, &self.loop_up, &self.loop_down];
        lanes.into_iter().filter_map(Lane::poll_timeout).min()
    }

    /// What was done to packets so far.
    pub(crate) fn report(&self) -> LinkReport {
        let mut report = LinkReport::default();
        self.up.add_to(&mut report.up);
        self.loop_up.add_to(&mut report.up);
        self.down.add_to(&mut report.down);
        self.loop_down.add_to(&mut report.down);
        report
    }

    fn is_meant(&self, end: SocketAddr, gateway: &Gateway) -> bool {
        self.only.iter().any(|target| {
            let named = || {
                let name = target.name.as_deref();
                name.is_some_and(|name| {
                    gateway
                        .name_of(end.ip())
                        .is_some_and(|known| known.eq_ignore_ascii_case(name))
                })
            };
            target.port.is_none_or(|port| port == end.port()) && (target.addresses.contains(&end.ip()) || named())
        })
    }
}

/// Source and destination of a packet, with ports where it has them.
fn ends(packet: &Packet) -> Option<(SocketAddr, SocketAddr)> {
    let head = packet.head.as_slice();
    let ip = head.get(usize::from(packet.meta.l3)..)?;
    let (protocol, src, dst): (u8, IpAddr, IpAddr) = match ip.first()? >> 4 {
        4 => {
            let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(ip.get(at..at + 4)?).ok()?));
            (*ip.get(9)?, address(12)?, address(16)?)
        }
        6 => {
            let address = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(ip.get(at..at + 16)?).ok()?));
            (*ip.get(6)?, address(8)?, address(24)?)
        }
        _ => return None,
    };
    let ported = matches!(i32::from(protocol), libc::IPPROTO_TCP | libc::IPPROTO_UDP);
    let port = |at: usize| {
        let at = usize::from(packet.meta.l4) + at;
        let bytes = head
            .get(at..at + 2)
            .filter(|_| ported && packet.meta.l4 > packet.meta.l3);
        bytes.map_or(0, |port| u16::from_be_bytes([port[0], port[1]]))
    };
    Some((SocketAddr::new(src, port(0)), SocketAddr::new(dst, port(2))))
}
