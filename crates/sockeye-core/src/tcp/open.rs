//! Opening: the active side, the simultaneous case, and the moment a connection is established. Spec: RFC 9293 §3.5, §3.10.1, §3.10.7.3; RFC 6528
//! (initial sequence numbers); RFC 7323 §7.1 (timestamp offsets).

use super::congestion::initial_window;
use super::input::{Cx, Reply, Segment};
use super::options::window_scale_for;
use super::seq::SeqNumber;
use super::tcb::{Bits, Origin, Rexmit, Tcb, millis, tick};
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::keys::{Key, Keys};
use crate::settings::Settings;
use crate::socket::{State, TcpOptions};
use crate::time::{Duration, Instant};
use crate::tuple::FourTuple;
use crate::wire::tcp::{Flags, Header, Options};

/// The secrets of TCP.
#[derive(Debug)]
pub(crate) struct TcpKeys {
    isn: Key,
    timestamps: Key,
    pub(super) cookie: Key,
    pub(super) fast_open: Key,
}

impl TcpKeys {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self {
            isn: keys.key("tcp isn"),
            timestamps: keys.key("tcp timestamps"),
            cookie: keys.key("tcp cookie"),
            fast_open: keys.key("tcp fast open"),
        }
    }

    /// `M + F(4-tuple, key)`, with M a clock of 4 microseconds. RFC 6528 §3.
    pub(crate) fn initial_sequence(&self, tuple: &FourTuple, now: Instant) -> SeqNumber {
        let clock = (now.as_micros() / 4) as u32;
        SeqNumber((tuple.hash(&self.isn, 0) as u32).wrapping_add(clock))
    }

    /// Where the timestamp clock of this pair of addresses starts.
    pub(crate) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        tuple.hash(&self.timestamps, 0) as u32
    }
}

/// The shift we offer: enough for the largest buffer this connection may get. One that the application gave does not grow.
pub(super) fn our_scale(options: &TcpOptions, settings: &Settings) -> u8 {
    if settings.tcp_window_scaling {
        let most = options.recv_buffer.unwrap_or(settings.tcp_rmem[2]);
        window_scale_for(options.window_clamp.map_or(most, |clamp| most.min(clamp)))
    } else {
        0
    }
}

/// OPEN, active: a connection in SYN-SENT that owes its SYN. RFC 9293 §3.10.1.
pub(crate) fn connect(
    tuple: FourTuple,
    iss: SeqNumber,
    options: TcpOptions,
    path_mtu: u32,
    keys: &TcpKeys,
    cx: &mut Cx<'_>,
) -> Tcb {
    cx.counters.tcp_active_opens += 1;
    let mut tcb = opening(tuple, iss, options, path_mtu, keys, cx);
    tcb.enter(State::SynSent);
    tcb
}

/// OPEN, passive: a connection in SYN-RECEIVED from what the SYN said, that owes its SYN-ACK.
pub(crate) fn answer(
    tuple: FourTuple,
    iss: SeqNumber,
    options: TcpOptions,
    path_mtu: u32,
    keys: &TcpKeys,
    syn: &SynFacts,
    cx: &mut Cx<'_>,
) -> Tcb {
    let mut tcb = opening(tuple, iss, options, path_mtu, keys, cx);
    tcb.take_syn(syn, cx.settings);
    tcb.enter(State::SynReceived);
    tcb
}

/// What both have in common: the SYN is owed, and its timer runs.
fn opening(tuple: FourTuple, iss: SeqNumber, options: TcpOptions, path_mtu: u32, keys: &TcpKeys, cx: &Cx<'_>) -> Tcb {
    let settings = cx.settings;
    let scale = our_scale(&options, settings);
    let ts_offset = keys.timestamp_offset(&tuple);
    let mut tcb = Tcb::new(Origin {
        tuple,
        iss,
        ts_offset,
        path_mtu,
        options,
        settings,
    });
    tcb.begin_low(settings);
    tcb.rcv_wscale = scale;
    tcb.snd_nxt = iss + 1;
    tcb.bits.set(Bits::ACK_NOW);
    tcb.rexmit = Rexmit::Timeout;
    tcb.rexmit_at = cx.now + settings.tcp_initial_rto;
    tcb.last_rx = millis(cx.now);
    tcb
}

/// What a SYN said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SynFacts {
    pub(crate) seq: SeqNumber,
    pub(crate) window: u16,
    pub(crate) options: Options,
    /// It was an ECN-setup SYN, or SYN-ACK. RFC 3168 §6.1.1.
    pub(crate) ecn: bool,
}

impl SynFacts {
    pub(crate) fn of(seg: &Segment) -> Self {
        Self {
            seq: seg.seq,
            window: seg.window,
            options: seg.options,
            ecn: super::ecn::is_setup(seg.flags),
        }
    }

    /// The SYN again, as a segment: to refuse it.
    pub(crate) fn as_segment(&self) -> Segment {
        let header = Header {
            seq: self.seq.0,
            flags: Flags::SYN,
            window: self.window,
            ..Header::default()
        };
        Segment::new(&header, self.options, 0, 0, crate::packet::Body::new())
    }
}

impl Tcb {
    /// The remote's SYN: where its numbers start and what it can do.
    fn take_syn(&mut self, syn: &SynFacts, settings: &Settings) {
        self.irs = syn.seq;
        self.rcv_nxt = syn.seq + 1;
        self.rcv_acked = self.rcv_nxt;
        self.rcv_edge = self.rcv_nxt + self.rcv_limit.min(u32::from(u16::MAX));
        self.agree(&syn.options, settings);
        self.agree_on_ecn(syn.ecn, settings);
        // The window of a SYN is never scaled. RFC 7323 §2.2.
        self.snd_wnd = u32::from(syn.window);
        self.max_wnd = self.snd_wnd;
        self.snd_wl1 = syn.seq;
        self.snd_wl2 = self.iss;
    }

    /// Both SYNs are acknowledged.
    fn establish(&mut self, cx: &mut Cx<'_>) {
        self.on_urgent_acknowledged();
        self.enter(State::Established);
        let segments = if self.retries > 1 { 1 } else { cx.settings.tcp_init_cwnd };
        self.cwnd = initial_window(u32::from(self.mss), segments);
        if self.retries == 0 && self.rexmit == Rexmit::Timeout {
            // The SYN left one initial timeout before its timer was due.
            let sent = self.rexmit_at - cx.settings.tcp_initial_rto;
            self.rtt.sample(cx.now.since(sent), 1);
        }
        cx.counters.tcp_ecn_setup += u64::from(self.bits.has(Bits::ECN));
        (self.retries, self.backoff) = (0, 0);
        (self.established, self.last_tx) = (millis(cx.now), millis(cx.now));
        self.rexmit = Rexmit::Off;
        self.advise = self.opt().advertise_timeout.is_some();
        self.arm_keepalive(cx);
        self.tell();
    }

    /// Starts (or stops) the wait before the first keepalive probe. RFC 9293 §3.8.4.
    pub(super) fn arm_keepalive(&mut self, cx: &Cx<'_>) {
        let options = self.opt();
        let wait = options
            .keepalive
            .then(|| options.keepalive_time.unwrap_or(cx.settings.tcp_keepalive_time));
        self.slow_at = wait.and_then(|wait| tick(cx.now + wait));
    }
}

/// SEGMENT ARRIVES in SYN-SENT. RFC 9293 §3.10.7.3.
pub(super) fn answer_arrives(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: Segment) -> Result<(), DropReason> {
    let has_ack = seg.flags.has(Flags::ACK);
    // First: does it acknowledge our SYN?
    if has_ack && (seg.ack.at_or_before(tcb.iss) || tcb.snd_nxt.before(seg.ack)) {
        if !seg.flags.has(Flags::RST) {
            refuse_segment(tcb.tuple, &seg, tcb.bits.has(Bits::FALLBACK), cx);
        }
        return Err(DropReason::BadAck);
    }
    // Second: RST counts only when it knows our sequence number.
    if seg.flags.has(Flags::RST) {
        if has_ack {
            cx.counters.tcp_attempt_fails += 1;
            tcb.fail(SocketError::ConnectionRefused);
            return Ok(());
        }
        return Err(DropReason::BadState);
    }
    // Fourth: SYN. (The third check, security, went with RFC 9293.)
    if !seg.flags.has(Flags::SYN) {
        return Err(DropReason::BadState);
    }
    tcb.take_syn(&SynFacts::of(&seg), cx.settings);
    tcb.last_rx = millis(cx.now);
    tcb.bits.set(Bits::ACK_NOW);
    if !has_ack {
        // Simultaneous open: answer SYN with SYN-ACK. RFC 9293 §3.5 figure 8.
        tcb.enter(State::SynReceived);
        tcb.rexmit_at = cx.now + cx.settings.tcp_initial_rto;
        return Ok(());
    }
    tcb.on_fast_open_answer(&seg);
    if let Some(advice) = seg.options.user_timeout {
        tcb.on_user_timeout_option(advice);
    }
    tcb.snd_una = seg.ack;
    tcb.snd_wl2 = seg.ack;
    tcb.bits.set(Bits::SYN_ACKED);
    tcb.establish(cx);
    if seg.len > 0 || seg.flags.has(Flags::FIN) {
        // Text or FIN beside the SYN: go on at the sixth step, as if they came in a segment of their own.
        let mut rest = seg;
        rest.seq += 1;
        rest.flags.0 &= !Flags::SYN.0;
        return super::input::segment_arrives(tcb, cx, rest);
    }
    Ok(())
}

/// The fifth check in SYN-RECEIVED: the acknowledgement of our SYN establishes the connection.
pub(super) fn acknowledged(tcb: &mut Tcb, cx: &mut Cx<'_>, seg: &Segment) -> Result<(), DropReason> {
    if seg.ack.at_or_before(tcb.snd_una) || tcb.snd_nxt.before(seg.ack) {
        refuse_segment(tcb.tuple, seg, tcb.bits.has(Bits::FALLBACK), cx);
        return Err(DropReason::BadAck);
    }
    tcb.snd_una = tcb.iss + 1;
    if tcb.bits.has(Bits::FAST_OPEN_ASKED) {
        // Simultaneous open, and our SYN carried data.
        tcb.on_fast_open_answer(seg);
        tcb.snd_una = seg.ack;
    }
    tcb.bits.set(Bits::SYN_ACKED);
    tcb.snd_wnd = u32::from(seg.window) << tcb.snd_wscale;
    tcb.max_wnd = tcb.max_wnd.max(tcb.snd_wnd);
    (tcb.snd_wl1, tcb.snd_wl2) = (seg.seq, seg.ack);
    tcb.bits.clear(Bits::ACK_NOW);
    cx.counters.tcp_passive_opens += 1;
    tcb.establish(cx);
    Ok(())
}

/// RST in answer to a segment that belongs to nothing: believable because it repeats the sender's own numbers. RFC 9293 §3.10.7.1.
pub(crate) fn refuse_segment(tuple: FourTuple, seg: &Segment, fallback: bool, cx: &mut Cx<'_>) {
    let (seq, ack, flags) = if seg.flags.has(Flags::ACK) {
        (seg.ack.0, 0, Flags::RST)
    } else {
        (0, seg.end().0, Flags::RST.and(Flags::ACK))
    };
    cx.counters.tcp_out_rsts += 1;
    let (local, remote) = (tuple.local(), tuple.remote());
    let header = Header {
        source: local.port(),
        destination: remote.port(),
        seq,
        ack,
        flags,
        window: 0,
        urgent: 0,
    };
    cx.replies.push(Reply {
        tuple,
        header,
        options: Options::default(),
        fallback,
    });
}

/// How long a SYN (or SYN-ACK) waits for its answer after `retries` repetitions. RFC 6298 §5.5.
pub(super) fn syn_timeout(retries: u8, settings: &Settings) -> Duration {
    settings
        .tcp_initial_rto
        .saturating_mul(1 << retries.min(16))
        .min(settings.tcp_rto_max)
}
