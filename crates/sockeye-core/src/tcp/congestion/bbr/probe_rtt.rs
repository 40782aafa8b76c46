//! Looking for the shortest round trip: now and then the window is made so small that no queue of ours is left. draft-ietf-ccwg-bbr §5.3.4.

use super::super::{AckSample, Window};
use super::{AckPhase, Bbr, MIN_PIPE, State};
use crate::time::{Duration, Instant};

/// A shortest round trip older than this is looked for anew. §2.7, ProbeRTTInterval.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the window stays small, at least a round trip. §2.7, ProbeRTTDuration.
const LENGTH: Duration = Duration::from_millis(200);
/// What is left of the path's content meanwhile.
pub(super) const CWND_GAIN: f64 = 0.5;

/// State of the search.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeRtt {
    /// The shortest round trip of the last seconds, and when it was seen.
    pub(super) least: (Duration, Instant),
    /// The window is small: until then at least, and a round trip has passed.
    until: Option<Instant>,
    round_done: bool,
    /// Nothing was sent for a while: there is no queue of ours, and the next round trip is a short one anyway.
    pub(super) idle_restart: bool,
}

impl Default for ProbeRtt {
    fn default() -> Self {
        Self {
            least: (Duration::MAX, Instant::ZERO),
            until: None,
            round_done: false,
            idle_restart: false,
        }
    }
}

impl Bbr {
    pub(super) fn update_probe_rtt(&mut self, ack: &AckSample, window: &mut Window) {
        let (least, at) = self.probe_rtt.least;
        let expired = least != Duration::MAX && ack.now.since(at) > INTERVAL;
        if let Some(rtt) = ack.rtt
            && (rtt < least || expired)
        {
            self.probe_rtt.least = (rtt, ack.now);
        }
        self.model.update_min_rtt(ack.now, self.probe_rtt.least);
        if self.state != State::ProbeRtt && expired && !self.probe_rtt.idle_restart {
            self.save_cwnd(window);
            self.state = State::ProbeRtt;
            (self.probe_rtt.until, self.probe_rtt.round_done) = (None, false);
            self.cycle.ack_phase = AckPhase::ProbeStopping;
            self.model.start_round();
        }
        if self.state == State::ProbeRtt {
            self.stay(ack, window);
        }
        self.probe_rtt.idle_restart = false;
    }

    fn stay(&mut self, ack: &AckSample, window: &Window) {
        let small = self
            .model
            .bdp(CWND_GAIN, window.mss)
            .max(MIN_PIPE * u64::from(window.mss));
        match self.probe_rtt.until {
            None if u64::from(ack.in_flight) <= small => {
                self.probe_rtt.until = Some(ack.now + LENGTH);
                self.model.start_round();
            }
            None => {}
            Some(until) => {
                self.probe_rtt.round_done |= self.model.round_start;
                if self.probe_rtt.round_done && ack.now > until {
                    self.probe_rtt.least.1 = ack.now;
                    self.leave_probe_rtt(ack);
                }
            }
        }
    }

    fn leave_probe_rtt(&mut self, ack: &AckSample) {
        self.model.reset_short_term();
        if self.model.full_bw_reached {
            self.start_down(ack);
            self.start_cruise();
        } else {
            self.state = State::Startup;
        }
    }
}
