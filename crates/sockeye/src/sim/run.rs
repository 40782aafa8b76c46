//! Time that leaps: the one task among tokio's that runs the others, and moves the clock when nothing is left to do.
//!
//! Hosts and links keep time in nanoseconds; tokio's clock, which is paused, stands at whole milliseconds, never later than theirs. Tokio moves
//! it by itself, when its runtime has nothing to do, to the next of its timers: so the simulation sets one for the millisecond in which the next
//! packet or timer of a host is due, and goes the rest of the way alone.

use super::queue::Turn;
use super::world::World;
use sockeye_core::Instant;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::coop;
use tokio::time::Sleep;

/// So many turns are not taken at one instant, unless someone never rests.
const TURNS_AN_INSTANT: u64 = 1_000_000;

/// Why a run ended without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// Nothing can happen any more.
    Stuck(Vec<String>),
    /// The limit of virtual time was reached.
    Limit(Duration, Vec<String>),
    /// Someone never rests.
    Busy(String),
    /// A task panicked.
    Panic(String),
}

/// Runs a world until its first task ends.
pub(super) struct Run {
    world: Rc<World>,
    main: u64,
    start: tokio::time::Instant,
    sleep: Pin<Box<Sleep>>,
    limit: Duration,
    /// A task ran since it was quiet last: it may have left something with the runtime, such as `yield_now`.
    stirred: bool,
    /// Since when nothing is known that could happen.
    idle_since: Option<Instant>,
}

impl Run {
    /// To be made inside of the runtime.
    pub(super) fn new(world: &Rc<World>, main: u64, limit: Duration) -> Self {
        Self {
            world: Rc::clone(world),
            main,
            start: tokio::time::Instant::now(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            limit,
            stirred: true,
            idle_since: None,
        }
    }

    /// Takes all turns there are. `Pending` when tokio's tasks come first.
    fn take_turns(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Halt>>> {
        let world = &self.world;
        loop {
            while !world.queue.is_empty() {
                if !coop::has_budget_remaining() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let Some(turn) = world.queue.next() else { break };
                self.idle_since = None;
                self.stirred |= matches!(turn, Turn::Task(_));
                world.turns.set(world.turns.get() + 1);
                if world.turns.get() > TURNS_AN_INSTANT {
                    return Poll::Ready(Some(Err(Halt::Busy(world.who(turn)))));
                }
                world.take_turn(turn);
                if let Some(panic) = world.take_panic() {
                    return Poll::Ready(Some(Err(Halt::Panic(panic))));
                }
                if !world.is_running(self.main) {
                    return Poll::Ready(Some(Ok(())));
                }
            }
            if !coop::has_budget_remaining() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !world.deliver() {
                return Poll::Ready(None);
            }
        }
    }
}

impl Future for Run {
    type Output = Result<(), Halt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let queue = std::sync::Arc::clone(&this.world.queue);
        queue.set_root(cx.waker());
        this.world.advance(Instant::ZERO + this.start.elapsed());
        let foreign = tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0;
        let quiet = queue.take_quiet() && queue.is_empty();
        this.stirred = !quiet && (this.stirred || foreign);
        loop {
            match this.take_turns(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Ready(None) => {}
            }
            let now = this.world.now();
            if now.since(Instant::ZERO) >= this.limit {
                let waiting = this.world.waiting();
                let halt = match this.idle_since {
                    Some(since) => {
                        this.world.set_back(since);
                        Halt::Stuck(waiting)
                    }
                    None => Halt::Limit(this.limit, waiting),
                };
                return Poll::Ready(Err(halt));
            }
            if this.stirred {
                queue.ask_for_quiet();
                return Poll::Pending;
            }
            let next = this.world.next_time();
            let until = next.map_or(this.limit, |at| at.since(Instant::ZERO).min(this.limit));
            let millis = Duration::from_millis(until.as_millis() as u64);
            if this.start + millis > tokio::time::Instant::now() {
                if next.is_none() {
                    let _ = this.idle_since.get_or_insert(now);
                }
                this.sleep.as_mut().reset(this.start + millis);
                if this.sleep.as_mut().poll(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            this.world.advance(Instant::ZERO + until);
            this.stirred |= foreign;
        }
    }
}
