//! What may this connection send now? One packet an answer, until there is nothing more.
//!
//! In order: a SYN; what was lost; new data, within both windows; a probe; FIN; an acknowledgement that is owed. Spec: RFC 9293 §3.7.4 (Nagle),
//! §3.8.6.2.1 (sender's silly window avoidance), §3.8.6.1 (probes), §3.10.2; RFC 5681 §3 (windows), RFC 8985 §7.3 (tail loss probe).

use super::frto;
use super::input::Cx;
use super::mtu_probe;
use super::recovery::Phase;
use super::sent::{Fate, Sending, Sent};
use super::seq::SeqNumber;
use super::tcb::{Bits, Flow, Rexmit, Tcb, millis};
use super::timers;
use crate::packet::{Csum, Gso, Mark, Packet};
use crate::settings::Settings;
use crate::socket::{Limited, State};
use crate::wire::tcp::{Flags, Header, MAX_OPTIONS, Options, SackBlocks, build};

/// Payload of one super-segment at most: an IPv4 packet of 65,535 bytes less all headers.
pub(super) const MAX_BURST: u32 = 65_535 - 60 - 60;

/// The next packet this connection has to send, TCP header and payload; `None` when there is nothing more for now.
pub(crate) fn next(tcb: &mut Tcb, cx: &mut Cx<'_>) -> Option<Packet> {
    match tcb.state {
        State::Closed | State::Listen | State::TimeWait => acknowledgement(tcb, cx),
        State::SynSent => syn(tcb, cx, Flags::SYN, false),
        State::SynReceived => syn(tcb, cx, Flags::SYN.and(Flags::ACK), true).or_else(|| before_established(tcb, cx)),
        _ => {
            let Some(mut flow) = tcb.flow.take() else {
                return without_flow(tcb, cx);
            };
            let packet = retransmission(tcb, &mut flow, cx)
                .or_else(|| new_data(tcb, &mut flow, cx))
                .or_else(|| tail_probe(tcb, &mut flow, cx));
            tcb.flow = Some(flow);
            packet.or_else(|| probe(tcb, cx)).or_else(|| acknowledgement(tcb, cx))
        }
    }
}

/// Most calls on a quiet connection end here, without the flow state being made.
fn without_flow(tcb: &mut Tcb, cx: &mut Cx<'_>) -> Option<Packet> {
    if tcb.unsent() > 0 || tcb.fin_waits() {
        let _ = tcb.flow(cx.now, cx.settings);
        return next(tcb, cx);
    }
    probe(tcb, cx).or_else(|| acknowledgement(tcb, cx))
}

fn syn(tcb: &mut Tcb, cx: &mut Cx<'_>, flags: Flags, answer: bool) -> Option<Packet> {
    if !tcb.bits.take(Bits::ACK_NOW) {
        return None;
    }
    if tcb.state == State::SynSent {
        tcb.rcv_edge = tcb.rcv_nxt + tcb.rcv_limit.min(u32::from(u16::MAX));
    }
    // What came with a SYN takes nothing from it.
    let window = tcb.first_window();
    tcb.rcv_edge = tcb.rcv_edge.max(tcb.rcv_nxt + window);
    let header = Header {
        seq: tcb.iss.0,
        ack: if answer { tcb.rcv_nxt.0 } else { 0 },
        flags: flags.and(tcb.ecn_setup_flags(cx.settings)),
        window: window as u16,
        ..Header::default()
    };
    let mut options = tcb.syn_options(answer, cx.now, cx.settings);
    let body = early_data(tcb, cx, &mut options);
    let mut packet = segment(tcb, cx, header, &options, body);
    if tcb.retries > 0 {
        packet.meta.mark.add(Mark::RETRANSMISSION);
        cx.counters.tcp_retrans_segs += 1;
        cx.counters.tcp_syn_retrans += 1;
    }
    Some(packet)
}

/// What the first SYN of a Fast Open attempt carries: the option, and with a cookie as much data as the remote is known to take. RFC 7413 §4.2.2.
fn early_data(tcb: &mut Tcb, cx: &Cx<'_>, options: &mut Options) -> Packet {
    let mut packet = Packet::default();
    let Some(early) = tcb.early() else { return packet };
    options.fast_open = early.option;
    if options.len() > MAX_OPTIONS {
        // RFC 5482 §3: mind the room. It goes with the next segment anyway.
        options.user_timeout = None;
    }
    if options.len() > MAX_OPTIONS {
        // No room: an ordinary handshake.
        options.fast_open = None;
        return packet;
    }
    if tcb.rexmit == Rexmit::Off {
        // It waited for data; its time begins now.
        tcb.rexmit = Rexmit::Timeout;
        tcb.rexmit_at = cx.now + cx.settings.tcp_initial_rto;
        tcb.last_rx = millis(cx.now);
    }
    let room = usize::from(early.most).saturating_sub(options.len());
    let len = tcb.queued().min(room);
    if let Some(tx) = tcb.tx.as_deref_mut() {
        tx.slice(0, len, &mut packet.body);
    }
    packet.meta.len = len as u32;
    tcb.snd_nxt = tcb.iss + 1 + len as u32;
    packet
}

/// Answers to data that came with the SYN leave before the handshake ends; FIN waits. RFC 7413 §4.2.2 step 6.
fn before_established(tcb: &mut Tcb, cx: &mut Cx<'_>) -> Option<Packet> {
    if !tcb.is_pending_fast_open() || tcb.unsent() == 0 {
        return None;
    }
    let _ = tcb.flow(cx.now, cx.settings);
    let mut flow = tcb.flow.take()?;
    let packet = new_data(tcb, &mut flow, cx);
    tcb.flow = Some(flow);
    packet
}

/// The first of what is lost, as much as the congestion window lets go.
fn retransmission(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>) -> Option<Packet> {
    let run = *flow.sent.next_lost()?;
    if frto::holds_back(flow) {
        return None;
    }
    let pipe = flow.recovery.pipe(&flow.sent);
    let wnd_end = tcb.snd_una + tcb.snd_wnd;
    // The head may go out even into a closed window: it is the probe. RFC 9293 §3.8.6.1.
    if wnd_end.at_or_before(run.start) && run.start != tcb.snd_una {
        return None;
    }
    let (unit, options) = full_segment(tcb, flow, cx);
    let room = tcb.cwnd.saturating_sub(pipe);
    if room < unit.min(run.len) && pipe > 0 {
        return None;
    }
    let pace = flow.pacing.room(cx.now);
    if pace < unit.min(run.len) {
        return held(flow);
    }
    let in_window = wnd_end.since(run.start).max(unit as i32) as u32;
    cx.counters.tcp_lost_retransmit += u64::from(run.resent);
    let record = flow.records.within(run.start, run.len);
    let most = record
        .min(in_window)
        .min(room.min(pace).max(unit))
        .min(tcb.burst(unit, cx.settings))
        .min(longest(tcb, unit));
    let len = whole_units(most, unit, record);
    Some(send_again(tcb, flow, cx, run.start, len, unit, &options))
}

/// Sends `[seq, seq + len)` again.
fn send_again(
    tcb: &mut Tcb,
    flow: &mut Flow,
    cx: &mut Cx<'_>,
    seq: SeqNumber,
    len: u32,
    unit: u32,
    options: &Options,
) -> Packet {
    let segments = len.div_ceil(unit.max(1));
    let ts = tcb.bits.has(Bits::TIMESTAMPS).then(|| tcb.ts_value(cx.now));
    let in_flight = flow.sent.in_flight();
    let now = Sending {
        at: cx.now,
        stamp: flow.delivery.stamp(cx.now, len, in_flight),
    };
    flow.pacing.on_sent(cx.now, len);
    flow.sent.resend(seq, len, segments, now);
    flow.recovery.on_resent(seq, len, ts);
    // RFC 6675 §6: what is repeated in good time must not run into the timeout of the first time.
    flow.rto_from = cx.now;
    tcb.last_tx = millis(cx.now);
    cx.counters.tcp_retrans_segs += u64::from(segments);
    match flow.recovery.phase {
        Phase::Recovery => cx.counters.tcp_fast_retrans += u64::from(segments),
        Phase::Loss => cx.counters.tcp_slow_start_retrans += u64::from(segments),
        Phase::Open | Phase::Cwr => {}
    }
    tracing::debug!(tuple = ?tcb.tuple, ?seq, len, "retransmit");
    // The acknowledgement that rides on it pays no debt: a remote that has these bytes drops the segment whole. RFC 9293 §3.10.7.4.
    let flags = push_at_end(flow, seq + len);
    let mut packet = data_segment(tcb, cx, seq, len, unit, options, flags);
    flow.assembler.on_reported();
    packet.meta.mark.add(Mark::RETRANSMISSION);
    let stats = tcb.stats(cx.now);
    stats.segs_resent = stats.segs_resent.wrapping_add(segments);
    stats.bytes_resent += u64::from(packet.meta.len);
    timers::rearm(tcb, flow, cx.now, cx.settings);
    packet
}

/// The end of a record is passed on at once.
fn push_at_end(flow: &Flow, end: SeqNumber) -> Flags {
    if flow.records.has_end(end) {
        Flags::PSH
    } else {
        Flags::NONE
    }
}

/// There is something to send and room for it in both windows, and it waits for the next burst.
fn held(flow: &mut Flow) -> Option<Packet> {
    flow.pacing.hold();
    None
}

/// New data and FIN.
fn new_data(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>) -> Option<Packet> {
    let all = tcb.unsent();
    // A record goes alone, and does not wait where more lies behind it.
    let unsent = flow.records.within(tcb.snd_nxt, all);
    let fin = tcb.fin_waits() && tcb.is_synchronized();
    let pipe = flow.recovery.pipe(&flow.sent);
    if unsent == 0 && !fin {
        if pipe < tcb.cwnd && flow.sent.lost() == 0 {
            flow.delivery.on_app_limited(pipe);
        }
        return None;
    }
    let (unit, options) = full_segment(tcb, flow, cx);
    let wnd_room = tcb.room_in_window();
    let cwnd_room = tcb.cwnd.saturating_sub(pipe);
    if let Some(len) = mtu_probe::due(tcb, flow, cx, &options, unsent, wnd_room, pipe) {
        if flow.pacing.room(cx.now) < unit {
            return held(flow);
        }
        let start = tcb.snd_nxt;
        let mut packet = send_new(tcb, flow, cx, len, false, len, &options);
        packet.meta.mark.add(Mark::PROBE);
        mtu_probe::on_sent(tcb, flow, start, &options);
        return Some(packet);
    }
    let short = fin || unsent < all || !must_wait(tcb, flow);
    let len = match how_much(tcb, unit, unsent, short, wnd_room, cwnd_room, pipe) {
        Ok(len) => len,
        Err(reason) => {
            if reason == Limited::CongestionWindow {
                tcb.bits.set(Bits::CWND_LIMITED);
            } else {
                // A window of the remote's that keeps us back says as little about the path as an application that has nothing to send.
                flow.delivery.on_app_limited(pipe);
            }
            wait_for_window(tcb, cx);
            return None;
        }
    };
    let pace = flow.pacing.room(cx.now);
    if pace < unit.min(len) {
        return held(flow);
    }
    let len = whole_units(len.min(pace).min(tcb.burst(unit, cx.settings)), unit, len);
    tcb.bits.clear(Bits::UNCORK);
    let with_fin = fin && len == all;
    Some(send_new(tcb, flow, cx, len, with_fin, unit, &options))
}

/// How many new bytes the windows let go now, or what holds them.
pub(super) fn room_for_new(tcb: &Tcb, flow: &Flow) -> Result<u32, Limited> {
    let pipe = flow.recovery.pipe(&flow.sent);
    let fin = tcb.fin_waits();
    let wnd_room = tcb.room_in_window();
    let cwnd_room = tcb.cwnd.saturating_sub(pipe);
    how_much(
        tcb,
        u32::from(tcb.mss.max(1)),
        tcb.unsent(),
        fin || !must_wait(tcb, flow),
        wnd_room,
        cwnd_room,
        pipe,
    )
}

/// How many new bytes may leave now, a `short` last segment among them or not; 0 is FIN alone.
fn how_much(
    tcb: &Tcb,
    unit: u32,
    unsent: u32,
    short: bool,
    wnd_room: u32,
    cwnd_room: u32,
    pipe: u32,
) -> Result<u32, Limited> {
    if unsent == 0 {
        return Ok(0);
    }
    if cwnd_room < unit.min(unsent) && pipe > 0 {
        // Before the other window, as Linux counts what holds a sender back.
        return Err(Limited::CongestionWindow);
    }
    let most = unsent.min(wnd_room).min(longest(tcb, unit));
    // The congestion window counts whole segments: a last short one waits unless it fits, or nothing is out.
    let most = if cwnd_room < most {
        if cwnd_room < unit && pipe > 0 {
            return Err(Limited::CongestionWindow);
        }
        cwnd_room.max(unit).min(most)
    } else {
        most
    };
    let whole = most / unit * unit;
    if most < unsent {
        // More is waiting: full segments only, unless the window is so small that half of its largest size must do. RFC 9293 §3.8.6.2.1.
        if whole > 0 {
            return Ok(whole);
        }
        if most > 0 && (most >= tcb.max_wnd / 2 || tcb.bits.has(Bits::UNCORK)) {
            return Ok(most);
        }
        return Err(Limited::ReceiveWindow);
    }
    let tail = most - whole;
    if tail == 0 || short {
        return Ok(most);
    }
    if whole > 0 {
        Ok(whole)
    } else {
        Err(Limited::Application)
    }
}

/// Payload of one packet at most: urgent segments leave one by one, for the pointer of each counts from its own number.
fn longest(tcb: &Tcb, unit: u32) -> u32 {
    if tcb.is_urgent() { unit } else { MAX_BURST }
}

/// Does the last short segment wait for more? Nagle: while an earlier short one is not acknowledged (RFC 9293 §3.7.4, in Minshall's form, so that
/// a large write is not held up by its own tail). Cork: until it is out. MSG_MORE: until an acknowledgement comes, too
/// (send(2), tcp(7)). Urgent data never waits.
fn must_wait(tcb: &Tcb, flow: &Flow) -> bool {
    let options = tcb.opt();
    if tcb.is_urgent() {
        return false;
    }
    if options.cork {
        return !tcb.bits.has(Bits::UNCORK);
    }
    if options.more && !flow.tail_released && !tcb.bits.has(Bits::UNCORK) {
        return true;
    }
    !options.nodelay && tcb.snd_una.before(tcb.snd_small) && tcb.snd_small.at_or_before(tcb.snd_nxt)
}

fn send_new(
    tcb: &mut Tcb,
    flow: &mut Flow,
    cx: &mut Cx<'_>,
    len: u32,
    fin: bool,
    unit: u32,
    options: &Options,
) -> Packet {
    let seq = tcb.snd_nxt;
    let seg_len = len + u32::from(fin);
    if flow.sent.is_empty() {
        // A new flight: the timeout counts from here. RFC 6298 §5.1.
        flow.rto_from = cx.now;
    }
    if fin {
        tcb.bits.set(Bits::FIN_SENT);
        let next = if tcb.state == State::CloseWait {
            State::LastAck
        } else {
            State::FinWait1
        };
        tcb.enter(next);
    }
    let stamp = flow.delivery.stamp(cx.now, seg_len, flow.sent.in_flight());
    flow.pacing.on_sent(cx.now, seg_len);
    flow.sent.push(Sent {
        start: seq,
        len: seg_len,
        segs: len.div_ceil(unit.max(1)).max(1),
        fate: Fate::Flying,
        resent: false,
        at: cx.now,
        stamp,
    });
    tcb.snd_nxt += seg_len;
    if !len.is_multiple_of(unit) {
        tcb.snd_small = tcb.snd_nxt;
    }
    tcb.last_tx = millis(cx.now);
    if flow.recovery.phase.is_reducing() {
        flow.recovery.prr.on_sent(seg_len);
    }
    flow.max_in_flight = flow.max_in_flight.max(flow.recovery.pipe(&flow.sent));
    cx.counters.tcp_orig_data_sent += u64::from(len.div_ceil(unit.max(1)));
    let cwr = if len > 0 { tcb.take_cwr() } else { Flags::NONE };
    let flags = cwr.and(push_at_end(flow, seq + len));
    let packet = data_segment(tcb, cx, seq, seg_len, unit, options, flags);
    tcb.on_acked(packet.meta.len > 0);
    flow.assembler.on_reported();
    timers::rearm(tcb, flow, cx.now, cx.settings);
    packet
}

/// One more segment to learn the fate of the tail: a new one if there is one, else the last again. RFC 8985 §7.3.
fn tail_probe(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>) -> Option<Packet> {
    if !tcb.bits.take(Bits::TAIL_PROBE) || flow.sent.is_empty() {
        return None;
    }
    cx.counters.tcp_loss_probes += 1;
    let (unit, options) = full_segment(tcb, flow, cx);
    let unsent = tcb.unsent();
    let wnd_room = tcb.room_in_window();
    let packet = if unsent > 0 && wnd_room >= unit.min(unsent) {
        let len = flow.records.within(tcb.snd_nxt, unit.min(unsent));
        let fin = tcb.fin_waits() && len == unsent;
        let packet = send_new(tcb, flow, cx, len, fin, unit, &options);
        flow.recovery.tail_probe.on_sent(tcb.snd_nxt, false);
        packet
    } else {
        let last = *flow.sent.runs().rev().find(|run| run.fate == Fate::Flying)?;
        let len = flow.records.behind(last.end(), last.len.min(unit));
        let packet = send_again(tcb, flow, cx, last.end() - len, len, unit, &options);
        flow.recovery.tail_probe.on_sent(last.end(), true);
        packet
    };
    // RFC 8985 §7.3: after a probe the timeout counts from now.
    flow.rto_from = cx.now;
    timers::rearm(tcb, flow, cx.now, cx.settings);
    Some(packet)
}

/// A segment the remote has to answer: for a closed window, or to see whether it is still there. It lies just before the window, so that it
/// carries no byte that might be refused. RFC 9293 §3.8.4 and §3.8.6.1.
fn probe(tcb: &mut Tcb, cx: &mut Cx<'_>) -> Option<Packet> {
    if !tcb.bits.take(Bits::PROBE) {
        return None;
    }
    // One more, within the window, where there is urgent data to tell of.
    let urgent = tcb.probes_urgently();
    if urgent {
        tcb.bits.set(Bits::PROBE);
    }
    let header = Header {
        seq: (tcb.snd_una - u32::from(!urgent)).0,
        ..ack_header(tcb)
    };
    let options = tcb.segment_options(cx.now);
    Some(segment(tcb, cx, header, &options, Packet::default()))
}

/// A segment that only acknowledges, when that is owed now.
fn acknowledgement(tcb: &mut Tcb, cx: &mut Cx<'_>) -> Option<Packet> {
    if !tcb.bits.has(Bits::ACK_NOW) {
        return None;
    }
    let mut options = tcb.segment_options(cx.now);
    options.sack = sacks(tcb, &options);
    let header = ack_header(tcb);
    let packet = segment(tcb, cx, header, &options, Packet::default());
    if let Some(flow) = tcb.flow.as_deref_mut() {
        flow.assembler.on_reported();
    }
    tcb.on_acked(false);
    Some(packet)
}

fn ack_header(tcb: &mut Tcb) -> Header {
    Header {
        seq: tcb.snd_nxt.0,
        ack: tcb.rcv_nxt.0,
        flags: Flags::ACK.and(tcb.echo_flag()),
        window: tcb.offer_window(),
        ..Header::default()
    }
}

/// SACK blocks to report now, as many as fit beside the other options.
fn sacks(tcb: &mut Tcb, options: &Options) -> SackBlocks {
    let room = (MAX_OPTIONS - options.len() - 4) / 8;
    match tcb.flow.as_deref_mut() {
        Some(flow) if tcb.bits.has(Bits::SACK) => flow.assembler.sack_blocks(room.min(4)),
        _ => SackBlocks::default(),
    }
}

/// Payload of a full segment now, and its options: what is reported to the remote takes room from the payload. RFC 6691 §3.
fn full_segment(tcb: &Tcb, flow: &Flow, cx: &Cx<'_>) -> (u32, Options) {
    let mut options = tcb.segment_options(cx.now);
    let mut unit = u32::from(tcb.mss);
    // Whatever acknowledges also tells of what is held: RFC 2018 §4.
    let reports = tcb.bits.has(Bits::SACK) && (!flow.assembler.is_empty() || flow.assembler.has_duplicate());
    if reports {
        let room = (MAX_OPTIONS - options.len() - 4) / 8;
        options.sack = flow.assembler.sack_blocks(room.min(3));
    }
    if reports || options.user_timeout.is_some() {
        let taken = options.len() as u32 - if options.timestamps.is_some() { 12 } else { 0 };
        unit = unit.saturating_sub(taken).max(1);
    }
    (unit, options)
}

/// `most`, cut to whole segments unless it reaches the end of `available`.
fn whole_units(most: u32, unit: u32, available: u32) -> u32 {
    if most >= available {
        available
    } else {
        (most / unit * unit).max(unit.min(available))
    }
}

impl Tcb {
    /// Payload of one packet at most, as Linux sizes its own: what leaves in a millisecond, more where the round trip is short, and never beyond half
    /// the congestion window, so that acknowledgements come while the rest waits.
    fn burst(&self, unit: u32, settings: &Settings) -> u32 {
        let half = self.cwnd / 2 / unit;
        let Some(srtt) = self.rtt.srtt() else {
            return half.max(1) * unit;
        };
        let ratio = if self.cwnd < self.ssthresh / 2 { 200 } else { 120 };
        let micros = (srtt.as_micros() as u64).max(1);
        let each_ms = u64::from(self.cwnd) * ratio * 1_000_000 / (100 << 10) / micros;
        let short = u64::from(MAX_BURST).checked_shr((micros >> 9) as u32).unwrap_or(0);
        let segments = ((each_ms + short) / u64::from(unit)).max(settings.tcp_min_tso_segs.into());
        u64::from(half).min(segments).max(1) as u32 * unit
    }
}

/// The segment `[seq, seq + len)`, whose last number may be FIN's; `flags` beside those that follow from it.
fn data_segment(
    tcb: &mut Tcb,
    cx: &mut Cx<'_>,
    seq: SeqNumber,
    len: u32,
    unit: u32,
    options: &Options,
    flags: Flags,
) -> Packet {
    let tx_end = tcb.tx_end();
    let fin = tcb.bits.has(Bits::FIN_SENT) && seq + len == tx_end + 1;
    let bytes = len - u32::from(fin);
    let mut packet = Packet::default();
    let at = seq.after(tcb.tx_start());
    if let Some(tx) = tcb.tx.as_deref_mut() {
        tx.slice(at as usize, bytes as usize, &mut packet.body);
    }
    packet.meta.len = bytes;
    if bytes > unit {
        packet.meta.gso = Gso::Tcp { mss: unit as u16 };
    }
    let mut header = Header {
        seq: seq.0,
        ..ack_header(tcb)
    };
    header.flags = header.flags.and(flags);
    let ends_write = seq + bytes == tx_end && !tcb.opt().more;
    // Whoever joins segments passes them on where a burst ends (RFC 9293 §3.9.1.2 lets a sender set PSH where it likes).
    if bytes > 0 && (ends_write || bytes > unit) {
        header.flags = header.flags.and(Flags::PSH);
    }
    if fin {
        header.flags = header.flags.and(Flags::FIN);
    }
    let packet = segment(tcb, cx, header, options, packet);
    if bytes > 0 {
        let stats = tcb.stats(cx.now);
        stats.data_segs_out = stats.data_segs_out.wrapping_add(packet.wire_packets() as u32);
    }
    packet
}

/// Puts the TCP header in front of `packet`'s payload.
fn segment(tcb: &mut Tcb, cx: &mut Cx<'_>, mut header: Header, options: &Options, mut packet: Packet) -> Packet {
    header.source = tcb.tuple.local().port();
    header.destination = tcb.tuple.remote().port();
    tcb.point(&mut header);
    build(&mut packet.head, &header, options);
    packet.meta.csum = Csum::Partial;
    if options.user_timeout.is_some() && !header.flags.has(Flags::SYN) {
        tcb.advise = false;
    }
    if let Some(stats) = tcb.stats.as_deref_mut() {
        stats.on_window(header.window, cx.counters);
    }
    tcb.segs_out = tcb.segs_out.wrapping_add(packet.wire_packets() as u32);
    cx.counters.tcp_out_segs += packet.wire_packets() as u64;
    packet
}

/// Data waits for a window that is closed or too small, and nothing is out that would bring an answer: probe for it. RFC 9293 §3.8.6.1.
fn wait_for_window(tcb: &mut Tcb, cx: &Cx<'_>) {
    if !tcb.has_outstanding() && matches!(tcb.rexmit, Rexmit::Off | Rexmit::Idle) {
        tcb.rexmit = Rexmit::Persist;
        tcb.rexmit_at = cx.now + timers::persist_delay(tcb, cx.settings);
    }
}
