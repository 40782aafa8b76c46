//! SYN cookies: a handshake that costs no memory until its third segment. Spec: RFC 4987 §3.6 and appendix A.
//!
//! The sequence number of the SYN-ACK carries a slow clock (5 bits), the remote's MSS by table (3 bits) and a keyed hash of both and the addresses
//! (24 bits); the low bits of its timestamp carry window scale, SACK and ECN, which come back as the echo.

use super::input::{Reply, Segment};
use super::open::{SynFacts, TcpKeys};
use super::options::{MAX_SCALE, ts_clock};
use super::seq::SeqNumber;
use crate::time::Instant;
use crate::tuple::FourTuple;
use crate::wire::tcp::{Flags, Timestamps};

/// MSS values a cookie can name: rounded down to one of these.
const MSS_TABLE: [u16; 8] = [216, 536, 1_200, 1_300, 1_400, 1_440, 1_460, 8_900];
/// One tick of the slow clock.
const TICK_SECONDS: u64 = 64;
/// A cookie is good for this tick and the one before it: 64 to 128 seconds.
const GOOD_TICKS: u32 = 2;
/// Low bits of the timestamp that carry options: 4 of scale (15 is none), 1 of SACK, 1 of ECN.
const OPTION_BITS: u32 = 6;
const NO_SCALE: u32 = 15;

/// What a returning cookie says about the SYN it answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) mss: u16,
    pub(super) scale: Option<u8>,
    pub(super) sack: bool,
    pub(super) timestamps: bool,
    pub(super) ecn: bool,
}

fn clock(now: Instant) -> u32 {
    (now.as_millis() / 1_000 / TICK_SECONDS) as u32
}

fn digest(keys: &TcpKeys, tuple: &FourTuple, irs: SeqNumber, tick: u32, index: u32) -> u32 {
    let extra = u64::from(irs.0) << 32 | u64::from(tick) << 3 | u64::from(index);
    keys.cookie.hash(&[tuple.hash(&keys.cookie, 0), extra]) as u32 & 0x00ff_ffff
}

/// The initial sequence number that answers a SYN.
pub(super) fn make(keys: &TcpKeys, tuple: &FourTuple, irs: SeqNumber, mss: u16, now: Instant) -> SeqNumber {
    let tick = clock(now);
    let index = MSS_TABLE.iter().rposition(|entry| *entry <= mss).unwrap_or(0) as u32;
    SeqNumber((tick & 31) << 27 | index << 24 | digest(keys, tuple, irs, tick, index))
}

/// Makes a SYN-ACK remember for us: the low bits of its timestamp, no later than the clock, say what was agreed. Without timestamps nothing is.
pub(crate) fn stamp(reply: &mut Reply, theirs: &SynFacts) {
    let options = &mut reply.options;
    let Some(ts) = &mut options.timestamps else {
        (options.window_scale, options.sack_permitted) = (None, false);
        reply.header.flags.0 &= !Flags::ECE.0;
        return;
    };
    let scale = theirs
        .options
        .window_scale
        .filter(|_| options.window_scale.is_some())
        .map_or(NO_SCALE, |scale| u32::from(scale.min(MAX_SCALE)));
    let facts = scale | u32::from(options.sack_permitted) << 4 | u32::from(theirs.ecn) << 5;
    let mask = (1 << OPTION_BITS) - 1;
    let stamped = ts.value & !mask | facts;
    ts.value = if stamped > ts.value {
        stamped.wrapping_sub(1 << OPTION_BITS)
    } else {
        stamped
    };
}

/// Reads the cookie that an acknowledgement brings back; `None` when it is none of ours, or too old.
pub(super) fn read(keys: &TcpKeys, tuple: &FourTuple, seg: &Segment, now: Instant) -> Option<Told> {
    let cookie = (seg.ack - 1).0;
    let (irs, index) = (seg.seq - 1, cookie >> 24 & 7);
    let current = clock(now);
    let age = (current.wrapping_sub(cookie >> 27)) & 31;
    if age >= GOOD_TICKS || age > current {
        return None;
    }
    if digest(keys, tuple, irs, current - age, index) != cookie & 0x00ff_ffff {
        return None;
    }
    let mss = MSS_TABLE[index as usize];
    let Some(Timestamps { echo, .. }) = seg.options.timestamps else {
        return Some(Told {
            mss,
            scale: None,
            sack: false,
            timestamps: false,
            ecn: false,
        });
    };
    let facts = echo & ((1 << OPTION_BITS) - 1);
    let scale = (facts & 15 != NO_SCALE).then_some((facts & 15) as u8);
    // An echo from the future was not made by us.
    let offset = keys.timestamp_offset(tuple);
    if ts_clock(now, offset).wrapping_sub(echo) > 2 * TICK_SECONDS as u32 * 1_000 + 64 {
        return None;
    }
    Some(Told {
        mss,
        scale,
        sack: facts & 16 != 0,
        timestamps: true,
        ecn: facts & 32 != 0,
    })
}

/// A half-open connection out of an acknowledgement that carries a cookie of ours.
pub(crate) fn redeem(
    keys: &TcpKeys,
    tuple: FourTuple,
    seg: &Segment,
    listener: u32,
    now: Instant,
) -> Option<super::listen::SynReceived> {
    let told = read(keys, &tuple, seg, now)?;
    Some(super::listen::SynReceived::from_cookie(tuple, seg, listener, told, now))
}
