//! A snapshot of a connection, with the names, meanings and units of Linux's TCP_INFO. tcp(7), linux/tcp.h.

use super::open::syn_timeout;
use super::recovery::Phase;
use super::sent::Fate;
use super::stats::Stats;
use super::tcb::{Bits, Flow, Tcb};
use crate::settings::Settings;
use crate::socket::{Limited, OutOfBand, Readiness, State, TcpInfo};
use crate::time::{Duration, Instant};

/// Linux's numbers for the states (`enum` in include/net/tcp_states.h, as tcp(7) shows them).
fn linux_state(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

impl Flow {
    fn tell(&self, info: &mut TcpInfo) {
        let recovery = &self.recovery;
        info.ca_state = match recovery.phase {
            // TCP_CA_Disorder: acknowledgements raise doubts, and nothing is taken for lost.
            Phase::Open if self.sent.sacked() > 0 || recovery.has_duplicates() => 1,
            Phase::Open => 0,
            Phase::Cwr => 2,
            Phase::Recovery => 3,
            Phase::Loss => 4,
        };
        let again = self.sent.segments(|run| run.fate == Fate::Flying && run.resent);
        info.unacked = self.sent.segments(|_| true);
        info.sacked = self.sent.sacked_segs();
        // What was taken for lost stays that when it is sent again, until it arrives.
        info.lost = self.sent.segments(|run| run.fate == Fate::Lost) + again;
        info.retrans = again;
        info.reordering = info.reordering.max(recovery.harmless_duplicates());
        info.measured(self.delivery.rate, self.tune.rtt(), self.tune.space());
        info.delivery_rate_app_limited = self.delivery.app_limited;
        if self.pacing.rate > 0 {
            info.pacing_rate = self.pacing.rate;
        }
    }
}

impl TcpInfo {
    /// What was measured, where something was.
    fn measured(&mut self, delivery_rate: u64, rcv_rtt: u32, rcv_space: u64) {
        let known = |value: u64| (value > 0).then_some(value);
        self.delivery_rate = known(delivery_rate).unwrap_or(self.delivery_rate);
        self.rcv_rtt = known(rcv_rtt.into()).map_or(self.rcv_rtt, |_| rcv_rtt);
        self.rcv_space = known(rcv_space).map_or(self.rcv_space, |space| u32::try_from(space).unwrap_or(u32::MAX));
    }
}

impl Stats {
    fn tell(&self, info: &mut TcpInfo, now: Instant) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        info.measured(self.delivery_rate, self.rcv_rtt, self.rcv_space);
        info.delivery_rate_app_limited = self.delivery_rate_app_limited;
        info.data_segs_in = self.data_segs_in;
        info.data_segs_out = self.data_segs_out;
        info.bytes_retrans = self.bytes_resent;
        info.bytes_sent += self.bytes_resent;
        info.delivered = info.delivered.wrapping_add(self.delivered);
        info.delivered_ce = self.delivered_ce;
        info.dsack_dups = self.dsacks;
        info.reord_seen = self.reorderings;
        info.rcv_ooopack = self.out_of_order;
        info.limited = self.limited(now);
        info.busy_time = micros(self.busy_time(now));
        info.rwnd_limited = micros(info.limited[Limited::ReceiveWindow as usize]);
        info.sndbuf_limited = micros(info.limited[Limited::SendBuffer as usize]);
        info.total_rto = self.timeouts;
        info.total_rto_recoveries = self.timeout_recoveries;
        info.total_rto_time = self.repair_time(now).as_millis() as u32;
    }
}

impl Tcb {
    pub(crate) fn info(&self, now: Instant, settings: &Settings) -> TcpInfo {
        let mss = u32::from(self.mss.max(1));
        let outstanding = self.has_outstanding() || !self.is_synchronized();
        let opening = matches!(self.state, State::SynSent | State::SynReceived);
        let rto = if opening {
            syn_timeout(self.retries, settings)
        } else {
            self.rtt.backed_off(self.backoff, settings)
        };
        let since = |stamp: u32| Self::ago(now, stamp).as_millis() as u32;
        let mut info = TcpInfo {
            state: linux_state(self.state),
            // One counter for what goes unanswered: repeats while data is out, else probes of the window and of the remote.
            retransmits: if outstanding { self.retries } else { 0 },
            probes: if outstanding { 0 } else { self.retries },
            backoff: if opening { self.retries } else { self.backoff },
            options: self.option_bits(),
            snd_wscale: self.snd_wscale,
            rcv_wscale: self.rcv_wscale,
            rto: rto.as_micros() as u32,
            ato: settings.tcp_delack.as_micros() as u32,
            snd_mss: mss,
            rcv_mss: u32::from(self.rcv_mss),
            unacked: u32::from(opening),
            last_data_sent: since(self.last_tx),
            last_data_recv: since(
                self.stats
                    .as_ref()
                    .and_then(|stats| stats.last_data_rx)
                    .unwrap_or(self.established),
            ),
            last_ack_recv: since(self.last_rx),
            pmtu: u32::from(self.path_mtu),
            rcv_ssthresh: self.rcv_limit,
            rtt: self.rtt.srtt_us(),
            rttvar: self.rtt.rttvar_us(),
            // TCP_INFINITE_SSTHRESH.
            snd_ssthresh: if self.ssthresh >= u32::MAX / 2 {
                i32::MAX as u32
            } else {
                self.ssthresh / mss
            },
            snd_cwnd: self.cwnd / mss,
            advmss: u32::from(self.adv_mss),
            reordering: settings.tcp_reordering,
            // What a reader took in a round trip; before one was seen, the remote's initial window.
            rcv_space: (10 * u32::from(self.adv_mss)).min(self.rcv_limit),
            total_retrans: self.segs_resent(),
            // Unlimited, unless there is a rate or the application set a bound.
            pacing_rate: self.opt().max_pacing_rate.unwrap_or(u64::MAX),
            max_pacing_rate: self.opt().max_pacing_rate.unwrap_or(u64::MAX),
            bytes_acked: self.bytes_acked(),
            bytes_received: self.bytes_in(),
            segs_out: self.segs_out,
            segs_in: self.segs_in,
            notsent_bytes: self.unsent(),
            min_rtt: if self.rtt.srtt().is_some() {
                self.rtt.min().as_micros() as u32
            } else {
                u32::MAX
            },
            // SYN or SYN-ACK, which leaves no sum of its own.
            delivered: u32::from(self.is_synchronized()),
            bytes_sent: self.bytes_acked() + u64::from(self.sent_unacknowledged()),
            snd_wnd: self.snd_wnd,
            rcv_wnd: self.rcv_edge.since(self.rcv_nxt).max(0) as u32,
            ..TcpInfo::default()
        };
        match &self.stats {
            Some(stats) => stats.tell(&mut info, now),
            None if self.is_synchronized() && self.state != State::Closed => {
                info.limited[Limited::Application as usize] = Self::ago(now, self.established);
            }
            None => {}
        }
        if let Some(flow) = &self.flow {
            flow.tell(&mut info);
        }
        info
    }

    /// TCPI_OPT_*: what both sides agreed on, and what came of it.
    fn option_bits(&self) -> u8 {
        let bits = [
            Bits::TIMESTAMPS,
            Bits::SACK,
            Bits::SCALING,
            Bits::ECN,
            Bits::ECN_SEEN,
            Bits::SYN_DATA,
        ];
        let set = bits.into_iter().enumerate().filter(|(_, bit)| self.bits.has(*bit));
        set.map(|(place, _)| 1 << place).sum()
    }

    /// Bytes sent and not acknowledged; a FIN is none.
    fn sent_unacknowledged(&self) -> u32 {
        let fin = self.bits.has(Bits::FIN_SENT) && self.has_outstanding();
        let syn = !self.bits.has(Bits::SYN_ACKED);
        (self.snd_nxt.after(self.snd_una)).saturating_sub(u32::from(fin) + u32::from(syn))
    }

    /// What the send buffer counts: bytes, or memory as Linux does, with a header for each of its pieces.
    pub(super) fn send_held(&self) -> usize {
        /// `struct sk_buff`, and the room for headers that comes with it.
        const HEADER: usize = 1_280;
        let queued = self.queued();
        if self.opt().send_memory {
            queued + HEADER * queued.div_ceil(self.piece_size())
        } else {
            queued
        }
    }

    /// How much is still to be put into the piece that was begun; 0 for a buffer that counts bytes, which has none.
    fn send_piece(&self) -> usize {
        if self.opt().send_memory {
            // What both windows let go is as good as gone.
            let open = self.cwnd.saturating_sub(self.snd_nxt.since(self.snd_una).max(0) as u32);
            let goes = open.min(self.room_in_window()) / u32::from(self.mss.max(1)) * u32::from(self.mss);
            let stays = self.unsent().saturating_sub(goes) as usize;
            self.piece_size() - stays % self.piece_size()
        } else {
            0
        }
    }

    /// What one piece takes: whole segments, up to what one packet of the stack's own holds, and half of the remote's window.
    fn piece_size(&self) -> usize {
        let mss = u32::from(self.mss.max(1));
        let most = super::output::MAX_BURST.min(self.max_wnd / 2);
        (most / mss * mss).max(mss) as usize
    }

    /// What the application may do now.
    pub(crate) fn readiness(&self) -> Readiness {
        let readable = self.readable();
        let fin_received = self.bits.has(Bits::FIN_RECEIVED);
        let closed = self.state == State::Closed || self.state == State::TimeWait;
        let write_closed = closed || self.bits.has(Bits::FIN_QUEUED);
        let (limit, held, piece) = (self.snd_limit as usize, self.send_held(), self.send_piece());
        let room = limit.saturating_sub(held);
        // A piece that was begun is filled, and one is begun while there is any room.
        let room = if room > 0 && piece > 0 { room.max(piece) } else { room };
        let room = match self.opt().notsent_lowat {
            Some(low) if self.unsent() >= low => 0,
            _ => room,
        };
        Readiness {
            established: self.bits.has(Bits::SYN_ACKED) || self.is_usable_early(),
            readable,
            eof: readable == 0 && (fin_received || closed || self.bits.has(Bits::READ_SHUT)),
            fin_received,
            writable: if write_closed || !(self.bits.has(Bits::SYN_ACKED) || self.may_write_early()) {
                0
            } else {
                room
            },
            unacked: self.queued(),
            piece: if piece > 0 { piece } else { room },
            roomy: room > 0 && held <= limit / 3 * 2,
            write_closed,
            error: self.error,
            closed,
            urgent: self.to_mark(),
            out_of_band: matches!(self.urgent_byte(), OutOfBand::Byte(_)),
        }
    }
}
