//! What the SYNs agree on, and the clock behind the timestamps. Spec: RFC 9293 §3.7.1 (MSS), RFC 7323 (scaling, timestamps), RFC 2018 (SACK),
//! RFC 6691 (MSS and options).

use super::output::MAX_BURST;
use super::seq::SeqNumber;
use super::tcb::{Bits, Tcb};
use crate::settings::Settings;
use crate::time::Instant;
use crate::wire::tcp::{HEADER_LEN, Options, Timestamps};

/// The largest shift of the window. RFC 7323 §2.3.
pub(super) const MAX_SCALE: u8 = 14;
/// The smallest MSS we take seriously from a remote: below it, headers would be all we send.
const MIN_MSS: u16 = 48;

/// The shift that lets the largest receive buffer be offered.
pub(super) fn window_scale_for(largest: u32) -> u8 {
    let mut shift = 0;
    while shift < MAX_SCALE && (largest >> shift) > u32::from(u16::MAX) {
        shift += 1;
    }
    shift
}

impl Tcb {
    fn ip_header(&self) -> u16 {
        if self.tuple.is_v4() { 20 } else { 40 }
    }

    /// The MSS we announce: what the path's first hop carries, without options. RFC 6691 §2.
    pub(super) fn mss_to_announce(&self) -> u16 {
        let from_path = self.path_mtu.saturating_sub(self.ip_header() + HEADER_LEN as u16);
        self.opt()
            .max_segment
            .map_or(from_path, |max| from_path.min(max.max(MIN_MSS)))
    }

    /// Settles how long a full segment to the remote is. Called whenever the remote's MSS, the path or the options change.
    pub(super) fn settle_mss(&mut self) {
        let on_path = self.path_mtu.saturating_sub(self.ip_header() + HEADER_LEN as u16);
        let asked = self.opt().max_segment.unwrap_or(u16::MAX);
        let timestamps = if self.bits.has(Bits::TIMESTAMPS) { 12 } else { 0 };
        self.mss = self
            .peer_mss
            .min(on_path)
            .min(asked.max(MIN_MSS))
            .clamp(MIN_MSS, MAX_BURST as u16)
            - timestamps;
    }

    /// The options of our SYN (`answer` is `None`) or SYN-ACK (the options we answer to): what we offer, or what both want.
    pub(super) fn syn_options(&self, answer: bool, now: Instant, settings: &Settings) -> Options {
        let (timestamps, sack, scaling) = if answer {
            (
                self.bits.has(Bits::TIMESTAMPS),
                self.bits.has(Bits::SACK),
                self.bits.has(Bits::SCALING),
            )
        } else {
            (settings.tcp_timestamps, settings.tcp_sack, settings.tcp_window_scaling)
        };
        Options {
            user_timeout: self.user_timeout_option(),
            mss: Some(self.adv_mss),
            window_scale: scaling.then_some(self.rcv_wscale),
            sack_permitted: sack,
            timestamps: timestamps.then(|| Timestamps {
                value: self.ts_value(now),
                echo: self.ts_recent,
            }),
            ..Options::default()
        }
    }

    /// Takes the remote's SYN options: each feature is on when both sides named it. RFC 7323 §1.3, RFC 2018 §2.
    pub(super) fn agree(&mut self, theirs: &Options, settings: &Settings) {
        if let Some(mss) = theirs.mss {
            self.peer_mss = mss.max(MIN_MSS);
        }
        if let (Some(shift), true) = (theirs.window_scale, settings.tcp_window_scaling) {
            self.bits.set(Bits::SCALING);
            self.snd_wscale = shift.min(MAX_SCALE);
        } else {
            self.rcv_wscale = 0;
        }
        if let (Some(timestamps), true) = (theirs.timestamps, settings.tcp_timestamps) {
            self.bits.set(Bits::TIMESTAMPS);
            self.ts_recent = timestamps.value;
        }
        if theirs.sack_permitted && settings.tcp_sack {
            self.bits.set(Bits::SACK);
        }
        self.settle_mss();
        // Half of the remote's first window is as good a guess at its segments as any. RFC 1122 §4.2.3.3.
        self.rcv_mss = self.adv_mss.min(536);
    }

    /// Our timestamp clock: milliseconds, from a secret start for each pair of addresses. RFC 7323 §5.4 and §7.1.
    pub(super) fn ts_value(&self, now: Instant) -> u32 {
        ts_clock(now, self.ts_offset)
    }

    /// The options of every segment after the SYNs.
    pub(super) fn segment_options(&self, now: Instant) -> Options {
        Options {
            user_timeout: if self.advise { self.user_timeout_option() } else { None },
            timestamps: self.bits.has(Bits::TIMESTAMPS).then(|| Timestamps {
                value: self.ts_value(now),
                echo: self.ts_recent,
            }),
            ..Options::default()
        }
    }
}

/// The clock behind the timestamps of a connection with this offset.
pub(super) fn ts_clock(now: Instant, offset: u32) -> u32 {
    (now.as_millis() as u32).wrapping_add(offset)
}

/// `a` is an older timestamp than `b`. RFC 7323 §5.2: the same circle as sequence numbers.
pub(super) fn ts_before(a: u32, b: u32) -> bool {
    SeqNumber(a).before(SeqNumber(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_cover_the_largest_buffer() {
        for (largest, shift) in [(1000, 0), (65_535, 0), (65_536, 1), (6 << 20, 7), (u32::MAX, 14)] {
            assert_eq!(window_scale_for(largest), shift, "{largest}");
        }
    }
}
