//! Whose turn it is: tasks and hosts that were woken, first come, first served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Who was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// A task, by number.
    Task(u64),
    /// A machine's stack, by number.
    Machine(usize),
}

/// The turns to come.
#[derive(Debug, Default)]
pub(super) struct RunQueue {
    turns: Mutex<VecDeque<Turn>>,
    /// The simulation's own place among tokio's tasks.
    root: Mutex<Option<Waker>>,
    /// See [`RunQueue::ask_for_quiet`].
    asked: AtomicBool,
    quiet: AtomicBool,
}

/// Puts its turn into the queue, once until it is taken.
#[derive(Debug)]
pub(super) struct Bell {
    turn: Turn,
    rung: AtomicBool,
    queue: Arc<RunQueue>,
}

impl Bell {
    pub(super) fn new(turn: Turn, queue: &Arc<RunQueue>) -> Arc<Self> {
        Arc::new(Self {
            turn,
            rung: AtomicBool::new(false),
            queue: Arc::clone(queue),
        })
    }

    /// Its turn has come: it may be rung again.
    pub(super) fn answer(&self) {
        self.rung.store(false, Ordering::Relaxed);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            lock(&self.queue.turns).push_back(self.turn);
            self.queue.wake_root();
        }
    }
}

impl RunQueue {
    pub(super) fn next(&self) -> Option<Turn> {
        lock(&self.turns).pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.turns).is_empty()
    }

    /// Whom to wake for every new turn.
    pub(super) fn set_root(&self, waker: &Waker) {
        let mut root = lock(&self.root);
        match &mut *root {
            Some(kept) => kept.clone_from(waker),
            None => *root = Some(waker.clone()),
        }
    }

    fn wake_root(&self) {
        let root = lock(&self.root).clone();
        if let Some(waker) = root {
            waker.wake();
        }
    }

    /// Wants to be woken when no task of tokio's own has anything to do.
    pub(super) fn ask_for_quiet(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// It was quiet since that was asked.
    pub(super) fn take_quiet(&self) -> bool {
        self.quiet.swap(false, Ordering::Relaxed)
    }

    /// Tokio's runtime is about to wait.
    pub(super) fn on_park(&self) {
        if self.asked.swap(false, Ordering::Relaxed) {
            self.quiet.store(true, Ordering::Relaxed);
            self.wake_root();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
