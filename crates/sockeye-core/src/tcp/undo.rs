//! Was it necessary? An episode of recovery that repeated only what had arrived is undone.
//!
//! Three witnesses: the echo of a timestamp older than the first repeat (RFC 3522, Eifel), a DSACK for every repeat (RFC 3708), and what arrives
//! after a timeout though it was never repeated (`frto`). The answer is that of RFC 4015: window and threshold return, and a timeout that came
//! too early makes the next come later.

use super::congestion::initial_window;
use super::input::Cx;
use super::mtu_probe;
use super::options::ts_before;
use super::recovery::{AckEvent, Phase};
use super::seq::SeqNumber;
use super::tcb::{Flow, Tcb};
use crate::time::Duration;

/// Stretches of repeats remembered for DSACKs. With more holes in one window than this the path loses packets beyond doubt.
const MAX_STRETCHES: usize = 64;

/// What the first acknowledgement of a repeat says about it.
#[derive(Clone, Copy, Debug, Default)]
enum Eifel {
    /// Nothing was repeated yet.
    #[default]
    Armed,
    /// Our timestamp clock at the first repeat, and its sequence number.
    Watching(u32, SeqNumber),
    Done,
}

/// What to restore when an episode turns out needless.
#[derive(Clone, Debug)]
pub(super) struct Undo {
    cwnd: u32,
    ssthresh: u32,
    eifel: Eifel,
    /// Repeated in this episode and not reported to have arrived twice. RFC 3708 §3.
    repeats: Vec<(SeqNumber, SeqNumber)>,
    /// There were more than are remembered.
    blurred: bool,
    /// When the episode is over: up to here its DSACKs may still come.
    until: Option<SeqNumber>,
}

impl Undo {
    pub(super) fn new(tcb: &Tcb) -> Self {
        Self {
            cwnd: tcb.cwnd,
            ssthresh: tcb.ssthresh,
            eifel: Eifel::Armed,
            repeats: Vec::new(),
            blurred: false,
            until: None,
        }
    }

    /// `[seq, seq + len)` left again, with this timestamp.
    pub(super) fn on_resent(&mut self, seq: SeqNumber, len: u32, ts: Option<u32>) {
        if let (Eifel::Armed, Some(ts)) = (self.eifel, ts) {
            self.eifel = Eifel::Watching(ts, seq);
        }
        let full = self.repeats.len() >= MAX_STRETCHES;
        match self.repeats.last_mut() {
            Some(last) if last.1 == seq => last.1 = seq + len,
            _ if full => self.blurred = true,
            _ => self.repeats.push((seq, seq + len)),
        }
    }

    /// The episode is over, and no verdict fell: DSACKs of this flight still count.
    pub(super) fn close(&mut self, snd_nxt: SeqNumber) {
        self.until = Some(snd_nxt);
        self.eifel = Eifel::Done;
    }

    fn outlived(&self, snd_una: SeqNumber) -> bool {
        self.until.is_some_and(|until| until.before(snd_una))
    }

    /// Something arrived twice. Was it one of ours? Then it is struck from the repeats.
    fn strike(&mut self, left: SeqNumber, right: SeqNumber) -> bool {
        let inside = |(start, end): &(SeqNumber, SeqNumber)| start.at_or_before(left) && right.at_or_before(*end);
        let Some(index) = self.repeats.iter().position(inside) else {
            return false;
        };
        let (start, end) = self.repeats.remove(index);
        for part in [(start, left), (right, end)] {
            if part.0.before(part.1) {
                self.repeats.insert(index, part);
            }
        }
        true
    }
}

/// Looks at the DSACK of an acknowledgement: does it report one of our repeats? RFC 3708 §3: what the network duplicated is no repeat of ours.
pub(super) fn repeated_in_vain(flow: &mut Flow, dsack: Option<(SeqNumber, SeqNumber)>, snd_una: SeqNumber) -> bool {
    let Some(undo) = &mut flow.recovery.undo else {
        return false;
    };
    if undo.outlived(snd_una) {
        flow.recovery.undo = None;
        return false;
    }
    dsack.is_some_and(|(left, right)| undo.strike(left, right))
}

/// Does this acknowledgement show that the episode was for nothing?
pub(super) fn needless(tcb: &Tcb, flow: &mut Flow, event: &AckEvent) -> bool {
    let Some(undo) = &mut flow.recovery.undo else {
        return false;
    };
    if let (Eifel::Watching(first, seq), true) = (undo.eifel, event.advanced)
        && seq.before(tcb.snd_una)
    {
        // The first acknowledgement that covers what was repeated first decides. RFC 3522 §3.2 step 5.
        undo.eifel = Eifel::Done;
        if event.echo.is_some_and(|echo| ts_before(echo, first)) {
            return true;
        }
    }
    // Or all that was taken for lost arrived before its turn to be repeated came.
    let unrepeated = flow.recovery.phase == Phase::Recovery && undo.until.is_none() && flow.sent.lost() == 0;
    undo.repeats.is_empty() && !undo.blurred && (event.repeated_in_vain || unrepeated)
}

/// Puts window and threshold back. RFC 4015 §3.2.
pub(super) fn undo(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>, event: &AckEvent, acked: u32) {
    let Some(undo) = flow.recovery.undo.take() else { return };
    if flow.recovery.phase == Phase::Loss {
        cx.counters.tcp_loss_undo += 1;
    } else {
        cx.counters.tcp_full_undo += 1;
    }
    flow.congestion.algorithm().on_undo();
    flow.sent.forgive();
    mtu_probe::forgive(tcb, flow);
    let mss = u32::from(tcb.mss);
    if flow.recovery.phase == Phase::Loss {
        // Nothing was sent for a timeout: no burst, the way back to the old window is slow start.
        let flight = flow.recovery.pipe(&flow.sent);
        let burst = acked.clamp(mss, initial_window(mss, cx.settings.tcp_init_cwnd));
        tcb.cwnd = tcb.cwnd.max(undo.cwnd.min(flight.saturating_add(burst)));
        tcb.ssthresh = undo.ssthresh.max(undo.cwnd);
        // What arrived twice says that acknowledgements were lost, not that they were late. RFC 3522 §3.3.
        if let (Some(rtt), None) = (event.rtt, event.dsack) {
            tcb.rtt.on_early_timeout(rtt);
        }
    } else {
        tcb.cwnd = tcb.cwnd.max(undo.cwnd);
        tcb.ssthresh = tcb.ssthresh.max(undo.ssthresh);
    }
    // The echo tells when the original left: with that much patience nothing would have been repeated.
    let departure = event.echo.map(|echo| {
        let ms = tcb.ts_value(event.now).wrapping_sub(echo);
        event.now - Duration::from_millis(u64::from(ms.min(1_000_000)))
    });
    let timed_out = flow.recovery.phase == Phase::Loss;
    flow.recovery.end_episode();
    flow.recovery.reduced = None;
    flow.recovery
        .rack
        .on_needless(event.now, departure.filter(|_| !timed_out && event.advanced));
    tracing::debug!(tuple = ?tcb.tuple, cwnd = tcb.cwnd, timed_out, "needless recovery undone");
}
