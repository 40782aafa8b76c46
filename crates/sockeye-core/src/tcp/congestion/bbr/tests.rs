use super::super::super::rate::{RateSample, Stamp};
use super::*;

const MSS: u32 = 1_000;
const RTT: Duration = Duration::from_millis(100);

/// A path of so many segments a round trip, fed with what BBR puts in flight; a share of a round's segments is lost.
struct Path {
    bbr: Bbr,
    window: Window,
    now: Instant,
    delivered: u64,
    capacity: u32,
    /// The states it went through.
    seen: Vec<State>,
}

fn stamp(delivered: u64, in_flight: u32) -> Stamp {
    let mut stamp = Stamp::default();
    (stamp.delivered, stamp.in_flight) = (delivered, in_flight);
    stamp
}

impl Path {
    fn new(capacity: u32) -> Self {
        Self {
            bbr: Bbr::new(7),
            window: Window {
                cwnd: 10 * MSS,
                ssthresh: Window::UNKNOWN,
                mss: MSS,
            },
            now: Instant::from_millis(1),
            delivered: 0,
            capacity,
            seen: Vec::new(),
        }
    }

    /// A round trip: what the window and the rate let go is delivered, as fast as the path can.
    fn round(&mut self, lost: u32) {
        let paced = self
            .bbr
            .pacing_rate()
            .map_or(u64::MAX, |rate| rate / 10 / u64::from(MSS));
        let sent = (self.window.cwnd / MSS)
            .min(u32::try_from(paced).unwrap_or(u32::MAX))
            .max(4);
        let carried = sent.min(self.capacity);
        let queued = sent - carried;
        let rtt = RTT + RTT * queued / self.capacity;
        let before = self.delivered;
        for n in 0..carried {
            self.delivered += u64::from(MSS);
            let ack = AckSample {
                now: self.now + rtt * (n + 1) / carried,
                acked: MSS,
                rtt: Some(rtt),
                srtt: rtt,
                lost: if n < lost { MSS } else { 0 },
                in_flight: (sent - n - 1) * MSS,
                cwnd_limited: sent >= self.window.cwnd / MSS,
                rate: RateSample {
                    rate: u64::from(carried * MSS) * 1_000 / RTT.as_millis() as u64,
                    delivered: self.delivered - before,
                    lost: u64::from(lost.min(n + 1) * MSS),
                    stamp: stamp(before, sent * MSS),
                    app_limited: false,
                },
                ..AckSample::default()
            };
            self.bbr.on_ack(&ack, &mut self.window);
            if self.seen.last() != Some(&self.bbr.state) {
                self.seen.push(self.bbr.state);
            }
        }
        self.now += rtt;
    }
}

/// §5.3.1, §5.3.2: startup doubles until the rate stops to rise, drain gives the queue back, and then the pipe is full without one.
#[test]
fn startup_finds_the_rate_and_drain_empties_the_queue() {
    let mut path = Path::new(200);
    for _ in 0..30 {
        path.round(0);
    }
    let rate = path.bbr.model.bw();
    assert!((1_990_000.0..2_010_000.0).contains(&rate), "{rate}");
    assert_eq!(path.bbr.model.min_rtt, RTT);
    let states = path.seen;
    assert_eq!(states[..2], [State::Startup, State::Drain], "{states:?}");
    assert!(matches!(states[2], State::ProbeBw(_)), "{states:?}");
}

/// §5.3.3: the four phases follow each other, and each cycle tries for more.
#[test]
fn the_cycle_goes_round() {
    let mut path = Path::new(100);
    for _ in 0..120 {
        path.round(0);
    }
    let phases = path.seen;
    for (phase, next) in [
        (Phase::Refill, Phase::Up),
        (Phase::Up, Phase::Down),
        (Phase::Down, Phase::Cruise),
        (Phase::Cruise, Phase::Refill),
    ] {
        let pairs = phases.windows(2).filter(|pair| pair[0] == State::ProbeBw(phase));
        // A visit to ProbeRTT may come in between.
        let after: Vec<State> = pairs
            .map(|pair| pair[1])
            .filter(|next| *next != State::ProbeRtt)
            .collect();
        assert!(after.len() >= 2, "{phase:?}: {phases:?}");
        assert!(after.iter().all(|state| *state == State::ProbeBw(next)), "{phases:?}");
    }
}

/// §5.5.10: a round that loses more than a fiftieth while more is tried for sets the long-term bound; losses at other times are short-term news,
/// forgotten at the next try.
#[test]
fn bounds_follow_losses() {
    let mut path = Path::new(100);
    while path.bbr.state != State::ProbeBw(Phase::Cruise) {
        path.round(0);
    }
    path.round(1);
    path.round(0);
    assert!(path.bbr.model.inflight_shortterm < u64::MAX);
    assert_eq!(path.bbr.model.inflight_longterm, u64::MAX);
    while path.bbr.state != State::ProbeBw(Phase::Up) {
        path.round(0);
    }
    assert_eq!(path.bbr.model.inflight_shortterm, u64::MAX);
    path.round(10);
    assert!(path.bbr.model.inflight_longterm < u64::MAX);
    assert_ne!(path.bbr.state, State::ProbeBw(Phase::Up));
}

/// §5.3.4: every five seconds the window is half of what the path holds, for a fifth of a second.
#[test]
fn the_shortest_round_trip_is_looked_for() {
    let mut path = Path::new(100);
    for _ in 0..150 {
        path.round(0);
        if path.bbr.state == State::ProbeRtt {
            assert!(path.window.cwnd <= 60 * MSS, "{}", path.window.cwnd);
        }
        // A queue that is not ours: no round trip is as short as the shortest was.
        path.bbr.probe_rtt.least.0 = Duration::from_millis(99);
    }
    let visits = path.seen.windows(2).filter(|pair| pair[0] == State::ProbeRtt);
    let next: Vec<State> = visits.map(|pair| pair[1]).collect();
    assert!((2..=3).contains(&next.len()), "{next:?} in 15 seconds");
    assert!(
        next.iter().all(|state| *state == State::ProbeBw(Phase::Cruise)),
        "{next:?}"
    );
}
