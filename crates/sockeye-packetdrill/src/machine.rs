//! A host in virtual time, shared by the thread that plays a script and the one whose calls wait.
//!
//! Time moves only here: by a microsecond when the clock is read, by `usleep`, and to the next timer while a packet is waited for. It never passes
//! an instant at which something is due, be it a timer of the host or the end of a call's patience. Before it moves, every call that waits has
//! been looked at since the last change, and a thread whose call has ended has read the clock: it would else read a time at which nothing happened.

use crate::flags::Flags;
use sockeye_core::bsd::{Answer, Calls, Process, Stop, Wait};
use sockeye_core::host::{HostConfig, InterfaceConfig, InterfaceId, Medium, Route};
use sockeye_core::settings::Settings;
use sockeye_core::{Host, Instant, Packet, gso};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Where the clock starts: not at zero, so that a time is never mistaken for none.
const START: Instant = Instant::from_millis(1_000_000);
/// How far the clock goes at each reading.
const CREEP: Duration = Duration::from_micros(1);
/// How long a packet is waited for, in virtual time.
const PATIENCE: Duration = Duration::from_secs(3 * 3_600);
/// Vain attempts to receive after which the caller is told in another way.
const ATTEMPTS: u32 = 3;
/// How long, in true time, we wait for a thread to read the clock after its call ended.
const READS_CLOCK: Duration = Duration::from_secs(2);
/// How long, in true time, for a thread to do what it slept until.
const ACTS: Duration = Duration::from_millis(100);
/// When nobody has moved the clock for so long, in true time, a call that waits moves it itself.
const NOBODY: Duration = Duration::from_secs(3);
/// ETIMEDOUT.
const TIMED_OUT: i32 = 110;
/// Packets taken from the host at once.
const MANY: usize = 1 << 20;

/// A stack as packetdrill drives it.
#[derive(Debug)]
pub struct Machine {
    world: Mutex<World>,
    changed: Condvar,
}

#[derive(Debug)]
struct World {
    host: Host,
    process: Process,
    link: InterfaceId,
    now: Instant,
    /// Packets that left, and when.
    out: VecDeque<(Instant, Vec<u8>)>,
    /// Counts what happens: calls that wait look again when it has moved on.
    epoch: u64,
    waiting: Vec<Waiting>,
    /// Threads that are about to do something at this very instant.
    due: Vec<(ThreadId, Duration)>,
    /// Vain attempts to receive in a row.
    vain: u32,
}

/// A call that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    thread: ThreadId,
    /// The epoch at which it was looked at last.
    looked: u64,
    until: Option<Instant>,
}

impl Machine {
    pub(crate) fn new(flags: &Flags, settings: Settings) -> Self {
        let mut host = Host::new(HostConfig {
            seed: flags.seed,
            settings,
            ..HostConfig::default()
        });
        let link = host.add_interface(InterfaceConfig {
            name: "tun0".into(),
            medium: Medium::Ip,
            mtu: flags.mtu,
            gso: false,
            addresses: flags.local.iter().map(|&address| (address, width(address))).collect(),
        });
        for network in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
            host.add_route(Route {
                network,
                prefix: 0,
                via: None,
                interface: link,
            });
        }
        Self {
            world: Mutex::new(World {
                host,
                process: Process::new(),
                link,
                now: START,
                out: VecDeque::new(),
                epoch: 0,
                waiting: Vec::new(),
                due: Vec::new(),
                vain: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// The world, with this thread doing what it was due to do.
    fn enter(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let me = thread::current().id();
        world.due.retain(|(thread, _)| *thread != me);
        self.changed.notify_all();
        world
    }

    fn wait<'a>(&self, world: MutexGuard<'a, World>, time: Duration) -> (MutexGuard<'a, World>, bool) {
        let (world, end) = self
            .changed
            .wait_timeout(world, time)
            .unwrap_or_else(PoisonError::into_inner);
        (world, end.timed_out())
    }

    /// A call: asked once, or when it waits until it has an answer.
    pub(crate) fn call<T>(&self, mut ask: impl FnMut(&mut Calls<'_>, &mut Wait) -> Answer<T>) -> Result<T, i32> {
        let mut world = self.enter();
        world.vain = 0;
        let (mut wait, mut waited) = (Wait::default(), false);
        let me = thread::current().id();
        loop {
            let answer = world.ask(&mut ask, &mut wait);
            world.waiting.retain(|waiting| waiting.thread != me);
            let until = match answer {
                Err(Stop::Block(until)) => until,
                answer => {
                    if waited {
                        world.due.push((me, READS_CLOCK));
                    }
                    world.epoch += 1;
                    self.changed.notify_all();
                    return answer.map_err(|stop| match stop {
                        Stop::Errno(errno) => errno as i32,
                        Stop::Block(_) => TIMED_OUT,
                    });
                }
            };
            waited = true;
            let looked = world.epoch;
            world.waiting.push(Waiting {
                thread: me,
                looked,
                until,
            });
            self.changed.notify_all();
            while world.epoch == looked {
                let alone;
                (world, alone) = self.wait(world, NOBODY);
                if alone && world.epoch == looked && !self.move_on(&mut world) {
                    world.waiting.retain(|waiting| waiting.thread != me);
                    return Err(TIMED_OUT);
                }
            }
        }
    }

    /// The clock goes to the next instant at which something is due. False when there is none.
    fn move_on(&self, world: &mut World) -> bool {
        let Some(next) = world.next_instant() else {
            return false;
        };
        world.step(next);
        self.changed.notify_all();
        true
    }

    /// Waits, in true time, until everything that happens at this instant has happened.
    fn settle<'a>(&self, mut world: MutexGuard<'a, World>) -> MutexGuard<'a, World> {
        let me = thread::current().id();
        let mut patience = READS_CLOCK;
        loop {
            let unsettled = world.waiting.iter().any(|waiting| waiting.looked != world.epoch);
            let due = world.due.iter().find(|(thread, _)| *thread != me);
            let limit = match (unsettled, due) {
                (true, _) => patience,
                (false, Some((_, limit))) => patience.min(*limit),
                (false, None) => return world,
            };
            let before = (world.epoch, world.due.len(), world.waiting.len());
            let late;
            (world, late) = self.wait(world, limit);
            if late && before == (world.epoch, world.due.len(), world.waiting.len()) {
                // They do something else: time goes on without them.
                world.due.clear();
                patience = Duration::from_millis(1);
                if unsettled {
                    return world;
                }
            }
        }
    }

    /// The clock goes to `end`, and stops on the way wherever something is due.
    fn advance<'a>(&'a self, mut world: MutexGuard<'a, World>, end: Instant) -> MutexGuard<'a, World> {
        loop {
            world = self.settle(world);
            match world.next_instant().filter(|&next| next <= end) {
                Some(next) => world.step(next),
                None => break,
            }
            self.changed.notify_all();
        }
        world.now = world.now.max(end);
        world
    }

    pub(crate) fn sleep(&self, time: Duration) {
        let world = self.enter();
        let end = world.now + time;
        let mut world = self.advance(world, end);
        // Whoever slept until now does something now, before the other thread moves the clock on.
        world.due.push((thread::current().id(), ACTS));
        self.changed.notify_all();
    }

    /// The time in microseconds.
    pub(crate) fn read_clock(&self) -> i64 {
        let me = thread::current().id();
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let read = world.now;
        // Reading is what a thread does whose call has ended; one that slept reads, too, and acts afterwards.
        world.due.retain(|(thread, limit)| *thread != me || *limit == ACTS);
        self.changed.notify_all();
        let end = read + CREEP;
        drop(self.advance(world, end));
        i64::try_from(read.as_micros()).unwrap_or(i64::MAX)
    }

    /// A packet arrives.
    pub(crate) fn inject(&self, bytes: &[u8]) -> Result<(), i32> {
        const INVALID: i32 = 22;
        let mut world = self.enter();
        world.vain = 0;
        let to = destination(bytes).ok_or(INVALID)?;
        world.learn(to);
        let packet = Packet::with_payload(bytes.to_vec().into());
        let World { host, now, link, .. } = &mut *world;
        host.receive(*now, *link, &mut vec![packet]);
        world.stir();
        world.epoch += 1;
        self.changed.notify_all();
        Ok(())
    }

    /// An address that a program binds is the host's.
    pub(crate) fn learn(&self, address: IpAddr) {
        self.enter().learn(address);
    }

    /// The next packet that leaves: its length, and when it left in microseconds.
    pub(crate) fn take(&self, buf: &mut [u8]) -> Result<(usize, i64), i32> {
        let mut world = self.enter();
        let end = world.now + PATIENCE;
        loop {
            world = self.settle(world);
            if let Some((at, packet)) = world.out.pop_front() {
                world.vain = 0;
                let len = packet.len().min(buf.len());
                buf[..len].copy_from_slice(&packet[..len]);
                return Ok((len, i64::try_from(at.as_micros()).unwrap_or(i64::MAX)));
            }
            match world.next_instant().filter(|&next| next <= end) {
                Some(next) => world.step(next),
                None => break,
            }
            self.changed.notify_all();
        }
        world.vain += 1;
        if world.vain < ATTEMPTS {
            return Err(TIMED_OUT);
        }
        eprintln!("sockeye: no packet leaves within three hours");
        Ok((0, i64::try_from(world.now.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl World {
    fn ask<T>(&mut self, ask: &mut impl FnMut(&mut Calls<'_>, &mut Wait) -> Answer<T>, wait: &mut Wait) -> Answer<T> {
        let answer = ask(&mut self.process.on(&mut self.host, self.now), wait);
        self.stir();
        answer
    }

    /// Takes what leaves, as it is on the wire.
    fn stir(&mut self) {
        let mut packets = VecDeque::new();
        self.host.poll_transmit(self.now, self.link, &mut packets, MANY);
        for mut packet in packets {
            gso::finish(&mut packet);
            self.out.push_back((self.now, packet.to_vec()));
        }
    }

    /// When something is due next: a timer, or the end of a call's patience.
    fn next_instant(&self) -> Option<Instant> {
        let patience = self.waiting.iter().filter_map(|waiting| waiting.until);
        self.host.poll_timeout().into_iter().chain(patience).min()
    }

    /// Time goes to `next`, and what is due then happens.
    fn step(&mut self, next: Instant) {
        self.now = self.now.max(next);
        self.host.handle_timeout(self.now);
        self.stir();
        self.epoch += 1;
    }

    /// Makes `address` ours, if it can be anybody's.
    fn learn(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        let nobody = address.is_unspecified()
            || address.is_multicast()
            || address.is_loopback()
            || address == IpAddr::V4(Ipv4Addr::BROADCAST);
        if !nobody && !self.host.is_local(address) {
            self.host.add_address(self.link, address, width(address));
        }
    }
}

/// Bits of an address.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Where a packet goes.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}
