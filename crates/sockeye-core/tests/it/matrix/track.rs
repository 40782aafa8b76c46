//! A link and a stack at either end: who acts when, and what an observer who sees every packet and its fate has to say.
//!
//! Sockeye and smoltcp run on the same track: the same pipes with the same luck, the same application, the same observer.

use super::ledger::Ledger;
use sockeye_core::keys::Keys;
use sockeye_core::netem::{Netem, Pipe};
use sockeye_core::time::{Duration, Instant};
use sockeye_core::{Packet, packet::Mark};
use std::collections::VecDeque;

/// A stack with its application at one end of the link: the first sends without end on so many connections, the second reads all of it.
pub(crate) trait End {
    /// Packets that have arrived.
    fn receive(&mut self, now: Instant, batch: &mut Vec<Packet>);
    /// Does what is due and what the application wants, and gives what is to be sent.
    fn poll(&mut self, now: Instant, out: &mut VecDeque<Packet>);
    /// When to poll next.
    fn deadline(&mut self) -> Option<Instant>;
    /// Bytes that the application has read, a number for each connection.
    fn read(&self) -> Vec<u64>;
}

/// What one run came to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Bytes read, of each connection, from the start to the end.
    pub(crate) read: Vec<u64>,
    /// The same, of the second half of the time.
    pub(crate) late: Vec<u64>,
    pub(crate) ledger: Ledger,
}

/// Polls at one instant at most: an end that wants more than that is never satisfied.
const PATIENCE: u32 = 1_000_000;

/// Lets `ends` send from the first to the second for so long, over a link that is `there` one way and `back` the other.
pub(crate) fn run(mut ends: [Box<dyn End>; 2], there: &Netem, back: &Netem, seed: u64, time: Duration) -> Run {
    let keys = Keys::new(seed, "matrix");
    let mut pipes = [Pipe::new(there, &keys, "there"), Pipe::new(back, &keys, "back")];
    let mut ledger = Ledger::default();
    let mut deadlines = [Some(Instant::ZERO); 2];
    let (mut batch, mut out) = (Vec::new(), VecDeque::new());
    let (half, end) = (Instant::ZERO + time / 2, Instant::ZERO + time);
    let mut at_half = None;
    let mut now = Instant::ZERO;
    let mut patience = PATIENCE;
    loop {
        let next = deadlines.iter().copied().chain(pipes.iter().map(Pipe::poll_timeout));
        let Some(at) = next.flatten().min() else { break };
        if at > half && at_half.is_none() {
            at_half = Some(ends[1].read());
        }
        if at > end {
            break;
        }
        patience = if at > now { PATIENCE } else { patience - 1 };
        now = at.max(now);
        for n in 0..2 {
            while let Some(packet) = pipes[1 - n].pop(now) {
                batch.push(packet);
            }
            if batch.is_empty() && deadlines[n].is_none_or(|at| at > now) {
                continue;
            }
            if !batch.is_empty() {
                ends[n].receive(now, &mut batch);
                batch.clear();
            }
            ends[n].poll(now, &mut out);
            for packet in out.drain(..) {
                pipes[n].push_with(now, packet, &mut |packet, fate| {
                    if n == 0 && !matches!(fate, sockeye_core::netem::Fate::Passed(m) if m.has(Mark::DUPLICATE)) {
                        ledger.sent(packet, fate);
                    }
                });
            }
            deadlines[n] = ends[n].deadline();
        }
    }
    let read = ends[1].read();
    let early = at_half.unwrap_or_else(|| read.clone());
    let late = read.iter().zip(&early).map(|(read, early)| read - early).collect();
    Run { read, late, ledger }
}
