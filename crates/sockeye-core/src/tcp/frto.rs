//! F-RTO: is a timeout the path's fault or the clock's? After repeating one segment, new ones are sent instead of more repeats; if what was sent
//! before the timeout is then acknowledged, it was only late.
//!
//! Where timestamps are agreed on, the echo tells at once (`undo`, Eifel), and nothing is held back. Spec: RFC 5682 §2.1 (basic) and §3.1 (with SACK).

use super::input::Cx;
use super::recovery::{AckEvent, Phase};
use super::sent::{Delivered, Fate};
use super::seq::SeqNumber;
use super::tcb::{Bits, Flow, Tcb};

/// Where the algorithm stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Frto {
    /// Conventional recovery, or none.
    #[default]
    Off,
    /// Step 2: waiting for the acknowledgement of the first repeat, which ends here.
    First(SeqNumber),
    /// Step 3: two new segments are out; what is acknowledged next decides.
    Second,
}

/// The timeout has struck and marked what is lost. Step 1: not when it found a recovery under way.
pub(super) fn begin(tcb: &Tcb, flow: &mut Flow, cx: &Cx<'_>, recovering: bool) {
    let end = tcb.snd_una + u32::from(tcb.mss);
    let whole = tcb.snd_nxt.at_or_before(end);
    flow.recovery.frto = if cx.settings.tcp_frto == 0 || recovering || whole {
        Frto::Off
    } else {
        Frto::First(end)
    };
}

/// True while repeats other than the first have to wait.
pub(super) fn holds_back(flow: &Flow) -> bool {
    match flow.recovery.frto {
        Frto::Off => false,
        Frto::First(_) => flow.sent.first().is_some_and(|run| run.fate != Fate::Lost),
        Frto::Second => true,
    }
}

/// Takes in an acknowledgement. True when it shows that the timeout came too early: step 3b.
pub(super) fn on_ack(tcb: &mut Tcb, flow: &mut Flow, event: &AckEvent, told: &Delivered) -> bool {
    if flow.recovery.phase != Phase::Loss {
        flow.recovery.frto = Frto::Off;
    }
    let sack = tcb.bits.has(Bits::SACK);
    match flow.recovery.frto {
        Frto::Off => false,
        Frto::First(end) => {
            if event.advanced {
                let decided = event.echo.is_some();
                let whole = flow.recovery.covered(tcb.snd_una);
                flow.recovery.frto = if !decided && !whole && end.at_or_before(tcb.snd_una) && can_send_two(tcb) {
                    // Slow start has room for just these two.
                    flow.recovery.extend(tcb.snd_nxt);
                    Frto::Second
                } else {
                    Frto::Off
                };
            } else if event.duplicate && !sack {
                flow.recovery.frto = Frto::Off;
            }
            false
        }
        Frto::Second => {
            if !event.advanced && !event.duplicate && told.bytes == 0 {
                return false;
            }
            flow.recovery.frto = Frto::Off;
            let beyond = told.highest.is_some_and(|end| !flow.recovery.reaches(end));
            if beyond || told.originals == 0 || (!sack && !event.advanced) {
                // Step 3a: the loss was real. Two round trips of slow start would have made three segments; one repeat leaves in any case.
                let mss = u32::from(tcb.mss);
                tcb.cwnd = (3 * mss).max(flow.recovery.pipe(&flow.sent) + mss);
                return false;
            }
            true
        }
    }
}

/// Full segments only: what Nagle or cork would hold brings no acknowledgement.
fn can_send_two(tcb: &Tcb) -> bool {
    let room = tcb.room_in_window();
    tcb.unsent().min(room) >= 2 * u32::from(tcb.mss)
}
