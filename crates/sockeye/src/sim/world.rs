//! One simulation: machines, tasks, the fabric between them, and what time it is.

use super::capture::Capture;
use super::error::Error;
use super::fabric::{self, Fabric};
use super::machine::State;
use super::queue::{Bell, RunQueue, Turn};
use super::task::{self, Kept, Task};
use crate::Host;
use crate::host::{Next, SharedNames};
use sockeye_core::keys::{Key, Keys};
use sockeye_core::{Instant, Packet};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

thread_local! {
    /// The simulation that runs on this thread, and the machine whose task does.
    static HERE: RefCell<Option<(Rc<World>, Option<usize>)>> = const { RefCell::new(None) };
}

/// Everything that a simulation consists of.
pub(super) struct World {
    pub(super) seed: u64,
    /// Virtual time in nanoseconds, which is the time of all hosts.
    pub(super) time: Arc<AtomicU64>,
    pub(super) queue: Arc<RunQueue>,
    pub(super) fabric: Arc<Mutex<Fabric>>,
    pub(super) names: SharedNames,
    pub(super) machines: RefCell<Vec<State>>,
    tasks: RefCell<BTreeMap<u64, Kept>>,
    next_task: Cell<u64>,
    running: Cell<Option<u64>>,
    /// What a task panicked with.
    panicked: RefCell<Option<String>>,
    chance: Key,
    drawn: Cell<u64>,
    /// Turns at this instant.
    pub(super) turns: Cell<u64>,
    batch: RefCell<Vec<Packet>>,
}

impl World {
    pub(super) fn new(seed: u64, queue: Arc<RunQueue>, capture: bool) -> Rc<Self> {
        Rc::new(Self {
            seed,
            time: Arc::default(),
            queue,
            fabric: Arc::new(Mutex::new(Fabric::new(seed, capture))),
            names: SharedNames::default(),
            machines: RefCell::default(),
            tasks: RefCell::default(),
            next_task: Cell::new(0),
            running: Cell::new(None),
            panicked: RefCell::default(),
            chance: Keys::new(seed, "test").key("chance"),
            drawn: Cell::new(0),
            turns: Cell::new(0),
            batch: RefCell::default(),
        })
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.time.load(Ordering::Relaxed))
    }

    /// Time goes on, never back.
    pub(super) fn advance(&self, to: Instant) {
        if to > self.now() {
            self.time.store(to.as_nanos(), Ordering::Relaxed);
            self.turns.set(0);
        }
    }

    /// Nothing happened since then: that is the time to tell of.
    pub(super) fn set_back(&self, to: Instant) {
        self.time.store(to.as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn fabric(&self) -> MutexGuard<'_, Fabric> {
        fabric::lock(&self.fabric)
    }

    /// A line of the timeline, where one is written.
    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(capture) = &mut self.fabric().capture {
            capture.note(now, &what());
        }
    }

    pub(super) fn take_capture(&self) -> Option<Box<Capture>> {
        self.fabric().capture.take()
    }

    /// The next number of the test's own chance.
    pub(super) fn draw(&self) -> u64 {
        let nth = self.drawn.get();
        self.drawn.set(nth + 1);
        self.chance.hash(&[nth])
    }

    pub(super) fn find(&self, name: &str) -> Result<usize, Error> {
        let machines = self.machines.borrow();
        let found = machines.iter().position(|machine| machine.name == name);
        found.ok_or_else(|| Error::NoHost(name.to_owned()))
    }

    pub(super) fn spawn<F>(&self, machine: Option<usize>, what: String, future: F) -> (u64, Task<F::Output>)
    where
        F: Future + 'static,
    {
        let (run, handle) = task::split(future);
        let id = self.next_task.get();
        self.next_task.set(id + 1);
        let bell = Bell::new(Turn::Task(id), &self.queue);
        Waker::from(Arc::clone(&bell)).wake();
        let kept = Kept {
            machine,
            what,
            future: Some(run),
            bell,
        };
        let _ = self.tasks.borrow_mut().insert(id, kept);
        (id, handle)
    }

    pub(super) fn is_running(&self, task: u64) -> bool {
        self.tasks.borrow().contains_key(&task)
    }

    pub(super) fn take_panic(&self) -> Option<String> {
        self.panicked.borrow_mut().take()
    }

    /// Drops the tasks of a machine, in the order they were spawned. One that runs just now is dropped when it pauses.
    pub(super) fn drop_tasks(&self, machine: usize) {
        let mut tasks = self.tasks.borrow_mut();
        let gone: Vec<Kept> = tasks
            .extract_if(.., |_, kept| kept.machine == Some(machine))
            .map(|(_, kept)| kept)
            .collect();
        drop(tasks);
        drop(gone);
    }

    /// Drops everything that holds the world.
    pub(super) fn clear(&self) {
        loop {
            let Some((_, kept)) = self.tasks.borrow_mut().pop_first() else {
                break;
            };
            drop(kept);
        }
        let machines = std::mem::take(&mut *self.machines.borrow_mut());
        for machine in machines {
            if let Some(host) = machine.host {
                host.shard().abort();
            }
        }
    }

    /// Who waits, one a line's worth.
    pub(super) fn waiting(&self) -> Vec<String> {
        let machines = self.machines.borrow();
        let name = |kept: &Kept| match kept.machine {
            None => kept.what.clone(),
            Some(machine) => format!("`{}`: {}", machines[machine].name, kept.what),
        };
        self.tasks.borrow().values().map(name).collect()
    }

    pub(super) fn who(&self, turn: Turn) -> String {
        let machine = |nth: usize| format!("`{}`", self.machines.borrow()[nth].name);
        match turn {
            Turn::Machine(nth) => format!("the stack of {}", machine(nth)),
            Turn::Task(id) => match self.tasks.borrow().get(&id) {
                Some(kept) => match kept.machine {
                    Some(nth) => format!("{}: {}", machine(nth), kept.what),
                    None => kept.what.clone(),
                },
                None => "a task".to_owned(),
            },
        }
    }

    pub(super) fn take_turn(self: &Rc<Self>, turn: Turn) {
        match turn {
            Turn::Task(id) => self.run_task(id),
            Turn::Machine(nth) => self.drive(nth),
        }
    }

    fn run_task(self: &Rc<Self>, id: u64) {
        let mut tasks = self.tasks.borrow_mut();
        let Some(kept) = tasks.get_mut(&id) else { return };
        kept.bell.answer();
        let Some(mut future) = kept.future.take() else { return };
        let waker = Waker::from(Arc::clone(&kept.bell));
        let machine = kept.machine;
        drop(tasks);
        let host = machine.and_then(|nth| self.machines.borrow()[nth].host.clone());
        let before = HERE.with_borrow_mut(|here| here.replace((Rc::clone(self), machine)));
        let entered = host.as_ref().map(Host::enter);
        self.running.set(Some(id));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        self.running.set(None);
        let paused = matches!(polled, Ok(Poll::Pending));
        if paused && let Some(kept) = self.tasks.borrow_mut().get_mut(&id) {
            kept.future = Some(future);
        } else {
            // It ended, or its machine crashed meanwhile.
            drop(future);
            let ended = self.tasks.borrow_mut().remove(&id);
            if let Err(panic) = &polled {
                let what = ended.map_or_else(String::new, |kept| kept.what);
                let _ = self
                    .panicked
                    .borrow_mut()
                    .get_or_insert(format!("panic in {what}: {}", message(&**panic)));
            }
        }
        drop(entered);
        HERE.with_borrow_mut(|here| *here = before);
    }

    /// A machine's stack looks at what arrived and at its timers.
    fn drive(&self, nth: usize) {
        let (host, bell) = {
            let machines = self.machines.borrow();
            let machine = &machines[nth];
            machine.bell.answer();
            let Some(host) = &machine.host else { return };
            (host.clone(), Arc::clone(&machine.bell))
        };
        let waker = Waker::from(bell);
        let mut batch = self.batch.take();
        let next = host.shard().drive(&mut Context::from_waker(&waker), &mut batch);
        let _ = self.batch.replace(batch);
        let deadline = match next {
            Next::Again => Some(self.now()),
            Next::Wait(at) => at,
            Next::Done => None,
        };
        if let Some(machine) = self.machines.borrow_mut().get_mut(nth) {
            machine.deadline = deadline;
        }
    }

    /// Hands over packets that are due, and rings for timers that are; true when there was any.
    pub(super) fn deliver(&self) -> bool {
        let now = self.now();
        let mut woken = Vec::new();
        let mut any = self.fabric().deliver(now, &mut woken);
        woken.into_iter().for_each(Waker::wake);
        for machine in self.machines.borrow_mut().iter_mut() {
            if machine.deadline.is_some_and(|at| at <= now) {
                machine.deadline = None;
                Waker::from(Arc::clone(&machine.bell)).wake();
                any = true;
            }
        }
        any
    }

    /// When something happens next, as far as is known here: tokio's own timers are not.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let machines = self.machines.borrow();
        let timers = machines.iter().filter_map(|machine| machine.deadline).min();
        [timers, self.fabric().next_time()].into_iter().flatten().min()
    }
}

/// The simulation that runs here, and the machine.
pub(super) fn here() -> Option<(Rc<World>, Option<usize>)> {
    HERE.with_borrow(Clone::clone)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "of an unknown kind".to_owned())
}
