//! What a connection did, in sums that outlive the flow state: segments by kind, repeats, and the time each thing held the sender back.
//!
//! It is told of events where they happen, and looks at the connection whenever the host has settled it ([`Tcb::account`]): so what holds the
//! sender back follows from its state, not from the last attempt to send. Read by `info`. RFC 4898 has most of the sums.

use super::frto;
use super::output;
use super::recovery::Phase;
use super::sent::Delivered;
use super::tcb::{Bits, Flow, Tcb};
use crate::counters::Counters;
use crate::socket::{Limited, State};
use crate::time::{Duration, Instant};

/// Sums of one connection. There are none before the first data.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// What holds the sender back, and since when; `None` outside the synchronized states.
    limited: Option<(Instant, Limited)>,
    spent: [Duration; Limited::ALL.len()],
    /// Since when there is data to send or to be acknowledged.
    busy: Option<Instant>,
    busy_time: Duration,
    /// Since when the connection repairs what a timeout told.
    repairing: Option<Instant>,
    repair_time: Duration,
    /// Timeouts, and episodes that began with one.
    pub(super) timeouts: u16,
    pub(super) timeout_recoveries: u16,
    pub(super) data_segs_in: u32,
    pub(super) data_segs_out: u32,
    pub(super) bytes_in: u64,
    pub(super) bytes_acked: u64,
    pub(super) bytes_resent: u64,
    pub(super) segs_resent: u32,
    /// When data arrived last, in milliseconds; `None` while none has.
    pub(super) last_data_rx: Option<u32>,
    /// The listener among whose pending Fast Open attempts this one counts. RFC 7413 §4.2.2.
    pub(super) counted_by: Option<u32>,
    /// Segments delivered, and those of them whose acknowledgement told of marks.
    pub(super) delivered: u32,
    pub(super) delivered_ce: u32,
    pub(super) dsacks: u32,
    /// Acknowledgements that showed reordering.
    pub(super) reorderings: u32,
    pub(super) out_of_order: u32,
    /// The last window that we offered was 0.
    window_closed: bool,
    /// What the flow state measured before it was dropped.
    pub(super) delivery_rate: u64,
    pub(super) delivery_rate_app_limited: bool,
    pub(super) rcv_rtt: u32,
    pub(super) rcv_space: u64,
}

impl Stats {
    /// Time that each reason took so far.
    pub(super) fn limited(&self, now: Instant) -> [Duration; Limited::ALL.len()] {
        let mut spent = self.spent;
        if let Some((since, by)) = self.limited {
            spent[by as usize] += now.since(since);
        }
        spent
    }

    pub(super) fn busy_time(&self, now: Instant) -> Duration {
        self.busy_time + self.busy.map_or(Duration::ZERO, |since| now.since(since))
    }

    pub(super) fn repair_time(&self, now: Instant) -> Duration {
        self.repair_time + self.repairing.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// An acknowledgement told what arrived, perhaps that marks did (`ece`), or that something came twice.
    pub(super) fn on_delivered(&mut self, told: &Delivered, ece: bool, twice: bool, counters: &mut Counters) {
        let marked = if ece { told.segs } else { 0 };
        counters.tcp_delivered += u64::from(told.segs);
        counters.tcp_delivered_ce += u64::from(marked);
        counters.tcp_dsack_recv += u64::from(twice);
        counters.tcp_sack_reorder += u64::from(told.overtaken.is_some());
        self.delivered = self.delivered.wrapping_add(told.segs);
        self.delivered_ce = self.delivered_ce.wrapping_add(marked);
        self.dsacks = self.dsacks.wrapping_add(twice.into());
        self.reorderings = self.reorderings.wrapping_add(told.overtaken.is_some().into());
    }

    /// A segment leaves with this window.
    pub(super) fn on_window(&mut self, window: u16, counters: &mut Counters) {
        match (self.window_closed, window) {
            (false, 0) => counters.tcp_to_zero_window_adv += 1,
            (true, 1..) => counters.tcp_from_zero_window_adv += 1,
            _ => return,
        }
        self.window_closed = window == 0;
    }

    /// A retransmission timer fired.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        self.timeouts = self.timeouts.saturating_add(1);
        if self.repairing.is_none() {
            self.timeout_recoveries = self.timeout_recoveries.saturating_add(1);
            self.repairing = Some(now);
        }
    }
}

/// Stops or starts a clock, and adds what it ran to a sum.
fn run(clock: &mut Option<Instant>, sum: &mut Duration, on: bool, now: Instant) {
    match (*clock, on) {
        (Some(since), false) => {
            *sum += now.since(since);
            *clock = None;
        }
        (None, true) => *clock = Some(now),
        _ => {}
    }
}

impl Tcb {
    /// The sums, begun when there are none.
    pub(super) fn stats(&mut self, now: Instant) -> &mut Stats {
        let synchronized = self.is_synchronized();
        let waited = Self::ago(now, self.established);
        self.stats.get_or_insert_with(|| {
            let mut stats = Stats::default();
            if synchronized {
                // Until now there was nothing to send.
                stats.spent[Limited::Application as usize] = waited;
                stats.limited = Some((now, Limited::Application));
            }
            Box::new(stats)
        })
    }

    /// Bytes received in order.
    pub(super) fn bytes_in(&self) -> u64 {
        self.stats.as_ref().map_or(0, |stats| stats.bytes_in)
    }

    /// Bytes that the remote acknowledged.
    pub(super) fn bytes_acked(&self) -> u64 {
        self.stats.as_ref().map_or(0, |stats| stats.bytes_acked)
    }

    /// Segments sent again, SYNs aside.
    pub(super) fn segs_resent(&self) -> u32 {
        self.stats.as_ref().map_or(0, |stats| stats.segs_resent)
    }

    /// Made by a SYN with data: counts among the pending ones of a listener.
    pub(crate) fn count_by(&mut self, listener: u32) {
        self.stats.get_or_insert_default().counted_by = Some(listener);
    }

    /// See [`Tcb::count_by`].
    pub(crate) fn counted_by(&self) -> Option<u32> {
        self.stats.as_ref()?.counted_by
    }

    /// The flow state goes; what it last measured stays.
    pub(super) fn drop_flow(&mut self) {
        let Some(flow) = self.flow.take() else { return };
        if let Some(stats) = self.stats.as_deref_mut() {
            stats.delivery_rate = flow.delivery.rate;
            stats.delivery_rate_app_limited = flow.delivery.app_limited;
            (stats.rcv_rtt, stats.rcv_space) = (flow.tune.rtt(), flow.tune.space());
        }
    }

    /// Takes note of what holds the sender back from now on. Called after anything happened to the connection.
    pub(crate) fn account(&mut self, now: Instant) {
        if self.stats.is_none() {
            if !self.is_synchronized() || self.unsent() == 0 {
                return;
            }
            let _ = self.stats(now);
        }
        let runs = self.is_synchronized() && !matches!(self.state, State::Closed | State::TimeWait);
        let by = runs.then(|| self.held_by());
        let busy = runs && (self.has_outstanding() || self.unsent() > 0);
        let opening = matches!(self.state, State::SynSent | State::SynReceived);
        let in_loss = |flow: &Flow| flow.recovery.phase == Phase::Loss;
        let repairs = opening || self.flow.as_deref().is_some_and(in_loss);
        let Some(stats) = self.stats.as_deref_mut() else { return };
        if stats.limited.map(|(_, by)| by) != by {
            if let Some((since, was)) = stats.limited {
                stats.spent[was as usize] += now.since(since);
            }
            stats.limited = by.map(|by| (now, by));
        }
        run(&mut stats.busy, &mut stats.busy_time, busy, now);
        if !repairs {
            run(&mut stats.repairing, &mut stats.repair_time, false, now);
        }
    }

    /// What keeps the next segment from leaving; when nothing here does, the link.
    pub(super) fn held_by(&self) -> Limited {
        match self.flow.as_deref() {
            Some(flow) => lost_data(self, flow).unwrap_or_else(|| self.new_data_held_by(flow)),
            None if self.unsent() > 0 => Limited::Link,
            None => Limited::Application,
        }
    }

    fn new_data_held_by(&self, flow: &Flow) -> Limited {
        if self.unsent() == 0 {
            let full = self.bits.has(Bits::WANTS_ROOM) && self.has_outstanding();
            return if full {
                Limited::SendBuffer
            } else {
                Limited::Application
            };
        }
        match output::room_for_new(self, flow) {
            Ok(_) => ready(flow),
            Err(reason) => reason,
        }
    }
}

/// What keeps the next retransmission from leaving; `None` when there is none to make.
fn lost_data(tcb: &Tcb, flow: &Flow) -> Option<Limited> {
    let run = flow.sent.next_lost()?;
    if frto::holds_back(flow) {
        return Some(Limited::CongestionWindow);
    }
    let wnd_end = tcb.snd_una + tcb.snd_wnd;
    if wnd_end.at_or_before(run.start) && run.start != tcb.snd_una {
        return Some(Limited::ReceiveWindow);
    }
    let pipe = flow.recovery.pipe(&flow.sent);
    let full = pipe > 0 && tcb.cwnd.saturating_sub(pipe) < u32::from(tcb.mss).min(run.len);
    Some(if full { Limited::CongestionWindow } else { ready(flow) })
}

/// The windows let it go.
fn ready(flow: &Flow) -> Limited {
    if flow.pacing.wake.is_some() {
        Limited::Pacing
    } else {
        Limited::Link
    }
}
