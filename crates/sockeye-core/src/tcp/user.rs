//! What the application asks of a connection: SEND, RECEIVE, options. Spec: RFC 9293 §3.9.1, §3.10.2, §3.10.3.

use super::input::Cx;
use super::recovery::Phase;
use super::tcb::{Bits, Tcb};
use crate::buf::Rope;
use crate::error::{SocketError, WriteError};
use crate::packet::Body;
use crate::socket::{State, TcpOptions};
use bytes::Bytes;

/// Writes up to this long are copied together; longer ones are kept as they are.
const COPY_BELOW: usize = 4_096;

impl Tcb {
    /// SEND: queues what the send buffer takes of `data`, and leaves the rest in it.
    pub(crate) fn write(&mut self, data: &mut Bytes) -> Result<usize, WriteError> {
        if let Some(error) = self.error.take() {
            return Err(match error {
                SocketError::TimedOut => WriteError::TimedOut,
                SocketError::BrokenPipe => WriteError::BrokenPipe,
                _ => WriteError::Reset,
            });
        }
        if self.bits.has(Bits::FIN_QUEUED) || matches!(self.state, State::Closed | State::TimeWait) {
            return Err(WriteError::BrokenPipe);
        }
        if !self.bits.has(Bits::SYN_ACKED) && !self.may_write_early() {
            if self.bits.has(Bits::FAST_OPEN_ASKED) && self.queued() > 0 {
                // The SYN took what it could; the rest waits for its answer.
                self.bits.set(Bits::WANTS_ROOM);
                return Err(WriteError::WouldBlock);
            }
            return Err(WriteError::NotConnected);
        }
        if data.is_empty() {
            return Ok(0);
        }
        let room = self.readiness().writable;
        if room == 0 {
            self.bits.set(Bits::WANTS_ROOM);
            return Err(WriteError::WouldBlock);
        }
        let now = data.split_to(room.min(data.len()));
        let n = now.len();
        let tx = self.tx.get_or_insert_default();
        if n < COPY_BELOW {
            tx.append(&now);
        } else {
            tx.push(now);
        }
        if self.opt().more {
            self.bits.clear(Bits::UNCORK);
            if let Some(flow) = self.flow.as_deref_mut() {
                flow.tail_released = false;
            }
        }
        self.end_deferral();
        // Whoever filled the buffer waits for room, whether or not it was refused anything.
        if !data.is_empty() || self.readiness().writable == 0 {
            self.bits.set(Bits::WANTS_ROOM);
        }
        Ok(n)
    }

    /// RECEIVE: moves up to `max` bytes to the end of `into`, not past an urgent mark.
    pub(crate) fn read(&mut self, cx: &Cx<'_>, max: usize, into: &mut Rope) -> usize {
        let (passed, most) = if max > 0 { self.up_to_mark() } else { (0, 0) };
        let max = max.min(most);
        let Some(rx) = &mut self.rx else { return 0 };
        rx.drop_front(passed);
        let taken = rx.move_to(max, into);
        if rx.is_empty() {
            self.rx = None;
        }
        self.on_read(cx, passed + taken);
        if self.urgent.is_some() {
            self.pass_mark();
        }
        taken
    }

    /// Copies received bytes from offset `skip` without taking them.
    pub(crate) fn peek(&self, skip: usize, buf: &mut [u8]) -> usize {
        let Some(rx) = &self.rx else { return 0 };
        let (passed, most) = self.up_to_mark();
        let most = most.saturating_sub(skip).min(buf.len());
        let buf = &mut buf[..most];
        let (mut skip, mut done) = (passed + skip, 0);
        for slice in rx.slices() {
            let from = skip.min(slice.len());
            skip -= from;
            let n = (slice.len() - from).min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&slice[from..from + n]);
            done += n;
        }
        done
    }

    /// Appends up to `max` received bytes to `into`, shared, without taking them.
    pub(crate) fn peek_slices(&mut self, max: usize, into: &mut Body) -> usize {
        let (passed, most) = self.up_to_mark();
        let Some(rx) = &mut self.rx else { return 0 };
        let n = (rx.len() - passed).min(max).min(most);
        rx.slice(passed, n, into);
        n
    }

    /// Sets the options; what they change takes effect at once.
    pub(crate) fn set_options(&mut self, cx: &Cx<'_>, options: TcpOptions) {
        let before = self.opt().clone();
        if let Some(limit) = options.recv_buffer {
            self.rcv_limit = limit;
        }
        if let Some(limit) = options.send_buffer {
            self.snd_limit = limit;
        }
        self.options = (options != TcpOptions::default()).then(|| Box::new(options));
        let options = self.opt();
        let keepalive = |o: &TcpOptions| (o.keepalive, o.keepalive_time, o.keepalive_intvl);
        let (was, is) = (keepalive(&before), keepalive(options));
        // TCP_NODELAY sends what is queued now, corked or not. tcp(7).
        let uncorked = before.cork && !options.cork || !before.nodelay && options.nodelay;
        let quick = options.quickack && !before.quickack;
        let patient = !options.quickack && before.quickack;
        let algorithm = options.congestion.unwrap_or(cx.settings.tcp_congestion_control);
        let advises = options.advertise_timeout.is_some() && options.advertise_timeout != before.advertise_timeout;
        let other_algorithm = options.congestion != before.congestion;
        if was != is && self.is_synchronized() && self.state != State::Closed {
            self.arm_keepalive(cx);
        }
        // RFC 5482 §3: with the next possible segment.
        self.advise |= advises;
        if uncorked {
            self.push();
        }
        if patient {
            self.quick = 0;
        }
        if quick {
            self.quick = super::delayed_ack::QUICK_ACKS;
            self.bits.clear(Bits::PINGPONG);
            self.on_ack_delay();
        }
        if other_algorithm
            && let Some(flow) = self.flow.as_deref_mut()
            && flow.recovery.phase == Phase::Open
        {
            flow.congestion = super::congestion::Congestion::new(algorithm, self.iss.0);
        }
        if self.opt().max_pacing_rate != before.max_pacing_rate
            && let Some(mut flow) = self.flow.take()
        {
            super::pacing::update(self, &mut flow, cx.settings);
            self.flow = Some(flow);
        }
        if self.mss > 0 {
            self.settle_mss();
        }
    }

    /// Sends what is queued, whatever its size, cork or not: each setting of TCP_NODELAY does.
    pub(crate) fn push(&mut self) {
        if self.unsent() > 0 {
            self.bits.set(Bits::UNCORK);
        }
    }

    /// The options as they were set.
    pub(crate) fn options_set(&self) -> TcpOptions {
        self.opt().clone()
    }

    /// The time to live and type of service that were set.
    pub(crate) fn marking(&self) -> (Option<u8>, u8) {
        self.options
            .as_ref()
            .map_or((None, 0), |options| (options.ttl, options.tos))
    }

    /// True when an acknowledgement is to leave now.
    pub(crate) fn owes_ack(&self) -> bool {
        self.bits.has(Bits::ACK_NOW)
    }

    /// The first sequence number that is not acknowledged.
    pub(crate) fn first_outstanding(&self) -> u32 {
        self.snd_una.0
    }

    /// SO_ERROR: the pending error, then no longer pending.
    pub(crate) fn take_error(&mut self) -> Option<SocketError> {
        self.error.take()
    }

    /// An ICMP error about a segment of ours with sequence number `seq`. Hard ones end an attempt to connect; once established they are only
    /// remembered (RFC 5927 §5, RFC 9293 §3.9.2.2).
    pub(crate) fn on_icmp_error(&mut self, cx: &mut Cx<'_>, seq: u32, error: SocketError) {
        let seq = super::seq::SeqNumber(seq);
        if seq.before(self.snd_una) || self.snd_nxt.before(seq) {
            return;
        }
        match self.state {
            State::SynSent | State::SynReceived => {
                cx.counters.tcp_attempt_fails += 1;
                self.on_fast_open_silence();
                self.fail(error);
            }
            State::Closed | State::TimeWait => {}
            _ => self.soft_error = Some(error),
        }
    }
}
