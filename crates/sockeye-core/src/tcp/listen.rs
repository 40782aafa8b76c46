//! Listening: half-open connections as small records, and the queue of those that wait to be accepted.
//!
//! A SYN costs 64 bytes until its sender has shown that it can be reached; when the queue of such records is full, nothing at all (`cookie`).
//! Spec: RFC 9293 §3.10.7.2 and §3.10.7.4 for SYN-RECEIVED; RFC 4987 §3 (SYN floods).

use super::cookie;
use super::fast_open::Pending;
use super::input::{Cx, Reply, Segment, acceptable};
use super::open::{SynFacts, TcpKeys, our_scale};
use super::options::ts_clock;
use super::seq::SeqNumber;
use super::tcb::Tcb;
use super::window::first_window;
use crate::counters::DropReason;
use crate::packet::Body;
use crate::settings::Settings;
use crate::socket::TcpOptions;
use crate::time::Instant;
use crate::tuple::FourTuple;
use crate::wire::tcp::{Flags, Header, Options, Timestamps};
use std::collections::VecDeque;

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: std::net::SocketAddr,
    pub(crate) claim: u32,
    pub(crate) backlog: u32,
    pub(crate) options: TcpOptions,
    /// Established, not yet accepted: indices and generations of connections.
    pub(crate) queue: VecDeque<crate::socket::TcpId>,
    /// Half-open connections remembered.
    pub(crate) half_open: u32,
    /// Half-open connections whose remote answered and found the accept queue full: they come in when there is room.
    pub(crate) turned_away: VecDeque<u32>,
    pub(crate) event: bool,
    /// Connections made by SYNs with data whose handshake has not ended.
    pub(crate) fast_open: Pending,
}

impl Listener {
    /// Linux's rule: a backlog of n lets n + 1 wait.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() > self.backlog as usize
    }

    /// Half-open connections have the same limit. Without cookies to fall back on, `tcp_max_syn_backlog` limits them too, less a quarter that is
    /// kept free (RFC 4987 §3.1).
    pub(crate) fn syn_queue_full(&self, settings: &Settings) -> bool {
        let most = settings.tcp_max_syn_backlog;
        let crowded = settings.tcp_syncookies == 0 && self.half_open > most - most / 4;
        crowded || self.half_open > self.backlog
    }
}

const WITH_TIMESTAMPS: u8 = 1;
const WITH_SACK: u8 = 2;
const WITH_SCALING: u8 = 4;
const TURNED_AWAY: u8 = 8;
const WITH_ECN: u8 = 16;

/// A half-open connection: what must be known to finish it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SynReceived {
    pub(crate) tuple: FourTuple,
    pub(super) iss: SeqNumber,
    pub(super) irs: SeqNumber,
    ts_recent: u32,
    pub(crate) listener: u32,
    /// Departure of the first SYN-ACK, in microseconds (wrapping).
    sent_at: u32,
    window: u16,
    peer_mss: u16,
    scale: u8,
    bits: u8,
    pub(crate) retries: u8,
    fallback: bool,
}

/// What to do with a segment for a half-open connection.
#[derive(Debug)]
pub(crate) enum HalfOpen {
    /// Send the SYN-ACK again.
    Repeat,
    /// Forget it.
    Forget,
    /// The handshake is complete: make a connection and give it the segment.
    Complete,
}

impl SynReceived {
    /// A SYN for a listener. RFC 9293 §3.10.7.2 third step.
    pub(crate) fn new(
        tuple: FourTuple,
        iss: SeqNumber,
        listener: u32,
        syn: &SynFacts,
        fallback: bool,
        now: Instant,
        settings: &Settings,
    ) -> Self {
        let options = &syn.options;
        let mut bits = 0;
        if options.timestamps.is_some() && settings.tcp_timestamps {
            bits |= WITH_TIMESTAMPS;
        }
        if options.sack_permitted && settings.tcp_sack {
            bits |= WITH_SACK;
        }
        if options.window_scale.is_some() && settings.tcp_window_scaling {
            bits |= WITH_SCALING;
        }
        if syn.ecn {
            bits |= WITH_ECN;
        }
        Self {
            tuple,
            iss,
            irs: syn.seq,
            ts_recent: options.timestamps.map_or(0, |ts| ts.value),
            listener,
            sent_at: now.as_micros() as u32,
            window: syn.window,
            peer_mss: options.mss.unwrap_or(if tuple.is_v4() { 536 } else { 1_220 }),
            scale: options.window_scale.unwrap_or(0),
            bits,
            retries: 0,
            fallback,
        }
    }

    pub(crate) fn initial_sequence(&self) -> SeqNumber {
        self.iss
    }

    pub(crate) fn leaves_by_fallback(&self) -> bool {
        self.fallback
    }

    /// What the SYN said, as far as it is remembered.
    pub(crate) fn facts(&self) -> SynFacts {
        let has = |bit| self.bits & bit != 0;
        let options = Options {
            mss: Some(self.peer_mss),
            window_scale: has(WITH_SCALING).then_some(self.scale),
            sack_permitted: has(WITH_SACK),
            timestamps: has(WITH_TIMESTAMPS).then_some(Timestamps {
                value: self.ts_recent,
                echo: 0,
            }),
            ..Options::default()
        };
        SynFacts {
            seq: self.irs,
            window: self.window,
            options,
            ecn: has(WITH_ECN),
        }
    }

    /// The SYN-ACK.
    pub(crate) fn syn_ack(
        &self,
        now: Instant,
        keys: &TcpKeys,
        listener: &TcpOptions,
        mss: u16,
        settings: &Settings,
    ) -> Reply {
        let has = |bit| self.bits & bit != 0;
        let offset = keys.timestamp_offset(&self.tuple);
        let options = Options {
            mss: Some(mss),
            window_scale: has(WITH_SCALING).then(|| our_scale(listener, settings)),
            sack_permitted: has(WITH_SACK),
            timestamps: has(WITH_TIMESTAMPS).then(|| Timestamps {
                value: ts_clock(now, offset),
                echo: self.ts_recent,
            }),
            ..Options::default()
        };
        let ecn = if has(WITH_ECN) { Flags::ECE } else { Flags::NONE };
        self.reply(
            self.iss,
            Flags::SYN.and(Flags::ACK).and(ecn),
            first_window(listener, settings, u32::from(mss)) as u16,
            options,
        )
    }

    fn reply(&self, seq: SeqNumber, flags: Flags, window: u16, options: Options) -> Reply {
        let (local, remote) = (self.tuple.local(), self.tuple.remote());
        let ack = (self.irs + 1).0;
        let header = Header {
            source: local.port(),
            destination: remote.port(),
            seq: seq.0,
            ack,
            flags,
            window,
            urgent: 0,
        };
        Reply {
            tuple: self.tuple,
            header,
            options,
            fallback: self.fallback,
        }
    }

    /// SEGMENT ARRIVES in SYN-RECEIVED. RFC 9293 §3.10.7.4, for the passive side.
    pub(crate) fn segment_arrives(
        &mut self,
        seg: &Segment,
        window: u32,
        cx: &mut Cx<'_>,
    ) -> Result<HalfOpen, DropReason> {
        let rcv_nxt = self.irs + 1;
        if seg.flags.has(Flags::SYN) && !seg.flags.has(Flags::ACK) && !seg.flags.has(Flags::RST) && seg.seq == self.irs
        {
            // RFC 3168 §6.1.1: who has received a SYN that does not ask must not answer as if it did.
            if !super::ecn::is_setup(seg.flags) {
                self.bits &= !WITH_ECN;
            }
            return Ok(HalfOpen::Repeat);
        }
        if !acceptable(rcv_nxt, window, seg.seq, seg.seg_len()) {
            if !seg.flags.has(Flags::RST) && cx.limits.allow_challenge(cx.now, cx.settings) {
                let reply = self.reply(self.iss + 1, Flags::ACK, window.min(65_535) as u16, Options::default());
                cx.replies.push(reply);
            }
            return Err(DropReason::OutOfWindow);
        }
        if seg.flags.has(Flags::RST) {
            // RFC 5961 §3.2; a passive open returns to LISTEN and nobody is told.
            if seg.seq == rcv_nxt {
                cx.counters.tcp_attempt_fails += 1;
                return Ok(HalfOpen::Forget);
            }
            return Err(DropReason::RateLimited);
        }
        if seg.flags.has(Flags::SYN) {
            return Err(DropReason::BadState);
        }
        if !seg.flags.has(Flags::ACK) {
            return Err(DropReason::BadAck);
        }
        if seg.ack != self.iss + 1 {
            super::open::refuse_segment(self.tuple, seg, self.fallback, cx);
            return Err(DropReason::BadAck);
        }
        Ok(HalfOpen::Complete)
    }

    /// Notes that the remote answered and was turned away; true the first time. A remote with nothing to send will not speak again.
    pub(crate) fn turn_away(&mut self) -> bool {
        let first = self.bits & TURNED_AWAY == 0;
        self.bits |= TURNED_AWAY;
        // Whenever it comes in, that is no measure of the round trip.
        self.retries = self.retries.max(1);
        first
    }

    /// The answer of a remote that was turned away, as far as it is known: it acknowledged our SYN. Its window is the SYN's.
    pub(crate) fn answer_turned_away(&self) -> Option<Segment> {
        if self.bits & TURNED_AWAY == 0 {
            return None;
        }
        let options = Options {
            timestamps: self.facts().options.timestamps,
            ..Options::default()
        };
        let scale = if self.bits & WITH_SCALING != 0 {
            self.scale.min(14)
        } else {
            0
        };
        Some(Segment {
            seq: self.irs + 1,
            ack: self.iss + 1,
            flags: Flags::ACK,
            window: self.window >> scale,
            urgent: None,
            options,
            len: 0,
            unit: 0,
            ecn: 0,
            pins: 0,
            body: Body::new(),
        })
    }

    /// The connection, about to see the segment that completes it.
    pub(crate) fn connection(&self, options: TcpOptions, path_mtu: u32, keys: &TcpKeys, cx: &mut Cx<'_>) -> Tcb {
        let mut tcb = super::open::answer(self.tuple, self.iss, options, path_mtu, keys, &self.facts(), cx);
        tcb.bits.clear(super::tcb::Bits::ACK_NOW);
        tcb.retries = self.retries;
        // So that the round trip is measured from the SYN-ACK.
        let since = u64::from((cx.now.as_micros() as u32).wrapping_sub(self.sent_at));
        tcb.rexmit_at = cx.now + cx.settings.tcp_initial_rto - std::time::Duration::from_micros(since);
        tcb
    }

    /// A half-open connection out of a cookie that came back.
    pub(super) fn from_cookie(
        tuple: FourTuple,
        seg: &Segment,
        listener: u32,
        told: cookie::Told,
        now: Instant,
    ) -> Self {
        let mut bits = 0;
        if told.timestamps {
            bits |= WITH_TIMESTAMPS;
        }
        if told.sack {
            bits |= WITH_SACK;
        }
        if told.scale.is_some() {
            bits |= WITH_SCALING;
        }
        if told.ecn {
            bits |= WITH_ECN;
        }
        Self {
            tuple,
            iss: seg.ack - 1,
            irs: seg.seq - 1,
            ts_recent: seg.options.timestamps.map_or(0, |ts| ts.value),
            listener,
            sent_at: now.as_micros() as u32,
            window: seg.window,
            peer_mss: told.mss,
            scale: told.scale.unwrap_or(0),
            bits,
            // Nothing is known about when the SYN-ACK left.
            retries: 1,
            fallback: false,
        }
    }

    /// The record of a SYN that is answered by a cookie: used to build the SYN-ACK, then forgotten.
    pub(crate) fn with_cookie(mut self, keys: &TcpKeys, now: Instant) -> Self {
        self.iss = cookie::make(keys, &self.tuple, self.irs, self.peer_mss, now);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_open_connection_is_small() {
        assert!(size_of::<SynReceived>() <= 64, "{}", size_of::<SynReceived>());
    }
}
