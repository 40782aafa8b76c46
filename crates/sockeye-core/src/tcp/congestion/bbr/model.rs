//! What is known of the path: draft-ietf-ccwg-bbr §5.5. Rates are bytes a second, volumes bytes.

use super::super::{AckSample, Window};
use super::MIN_PIPE;
use crate::time::{Duration, Instant};

/// A loss rate beyond which more in flight does not fit. §2.7, LossThresh.
const LOSS_THRESH: f64 = 0.02;
/// What is left of a bound after a round with loss. §2.7, Beta.
pub(super) const BETA: f64 = 0.7;
/// Room left to others below the long-term bound. §2.7, Headroom.
const HEADROOM: f64 = 0.15;
/// A rate that rises by less has stopped to rise, after so many rounds. §5.3.1.2.
const FULL_BW_GROWTH: f64 = 1.25;
const FULL_BW_ROUNDS: u32 = 3;
/// How long the shortest round trip is believed. §2.7, MinRTTFilterLen.
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// Rounds over which bunches of acknowledgements are remembered. §2.7, ExtraAckedFilterLen.
const EXTRA_ACKED_ROUNDS: u64 = 10;

/// The model.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Most bandwidth of this cycle of probing and of the one before. §5.5.5.
    max_bw: [f64; 2],
    bw_shortterm: f64,
    /// Most bytes in flight that neither the short term nor the long term has shown to be too many. §5.5.10.
    pub(super) inflight_shortterm: u64,
    pub(super) inflight_longterm: u64,
    pub(super) min_rtt: Duration,
    min_rtt_at: Instant,
    /// Bytes delivered so far, by the latest sample.
    pub(super) delivered: u64,

    // Rounds: one ends with the first acknowledgement of what left after it began.
    next_round: u64,
    pub(super) round_start: bool,
    pub(super) rounds: u64,
    loss_round: u64,
    pub(super) loss_round_start: bool,
    pub(super) loss_in_round: bool,
    bw_latest: f64,
    pub(super) inflight_latest: u64,

    full_bw: f64,
    full_bw_rounds: u32,
    pub(super) full_bw_now: bool,
    /// The pipe has been full once: startup is over for good.
    pub(super) full_bw_reached: bool,

    /// Bunches of acknowledgements: since when and how many bytes, and the most beyond what the rate allows, by halves of the filter. §5.5.9.
    ack_epoch: (Instant, u64),
    extra: [u64; 2],
    extra_since: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            max_bw: [0.0; 2],
            bw_shortterm: f64::INFINITY,
            inflight_shortterm: u64::MAX,
            inflight_longterm: u64::MAX,
            min_rtt: Duration::MAX,
            min_rtt_at: Instant::ZERO,
            delivered: 0,
            next_round: 0,
            round_start: false,
            rounds: 0,
            loss_round: 0,
            loss_round_start: false,
            loss_in_round: false,
            bw_latest: 0.0,
            inflight_latest: 0,
            full_bw: 0.0,
            full_bw_rounds: 0,
            full_bw_now: false,
            full_bw_reached: false,
            ack_epoch: (Instant::ZERO, 0),
            extra: [0; 2],
            extra_since: 0,
        }
    }
}

/// Did what was sent together with the latest delivered segment lose too much? §5.5.10.2.
pub(super) fn is_inflight_too_high(ack: &AckSample) -> bool {
    ack.rate.lost as f64 > f64::from(ack.rate.stamp.in_flight) * LOSS_THRESH
}

impl Model {
    /// §5.5: everything that an acknowledgement tells of the path.
    pub(super) fn update(&mut self, ack: &AckSample, window: &Window, probing: bool) {
        let sample = &ack.rate;
        self.delivered = sample.stamp.delivered + sample.delivered;
        self.loss_round_start = false;
        self.bw_latest = self.bw_latest.max(sample.rate as f64);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        if sample.stamp.delivered >= self.loss_round {
            (self.loss_round, self.loss_round_start) = (self.delivered, true);
        }
        self.round_start = sample.stamp.delivered >= self.next_round;
        if self.round_start {
            self.start_round();
            self.rounds += 1;
        }
        let rate = sample.rate as f64;
        if rate > 0.0 && (rate >= self.max_bw() || !sample.app_limited) {
            self.max_bw[1] = self.max_bw[1].max(rate);
        }
        self.loss_in_round |= ack.lost > 0;
        if self.loss_round_start {
            if self.loss_in_round && !probing {
                self.lower_bounds(window);
            }
            self.loss_in_round = false;
        }
        self.update_aggregation(ack, window);
        self.check_full_bw(ack);
    }

    /// The shortest round trip of the last seconds, and when it was seen: believed when it is shorter than the one known, or that one is old. §5.5.7.
    pub(super) fn update_min_rtt(&mut self, now: Instant, (least, at): (Duration, Instant)) {
        if least <= self.min_rtt || now.since(self.min_rtt_at) > MIN_RTT_FILTER {
            (self.min_rtt, self.min_rtt_at) = (least, at);
        }
    }

    /// §5.5.10.3: a round with loss, while nothing more than before was tried.
    fn lower_bounds(&mut self, window: &Window) {
        if self.bw_shortterm.is_infinite() {
            self.bw_shortterm = self.max_bw();
        }
        if self.inflight_shortterm == u64::MAX {
            self.inflight_shortterm = u64::from(window.cwnd);
        }
        self.bw_shortterm = self.bw_latest.max(BETA * self.bw_shortterm);
        let less = (self.inflight_shortterm as f64 * BETA) as u64;
        self.inflight_shortterm = self.inflight_latest.max(less);
    }

    /// §5.5.9: acknowledgements that come in bunches need a window for the time between them.
    fn update_aggregation(&mut self, ack: &AckSample, window: &Window) {
        let (since, acked) = self.ack_epoch;
        let expected = (self.bw() * ack.now.since(since).as_secs_f64()) as u64;
        let (since, acked, expected) = if acked <= expected {
            (ack.now, 0, 0)
        } else {
            (since, acked, expected)
        };
        let acked = acked + u64::from(ack.acked);
        self.ack_epoch = (since, acked);
        let extra = (acked - expected.min(acked)).min(u64::from(window.cwnd));
        let length = if self.full_bw_reached {
            EXTRA_ACKED_ROUNDS / 2
        } else {
            1
        };
        if self.rounds >= self.extra_since + length {
            self.extra = [self.extra[1], 0];
            self.extra_since = self.rounds;
        }
        self.extra[1] = self.extra[1].max(extra);
    }

    pub(super) fn extra_acked(&self) -> u64 {
        self.extra[0].max(self.extra[1])
    }

    /// §5.3.1.2.
    fn check_full_bw(&mut self, ack: &AckSample) {
        if self.full_bw_now || ack.rate.app_limited {
            return;
        }
        let rate = ack.rate.rate as f64;
        if rate >= self.full_bw * FULL_BW_GROWTH {
            self.reset_full_bw(rate);
        } else if self.round_start {
            self.full_bw_rounds += 1;
            self.full_bw_now = self.full_bw_rounds >= FULL_BW_ROUNDS;
            self.full_bw_reached |= self.full_bw_now;
        }
    }

    /// Whether the rate still rises is asked anew, from this rate on.
    pub(super) fn reset_full_bw(&mut self, rate: f64) {
        (self.full_bw, self.full_bw_rounds, self.full_bw_now) = (rate, 0, false);
    }

    /// The last step of an acknowledgement: a new round of losses begins with its sample. §5.5.10.3.
    pub(super) fn advance(&mut self, ack: &AckSample) {
        if self.loss_round_start {
            self.bw_latest = ack.rate.rate as f64;
            self.inflight_latest = ack.rate.delivered;
        }
    }

    pub(super) fn start_round(&mut self) {
        self.next_round = self.delivered;
    }

    /// A cycle of probing is over: what was measured two cycles ago is forgotten. §5.5.6.
    pub(super) fn advance_max_bw(&mut self) {
        if self.max_bw[1] > 0.0 {
            self.max_bw = [self.max_bw[1], 0.0];
        }
    }

    pub(super) fn reset_short_term(&mut self) {
        self.bw_shortterm = f64::INFINITY;
        self.inflight_shortterm = u64::MAX;
    }

    pub(super) fn reset_congestion_signals(&mut self) {
        self.loss_in_round = false;
        (self.bw_latest, self.inflight_latest) = (0.0, 0);
    }

    fn max_bw(&self) -> f64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// The bandwidth to count on. 0: nothing was measured.
    pub(super) fn bw(&self) -> f64 {
        self.max_bw().min(self.bw_shortterm)
    }

    /// It is less than the path has been seen to carry.
    pub(super) fn is_short_of_max(&self) -> bool {
        self.bw_shortterm < self.max_bw()
    }

    /// `gain` times what the path holds at that bandwidth without a queue; the initial window while nothing was measured.
    pub(super) fn bdp(&self, gain: f64, mss: u32) -> u64 {
        if self.min_rtt == Duration::MAX || self.max_bw() == 0.0 {
            return 10 * u64::from(mss);
        }
        (gain * self.bw() * self.min_rtt.as_secs_f64()) as u64
    }

    /// Below the long-term bound, with room for others. §5.6.4.7.
    pub(super) fn inflight_with_headroom(&self, mss: u32) -> u64 {
        if self.inflight_longterm == u64::MAX {
            return u64::MAX;
        }
        let headroom = ((self.inflight_longterm as f64 * HEADROOM) as u64).max(u64::from(mss));
        self.inflight_longterm
            .saturating_sub(headroom)
            .max(MIN_PIPE * u64::from(mss))
    }
}
