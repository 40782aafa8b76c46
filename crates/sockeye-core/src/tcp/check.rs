//! What must hold on every connection after every step. Each check is named after what it protects, and where the rule stands.

use super::tcb::{Bits, Rexmit, Tcb};
use crate::socket::{Limited, State};

/// A rule that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule's name.
    pub rule: &'static str,
}

type Rule = (&'static str, fn(&Tcb) -> bool);

/// The rules; `true` is well.
const RULES: &[Rule] = &[
    // RFC 9293 §3.4: SND.UNA =< SND.NXT.
    ("snd_una <= snd_nxt", |t| t.snd_una.at_or_before(t.snd_nxt)),
    // RFC 7323 §2.3: windows stay below 2^30.
    ("flight below 2^30", |t| t.snd_nxt.after(t.snd_una) <= 1 << 30),
    // Whatever is sent has been written: data, and FIN after it.
    ("snd_nxt within what was written", |t| {
        !t.bits.has(Bits::SYN_ACKED)
            || t.state == State::Closed
            || t.snd_nxt.since(t.tx_end()) <= i32::from(t.bits.has(Bits::FIN_SENT))
    }),
    // RFC 9293 §3.8.6: what was promised stays promised.
    ("rcv_nxt <= rcv_edge", |t| {
        !t.is_synchronized() || t.rcv_nxt.at_or_before(t.rcv_edge)
    }),
    ("bytes held within limit and a segment", |t| {
        let held = t.readable() + t.flow.as_ref().map_or(0, |f| f.assembler.held());
        held <= t.rcv_limit.max(65_535) as usize + 65_536
    }),
    ("islands ordered, disjoint, within the window", |t| {
        t.flow.as_ref().is_none_or(|f| f.assembler.check(t.rcv_nxt, t.rcv_edge))
    }),
    // The scoreboard is a partition of what is outstanding.
    ("runs partition the flight", |t| {
        let start = if t.bits.has(Bits::SYN_ACKED) {
            t.snd_una
        } else if t.is_pending_fast_open() {
            t.iss + 1
        } else {
            t.snd_nxt
        };
        match &t.flow {
            Some(f) => f.sent.check(start, t.snd_nxt),
            None => start == t.snd_nxt || t.state == State::Closed,
        }
    }),
    // Liveness: whoever waits for an answer has a timer running. RFC 6298 §5.1.
    ("outstanding data has a timer", |t| {
        !t.has_outstanding()
            || matches!(t.state, State::Closed | State::TimeWait)
            || matches!(t.rexmit, Rexmit::Timeout | Rexmit::TailProbe | Rexmit::Reorder)
    }),
    ("data waits for something", |t| {
        t.unsent() == 0
            || !t.is_synchronized()
            || matches!(t.state, State::Closed | State::TimeWait)
            || t.has_outstanding()
            || matches!(t.rexmit, Rexmit::Persist)
            || t.bits.has(Bits::READY)
            || t.flow.as_ref().is_some_and(|f| f.pacing.wake.is_some())
    }),
    // Liveness: a sender that nothing holds back has been asked, or is about to be. What pacing holds is woken.
    ("a sender is idle for a reason", |t| {
        !t.is_synchronized()
            || matches!(t.state, State::Closed | State::TimeWait)
            || t.bits.has(Bits::READY)
            || t.held_by() != Limited::Link
    }),
    // RFC 9293 §3.8.5: it shows behind data that was written, and is over when that is acknowledged.
    ("snd_una < snd_up within what was written", |t| {
        t.snd_up()
            .is_none_or(|up| t.tx_start().before(up) && up.at_or_before(t.tx_end()))
    }),
    // RFC 5681 §3.1.
    ("cwnd at least one segment", |t| {
        !t.is_synchronized() || matches!(t.state, State::Closed) || t.cwnd >= u32::from(t.mss).min(536)
    }),
    ("a full segment carries something", |t| {
        !t.is_synchronized() || t.mss > 0
    }),
    // RFC 9293 figure 5.
    ("FIN sent in the states after it", |t| {
        !matches!(
            t.state,
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck
        ) || t.bits.has(Bits::FIN_SENT)
    }),
    ("FIN received in the states after it", |t| {
        !matches!(t.state, State::CloseWait | State::Closing | State::LastAck) || t.bits.has(Bits::FIN_RECEIVED)
    }),
    ("a finished connection holds nothing to send", |t| {
        t.state != State::Closed || (t.tx.is_none() && t.flow.is_none())
    }),
];

/// Checks every rule.
///
/// # Errors
/// The first rule that does not hold.
pub(crate) fn check(tcb: &Tcb) -> Result<(), Broken> {
    match RULES.iter().find(|(_, holds)| !holds(tcb)) {
        Some((rule, _)) => Err(Broken { rule }),
        None => Ok(()),
    }
}
