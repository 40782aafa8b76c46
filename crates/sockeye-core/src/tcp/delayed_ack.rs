//! When we acknowledge. Everything about it is here: at once, with the next data, or after a short delay.
//!
//! Spec: RFC 9293 §3.8.6.3 (delay below 0.5 s, at least every second full segment), RFC 5681 §4.2 (at once when out of order or filling a gap).
//! A batch of segments is acknowledged once, when the host asks for output.

use super::tcb::{Bits, Tcb, tick};
use crate::settings::Settings;
use crate::socket::State;
use crate::time::{Duration, Instant};

/// Segments acknowledged at once at the start of a connection, so that the remote's slow start does not wait for our timer.
pub(super) const QUICK_ACKS: u8 = 16;

impl Tcb {
    /// In-order bytes arrived: an acknowledgement is owed, now or soon. More than one full segment is a second segment.
    pub(super) fn owe_ack(&mut self, now: Instant, segment: u32, settings: &Settings) {
        self.rcv_mss = self.rcv_mss.max(segment.min(u32::from(self.adv_mss)) as u16);
        let unacked = self.rcv_nxt.after(self.rcv_acked);
        let quick = self.quick > 0 && !self.bits.has(Bits::PINGPONG);
        if unacked > u32::from(self.rcv_mss) || quick || self.opt().quickack {
            self.bits.set(Bits::ACK_NOW);
        } else if !self.bits.has(Bits::ACK_OWED) {
            self.bits.set(Bits::ACK_OWED);
            self.delack_at = tick(now + self.ack_delay(settings));
        }
    }

    /// The remote's FIN arrived. Our program will most likely close in its turn, and its FIN acknowledge this one: after data, wait for that a
    /// little, as Linux does. A remote that waits for nothing else, or that never sent anything, hears at once.
    pub(super) fn owe_fin_ack(&mut self, now: Instant, settings: &Settings) {
        let unacked = self.rcv_nxt.after(self.rcv_acked);
        if self.state != State::Established || self.bytes_in == 0 || unacked > u32::from(self.rcv_mss) {
            self.bits.set(Bits::ACK_NOW);
        } else if !self.bits.has(Bits::ACK_NOW) && !self.bits.has(Bits::ACK_OWED) {
            self.bits.set(Bits::ACK_OWED);
            self.delack_at = tick(now + self.ack_delay(settings));
        }
        self.bits.set(Bits::PINGPONG);
    }

    /// No longer than half a round trip would explain, no longer than the setting.
    fn ack_delay(&self, settings: &Settings) -> Duration {
        settings.tcp_delack.min(Duration::from_millis(500))
    }

    /// The delay is over.
    pub(super) fn on_ack_delay(&mut self) {
        self.delack_at = None;
        if self.bits.take(Bits::ACK_OWED) {
            self.bits.set(Bits::ACK_NOW);
        }
    }

    /// A segment with an acknowledgement left.
    pub(super) fn on_acked(&mut self, with_data: bool) {
        self.rcv_acked = self.rcv_nxt;
        self.bits.clear(Bits::ACK_NOW);
        self.bits.clear(Bits::ACK_OWED);
        self.delack_at = None;
        self.quick = self.quick.saturating_sub(1);
        if with_data && self.bytes_in > 0 {
            self.bits.set(Bits::PINGPONG);
        }
    }
}
