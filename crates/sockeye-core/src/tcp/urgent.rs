//! Urgent data, both ways: a mark in the stream, behind the last byte that matters at once.
//!
//! It keeps SND.UP and RCV.UP, says what URG and the pointer of a segment are, and where a read stops. Who is told, and how the byte in front of the
//! mark is handed over, are the callers' ([`UrgentData`]). A connection that never has any keeps nothing: RFC 6093 §6 discourages the use of it.
//! Spec: RFC 9293 §3.8.5; RFC 6093 §3.1: one byte out of band is what the sockets make of it.

use super::input::Segment;
use super::seq::SeqNumber;
use super::tcb::Tcb;
use crate::socket::{OutOfBand, UrgentData};
use crate::wire::tcp::{Flags, Header};

/// What the pointer's field holds at most.
const FARTHEST: u32 = u16::MAX as u32;

/// The urgent data of one connection, while there is any.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    /// SND.UP, until it is acknowledged: the number after the last urgent byte.
    snd_up: Option<SeqNumber>,
    /// The window probe that is due has told of it.
    probed: bool,
    /// What the remote marked, until it was read past.
    mark: Option<Mark>,
}

/// RCV.UP.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The last urgent byte: RCV.UP - 1.
    at: SeqNumber,
    byte: Byte,
}

#[derive(Clone, Copy, Debug)]
enum Byte {
    Awaited,
    Here(u8),
    Taken,
}

impl Tcb {
    /// SEND's URGENT flag: what was written so far ends in urgent data. RFC 9293 §3.10.2; MUST-31: however long it is.
    pub(crate) fn mark_urgent(&mut self) {
        if self.queued() > 0 {
            self.urgent.get_or_insert_default().snd_up = Some(self.tx_end());
        }
    }

    /// True while urgent data waits for its acknowledgement: it leaves segment by segment, for each has a pointer of its own, and does not wait
    /// for more.
    pub(super) fn is_urgent(&self) -> bool {
        self.snd_up().is_some()
    }

    pub(super) fn snd_up(&self) -> Option<SeqNumber> {
        self.urgent.as_ref()?.snd_up
    }

    /// SND.UNA moved: is the urgent data acknowledged?
    pub(super) fn on_urgent_acknowledged(&mut self) {
        if self.snd_up().is_some_and(|up| up.at_or_before(self.snd_una)) {
            self.end_urgent_sending();
        }
    }

    /// Nothing is urgent any more.
    pub(super) fn end_urgent_sending(&mut self) {
        if let Some(urgent) = &mut self.urgent {
            urgent.snd_up = None;
            if urgent.mark.is_none() {
                self.urgent = None;
            }
        }
    }

    /// Sets URG and the pointer: every segment before SND.UP has them, and the pointer shows behind the last urgent byte. RFC 9293 §3.8.5 MUST-62.
    /// One that is out of reach is as far as it can be, but for repeats: there it would mark what was never marked.
    pub(super) fn point(&self, header: &mut Header) {
        let Some(up) = self.snd_up() else { return };
        let seq = SeqNumber(header.seq);
        let ahead = up.since(seq);
        let in_reach = ahead <= FARTHEST as i32 || self.snd_nxt.before(seq + FARTHEST);
        if ahead > 0 && in_reach && !header.flags.has(Flags::SYN) {
            header.urgent = (ahead as u32).min(FARTHEST) as u16;
            header.flags = header.flags.and(Flags::URG);
        }
    }

    /// Is the window probe that is due to be preceded by a segment that is acceptable to a closed window, and so carries the pointer there? A
    /// receiver heeds URG whatever its window. RFC 9293 §3.4 MUST-66.
    pub(super) fn probes_urgently(&mut self) -> bool {
        let (una, nothing_out) = (self.snd_una, !self.has_outstanding());
        let Some(urgent) = &mut self.urgent else { return false };
        let reached = |up: SeqNumber| up.since(una) > 0 && up.since(una) <= FARTHEST as i32;
        if nothing_out && urgent.snd_up.is_some_and(reached) {
            urgent.probed = !urgent.probed;
            return urgent.probed;
        }
        false
    }

    /// Sixth: URG. RCV.UP advances and never recedes, and the application hears of it at once. RFC 9293 §3.10.7.4, §3.8.5 MUST-32.
    pub(super) fn take_urgent(&mut self, seg: &Segment) {
        if !self.may_receive() {
            return;
        }
        self.pass_mark();
        if let Some(pointer) = seg.urgent {
            // 0 would show before the segment; whoever sends it means the first byte.
            self.advance_mark(seg.seq + u32::from(pointer.saturating_sub(1)));
        }
        // The byte is told as soon as it is seen, even out of order: that is what it is for.
        if let Some(Mark { at, byte }) = self.urgent.as_mut().and_then(|urgent| urgent.mark.as_mut())
            && matches!(byte, Byte::Awaited)
            && at.within(seg.seq, seg.len)
            && let Some(found) = nth(seg.body.iter().map(AsRef::as_ref), at.after(seg.seq) as usize)
        {
            *byte = Byte::Here(found);
            self.tell();
        }
    }

    fn advance_mark(&mut self, at: SeqNumber) {
        // What was received is read or was not urgent when it came: a pointer that late says nothing.
        if at.before(self.rcv_nxt) {
            return;
        }
        if let Some(old) = self.mark() {
            if at.at_or_before(old.at) {
                return;
            }
            if self.opt().urgent == UrgentData::Apart
                && self.to_mark() == Some(0)
                && let Some(rx) = self.rx.as_mut()
            {
                // The reader stands at the old one: its byte goes, for nothing would keep it out of the stream any more.
                rx.drop_front(1);
                if rx.is_empty() {
                    self.rx = None;
                }
            }
        }
        self.urgent.get_or_insert_default().mark = Some(Mark {
            at,
            byte: Byte::Awaited,
        });
        self.tell();
    }

    fn mark(&self) -> Option<Mark> {
        self.urgent.as_ref()?.mark
    }

    /// Sequence number of the next byte that the application reads.
    fn read_next(&self) -> SeqNumber {
        self.rcv_nxt - u32::from(self.bits.has(super::tcb::Bits::FIN_RECEIVED)) - self.readable() as u32
    }

    /// Bytes to be read before the last urgent one: how much urgent data remains. RFC 9293 §3.8.5 MUST-33.
    pub(super) fn to_mark(&self) -> Option<usize> {
        let ahead = self.mark()?.at.since(self.read_next());
        usize::try_from(ahead).ok()
    }

    /// What a read may take now: bytes that it passes over, and how many behind them.
    pub(super) fn up_to_mark(&self) -> (usize, usize) {
        if self.urgent.is_none() {
            return (0, usize::MAX);
        }
        match (self.opt().urgent, self.to_mark()) {
            (UrgentData::Unmarked, _) | (_, None) | (UrgentData::InLine, Some(0)) => (0, usize::MAX),
            (UrgentData::Apart, Some(0)) => (self.readable().min(1), usize::MAX),
            (UrgentData::Apart | UrgentData::InLine, Some(ahead)) => (0, ahead),
        }
    }

    /// Forgets a mark that was read past: urgent mode is over.
    pub(super) fn pass_mark(&mut self) {
        if self.mark().is_some() && self.to_mark().is_none() {
            self.urgent = self.urgent.take().filter(|urgent| urgent.snd_up.is_some());
            if let Some(urgent) = &mut self.urgent {
                urgent.mark = None;
            }
        }
    }

    /// The last urgent byte, if it has come and was not taken.
    pub(super) fn urgent_byte(&self) -> OutOfBand {
        let Some(mark) = self.mark() else {
            return OutOfBand::Nothing;
        };
        let ahead = match self.to_mark() {
            Some(ahead) => ahead,
            None => return OutOfBand::Nothing,
        };
        match mark.byte {
            Byte::Taken => OutOfBand::Nothing,
            Byte::Here(byte) => OutOfBand::Byte(byte),
            // It may have come before it was marked.
            Byte::Awaited => match self.rx.as_ref().and_then(|rx| nth(rx.slices(), ahead)) {
                Some(byte) => OutOfBand::Byte(byte),
                None => OutOfBand::Awaited,
            },
        }
    }

    /// MSG_OOB: the byte in front of the mark, once; `peek` leaves it.
    pub(crate) fn take_out_of_band(&mut self, peek: bool) -> OutOfBand {
        if self.opt().urgent != UrgentData::Apart {
            return OutOfBand::Nothing;
        }
        let byte = self.urgent_byte();
        if !peek
            && matches!(byte, OutOfBand::Byte(_))
            && let Some(mark) = self.urgent.as_mut().and_then(|urgent| urgent.mark.as_mut())
        {
            mark.byte = Byte::Taken;
        }
        byte
    }
}

/// The byte at `n` of slices in a row.
fn nth<'a>(slices: impl Iterator<Item = &'a [u8]>, mut n: usize) -> Option<u8> {
    for slice in slices {
        match slice.get(n) {
            Some(byte) => return Some(*byte),
            None => n -= slice.len(),
        }
    }
    None
}
