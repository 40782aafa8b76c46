//! What arrived for nobody, on a host that accepts packets for any address: kept until its owner looks or decides.
//!
//! It decides how much is kept and how long. SYNs are held as records of 64 bytes that absorb their own retransmissions; datagrams and echo
//! requests wait in one queue with them, in order of arrival. What becomes of them is the owner's business (`host/stray.rs`).

use crate::counters::DropReason;
use crate::demux::{Demux, Entry};
use crate::slab::Slab;
use crate::socket::{Stray, SynId};
use crate::tcp::{SeqNumber, SynFacts};
use crate::time::{Duration, Instant, SECOND};
use crate::tuple::{FourTuple, Transport};
use crate::wire::tcp::{Options, Timestamps};
use std::collections::VecDeque;

/// SYNs held at most: a flood beyond that is dropped, and its honest part comes back by retransmission.
const HELD: usize = 4_096;
/// How long a SYN is held without an answer: longer than a connection attempt through the kernel outside may take to fail for good reasons.
const EXPIRY: Duration = SECOND.saturating_mul(75);
/// Datagrams and echo requests that wait at most, in number and in payload bytes.
const WAITING: usize = 4_096;
/// See [`WAITING`].
const WAITING_BYTES: usize = 4 << 20;

/// Strays of one host.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    queue: VecDeque<Stray>,
    /// Datagrams and echo requests in `queue`, and their payload.
    waiting: usize,
    bytes: usize,
    held: Slab<HeldSyn>,
    /// When held SYNs expire, in order. Those that were answered are skipped.
    expiries: VecDeque<(Instant, SynId)>,
}

/// A SYN that waits for a decision: all that an answer needs.
#[derive(Clone, Copy, Debug)]
struct HeldSyn {
    tuple: FourTuple,
    seq: u32,
    ts_value: u32,
    window: u16,
    /// 0 when not offered; an offered 0 means as little.
    mss: u16,
    window_scale: u8,
    bits: u8,
}

const WINDOW_SCALE: u8 = 1;
const SACK: u8 = 2;
const TIMESTAMPS: u8 = 4;
const DECIDED: u8 = 8;
const ECN: u8 = 16;

impl HeldSyn {
    fn new(tuple: FourTuple, facts: &SynFacts) -> Self {
        let SynFacts {
            seq,
            window,
            options,
            ecn,
        } = facts;
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        Self {
            tuple,
            seq: seq.0,
            ts_value: options.timestamps.unwrap_or_default().value,
            window: *window,
            mss: options.mss.unwrap_or_default(),
            window_scale: options.window_scale.unwrap_or_default(),
            bits: bit(options.window_scale.is_some(), WINDOW_SCALE)
                | bit(options.sack_permitted, SACK)
                | bit(options.timestamps.is_some(), TIMESTAMPS)
                | bit(*ecn, ECN),
        }
    }

    fn facts(&self) -> SynFacts {
        let options = Options {
            mss: (self.mss != 0).then_some(self.mss),
            window_scale: (self.bits & WINDOW_SCALE != 0).then_some(self.window_scale),
            sack_permitted: self.bits & SACK != 0,
            timestamps: (self.bits & TIMESTAMPS != 0).then_some(Timestamps {
                value: self.ts_value,
                echo: 0,
            }),
            ..Options::default()
        };
        SynFacts {
            seq: SeqNumber(self.seq),
            window: self.window,
            options,
            ecn: self.bits & ECN != 0,
        }
    }
}

impl Strays {
    /// Keeps a datagram or an echo request until the owner looks.
    ///
    /// # Errors
    /// `Limit` when too much waits already.
    pub(crate) fn push(&mut self, stray: Stray) -> Result<(), DropReason> {
        let bytes = payload(&stray);
        if self.waiting >= WAITING || self.bytes + bytes > WAITING_BYTES && self.waiting > 0 {
            return Err(DropReason::Limit);
        }
        self.waiting += 1;
        self.bytes += bytes;
        self.queue.push_back(stray);
        Ok(())
    }

    /// Holds a SYN, shows it to the owner, and lets its retransmissions find it.
    ///
    /// # Errors
    /// `Limit` when too many are held.
    pub(crate) fn hold_syn(
        &mut self,
        now: Instant,
        tuple: FourTuple,
        hash: u64,
        facts: &SynFacts,
        demux: &mut Demux,
    ) -> Result<(), DropReason> {
        if self.held.len() >= HELD {
            return Err(DropReason::Limit);
        }
        let (index, generation) = self.held.insert(HeldSyn::new(tuple, facts));
        demux.insert_flow(hash, Entry::HeldSyn(index));
        let id = SynId { index, generation };
        self.expiries.push_back((now + EXPIRY, id));
        let (local, remote) = (tuple.local(), tuple.remote());
        self.queue.push_back(Stray::Syn { id, local, remote });
        Ok(())
    }

    /// The oldest stray. A SYN that has gone meanwhile is skipped.
    pub(crate) fn pop(&mut self) -> Option<Stray> {
        loop {
            let stray = self.queue.pop_front()?;
            match &stray {
                Stray::Syn { id, .. } if self.held.get(id.index, id.generation).is_none() => {}
                Stray::Syn { .. } => return Some(stray),
                _ => {
                    self.waiting -= 1;
                    self.bytes -= payload(&stray);
                    return Some(stray);
                }
            }
        }
    }

    /// True when the SYN held at `index` has this tuple.
    pub(crate) fn is_about(&self, index: u32, tuple: &FourTuple) -> bool {
        self.held.at(index).is_some_and(|syn| syn.tuple == *tuple)
    }

    /// Lets go of an undecided SYN, for an answer.
    pub(crate) fn take_syn(&mut self, id: SynId, demux: &mut Demux) -> Option<(FourTuple, SynFacts)> {
        let syn = *self.held.get(id.index, id.generation)?;
        if syn.bits & DECIDED != 0 {
            return None;
        }
        self.remove(id, demux);
        Some((syn.tuple, syn.facts()))
    }

    /// The remote took its SYN back (RST).
    pub(crate) fn forget_syn(&mut self, index: u32, demux: &mut Demux) {
        if let Some(generation) = self.held.generation(index) {
            self.remove(SynId { index, generation }, demux);
        }
    }

    /// Decides not to answer: the record stays until it expires, to absorb retransmissions.
    pub(crate) fn ignore_syn(&mut self, id: SynId) {
        if let Some(syn) = self.held.get_mut(id.index, id.generation) {
            syn.bits |= DECIDED;
        }
    }

    /// When the next SYN expires.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.expiries.front().map(|(at, _)| *at)
    }

    /// Lets go of SYNs that expired.
    pub(crate) fn handle_timeout(&mut self, now: Instant, demux: &mut Demux) {
        while let Some((_, id)) = self.expiries.front().copied().filter(|(at, _)| *at <= now) {
            let _ = self.expiries.pop_front();
            self.remove(id, demux);
        }
    }

    /// Takes a SYN out, if it is still there, and with it what leads the list of expiries and is gone.
    fn remove(&mut self, id: SynId, demux: &mut Demux) {
        if let Some(syn) = self.held.remove(id.index, id.generation) {
            let hash = demux.hash(Transport::Tcp, &syn.tuple);
            let found = demux.remove_flow(hash, Entry::HeldSyn(id.index));
            debug_assert!(found, "held SYN {id:?} was in no table");
        }
        while let Some((_, first)) = self.expiries.front()
            && self.held.get(first.index, first.generation).is_none()
        {
            let _ = self.expiries.pop_front();
        }
    }
}

fn payload(stray: &Stray) -> usize {
    match stray {
        Stray::Syn { .. } => 0,
        Stray::Datagram { data, .. } => data.len(),
        Stray::Echo { echo, .. } => echo.data.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;
    use bytes::Bytes;
    use std::net::SocketAddr;

    fn tuple(port: u16) -> FourTuple {
        FourTuple::new(([192, 0, 2, 1], 80).into(), ([10, 0, 2, 15], port).into())
    }

    fn facts(options: Options) -> SynFacts {
        SynFacts {
            seq: SeqNumber(7),
            window: 64_000,
            options,
            ecn: true,
        }
    }

    fn hold(strays: &mut Strays, demux: &mut Demux, now: Instant, port: u16) -> Result<(), DropReason> {
        let hash = demux.hash(Transport::Tcp, &tuple(port));
        strays.hold_syn(now, tuple(port), hash, &facts(Options::default()), demux)
    }

    fn shown(strays: &mut Strays) -> SynId {
        match strays.pop() {
            Some(Stray::Syn { id, .. }) => id,
            other => panic!("no SYN but {other:?}"),
        }
    }

    fn datagram(len: usize) -> Stray {
        let end = SocketAddr::from(([192, 0, 2, 1], 53));
        Stray::Datagram {
            local: end,
            remote: end,
            data: Bytes::from(vec![0; len]),
            ttl: 64,
            tos: 0,
        }
    }

    #[test]
    fn a_held_syn_is_small_and_keeps_what_it_said() {
        assert!(
            size_of::<Option<HeldSyn>>() + size_of::<u32>() <= 64,
            "a slot with its generation"
        );
        for options in [
            Options::default(),
            Options {
                mss: Some(1460),
                window_scale: Some(0),
                sack_permitted: true,
                timestamps: Some(Timestamps { value: 9, echo: 0 }),
                ..Options::default()
            },
        ] {
            let held = HeldSyn::new(tuple(1), &facts(options)).facts();
            assert_eq!((held.seq.0, held.window, held.options), (7, 64_000, options));
        }
    }

    #[test]
    fn a_syn_is_shown_once_and_answered_once() {
        let (mut strays, mut demux) = (Strays::default(), Demux::new(&Keys::new(1, "strays")));
        hold(&mut strays, &mut demux, Instant::ZERO, 1).unwrap();
        let id = shown(&mut strays);
        assert!(strays.pop().is_none());
        assert!(strays.is_about(id.index, &tuple(1)) && !strays.is_about(id.index, &tuple(2)));
        assert_eq!(strays.take_syn(id, &mut demux).map(|(tuple, _)| tuple), Some(tuple(1)));
        assert!(strays.take_syn(id, &mut demux).is_none());
        assert_eq!((demux.flows(), strays.poll_timeout()), (0, None));
    }

    #[test]
    fn ignored_syns_stay_until_they_expire_and_reset_ones_go() {
        let (mut strays, mut demux) = (Strays::default(), Demux::new(&Keys::new(1, "strays")));
        let now = Instant::ZERO;
        hold(&mut strays, &mut demux, now, 1).unwrap();
        hold(&mut strays, &mut demux, now + SECOND, 2).unwrap();
        let ignored = shown(&mut strays);
        strays.ignore_syn(ignored);
        assert!(strays.take_syn(ignored, &mut demux).is_none(), "decided");
        strays.forget_syn(ignored.index + 1, &mut demux);
        assert!(strays.pop().is_none(), "one that has gone is not shown");
        strays.handle_timeout(now + SECOND * 74, &mut demux);
        assert!(
            strays.is_about(ignored.index, &tuple(1)),
            "still absorbs retransmissions"
        );
        assert_eq!(strays.poll_timeout(), Some(now + EXPIRY));
        strays.handle_timeout(now + EXPIRY, &mut demux);
        assert!(!strays.is_about(ignored.index, &tuple(1)));
        assert_eq!((demux.flows(), strays.poll_timeout()), (0, None));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut strays, mut demux) = (Strays::default(), Demux::new(&Keys::new(1, "strays")));
        for port in 0..HELD {
            assert!(hold(&mut strays, &mut demux, Instant::ZERO, port as u16).is_ok());
        }
        assert_eq!(
            hold(&mut strays, &mut demux, Instant::ZERO, u16::MAX),
            Err(DropReason::Limit)
        );
        let kept = (0..1_000).take_while(|_| strays.push(datagram(60_000)).is_ok()).count();
        assert_eq!(kept, WAITING_BYTES / 60_000);
        while strays.pop().is_some() {}
        let kept = (0..10_000).take_while(|_| strays.push(datagram(0)).is_ok()).count();
        assert_eq!(kept, WAITING);
    }
}
