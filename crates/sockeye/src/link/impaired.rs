//! Netem in front of any link, in real time (or whatever time the host has).

use super::{Caps, Link};
use sockeye_core::keys::Keys;
use sockeye_core::netem::{Netem, NetemCounters, Pipe, too_big_answer};
use sockeye_core::{Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

/// Packets that came in and wait for the host at most, so that a host that is slow slows the link down.
const READY: usize = 256;

/// A link made as bad as asked for: loss, delay, jitter, reordering, duplication, corruption, rate, queue, outages; each direction on its own,
/// all from a seed. The words are those of [`sockeye_core::netem::grammar`].
///
/// ```
/// use sockeye::link::{self, Impaired};
/// use sockeye_core::netem::{Loss, Netem};
/// use std::time::Duration;
///
/// let (left, right) = link::pair();
/// let bad = Netem { loss: Loss::Random(0.02), delay: Duration::from_millis(20), ..Netem::NONE };
/// let left = Impaired::new(left, &bad, &bad, 7);
/// # drop((left, right));
/// ```
#[derive(Debug)]
pub struct Impaired<L> {
    link: L,
    up: Direction,
    down: Direction,
    /// What `up` let through, on its way into `link`.
    leaving: VecDeque<Packet>,
    /// What `down` let through, on its way to the host.
    arriving: VecDeque<Packet>,
    arrived: Vec<Packet>,
}

#[derive(Debug)]
struct Direction {
    pipe: Pipe,
    mtu: Option<u32>,
}

impl Direction {
    fn new(netem: &Netem, keys: &Keys, name: &str) -> Self {
        Self {
            pipe: Pipe::new(netem, keys, name),
            mtu: netem.mtu,
        }
    }

    /// The ICMP message to the sender of a packet that was too long.
    fn too_big_answer(&mut self) -> Option<Packet> {
        let mtu = self.mtu?;
        while let Some(packet) = self.pipe.take_too_big() {
            if let Some(answer) = too_big_answer(&packet, mtu) {
                return Some(answer);
            }
        }
        None
    }
}

impl<L: Link> Impaired<L> {
    /// Impairs `link`: `up` is what befalls packets that the host sends, `down` what befalls those it receives. The same seed and the same
    /// packets at the same times give the same luck.
    pub fn new(link: L, up: &Netem, down: &Netem, seed: u64) -> Self {
        let keys = Keys::new(seed, "impaired");
        Self {
            up: Direction::new(up, &keys, "up"),
            down: Direction::new(down, &keys, "down"),
            link,
            leaving: VecDeque::new(),
            arriving: VecDeque::new(),
            arrived: Vec::new(),
        }
    }

    /// What was done so far to packets that the host sent.
    pub fn up(&self) -> &NetemCounters {
        self.up.pipe.counters()
    }

    /// What was done so far to packets for the host.
    pub fn down(&self) -> &NetemCounters {
        self.down.pipe.counters()
    }
}

impl<L: Link> Link for Impaired<L> {
    fn caps(&self) -> Caps {
        self.link.caps()
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        batch: &mut Vec<Packet>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        while self.arriving.len() < READY {
            match self.link.poll_recv(cx, now, &mut self.arrived, max) {
                Poll::Ready(Ok(())) if self.down.pipe.pass(now, &mut self.arrived) => {
                    self.arriving.extend(self.arrived.drain(..));
                }
                Poll::Ready(Ok(())) => self
                    .arrived
                    .drain(..)
                    .for_each(|packet| self.down.pipe.push(now, packet)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
            self.arriving.extend(std::iter::from_fn(|| self.down.pipe.pop(now)));
        }
        self.arriving.extend(std::iter::from_fn(|| self.down.pipe.pop(now)));
        self.arriving.extend(std::iter::from_fn(|| self.up.too_big_answer()));
        if self.arriving.is_empty() {
            return Poll::Pending;
        }
        batch.extend(self.arriving.drain(..max.min(self.arriving.len())));
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, now: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        if self.up.pipe.pass(now, &mut *batch) {
            self.leaving.append(batch);
        } else {
            batch.drain(..).for_each(|packet| self.up.pipe.push(now, packet));
        }
        self.leaving.extend(std::iter::from_fn(|| self.up.pipe.pop(now)));
        self.leaving.extend(std::iter::from_fn(|| self.down.too_big_answer()));
        self.link.poll_send(cx, now, &mut self.leaving)
    }

    fn deadline(&self) -> Option<Instant> {
        let all = [
            self.up.pipe.poll_timeout(),
            self.down.pipe.poll_timeout(),
            self.link.deadline(),
        ];
        all.into_iter().flatten().min()
    }
}
