//! What we offer to receive: the window, its growth with the reader's pace, and no silly ones.
//!
//! Spec: RFC 9293 §3.8.6 (the window never shrinks), §3.8.6.2.2 (receiver's silly window avoidance), RFC 7323 §2.3 (scaling). The growth follows
//! dynamic right-sizing: twice what the reader took in a round trip, so that the sender's window can double.

use super::budget::Pressure;
use super::input::Cx;
use super::tcb::{Bits, Tcb};
use crate::settings::Settings;
use crate::socket::{State, TcpOptions};
use crate::time::{Duration, Instant};

/// How fast the reader takes bytes, to size the buffer by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tune {
    /// When the current measurement began.
    since: Instant,
    /// Bytes the reader took since then.
    copied: u64,
    /// Most bytes the reader took in one round trip.
    space: u64,
    /// Round-trip time as a receiver sees it, in microseconds.
    rtt: u32,
}

impl Tune {
    /// A timestamp of ours came back with data.
    pub(super) fn on_echo(&mut self, rtt: Duration) {
        let us = (rtt.as_micros() as u32).max(1);
        self.rtt = if self.rtt == 0 { us } else { self.rtt.min(us).max(1) };
    }

    pub(super) fn rtt(&self) -> u32 {
        self.rtt
    }

    pub(super) fn space(&self) -> u64 {
        self.space
    }
}

/// The window that a SYN or its answer offers. As Linux has it: of a buffer that grows by itself half, of one that the application gave all; whole
/// segments, and what the field holds without a scale.
pub(super) fn first_window(options: &TcpOptions, settings: &Settings, mss: u32) -> u32 {
    let space = options.recv_buffer.unwrap_or(settings.tcp_rmem[1] / 2);
    first_of(options.window_clamp.map_or(space, |clamp| space.min(clamp)), mss)
}

fn first_of(space: u32, mss: u32) -> u32 {
    let whole = if space > mss {
        space / mss.max(1) * mss.max(1)
    } else {
        space
    };
    whole.min(u32::from(u16::MAX))
}

impl Tcb {
    /// The window that our SYN or SYN-ACK offers.
    pub(super) fn first_window(&self) -> u32 {
        let given = self
            .options
            .as_ref()
            .is_some_and(|options| options.recv_buffer.is_some());
        let space = if given { self.rcv_limit } else { self.rcv_limit / 2 };
        let space = self.opt().window_clamp.map_or(space, |clamp| space.min(clamp));
        first_of(space, u32::from(self.adv_mss))
    }

    /// Receive buffer not in use.
    fn free_receive(&self) -> u32 {
        self.room_to_receive().max(0) as u32
    }

    /// Receive buffer not in use; negative while more is held than the limit, which rounding and a smaller limit can bring about.
    fn room_to_receive(&self) -> i64 {
        let held = self.readable() + self.flow.as_ref().map_or(0, |flow| flow.assembler.held());
        let limit = self
            .opt()
            .window_clamp
            .map_or(self.rcv_limit, |clamp| clamp.min(self.rcv_limit));
        i64::from(limit) - held as i64
    }

    /// The smallest step by which the edge moves. RFC 9293 §3.8.6.2.2.
    fn window_step(&self) -> u32 {
        (self.rcv_limit / 2).min(u32::from(self.adv_mss.max(1)))
    }

    /// The window field of the next segment, after moving the right edge as far as the buffer allows.
    pub(super) fn offer_window(&mut self) -> u16 {
        let free = self.free_receive();
        let could = self.rcv_nxt + free;
        if could.since(self.rcv_edge) >= self.window_step() as i32 {
            self.rcv_edge = could;
        }
        if !self.is_synchronized() && self.state != State::SynReceived {
            return u16::try_from(self.rcv_edge.after(self.rcv_nxt)).unwrap_or(u16::MAX);
        }
        let promised = self.rcv_edge.since(self.rcv_nxt).max(0) as u32;
        // The field counts granules. Round up, so that the edge stays where it was promised, unless that would outgrow the buffer for good.
        let granule = 1_u32 << self.rcv_wscale;
        let up = promised.div_ceil(granule);
        let granules = if i64::from(up) * i64::from(granule) <= self.room_to_receive() + i64::from(granule) {
            up
        } else {
            promised / granule
        };
        let field = granules.min(u32::from(u16::MAX));
        self.rcv_edge = self.rcv_edge.max(self.rcv_nxt + field * granule);
        field as u16
    }

    /// The reader took `n` bytes: grow the buffer when it keeps pace, and tell the remote when there is news worth a segment.
    pub(super) fn on_read(&mut self, cx: &Cx<'_>, n: usize) {
        let (now, settings) = (cx.now, cx.settings);
        if let Some(flow) = self.flow.as_deref_mut() {
            let tune = &mut flow.tune;
            tune.copied += n as u64;
            let rtt = if tune.rtt != 0 { tune.rtt } else { self.rtt.srtt_us() };
            if rtt != 0 && now.since(tune.since) >= Duration::from_micros(u64::from(rtt)) {
                let copied = std::mem::take(&mut tune.copied);
                tune.since = now;
                if copied > tune.space {
                    let grown = 2 * copied + 16 * u64::from(self.adv_mss);
                    tune.space = copied;
                    if cx.pressure == Pressure::None && self.options.as_ref().is_none_or(|o| o.recv_buffer.is_none()) {
                        let limit = grown.min(u64::from(settings.tcp_rmem[2])) as u32;
                        self.rcv_limit = self.rcv_limit.max(limit);
                    }
                }
            }
        }
        if !self.may_receive() {
            return;
        }
        let could = self.rcv_nxt + self.free_receive();
        let gain = could.since(self.rcv_edge).max(0) as u32;
        let left = self.rcv_edge.since(self.rcv_nxt).max(0) as u32;
        let worth = if left < self.rcv_limit / 2 {
            (2 * u32::from(self.adv_mss)).min(self.rcv_limit / 2)
        } else {
            self.rcv_limit / 2
        };
        if gain > 0 && gain >= worth {
            self.bits.set(Bits::ACK_NOW);
        }
    }
}
