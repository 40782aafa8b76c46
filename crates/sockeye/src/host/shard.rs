//! A core host that many tasks share: one lock, and whoever calls a socket runs the stack.
//!
//! Three rules keep the lock short. Bytes beyond 4 KiB are copied before it is taken or after it is let go. Links are called without it: what
//! is to leave is put into an outbox, and whoever gets the link's lock sends for all (`send_off`). Wakers are woken, and dropped, after it.

use super::alarm::Alarms;
use super::anyone::Strays;
use super::clock::Clock;
use super::waiters::{Waiters, Want};
use crate::link::Link;
use crate::net::errors;
use sockeye_core::buf::Pool;
use sockeye_core::host::InterfaceId;
use sockeye_core::socket::{Close, SocketId};
use sockeye_core::{Instant, Packet, gso};
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Packets of one turn of a link.
const BATCH: usize = 64;
/// Turns that one call, or one visit of the driver, gives a link before others come first.
const TURNS: usize = 4;

/// One host and its links.
#[derive(Debug)]
pub(crate) struct Shard {
    stack: Mutex<Stack>,
    ports: Box<[Port]>,
    clock: Clock,
    pool: Pool,
}

/// Everything behind the lock.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) host: sockeye_core::Host,
    pub(crate) waiters: Waiters,
    /// Of a host that speaks for any address.
    pub(crate) strays: Option<Strays>,
    pub(crate) alarms: Alarms,
    doors: Vec<Door>,
    /// The latest time that anyone told: the core's time never goes backwards.
    now: Instant,
    /// When the driver looks next by itself.
    armed: Option<Instant>,
    driver: Option<Waker>,
    /// Nobody holds the host or a socket of it any more: the driver ends once the connections have.
    orphaned: bool,
    /// When to stop waiting for the links, once the connections have ended.
    patience: Option<Instant>,
    /// Nobody moves packets any more: waiting is in vain.
    down: bool,
}

/// What the stack knows of a port.
#[derive(Debug, Default)]
struct Door {
    outbox: VecDeque<Packet>,
    deadline: Option<Instant>,
    dead: bool,
}

/// A link and the interface it belongs to.
#[derive(Debug)]
pub(crate) struct Port {
    interface: InterfaceId,
    /// The link takes packets without their checksums.
    checksum: bool,
    link: Mutex<Wired>,
}

/// The link itself; `None` once it failed.
struct Wired(Option<Box<dyn Link>>);

impl std::fmt::Debug for Wired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "link" } else { "failed" })
    }
}

/// What the driver is to do after a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more to do, after others had their turn.
    Again,
    /// Wait for a link, a kick, or this time.
    Wait(Option<Instant>),
    /// Everything has ended.
    Done,
}

impl Port {
    pub(crate) fn new(interface: InterfaceId, checksum: bool, link: Box<dyn Link>) -> Self {
        Self {
            interface,
            checksum,
            link: Mutex::new(Wired(Some(link))),
        }
    }
}

impl Shard {
    pub(crate) fn new(host: sockeye_core::Host, ports: Vec<Port>, clock: Clock, strays: Option<Strays>) -> Self {
        Self {
            pool: host.pool().clone(),
            clock,
            stack: Mutex::new(Stack {
                host,
                waiters: Waiters::default(),
                strays,
                alarms: Alarms::default(),
                doors: ports.iter().map(|_| Door::default()).collect(),
                now: Instant::ZERO,
                armed: None,
                driver: None,
                orphaned: false,
                patience: None,
                down: false,
            }),
            ports: ports.into(),
        }
    }

    /// Buffers for bytes on their way in.
    pub(crate) const fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Looks at the stack, or changes what needs no packet sent.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&mut Stack) -> R) -> R {
        f(&mut self.lock())
    }

    /// Runs the stack: `f` is a socket call, after which packets leave and those it concerns are woken.
    pub(crate) fn call<R>(&self, f: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        let mut stack = self.lock();
        let now = stack.tell_time(&self.clock);
        let result = f(&mut stack, now);
        self.settle(stack);
        result
    }

    /// A call that a task waits for: when it is pending, the task is woken after the next change of that kind to `socket`.
    pub(crate) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        socket: SocketId,
        want: Want,
        f: impl FnOnce(&mut Stack, Instant) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(f, |stack| stack.waiters.register(socket, want, cx.waker()))
    }

    /// One try of a call that would wait.
    pub(crate) fn attempt<R>(&self, f: impl FnOnce(&mut Stack, Instant) -> Poll<io::Result<R>>) -> io::Result<R> {
        match self.poll_with(f, |_| None) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(errors::would_block()),
        }
    }

    /// As `poll`, where `register` notes who waits.
    pub(crate) fn poll_with<R>(
        &self,
        f: impl FnOnce(&mut Stack, Instant) -> Poll<io::Result<R>>,
        register: impl FnOnce(&mut Stack) -> Option<Waker>,
    ) -> Poll<io::Result<R>> {
        let mut stack = self.lock();
        if stack.down {
            return Poll::Ready(Err(errors::down()));
        }
        let now = stack.tell_time(&self.clock);
        let result = f(&mut stack, now);
        let before = result.is_pending().then(|| register(&mut stack));
        self.settle(stack);
        drop(before);
        result
    }

    /// The last handle is gone.
    pub(crate) fn orphan(&self) {
        let mut stack = self.lock();
        stack.orphaned = true;
        let driver = stack.driver.clone();
        drop(stack);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// The driver's visit: packets that arrived go in, timers fire, packets leave.
    pub(crate) fn drive(&self, cx: &mut Context<'_>, batch: &mut Vec<Packet>) -> Next {
        let mut stack = self.lock();
        let known = stack.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker()));
        let before = if known {
            None
        } else {
            stack.driver.replace(cx.waker().clone())
        };
        drop(stack);
        drop(before);
        let mut again = false;
        for (nth, port) in self.ports.iter().enumerate() {
            again |= self.take_in(cx, nth, port, batch);
        }
        let mut stack = self.lock();
        let now = stack.tell_time(&self.clock);
        if stack.host.poll_timeout().is_some_and(|at| at <= now) {
            stack.host.handle_timeout(now);
        }
        self.settle(stack);
        let mut stack = self.lock();
        if stack.orphaned && stack.has_ended() {
            stack.down = true;
            return Next::Done;
        }
        stack.armed = stack.next_deadline();
        if again { Next::Again } else { Next::Wait(stack.armed) }
    }

    /// Hands what arrived by one link to the stack. True when there may be more.
    fn take_in(&self, cx: &mut Context<'_>, nth: usize, port: &Port, batch: &mut Vec<Packet>) -> bool {
        for _ in 0..TURNS {
            let mut wired = port.lock();
            let Some(link) = &mut wired.0 else { return false };
            let now = self.look(|stack| stack.tell_time(&self.clock));
            match link.poll_recv(cx, now, batch, BATCH) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.give_up(nth, wired, &error);
                    return false;
                }
                Poll::Pending => {
                    let deadline = link.deadline();
                    drop(wired);
                    self.look(|stack| stack.doors[nth].deadline = deadline);
                    return false;
                }
            }
            drop(wired);
            let mut stack = self.lock();
            let now = stack.tell_time(&self.clock);
            stack.host.receive(now, port.interface, batch);
            self.settle(stack);
        }
        true
    }

    /// A link failed: from now on it is a cable that was pulled.
    fn give_up(&self, nth: usize, mut wired: MutexGuard<'_, Wired>, error: &io::Error) {
        tracing::warn!(link = nth, %error, "a link failed; nothing passes there any more");
        let link = wired.0.take();
        drop(wired);
        let outbox = self.look(|stack| {
            let door = &mut stack.doors[nth];
            door.dead = true;
            door.deadline = None;
            std::mem::take(&mut door.outbox)
        });
        drop((link, outbox));
    }

    /// After anything that ran the stack: packets leave, the driver hears of an earlier deadline, and whoever waited is woken.
    fn settle<'a>(&'a self, mut stack: MutexGuard<'a, Stack>) {
        let mut woken = Vec::new();
        stack.sort_strays(&mut woken);
        if stack.doors.iter().all(|door| door.outbox.len() >= BATCH) {
            // No link takes anything now, or there is none: what goes to ourselves goes all the same.
            let mut nothing = VecDeque::new();
            let now = stack.now;
            stack.host.poll_transmit(now, InterfaceId::LOOPBACK, &mut nothing, 1);
        }
        for (nth, port) in self.ports.iter().enumerate() {
            stack = self.send_off(stack, nth, port);
        }
        stack.take_woken(&mut woken);
        let next = stack.next_deadline();
        if next.is_some_and(|next| stack.armed.is_none_or(|armed| next < armed)) {
            stack.armed = next;
            woken.extend(stack.driver.clone());
        }
        drop(stack);
        woken.into_iter().for_each(Waker::wake);
    }

    /// What is to leave by a port goes to its link, without the stack's lock. Who finds the link in use leaves the packets in the outbox:
    /// whoever uses it looks there again before letting go, with the stack locked, so that none is forgotten.
    fn send_off<'a>(&'a self, mut stack: MutexGuard<'a, Stack>, nth: usize, port: &Port) -> MutexGuard<'a, Stack> {
        for _ in 0..TURNS {
            // While the lock was let go, others may have told a later time.
            let now = stack.now;
            stack.fill(nth, port.interface);
            let door = &mut stack.doors[nth];
            if door.outbox.is_empty() && door.deadline.is_none_or(|at| at > now) {
                return stack;
            }
            let Ok(mut wired) = port.link.try_lock() else {
                return stack;
            };
            let mut batch = std::mem::take(&mut door.outbox);
            let driver = stack.driver.clone().unwrap_or_else(|| Waker::noop().clone());
            drop(stack);
            let Some(link) = &mut wired.0 else {
                drop(batch);
                stack = self.lock();
                continue;
            };
            if !port.checksum {
                batch.iter_mut().for_each(gso::finish);
            }
            let sent = link.poll_send(&mut Context::from_waker(&driver), now, &mut batch);
            let deadline = link.deadline();
            if let Poll::Ready(Err(error)) = &sent {
                self.give_up(nth, wired, error);
                return self.lock();
            }
            stack = self.lock();
            let door = &mut stack.doors[nth];
            door.deadline = deadline;
            while let Some(packet) = batch.pop_back() {
                door.outbox.push_front(packet);
            }
            drop(wired);
            drop(driver);
            if sent.is_pending() {
                return stack;
            }
        }
        // Others first; the driver goes on.
        if let Some(driver) = &stack.driver {
            driver.wake_by_ref();
        }
        stack
    }

    /// The driver is gone without having ended: connections are reset, as far as their links take that, and nobody waits any longer.
    pub(crate) fn abort(&self) {
        let mut stack = self.lock();
        let now = stack.tell_time(&self.clock);
        stack.driver = None;
        stack.down = true;
        let connections: Vec<_> = stack.host.tcp_ids().collect();
        for id in connections {
            stack.host.tcp_close(now, id, Close::Reset);
        }
        let mut woken = Vec::new();
        stack.waiters.take_all(&mut woken);
        stack.alarms.take_all(&mut woken);
        if let Some(strays) = &mut stack.strays {
            strays.take_all(&mut woken);
        }
        self.settle(stack);
        woken.into_iter().for_each(Waker::wake);
        for port in &self.ports {
            let link = port.lock().0.take();
            drop(link);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port {
    pub(crate) const fn interface(&self) -> InterfaceId {
        self.interface
    }

    fn lock(&self) -> MutexGuard<'_, Wired> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stack {
    /// The time now, which never goes backwards.
    fn tell_time(&mut self, clock: &Clock) -> Instant {
        self.now = self.now.max(clock.now());
        self.now
    }

    /// Moves packets that are to leave to the outbox, unless it is full.
    fn fill(&mut self, nth: usize, interface: InterfaceId) {
        let now = self.now;
        let door = &mut self.doors[nth];
        if door.dead {
            let mut lost = VecDeque::new();
            self.host.poll_transmit(now, interface, &mut lost, usize::MAX);
        } else if door.outbox.len() < BATCH {
            let room = BATCH - door.outbox.len();
            self.host.poll_transmit(now, interface, &mut door.outbox, room);
        }
    }

    fn sort_strays(&mut self, woken: &mut Vec<Waker>) {
        if let Some(strays) = &mut self.strays {
            strays.sort(&mut self.host, self.now, woken);
        }
    }

    /// Takes those to wake for everything that changed.
    fn take_woken(&mut self, woken: &mut Vec<Waker>) {
        while let Some(event) = self.host.poll_event() {
            let ready = self.ready(event.socket);
            self.waiters.take(event.socket, ready, woken);
        }
        self.alarms.take_due(self.now, woken);
    }

    /// What a socket is ready for.
    fn ready(&self, socket: SocketId) -> Want {
        match socket {
            SocketId::Tcp(id) => {
                let is = self.host.tcp_readiness(id);
                let ended = is.error.is_some() || is.closed;
                Want {
                    read: is.readable > 0 || is.eof || is.fin_received || ended,
                    write: is.writable > 0 || is.write_closed || ended,
                }
            }
            SocketId::Listener(id) => Want {
                read: self.host.listener_pending(id) > 0,
                write: false,
            },
            SocketId::Udp(id) => Want {
                read: self.host.udp_queued(id).0 > 0 || self.host.udp_has_error(id),
                write: self.host.udp_writable(id),
            },
            SocketId::Raw(_) => Want::default(),
        }
    }

    /// When the stack or a link wants to be looked at next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        // Asked after every call: a loop, where a chain of iterators costs many times as much.
        let sooner = |one: Option<Instant>, other: Option<Instant>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let mut first = sooner(self.host.poll_timeout(), self.patience);
        first = sooner(first, self.alarms.next());
        for door in &self.doors {
            first = sooner(first, door.deadline);
        }
        first
    }

    /// An orphaned host has ended when its connections have, and what they sent has left.
    fn has_ended(&mut self) -> bool {
        let now = self.now;
        if self.host.tcp_ids().next().is_some() {
            return false;
        }
        let patience = *self.patience.get_or_insert(now + self.host.settings().tcp_fin_timeout);
        let idle = self
            .doors
            .iter()
            .all(|door| door.outbox.is_empty() && door.deadline.is_none());
        idle || patience <= now
    }
}
