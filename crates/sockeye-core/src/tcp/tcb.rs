//! One connection: the transmission control block of RFC 9293 §3.3.1, split by how often its parts are looked at.
//!
//! An idle connection is this struct and nothing else. What matters only while data flows ([`Flow`]) sits in a box that is made when needed and
//! dropped when the connection has been quiet for a retransmission timeout: by then RFC 5681 §4.1 has made most of it void anyway.

use super::assembler::Assembler;
use super::congestion::{Congestion, Window};
use super::delayed_ack::Rhythm;
use super::mtu_probe::Search;
use super::pacing::Pacing;
use super::rate::Delivery;
use super::record::Records;
use super::recovery::Recovery;
use super::rtt::Rtt;
use super::sent::Scoreboard;
use super::seq::SeqNumber;
use super::stats::Stats;
use super::urgent::Urgent;
use super::window::Tune;
use crate::buf::Rope;
use crate::error::SocketError;
use crate::settings::Settings;
use crate::socket::{State, TcpOptions};
use crate::time::{Duration, Instant, sooner};
use crate::tuple::FourTuple;

/// One-bit facts about a connection.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Bits(u32);

#[rustfmt::skip]
impl Bits {
    /// Timestamps were agreed. RFC 7323 §3.2.
    pub(super) const TIMESTAMPS: Self = Self(1 << 0);
    /// SACK was agreed. RFC 2018 §2.
    pub(super) const SACK: Self = Self(1 << 1);
    /// Window scaling was agreed. RFC 7323 §2.2.
    pub(super) const SCALING: Self = Self(1 << 2);
    /// The application has written its last byte.
    pub(super) const FIN_QUEUED: Self = Self(1 << 3);
    /// Our FIN has been sent: it occupies the sequence number before `snd_nxt`.
    pub(super) const FIN_SENT: Self = Self(1 << 4);
    /// The remote's FIN has been received in order.
    pub(super) const FIN_RECEIVED: Self = Self(1 << 5);
    /// An acknowledgement is owed now.
    pub(super) const ACK_NOW: Self = Self(1 << 6);
    /// Bytes arrived and no acknowledgement went out yet; it may wait a little.
    pub(super) const ACK_OWED: Self = Self(1 << 7);
    /// The application answers what it reads: acknowledgements ride on its data.
    pub(super) const PINGPONG: Self = Self(1 << 8);
    /// A window probe or keepalive is due.
    pub(super) const PROBE: Self = Self(1 << 9);
    /// A tail loss probe is due. RFC 8985 §7.3.
    pub(super) const TAIL_PROBE: Self = Self(1 << 10);
    /// On the host's ready list.
    pub(crate) const READY: Self = Self(1 << 11);
    /// In the host's event queue.
    pub(crate) const EVENT: Self = Self(1 << 12);
    /// The application was refused bytes for want of send buffer: tell it when there is room.
    pub(crate) const WANTS_ROOM: Self = Self(1 << 13);
    /// The application has let go: we finish alone.
    pub(crate) const ORPHAN: Self = Self(1 << 14);
    /// The application reads no more.
    pub(super) const READ_SHUT: Self = Self(1 << 15);
    /// No longer in the table: TIME-WAIT took over, or the connection ended. The application may still read.
    pub(crate) const DETACHED: Self = Self(1 << 16);
    /// Leaves by the loopback fallback interface.
    pub(crate) const FALLBACK: Self = Self(1 << 17);
    /// The SYN waits for the data it is to carry. RFC 7413.
    pub(super) const DEFERRED: Self = Self(1 << 18);
    /// The congestion window held us back since the last acknowledgement.
    pub(super) const CWND_LIMITED: Self = Self(1 << 19);
    /// The cork is out: send what there is, whatever its size.
    pub(super) const UNCORK: Self = Self(1 << 20);
    /// An event is to be told.
    pub(crate) const TELL: Self = Self(1 << 21);
    /// Our SYN is acknowledged: `snd_una` is past it.
    pub(super) const SYN_ACKED: Self = Self(1 << 22);
    /// Made by a SYN with data; cleared when the handshake ends. RFC 7413 §4.2.
    pub(super) const FAST_OPEN: Self = Self(1 << 23);
    /// A Fast Open attempt failed, and nobody took note yet.
    pub(super) const FAST_OPEN_FAILED: Self = Self(1 << 24);
    /// A Fast Open attempt of ours is under way. RFC 7413.
    pub(super) const FAST_OPEN_ASKED: Self = Self(1 << 31);
    /// Data in a SYN was taken, by us or by the remote.
    pub(super) const SYN_DATA: Self = Self(1 << 25);
    /// Marks that arrive are heeded: both SYNs spoke of ECN. RFC 3168 §6.1.1.
    pub(super) const ECN: Self = Self(1 << 26);
    /// New data leaves as ECN-capable transport.
    pub(super) const ECT: Self = Self(1 << 27);
    /// A mark arrived: acknowledgements say so until CWR comes. RFC 3168 §6.1.3.
    pub(super) const ECE: Self = Self(1 << 28);
    /// The window was reduced: the next new data says so. RFC 3168 §6.1.2.
    pub(super) const CWR: Self = Self(1 << 29);
    /// An ECN-capable packet has arrived.
    pub(super) const ECN_SEEN: Self = Self(1 << 30);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
    pub(crate) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }
    pub(crate) fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }
    /// Clears `other` and tells whether it was set.
    pub(crate) fn take(&mut self, other: Self) -> bool {
        let had = self.has(other);
        self.clear(other);
        had
    }
}

/// What the one retransmission timer stands for at the moment. RFC 8985 §8: they exclude each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Rexmit {
    #[default]
    Off,
    /// Retransmission timeout. RFC 6298.
    Timeout,
    /// Tail loss probe. RFC 8985 §7.
    TailProbe,
    /// A run may be lost once the reordering window has passed. RFC 8985 §6.2.
    Reorder,
    /// The remote's window is closed (or too small): probe it. RFC 9293 §3.8.6.1.
    Persist,
    /// Nothing is outstanding: when this fires the flow state is dropped.
    Idle,
}

/// What matters only while data flows.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) sent: Scoreboard,
    pub(super) recovery: Recovery,
    pub(super) congestion: Congestion,
    pub(super) search: Search,
    pub(super) assembler: Assembler,
    pub(super) tune: Tune,
    /// What the SYN carries, until it is answered.
    pub(super) early: Option<Box<super::fast_open::Early>>,
    pub(super) rhythm: Rhythm,
    pub(super) delivery: Delivery,
    pub(super) pacing: Pacing,
    /// Sequence number whose acknowledgement ends the current round trip.
    pub(super) round_end: SeqNumber,
    /// When the retransmission timer was last started anew. RFC 6298 §5.
    pub(super) rto_from: Instant,
    /// The shortest round trip of late, and since when.
    pub(super) recent_min: (Instant, Duration),
    /// Round trips measured in this round trip, and in the one before.
    pub(super) samples: (u32, u32),
    /// When the timeouts of the present loss began. RFC 9293 §3.8.3 R2.
    pub(super) timeouts_since: Option<Instant>,
    /// Most bytes in flight since the last acknowledgement that found the window in use.
    pub(super) max_in_flight: u32,
    /// The congestion window held us back in the round trip before: pacing lets it do so late in a round.
    pub(super) was_cwnd_limited: bool,
    /// An acknowledgement came since the last write: what MSG_MORE held back may leave.
    pub(super) tail_released: bool,
    /// Ends of records that are not acknowledged.
    pub(super) records: Records,
}

/// One connection. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Tcb {
    // What every received segment looks at.
    pub(crate) tuple: FourTuple,
    pub(super) rcv_nxt: SeqNumber,
    /// Right edge of the window we promised; it never moves left.
    pub(super) rcv_edge: SeqNumber,
    pub(super) snd_una: SeqNumber,
    pub(super) snd_nxt: SeqNumber,
    /// The remote's window, in bytes.
    pub(super) snd_wnd: u32,
    pub(super) ts_recent: u32,
    pub(crate) state: State,
    pub(super) snd_wscale: u8,
    pub(super) rcv_wscale: u8,
    /// Doublings of the timeout, or probes unanswered.
    pub(super) backoff: u8,

    // The sender's numbers.
    pub(crate) bits: Bits,
    pub(super) snd_wl1: SeqNumber,
    pub(super) snd_wl2: SeqNumber,
    /// The largest window the remote ever offered. RFC 9293 §3.8.6.2.1.
    pub(super) max_wnd: u32,
    pub(super) cwnd: u32,
    pub(super) ssthresh: u32,
    /// Payload of a full segment to the remote: after its MSS, the path and the options of every segment.
    pub(super) mss: u16,
    /// The MSS the remote announced.
    pub(super) peer_mss: u16,
    /// The MSS we announced.
    pub(super) adv_mss: u16,
    /// The largest payload seen from the remote.
    pub(super) rcv_mss: u16,
    pub(super) rtt: Rtt,

    // Timers: the retransmission timer and what it stands for, the delayed acknowledgement, and the slow one (keepalive, FIN-WAIT-2).
    pub(super) rexmit_at: Instant,
    pub(super) delack_at: Option<Tick>,
    pub(super) slow_at: Option<Tick>,
    pub(super) rexmit: Rexmit,
    pub(super) retries: u8,
    /// Immediate acknowledgements left. See `delayed_ack`.
    pub(super) quick: u8,
    pub(super) error: Option<SocketError>,
    pub(super) soft_error: Option<SocketError>,

    // The application's side.
    pub(super) rx: Option<Box<Rope>>,
    pub(super) tx: Option<Box<Rope>>,
    pub(super) flow: Option<Box<Flow>>,
    pub(super) options: Option<Box<TcpOptions>>,
    pub(super) rcv_limit: u32,
    pub(super) snd_limit: u32,

    // Seldom needed.
    pub(super) iss: SeqNumber,
    pub(super) irs: SeqNumber,
    pub(super) ts_offset: u32,
    /// `rcv_nxt` when we last acknowledged.
    pub(super) rcv_acked: SeqNumber,
    /// End of the last segment we sent that was not full: Nagle waits for it.
    pub(super) snd_small: SeqNumber,
    /// Arrival of the last segment and departure of the last data, in milliseconds of the host's clock (wrapping).
    pub(super) last_rx: u32,
    pub(super) last_tx: u32,
    pub(super) segs_in: u32,
    pub(super) segs_out: u32,
    pub(crate) claim: u32,
    pub(super) path_mtu: u16,
    /// The remote's advice for our user timeout, as it came; 0 without. RFC 5482.
    pub(super) advice: u16,
    /// Ours is to go with the next segment.
    pub(super) advise: bool,
    /// Bytes charged to the host's budget.
    pub(super) charged: u32,
    /// When an unacceptable segment was last answered, in milliseconds.
    pub(super) last_answer: u32,
    /// When both SYNs were acknowledged, in milliseconds.
    pub(super) established: u32,
    pub(super) stats: Option<Box<Stats>>,
    /// Urgent data, either way: few connections ever have any.
    pub(super) urgent: Option<Box<Urgent>>,
}

/// A due time that can be absent at no cost in space.
pub(super) type Tick = std::num::NonZeroU64;

/// `at` as a tick that can be optional at no cost.
pub(super) fn tick(at: Instant) -> Option<Tick> {
    Tick::new(at.as_nanos().max(1))
}

/// The instant of a tick.
pub(super) fn untick(tick: Tick) -> Instant {
    Instant::from_nanos(tick.get())
}

/// Milliseconds, wrapping, for the fields that only need "how long ago".
pub(super) fn millis(now: Instant) -> u32 {
    now.as_millis() as u32
}

/// What a new connection starts from, whoever opened it.
pub(super) struct Origin<'a> {
    pub(super) tuple: FourTuple,
    pub(super) iss: SeqNumber,
    pub(super) ts_offset: u32,
    pub(super) path_mtu: u32,
    pub(super) options: TcpOptions,
    pub(super) settings: &'a Settings,
}

impl Tcb {
    /// A connection in CLOSED, about to open.
    pub(super) fn new(origin: Origin<'_>) -> Self {
        let Origin {
            tuple,
            iss,
            ts_offset,
            path_mtu,
            options,
            settings,
        } = origin;
        let path_mtu = path_mtu.min(u32::from(u16::MAX)) as u16;
        let rcv_limit = options.recv_buffer.unwrap_or(settings.tcp_rmem[1]);
        let snd_limit = options.send_buffer.unwrap_or(settings.tcp_wmem[1].max(65_536));
        let mut tcb = Self {
            tuple,
            rcv_nxt: SeqNumber(0),
            rcv_edge: SeqNumber(0),
            snd_una: iss,
            snd_nxt: iss,
            snd_wnd: 0,
            ts_recent: 0,
            state: State::Closed,
            snd_wscale: 0,
            rcv_wscale: 0,
            backoff: 0,
            bits: Bits::default(),
            snd_wl1: SeqNumber(0),
            snd_wl2: SeqNumber(0),
            max_wnd: 0,
            cwnd: 0,
            ssthresh: u32::MAX / 2,
            mss: 0,
            peer_mss: if tuple.is_v4() { 536 } else { 1_220 },
            adv_mss: 0,
            rcv_mss: 536,
            rtt: Rtt::default(),
            rexmit_at: Instant::ZERO,
            delack_at: None,
            slow_at: None,
            rexmit: Rexmit::Off,
            retries: 0,
            quick: super::delayed_ack::QUICK_ACKS,
            error: None,
            soft_error: None,
            rx: None,
            tx: None,
            flow: None,
            options: (options != TcpOptions::default()).then(|| Box::new(options)),
            rcv_limit,
            snd_limit,
            iss,
            irs: SeqNumber(0),
            ts_offset,
            rcv_acked: SeqNumber(0),
            snd_small: iss,
            last_rx: 0,
            last_tx: 0,
            segs_in: 0,
            segs_out: 0,
            claim: 0,
            path_mtu,
            advice: 0,
            advise: false,
            charged: 0,
            last_answer: 0,
            established: 0,
            stats: None,
            urgent: None,
        };
        tcb.adv_mss = tcb.mss_to_announce();
        tcb
    }

    /// Changes state; the only place that does.
    pub(super) fn enter(&mut self, next: State) {
        debug_assert!(
            super::close::may_become(self.state, next),
            "{:?} -> {next:?}",
            self.state
        ); // RFC 9293 figure 5
        tracing::debug!(tuple = ?self.tuple, from = ?self.state, to = ?next, "tcp state");
        self.state = next;
    }

    /// The flow state, made when it is not there.
    pub(super) fn flow(&mut self, now: Instant, settings: &Settings) -> &mut Flow {
        let kind = self
            .options
            .as_ref()
            .and_then(|o| o.congestion)
            .unwrap_or(settings.tcp_congestion_control);
        let (round_end, seed) = (self.snd_nxt, self.iss.0);
        let pacing = Pacing::allowed(self.opt().max_pacing_rate, u32::from(self.mss));
        let _ = self.stats(now);
        self.flow.get_or_insert_with(|| {
            Box::new(Flow {
                sent: Scoreboard::default(),
                recovery: Recovery::default(),
                search: Search::default(),
                congestion: Congestion::new(kind, seed),
                assembler: Assembler::default(),
                tune: Tune::default(),
                early: None,
                rhythm: Rhythm::default(),
                delivery: Delivery::default(),
                pacing,
                round_end,
                rto_from: now,
                recent_min: (now, Duration::MAX),
                samples: (0, 0),
                timeouts_since: None,
                max_in_flight: 0,
                was_cwnd_limited: false,
                tail_released: false,
                records: Records::default(),
            })
        })
    }

    /// The application's options.
    pub(super) fn opt(&self) -> &TcpOptions {
        static DEFAULT: std::sync::LazyLock<TcpOptions> = std::sync::LazyLock::new(TcpOptions::default);
        self.options.as_deref().unwrap_or(&DEFAULT)
    }

    pub(super) fn window(&self) -> Window {
        Window {
            cwnd: self.cwnd,
            ssthresh: self.ssthresh,
            mss: u32::from(self.mss),
        }
    }

    pub(super) fn set_window(&mut self, window: Window) {
        (self.cwnd, self.ssthresh) = (window.cwnd, window.ssthresh);
    }

    /// True while anything sent is not acknowledged.
    pub(super) fn has_outstanding(&self) -> bool {
        self.snd_una != self.snd_nxt
    }

    /// Bytes the application wrote that are not acknowledged, sent or not.
    pub(super) fn queued(&self) -> usize {
        self.tx.as_ref().map_or(0, |tx| tx.len())
    }

    /// Sequence number of the first byte in the send rope: SYN comes before it.
    pub(super) fn tx_start(&self) -> SeqNumber {
        if self.bits.has(Bits::SYN_ACKED) {
            self.snd_una
        } else {
            self.iss + 1
        }
    }

    /// Sequence number after the last byte written: FIN's place.
    pub(super) fn tx_end(&self) -> SeqNumber {
        self.tx_start() + self.queued() as u32
    }

    /// Bytes written and never sent.
    pub(super) fn unsent(&self) -> u32 {
        self.tx_end().since(self.snd_nxt).max(0) as u32
    }

    /// The application has written its last byte, and our FIN has not left.
    pub(super) fn fin_waits(&self) -> bool {
        self.bits.has(Bits::FIN_QUEUED) && !self.bits.has(Bits::FIN_SENT)
    }

    /// New bytes that the remote's window takes.
    pub(super) fn room_in_window(&self) -> u32 {
        (self.snd_una + self.snd_wnd).since(self.snd_nxt).max(0) as u32
    }

    /// Bytes received in order and not read.
    pub(super) fn readable(&self) -> usize {
        self.rx.as_ref().map_or(0, |rx| rx.len())
    }

    /// True from the moment both SYNs are acknowledged.
    pub(super) fn is_synchronized(&self) -> bool {
        self.state >= State::Established
    }

    /// True in the states in which the remote may still send data.
    pub(super) fn may_receive(&self) -> bool {
        matches!(self.state, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// Memory that this connection takes beside its record.
    pub(super) fn footprint(&self) -> usize {
        let rope = |rope: &Option<Box<Rope>>| rope.as_ref().map_or(0, |rope| rope.footprint());
        let flow = self.flow.as_ref().map_or(0, |flow| {
            size_of::<Flow>() + flow.sent.footprint() + flow.assembler.footprint()
        });
        rope(&self.rx) + rope(&self.tx) + flow
    }

    /// Asks for the application to be told that something changed.
    pub(super) fn tell(&mut self) {
        self.bits.set(Bits::TELL);
    }

    /// Ends the connection with an error; it stays for the application to find out.
    pub(super) fn fail(&mut self, error: SocketError) {
        if self.error.is_none() {
            self.error = Some(error);
        }
        self.finish();
    }

    /// Ends the connection: nothing is sent any more, nothing awaited. What was received can still be read.
    pub(super) fn finish(&mut self) {
        if self.state != State::Closed {
            self.enter(State::Closed);
        }
        self.tx = None;
        self.end_urgent_sending();
        self.drop_flow();
        self.snd_nxt = self.snd_una;
        self.rexmit = Rexmit::Off;
        self.delack_at = None;
        self.slow_at = None;
        for bit in [Bits::ACK_NOW, Bits::ACK_OWED, Bits::PROBE, Bits::TAIL_PROBE] {
            self.bits.clear(bit);
        }
        self.tell();
    }

    /// The next sequence number expected. RFC 9293 §3.3.1.
    pub(crate) const fn rcv_nxt(&self) -> SeqNumber {
        self.rcv_nxt
    }

    /// When any timer of this connection is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        // Asked after every segment: compared one by one, for an iterator over an array of options costs more than the rest of it.
        let mut first = (self.rexmit != Rexmit::Off).then_some(self.rexmit_at);
        first = sooner(first, self.delack_at.map(untick));
        first = sooner(first, self.slow_at.map(untick));
        sooner(first, self.flow.as_ref().and_then(|flow| flow.pacing.wake))
    }

    /// How long ago a millisecond stamp was.
    pub(super) fn ago(now: Instant, stamp: u32) -> Duration {
        Duration::from_millis(u64::from(millis(now).wrapping_sub(stamp)))
    }
}
