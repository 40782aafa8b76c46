//! Socket calls as Linux has them, on descriptors that are integers, over a [`Host`]: for programs that speak the C interface, packet scripts
//! and packetdrill. No I/O, no clock, and no call that waits: what would block says so, and is asked again.
//!
//! A [`Process`] is a table of descriptors. [`Process::on`] joins it with the host and the time; the calls are methods of what that gives:
//!
//! ```
//! use sockeye_core::bsd::{Process, Wait, abi, address::Family};
//! use sockeye_core::{Host, HostConfig, Instant};
//!
//! let (mut process, mut host) = (Process::new(), Host::new(HostConfig::default()));
//! let mut calls = process.on(&mut host, Instant::ZERO);
//! let listener = calls.socket(abi::AF_INET, abi::SOCK_STREAM | abi::SOCK_NONBLOCK, 0).unwrap();
//! calls.bind(listener, &Family::V4.encode("0.0.0.0:8080".parse().unwrap())).unwrap();
//! calls.listen(listener, 1).unwrap();
//! assert!(calls.accept4(listener, 0, &mut Wait::default()).is_err());
//! ```
//!
//! It decides what each call means in each state of a socket, which errno comes first, and when a descriptor is ready; protocols are the
//! host's. A call that may wait takes a [`Wait`], fresh for each call; while it answers [`Stop::Block`], the caller repeats it with the same
//! `Wait` after the next event of the host (a packet, a timer, another call), at the latest at the time told. socket(7), ip(7), tcp(7), udp(7).

pub mod abi;
pub mod address;
pub mod control;
mod datagram;
mod descriptors;
mod epoll;
mod ioctl;
mod name;
pub mod options;
mod pipe;
mod poll;
mod ready;
mod sockopt;
mod stream;
mod transfer;
mod zerocopy;

pub use epoll::EpollEvent;
pub use poll::PollFd;
pub use transfer::Arrived;

use crate::error::Errno;
use crate::host::Host;
use crate::slab::Slab;
use crate::socket::SocketId;
use crate::time::{Duration, Instant};
use descriptors::{Descriptor, File, FileId};
use pipe::Pipe;
use std::collections::BTreeMap;

/// What a call gives.
pub type Answer<T> = Result<T, Stop>;

/// Why a call has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It failed.
    Errno(Errno),
    /// It has to wait: ask again with the same [`Wait`] after the next event, and at this time if nothing happens before.
    Block(Option<Instant>),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// One call that may wait, from its first try to its answer. A descriptor closed meanwhile does not disturb it.
#[derive(Debug, Default)]
pub struct Wait {
    /// What the descriptor meant at the first try.
    file: Option<FileId>,
    /// Until when it waits, once it waits.
    until: Option<Option<Instant>>,
    /// Bytes moved so far.
    done: usize,
    /// The first step is done: a connect that sent its SYN, a close that lingers.
    begun: bool,
}

/// A program's descriptors, and the sockets, pipes and epoll instances behind them. The first is 3: a program's 0, 1 and 2 are its standard streams.
#[derive(Debug)]
pub struct Process {
    descriptors: Vec<Option<Descriptor>>,
    files: Slab<File>,
    pipes: Slab<Pipe>,
    by_host: BTreeMap<SocketId, FileId>,
    /// Counts changes, so that an edge is told once.
    changes: u64,
}

/// A process, its host and the time, for one or more calls at this instant.
#[derive(Debug)]
pub struct Calls<'a> {
    process: &'a mut Process,
    host: &'a mut Host,
    now: Instant,
}

impl Process {
    /// Without descriptors.
    pub fn new() -> Self {
        Self {
            descriptors: Vec::new(),
            files: Slab::new(),
            pipes: Slab::new(),
            by_host: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Calls on `host` at `now`. Takes all events of the host: it is this process's alone.
    pub fn on<'a>(&'a mut self, host: &'a mut Host, now: Instant) -> Calls<'a> {
        while let Some(event) = host.poll_event() {
            if let Some(&file) = self.by_host.get(&event.socket) {
                self.touch(file);
            }
        }
        Calls {
            process: self,
            host,
            now,
        }
    }

    /// Something about `file` changed: those who wait for an edge hear of it.
    fn touch(&mut self, file: FileId) {
        self.changes += 1;
        let changes = self.changes;
        if let Some(file) = self.file_mut(file) {
            file.changed = changes;
        }
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl Calls<'_> {
    /// Waits for at most `timeout`; the call then fails with `late`.
    fn block<T>(&self, wait: &mut Wait, timeout: Option<Duration>, late: Errno) -> Answer<T> {
        let until = *wait.until.get_or_insert(timeout.map(|timeout| self.now + timeout));
        match until {
            Some(until) if until <= self.now => Err(late.into()),
            _ => Err(Stop::Block(until)),
        }
    }
}

#[cfg(test)]
mod tests;
