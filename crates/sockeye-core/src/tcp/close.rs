//! Ending a connection: FIN, half close, reset, and the diagram of states. Spec: RFC 9293 §3.6, §3.10.4, §3.10.5 and figure 5.

use super::input::{Cx, Reply};
use super::tcb::{Bits, Tcb, tick};
use crate::error::SocketError;
use crate::socket::{Close, Shutdown, State};
use crate::wire::tcp::{Flags, Header, Options};

/// The arrows of RFC 9293 figure 5, and those to CLOSED that ABORT, RST and timeouts add.
pub(super) fn may_become(from: State, to: State) -> bool {
    use State::{CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent, TimeWait};
    matches!(
        (from, to),
        (Closed, SynSent | SynReceived)
            | (SynSent, SynReceived | Established)
            | (SynReceived, Established | FinWait1 | CloseWait)
            | (Established, FinWait1 | CloseWait)
            | (FinWait1, FinWait2 | Closing | TimeWait)
            | (FinWait2 | Closing, TimeWait)
            | (CloseWait, LastAck)
            | (_, Closed)
    )
}

impl Tcb {
    /// The application writes no more: FIN follows what it wrote. RFC 9293 §3.10.4.
    pub(super) fn close_write(&mut self) {
        match self.state {
            State::SynSent => self.finish(),
            State::SynReceived | State::Established | State::CloseWait => self.bits.set(Bits::FIN_QUEUED),
            _ => {}
        }
    }

    /// `shutdown`.
    pub(crate) fn shutdown(&mut self, cx: &mut Cx<'_>, how: Shutdown) {
        if how != Shutdown::Write {
            self.bits.set(Bits::READ_SHUT);
            self.rx = None;
            self.on_read(cx, 0);
        }
        if how != Shutdown::Read {
            self.close_write();
        }
        self.tell();
    }

    /// The application lets go. RFC 9293 §3.10.4; with unread bytes the remote is told by RST that they were lost (RFC 2525 §2.17).
    pub(crate) fn close(&mut self, cx: &mut Cx<'_>, how: Close) {
        self.bits.set(Bits::ORPHAN);
        self.bits.clear(Bits::TELL);
        let unread = self.readable() > 0;
        if how == Close::Reset || (unread && self.state != State::Closed) {
            if how == Close::Reset {
                cx.counters.tcp_abort_on_data += 1;
            } else {
                cx.counters.tcp_abort_on_close += 1;
            }
            self.reset(cx);
            self.finish();
            return;
        }
        self.bits.set(Bits::READ_SHUT);
        self.close_write();
        if self.state == State::FinWait2 {
            self.wait_as_orphan(cx);
        }
    }

    /// Nobody is left to close FIN-WAIT-2 but the remote: do not wait for ever.
    pub(super) fn wait_as_orphan(&mut self, cx: &Cx<'_>) {
        let wait = self.opt().fin_timeout.unwrap_or(cx.settings.tcp_fin_timeout);
        self.slow_at = tick(cx.now + wait);
    }

    /// Sends RST, where the remote knows of us. RFC 9293 §3.10.5.
    pub(super) fn reset(&mut self, cx: &mut Cx<'_>) {
        if matches!(
            self.state,
            State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait
        ) || (matches!(self.state, State::Closing | State::LastAck) && self.has_outstanding())
        {
            cx.counters.tcp_out_rsts += 1;
            let local = self.tuple.local();
            let remote = self.tuple.remote();
            let header = Header {
                source: local.port(),
                destination: remote.port(),
                seq: self.snd_nxt.0,
                ack: self.rcv_nxt.0,
                flags: Flags::RST.and(Flags::ACK),
                window: 0,
                urgent: 0,
            };
            let options = Options::default();
            cx.replies.push(Reply {
                tuple: self.tuple,
                header,
                options,
                fallback: self.bits.has(Bits::FALLBACK),
            });
        }
    }

    /// ABORT for want of patience, memory or permission: RST to the remote, `error` to the application.
    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>, error: SocketError) {
        self.reset(cx);
        self.fail(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_diagram() {
        use State::*;
        let all = [
            Closed,
            Listen,
            SynSent,
            SynReceived,
            Established,
            FinWait1,
            FinWait2,
            CloseWait,
            Closing,
            LastAck,
            TimeWait,
        ];
        let arrows: Vec<String> = all
            .iter()
            .flat_map(|from| all.iter().map(move |to| (from, to)))
            .filter(|(from, to)| **to != Closed && may_become(**from, **to))
            .map(|(from, to)| format!("{from:?} {to:?}"))
            .collect();
        assert_eq!(
            arrows,
            [
                "Closed SynSent",
                "Closed SynReceived",
                "SynSent SynReceived",
                "SynSent Established",
                "SynReceived Established",
                "SynReceived FinWait1",
                "SynReceived CloseWait",
                "Established FinWait1",
                "Established CloseWait",
                "FinWait1 FinWait2",
                "FinWait1 Closing",
                "FinWait1 TimeWait",
                "FinWait2 TimeWait",
                "CloseWait LastAck",
                "Closing TimeWait",
            ]
        );
    }
}
