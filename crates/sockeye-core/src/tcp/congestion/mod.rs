//! How much may be in flight: the congestion window, behind one narrow trait. It marks nothing lost (`recovery`) and sends nothing (`output`).

mod bbr;
mod cubic;
mod hystart;
mod reno;

pub(super) use bbr::Bbr;
pub(super) use cubic::Cubic;
pub(super) use reno::Reno;

use super::rate::RateSample;
use crate::settings::CongestionControl as Kind;
use crate::time::{Duration, Instant};

/// The two numbers that outlive everything else about congestion, and the unit they grow in. Bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) cwnd: u32,
    pub(super) ssthresh: u32,
    pub(super) mss: u32,
}

impl Window {
    /// A threshold from here on was never set by a loss.
    pub(super) const UNKNOWN: u32 = u32::MAX / 2;

    pub(super) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }
}

/// What one acknowledgement says to congestion control.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AckSample {
    pub(super) now: Instant,
    /// Bytes newly delivered.
    pub(super) acked: u32,
    pub(super) rtt: Option<Duration>,
    pub(super) srtt: Duration,
    /// True at the first acknowledgement of a new round trip.
    pub(super) round_start: bool,
    /// What leaves is paced: a window may grow by much at once. RFC 9406 §4.2.
    pub(super) paced: bool,
    /// The window was in use: it may grow. RFC 7661 §4.
    pub(super) cwnd_limited: bool,
    /// Bytes newly taken for lost.
    pub(super) lost: u32,
    /// Bytes in flight now.
    pub(super) in_flight: u32,
    /// Losses are being repaired.
    pub(super) recovering: bool,
    pub(super) rate: RateSample,
}

/// An algorithm that moves the congestion window.
pub(super) trait CongestionControl {
    /// Bytes arrived outside recovery.
    fn on_ack(&mut self, ack: &AckSample, window: &mut Window);
    /// Loss was detected, once an episode: sets `ssthresh`; the window itself is brought down by `prr`.
    fn on_congestion(&mut self, now: Instant, window: &mut Window);
    /// The retransmission timer fired, first time in an episode: sets `ssthresh`.
    fn on_timeout(&mut self, now: Instant, window: &mut Window) {
        self.on_congestion(now, window);
    }
    /// Marks were reported, and the window has not been reduced for as much as a round trip: sets `ssthresh`. A mark comes from a short queue, so
    /// less has to be given up than after a loss. RFC 8511 §3.1.
    fn on_ecn(&mut self, now: Instant, window: &mut Window);
    /// The last reduction was needless; window and threshold have been restored.
    fn on_undo(&mut self);
    /// Nothing was in flight for a while.
    fn on_idle(&mut self);
}

/// The algorithms we have, without dynamic dispatch on the hot path.
#[derive(Clone, Debug)]
pub(super) enum Congestion {
    Reno(Reno),
    Cubic(Cubic),
    Bbr(Box<Bbr>),
}

impl Congestion {
    /// All chance in it follows from `seed`.
    pub(super) fn new(kind: Kind, seed: u32) -> Self {
        match kind {
            Kind::Reno => Self::Reno(Reno),
            Kind::Cubic => Self::Cubic(Cubic::default()),
            Kind::Bbr => Self::Bbr(Box::new(Bbr::new(u64::from(seed) << 32 | u64::from(!seed)))),
        }
    }

    pub(super) fn algorithm(&mut self) -> &mut dyn CongestionControl {
        match self {
            Self::Reno(reno) => reno,
            Self::Cubic(cubic) => cubic,
            Self::Bbr(bbr) => bbr.as_mut(),
        }
    }

    /// Bytes a second at which bursts leave, for an algorithm that says so.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        match self {
            Self::Reno(_) | Self::Cubic(_) => None,
            Self::Bbr(bbr) => bbr.pacing_rate(),
        }
    }

    /// It sets the window itself with every acknowledgement, also while losses are repaired: `prr` has no say.
    pub(super) fn is_model_based(&self) -> bool {
        matches!(self, Self::Bbr(_))
    }

    pub(super) fn on_ack(&mut self, ack: &AckSample, window: &mut Window) {
        match self {
            Self::Reno(reno) => reno.on_ack(ack, window),
            Self::Cubic(cubic) => cubic.on_ack(ack, window),
            Self::Bbr(bbr) => bbr.on_ack(ack, window),
        }
    }
}

/// The initial window: RFC 6928 §2, `min(10 * MSS, max(2 * MSS, 14600))` for ten segments.
pub(super) fn initial_window(mss: u32, segments: u32) -> u32 {
    segments
        .saturating_mul(mss)
        .min(segments.saturating_mul(1_460).max(2 * mss))
}
