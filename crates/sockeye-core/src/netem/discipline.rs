//! What a queue does about its own length: nothing until it is full, marks beyond a step, or CoDel.
//!
//! Packets leave in the order they came and at a rate that is known, so what is done with one when its turn comes can be said as it enters: its
//! turn is when those before it that go on have left. Just what will stand behind it then is not known; what stood before it stands in for that.

use crate::time::{Duration, Instant};

/// A queue discipline, with tc's words.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Discipline {
    /// First in, first out; what finds the queue full is dropped.
    #[default]
    Fifo,
    /// The same, and packets that understand marks get one when they find the queue at the step or above.
    Step(Step),
    /// CoDel: RFC 8289.
    Codel(Codel),
}

/// Where marks begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// So many packets in the queue, the one being sent included.
    Packets(usize),
    /// So long a wait.
    Wait(Duration),
}

/// How CoDel is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codel {
    /// A wait that is acceptable.
    pub target: Duration,
    /// How long waits above the target are borne: the longest round trip to be expected.
    pub interval: Duration,
    /// Mark packets that understand it instead of dropping them.
    pub ecn: bool,
}

impl Default for Codel {
    /// RFC 8289 §4.2 and §4.3: 5 and 100 milliseconds.
    fn default() -> Self {
        Self {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            ecn: false,
        }
    }
}

impl Discipline {
    /// True when it may mark packets.
    pub fn marks(&self) -> bool {
        matches!(self, Self::Step(_) | Self::Codel(Codel { ecn: true, .. }))
    }
}

/// What a packet meets in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// When its turn comes.
    pub(super) at: Instant,
    /// How long it waits for that.
    pub(super) wait: Duration,
    /// Packets that were there before it.
    pub(super) ahead: usize,
    /// It understands marks.
    pub(super) ect: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Mark,
    Drop,
}

/// A discipline at work. The names of RFC 8289 §5.
#[derive(Clone, Debug, Default)]
pub(super) struct Warden {
    discipline: Discipline,
    first_above_time: Option<Instant>,
    drop_next: Instant,
    count: u32,
    lastcount: u32,
    dropping: bool,
}

impl Warden {
    pub(super) fn new(discipline: Discipline) -> Self {
        Self {
            discipline,
            ..Self::default()
        }
    }

    pub(super) fn judge(&mut self, turn: &Turn) -> Verdict {
        let beyond = match self.discipline {
            Discipline::Fifo => false,
            Discipline::Step(Step::Packets(step)) => turn.ect && turn.ahead >= step,
            Discipline::Step(Step::Wait(step)) => turn.ect && turn.wait >= step,
            Discipline::Codel(codel) => {
                return match (self.is_struck(turn, &codel), codel.ecn && turn.ect) {
                    (false, _) => Verdict::Pass,
                    (true, true) => Verdict::Mark,
                    (true, false) => Verdict::Drop,
                };
            }
        };
        if beyond { Verdict::Mark } else { Verdict::Pass }
    }

    /// RFC 8289 §5.5: dequeue, for one packet. One that is dropped gives its turn to the next, which is judged by itself.
    fn is_struck(&mut self, turn: &Turn, codel: &Codel) -> bool {
        let late = self.is_late(turn, codel);
        if !self.dropping {
            if late {
                self.dropping = true;
                // Soon after the last time it begins where that had got to.
                let delta = self.count - self.lastcount;
                let recent = turn.at.since(self.drop_next) < 16 * codel.interval;
                self.count = if delta > 1 && recent { delta } else { 1 };
                self.drop_next = turn.at + codel.spacing(self.count);
                self.lastcount = self.count;
            }
            return late;
        }
        self.dropping = late;
        if !late || turn.at < self.drop_next {
            return false;
        }
        self.count = self.count.saturating_add(1);
        self.drop_next += codel.spacing(self.count);
        true
    }

    /// RFC 8289 §5.6: has every packet waited longer than the target for a whole interval? A single packet is no queue.
    fn is_late(&mut self, turn: &Turn, codel: &Codel) -> bool {
        if turn.wait < codel.target || turn.ahead <= 1 {
            self.first_above_time = None;
            return false;
        }
        let since = *self.first_above_time.get_or_insert(turn.at + codel.interval);
        turn.at >= since
    }
}

impl Codel {
    /// The control law of RFC 8289 §5.4: closer and closer, so that a Reno flow's rate falls in a straight line.
    fn spacing(&self, count: u32) -> Duration {
        Duration::from_nanos((self.interval.as_nanos() as f64 / f64::from(count).sqrt()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MS;

    fn turn(ms: u64, wait: u32, ect: bool) -> Turn {
        Turn {
            at: Instant::from_millis(ms),
            wait: MS * wait,
            ahead: wait as usize,
            ect,
        }
    }

    #[test]
    fn a_step_marks_what_understands_it() {
        for (step, waits) in [(Step::Packets(20), [19, 20, 21]), (Step::Wait(20 * MS), [19, 20, 21])] {
            let mut warden = Warden::new(Discipline::Step(step));
            let told = waits.map(|wait| warden.judge(&turn(1, wait, true)));
            assert_eq!(told, [Verdict::Pass, Verdict::Mark, Verdict::Mark], "{step:?}");
            assert_eq!(warden.judge(&turn(1, 50, false)), Verdict::Pass);
        }
    }

    /// RFC 8289 §5: nothing for an interval above the target, then one, then the next after interval/sqrt(count); below the target it ends.
    #[test]
    fn codel_strikes_faster_and_faster() {
        let codel = Codel {
            ecn: true,
            ..Codel::default()
        };
        let mut warden = Warden::new(Discipline::Codel(codel));
        let struck = |warden: &mut Warden, from: u64, to: u64, wait: u32| -> Vec<u64> {
            let all = (from..to).filter(|ms| warden.judge(&turn(*ms, wait, true)) == Verdict::Mark);
            all.collect()
        };
        assert_eq!(struck(&mut warden, 0, 1_000, 4), [0_u64; 0]);
        let first = struck(&mut warden, 1_000, 1_500, 6);
        // 100, then 100 later, then 100/sqrt(2), 100/sqrt(3), 100/2, each rounded up to the next packet.
        assert_eq!(first, [1_100, 1_200, 1_271, 1_329, 1_379, 1_424, 1_464]);
        assert_eq!(struck(&mut warden, 1_500, 1_510, 4), [0_u64; 0]);
        // Back soon: it goes on from where it was, six strikes deep.
        let again = struck(&mut warden, 1_510, 1_700, 6);
        assert_eq!(again[0], 1_610);
        assert!(again[1] - again[0] < 50, "{again:?}");
        assert_eq!(
            warden.judge(&turn(1_800, 6, false)),
            Verdict::Drop,
            "who understands no marks"
        );
    }

    #[test]
    fn codel_leaves_a_single_packet_alone() {
        let mut warden = Warden::new(Discipline::Codel(Codel::default()));
        for ms in 0..1_000 {
            let alone = Turn {
                ahead: 1,
                ..turn(ms, 12, false)
            };
            assert_eq!(warden.judge(&alone), Verdict::Pass);
        }
    }
}
