//! A capture of the link while it is in use: pcapng, as the program's host sees it. A capture that cannot be written ends, the run goes on.

use sockeye_core::host::Medium;
use sockeye_core::pcap::{Direction, Interface, Writer};
use sockeye_core::{Instant, Packet};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes collected before they are written out.
const BLOCK: usize = 64 << 10;

/// An open capture.
pub(crate) struct Capture {
    out: Option<Box<dyn Write + Send>>,
    writer: Writer,
    pub(crate) eth0: Interface,
    pub(crate) lo: Interface,
    /// Packets that were lost, by the time at which they would have arrived and the number of those to arrive before them.
    later: BTreeMap<(Instant, u64), Vec<Later>>,
    /// Packets on their way to the program, and those that arrived: at equal times they keep lost ones in their place.
    expected: u64,
    arrived: u64,
    latest: Instant,
    pending: Vec<u8>,
    error: Option<String>,
}

#[derive(Debug)]
struct Later {
    interface: Interface,
    direction: Direction,
    packet: Packet,
    comment: Option<Cow<'static, str>>,
}

impl Capture {
    /// Begins a capture on `out`; the clock that packets carry stands at zero now.
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut pending = Vec::new();
        let mut writer = Writer::new(epoch.as_nanos() as u64, &mut pending);
        let eth0 = writer.interface("eth0", Medium::Ip, &mut pending);
        let lo = writer.interface("lo", Medium::Ip, &mut pending);
        Self {
            out: Some(out),
            writer,
            eth0,
            lo,
            later: BTreeMap::new(),
            expected: 0,
            arrived: 0,
            latest: Instant::ZERO,
            pending,
            error: None,
        }
    }

    /// Adds a packet that will have its place at `at`, among those captured until then: lost ones, where they would have arrived.
    pub(crate) fn later(
        &mut self,
        at: Instant,
        interface: Interface,
        direction: Direction,
        packet: Packet,
        comment: Option<Cow<'static, str>>,
    ) {
        let later = Later {
            interface,
            direction,
            packet,
            comment,
        };
        self.later.entry((at, self.expected)).or_default().push(later);
    }

    /// A packet is on its way to the program, and will be captured when it arrives.
    pub(crate) fn expect(&mut self) {
        self.expected += 1;
    }

    /// Adds a packet that was expected, after the lost ones that were due before it.
    pub(crate) fn arrival(
        &mut self,
        at: Instant,
        interface: Interface,
        direction: Direction,
        packet: &Packet,
        comment: Option<&str>,
    ) {
        self.catch_up(packet.meta.at, at);
        self.packet(at, interface, direction, packet, comment);
        self.arrived += 1;
    }

    /// Writes, as of `now`, what has its place before a packet that was due at `due`.
    fn catch_up(&mut self, due: Instant, now: Instant) {
        while let Some(first) = self.later.first_entry()
            && (first.key().0 < due || (first.key().0 == due && first.key().1 <= self.arrived))
        {
            for Later {
                interface,
                direction,
                packet,
                comment,
            } in first.remove()
            {
                self.packet(now, interface, direction, &packet, comment.as_deref());
            }
        }
    }

    /// Adds a packet.
    pub(crate) fn packet(
        &mut self,
        at: Instant,
        interface: Interface,
        direction: Direction,
        packet: &Packet,
        comment: Option<&str>,
    ) {
        self.latest = at;
        if self.out.is_some() {
            self.writer
                .packet(at, interface, direction, packet, comment, &mut self.pending);
            if self.pending.len() >= BLOCK {
                self.flush();
            }
        }
    }

    /// Writes out what was collected, so that others can follow.
    pub(crate) fn flush(&mut self) {
        let Some(out) = &mut self.out else { return };
        if self.pending.is_empty() {
            return;
        }
        let written = out.write_all(&self.pending).and_then(|()| out.flush());
        self.pending.clear();
        if let Err(error) = written {
            self.fail(&error);
        }
    }

    /// Ends the capture. What kept it from being complete, if anything did.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.catch_up(Instant::from_nanos(u64::MAX), self.latest);
        self.flush();
        self.out = None;
        self.error.clone()
    }

    fn fail(&mut self, error: &io::Error) {
        self.out = None;
        self.error = Some(error.to_string());
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
