//! The one task of a host: it waits for links and for time, and visits the stack.

use super::shard::{Next, Shard};
use sockeye_core::{Instant, Packet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Sleep;

/// Moves a host along until it has ended. Dropped before that, it takes the host down.
///
/// Time is tokio's: its resolution is a millisecond, rounded up, and a paused clock makes virtual time.
#[derive(Debug)]
pub(super) struct Driver {
    shard: Arc<Shard>,
    /// The host's time zero.
    start: tokio::time::Instant,
    sleep: Pin<Box<Sleep>>,
    batch: Vec<Packet>,
    ended: bool,
}

impl Driver {
    pub(super) fn new(shard: Arc<Shard>, start: tokio::time::Instant) -> Self {
        Self {
            shard,
            start,
            sleep: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            batch: Vec::new(),
            ended: false,
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            match this.shard.drive(cx, &mut this.batch) {
                Next::Done => {
                    this.ended = true;
                    return Poll::Ready(());
                }
                Next::Again => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Next::Wait(None) => return Poll::Pending,
                Next::Wait(Some(at)) => {
                    this.sleep.as_mut().reset(this.start + at.since(Instant::ZERO));
                    if this.sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    if this.shard.clock().now() < at {
                        // Out of turns on this task: tokio woke us to go on later.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.ended {
            self.shard.abort();
        }
    }
}
