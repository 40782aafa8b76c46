//! The memory that all connections of a host share, and who gives way when it runs short.
//!
//! Every connection is charged what its buffers and its flow state take, in bytes as they lie in memory; the sum is kept, never counted anew.
//! Above the first mark of `tcp_mem` buffers stop growing, above the second nothing out of order is kept and new connections come in by SYN
//! cookie only, above the third connections are reset: closed sockets first, then those whose remote shows a closed window, then whoever
//! holds most. Spec: RFC 6429 §4 (a sender may end connections that a remote stalls), RFC 2018 §8 (out-of-order data may be dropped),
//! RFC 4987 §3.6. The names of the marks are tcp(7)'s: low, pressure, high.

use super::input::Cx;
use super::tcb::{Bits, Rexmit, Tcb};
use crate::error::SocketError;
use crate::settings::Settings;
use std::cmp::Reverse;

/// `tcp_mem` counts pages of this size, as Linux does on most machines.
const PAGE: u64 = 4_096;

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    #[default]
    None,
    /// Buffers do not grow.
    Soft,
    /// Only what is in order is kept; new connections by SYN cookie.
    Hard,
    /// Somebody has to go.
    Limit,
}

/// The sum over all connections of a host.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used: u64,
    pressure: Pressure,
    /// Out-of-order queues were emptied since the hard mark was passed.
    emptied: bool,
}

impl Budget {
    /// Bytes charged.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// A connection's memory has changed. Costs the same whatever there is.
    pub(crate) fn recharge(&mut self, tcb: &mut Tcb, settings: &Settings) {
        let is = u32::try_from(tcb.footprint()).unwrap_or(u32::MAX);
        let was = std::mem::replace(&mut tcb.charged, is);
        if was != is {
            self.change(was, is, settings);
        }
    }

    /// A connection is gone.
    pub(crate) fn discharge(&mut self, tcb: &Tcb, settings: &Settings) {
        self.change(tcb.charged, 0, settings);
    }

    fn change(&mut self, was: u32, is: u32, settings: &Settings) {
        self.used = self.used - u64::from(was) + u64::from(is);
        let [soft, hard, limit] = settings.tcp_mem.map(|pages| u64::from(pages) * PAGE);
        self.pressure = match self.used {
            used if used > limit => Pressure::Limit,
            used if used > hard => Pressure::Hard,
            used if used > soft => Pressure::Soft,
            _ => Pressure::None,
        };
        // Well below the mark: the next time it is passed the queues are looked at again. The gap keeps an attacker from having that done often.
        if self.used < hard - hard / 8 {
            self.emptied = false;
        }
    }

    /// True once after the hard mark was passed: out-of-order queues are to be emptied, all of them.
    pub(crate) fn is_to_empty(&mut self) -> bool {
        self.pressure >= Pressure::Hard && !std::mem::replace(&mut self.emptied, true)
    }

    /// How many bytes are to be freed by resets: an eighth more than too much, so that it is not soon to be done again.
    pub(crate) fn excess(&self, settings: &Settings) -> u64 {
        let limit = u64::from(settings.tcp_mem[2]) * PAGE;
        if self.used > limit {
            self.used - (limit - limit / 8)
        } else {
            0
        }
    }
}

/// Who goes first: the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Victim {
    class: u8,
    stalled: Reverse<u8>,
    holds: Reverse<u32>,
}

impl Victim {
    pub(crate) fn holds(&self) -> u32 {
        self.holds.0
    }
}

impl Tcb {
    /// Bytes charged to the budget.
    pub(crate) fn charge(&self) -> u64 {
        self.charged.into()
    }

    /// Its place among those that may be reset for want of memory; `None` when that would free nothing.
    pub(crate) fn as_victim(&self) -> Option<Victim> {
        if self.charged == 0 {
            return None;
        }
        let stalled = self.rexmit == Rexmit::Persist && self.snd_wnd == 0;
        let class = match (self.bits.has(Bits::ORPHAN), stalled) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        Some(Victim {
            class,
            stalled: Reverse(if stalled { self.backoff } else { 0 }),
            holds: Reverse(self.charged),
        })
    }

    /// Gives up what arrived out of order: the remote still has it. RFC 2018 §8.
    pub(crate) fn drop_out_of_order(&mut self) {
        if let Some(flow) = self.flow.as_deref_mut() {
            flow.assembler.clear();
        }
    }

    /// Reset for want of memory; what was not read is lost too.
    pub(crate) fn sacrifice(&mut self, cx: &mut Cx<'_>) {
        cx.counters.tcp_abort_on_memory += 1;
        self.abort(cx, SocketError::NoMemory);
        self.rx = None;
    }
}
