//! Tail loss probes: when no acknowledgement comes, one more segment asks for one, long before the timeout would.
//!
//! It decides when, and what its answer means; `timers` waits, `output` sends. Spec: RFC 8985 §7.

use super::recovery::{self, AckEvent, Phase};
use super::seq::SeqNumber;
use super::tcb::{Bits, Flow, Tcb};
use crate::settings::Settings;
use crate::time::{Duration, MS, SECOND};

/// The remote's longest delay of an acknowledgement: Linux's. RFC 8985 §7.2, TLP.max_ack_delay.
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);
/// Values of `tcp_early_retrans` that switch probes on, as in Linux's ip-sysctl.
const ON: std::ops::RangeInclusive<u8> = 3..=4;

/// Probes and their answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TailProbe {
    /// TLP.end_seq of the probe that is not answered, and TLP.is_retrans.
    out: Option<(SeqNumber, bool)>,
    /// No round trip was measured since the last probe.
    unmeasured: bool,
}

impl TailProbe {
    /// A probe left, up to `end`.
    pub(super) fn on_sent(&mut self, end: SeqNumber, retransmitted: bool) {
        self.out = Some((end, retransmitted));
        self.unmeasured = true;
    }

    /// A probe left and was not answered.
    pub(super) fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// Recovery begins: the answer no longer matters. RFC 8985 §7.1.
    pub(super) fn forget(&mut self) {
        self.out = None;
    }
}

/// How long after the last event of the flight to probe, if at all. RFC 8985 §7.2 and the two conditions of §7.3.
pub(super) fn delay(tcb: &Tcb, flow: &Flow, settings: &Settings) -> Option<Duration> {
    let probe = &flow.recovery.tail_probe;
    let usable = ON.contains(&settings.tcp_early_retrans)
        && tcb.bits.has(Bits::SACK)
        && !flow.recovery.phase.is_repairing()
        && probe.out.is_none()
        && !probe.unmeasured
        && flow.sent.sacked() == 0
        && tcb.is_synchronized();
    if !usable {
        return None;
    }
    let Some(srtt) = tcb.rtt.srtt() else {
        return Some(SECOND);
    };
    let single = flow.sent.in_flight() <= u32::from(tcb.mss);
    let answer = if single {
        settings.tcp_delack.max(MAX_ACK_DELAY)
    } else {
        // Timers fire late, not early; so may those of the remote.
        2 * MS
    };
    Some(2 * srtt + answer)
}

/// Takes in an acknowledgement: a probe that repaired a loss is answered by one reduction. RFC 8985 §7.4.2, TLP_process_ack().
pub(super) fn on_ack(tcb: &mut Tcb, flow: &mut Flow, event: &AckEvent) {
    let probe = &mut flow.recovery.tail_probe;
    if event.rtt.is_some() {
        probe.unmeasured = false;
    }
    let Some((end, retransmitted)) = probe.out else { return };
    if tcb.snd_una.before(end) {
        return;
    }
    let arrived_twice = event.dsack.is_some_and(|(_, right)| right == end);
    if !retransmitted || arrived_twice || (end == tcb.snd_una && event.plain) {
        probe.out = None;
    } else if end.before(tcb.snd_una) {
        probe.out = None;
        if flow.recovery.phase == Phase::Open {
            let mut window = tcb.window();
            flow.congestion.algorithm().on_congestion(event.now, &mut window);
            window.cwnd = window.cwnd.min(window.ssthresh);
            tcb.set_window(window);
            recovery::note_reduction(tcb, flow);
        }
    }
}
