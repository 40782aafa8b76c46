//! BBR, version 3: a model of the path (how fast it delivers, how long it is, how much it holds before it loses) instead of a window that grows until
//! something is lost. Spec: draft-ietf-ccwg-bbr, whose names are kept.
//!
//! This file is the control: from the model to the pacing rate and the window, and which state one is in. The model itself is `model`, the
//! cycle of probing for bandwidth `probe_bw`, looking for the shortest round trip `probe_rtt`. Beyond loss, marks count as losses (there is no finer
//! ECN signal here); what idle connections knew is forgotten with the flow.

mod model;
mod probe_bw;
mod probe_rtt;

use super::{AckSample, CongestionControl, Window};
use crate::time::{Duration, Instant};
use model::Model;
use probe_bw::{AckPhase, Cycle, Phase};
use probe_rtt::ProbeRtt;

/// Doubles the rate each round trip: 4 ln 2. §5.3.1.
const STARTUP_PACING_GAIN: f64 = 2.77;
/// Gives back what startup has queued. §5.3.2.
const DRAIN_PACING_GAIN: f64 = 0.5;
/// Room for acknowledgements that come late and in bunches. §5.6.1.
const CWND_GAIN: f64 = 2.0;
/// We send so much below the rate that was measured, so that queues drain. §5.6.2.
const PACING_MARGIN: f64 = 0.99;
/// A window that still allows for delayed acknowledgements, in segments. §2.7, MinPipeCwnd.
const MIN_PIPE: u64 = 4;
/// Loss events that make a round of startup one of loss. §5.3.1.3.
const STARTUP_FULL_LOSS: u32 = 6;

/// What is being done. §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    ProbeBw(Phase),
    ProbeRtt,
}

/// The algorithm. Boxed by its owner: nobody who does not use it pays for it.
#[derive(Clone, Debug)]
pub(in crate::tcp) struct Bbr {
    state: State,
    model: Model,
    cycle: Cycle,
    probe_rtt: ProbeRtt,
    pacing_rate: f64,
    /// The window to come back to after a timeout or a visit to ProbeRTT.
    prior_cwnd: u32,
    restoring: bool,
    loss_events: u32,
    chance: u64,
}

impl Bbr {
    /// A new one; all its chance follows from `seed`.
    pub(in crate::tcp) fn new(seed: u64) -> Self {
        Self {
            state: State::Startup,
            model: Model::default(),
            cycle: Cycle::default(),
            probe_rtt: ProbeRtt::default(),
            pacing_rate: 0.0,
            prior_cwnd: 0,
            restoring: false,
            loss_events: 0,
            chance: seed | 1,
        }
    }

    /// Bytes a second; `None` before the first measurement.
    pub(in crate::tcp) fn pacing_rate(&self) -> Option<u64> {
        (self.pacing_rate > 0.0).then_some(self.pacing_rate as u64)
    }

    /// A number from 0 up to 1, by xorshift.
    fn draw(&mut self) -> f64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn pacing_gain(&self) -> f64 {
        match self.state {
            State::Startup => STARTUP_PACING_GAIN,
            State::Drain => DRAIN_PACING_GAIN,
            State::ProbeBw(phase) => phase.pacing_gain(),
            State::ProbeRtt => 1.0,
        }
    }

    fn cwnd_gain(&self) -> f64 {
        match self.state {
            State::ProbeBw(Phase::Up) => CWND_GAIN + 0.25,
            State::ProbeRtt => probe_rtt::CWND_GAIN,
            _ => CWND_GAIN,
        }
    }

    /// Takes in an acknowledgement. §5.2.3.
    pub(in crate::tcp) fn update(&mut self, ack: &AckSample, window: &mut Window) {
        self.model.update(ack, window, self.is_probing());
        self.check_startup(ack, window);
        if self.state == State::Drain && u64::from(ack.in_flight) <= self.model.bdp(1.0, window.mss) {
            self.start_down(ack);
        }
        self.update_cycle(ack, window);
        self.update_probe_rtt(ack, window);
        self.model.advance(ack);
        self.set_pacing_rate(ack, window);
        self.set_cwnd(ack, window);
    }

    /// More is being sent than was known to be there: losses then are no reason to believe that the path has become slower.
    fn is_probing(&self) -> bool {
        matches!(self.state, State::Startup | State::ProbeBw(Phase::Refill | Phase::Up))
    }

    /// §5.3.1: startup ends when the rate stops to rise, or when a round loses more than a path with room does.
    fn check_startup(&mut self, ack: &AckSample, window: &Window) {
        self.loss_events += u32::from(ack.lost > 0);
        if self.state == State::Startup && self.model.loss_round_start {
            if self.loss_events >= STARTUP_FULL_LOSS && model::is_inflight_too_high(ack) {
                self.model.full_bw_reached = true;
                let bdp = self.model.bdp(1.0, window.mss);
                self.model.inflight_longterm = bdp.max(self.model.inflight_latest);
            }
            self.loss_events = 0;
        }
        if self.state == State::Startup && self.model.full_bw_reached {
            self.state = State::Drain;
        }
    }

    /// §5.6.2. Before the pipe is full the rate only rises: a sample that the window limited is no news.
    fn set_pacing_rate(&mut self, ack: &AckSample, window: &Window) {
        let gain = self.pacing_gain();
        let bw = self.model.bw();
        let rate = if bw > 0.0 {
            // Below what the path was seen to carry nothing queues, and a margin would make every round with a loss a little slower.
            let margin = if self.model.is_short_of_max() {
                1.0
            } else {
                PACING_MARGIN
            };
            gain * bw * margin
        } else {
            gain * f64::from(window.cwnd) / ack.srtt.max(Duration::from_millis(1)).as_secs_f64()
        };
        if self.model.full_bw_reached || rate > self.pacing_rate {
            self.pacing_rate = rate;
        }
    }

    /// §5.6.4.
    fn set_cwnd(&mut self, ack: &AckSample, window: &mut Window) {
        let mss = u64::from(window.mss);
        let least = MIN_PIPE * mss;
        // Three bursts at least: one leaving, one on its way, one being acknowledged.
        let burst = ((self.pacing_rate / 1_000.0) as u64).min(65_536).max(2 * mss);
        let up = if self.state == State::ProbeBw(Phase::Up) {
            2 * mss
        } else {
            0
        };
        let held = self.model.bdp(self.cwnd_gain(), window.mss);
        let most = held
            .saturating_add(self.model.extra_acked())
            .max(3 * burst)
            .max(least)
            .saturating_add(up);
        let grown = u64::from(window.cwnd) + u64::from(ack.acked);
        let mut cwnd = if self.model.full_bw_reached {
            grown.min(most)
        } else if u64::from(window.cwnd) < most || self.model.delivered < 20 * mss {
            grown
        } else {
            u64::from(window.cwnd)
        };
        if self.restoring && !ack.recovering && self.state != State::ProbeRtt {
            self.restoring = false;
            cwnd = cwnd.max(u64::from(self.prior_cwnd));
        }
        if self.state == State::ProbeRtt {
            cwnd = cwnd.min(self.model.bdp(probe_rtt::CWND_GAIN, window.mss).max(least));
        }
        let cap = match self.state {
            State::ProbeBw(Phase::Cruise) | State::ProbeRtt => self.model.inflight_with_headroom(window.mss),
            State::ProbeBw(_) => self.model.inflight_longterm,
            _ => u64::MAX,
        };
        cwnd = cwnd.max(least).min(cap.min(self.model.inflight_shortterm).max(least));
        window.cwnd = u32::try_from(cwnd).unwrap_or(u32::MAX / 4).min(u32::MAX / 4);
    }

    fn save_cwnd(&mut self, window: &Window) {
        self.prior_cwnd = if self.restoring {
            self.prior_cwnd.max(window.cwnd)
        } else {
            window.cwnd
        };
        self.restoring = true;
    }
}

impl CongestionControl for Bbr {
    /// The model does all; nothing grows by counting acknowledgements.
    fn on_ack(&mut self, ack: &AckSample, window: &mut Window) {
        self.update(ack, window);
    }

    /// What is lost is counted with each acknowledgement.
    fn on_congestion(&mut self, _now: Instant, _window: &mut Window) {}

    fn on_timeout(&mut self, _now: Instant, window: &mut Window) {
        self.save_cwnd(window);
    }

    fn on_ecn(&mut self, _now: Instant, _window: &mut Window) {
        self.model.loss_in_round = true;
    }

    /// What was lost turned out not to be: the short-term bounds that followed from it go.
    fn on_undo(&mut self) {
        self.model.reset_short_term();
    }

    fn on_idle(&mut self) {
        self.probe_rtt.idle_restart = true;
    }
}

#[cfg(test)]
mod tests;
