//! Tasks: futures with an owner, a name for when they are stuck, and a handle that waits for what they give.

use super::queue::Bell;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What runs.
pub(super) type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// A task as the simulation keeps it.
pub(super) struct Kept {
    /// The machine it runs on; `None` for the test itself.
    pub(super) machine: Option<usize>,
    /// Where it was spawned, or what it is.
    pub(super) what: String,
    /// `None` while it runs.
    pub(super) future: Option<Boxed>,
    pub(super) bell: Arc<Bell>,
}

/// Waits for what a task gives; see [`Machine::spawn`](super::Machine::spawn). Dropped, it lets the task go on.
///
/// # Cancel safety
/// A dropped future loses nothing but the result.
pub struct Task<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

struct Slot<T> {
    result: Option<Result<T, Gone>>,
    waiter: Option<Waker>,
}

/// The task was dropped before its end: its host crashed, or the simulation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task is gone with its host")
    }
}

impl std::error::Error for Gone {}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finished = self.is_finished();
        f.debug_struct("Task").field("finished", &finished).finish()
    }
}

impl<T> Task<T> {
    /// True once the task has ended or is gone.
    pub fn is_finished(&self) -> bool {
        self.slot.borrow().result.is_some()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Gone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.slot.borrow_mut();
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waiter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Tells the handle when its task ends, or is dropped.
struct Report<T>(Option<Rc<RefCell<Slot<T>>>>);

impl<T> Report<T> {
    fn tell(&mut self, result: Result<T, Gone>) {
        let Some(slot) = self.0.take() else { return };
        let mut slot = slot.borrow_mut();
        slot.result = Some(result);
        if let Some(waiter) = slot.waiter.take() {
            waiter.wake();
        }
    }
}

impl<T> Drop for Report<T> {
    fn drop(&mut self) {
        self.tell(Err(Gone));
    }
}

/// Splits a future into what the simulation runs and what waits for it.
pub(super) fn split<F>(future: F) -> (Boxed, Task<F::Output>)
where
    F: Future + 'static,
{
    let slot = Rc::new(RefCell::new(Slot {
        result: None,
        waiter: None,
    }));
    let mut report = Report(Some(Rc::clone(&slot)));
    let run = async move {
        let result = future.await;
        report.tell(Ok(result));
    };
    (Box::pin(run), Task { slot })
}
