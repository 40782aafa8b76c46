//! What an acknowledgement means to the sender: bytes leave the send rope, the window moves, the round trip is measured, losses show.
//!
//! Spec: RFC 9293 §3.10.7.4 fifth check, RFC 2018 §5 and RFC 2883 (SACK in), RFC 6298 §3 and RFC 7323 §4.1 (samples), RFC 5681 §2 (duplicates).

use super::budget::Pressure;
use super::congestion::AckSample;
use super::input::{Cx, Segment};
use super::pacing;
use super::rate::RateSample;
use super::recovery::{self, AckEvent};
use super::sent::{Delivered, Sent, Witness};
use super::seq::SeqNumber;
use super::tcb::{Bits, Flow, Rexmit, Tcb};
use super::timers;
use super::undo;
use crate::settings::Settings;
use crate::time::{Duration, Instant};
use crate::wire::tcp::Flags;

/// The timestamp clock's resolution. RFC 7323 §5.4.
const TS_TICK: Duration = Duration::from_millis(1);

/// Takes in the acknowledgement of an acceptable segment: `snd_una <= SEG.ACK <= snd_nxt`.
pub(super) fn acknowledge(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment) {
    cx.counters.tcp_pure_acks += u64::from(seg.len == 0);
    let window_moved = update_window(tcb, seg);
    if tcb.flow.is_none() && seg.ack == tcb.snd_una {
        // Nothing outstanding and nothing kept: only the window can be news.
        if window_moved && tcb.unsent() > 0 {
            tcb.backoff = 0;
        }
        return;
    }
    let settings = cx.settings;
    let _ = tcb.flow(cx.now, settings);
    let Some(mut flow) = tcb.flow.take() else { return };
    take_in(tcb, &mut flow, cx, seg, window_moved);
    tcb.flow = Some(flow);
}

fn take_in(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>, seg: &Segment, window_moved: bool) {
    let now = cx.now;
    let prior_una = tcb.snd_una;
    let prior_flight = flow.recovery.pipe(&flow.sent);
    let echo = echo_of(tcb, seg);
    let mut told = Delivered::at(Witness {
        now,
        echo,
        ts_offset: tcb.ts_offset,
        min_rtt: tcb.rtt.min(),
    });
    let fack = flow.sent.fack();
    let advanced = prior_una.before(seg.ack);
    flow.tail_released = true;
    let repeated = (tcb.retries >= 2).then_some(flow.rto_from);
    if advanced {
        advance(tcb, flow, now, seg.ack, &mut told);
    }
    if window_moved && !tcb.has_outstanding() {
        tcb.backoff = 0;
    }
    let dsack = if tcb.bits.has(Bits::SACK) {
        take_sacks(tcb, flow, seg, fack, &mut told)
    } else {
        None
    };
    let rtt = sample_rtt(tcb, flow, cx, &told, dsack, echo.filter(|_| advanced), repeated);
    let mut rate = flow.delivery.on_told(now, &told, tcb.rtt.min());
    let ece = tcb.echoes_marks(seg);
    tcb.stats(now).on_delivered(&told, ece, dsack.is_some(), cx.counters);
    let plain = !advanced
        && seg.len == 0
        && !seg.flags.has(Flags::FIN)
        && !window_moved
        && seg.ack == tcb.snd_una
        && seg.options.sack.as_slice().is_empty();
    let event = AckEvent {
        now,
        moved: tcb.snd_una.after(prior_una),
        advanced,
        duplicate: plain && tcb.has_outstanding(),
        plain,
        dsack,
        repeated_in_vain: undo::repeated_in_vain(flow, dsack, tcb.snd_una),
        echo,
        rtt,
        prior_flight,
        ece,
    };
    let round_start = advanced && flow.round_end.at_or_before(tcb.snd_una);
    if round_start {
        flow.round_end = tcb.snd_nxt;
        flow.samples = (0, flow.samples.0);
    }
    let was_reducing = flow.recovery.phase.is_reducing();
    recovery::on_ack(tcb, flow, cx, &event, &told);
    // RFC 5681 §3.1: the window grows by acknowledgements of new data; RFC 3042 §2: not by duplicate ones, unless the path is known to reorder, where
    // they tell of data that arrived as well as any. RFC 3168 §6.1.2: one that tells of marks lets nothing grow.
    let grows = (advanced || flow.recovery.rack.reordering_seen) && !ece;
    let reducing = was_reducing || flow.recovery.phase.is_reducing();
    if let Some(rate) = &mut rate
        && (grows && !reducing || flow.congestion.is_model_based())
    {
        grow_window(tcb, flow, &event, told.bytes, round_start, rate, cx.settings);
    }
    if round_start {
        // What was in flight until now counts for the round that begins.
        flow.max_in_flight = event.prior_flight;
        flow.was_cwnd_limited = tcb.bits.take(Bits::CWND_LIMITED);
    }
    if told.bytes > 0 {
        pacing::update(tcb, flow, cx.settings);
    }
    if advanced || told.bytes > 0 || tcb.rexmit == Rexmit::Off {
        timers::rearm(tcb, flow, now, cx.settings);
    }
    grow_send_limit(tcb, cx);
    if advanced && tcb.bits.has(Bits::WANTS_ROOM) && tcb.send_held() < tcb.snd_limit as usize * 2 / 3 {
        tcb.bits.clear(Bits::WANTS_ROOM);
        tcb.tell();
    }
}

/// What was outstanding before `ack` has arrived: no timeout counts any more.
fn advance(tcb: &mut Tcb, flow: &mut Flow, now: Instant, ack: SeqNumber, told: &mut Delivered) {
    flow.sent.acknowledge(ack, told);
    flow.records.on_acked(ack);
    drop_acknowledged(tcb, ack);
    tcb.retries = 0;
    flow.timeouts_since = None;
    flow.rto_from = now;
}

/// The timestamp that a segment echoes, if that means anything. RFC 7323 §3.2.
fn echo_of(tcb: &Tcb, seg: &Segment) -> Option<u32> {
    let stamps = seg.options.timestamps.filter(|_| tcb.bits.has(Bits::TIMESTAMPS));
    stamps.map(|ts| ts.echo).filter(|echo| *echo != 0)
}

/// Outside recovery what arrived lets the congestion window grow, when it was in use; a model of the path is told always.
fn grow_window(
    tcb: &mut Tcb,
    flow: &mut Flow,
    event: &AckEvent,
    acked: u32,
    round_start: bool,
    rate: &mut RateSample,
    settings: &Settings,
) {
    let in_slow_start = tcb.cwnd < tcb.ssthresh;
    let used = flow.max_in_flight.max(event.prior_flight);
    let sample = AckSample {
        now: event.now,
        acked,
        rtt: event.rtt,
        srtt: tcb.rtt.srtt().unwrap_or(Duration::ZERO),
        round_start,
        // Whoever turns pacing off wants bursts.
        paced: flow.pacing.rate > 0 || settings.tcp_pacing_ss_ratio == 0,
        cwnd_limited: tcb.bits.has(Bits::CWND_LIMITED)
            || flow.was_cwnd_limited
            || (in_slow_start && tcb.cwnd < 2 * used),
        lost: flow.delivery.settle(rate),
        in_flight: flow.recovery.pipe(&flow.sent),
        recovering: flow.recovery.phase.is_repairing(),
        rate: *rate,
    };
    let mut window = tcb.window();
    flow.congestion.on_ack(&sample, &mut window);
    tcb.set_window(window);
}

/// RFC 9293 §3.10.7.4: the window is taken from the newest segment only. Returns whether it changed.
///
/// A segment that acknowledges more is the newest whatever its sequence number: a retransmission carries an old one. To move `snd_una`
/// and leave the window would exceed what the remote offered.
fn update_window(tcb: &mut Tcb, seg: &Segment) -> bool {
    let newer = tcb.snd_una.before(seg.ack)
        || tcb.snd_wl1.before(seg.seq)
        || (tcb.snd_wl1 == seg.seq && tcb.snd_wl2.at_or_before(seg.ack));
    if !newer {
        return false;
    }
    (tcb.snd_wl1, tcb.snd_wl2) = (seg.seq, seg.ack);
    let window = u32::from(seg.window) << tcb.snd_wscale;
    let changed = window != tcb.snd_wnd;
    tcb.snd_wnd = window;
    tcb.max_wnd = tcb.max_wnd.max(window);
    changed
}

/// Moves `snd_una`, and drops the bytes before it from the send rope. A FIN takes a sequence number and no byte.
fn drop_acknowledged(tcb: &mut Tcb, ack: SeqNumber) {
    let fin = u32::from(tcb.bits.has(Bits::FIN_SENT) && ack == tcb.snd_nxt && tcb.tx_end().before(ack));
    let bytes = ack.after(tcb.snd_una) - fin;
    if let Some(tx) = &mut tcb.tx {
        tx.drop_front(bytes as usize);
        if tx.is_empty() {
            tcb.tx = None;
        }
    }
    if bytes > 0 {
        tcb.stats.get_or_insert_default().bytes_acked += u64::from(bytes);
    }
    tcb.snd_una = ack;
    tcb.on_urgent_acknowledged();
}

/// True once our FIN is acknowledged.
pub(super) fn fin_acknowledged(tcb: &Tcb) -> bool {
    tcb.bits.has(Bits::FIN_SENT) && tcb.snd_una == tcb.snd_nxt
}

/// Marks what SACK blocks report. Returns what a duplicate report (RFC 2883 §5) covers.
fn take_sacks(
    tcb: &Tcb,
    flow: &mut Flow,
    seg: &Segment,
    fack: Option<SeqNumber>,
    told: &mut Delivered,
) -> Option<(SeqNumber, SeqNumber)> {
    let blocks = seg.options.sack.as_slice();
    let mut dsack = None;
    for (index, (left, right)) in blocks.iter().map(|(l, r)| (SeqNumber(*l), SeqNumber(*r))).enumerate() {
        if !left.before(right) {
            continue;
        }
        if index == 0 {
            let below = right.at_or_before(seg.ack);
            let inside = blocks
                .get(1)
                .is_some_and(|(l, r)| SeqNumber(*l).at_or_before(left) && right.at_or_before(SeqNumber(*r)));
            if below || inside {
                // Only of what we could have sent: within one window before the acknowledgement.
                if right.after(left) <= tcb.max_wnd.max(65_535) {
                    dsack = Some((left, right));
                }
                if below {
                    continue;
                }
            }
        }
        // RFC 5961's spirit for SACK: only what is outstanding counts.
        if tcb.snd_una.at_or_before(left) && right.at_or_before(tcb.snd_nxt) && tcb.snd_una.before(right) {
            flow.sent.sack(left, right, fack, told);
        }
    }
    dsack
}

/// A round-trip sample: from a run sent just once, else from the timestamp echoed. RFC 6298 §3, RFC 7323 §4.1. `repeated`: when the
/// last of several timeouts was.
fn sample_rtt(
    tcb: &mut Tcb,
    flow: &mut Flow,
    cx: &Cx<'_>,
    told: &Delivered,
    dsack: Option<(SeqNumber, SeqNumber)>,
    echo: Option<u32>,
    repeated: Option<Instant>,
) -> Option<Duration> {
    let answers_repeat =
        |run: &Sent| dsack.is_some_and(|(left, right)| run.resent && left.before(run.end()) && run.start.before(right));
    let rtt = match (told.rtt_from.filter(|_| !told.ambiguous), told.newest) {
        (Some(at), _) => cx.now.since(at),
        // It arrived twice, and this answers the second time: acknowledgements of the first were lost, and the echo is of then.
        (_, Some(run)) if answers_repeat(&run) => cx.now.since(run.at),
        _ => {
            let ms = tcb.ts_value(cx.now).wrapping_sub(echo?);
            // An echo from the future, or of long ago, is not ours.
            if ms > 1_000_000 {
                return None;
            }
            let rtt = Duration::from_millis(u64::from(ms));
            // After several timeouts, the echo of something older than the last repeat: that its answer was so long under way is one reading. The
            // other, that it was lost and this answers the repeat, is far likelier. Karn's rule then, and the back-off stays until something is sent just once.
            if repeated.is_some_and(|at| cx.now.since(at) + TS_TICK < rtt) {
                return None;
            }
            rtt
        }
    };
    // RFC 7323 appendix G. How many acknowledgements a round trip brings is counted, not guessed from the flight.
    flow.samples.0 += 1;
    tcb.rtt.sample(rtt, flow.samples.0.max(flow.samples.1));
    // RFC 6298 §5: the back-off lasts until a round trip is measured.
    tcb.backoff = 0;
    let (since, min) = flow.recent_min;
    flow.recent_min.1 = min.min(rtt);
    if cx.now.since(since) >= cx.settings.tcp_min_rtt_wlen / 2 {
        tcb.rtt.renew_min(flow.recent_min.1);
        flow.recent_min = (cx.now, rtt);
    }
    Some(rtt)
}

/// The send buffer follows the congestion window: twice that, so that the next window is at hand.
fn grow_send_limit(tcb: &mut Tcb, cx: &Cx<'_>) {
    if cx.pressure == Pressure::None && tcb.options.as_ref().is_none_or(|o| o.send_buffer.is_none()) {
        let wanted = tcb
            .cwnd
            .saturating_mul(2)
            .saturating_add(65_536)
            .min(cx.settings.tcp_wmem[2]);
        tcb.snd_limit = tcb.snd_limit.max(wanted);
    }
}
