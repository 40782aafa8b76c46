//! The memory of a closed connection: 64 bytes for two segment lifetimes, so that its stragglers meet somebody who knows.
//!
//! Spec: RFC 9293 §3.6.1 and §3.10.7.4, RFC 1337 (RST is ignored), RFC 6191 (a new SYN may end it early).

use super::input::{Cx, Reply, Segment, acceptable};
use super::options::{ts_before, ts_clock};
use super::seq::SeqNumber;
use super::tcb::{Bits, Tcb};
use crate::counters::DropReason;
use crate::settings::Settings;
use crate::time::{Duration, Instant};
use crate::tuple::FourTuple;
use crate::wire::tcp::{Flags, Header, Options, Timestamps};

/// What is left of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    pub(crate) tuple: FourTuple,
    snd_nxt: SeqNumber,
    rcv_nxt: SeqNumber,
    ts_recent: u32,
    ts_offset: u32,
    /// Milliseconds of the host's clock (wrapping).
    pub(crate) expires: u32,
    last_answer: u32,
    window: u16,
    timestamps: bool,
    fallback: bool,
}

/// What a segment does to the record.
#[derive(Debug)]
pub(crate) enum Straggler {
    /// Nothing.
    Ignore,
    /// The 2 MSL start again.
    Restart,
    /// A new connection may take over: its initial sequence number must lie beyond this. RFC 6191 §2.
    Reopen(SeqNumber),
}

impl TimeWait {
    pub(crate) fn of(tcb: &Tcb, now: Instant, wait_ms: u32) -> Self {
        Self {
            tuple: tcb.tuple,
            snd_nxt: tcb.snd_nxt,
            rcv_nxt: tcb.rcv_nxt,
            ts_recent: tcb.ts_recent,
            ts_offset: tcb.ts_offset,
            expires: super::tcb::millis(now).wrapping_add(wait_ms),
            last_answer: 0,
            window: u16::try_from((tcb.rcv_edge.since(tcb.rcv_nxt).max(0) as u32) >> tcb.rcv_wscale)
                .unwrap_or(u16::MAX),
            timestamps: tcb.bits.has(Bits::TIMESTAMPS),
            fallback: tcb.bits.has(Bits::FALLBACK),
        }
    }

    /// May an active open take over, and from which sequence number on? RFC 6191 §3: the remote, which remembers nothing, accepts anything; old
    /// segments of its are told by their timestamps, once a tick of a second has passed since the last of them.
    pub(crate) fn reusable(&self, now: Instant, settings: &Settings) -> Option<SeqNumber> {
        let loopback = self.tuple.local().ip().is_loopback() || self.tuple.remote().ip() == self.tuple.local().ip();
        let allowed = match settings.tcp_tw_reuse {
            0 => false,
            2 => loopback,
            _ => true,
        };
        let left = self.expires.wrapping_sub(super::tcb::millis(now)).cast_signed().max(0);
        let stayed = settings
            .tcp_time_wait
            .saturating_sub(Duration::from_millis(left as u64));
        (allowed && self.timestamps && stayed >= Duration::from_secs(1)).then(|| self.next_incarnation())
    }

    /// Beyond everything that the old connection may have sent.
    fn next_incarnation(&self) -> SeqNumber {
        self.snd_nxt + 65_535 + 2
    }

    /// SEGMENT ARRIVES in TIME-WAIT.
    pub(crate) fn segment_arrives(&mut self, seg: &Segment, cx: &mut Cx<'_>) -> Result<Straggler, DropReason> {
        let stamp = if self.timestamps { seg.options.timestamps } else { None };
        if seg.flags.has(Flags::RST) {
            // RFC 1337 §3 (F1).
            return Err(DropReason::BadState);
        }
        if seg.flags.has(Flags::SYN) && !seg.flags.has(Flags::ACK) {
            let newer = match stamp {
                Some(ts) => {
                    ts_before(self.ts_recent, ts.value) || (ts.value == self.ts_recent && self.rcv_nxt.before(seg.seq))
                }
                None => self.rcv_nxt.before(seg.seq),
            };
            if newer {
                return Ok(Straggler::Reopen(self.next_incarnation()));
            }
        }
        let old = stamp.is_some_and(|ts| ts_before(ts.value, self.ts_recent));
        if old || !acceptable(self.rcv_nxt, u32::from(self.window), seg.seq, seg.seg_len()) {
            let again = seg.flags.has(Flags::FIN) && seg.end() == self.rcv_nxt;
            self.acknowledge(seg, cx);
            return if again {
                Ok(Straggler::Restart)
            } else {
                Err(DropReason::OutOfWindow)
            };
        }
        if seg.seg_len() > 0 {
            self.acknowledge(seg, cx);
        }
        Ok(Straggler::Ignore)
    }

    fn acknowledge(&mut self, seg: &Segment, cx: &mut Cx<'_>) {
        let fin = seg.flags.has(Flags::FIN);
        if !fin && !cx.limits.allow_answer(cx.now, &mut self.last_answer, cx.settings) {
            return;
        }
        let (local, remote) = (self.tuple.local(), self.tuple.remote());
        let header = Header {
            source: local.port(),
            destination: remote.port(),
            seq: self.snd_nxt.0,
            ack: self.rcv_nxt.0,
            flags: Flags::ACK,
            window: self.window,
            urgent: 0,
        };
        let timestamps = self.timestamps.then(|| Timestamps {
            value: ts_clock(cx.now, self.ts_offset),
            echo: self.ts_recent,
        });
        let options = Options {
            timestamps,
            ..Options::default()
        };
        cx.replies.push(Reply {
            tuple: self.tuple,
            header,
            options,
            fallback: self.fallback,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_connection_is_small() {
        assert!(size_of::<TimeWait>() <= 72, "{}", size_of::<TimeWait>());
    }
}
