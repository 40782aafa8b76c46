//! What falls due on a connection, and what happens then. One retransmission timer with several meanings, one for delayed acknowledgements, one slow.
//!
//! Spec: RFC 6298 §5, RFC 8985 §7.2 and §8, RFC 9293 §3.8.3 (giving up), §3.8.4 (keepalive), §3.8.6.1 (probing windows), RFC 5482.

use super::input::Cx;
use super::open::syn_timeout;
use super::recovery;
use super::tail_probe;
use super::tcb::{Bits, Flow, Rexmit, Tcb, tick, untick};
use crate::error::SocketError;
use crate::settings::Settings;
use crate::socket::State;
use crate::time::{Duration, Instant};

/// A corked segment leaves after this, full or not. tcp(7), TCP_CORK.
const CORK_LIMIT: Duration = Duration::from_millis(200);

/// Does whatever is due at `now`.
pub(crate) fn on_deadline(tcb: &mut Tcb, cx: &mut Cx<'_>) {
    if tcb.delack_at.is_some_and(|at| untick(at) <= cx.now) {
        cx.counters.delayed_acks += u64::from(tcb.bits.has(Bits::ACK_OWED));
        tcb.on_ack_delay();
    }
    if tcb.slow_at.is_some_and(|at| untick(at) <= cx.now) {
        tcb.slow_at = None;
        on_slow_timer(tcb, cx);
    }
    if let Some(flow) = &mut tcb.flow {
        flow.pacing.on_deadline(cx.now);
    }
    if tcb.rexmit != Rexmit::Off && tcb.rexmit_at <= cx.now {
        let what = std::mem::take(&mut tcb.rexmit);
        on_rexmit(tcb, cx, what);
    }
}

fn on_rexmit(tcb: &mut Tcb, cx: &mut Cx<'_>, what: Rexmit) {
    match what {
        Rexmit::Off => {}
        Rexmit::Timeout if !tcb.is_synchronized() => on_syn_timeout(tcb, cx),
        Rexmit::Persist => on_persist(tcb, cx),
        Rexmit::Idle => on_idle(tcb, cx),
        Rexmit::Timeout | Rexmit::TailProbe | Rexmit::Reorder => {
            let Some(mut flow) = tcb.flow.take() else { return };
            match what {
                Rexmit::TailProbe => {
                    // Where pacing holds the next burst it is not the tail. Should there be nothing to probe with, the timeout stands.
                    if flow.pacing.wake.is_none() {
                        tcb.bits.set(Bits::TAIL_PROBE);
                    }
                    arm_timeout(tcb, &flow, cx.now, cx.settings);
                }
                Rexmit::Reorder => {
                    recovery::on_reorder_timer(tcb, &mut flow, cx);
                    if tcb.rexmit == Rexmit::Off {
                        arm_timeout(tcb, &flow, cx.now, cx.settings);
                    }
                }
                _ => {
                    if gives_up(tcb, &flow, cx) {
                        cx.counters.tcp_abort_on_timeout += 1;
                        let error = tcb.soft_error.unwrap_or(SocketError::TimedOut);
                        tcb.fail(error);
                        return;
                    }
                    tcb.stats(cx.now).on_timeout(cx.now);
                    flow.timeouts_since = flow.timeouts_since.or(Some(cx.now));
                    recovery::on_timeout(tcb, &mut flow, cx);
                    tcb.backoff = tcb.backoff.saturating_add(1);
                    tcb.retries = tcb.retries.saturating_add(1);
                    flow.rto_from = cx.now;
                    arm_timeout(tcb, &flow, cx.now, cx.settings);
                }
            }
            tcb.flow = Some(flow);
        }
    }
}

/// SYN or SYN-ACK was not answered. RFC 9293 §3.8.3: R2 for SYN.
fn on_syn_timeout(tcb: &mut Tcb, cx: &mut Cx<'_>) {
    let limit = match tcb.state {
        State::SynSent => tcb.opt().syn_retries.unwrap_or(cx.settings.tcp_syn_retries),
        _ => cx.settings.tcp_synack_retries,
    };
    let waited = Tcb::ago(cx.now, tcb.last_rx);
    let patience = tcb.user_timeout(cx.settings);
    if tcb.retries >= limit || patience.is_some_and(|patience| waited >= patience) {
        cx.counters.tcp_attempt_fails += 1;
        cx.counters.tcp_abort_on_timeout += 1;
        let error = tcb.soft_error.unwrap_or(SocketError::TimedOut);
        tcb.fail(error);
        return;
    }
    tcb.on_fast_open_silence();
    tcb.stats(cx.now).on_timeout(cx.now);
    cx.counters.tcp_timeouts += 1;
    tcb.retries += 1;
    tcb.bits.set(Bits::ACK_NOW);
    tcb.rexmit = Rexmit::Timeout;
    tcb.rexmit_at = cx.now + syn_timeout(tcb.retries, cx.settings);
}

/// R2, or the user timeout: has the remote been silent for too long? RFC 9293 §3.8.3, RFC 5482 §3.
fn gives_up(tcb: &Tcb, flow: &Flow, cx: &Cx<'_>) -> bool {
    let Some(since) = flow.timeouts_since else { return false };
    let silent = cx.now.since(since);
    let patience = match tcb.user_timeout(cx.settings) {
        Some(timeout) => timeout,
        None => {
            let retries = if tcb.bits.has(Bits::ORPHAN) {
                cx.settings.tcp_orphan_retries
            } else {
                cx.settings.tcp_retries2
            };
            // Measured in time, as if each timeout had begun from the smallest: a short RTT does not mean short patience.
            patience_of(retries, cx.settings)
        }
    };
    silent >= patience
}

/// How long `retries` timeouts take when the first is the smallest there is.
fn patience_of(retries: u8, settings: &Settings) -> Duration {
    (0..=retries)
        .map(|n| {
            settings
                .tcp_rto_min
                .saturating_mul(1 << n.min(20))
                .min(settings.tcp_rto_max)
        })
        .sum()
}

/// Time to the next window probe.
pub(super) fn persist_delay(tcb: &Tcb, settings: &Settings) -> Duration {
    if (tcb.opt().cork || tcb.opt().more) && tcb.snd_wnd > 0 {
        return CORK_LIMIT.max(tcb.rtt.backed_off(0, settings));
    }
    tcb.rtt.backed_off(tcb.backoff, settings)
}

/// The remote's window has been closed for a while: ask again. As long as it answers, we go on asking (RFC 9293 §3.8.6.1 MUST-37).
fn on_persist(tcb: &mut Tcb, cx: &mut Cx<'_>) {
    if tcb.unsent() == 0 || tcb.has_outstanding() {
        return;
    }
    tcb.bits.set(Bits::UNCORK);
    if let Some(options) = tcb.options.as_deref_mut() {
        // Nobody waited for so long on purpose: the tail leaves as if it were the end, with PSH.
        options.more = false;
    }
    if tcb.snd_wnd > 0 {
        // Small, not closed: what fits is sent now.
        return;
    }
    let orphan = tcb.bits.has(Bits::ORPHAN);
    let retries = if orphan {
        cx.settings.tcp_orphan_retries
    } else {
        cx.settings.tcp_retries2
    };
    let patience = tcb.user_timeout(cx.settings);
    let silent = Tcb::ago(cx.now, tcb.last_rx);
    // MUST-37 is for whoever still holds the connection: a remote that answers and never reads must not hold an orphan's memory for ever.
    let in_vain = orphan && tcb.backoff >= retries && persist_delay(tcb, cx.settings) >= cx.settings.tcp_rto_max;
    if in_vain || tcb.retries >= retries || (tcb.retries > 0 && patience.is_some_and(|patience| silent >= patience)) {
        let error = tcb.soft_error.unwrap_or(SocketError::TimedOut);
        cx.counters.tcp_abort_on_timeout += 1;
        tcb.abort(cx, error);
        return;
    }
    cx.counters.tcp_win_probe += 1;
    tcb.bits.set(Bits::PROBE);
    tcb.retries += 1;
    tcb.backoff = tcb.backoff.saturating_add(1);
    tcb.rexmit = Rexmit::Persist;
    tcb.rexmit_at = cx.now + persist_delay(tcb, cx.settings);
}

/// Quiet for a whole timeout: what is known of the path is old. RFC 5681 §4.1.
fn on_idle(tcb: &mut Tcb, cx: &mut Cx<'_>) {
    if tcb.has_outstanding() || tcb.unsent() > 0 {
        return;
    }
    let (quiet, timeout) = (Tcb::ago(cx.now, tcb.last_rx), tcb.rtt.rto(cx.settings));
    let Some(flow) = tcb.flow.as_deref_mut() else { return };
    if cx.settings.tcp_slow_start_after_idle {
        let restart = super::congestion::initial_window(u32::from(tcb.mss), cx.settings.tcp_init_cwnd);
        tcb.ssthresh = tcb.ssthresh.max(tcb.cwnd / 4 * 3);
        tcb.cwnd = tcb.cwnd.min(restart);
    }
    if quiet < timeout {
        // It still receives.
        tcb.rexmit = Rexmit::Idle;
        tcb.rexmit_at = cx.now + (timeout - quiet);
    } else if flow.assembler.is_empty()
        && flow.tune.space() < u64::from(tcb.rcv_limit)
        && !flow.recovery.rack.has_learnt()
    {
        tcb.drop_flow();
    } else {
        flow.congestion.algorithm().on_idle();
    }
}

/// Keepalive, or the end of an orphan's wait in FIN-WAIT-2.
fn on_slow_timer(tcb: &mut Tcb, cx: &mut Cx<'_>) {
    match tcb.state {
        State::FinWait2 if tcb.bits.has(Bits::ORPHAN) => tcb.finish(),
        State::Established | State::CloseWait | State::FinWait1 | State::FinWait2 => keepalive(tcb, cx),
        _ => {}
    }
}

/// RFC 9293 §3.8.4: an idle remote is asked, and after some silence given up.
fn keepalive(tcb: &mut Tcb, cx: &mut Cx<'_>) {
    let options = tcb.opt();
    if !options.keepalive {
        return;
    }
    let time = options.keepalive_time.unwrap_or(cx.settings.tcp_keepalive_time);
    let interval = options.keepalive_intvl.unwrap_or(cx.settings.tcp_keepalive_intvl);
    let probes = options.keepalive_probes.unwrap_or(cx.settings.tcp_keepalive_probes);
    let patience = tcb.user_timeout(cx.settings);
    let idle = Tcb::ago(cx.now, tcb.last_rx);
    if tcb.has_outstanding() || tcb.unsent() > 0 {
        // Data is on its way: retransmission and window probes ask already.
        tcb.slow_at = tick(cx.now + time);
        return;
    }
    if idle < time {
        tcb.retries = 0;
        tcb.slow_at = tick(cx.now + (time - idle));
        return;
    }
    let silent = match patience {
        Some(patience) => idle >= patience && tcb.retries > 0,
        None => tcb.retries >= probes,
    };
    if silent {
        let error = tcb.soft_error.unwrap_or(SocketError::TimedOut);
        cx.counters.tcp_abort_on_timeout += 1;
        tcb.abort(cx, error);
        return;
    }
    cx.counters.tcp_keep_alive += 1;
    tcb.retries += 1;
    tcb.bits.set(Bits::PROBE);
    tcb.slow_at = tick(cx.now + interval);
}

/// Sets the retransmission timer to what the flight asks for: a tail loss probe, a timeout, or nothing. RFC 6298 §5.1 to §5.3, RFC 8985 §7.2.
pub(super) fn rearm(tcb: &mut Tcb, flow: &Flow, now: Instant, settings: &Settings) {
    if !tcb.is_synchronized() {
        // The SYN's timer stands: what was sent beside it waits for the same answer.
        return;
    }
    if !tcb.has_outstanding() {
        if tcb.rexmit != Rexmit::Persist {
            tcb.rexmit = Rexmit::Idle;
            tcb.rexmit_at = now + tcb.rtt.rto(settings);
        }
        return;
    }
    if tcb.rexmit == Rexmit::Reorder {
        return;
    }
    arm_timeout(tcb, flow, now, settings);
    if let Some(delay) = tail_probe::delay(tcb, flow, settings)
        && !tcb.bits.has(Bits::TAIL_PROBE)
    {
        // Should the timeout come first, a probe takes its place. RFC 8985 §7.2.
        tcb.rexmit = Rexmit::TailProbe;
        tcb.rexmit_at = tcb.rexmit_at.min(now + delay);
    }
}

/// The timeout counts from the last event that restarted it. RFC 6298 §5.
fn arm_timeout(tcb: &mut Tcb, flow: &Flow, now: Instant, settings: &Settings) {
    let due = flow.rto_from + tcb.rtt.backed_off(tcb.backoff, settings);
    tcb.rexmit = Rexmit::Timeout;
    tcb.rexmit_at = due.max(now + Duration::from_millis(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_that_of_the_sysctl_documentation() {
        // ip-sysctl.rst: 15 retries come to 924.6 seconds at the smallest timeout.
        assert_eq!(patience_of(15, &Settings::default()), Duration::from_millis(924_600));
    }
}
