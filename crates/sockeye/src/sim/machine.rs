//! A host of a simulation as its test sees it: a name, tasks, a clock, and lives that end.

use super::clock::WallClock;
use super::error::Error;
use super::fabric::Fabric;
use super::queue::{Bell, Turn};
use super::task::Task;
use super::world::World;
use crate::Host;
use sockeye_core::Instant;
use sockeye_core::keys::Keys;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::SystemTime;

/// A machine as the simulation keeps it.
pub(super) struct State {
    pub(super) name: String,
    /// `None` while it is down.
    pub(super) host: Option<Host>,
    pub(super) bell: Arc<Bell>,
    /// When its stack wants to be driven.
    pub(super) deadline: Option<Instant>,
    pub(super) clock: WallClock,
    addresses: [IpAddr; 2],
    sysctls: Vec<(String, String)>,
    lives: u64,
    spawned: u64,
}

/// A host of a simulation, made by [`Net::host`](super::Net::host): a name and addresses that stay, tasks, and a stack that a crash ends. Clones
/// are the same machine. Wherever a host's name is asked for, a machine does as well.
#[derive(Clone)]
pub struct Machine {
    pub(super) world: Rc<World>,
    pub(super) nth: usize,
    name: Rc<str>,
}

impl AsRef<str> for Machine {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Hosts that there are addresses for.
const MOST: usize = 60_000;

/// The addresses of a machine: they follow from its number.
fn addresses(nth: usize) -> [IpAddr; 2] {
    let number = nth as u16 + 1;
    let [high, low] = number.to_be_bytes();
    [
        Ipv4Addr::new(10, 0, high, low).into(),
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into(),
    ]
}

impl Machine {
    pub(super) fn new(world: &Rc<World>, name: &str, sysctls: &[(&str, &str)]) -> Result<Self, Error> {
        check(name)?;
        let nth = world.machines.borrow().len();
        if world.find(name).is_ok() {
            return Err(Error::HostTwice(name.to_owned()));
        }
        if nth >= MOST {
            return Err(Error::TooManyHosts);
        }
        let mut state = State {
            name: name.to_owned(),
            host: None,
            bell: Bell::new(Turn::Machine(nth), &world.queue),
            deadline: None,
            clock: WallClock::default(),
            addresses: addresses(nth),
            sysctls: sysctls
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            lives: 0,
            spawned: 0,
        };
        {
            let mut fabric = world.fabric();
            fabric.add_end(name, &state.addresses);
            if let Some(capture) = &mut fabric.capture {
                state.addresses.iter().for_each(|address| capture.name(*address, name));
            }
        }
        state.boot(world, nth)?;
        let mut names = world.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = names.insert(crate::names::normal(name), state.addresses.to_vec());
        drop(names);
        world.machines.borrow_mut().push(state);
        Waker::from(Arc::clone(&world.machines.borrow()[nth].bell)).wake();
        Ok(Self::at(world, nth))
    }

    pub(super) fn at(world: &Rc<World>, nth: usize) -> Self {
        Self {
            name: world.machines.borrow()[nth].name.as_str().into(),
            world: Rc::clone(world),
            nth,
        }
    }

    /// Its name, by which the others find it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its IPv4 address; IPv6 it has as well, see [`Machine::addresses`].
    pub fn address(&self) -> IpAddr {
        self.addresses()[0]
    }

    /// All its addresses: what its name stands for.
    pub fn addresses(&self) -> [IpAddr; 2] {
        addresses(self.nth)
    }

    /// Its stack in this life, for the methods that [`Host`] has: counters, `tcp_connect` and so on.
    ///
    /// # Errors
    /// When it is down.
    pub fn host(&self) -> Result<Host, Error> {
        let host = self.world.machines.borrow()[self.nth].host.clone();
        host.ok_or_else(|| Error::Down(self.name.to_string()))
    }

    /// False between a crash and the restart after it.
    pub fn is_up(&self) -> bool {
        self.world.machines.borrow()[self.nth].host.is_some()
    }

    /// Runs a task on the machine: the sockets that it opens are the machine's. It ends at the latest with the machine's life. On a machine that
    /// is down it never begins, and its handle says so.
    ///
    /// What it needs not be is `Send`. When it panics, the run has failed.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        self.spawn_at(Location::caller(), future)
    }

    pub(super) fn spawn_at<F>(&self, place: &Location<'_>, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        let mut machines = self.world.machines.borrow_mut();
        let state = &mut machines[self.nth];
        state.spawned += 1;
        let what = format!("task {} ({}:{})", state.spawned, place.file(), place.line());
        let up = state.host.is_some();
        drop(machines);
        if !up {
            let (run, handle) = super::task::split(future);
            drop(run);
            return handle;
        }
        self.world.spawn(Some(self.nth), what, future).1
    }

    /// The machine loses power: its tasks are dropped, its connections forgotten, without a word to anybody. Until [`Machine::restart`] nothing
    /// that is sent to it arrives.
    ///
    /// # Errors
    /// When it is down already, and when tokio has tasks of its own ([`Error::ForeignTasks`]).
    pub fn crash(&self) -> Result<(), Error> {
        let foreign = tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        if foreign > 0 {
            return Err(Error::ForeignTasks(self.name.to_string(), foreign));
        }
        let mut machines = self.world.machines.borrow_mut();
        let state = &mut machines[self.nth];
        let Some(host) = state.host.take() else {
            return Err(Error::Down(self.name.to_string()));
        };
        state.deadline = None;
        drop(machines);
        // First the cable: what sockets say when they are dropped is not heard.
        self.world.fabric().unplug(self.nth);
        self.world.drop_tasks(self.nth);
        host.shard().abort();
        self.world.note(|| format!("{} crashes", self.name));
        Ok(())
    }

    /// The machine starts again: same name, same addresses, a stack that knows of no connection, and no task until one is spawned. Whoever still
    /// believes in a connection with it is told otherwise by RST. RFC 9293 §3.5.1.
    ///
    /// # Errors
    /// When it is up.
    pub fn restart(&self) -> Result<(), Error> {
        let mut machines = self.world.machines.borrow_mut();
        let state = &mut machines[self.nth];
        if state.host.is_some() {
            return Err(Error::Up(self.name.to_string()));
        }
        state.boot(&self.world, self.nth)?;
        Waker::from(Arc::clone(&state.bell)).wake();
        drop(machines);
        self.world.note(|| format!("{} restarts", self.name));
        Ok(())
    }

    /// What the machine's clock shows; see [`Machine::set_clock`].
    pub fn wall_clock(&self) -> SystemTime {
        self.world.machines.borrow()[self.nth].clock.at(self.world.now())
    }

    /// Sets the machine's clock wrong: by `offset_ms` milliseconds from now on, and running `drift_ppm` parts in a million fast (slow when
    /// negative). Tasks see it in [`wall_clock`](super::wall_clock); time that passes, tokio's `sleep` among it, is not changed.
    pub fn set_clock(&self, offset_ms: i64, drift_ppm: i32) {
        let now = self.world.now();
        self.world.machines.borrow_mut()[self.nth].clock = WallClock::skewed(now, offset_ms, drift_ppm);
        self.world
            .note(|| format!("{}'s clock: {offset_ms:+} ms, {drift_ppm:+} ppm", self.name));
    }
}

impl State {
    pub(super) const fn addresses(&self) -> [IpAddr; 2] {
        self.addresses
    }

    /// A stack for a new life.
    fn boot(&mut self, world: &Rc<World>, nth: usize) -> Result<(), Error> {
        self.lives += 1;
        let seed = Keys::new(world.seed, &self.name).key("lives").hash(&[self.lives]);
        let [v4, v6] = self.addresses;
        let mut builder = Host::builder()
            .address(format!("{v4}/16"))
            .address(format!("{v6}/64"))
            .link(Fabric::plug_in(&world.fabric, nth))
            .seed(seed);
        for (key, value) in &self.sysctls {
            builder = builder.sysctl(key, value);
        }
        let host = builder.simulated(Arc::clone(&world.time), Arc::clone(&world.names));
        self.host = Some(host.map_err(|error| Error::Build(self.name.clone(), error))?);
        Ok(())
    }
}

fn check(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let taken = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    if name.is_empty() || name.len() > 253 || !name.chars().all(good) || taken {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(())
}
