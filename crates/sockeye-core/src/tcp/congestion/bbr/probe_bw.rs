//! Probing for bandwidth, most of the time: give room (DOWN), stay (CRUISE), fill the pipe (REFILL), try for more (UP). draft-ietf-ccwg-bbr §5.3.3.

use super::super::{AckSample, Window};
use super::model::{BETA, is_inflight_too_high};
use super::{Bbr, State};
use crate::time::{Duration, Instant};

/// Round trips after which Reno would have tried for more as well. §5.3.3.5.
const MOST_RENO_ROUNDS: u64 = 63;
/// Doublings of the growth of the long-term bound.
const MOST_UP_ROUNDS: u32 = 30;

/// Where in the cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Down,
    Cruise,
    Refill,
    Up,
}

impl Phase {
    pub(super) fn pacing_gain(self) -> f64 {
        match self {
            Self::Down => 0.9,
            Self::Cruise | Self::Refill => 1.0,
            Self::Up => 1.25,
        }
    }
}

/// What the acknowledgements that come now are about. §5.3.3.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AckPhase {
    #[default]
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

/// State of the cycle.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cycle {
    pub(super) ack_phase: AckPhase,
    /// When the cycle began, and how long until more is tried for.
    stamp: Instant,
    wait: Duration,
    rounds: u64,
    /// What is acknowledged may have been sent while more was tried for: its losses count.
    probe_samples: bool,
    up_rounds: u32,
    /// Bytes acknowledged for each segment more, and how many were.
    up_count: u64,
    up_acked: u64,
}

impl Bbr {
    pub(super) fn update_cycle(&mut self, ack: &AckSample, window: &Window) {
        if !self.model.full_bw_reached {
            return;
        }
        self.adapt_long_term(ack, window);
        let State::ProbeBw(phase) = self.state else { return };
        self.cycle.rounds += u64::from(self.model.round_start);
        match phase {
            Phase::Down | Phase::Cruise if self.is_time_to_probe(ack, window) => self.start_refill(),
            Phase::Down if self.is_drained(ack, window) => self.start_cruise(),
            Phase::Refill if self.model.round_start => {
                self.cycle.probe_samples = true;
                self.start_up(ack, window);
            }
            Phase::Up if self.is_time_to_go_down(ack, window) => self.start_down(ack),
            _ => {}
        }
    }

    /// §5.5.10.2: the long-term bound follows what was tried, up when it did no harm, down when it did.
    fn adapt_long_term(&mut self, ack: &AckSample, window: &Window) {
        if self.cycle.ack_phase == AckPhase::ProbeStarting && self.model.round_start {
            self.cycle.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.cycle.ack_phase == AckPhase::ProbeStopping && self.model.round_start {
            self.cycle.ack_phase = AckPhase::Init;
            self.cycle.probe_samples = false;
            if matches!(self.state, State::ProbeBw(_)) && !ack.rate.app_limited {
                self.model.advance_max_bw();
            }
        }
        let in_flight = u64::from(ack.rate.stamp.in_flight);
        if is_inflight_too_high(ack) {
            if !self.cycle.probe_samples {
                return;
            }
            // One answer to one probe.
            self.cycle.probe_samples = false;
            if !ack.rate.app_limited {
                let least = (self.target_inflight(window) as f64 * BETA) as u64;
                self.model.inflight_longterm = in_flight.max(least);
            }
            if self.state == State::ProbeBw(Phase::Up) {
                self.start_down(ack);
            }
            return;
        }
        if self.model.inflight_longterm == u64::MAX {
            return;
        }
        self.model.inflight_longterm = self.model.inflight_longterm.max(in_flight);
        if self.state == State::ProbeBw(Phase::Up) {
            self.probe_upward(ack, window);
        }
    }

    /// While the bound is what limits it rises, by one segment in the first round trip, by two in the next, four, eight. §5.3.3.4.
    fn probe_upward(&mut self, ack: &AckSample, window: &Window) {
        if ack.cwnd_limited && u64::from(window.cwnd) >= self.model.inflight_longterm {
            self.cycle.up_acked += u64::from(ack.acked);
            let more = self.cycle.up_acked / self.cycle.up_count.max(1);
            self.cycle.up_acked -= more * self.cycle.up_count.max(1);
            self.model.inflight_longterm = self
                .model
                .inflight_longterm
                .saturating_add(more * u64::from(window.mss));
        }
        if self.model.round_start {
            self.raise_slope(window);
        }
    }

    fn raise_slope(&mut self, window: &Window) {
        let segments = 1_u64 << self.cycle.up_rounds;
        self.cycle.up_rounds = (self.cycle.up_rounds + 1).min(MOST_UP_ROUNDS);
        self.cycle.up_count = (u64::from(window.cwnd) / segments).max(u64::from(window.mss));
    }

    fn target_inflight(&self, window: &Window) -> u64 {
        self.model.bdp(1.0, window.mss).min(u64::from(window.cwnd))
    }

    /// §5.3.3.1: room has been given when there is no queue of ours and some below the long-term bound.
    fn is_drained(&self, ack: &AckSample, window: &Window) -> bool {
        let in_flight = u64::from(ack.in_flight);
        in_flight <= self.model.inflight_with_headroom(window.mss) && in_flight <= self.model.bdp(1.0, window.mss)
    }

    /// §5.3.3.5: after two to three seconds, or as soon as Reno would have grown by a segment a round trip for that long.
    fn is_time_to_probe(&self, ack: &AckSample, window: &Window) -> bool {
        let reno = self.target_inflight(window) / u64::from(window.mss.max(1));
        ack.now.since(self.cycle.stamp) > self.cycle.wait || self.cycle.rounds >= reno.clamp(1, MOST_RENO_ROUNDS)
    }

    /// §5.3.3.4: when the rate does not rise any more, unless it is the bound that keeps it down.
    fn is_time_to_go_down(&mut self, ack: &AckSample, window: &Window) -> bool {
        if ack.cwnd_limited && u64::from(window.cwnd) >= self.model.inflight_longterm {
            self.model.reset_full_bw(ack.rate.rate as f64);
            return false;
        }
        self.model.full_bw_now
    }

    pub(super) fn start_down(&mut self, ack: &AckSample) {
        self.model.reset_congestion_signals();
        let (rounds, wait) = (self.draw(), self.draw());
        self.cycle = Cycle {
            ack_phase: AckPhase::ProbeStopping,
            stamp: ack.now,
            wait: Duration::from_secs(2) + Duration::from_secs_f64(wait),
            rounds: u64::from(rounds >= 0.5),
            // What was sent while trying is still to be acknowledged, for a round trip.
            probe_samples: self.cycle.probe_samples,
            ..Cycle::default()
        };
        self.model.start_round();
        self.state = State::ProbeBw(Phase::Down);
    }

    pub(super) fn start_cruise(&mut self) {
        self.state = State::ProbeBw(Phase::Cruise);
    }

    fn start_refill(&mut self) {
        self.model.reset_short_term();
        (self.cycle.up_rounds, self.cycle.up_acked) = (0, 0);
        self.cycle.ack_phase = AckPhase::Refilling;
        self.model.start_round();
        self.state = State::ProbeBw(Phase::Refill);
    }

    fn start_up(&mut self, ack: &AckSample, window: &Window) {
        self.cycle.ack_phase = AckPhase::ProbeStarting;
        self.model.start_round();
        self.model.reset_full_bw(ack.rate.rate as f64);
        self.state = State::ProbeBw(Phase::Up);
        self.raise_slope(window);
    }
}
