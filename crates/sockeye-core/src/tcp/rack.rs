//! RACK: what is lost, told by time. Something sent sufficiently before what has arrived is not coming any more.
//!
//! How much "sufficiently" is, the reordering window, follows what the path was seen to do. Spec: RFC 8985 §5, §6.2 and §6.3; where RACK is
//! switched off (`tcp_recovery`), the counting of RFC 6675 §4 takes its place.

use super::input::Cx;
use super::recovery::AckEvent;
use super::sent::{Delivered, Sent};
use super::seq::SeqNumber;
use super::tcb::{Flow, Rexmit, Tcb};
use crate::settings::Settings;
use crate::time::{Duration, Instant};

/// Episodes that a widened reordering window lasts. RFC 8985 §6.2 step 4.
const REO_PERSIST: u8 = 16;
/// Quarters of the shortest round trip by which DSACKs widen the window at most; the smoothed round trip bounds it before.
const REO_STEPS: u8 = 64;

/// Bits of `tcp_recovery`, as in Linux's ip-sysctl.
const RACK: u8 = 1;
const STATIC_WINDOW: u8 = 2;
const NO_DUP_THRESH: u8 = 4;

/// RACK's memory. RFC 8985 §5.2.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rack {
    /// Departure and end of the run sent last among those delivered: RACK.xmit_ts and RACK.end_seq.
    newest: Option<(Instant, SeqNumber)>,
    rtt: Duration,
    pub(super) reordering_seen: bool,
    /// RACK.reo_wnd_mult - 1: round trips with a DSACK.
    steps: u8,
    /// Longest that something overtaken, or taken for lost, came after the moment at which it was expected.
    late: Duration,
    /// Recoveries until `steps` and `late` are forgotten.
    persist: u8,
    /// A DSACK widens the window once a round trip: until this is acknowledged.
    dsack_round: Option<SeqNumber>,
}

impl Rack {
    /// Knows something of the path that is worth keeping over a silence.
    pub(super) fn has_learnt(&self) -> bool {
        self.reordering_seen
    }

    /// An episode of recovery was for nothing: the path reorders by more than we allowed for.
    pub(super) fn on_needless(&mut self, now: Instant, departure: Option<Instant>) {
        self.reordering_seen = true;
        if let Some(departure) = departure {
            self.on_late(now, departure);
        }
    }

    /// What left at `departure` arrived behind what had left later, or was taken for lost before. With this window we wait for it; RFC 8985 §6.2 step 4
    /// gets there by a needless recovery and a DSACK for every quarter of a round trip, and forgets while the path goes on reordering.
    fn on_late(&mut self, now: Instant, departure: Instant) {
        let late = now.since(departure).saturating_sub(self.rtt);
        if 2 * late >= self.late {
            self.persist = REO_PERSIST;
        }
        self.late = self.late.max(late);
    }

    /// An episode ended that was not in vain. RFC 8985 §6.2 step 4: what widened the window is forgotten after 16 of them.
    pub(super) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            (self.steps, self.late) = (0, Duration::ZERO);
        }
    }
}

/// RFC 8985 §6.2 steps 2 to 4, as far as they follow from the acknowledgement itself.
pub(super) fn update(tcb: &Tcb, flow: &mut Flow, event: &AckEvent, told: &Delivered) {
    let rack = &mut flow.recovery.rack;
    rack.reordering_seen |= told.overtaken.is_some();
    for departure in [told.overtaken, told.lost_in_vain].into_iter().flatten() {
        rack.on_late(event.now, departure);
    }
    if rack.dsack_round.is_some_and(|round| round.at_or_before(tcb.snd_una)) {
        rack.dsack_round = None;
    }
    if event.repeated_in_vain && rack.dsack_round.is_none() {
        rack.dsack_round = Some(tcb.snd_nxt);
        rack.steps = rack.steps.saturating_add(1).min(REO_STEPS);
        rack.persist = REO_PERSIST;
    }
    if let Some(run) = &told.credible {
        rack.rtt = event.now.since(run.at);
        if rack.newest.is_none_or(|newest| run.after(newest)) {
            rack.newest = Some((run.at, run.end()));
        }
    }
}

/// How much later than its successors a run may arrive. RFC 8985 §6.2 step 4.
fn reordering_window(tcb: &Tcb, flow: &Flow, settings: &Settings) -> Duration {
    let rack = &flow.recovery.rack;
    let enough_sacked =
        flow.sent.sacked_segs() >= settings.tcp_reordering && settings.tcp_recovery & NO_DUP_THRESH == 0;
    if !rack.reordering_seen && (flow.recovery.phase.is_repairing() || enough_sacked) {
        return Duration::ZERO;
    }
    let quarter = tcb.rtt.min() / 4;
    if settings.tcp_recovery & STATIC_WINDOW != 0 {
        return quarter;
    }
    (quarter * (1 + u32::from(rack.steps)))
        .max(rack.late + rack.late / 4)
        .min(tcb.rtt.srtt().unwrap_or_default())
}

/// RFC 8985 §6.2 step 5: everything sent sufficiently before the newest delivered run is lost. Arms the reordering timer for what is not yet.
pub(super) fn detect(tcb: &mut Tcb, flow: &mut Flow, now: Instant, settings: &Settings) {
    let mut wait: Option<Duration> = None;
    if settings.tcp_recovery & RACK == 0 {
        flow.sent
            .mark_lost_by_count(settings.tcp_reordering.max(1), u32::from(tcb.mss));
    } else if let Some(newest) = flow.recovery.rack.newest
        && !flow.sent.untroubled()
    {
        let patience = flow.recovery.rack.rtt + reordering_window(tcb, flow, settings);
        let _ = flow.sent.mark_lost(|run: &Sent| {
            if run.after(newest) || (run.at, run.end()) == newest {
                return false;
            }
            let left = (run.at + patience).since(now);
            if left.is_zero() {
                return true;
            }
            wait = wait.max(Some(left));
            false
        });
    }
    if let Some(wait) = wait {
        tcb.rexmit = Rexmit::Reorder;
        tcb.rexmit_at = now + wait;
    } else if tcb.rexmit == Rexmit::Reorder {
        tcb.rexmit = Rexmit::Off;
    }
}

/// At a timeout the first segment is lost, and of the others those that had their time. RFC 8985 §6.3.
pub(super) fn mark_at_timeout(tcb: &Tcb, flow: &mut Flow, cx: &Cx<'_>) {
    let patience = flow.recovery.rack.rtt + reordering_window(tcb, flow, cx.settings);
    let now = cx.now;
    flow.sent.mark_head_lost(u32::from(tcb.mss));
    let _ = flow.sent.mark_lost(|run| run.at + patience <= now);
}
