//! Waiting for a time of the host's own clock: the same in real time, in tokio's paused time and in time that is told by hand.

use super::{Host, Stack};
use sockeye_core::Instant;
use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Who waits for which time.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_key: u64,
}

impl Alarms {
    /// A future waits until `at`, under its key or a new one; returns who waited under it before.
    fn register(&mut self, at: Instant, key: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let key = *key.get_or_insert_with(|| {
            self.next_key += 1;
            self.next_key
        });
        self.waiting.insert((at, key), waker.clone())
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes those whose time has come.
    pub(super) fn take_due(&mut self, now: Instant, into: &mut Vec<Waker>) {
        while self.next().is_some_and(|at| at <= now) {
            into.extend(self.waiting.pop_first().map(|(_, waker)| waker));
        }
    }

    /// Takes everyone.
    pub(super) fn take_all(&mut self, into: &mut Vec<Waker>) {
        into.extend(std::mem::take(&mut self.waiting).into_values());
    }
}

/// Until a time.
struct Alarm<'a> {
    host: &'a Host,
    at: Instant,
    key: Option<u64>,
}

impl Future for Alarm<'_> {
    type Output = ();

    /// Ready, too, once the host has ended: nobody tells its time any more.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let is_due = |_: &mut Stack, now: Instant| {
            if now >= this.at {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        };
        let (at, key) = (this.at, &mut this.key);
        this.host
            .shard()
            .poll_with(is_due, |stack| stack.alarms.register(at, key, cx.waker()))
            .map(|_| ())
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let place = (self.at, key);
            let waker = self.host.shard().look(|stack| stack.alarms.waiting.remove(&place));
            drop(waker);
        }
    }
}

impl Host {
    /// Runs a future for at most so long, by this host's clock; `None` when it was not done then.
    pub(crate) async fn within<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        let at = self.shard().call(|_, now| now) + time;
        let mut future = pin!(future);
        let mut alarm = pin!(Alarm {
            host: self,
            at,
            key: None
        });
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// The time by this host's clock.
    pub(crate) fn now(&self) -> Instant {
        self.shard().call(|_, now| now)
    }
}
