//! Loss recovery: which sent bytes are lost, and what an episode of loss does to the window. It never sends (`output`); the size of a reduction is
//! `congestion`'s, its pace `prr`'s.
//!
//! In: [`on_ack`] from `ack`, [`on_timeout`], [`on_reorder_timer`] and [`on_tail_probe`] from `timers`. Out: runs marked lost in `sent`.
//! Spec: RFC 8985 (RACK-TLP), RFC 6582 (without SACK), RFC 5681 §3.2, RFC 6298 §5, RFC 3522 and RFC 4015 (needless episodes), RFC 3708 (DSACK).

use super::options::ts_before;
use super::prr::Prr;
use super::sent::{Delivered, Fate, Scoreboard, Sent};
use super::seq::SeqNumber;
use super::tcb::{Bits, Flow, Rexmit, Tcb};
use crate::counters::Counters;
use crate::time::{Duration, Instant};

/// Duplicate acknowledgements, or segments SACKed, that mean loss while no reordering was ever seen. RFC 5681 §3.2, RFC 8985 §6.2.
const DUP_THRESH: u32 = 3;
/// Episodes that a widened reordering window lasts. RFC 8985 §6.2 step 4.
const REO_PERSIST: u8 = 16;

/// Where the sender stands. The names of Linux's `tcpi_ca_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Open,
    /// Bringing the window down because marks were reported; nothing is lost. RFC 3168 §6.1.2.
    Cwr,
    /// Repairing losses told by acknowledgements.
    Recovery,
    /// Repairing after a timeout.
    Loss,
}

impl Phase {
    /// Something was lost and is not repaired yet.
    pub(super) fn is_repairing(self) -> bool {
        matches!(self, Self::Recovery | Self::Loss)
    }

    /// `prr` has the window.
    pub(super) fn is_reducing(self) -> bool {
        matches!(self, Self::Recovery | Self::Cwr)
    }
}

/// RACK's memory. RFC 8985 §5.2.
#[derive(Clone, Copy, Debug, Default)]
struct Rack {
    /// Departure and end of the run sent last among those delivered.
    newest: Option<(Instant, SeqNumber)>,
    rtt: Duration,
    reordering_seen: bool,
    reo_wnd_mult: u8,
    reo_wnd_persist: u8,
    /// A DSACK widens the window once a round trip: until this is acknowledged.
    dsack_round: Option<SeqNumber>,
}

/// What to restore when an episode turns out needless.
#[derive(Clone, Copy, Debug)]
struct Undo {
    cwnd: u32,
    ssthresh: u32,
    /// Our timestamp clock at the first retransmission: an echo from before it is of an original. RFC 3522 §3.2.
    first_resent: Option<u32>,
    /// Bytes retransmitted and not yet reported as duplicates. RFC 3708 §3.
    resent: u32,
}

/// A tail loss probe in flight. RFC 8985 §7.2.
#[derive(Clone, Copy, Debug)]
struct TailProbe {
    end: SeqNumber,
    retransmitted: bool,
}

/// State of loss recovery.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recovery {
    pub(super) phase: Phase,
    /// The episode ends when this is acknowledged: `snd_nxt` when it began.
    high: SeqNumber,
    /// `snd_nxt` at the last reduction of the window, until that is passed: the window is reduced once a window of data. RFC 3168 §6.1.2.
    reduced: Option<SeqNumber>,
    pub(super) prr: Prr,
    rack: Rack,
    dup_acks: u32,
    /// Without SACK: bytes that duplicate acknowledgements say have arrived.
    dup_bytes: u32,
    /// Bytes in flight when the first of them came: more cannot have arrived, whatever a remote that lies repeats (RFC 5681 §3.2 step 4).
    dup_limit: u32,
    undo: Option<Undo>,
    tail_probe: Option<TailProbe>,
}

/// What `ack` knows about one acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct AckEvent {
    pub(super) now: Instant,
    /// `snd_una` moved.
    pub(super) advanced: bool,
    /// A duplicate in the sense of RFC 5681 §2.
    pub(super) duplicate: bool,
    /// A DSACK came with it: bytes that arrived twice.
    pub(super) dsacked: u32,
    /// The timestamp echoed.
    pub(super) echo: Option<u32>,
    /// Pipe before it.
    pub(super) prior_flight: u32,
    /// It told that data of ours was marked. RFC 3168 §6.1.3.
    pub(super) ece: bool,
}

impl Recovery {
    /// Bytes on their way.
    pub(super) fn pipe(&self, sent: &Scoreboard) -> u32 {
        sent.in_flight().saturating_sub(self.dup_bytes)
    }

    pub(super) fn reordering_seen(&self) -> bool {
        self.rack.reordering_seen
    }

    /// A retransmission left: for undoing.
    pub(super) fn on_resent(&mut self, bytes: u32, ts: Option<u32>) {
        if let Some(undo) = &mut self.undo {
            undo.resent = undo.resent.saturating_add(bytes);
            undo.first_resent = undo.first_resent.or(ts);
        }
    }

    /// A tail loss probe left.
    pub(super) fn on_tail_probe_sent(&mut self, end: SeqNumber, retransmitted: bool) {
        self.tail_probe = Some(TailProbe { end, retransmitted });
    }
}

/// Takes in an acknowledgement after the scoreboard did: detects loss, moves between phases, and sets the window within an episode.
pub(super) fn on_ack(tcb: &mut Tcb, flow: &mut Flow, event: &AckEvent, told: &Delivered, counters: &mut Counters) {
    update_rack(tcb, flow, event, told);
    if event.advanced {
        flow.recovery.dup_bytes = 0;
        if !flow.recovery.phase.is_repairing() || tcb.snd_una.since(flow.recovery.high) >= 0 {
            flow.recovery.dup_acks = 0;
        }
    }
    settle_tail_probe(tcb, flow, event);
    if needless(flow, event) {
        undo(tcb, flow, counters);
    }
    if flow.recovery.reduced.is_some_and(|at| at.before(tcb.snd_una)) {
        flow.recovery.reduced = None;
    }
    if is_over(tcb, flow) {
        leave(tcb, flow);
    }
    let lost_before = flow.sent.lost();
    if tcb.bits.has(Bits::SACK) {
        detect_by_rack(tcb, flow, event.now);
    } else {
        detect_by_duplicates(tcb, flow, event);
    }
    let newly_lost = flow.sent.lost() > lost_before;
    if flow.sent.lost() > 0 && !flow.recovery.phase.is_repairing() {
        enter(tcb, flow, event.now, event.prior_flight, counters);
    }
    if event.ece {
        on_echo(tcb, flow, event);
    }
    if flow.recovery.phase.is_reducing() {
        let pipe = flow.recovery.pipe(&flow.sent);
        let delivered = if tcb.bits.has(Bits::SACK) || event.advanced {
            told.bytes
        } else {
            u32::from(tcb.mss)
        };
        let safe = event.advanced && !newly_lost;
        tcb.cwnd = flow
            .recovery
            .prr
            .on_ack(delivered, pipe, tcb.ssthresh, u32::from(tcb.mss), safe);
    }
}

/// RFC 8985 §6.2 steps 1, 2 and 4.
fn update_rack(tcb: &Tcb, flow: &mut Flow, event: &AckEvent, told: &Delivered) {
    let rack = &mut flow.recovery.rack;
    rack.reordering_seen |= told.reordered;
    if let Some(round) = rack.dsack_round
        && round.at_or_before(tcb.snd_una)
    {
        rack.dsack_round = None;
    }
    if event.dsacked > 0 && rack.dsack_round.is_none() {
        rack.dsack_round = Some(tcb.snd_nxt);
        rack.reo_wnd_mult = rack.reo_wnd_mult.saturating_add(1).min(64);
        rack.reo_wnd_persist = REO_PERSIST;
    }
    let Some(newest) = &told.newest else { return };
    let rtt = event.now.since(newest.at);
    if newest.resent {
        // Was it the original that arrived? The echo says so, or the time: it cannot be faster than the path.
        let original = event
            .echo
            .is_some_and(|echo| ts_before(echo, super::options::ts_clock(newest.at, tcb.ts_offset)));
        if original || rtt < Duration::from_micros(u64::from(tcb.rtt.min)) {
            return;
        }
    }
    if rack
        .newest
        .is_none_or(|(at, end)| sent_after((newest.at, newest.end()), (at, end)))
    {
        rack.newest = Some((newest.at, newest.end()));
        rack.rtt = rtt;
    }
}

/// Departure order: by time, then by sequence number. RFC 8985 §5.2.
fn sent_after(a: (Instant, SeqNumber), b: (Instant, SeqNumber)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && b.1.before(a.1))
}

/// RFC 8985 §6.2 steps 4 and 5: everything sent sufficiently before the newest delivered run is lost.
fn detect_by_rack(tcb: &mut Tcb, flow: &mut Flow, now: Instant) {
    let Some(newest) = flow.recovery.rack.newest else {
        return;
    };
    if flow.sent.is_empty() {
        return;
    }
    let window = reordering_window(tcb, flow);
    let rack_rtt = flow.recovery.rack.rtt;
    let mut wait: Option<Duration> = None;
    let _ = flow.sent.mark_lost(|run: &Sent| {
        if !sent_after(newest, (run.at, run.end())) {
            return false;
        }
        let due = run.at + rack_rtt + window;
        if due <= now {
            return true;
        }
        wait = Some(wait.map_or(due.since(now), |wait| wait.max(due.since(now))));
        false
    });
    if let Some(wait) = wait {
        tcb.rexmit = Rexmit::Reorder;
        tcb.rexmit_at = now + wait;
    } else if tcb.rexmit == Rexmit::Reorder {
        tcb.rexmit = Rexmit::Off;
    }
}

/// RFC 8985 §6.2 step 4: how much later than its successors a run may arrive.
fn reordering_window(tcb: &Tcb, flow: &Flow) -> Duration {
    let rack = &flow.recovery.rack;
    if !rack.reordering_seen
        && (flow.recovery.phase.is_repairing() || flow.sent.sacked() >= DUP_THRESH * u32::from(tcb.mss))
    {
        return Duration::ZERO;
    }
    let quarter = Duration::from_micros(u64::from(tcb.rtt.min / 4));
    let srtt = Duration::from_micros(u64::from(tcb.rtt.srtt));
    (quarter * u32::from(rack.reo_wnd_mult.max(1))).min(srtt)
}

/// RFC 5681 §3.2 and RFC 6582 §3.2: three duplicates, or a partial acknowledgement, mean that the first segment is lost.
fn detect_by_duplicates(tcb: &Tcb, flow: &mut Flow, event: &AckEvent) {
    let mss = u32::from(tcb.mss);
    let recovery = &mut flow.recovery;
    if event.duplicate {
        if recovery.dup_acks == 0 {
            recovery.dup_limit = flow.sent.in_flight();
        }
        recovery.dup_acks = recovery.dup_acks.saturating_add(1);
        recovery.dup_bytes = (recovery.dup_bytes + mss).min(recovery.dup_limit);
        if recovery.dup_acks == DUP_THRESH && !recovery.phase.is_repairing() {
            flow.sent.mark_head_lost(mss);
        }
    } else if event.advanced && recovery.phase == Phase::Recovery && flow.sent.first().is_some_and(|run| !run.resent) {
        flow.sent.mark_head_lost(mss);
    }
}

fn remember(tcb: &Tcb, flow: &mut Flow) {
    flow.recovery.undo = Some(Undo {
        cwnd: tcb.cwnd,
        ssthresh: tcb.ssthresh,
        first_resent: None,
        resent: 0,
    });
}

/// An episode begins. RFC 5681 §3.2 steps 2 and 3, RFC 6937 §3.
fn enter(tcb: &mut Tcb, flow: &mut Flow, now: Instant, prior_flight: u32, counters: &mut Counters) {
    counters.tcp_recoveries += 1;
    let first_lost = flow.sent.next_lost().map_or(tcb.snd_una, |run| run.start);
    if flow.recovery.phase == Phase::Cwr && first_lost.before(flow.recovery.high) {
        // Marked and lost within one window of data: it has been reduced for that. RFC 3168 §6.1.2.
        flow.recovery.undo = None;
    } else {
        remember(tcb, flow);
        let mut window = tcb.window();
        flow.congestion.algorithm().on_congestion(now, &mut window);
        tcb.set_window(window);
        flow.recovery.prr = Prr::new(prior_flight);
        note_reduction(tcb, flow);
    }
    flow.recovery.phase = Phase::Recovery;
    flow.recovery.high = tcb.snd_nxt;
    flow.recovery.tail_probe = None;
    tracing::debug!(tuple = ?tcb.tuple, una = ?tcb.snd_una, high = ?tcb.snd_nxt, ssthresh = tcb.ssthresh, "fast recovery");
}

/// The window has become smaller: marks on what is out already are no further reason, and the remote is told. RFC 3168 §6.1.2.
fn note_reduction(tcb: &mut Tcb, flow: &mut Flow) {
    flow.recovery.reduced = Some(tcb.snd_nxt);
    tcb.owe_cwr();
}

/// Data of ours was marked: the window comes down as by a loss, but nothing is sent again. RFC 3168 §6.1.2, RFC 8511 §3.
fn on_echo(tcb: &mut Tcb, flow: &mut Flow, event: &AckEvent) {
    // The congestion was real, whatever else was mistaken for it.
    flow.recovery.undo = None;
    if flow.recovery.phase != Phase::Open || flow.recovery.reduced.is_some() {
        return;
    }
    let mut window = tcb.window();
    flow.congestion.algorithm().on_ecn(event.now, &mut window);
    tcb.set_window(window);
    flow.recovery.phase = Phase::Cwr;
    flow.recovery.high = tcb.snd_nxt;
    flow.recovery.prr = Prr::new(event.prior_flight);
    note_reduction(tcb, flow);
    tracing::debug!(tuple = ?tcb.tuple, una = ?tcb.snd_una, ssthresh = tcb.ssthresh, "congestion window reduced on marks");
}

/// Is the episode at its end? After a reduction on marks something sent later has to arrive first: the data that tells the remote of it.
fn is_over(tcb: &Tcb, flow: &Flow) -> bool {
    let beyond = tcb.snd_una.since(flow.recovery.high);
    match flow.recovery.phase {
        Phase::Open => false,
        Phase::Cwr => beyond > 0 || !tcb.has_outstanding(),
        Phase::Recovery | Phase::Loss => beyond >= 0,
    }
}

/// Everything outstanding when it began is acknowledged.
fn leave(tcb: &mut Tcb, flow: &mut Flow) {
    let recovery = &mut flow.recovery;
    if recovery.phase.is_reducing() {
        // RFC 6937 §3: "on completion set cwnd to ssthresh"; never more than what keeps the pipe from bursting is sent anyway.
        tcb.cwnd = tcb.ssthresh.max(u32::from(tcb.mss));
    }
    recovery.phase = Phase::Open;
    recovery.dup_acks = 0;
    recovery.undo = None;
    recovery.rack.reo_wnd_persist = recovery.rack.reo_wnd_persist.saturating_sub(1);
    if recovery.rack.reo_wnd_persist == 0 {
        recovery.rack.reo_wnd_mult = 1;
    }
}

/// The episode was a mistake: what was resent had arrived in the first place. RFC 3522 §3.2 (Eifel), RFC 3708 (DSACK).
fn needless(flow: &mut Flow, event: &AckEvent) -> bool {
    if !flow.recovery.phase.is_repairing() {
        return false;
    }
    let Some(undo) = &mut flow.recovery.undo else {
        return false;
    };
    if event.advanced
        && let (Some(echo), Some(first)) = (event.echo, undo.first_resent)
        && ts_before(echo, first)
    {
        return true;
    }
    if event.dsacked > 0 && undo.resent > 0 {
        undo.resent = undo.resent.saturating_sub(event.dsacked);
        return undo.resent == 0;
    }
    false
}

/// Puts window and threshold back. RFC 4015 §3.
fn undo(tcb: &mut Tcb, flow: &mut Flow, counters: &mut Counters) {
    let Some(undo) = flow.recovery.undo.take() else { return };
    counters.tcp_undos += 1;
    tcb.cwnd = tcb.cwnd.max(undo.cwnd);
    tcb.ssthresh = tcb.ssthresh.max(undo.ssthresh);
    flow.congestion.algorithm().on_undo();
    flow.sent.forgive();
    flow.recovery.phase = Phase::Open;
    flow.recovery.reduced = None;
    flow.recovery.dup_acks = 0;
    flow.recovery.rack.reordering_seen = true;
    tracing::debug!(tuple = ?tcb.tuple, cwnd = tcb.cwnd, "needless recovery undone");
}

/// RFC 8985 §7.4.2: a probe that had to repair a loss is answered by one reduction.
fn settle_tail_probe(tcb: &mut Tcb, flow: &mut Flow, event: &AckEvent) {
    let Some(probe) = flow.recovery.tail_probe else { return };
    if !probe.end.at_or_before(tcb.snd_una) {
        return;
    }
    if !probe.retransmitted || event.dsacked > 0 {
        flow.recovery.tail_probe = None;
    } else if event.advanced {
        flow.recovery.tail_probe = None;
        if flow.recovery.phase == Phase::Open {
            let mut window = tcb.window();
            flow.congestion.algorithm().on_congestion(event.now, &mut window);
            window.cwnd = window.cwnd.min(window.ssthresh);
            tcb.set_window(window);
            note_reduction(tcb, flow);
        }
    }
}

/// The retransmission timer fired: all that is not SACKed is lost. RFC 6298 §5.4 to §5.6, RFC 5681 §3.1 equation 4.
pub(super) fn on_timeout(tcb: &mut Tcb, flow: &mut Flow, now: Instant, counters: &mut Counters) {
    counters.tcp_timeouts += 1;
    // The first byte outstanding reported as held, yet not acknowledged: the remote has thrown it away. RFC 2018 §8.
    if flow.sent.first().is_some_and(|run| run.fate == Fate::Sacked) {
        flow.sent.renege();
    }
    if !matches!(flow.recovery.phase, Phase::Loss | Phase::Cwr) || tcb.snd_una.since(flow.recovery.high) >= 0 {
        remember(tcb, flow);
        let mut window = tcb.window();
        flow.congestion.algorithm().on_timeout(now, &mut window);
        tcb.set_window(window);
        note_reduction(tcb, flow);
    }
    let _ = flow.sent.mark_lost(|_| true);
    tcb.cwnd = u32::from(tcb.mss);
    let recovery = &mut flow.recovery;
    recovery.phase = Phase::Loss;
    recovery.high = tcb.snd_nxt;
    (recovery.dup_acks, recovery.dup_bytes) = (0, 0);
    recovery.tail_probe = None;
    recovery.rack.reo_wnd_persist = recovery.rack.reo_wnd_persist.saturating_sub(1);
    tracing::debug!(tuple = ?tcb.tuple, una = ?tcb.snd_una, backoff = tcb.backoff, "retransmission timeout");
}

/// The reordering window has passed. RFC 8985 §6.3.
pub(super) fn on_reorder_timer(tcb: &mut Tcb, flow: &mut Flow, now: Instant, counters: &mut Counters) {
    let prior_flight = flow.recovery.pipe(&flow.sent);
    detect_by_rack(tcb, flow, now);
    if flow.sent.lost() > 0 {
        if !flow.recovery.phase.is_repairing() {
            enter(tcb, flow, now, prior_flight, counters);
        }
        if flow.recovery.phase == Phase::Recovery {
            let pipe = flow.recovery.pipe(&flow.sent);
            tcb.cwnd = flow
                .recovery
                .prr
                .on_ack(0, pipe, tcb.ssthresh, u32::from(tcb.mss), false);
        }
    }
}

/// When to probe the tail, if at all. RFC 8985 §7.2: two round trips, and room for a delayed acknowledgement when just one segment is out.
pub(super) fn tail_probe_delay(tcb: &Tcb, flow: &Flow, delack: Duration) -> Option<Duration> {
    let usable = tcb.bits.has(Bits::SACK)
        && !flow.recovery.phase.is_repairing()
        && flow.recovery.tail_probe.is_none()
        && flow.sent.sacked() == 0
        && tcb.is_synchronized();
    let srtt = tcb.rtt.srtt().filter(|_| usable)?;
    let single = flow.sent.in_flight() <= u32::from(tcb.mss);
    // Linux allows the remote 200 ms: its longest delayed acknowledgement.
    Some(
        2 * srtt
            + if single {
                delack.max(Duration::from_millis(200))
            } else {
                Duration::from_millis(2)
            },
    )
}
