//! The cells of the matrix, and how a stack does in one.

use super::track::{End, Run, run};
use super::{smoltcp, sockeye};
use sockeye_core::netem::{Loss, Netem};
use sockeye_core::settings::Settings;
use sockeye_core::time::Duration;
use std::fmt;

/// How long a run lasts.
const TIME: Duration = Duration::from_secs(20);
/// Seeds of a cell; what stands on the page is the mean.
const SEEDS: u64 = 3;
/// Payload of a full packet on the wire, and its whole length: what part of a link's rate can be goodput.
const PAYLOAD: f64 = 1460.0 / 1500.0;

/// A link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    /// Packets of the sender that are lost, in thousandths.
    pub(crate) loss: u32,
    /// Packets of the sender that overtake all that is under way, in hundredths.
    pub(crate) reorder: u32,
    /// Round-trip time in milliseconds.
    pub(crate) rtt: u32,
    /// Megabits a second.
    pub(crate) rate: u32,
    /// Length of the queue, in hundredths of what fits into the link during a round trip.
    pub(crate) queue: u32,
}

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Sockeye,
    Smoltcp,
}

/// How a stack did in a cell, over all seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    /// Bits a second that the application read.
    pub(crate) goodput: f64,
    /// Share of all bytes sent that had been sent before.
    pub(crate) resent: f64,
    /// Share of all bytes sent that were sent again although they were not lost.
    pub(crate) spurious: f64,
}

/// How a stack shares a link among flows that start together, over all seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// Bits a second that all flows together read.
    pub(crate) goodput: f64,
    /// Jain's index in the second half of the time: 1 when all have the same, 1/n when one has all.
    pub(crate) jain: f64,
}

/// The link that flows share: one bandwidth-delay product of queue.
pub(crate) const SHARED: Cell = Cell {
    loss: 0,
    reorder: 0,
    rtt: 20,
    rate: 100,
    queue: 100,
};
/// How long they share it.
const SHARING: Duration = Duration::from_secs(60);

/// All cells.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for loss in [0, 1, 10, 30] {
        for reorder in [0, 3] {
            for rtt in [20, 100] {
                for rate in [10, 100] {
                    for queue in [25, 100] {
                        cells.push(Cell {
                            loss,
                            reorder,
                            rtt,
                            rate,
                            queue,
                        });
                    }
                }
            }
        }
    }
    cells
}

impl Cell {
    /// Packets that wait at most.
    pub(crate) fn packets(&self) -> usize {
        let product = u64::from(self.rate) * u64::from(self.rtt) * 1_000 / 8 / 1_500;
        (product * u64::from(self.queue) / 100) as usize
    }

    /// What befalls packets each way.
    fn netem(&self) -> [Netem; 2] {
        let back = Netem {
            delay: Duration::from_millis(u64::from(self.rtt)) / 2,
            ..Netem::NONE
        };
        let there = Netem {
            loss: if self.loss == 0 {
                Loss::None
            } else {
                Loss::Random(f64::from(self.loss) / 1_000.0)
            },
            reorder: f64::from(self.reorder) / 100.0,
            rate: Some(u64::from(self.rate) * 1_000_000),
            queue: self.packets(),
            ..back.clone()
        };
        [there, back]
    }

    /// One run.
    pub(crate) fn run(&self, stack: Stack, settings: &Settings, flows: usize, seed: u64, time: Duration) -> Run {
        let [there, back] = self.netem();
        let ends: [Box<dyn End>; 2] = match stack {
            Stack::Sockeye => sockeye::ends(seed, flows, settings),
            Stack::Smoltcp => smoltcp::ends(seed, flows),
        };
        run(ends, &there, &back, seed, time)
    }

    /// All seeds.
    pub(crate) fn score(&self, stack: Stack, settings: &Settings) -> Score {
        let runs: Vec<Run> = (0..SEEDS)
            .map(|seed| self.run(stack, settings, 1, seed, TIME))
            .collect();
        let sum = |of: fn(&Run) -> u64| runs.iter().map(of).sum::<u64>() as f64;
        let sent = sum(|run| run.ledger.sent).max(1.0);
        Score {
            goodput: sum(|run| run.read.iter().sum()) * 8.0 / TIME.as_secs_f64() / SEEDS as f64,
            resent: sum(|run| run.ledger.resent) / sent,
            spurious: sum(|run| run.ledger.spurious) / sent,
        }
    }

    /// So many flows at once, all seeds.
    pub(crate) fn share(&self, stack: Stack, settings: &Settings, flows: usize) -> Share {
        let runs: Vec<Run> = (0..SEEDS)
            .map(|seed| self.run(stack, settings, flows, seed, SHARING))
            .collect();
        let bytes: u64 = runs.iter().flat_map(|run| &run.read).sum();
        Share {
            goodput: bytes as f64 * 8.0 / SHARING.as_secs_f64() / SEEDS as f64,
            jain: runs.iter().map(|run| jain(&run.late, flows)).sum::<f64>() / SEEDS as f64,
        }
    }

    /// What the link could carry of payload, in bits a second.
    pub(crate) fn capacity(&self) -> f64 {
        f64::from(self.rate) * 1e6 * PAYLOAD
    }

    /// Is there anything that a stack has to cope with?
    pub(crate) fn is_bad(&self) -> bool {
        self.loss > 0 || self.reorder > 0
    }
}

/// Jain's fairness index. Flows that never came to be have had nothing.
pub(crate) fn jain(shares: &[u64], flows: usize) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| *share as f64 * *share as f64).sum();
    sum * sum / (flows as f64 * squares).max(1.0)
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>4.1} % | {:>2} % | {:>3} ms | {:>3} Mbit/s | {:>4}",
            f64::from(self.loss) / 10.0,
            self.reorder,
            self.rtt,
            self.rate,
            self.packets()
        )
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6.2} | {:>5.2} % | {:>5.2} %",
            self.goodput / 1e6,
            self.resent * 100.0,
            self.spurious * 100.0
        )
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6.2} | {:>5.3}", self.goodput / 1e6, self.jain)
    }
}
