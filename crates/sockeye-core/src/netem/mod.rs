//! One direction of a link, as bad as asked for: [`Netem`] says how, a [`Pipe`] does it.
//!
//! A packet passes the stages in this order: outage, loss, mtu, corrupt, duplicate, rate with its queue, delay with jitter and reordering.
//! Each stage has its own seeded stream of chance and draws from it once for every packet, whatever the others did to that packet: adding a
//! stage, or changing one, never changes which packets another strikes. The same engine runs under a virtual clock and on a real one.
//!
//! Words and meanings are those of `tc netem` where it has them; [`grammar`] reads them.

mod chance;
mod corrupt;
mod delay;
mod discipline;
pub mod grammar;
mod loss;
mod pipe;
mod rate;
mod too_big;
mod under_way;

pub use delay::{Distribution, HOLD};
pub use discipline::{Codel, Discipline, Step};
pub use loss::Loss;
pub use pipe::Pipe;
pub use too_big::{too_big_answer, unreachable_answer};

use crate::packet::{Mark, Packet};
use crate::time::Duration;
use std::borrow::Cow;

/// What one direction of a link does to packets. Probabilities are fractions, 0 to 1. Written as text: see [`grammar`].
#[derive(Clone, Debug, PartialEq)]
pub struct Netem {
    /// Times, counted from the first packet or timer of the pipe, in which nothing passes.
    pub blackhole: Vec<Window>,
    /// Which packets are lost.
    pub loss: Loss,
    /// Longest IP packet that passes, in bytes. Longer ones are dropped, and [`Pipe::take_too_big`] gives them to whoever answers.
    pub mtu: Option<u32>,
    /// Those are dropped without a word: a black hole for long packets.
    pub mtu_silent: bool,
    /// How many packets have one bit flipped.
    pub corrupt: f64,
    /// How many packets arrive twice. The copy has a delay of its own.
    pub duplicate: f64,
    /// Bits a second; `None` has no limit and so no queue.
    pub rate: Option<u64>,
    /// Packets that wait for `rate` at most, the one being sent included.
    pub queue: usize,
    /// What the queue does before it is full.
    pub discipline: Discipline,
    /// Time under way.
    pub delay: Duration,
    /// Spread of `delay`.
    pub jitter: Duration,
    /// Shape of `jitter`.
    pub distribution: Distribution,
    /// How many packets overtake those before them. With no delay to save, they are held back for a few packets instead.
    pub reorder: f64,
    /// Only every n-th packet may overtake; 0 and 1 mean any.
    pub reorder_gap: u32,
    /// Never deliver out of order, jitter or not: for tests.
    pub keep_order: bool,
}

/// Packets that wait for `rate` when nothing else is said: netem's default.
pub const DEFAULT_QUEUE: usize = 1_000;

impl Netem {
    /// A perfect wire.
    pub const NONE: Self = Self {
        blackhole: Vec::new(),
        loss: Loss::None,
        mtu: None,
        mtu_silent: false,
        corrupt: 0.0,
        duplicate: 0.0,
        rate: None,
        queue: DEFAULT_QUEUE,
        discipline: Discipline::Fifo,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        distribution: Distribution::Uniform,
        reorder: 0.0,
        reorder_gap: 0,
        keep_order: false,
    };

    /// True when packets pass as they are, at once. (A queue or a jitter shape alone does nothing.)
    pub fn is_none(&self) -> bool {
        let changes_nothing = Self {
            queue: DEFAULT_QUEUE,
            discipline: Discipline::Fifo,
            mtu_silent: false,
            distribution: Distribution::default(),
            reorder_gap: 0,
            keep_order: false,
            ..self.clone()
        };
        changes_nothing == Self::NONE
    }
}

impl Default for Netem {
    fn default() -> Self {
        Self::NONE
    }
}

/// A stretch of time since a pipe's first use: from `start` until before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub start: Duration,
    /// The first moment after it.
    pub end: Duration,
}

/// What became of one wire packet on entering a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on, with these remarks: corrupted, a duplicate, reordered, marked.
    Passed(Mark),
    /// The loss model struck it.
    Lost,
    /// It came during an outage.
    Outage,
    /// It is longer than the link's mtu.
    TooBig,
    /// The queue was full.
    QueueFull,
    /// CoDel dropped it: packets had waited too long for too long.
    Codel,
}

impl Fate {
    /// A remark for a capture; `None` when there is nothing to remark.
    pub fn comment(self) -> Option<Cow<'static, str>> {
        let text = match self {
            Self::Lost => "netem: lost",
            Self::Outage => "netem: lost in an outage",
            Self::TooBig => "netem: dropped, longer than the mtu",
            Self::QueueFull => "netem: dropped, queue full",
            Self::Codel => "netem: dropped by codel",
            Self::Passed(mark) => return remarks_on(mark),
        };
        Some(Cow::Borrowed(text))
    }

    /// All remarks on a packet that met this fate: also that its sender had sent it before, or that it probes the path.
    pub fn remarks(self, packet: &Packet) -> Option<Cow<'static, str>> {
        let mark = packet.meta.mark;
        let sender = if mark.has(Mark::RETRANSMISSION) {
            Some("tcp: retransmission")
        } else if mark.has(Mark::PROBE) {
            Some("tcp: path MTU probe")
        } else {
            None
        };
        match (self.comment(), sender) {
            (comment, None) => comment,
            (None, Some(sender)) => Some(Cow::Borrowed(sender)),
            (Some(comment), Some(sender)) => Some(Cow::Owned(format!("{comment}; {sender}"))),
        }
    }

    /// True when the packet goes no further.
    pub const fn is_drop(self) -> bool {
        !matches!(self, Self::Passed(_))
    }
}

/// What there is to say about a packet that goes on.
fn remarks_on(mark: Mark) -> Option<Cow<'static, str>> {
    // A copy is like its original but for what befell it alone.
    let original = !mark.has(Mark::DUPLICATE);
    let said = [
        (!original, "duplicate"),
        (original && mark.has(Mark::CORRUPTED), "corrupted on its way"),
        (original && mark.has(Mark::REORDERED), "reordered"),
        (mark.has(Mark::CONGESTION), "marked: congestion experienced"),
    ];
    let said: Vec<&str> = said.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    (!said.is_empty()).then(|| Cow::Owned(format!("netem: {}", said.join(", "))))
}

/// What a pipe did, in wire packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetemCounters {
    /// Packets that entered; copies made by the pipe are not among them.
    pub packets: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Struck by the loss model.
    pub lost: u64,
    /// Came during an outage.
    pub outage_lost: u64,
    /// Found the queue full.
    pub queue_dropped: u64,
    /// Dropped by CoDel.
    pub codel_dropped: u64,
    /// Marked by the queue, copies included.
    pub marked: u64,
    /// Longer than the mtu.
    pub too_big: u64,
    /// One bit was flipped.
    pub corrupted: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Chosen to overtake or to be held back.
    pub reordered: u64,
    /// Packets that left later than they entered, copies included.
    pub delayed: u64,
    /// Shortest and longest time inside, among the delayed ones, and the sum over them.
    pub delay_min: Duration,
    /// See `delay_min`.
    pub delay_max: Duration,
    /// See `delay_min`.
    pub delay_sum: Duration,
}

impl NetemCounters {
    /// Packets that went no further, for whatever reason.
    pub const fn dropped(&self) -> u64 {
        self.lost + self.outage_lost + self.queue_dropped + self.codel_dropped + self.too_big
    }

    fn note_delay(&mut self, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        self.delay_min = if self.delayed == 0 {
            delay
        } else {
            self.delay_min.min(delay)
        };
        self.delay_max = self.delay_max.max(delay);
        self.delay_sum += delay;
        self.delayed += 1;
    }
}
