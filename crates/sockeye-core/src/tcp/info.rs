//! A snapshot of a connection, with the names, meanings and units of Linux's TCP_INFO. tcp(7), linux/tcp.h.

use super::recovery::Phase;
use super::tcb::{Bits, Tcb};
use crate::settings::Settings;
use crate::socket::{Limited, Readiness, State, TcpInfo};
use crate::time::Instant;

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

impl Tcb {
    pub(crate) fn info(&self, now: Instant, settings: &Settings) -> TcpInfo {
        let mss = u32::from(self.mss.max(1));
        let mut info = TcpInfo {
            state: linux_state(self.state),
            retransmits: self.retries,
            backoff: self.backoff,
            probes: if self.unsent() > 0 && !self.has_outstanding() {
                self.retries
            } else {
                0
            },
            options: u8::from(self.bits.has(Bits::TIMESTAMPS))
                | u8::from(self.bits.has(Bits::SACK)) << 1
                | u8::from(self.bits.has(Bits::SCALING)) << 2
                | u8::from(self.bits.has(Bits::ECN)) << 3
                | u8::from(self.bits.has(Bits::ECN_SEEN)) << 4
                | u8::from(self.bits.has(Bits::SYN_DATA)) << 5,
            snd_wscale: self.snd_wscale,
            rcv_wscale: self.rcv_wscale,
            rto: self.rtt.backed_off(self.backoff, settings).as_micros() as u32,
            ato: settings.tcp_delack.as_micros() as u32,
            snd_mss: mss,
            rcv_mss: u32::from(self.rcv_mss),
            unacked: self.snd_nxt.after(self.snd_una).div_ceil(mss),
            last_data_sent: Self::ago(now, self.last_tx).as_millis() as u32,
            last_data_recv: Self::ago(now, self.last_rx).as_millis() as u32,
            last_ack_recv: Self::ago(now, self.last_rx).as_millis() as u32,
            pmtu: u32::from(self.path_mtu),
            rcv_ssthresh: self.rcv_limit,
            rtt: self.rtt.srtt_us(),
            rttvar: self.rtt.rttvar_us(),
            snd_ssthresh: if self.ssthresh >= u32::MAX / 2 {
                i32::MAX as u32
            } else {
                self.ssthresh / mss
            },
            snd_cwnd: self.cwnd / mss,
            advmss: u32::from(self.adv_mss),
            reordering: 3,
            rcv_space: self.rcv_limit,
            total_retrans: self.segs_resent,
            pacing_rate: u64::MAX,
            bytes_acked: self.bytes_acked,
            bytes_received: self.bytes_in,
            segs_out: self.segs_out,
            segs_in: self.segs_in,
            notsent_bytes: self.unsent(),
            min_rtt: self.rtt.min().as_micros() as u32,
            bytes_sent: self.bytes_acked + u64::from(self.snd_nxt.after(self.snd_una)),
            snd_wnd: self.snd_wnd,
            rcv_wnd: self.rcv_edge.since(self.rcv_nxt).max(0) as u32,
            ..TcpInfo::default()
        };
        if let Some(flow) = &self.flow {
            info.ca_state = match flow.recovery.phase {
                Phase::Open if flow.sent.sacked() > 0 => 1,
                Phase::Open => 0,
                Phase::Cwr => 2,
                Phase::Recovery => 3,
                Phase::Loss => 4,
            };
            info.sacked = flow.sent.sacked_segs();
            info.lost = flow.sent.lost().div_ceil(mss);
            info.retrans = flow.sent.resent().div_ceil(mss);
            info.rcv_rtt = flow.tune.rtt();
            info.delivery_rate = flow.delivery.rate;
            info.delivered = u32::try_from(flow.delivery.delivered / u64::from(mss)).unwrap_or(u32::MAX);
            info.delivered_ce = u32::try_from(flow.delivered_ce / u64::from(mss)).unwrap_or(u32::MAX);
            info.reord_seen = u32::from(flow.recovery.rack.reordering_seen());
            info.rcv_ooopack = flow.assembler.islands() as u32;
            let spent = |by: Limited| flow.limited_sums[by as usize] / 1_000;
            info.rwnd_limited = spent(Limited::ReceiveWindow);
            info.busy_time = spent(Limited::ReceiveWindow) + spent(Limited::CongestionWindow) + spent(Limited::Pacing);
            if flow.pacing.rate > 0 {
                info.pacing_rate = flow.pacing.rate;
            }
        }
        info
    }

    /// What the application may do now.
    pub(crate) fn readiness(&self) -> Readiness {
        let readable = self.readable();
        let fin_received = self.bits.has(Bits::FIN_RECEIVED);
        let closed = self.state == State::Closed || self.state == State::TimeWait;
        let write_closed = closed || self.bits.has(Bits::FIN_QUEUED);
        let room = (self.snd_limit as usize).saturating_sub(self.queued());
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
            write_closed,
            error: self.error,
            closed,
        }
    }
}
