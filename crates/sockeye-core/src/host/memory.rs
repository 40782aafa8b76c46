//! What a host's connections take of memory, and what it does when that is too much.

use super::Host;
use super::tcp_input::cx;
use crate::tcp::{Cx, Pressure, SynReceived, Tcb, TimeWait};
use crate::time::Instant;

/// Memory of a host's TCP, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Buffers and flow state of all connections: what `tcp_mem` limits.
    pub buffers: u64,
    /// Connections, each a record.
    pub connections: u64,
    /// Half-open connections, each a small record.
    pub half_open: u64,
    /// Connections in TIME-WAIT, each a small record.
    pub time_wait: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.buffers + self.connections + self.half_open + self.time_wait
    }
}

impl Host {
    /// What TCP takes of memory now. Costs the same however many connections there are.
    pub fn memory(&self) -> Memory {
        Memory {
            buffers: self.tcp.budget.used(),
            connections: (self.tcp.conns.len() * size_of::<Tcb>()) as u64,
            half_open: (self.tcp.half_open.len() * size_of::<SynReceived>()) as u64,
            time_wait: (self.tcp.time_waits.len() * size_of::<(TimeWait, u32)>()) as u64,
        }
    }

    /// The most slots that finding a connection looks at: short whatever addresses others choose. Walks the whole table.
    pub fn longest_probe(&self) -> usize {
        self.demux.longest_probe()
    }

    /// Looks after the budget, where it is overdrawn: walks all connections, but only after so much came in since the last time that it pays.
    pub(super) fn relieve(&mut self, now: Instant) {
        if self.tcp.budget.pressure() < Pressure::Hard {
            return;
        }
        if self.tcp.budget.is_to_empty() {
            let all: Vec<u32> = self.tcp.conns.iter().map(|(index, ..)| index).collect();
            for index in all {
                if let Some(tcb) = self.tcp.conns.at_mut(index) {
                    tcb.drop_out_of_order();
                    self.tcp.budget.recharge(tcb, &self.settings);
                }
            }
        }
        let mut excess = self.tcp.budget.excess(&self.settings);
        if excess == 0 {
            return;
        }
        let mut victims: Vec<_> = self
            .tcp
            .conns
            .iter()
            .filter_map(|(index, _, tcb)| Some((tcb.as_victim()?, index)))
            .collect();
        victims.sort_unstable();
        for (victim, index) in victims {
            if let Some(tcb) = self.tcp.conns.at_mut(index) {
                tracing::warn!(tuple = ?tcb.tuple, holds = victim.holds(), "reset for want of memory (tcp_mem)");
                tcb.sacrifice(&mut cx!(self, now));
                self.settle_connection(now, index);
            }
            excess = excess.saturating_sub(victim.holds().into());
            if excess == 0 {
                return;
            }
        }
    }
}
