//! What an observer who sees each packet and its fate writes down about a sender: what it sent again, and what of that was needless.

use sockeye_core::Packet;
use sockeye_core::netem::Fate;
use std::collections::BTreeMap;

/// SYN in TCP's flags.
const SYN: u8 = 2;

/// Bytes of payload that a sender put on the line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// All of them.
    pub(crate) sent: u64,
    /// Of these, bytes that had been sent before.
    pub(crate) resent: u64,
    /// Of these, bytes of which a copy sent before was not lost: it had arrived, or was about to.
    pub(crate) spurious: u64,
    /// By the sender's port.
    streams: BTreeMap<u16, Stream>,
}

/// One connection's bytes, counted from its SYN.
#[derive(Clone, Debug, Default)]
struct Stream {
    syn: u32,
    /// End of what was sent so far.
    high: u32,
    /// What the network let pass: disjoint stretches, start and end, that do not touch.
    passed: BTreeMap<u32, u32>,
}

impl Stream {
    /// Bytes of `[start, end)` that have passed before.
    fn known(&self, start: u32, end: u32) -> u64 {
        let before = self.passed.range(..start).next_back();
        let stretches = before.into_iter().chain(self.passed.range(start..end));
        stretches
            .map(|(from, to)| u64::from((*to).min(end).saturating_sub((*from).max(start))))
            .sum()
    }

    fn pass(&mut self, mut start: u32, mut end: u32) {
        if let Some((from, to)) = self.passed.range(..start).next_back()
            && *to >= start
        {
            (start, end) = (*from, end.max(*to));
        }
        while let Some((&from, &to)) = self.passed.range(start..=end).next() {
            end = end.max(to);
            let _ = self.passed.remove(&from);
        }
        let _ = self.passed.insert(start, end);
    }
}

impl Ledger {
    /// A wire packet of the sender enters the link and meets its fate there.
    pub(crate) fn sent(&mut self, packet: &Packet, fate: Fate) {
        let tcp = &packet.head.as_slice()[usize::from(packet.meta.l4)..];
        let port = u16::from_be_bytes([tcp[0], tcp[1]]);
        let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let stream = self.streams.entry(port).or_default();
        if tcp[13] & SYN != 0 {
            (stream.syn, stream.high) = (seq, 1);
            return;
        }
        let len = packet.meta.len;
        if len == 0 {
            return;
        }
        let start = seq.wrapping_sub(stream.syn);
        let end = start + len;
        self.sent += u64::from(len);
        self.resent += u64::from(stream.high.min(end).saturating_sub(start));
        self.spurious += stream.known(start, end);
        stream.high = stream.high.max(end);
        if !fate.is_drop() {
            stream.pass(start, end);
        }
    }
}

#[test]
fn stretches_are_counted_once() {
    let mut stream = Stream::default();
    stream.pass(10, 20);
    stream.pass(30, 40);
    assert_eq!(stream.known(0, 100), 20);
    assert_eq!(stream.known(15, 35), 10);
    stream.pass(20, 30);
    assert_eq!(stream.passed.iter().collect::<Vec<_>>(), [(&10, &40)]);
    stream.pass(5, 50);
    assert_eq!((stream.known(0, 100), stream.known(5, 6)), (45, 1));
}
