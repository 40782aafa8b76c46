//! A network to test against: many hosts in one process, real TCP, virtual time that leaps, and everything from a seed.
#![doc = include_str!("page.md")]

mod capture;
mod clock;
mod error;
mod fabric;
mod machine;
mod net;
mod queue;
mod reset;
mod run;
mod seeds;
mod task;
mod verdict;
mod world;

pub use error::Error;
pub use machine::Machine;
pub use net::{Net, ToNetem};
pub use seeds::{Seeds, seeds};
pub use task::{Gone, Task};
pub use verdict::{Cause, Failure, Passed, Report};

use std::future::Future;
use std::panic::Location;
use std::time::{Duration, SystemTime};

/// Spawns a task on the machine whose task calls this: what `tokio::spawn` becomes, so that the task belongs to its machine, may open sockets,
/// and ends with it. From the test itself, a task of no machine.
///
/// # Panics
/// Outside of a simulation.
#[track_caller]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
{
    let place = Location::caller();
    match inside() {
        (world, Some(nth)) => Machine::at(&world, nth).spawn_at(place, future),
        (world, None) => {
            let what = format!("a task of no host ({}:{})", place.file(), place.line());
            world.spawn(None, what, future).1
        }
    }
}

/// The time of day as the machine's own clock shows it, right or wrong (see [`Machine::set_clock`]): what a program on it takes for
/// `SystemTime::now()`. From the test itself, the right time. A simulation begins at 2020-01-01 00:00:00 UTC.
///
/// # Panics
/// Outside of a simulation.
pub fn wall_clock() -> SystemTime {
    match inside() {
        (world, Some(nth)) => Machine::at(&world, nth).wall_clock(),
        (world, None) => clock::WallClock::default().at(world.now()),
    }
}

/// Virtual time since the simulation began, to the nanosecond; tokio's `Instant` shows whole milliseconds of it.
///
/// # Panics
/// Outside of a simulation.
pub fn elapsed() -> Duration {
    inside().0.now().since(sockeye_core::Instant::ZERO)
}

/// The machine whose task calls this; `None` in the test itself, and outside of a simulation.
pub fn machine() -> Option<Machine> {
    let (world, nth) = world::here()?;
    Some(Machine::at(&world, nth?))
}

fn inside() -> (std::rc::Rc<world::World>, Option<usize>) {
    world::here().expect("this is called from a task of a simulation")
}

#[cfg(test)]
mod tests;
