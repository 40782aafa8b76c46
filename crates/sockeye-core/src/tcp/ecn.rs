//! Explicit congestion notification: what the SYNs agree on, which segments may be marked, how marks that arrive are told to their sender. Spec:
//! RFC 3168 §6.1.
//!
//! What a report of marks does to the window is `recovery`'s to say, how much it takes away `congestion`'s (RFC 8511).

use super::input::Segment;
use super::tcb::{Bits, Tcb};
use crate::packet::{Mark, Packet};
use crate::settings::Settings;
use crate::socket::{State, TcpOptions};
use crate::wire::ecn;
use crate::wire::tcp::Flags;

/// What makes a SYN an ECN-setup SYN; a SYN-ACK has ECE alone. RFC 3168 §6.1.1.
const SETUP: Flags = Flags::ECE.and(Flags::CWR);
/// Acknowledgements sent at once when marks begin to arrive: the remote's window may become very small.
const QUICK: u8 = 2;

/// Does a connection that we open ask for ECN?
fn asks(options: &TcpOptions, settings: &Settings) -> bool {
    options.ecn.unwrap_or(settings.tcp_ecn == 1)
}

/// Is a remote that asks for ECN told yes?
pub(crate) fn accepts(options: &TcpOptions, settings: &Settings) -> bool {
    options.ecn.unwrap_or(settings.tcp_ecn != 0)
}

/// Is it an ECN-setup SYN, or an ECN-setup SYN-ACK? One that reflects both of our flags is none. RFC 3168 §6.1.1.2.
pub(super) fn is_setup(flags: Flags) -> bool {
    let wanted = if flags.has(Flags::ACK) { Flags::ECE } else { SETUP };
    flags.0 & SETUP.0 == wanted.0
}

impl Tcb {
    /// The flags of our SYN, or SYN-ACK, that concern ECN. A SYN that is sent again asks no more: there are firewalls that it does not get
    /// through. RFC 3168 §6.1.1.1.
    pub(super) fn ecn_setup_flags(&self, settings: &Settings) -> Flags {
        match self.state {
            State::SynSent if asks(self.opt(), settings) && !self.has_withdrawn(settings) => SETUP,
            State::SynReceived if self.bits.has(Bits::ECN) => Flags::ECE,
            _ => Flags::NONE,
        }
    }

    /// We have sent a SYN that did not ask for ECN after one that did.
    fn has_withdrawn(&self, settings: &Settings) -> bool {
        self.retries > 0 && settings.tcp_ecn_fallback
    }

    /// The remote's SYN or SYN-ACK has come; `setup` says whether it was an ECN-setup one.
    ///
    /// Who ever asked has to heed marks that arrive; who sent a SYN that did not ask must not send packets that may be marked. §6.1.1.
    pub(super) fn agree_on_ecn(&mut self, setup: bool, settings: &Settings) {
        let opens = self.state == State::SynSent;
        let willing = if opens { asks } else { accepts }(self.opt(), settings);
        if !setup || !willing {
            return self.refuse_ecn();
        }
        self.bits.set(Bits::ECN);
        if !(opens && self.has_withdrawn(settings)) {
            self.bits.set(Bits::ECT);
        }
    }

    /// No ECN on this connection.
    pub(super) fn refuse_ecn(&mut self) {
        self.bits.clear(Bits::ECN);
        self.bits.clear(Bits::ECT);
    }

    /// The ECN field of a packet's IP header. Only new data may be marked: not what is sent again (RFC 3168 §6.1.5), not pure acknowledgements
    /// (§6.1.4), window probes (§6.1.6) and SYNs (§6.1.1), which all carry no data here.
    pub(crate) fn codepoint(&self, packet: &Packet) -> u8 {
        let new_data = packet.meta.len > 0 && !packet.meta.mark.has(Mark::RETRANSMISSION);
        if new_data && self.bits.has(Bits::ECT) && self.is_synchronized() {
            ecn::ECT_0
        } else {
            ecn::NOT_ECT
        }
    }

    /// The flag that every acknowledgement has from a mark's arrival until the remote says that it has reduced its window. §6.1.3.
    pub(super) fn echo_flag(&self) -> Flags {
        if self.bits.has(Bits::ECE) {
            Flags::ECE
        } else {
            Flags::NONE
        }
    }

    /// The window was reduced, for whatever reason: the next new data says so. §6.1.2.
    pub(super) fn owe_cwr(&mut self) {
        if self.bits.has(Bits::ECT) {
            self.bits.set(Bits::CWR);
        }
    }

    /// The flag of a segment of new data after a reduction.
    pub(super) fn take_cwr(&mut self) -> Flags {
        if self.bits.take(Bits::CWR) {
            Flags::CWR
        } else {
            Flags::NONE
        }
    }

    /// Does the segment tell that data of ours was marked?
    pub(super) fn echoes_marks(&self, seg: &Segment) -> bool {
        seg.flags.has(Flags::ECE) && self.bits.has(Bits::ECT)
    }

    /// Takes note of marks on a data segment within the window (§6.1.5 on those outside), and acknowledges at once what changes what we say.
    pub(super) fn take_marks(&mut self, seg: &Segment) {
        if !self.bits.has(Bits::ECN) || seg.len == 0 {
            return;
        }
        if seg.flags.has(Flags::CWR) {
            self.bits.clear(Bits::ECE);
            // Its window may be down to this very segment.
            self.bits.set(Bits::ACK_NOW);
        }
        if seg.ecn != ecn::NOT_ECT {
            self.bits.set(Bits::ECN_SEEN);
        }
        if seg.ecn == ecn::CE && !self.bits.has(Bits::ECE) {
            self.bits.set(Bits::ECE);
            self.bits.set(Bits::ACK_NOW);
            self.quick = self.quick.max(QUICK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setup_segments() {
        for (case, flags, want) in [
            ("SYN", Flags::SYN, false),
            ("SYN with ECE", Flags::SYN.and(Flags::ECE), false),
            ("SYN with CWR", Flags::SYN.and(Flags::CWR), false),
            ("SYN with both", Flags::SYN.and(SETUP), true),
            ("SYN-ACK", Flags::SYN.and(Flags::ACK), false),
            ("SYN-ACK with ECE", Flags::SYN.and(Flags::ACK).and(Flags::ECE), true),
            ("SYN-ACK with CWR", Flags::SYN.and(Flags::ACK).and(Flags::CWR), false),
            (
                "SYN-ACK with both reflected",
                Flags::SYN.and(Flags::ACK).and(SETUP),
                false,
            ),
        ] {
            assert_eq!(is_setup(flags), want, "{case}");
        }
    }
}
