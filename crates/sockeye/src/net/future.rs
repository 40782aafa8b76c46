//! Waiting for a socket, as a future that leaves nothing behind when it is dropped.

use crate::Host;
use crate::host::{Stack, Want};
use sockeye_core::Instant;
use sockeye_core::socket::SocketId;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Repeats `attempt` after every change to `socket` that matters, until it is ready. Any number of them may wait for one socket.
pub(super) struct Wait<'a, F> {
    host: &'a Host,
    socket: SocketId,
    want: Want,
    attempt: F,
    /// Under which it waits, once it does.
    key: Option<u64>,
}

impl<'a, F, R> Wait<'a, F>
where
    F: FnMut(&mut Stack, Instant) -> Poll<io::Result<R>> + Unpin,
{
    pub(super) const fn new(host: &'a Host, socket: SocketId, want: Want, attempt: F) -> Self {
        Self {
            host,
            socket,
            want,
            attempt,
            key: None,
        }
    }
}

impl<F, R> Future for Wait<'_, F>
where
    F: FnMut(&mut Stack, Instant) -> Poll<io::Result<R>> + Unpin,
{
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        // A task that always finds something to do lets others run now and then, as with all of tokio's.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let this = &mut *self;
        let result = this.host.shard().poll_with(&mut this.attempt, |stack| {
            stack
                .waiters
                .register_future(this.socket, this.want, &mut this.key, cx.waker())
        });
        if result.is_ready() {
            turn.made_progress();
        }
        result
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self
                .host
                .shard()
                .look(|stack| stack.waiters.forget_future(self.socket, key));
            drop(waker);
        }
    }
}
