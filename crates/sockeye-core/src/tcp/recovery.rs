//! Loss recovery: what an episode of loss does to the window, and who judges. It never sends (`output`); the size of a reduction is
//! `congestion`'s, its pace `prr`'s; `rack`, or duplicates counted here, say what is lost, `undo` and `frto` whether it was.
//!
//! In: [`on_ack`] from `ack`, [`on_timeout`] and [`on_reorder_timer`] from `timers`. Out: runs marked lost in `sent`.
//! Spec: RFC 8985, RFC 6582 (without SACK), RFC 3042 (limited transmit), RFC 5681 §3.2, RFC 6298 §5.

use super::frto::{self, Frto};
use super::input::Cx;
use super::mtu_probe;
use super::prr::Prr;
use super::rack::{self, Rack};
use super::sent::{Delivered, Fate, Scoreboard};
use super::seq::SeqNumber;
use super::tail_probe::{self, TailProbe};
use super::tcb::{Bits, Flow, Tcb};
use super::undo::{self, Undo};
use crate::settings::Settings;
use crate::time::{Duration, Instant};

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

/// State of loss recovery.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    pub(super) phase: Phase,
    /// The episode ends when this is acknowledged: `snd_nxt` when it began. RFC 6582's `recover`.
    high: SeqNumber,
    /// `snd_nxt` at the last reduction of the window, until that is passed: the window is reduced once a window of data. RFC 3168 §6.1.2.
    pub(super) reduced: Option<SeqNumber>,
    pub(super) prr: Prr,
    pub(super) rack: Rack,
    pub(super) tail_probe: TailProbe,
    pub(super) frto: Frto,
    pub(super) undo: Option<Undo>,
    without_sack: WithoutSack,
}

/// What duplicate acknowledgements tell where no SACK tells more.
#[derive(Clone, Copy, Debug, Default)]
struct WithoutSack {
    dup_acks: u32,
    /// Bytes that duplicates say have arrived.
    dup_bytes: u32,
    /// Bytes in flight when the first of them came: more cannot have arrived, whatever a remote that lies repeats (RFC 5681 §3.2 step 4).
    dup_limit: u32,
    /// Duplicates that came for segments that were only late: so many mean nothing here.
    harmless: u32,
    /// Nothing beyond `high` is acknowledged yet: duplicates may answer our own repeats. RFC 6582 §4.
    guarded: bool,
    /// By how much `snd_una` moved last.
    last_advance: u32,
}

/// What `ack` knows about one acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct AckEvent {
    pub(super) now: Instant,
    /// By how much `snd_una` moved.
    pub(super) moved: u32,
    /// `snd_una` moved.
    pub(super) advanced: bool,
    /// A duplicate in the sense of RFC 5681 §2.
    pub(super) duplicate: bool,
    /// It acknowledges, and says nothing new: neither bytes nor window nor SACK.
    pub(super) plain: bool,
    /// A DSACK came with it: what arrived twice.
    pub(super) dsack: Option<(SeqNumber, SeqNumber)>,
    /// That was a repeat of ours.
    pub(super) repeated_in_vain: bool,
    /// The timestamp echoed.
    pub(super) echo: Option<u32>,
    /// The round trip it measured.
    pub(super) rtt: Option<Duration>,
    /// Pipe before it.
    pub(super) prior_flight: u32,
    /// It told that data of ours was marked. RFC 3168 §6.1.3.
    pub(super) ece: bool,
}

impl Recovery {
    /// Bytes on their way.
    pub(super) fn pipe(&self, sent: &Scoreboard) -> u32 {
        sent.in_flight().saturating_sub(self.without_sack.dup_bytes)
    }

    /// Without SACK: duplicates came, too few to mean loss.
    pub(super) fn has_duplicates(&self) -> bool {
        self.without_sack.dup_acks > 0
    }

    /// Without SACK: so many duplicates were seen to mean nothing.
    pub(super) fn harmless_duplicates(&self) -> u32 {
        self.without_sack.harmless
    }

    /// A retransmission left.
    pub(super) fn on_resent(&mut self, seq: SeqNumber, len: u32, ts: Option<u32>) {
        if self.phase.is_reducing() {
            self.prr.on_sent(len);
        }
        if let (Some(undo), true) = (&mut self.undo, self.phase.is_repairing()) {
            undo.on_resent(seq, len, ts);
        }
    }

    /// Everything outstanding when the episode began is acknowledged.
    pub(super) fn covered(&self, snd_una: SeqNumber) -> bool {
        self.high.at_or_before(snd_una)
    }

    /// `end` lies within what was outstanding when the episode began.
    pub(super) fn reaches(&self, end: SeqNumber) -> bool {
        end.at_or_before(self.high)
    }

    /// The episode lasts until `high` is acknowledged.
    pub(super) fn extend(&mut self, high: SeqNumber) {
        self.high = high;
    }

    /// Nothing is being repaired any more.
    pub(super) fn end_episode(&mut self) {
        self.phase = Phase::Open;
        self.frto = Frto::Off;
        self.without_sack.dup_acks = 0;
        self.without_sack.guarded = true;
    }
}

/// Takes in an acknowledgement after the scoreboard did: detects loss, moves between phases, and sets the window within an episode.
pub(super) fn on_ack(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>, event: &AckEvent, told: &Delivered) {
    let sack = tcb.bits.has(Bits::SACK);
    rack::update(tcb, flow, event, told);
    let delivered = if sack {
        told.bytes
    } else {
        count_duplicates(tcb, flow, event, told, cx.settings)
    };
    tail_probe::on_ack(tcb, flow, event);
    if undo::needless(tcb, flow, event) || frto::on_ack(tcb, flow, event, told) {
        if !sack {
            flow.recovery.without_sack.learn(cx.settings);
        }
        undo::undo(tcb, flow, cx, event, told.bytes);
    }
    if flow.recovery.reduced.is_some_and(|at| at.before(tcb.snd_una)) {
        flow.recovery.reduced = None;
    }
    if is_over(tcb, flow) {
        leave(tcb, flow);
    }
    let lost_before = flow.sent.lost();
    if sack {
        rack::detect(tcb, flow, event.now, cx.settings);
    } else {
        detect_by_duplicates(tcb, flow, event, cx.settings);
    }
    mtu_probe::judge(tcb, flow, cx);
    let newly_lost = note_lost(flow, lost_before);
    if is_congested(flow) && !flow.recovery.phase.is_repairing() {
        enter(tcb, flow, cx, event.prior_flight);
    }
    if event.ece {
        on_echo(tcb, flow, event);
    }
    if flow.recovery.phase.is_reducing() && (delivered > 0 || newly_lost) {
        reduce(tcb, flow, delivered, event.advanced && !newly_lost);
    }
}

/// Counts what was taken for lost since there were `before` bytes of it. Says whether anything was.
fn note_lost(flow: &mut Flow, before: u32) -> bool {
    let news = flow.sent.lost().saturating_sub(before);
    flow.delivery.lost += u64::from(news);
    news > 0
}

/// Something is lost, and not just for being too long for the path.
fn is_congested(flow: &Flow) -> bool {
    flow.sent.lost() > 0 && !flow.search.excuses(&flow.sent)
}

/// Brings the window down as bytes arrive. RFC 9937 §6.
fn reduce(tcb: &mut Tcb, flow: &mut Flow, delivered: u32, safe: bool) {
    if flow.congestion.is_model_based() {
        return;
    }
    let pipe = flow.recovery.pipe(&flow.sent);
    tcb.cwnd = flow
        .recovery
        .prr
        .on_ack(delivered, pipe, tcb.ssthresh, u32::from(tcb.mss), safe);
}

impl WithoutSack {
    /// Duplicates that mean loss. RFC 5681 §3.2: three, more where the path reorders.
    fn threshold(&self, settings: &Settings) -> u32 {
        settings.tcp_reordering.max(1).max(self.harmless)
    }

    /// So many duplicates came for nothing.
    fn learn(&mut self, settings: &Settings) {
        let seen = self.dup_acks.max(settings.tcp_reordering) + 1;
        self.harmless = self.harmless.max(seen.min(settings.tcp_max_reordering));
    }
}

/// Each duplicate is a segment that arrived: RFC 3042 and RFC 5681 §3.2 let another go for it. Returns the bytes that this acknowledgement
/// delivered, without those that duplicates told of before (RFC 9937 §6.2).
fn count_duplicates(tcb: &Tcb, flow: &mut Flow, event: &AckEvent, told: &Delivered, settings: &Settings) -> u32 {
    let mss = u32::from(tcb.mss);
    let flight = flow.sent.in_flight();
    let (open, lost) = (flow.recovery.phase == Phase::Open, flow.recovery.phase == Phase::Loss);
    let high = flow.recovery.high;
    let this = &mut flow.recovery.without_sack;
    if event.advanced {
        this.last_advance = event.moved;
        if high.before(tcb.snd_una) {
            this.guarded = false;
        }
        if open && this.dup_acks >= settings.tcp_reordering.max(1) && this.dup_acks < this.threshold(settings) {
            this.learn(settings);
        }
        // One segment filled the gap; the others had arrived before.
        let known = event.moved.saturating_sub(mss).min(this.dup_bytes);
        this.dup_bytes = if open || lost {
            0
        } else {
            (this.dup_bytes - known).min(flight)
        };
        if open {
            this.dup_acks = 0;
        }
        return told.bytes.saturating_sub(known);
    }
    // After a timeout nothing but repeats is in flight, and duplicates may answer those.
    if event.duplicate && !lost {
        if this.dup_acks == 0 {
            this.dup_limit = flight;
        }
        this.dup_acks = this.dup_acks.saturating_add(1);
        this.dup_bytes = (this.dup_bytes + mss).min(this.dup_limit);
        return mss;
    }
    0
}

/// RFC 5681 §3.2 and RFC 6582 §3.2: enough duplicates, or a partial acknowledgement, mean that the first segment is lost.
fn detect_by_duplicates(tcb: &Tcb, flow: &mut Flow, event: &AckEvent, settings: &Settings) {
    let mss = u32::from(tcb.mss);
    let recovery = &flow.recovery;
    let this = &recovery.without_sack;
    let lost = match recovery.phase {
        // RFC 6582 §4.1: behind a small step duplicates mean a gap, behind a large one our own repeats.
        Phase::Open | Phase::Cwr if event.duplicate => {
            let own = this.guarded && !(tcb.cwnd > mss && this.last_advance <= 4 * mss);
            this.dup_acks >= this.threshold(settings) && !own
        }
        Phase::Recovery => event.advanced && flow.sent.first().is_some_and(|run| !run.resent),
        _ => false,
    };
    if lost {
        flow.sent.mark_head_lost(mss);
    }
}

/// An episode begins. RFC 5681 §3.2 steps 2 and 3, RFC 9937 §6.1.
fn enter(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>, prior_flight: u32) {
    if tcb.bits.has(Bits::SACK) {
        cx.counters.tcp_sack_recovery += 1;
    } else {
        cx.counters.tcp_reno_recovery += 1;
    }
    let first_lost = flow.sent.next_lost().map_or(tcb.snd_una, |run| run.start);
    if flow.recovery.phase == Phase::Cwr && first_lost.before(flow.recovery.high) {
        // Marked and lost within one window of data: it has been reduced for that. RFC 3168 §6.1.2.
        flow.recovery.undo = None;
    } else {
        flow.recovery.undo = Some(Undo::new(tcb));
        let mut window = tcb.window();
        flow.congestion.algorithm().on_congestion(cx.now, &mut window);
        tcb.set_window(window);
        flow.recovery.prr = Prr::new(prior_flight);
        note_reduction(tcb, flow);
    }
    flow.recovery.phase = Phase::Recovery;
    flow.recovery.high = tcb.snd_nxt;
    flow.recovery.tail_probe.forget();
    tracing::debug!(tuple = ?tcb.tuple, una = ?tcb.snd_una, high = ?tcb.snd_nxt, ssthresh = tcb.ssthresh, "fast recovery");
}

/// The window has become smaller: marks on what is out already are no further reason, and the remote is told. RFC 3168 §6.1.2.
pub(super) fn note_reduction(tcb: &mut Tcb, flow: &mut Flow) {
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
    if flow.recovery.phase.is_reducing() && !flow.congestion.is_model_based() {
        // RFC 9937 §6.4: on completion cwnd is ssthresh.
        tcb.cwnd = tcb.ssthresh.max(u32::from(tcb.mss));
    }
    if let Some(undo) = &mut flow.recovery.undo {
        undo.close(tcb.snd_nxt);
    }
    flow.recovery.end_episode();
    flow.recovery.without_sack.dup_bytes = 0;
    flow.recovery.rack.on_recovered();
}

/// The retransmission timer fired. RFC 6298 §5.4 to §5.6, RFC 5681 §3.1 equation 4, RFC 8985 §6.3.
pub(super) fn on_timeout(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>) {
    cx.counters.tcp_timeouts += 1;
    // The first byte outstanding reported as held, yet not acknowledged: the remote has thrown it away. RFC 2018 §8.
    if flow.sent.first().is_some_and(|run| run.fate == Fate::Sacked) {
        flow.sent.renege();
    }
    mtu_probe::on_timeout(tcb, flow, cx);
    let recovering = flow.recovery.phase.is_repairing();
    if !matches!(flow.recovery.phase, Phase::Loss | Phase::Cwr) || flow.recovery.covered(tcb.snd_una) {
        flow.recovery.undo = Some(Undo::new(tcb));
        let mut window = tcb.window();
        flow.congestion.algorithm().on_timeout(cx.now, &mut window);
        tcb.set_window(window);
        note_reduction(tcb, flow);
    }
    flow.recovery.phase = Phase::Loss;
    flow.recovery.high = tcb.snd_nxt;
    flow.recovery.tail_probe.forget();
    let this = &mut flow.recovery.without_sack;
    (this.dup_acks, this.dup_bytes) = (0, 0);
    let lost_before = flow.sent.lost();
    if tcb.bits.has(Bits::SACK) {
        rack::mark_at_timeout(tcb, flow, cx);
    } else {
        let _ = flow.sent.mark_lost(|_| true);
    }
    let _ = note_lost(flow, lost_before);
    // The loss window is one segment; what is believed to be still on its way comes on top.
    tcb.cwnd = flow.recovery.pipe(&flow.sent) + u32::from(tcb.mss);
    frto::begin(tcb, flow, cx, recovering);
    tracing::debug!(tuple = ?tcb.tuple, una = ?tcb.snd_una, backoff = tcb.backoff, "retransmission timeout");
}

/// The reordering window has passed. RFC 8985 §6.2 step 5.
pub(super) fn on_reorder_timer(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>) {
    let prior_flight = flow.recovery.pipe(&flow.sent);
    let lost_before = flow.sent.lost();
    rack::detect(tcb, flow, cx.now, cx.settings);
    mtu_probe::judge(tcb, flow, cx);
    let _ = note_lost(flow, lost_before);
    if !is_congested(flow) {
        return;
    }
    if !flow.recovery.phase.is_repairing() {
        enter(tcb, flow, cx, prior_flight);
    }
    if flow.recovery.phase == Phase::Recovery {
        reduce(tcb, flow, 0, false);
    }
}
