//! When we acknowledge. Everything about it is here: at once, with the next data, or after a short delay.
//!
//! Spec: RFC 9293 §3.8.6.3 (delay below 0.5 s, at least every second full segment), RFC 5681 §4.2 (at once when out of order or filling a gap).
//! A batch of segments is acknowledged once, when the host asks for output. Behind a gap the first few acknowledgements leave at once, so that
//! the remote sees three; of the others one carries the news of many, since SACK blocks add up.

use super::seq::SeqNumber;
use super::tcb::{Bits, Tcb, tick, untick};
use crate::settings::Settings;
use crate::socket::State;
use crate::time::{Duration, Instant};

/// Segments acknowledged at once at the start of a connection, so that the remote's slow start does not wait for our timer.
pub(super) const QUICK_ACKS: u8 = 16;
/// Acknowledgements that leave at once behind a gap: what a remote without RACK counts. RFC 5681 §3.2.
const AT_ONCE: u8 = 3;
/// RFC 9293 §3.8.6.3 MUST-40.
const LONGEST: Duration = Duration::from_millis(500);

/// The rhythm of what arrives.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rhythm {
    /// How long the next segment is waited for, before bounds; Linux's `ato`.
    ato: Duration,
    last_data: Option<Instant>,
    /// `rcv_nxt` at the present gap, acknowledgements sent at once behind it, and segments that the next one will tell of.
    gap: SeqNumber,
    at_once: u8,
    held_back: u32,
}

impl Rhythm {
    /// In-order data arrived: the wait follows the time between arrivals.
    fn on_data(&mut self, now: Instant, shortest: Duration) {
        let pause = self.last_data.replace(now).map(|last| now.since(last));
        self.ato = match pause {
            None => shortest,
            Some(pause) if pause <= shortest / 2 => self.ato / 2 + shortest / 2,
            Some(pause) if pause < self.ato => self.ato / 2 + pause,
            Some(_) => self.ato,
        };
    }
}

impl Tcb {
    /// In-order bytes arrived: an acknowledgement is owed, now or soon. More than one full segment is a second segment.
    pub(super) fn owe_ack(&mut self, now: Instant, segment: u32, settings: &Settings) {
        self.rcv_mss = self.rcv_mss.max(segment.min(u32::from(self.adv_mss)) as u16);
        if let Some(flow) = self.flow.as_deref_mut() {
            flow.rhythm.on_data(now, settings.tcp_delack);
        }
        let unacked = self.rcv_nxt.after(self.rcv_acked);
        let quick = self.quick > 0 && !self.bits.has(Bits::PINGPONG);
        if unacked > u32::from(self.rcv_mss) || quick || self.opt().quickack {
            self.bits.set(Bits::ACK_NOW);
        } else {
            self.owe_ack_by(now + self.ack_delay(settings));
        }
    }

    /// The remote's FIN arrived. Our program will most likely close in its turn, and its FIN acknowledge this one: after data, wait for that a
    /// little, as Linux does. A remote that waits for nothing else, or that never sent anything, hears at once.
    pub(super) fn owe_fin_ack(&mut self, now: Instant, settings: &Settings) {
        let unacked = self.rcv_nxt.after(self.rcv_acked);
        if self.state != State::Established || self.bytes_in() == 0 || unacked > u32::from(self.rcv_mss) {
            self.bits.set(Bits::ACK_NOW);
        } else if !self.bits.has(Bits::ACK_NOW) && !self.bits.has(Bits::ACK_OWED) {
            self.owe_ack_by(now + self.ack_delay(settings));
        }
        self.bits.set(Bits::PINGPONG);
    }

    /// Bytes arrived behind a gap. RFC 5681 §4.2: the remote is told at once, until it has been told often enough to act.
    pub(super) fn owe_ack_behind_gap(&mut self, now: Instant, settings: &Settings) {
        let delay = self.compressed_ack_delay(settings);
        let (rcv_nxt, owed) = (self.rcv_nxt, self.bits.has(Bits::ACK_OWED));
        let Some(flow) = self.flow.as_deref_mut().filter(|_| !delay.is_zero()) else {
            self.bits.set(Bits::ACK_NOW);
            return;
        };
        let rhythm = &mut flow.rhythm;
        if rhythm.gap != rcv_nxt || !owed {
            rhythm.held_back = 0;
        }
        if rhythm.gap != rcv_nxt {
            (rhythm.gap, rhythm.at_once) = (rcv_nxt, 0);
        }
        if rhythm.at_once < AT_ONCE {
            rhythm.at_once += 1;
            self.bits.set(Bits::ACK_NOW);
            return;
        }
        rhythm.held_back += 1;
        if rhythm.held_back >= settings.tcp_comp_sack_nr {
            self.bits.set(Bits::ACK_NOW);
        } else {
            self.owe_ack_by(now + delay);
        }
    }

    fn owe_ack_by(&mut self, due: Instant) {
        let sooner = self.delack_at.is_none_or(|at| due < untick(at));
        if sooner || !self.bits.has(Bits::ACK_OWED) {
            self.delack_at = tick(due);
        }
        self.bits.set(Bits::ACK_OWED);
    }

    /// How long in-order data waits for company: as long as the remote's rhythm suggests, no longer than a round trip beyond the shortest.
    fn ack_delay(&self, settings: &Settings) -> Duration {
        let shortest = settings.tcp_delack;
        let ato = self.flow.as_ref().map_or(shortest, |flow| flow.rhythm.ato);
        let round_trip = self.rtt.srtt().unwrap_or(shortest).max(shortest);
        ato.max(shortest)
            .min(round_trip)
            .min(settings.tcp_delack_max.max(shortest))
            .min(LONGEST)
    }

    /// How long acknowledgements behind a gap are gathered: a twentieth of a round trip. Zero: not at all.
    fn compressed_ack_delay(&self, settings: &Settings) -> Duration {
        if !self.bits.has(Bits::SACK) || settings.tcp_comp_sack_nr == 0 {
            return Duration::ZERO;
        }
        let seen = self.flow.as_ref().map_or(0, |flow| flow.tune.rtt());
        let rtt = match (seen, self.rtt.srtt_us()) {
            (0, other) | (other, 0) => other,
            (seen, smooth) => seen.min(smooth),
        };
        (Duration::from_micros(u64::from(rtt)) / 20).min(settings.tcp_comp_sack_delay_ns)
    }

    /// The delay is over: nothing came to ride on.
    pub(super) fn on_ack_delay(&mut self) {
        self.delack_at = None;
        if !self.bits.take(Bits::ACK_OWED) {
            return;
        }
        self.bits.set(Bits::ACK_NOW);
        let answers = self.bits.take(Bits::PINGPONG);
        if let Some(flow) = self.flow.as_deref_mut() {
            if !flow.assembler.is_empty() {
                return;
            }
            // An application that answers was waited for in vain: it does not any more. Else the next segment is waited for a little longer.
            flow.rhythm.ato = if answers {
                Duration::ZERO
            } else {
                (2 * flow.rhythm.ato).min(LONGEST)
            };
        }
    }

    /// A segment with an acknowledgement left.
    pub(super) fn on_acked(&mut self, with_data: bool) {
        self.rcv_acked = self.rcv_nxt;
        self.bits.clear(Bits::ACK_NOW);
        self.bits.clear(Bits::ACK_OWED);
        self.delack_at = None;
        self.quick = self.quick.saturating_sub(1);
        if with_data && self.bytes_in() > 0 {
            self.bits.set(Bits::PINGPONG);
        }
    }
}
