//! SEGMENT ARRIVES for a connection that exists. Spec: RFC 9293 §3.10.7.3 and §3.10.7.4, in that order, with RFC 5961 and RFC 7323 §5 woven in.
//!
//! It changes the connection and notes what is owed; what is sent, and when, is `output`'s. Called by the host with segments whose checksum is good.

use super::ack;
use super::budget::Pressure;
use super::limits::Limits;
use super::options::ts_before;
use super::seq::SeqNumber;
use super::tcb::{Bits, Rexmit, Tcb, millis};
use crate::buf::Rope;
use crate::counters::{Counters, DropReason};
use crate::error::SocketError;
use crate::packet::Body;
use crate::settings::Settings;
use crate::socket::State;
use crate::time::{Duration, Instant};
use crate::tuple::FourTuple;
use crate::wire::tcp::{Flags, Header, Options};

/// What a connection may use of the host while it works.
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) settings: &'a Settings,
    pub(crate) counters: &'a mut Counters,
    pub(crate) limits: &'a mut Limits,
    /// How short memory is.
    pub(crate) pressure: Pressure,
    /// Segments to send that belong to no connection, or end one.
    pub(crate) replies: &'a mut Vec<Reply>,
}

/// A segment without payload that the host sends as it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) tuple: FourTuple,
    pub(crate) header: Header,
    pub(crate) options: Options,
    /// Leaves by the loopback fallback interface.
    pub(crate) fallback: bool,
}

/// A segment, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(super) seq: SeqNumber,
    pub(super) ack: SeqNumber,
    pub(super) flags: Flags,
    pub(super) window: u16,
    /// The urgent pointer, with URG.
    pub(super) urgent: Option<u16>,
    pub(super) options: Options,
    /// Payload bytes.
    pub(super) len: u32,
    /// Payload bytes of each wire segment this one stands for.
    pub(super) unit: u32,
    /// The ECN field of its IP header.
    pub(super) ecn: u8,
    /// Bytes of memory that the payload keeps alive.
    pub(super) pins: u32,
    pub(super) body: Body,
}

impl Segment {
    pub(crate) fn new(header: &Header, options: Options, len: u32, unit: u32, body: Body) -> Self {
        let Header {
            seq,
            ack,
            flags,
            window,
            urgent,
            ..
        } = *header;
        Self {
            seq: SeqNumber(seq),
            ack: SeqNumber(ack),
            flags,
            window,
            urgent: flags.has(Flags::URG).then_some(urgent),
            options,
            len,
            unit,
            ecn: 0,
            pins: len,
            body,
        }
    }

    /// The same, out of an IP packet with this type of service or traffic class.
    pub(crate) fn marked(self, tos: u8) -> Self {
        Self {
            ecn: tos & crate::wire::ecn::MASK,
            ..self
        }
    }

    /// The payload keeps `bytes` of memory alive.
    pub(crate) fn pinning(mut self, bytes: u32) -> Self {
        self.pins = self.pins.max(bytes);
        self
    }

    pub(crate) fn fast_open(&self) -> Option<crate::wire::tcp::FastOpen> {
        self.options.fast_open
    }

    pub(crate) fn has_payload(&self) -> bool {
        self.len > 0
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.flags.has(Flags::RST)
    }

    pub(crate) fn is_syn(&self) -> bool {
        self.flags.has(Flags::SYN)
    }

    pub(crate) fn has_ack(&self) -> bool {
        self.flags.has(Flags::ACK)
    }

    /// SEG.LEN: payload, SYN and FIN. RFC 9293 §3.4.
    pub(super) fn seg_len(&self) -> u32 {
        self.len + u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN))
    }

    pub(super) fn end(&self) -> SeqNumber {
        self.seq + self.seg_len()
    }

    /// Segments that came, before they were put together.
    pub(super) fn wire_segments(&self) -> u32 {
        self.len.div_ceil(self.unit.max(1)).max(1)
    }
}

/// SEGMENT ARRIVES.
///
/// # Errors
/// Why the segment went no further. The connection may still owe an answer.
pub(crate) fn segment_arrives(tcb: &mut Tcb, cx: &mut Cx<'_>, mut seg: Segment) -> Result<(), DropReason> {
    tcb.segs_in = tcb.segs_in.wrapping_add(seg.wire_segments());
    if seg.len > 0 && tcb.is_synchronized() {
        let stats = tcb.stats(cx.now);
        stats.data_segs_in = stats.data_segs_in.wrapping_add(seg.wire_segments());
    }
    match tcb.state {
        State::Closed => return Err(DropReason::BadState),
        State::SynSent => return super::open::answer_arrives(tcb, cx, seg),
        State::SynReceived if seg.seq == tcb.irs && seg.is_syn() && seg.has_ack() => {
            // Simultaneous open: the remote's SYN-ACK repeats its SYN, which we have, and acknowledges ours. RFC 9293 §3.5 figure 8.
            seg.seq += 1;
            seg.flags.0 &= !Flags::SYN.0;
            // Its window is not scaled yet; everything behind this expects scaled ones.
            seg.window >>= tcb.snd_wscale;
            if !seg.flags.has(Flags::ECE) {
                tcb.refuse_ecn();
            }
        }
        _ => {}
    }
    check_sequence(tcb, cx, &seg)?;
    check_reset(tcb, cx, &seg)?;
    if let Some(advice) = seg.options.user_timeout {
        tcb.on_user_timeout_option(advice);
    }
    check_syn(tcb, cx, &seg)?;
    check_ack(tcb, cx, &seg)?;
    take_timestamp(tcb, &seg);
    if tcb.state == State::Closed {
        return Ok(());
    }
    let idle = Tcb::ago(cx.now, tcb.last_rx);
    tcb.last_rx = millis(cx.now);
    tcb.after_silence(cx, idle);
    tcb.take_marks(&seg);
    if seg.urgent.is_some() || tcb.urgent.is_some() {
        tcb.take_urgent(&seg);
    }
    take_text(tcb, cx, &mut seg)?;
    check_fin(tcb, cx, &seg);
    if tcb.flow.is_some() && tcb.rexmit == Rexmit::Off && tcb.is_synchronized() && !tcb.has_outstanding() {
        // Whoever only receives has no other timer: when it is quiet again the flow state goes.
        tcb.rexmit = Rexmit::Idle;
        tcb.rexmit_at = cx.now + tcb.rtt.rto(cx.settings);
    }
    Ok(())
}

/// First: is any of it in the window? And is it young enough? RFC 9293 §3.4, RFC 7323 §5.3.
fn check_sequence(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment) -> Result<(), DropReason> {
    let stamp = if tcb.bits.has(Bits::TIMESTAMPS) {
        seg.options.timestamps
    } else {
        None
    };
    // RFC 7323 §5.5: after 24 days the remote's clock may have gone half around, and what is remembered of it means nothing.
    let forgotten = Tcb::ago(cx.now, tcb.last_rx) >= Duration::from_secs(24 * 24 * 3_600);
    if let Some(ts) = stamp
        && ts_before(ts.value, tcb.ts_recent)
        && !seg.flags.has(Flags::RST)
        && !forgotten
    {
        refuse(tcb, cx, seg);
        return Err(DropReason::Paws);
    }
    let window = tcb.rcv_edge.since(tcb.rcv_nxt).max(0) as u32;
    if !acceptable(tcb.rcv_nxt, window, seg.seq, seg.seg_len()) {
        if window == 0 && seg.urgent.is_some() && seg.seq == tcb.rcv_nxt && believable(tcb, seg) {
            // RFC 9293 §3.4 MUST-66: URG is heeded even when the window is closed.
            tcb.take_urgent(seg);
        }
        if !seg.flags.has(Flags::RST) {
            refuse(tcb, cx, seg);
        }
        cx.counters.tcp_zero_window_drop += u64::from(window == 0 && tcb.rcv_nxt.before(seg.end()));
        return Err(DropReason::OutOfWindow);
    }
    Ok(())
}

/// RFC 7323 §4.3 step 2: the remote's clock, only from a segment that covers the next byte we will acknowledge. That it is good is known by now, and
/// PAWS let it pass: its time is newer, or what was remembered means nothing.
fn take_timestamp(tcb: &mut Tcb, seg: &Segment) {
    if tcb.bits.has(Bits::TIMESTAMPS)
        && let Some(ts) = seg.options.timestamps
        && seg.seq.at_or_before(tcb.rcv_acked)
    {
        tcb.ts_recent = ts.value;
    }
}

/// The four cases of RFC 9293 §3.4, table 6.
pub(super) fn acceptable(rcv_nxt: SeqNumber, window: u32, seq: SeqNumber, len: u32) -> bool {
    match (len, window) {
        (0, 0) => seq == rcv_nxt,
        (0, _) => seq.within(rcv_nxt, window) || seq == rcv_nxt + window,
        (_, 0) => false,
        _ => seq.within(rcv_nxt, window) || (seq + (len - 1)).within(rcv_nxt, window),
    }
}

/// Answers a segment that is not acceptable with an acknowledgement, as often as is healthy: data always (it is no part of an ACK loop), the rest rarely.
fn refuse(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment) {
    if seg.len > 0 && !seg.flags.has(Flags::SYN) {
        if seg.end().at_or_before(tcb.rcv_nxt) && tcb.bits.has(Bits::SACK) && cx.settings.tcp_dsack {
            cx.counters.tcp_dsack_old_sent += 1;
            tcb.flow(cx.now, cx.settings)
                .assembler
                .report_duplicate(seg.seq, seg.seq + seg.len);
        }
        tcb.bits.set(Bits::ACK_NOW);
    } else if cx.limits.allow_answer(cx.now, &mut tcb.last_answer, cx.settings) {
        tcb.bits.set(Bits::ACK_NOW);
    }
}

/// Second: RST. Exactly at the next byte it ends the connection; elsewhere in the window it is asked back. RFC 5961 §3.2.
fn check_reset(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment) -> Result<(), DropReason> {
    if !seg.flags.has(Flags::RST) {
        return Ok(());
    }
    if seg.seq != tcb.rcv_nxt {
        challenge(tcb, cx);
        return Err(DropReason::RateLimited);
    }
    if tcb.is_synchronized() {
        cx.counters.tcp_estab_resets += 1;
    } else {
        cx.counters.tcp_attempt_fails += 1;
    }
    match tcb.state {
        State::SynReceived if !tcb.is_pending_fast_open() => tcb.fail(SocketError::ConnectionRefused),
        State::CloseWait => tcb.fail(SocketError::BrokenPipe),
        // Both sides have closed: nobody waits for news. RFC 9293 §3.10.7.4.
        State::Closing | State::LastAck | State::TimeWait => tcb.finish(),
        _ => tcb.fail(SocketError::ConnectionReset),
    }
    Ok(())
}

/// Third: SYN on a synchronized connection. RFC 5961 §4.2.
fn check_syn(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment) -> Result<(), DropReason> {
    if !seg.flags.has(Flags::SYN) {
        return Ok(());
    }
    cx.counters.tcp_syn_challenge += 1;
    challenge(tcb, cx);
    Err(DropReason::RateLimited)
}

/// A challenge: an acknowledgement that only the true remote can answer. RFC 5961 §7 limits how many.
fn challenge(tcb: &mut Tcb, cx: &mut Cx<'_>) {
    if cx.limits.allow_answer(cx.now, &mut tcb.last_answer, cx.settings)
        && cx.limits.allow_challenge(cx.now, cx.settings)
    {
        cx.counters.tcp_challenge_acks += 1;
        tcb.bits.set(Bits::ACK_NOW);
    }
}

/// RFC 5961 §5.2: (SND.UNA - MAX.SND.WND) =< SEG.ACK =< SND.NXT.
fn believable(tcb: &Tcb, seg: &Segment) -> bool {
    (tcb.snd_una - tcb.max_wnd.max(1)).at_or_before(seg.ack) && seg.ack.at_or_before(tcb.snd_nxt)
}

/// Fifth: the acknowledgement. (The fourth check, security, went with RFC 9293.)
fn check_ack(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment) -> Result<(), DropReason> {
    if tcb.state == State::Closed {
        return Ok(());
    }
    if !seg.flags.has(Flags::ACK) {
        return Err(DropReason::BadAck);
    }
    if tcb.state == State::SynReceived {
        super::open::acknowledged(tcb, cx, seg)?;
    }
    if !believable(tcb, seg) {
        challenge(tcb, cx);
        return Err(DropReason::BadAck);
    }
    if tcb.snd_una.at_or_before(seg.ack) {
        tcb.soft_error = None;
        if !tcb.has_outstanding() {
            // It answers: whatever was asked, by keepalive or window probe.
            tcb.retries = 0;
        }
        ack::acknowledge(tcb, cx, seg);
        let fin_acked = ack::fin_acknowledged(tcb);
        match tcb.state {
            State::FinWait1 if fin_acked => {
                tcb.enter(State::FinWait2);
                if tcb.bits.has(Bits::ORPHAN) {
                    tcb.wait_as_orphan(cx);
                }
                tcb.tell();
            }
            State::Closing if fin_acked => {
                tcb.enter(State::TimeWait);
                tcb.tell();
            }
            State::LastAck if fin_acked => tcb.finish(),
            _ => {}
        }
    }
    Ok(())
}

/// Seventh: the text. In order it goes to the reader, out of order it waits.
fn take_text(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &mut Segment) -> Result<(), DropReason> {
    if seg.len == 0 {
        return Ok(());
    }
    if !tcb.may_receive() {
        return Ok(());
    }
    if tcb.bits.has(Bits::ORPHAN) && tcb.rcv_nxt.before(seg.seq + seg.len) {
        // Nobody will ever read it: the remote must know. RFC 9293 §3.6.1 half-duplex close; RFC 1122 §4.2.2.13.
        cx.counters.tcp_abort_on_data += 1;
        tcb.reset(cx);
        tcb.finish();
        return Err(DropReason::NoSocket);
    }
    let seg_start = seg.seq;
    if seg_start == tcb.rcv_nxt && (seg_start + seg.len).at_or_before(tcb.rcv_edge) {
        // As nearly always: the next bytes, all of them, and there is room. No rope in between.
        let body = std::mem::take(&mut seg.body);
        let (len, pins) = (seg.len as usize, seg.pins as usize);
        accept_text(tcb, cx, seg, seg.len, |rx| rx.keep_slices(body, len, pins));
        return Ok(());
    }
    let mut text = Rope::new();
    for slice in seg.body.drain(..) {
        text.push(slice);
    }
    // Trim what lies before the window and what lies beyond it; a FIN beyond it goes too.
    let mut start = seg_start;
    if start.before(tcb.rcv_nxt) {
        let old = tcb.rcv_nxt.after(start).min(seg.len);
        text.drop_front(old as usize);
        start += old;
        if tcb.bits.has(Bits::SACK) && cx.settings.tcp_dsack && old > 0 {
            cx.counters.tcp_dsack_old_sent += 1;
            tcb.flow(cx.now, cx.settings)
                .assembler
                .report_duplicate(seg_start, seg_start + old);
        }
        tcb.bits.set(Bits::ACK_NOW);
    }
    let beyond = (start + text.len() as u32).since(tcb.rcv_edge);
    if beyond > 0 {
        let keep = text.len().saturating_sub(beyond as usize);
        let mut kept = Rope::new();
        let mut left = keep;
        while let Some(chunk) = text.pop_chunk(left) {
            left -= chunk.len();
            kept.push(chunk);
        }
        text = kept;
        seg.flags.0 &= !Flags::FIN.0;
        tcb.bits.set(Bits::ACK_NOW);
    }
    if text.is_empty() {
        return Ok(());
    }
    if start == tcb.rcv_nxt {
        let (len, pins) = (text.len() as u32, seg.pins as usize);
        accept_text(tcb, cx, seg, len, |rx| rx.keep(text, pins));
        Ok(())
    } else {
        keep_text(tcb, cx, seg, start, text)
    }
}

/// `len` bytes of text at `rcv_nxt`, put into the rope by `keep`: to the reader, and whatever it makes whole after it.
fn accept_text(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment, len: u32, keep: impl FnOnce(&mut Rope)) {
    let discard = tcb.bits.has(Bits::READ_SHUT);
    let before = tcb.rcv_nxt;
    tcb.rcv_nxt += len;
    let rx = tcb.rx.get_or_insert_default();
    keep(rx);
    let mut filled = false;
    if let Some(flow) = tcb.flow.as_deref_mut() {
        if !flow.assembler.is_empty() {
            if tcb.bits.has(Bits::SACK) && cx.settings.tcp_dsack {
                flow.assembler.report_overlap(before, before + len);
            }
            tcb.rcv_nxt = flow.assembler.take_ready(tcb.rcv_nxt, rx);
            filled = true;
        }
        if let (Some(ts), true) = (seg.options.timestamps, tcb.bits.has(Bits::TIMESTAMPS)) {
            let ms = super::options::ts_clock(cx.now, tcb.ts_offset).wrapping_sub(ts.echo);
            if ms < 1_000_000 {
                flow.tune.on_echo(Duration::from_millis(u64::from(ms)));
            }
        }
    } else {
        let _ = tcb.flow(cx.now, cx.settings);
    }
    let arrived = u64::from(tcb.rcv_nxt.after(before));
    let stats = tcb.stats(cx.now);
    stats.bytes_in += arrived;
    stats.last_data_rx = Some(millis(cx.now));
    if discard {
        tcb.rx = None;
    }
    if filled {
        tcb.bits.set(Bits::ACK_NOW);
    }
    tcb.owe_ack(cx.now, seg.unit.min(len), cx.settings);
    tcb.tell();
}

/// Text after a gap: kept while there is memory, and the remote is told at once. RFC 5681 §4.2.
fn keep_text(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment, start: SeqNumber, text: Rope) -> Result<(), DropReason> {
    if cx.pressure >= Pressure::Hard {
        cx.counters.tcp_ofo_drop += u64::from(seg.wire_segments());
        tcb.bits.set(Bits::ACK_NOW);
        return Err(DropReason::NoBuffer);
    }
    cx.counters.tcp_ofo_queue += u64::from(seg.wire_segments());
    let stats = tcb.stats(cx.now);
    stats.out_of_order = stats.out_of_order.wrapping_add(seg.wire_segments());
    let mut kept = Rope::new();
    kept.keep(text, seg.pins as usize);
    let assembler = &mut tcb.flow(cx.now, cx.settings).assembler;
    let _ = assembler.insert(start, kept);
    if !cx.settings.tcp_dsack {
        assembler.on_reported();
    }
    if assembler.has_duplicate() {
        tcb.bits.set(Bits::ACK_NOW);
    }
    tcb.owe_ack_behind_gap(cx.now, cx.settings);
    Ok(())
}

/// Eighth: FIN, once everything before it is here. One that comes earlier is kept in mind, as its bytes are.
fn check_fin(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment) {
    let kept = tcb
        .flow
        .as_ref()
        .is_some_and(|flow| flow.assembler.fin_is_next(tcb.rcv_nxt));
    if seg.flags.has(Flags::FIN) && !kept {
        let fin = seg.seq + seg.len + u32::from(seg.flags.has(Flags::SYN));
        if fin != tcb.rcv_nxt {
            // Taken before, or out of order.
            tcb.bits.set(Bits::ACK_NOW);
            if tcb.rcv_nxt.before(fin) && fin.before(tcb.rcv_edge) && tcb.may_receive() {
                tcb.flow(cx.now, cx.settings).assembler.keep_fin(fin);
            }
            return;
        }
    } else if !kept {
        return;
    }
    if tcb.bits.has(Bits::FIN_RECEIVED) {
        return;
    }
    tcb.bits.set(Bits::FIN_RECEIVED);
    tcb.rcv_nxt += 1;
    tcb.rcv_edge = tcb.rcv_edge.max(tcb.rcv_nxt);
    tcb.owe_fin_ack(cx.now, cx.settings);
    match tcb.state {
        State::SynReceived | State::Established => tcb.enter(State::CloseWait),
        State::FinWait1 if ack::fin_acknowledged(tcb) => tcb.enter(State::TimeWait),
        State::FinWait1 => tcb.enter(State::Closing),
        State::FinWait2 => tcb.enter(State::TimeWait),
        _ => {}
    }
    if let Some(flow) = tcb.flow.as_deref_mut() {
        flow.assembler.clear();
    }
    tracing::trace!(tuple = ?tcb.tuple, at = %cx.now, "FIN received");
    tcb.tell();
}

impl Tcb {
    /// The remote speaks again after a silence: it may be in slow start and waits for every acknowledgement; and keepalive starts over.
    fn after_silence(&mut self, cx: &Cx<'_>, idle: Duration) {
        if idle > self.rtt.rto(cx.settings) && !self.bits.has(Bits::PINGPONG) {
            self.quick = super::delayed_ack::QUICK_ACKS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acceptability() {
        let nxt = SeqNumber(u32::MAX - 2);
        for (case, window, seq, len, want) in [
            ("empty segment, closed window, exact", 0, nxt, 0, true),
            ("empty segment, closed window, after", 0, nxt + 1, 0, false),
            ("empty segment, open window, last byte", 10, nxt + 9, 0, true),
            ("empty segment, at the right edge", 10, nxt + 10, 0, true),
            ("empty segment, before", 10, nxt - 1, 0, false),
            ("data, closed window", 0, nxt, 1, false),
            ("data, first byte", 10, nxt, 100, true),
            ("data, overlaps from the left", 10, nxt - 5, 6, true),
            ("data, ends before", 10, nxt - 5, 5, false),
            ("data, last byte of the window", 10, nxt + 9, 1, true),
            ("data, beyond", 10, nxt + 10, 1, false),
        ] {
            assert_eq!(acceptable(nxt, window, seq, len), want, "{case}");
        }
    }
}
