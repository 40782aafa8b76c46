//! Who waits for which socket. Kept beside the core's host, which only says that something about a socket changed.
//!
//! A waker is never dropped while the stack is locked: with it a task may go, and with the task a socket that wants the lock.

use sockeye_core::socket::SocketId;
use std::task::Waker;

/// What someone waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    /// Bytes, a datagram, a connection, the end, an error.
    pub(crate) read: bool,
    /// Room, the connection's establishment, an error.
    pub(crate) write: bool,
}

impl Want {
    pub(crate) const READ: Self = Self {
        read: true,
        write: false,
    };
    pub(crate) const WRITE: Self = Self {
        read: false,
        write: true,
    };

    const fn meets(self, other: Self) -> bool {
        (self.read && other.read) || (self.write && other.write)
    }
}

/// All waiters of a host, by kind and slot of their sockets.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    tcp: Vec<Option<Box<Slot>>>,
    listeners: Vec<Option<Box<Slot>>>,
    udp: Vec<Option<Box<Slot>>>,
    /// Of the next future that waits.
    next_key: u64,
}

/// Waiters of one socket.
#[derive(Debug, Default)]
struct Slot {
    /// The task that polled for reading last, as with every `poll_*` function.
    read: Option<Waker>,
    /// The task that polled for writing last.
    write: Option<Waker>,
    /// Futures, each with a key of its own, as many as there are.
    futures: Vec<(u64, Want, Waker)>,
}

/// Futures that wait for one thing, which is no socket.
#[derive(Debug, Default)]
pub(crate) struct WhoWaits {
    futures: Vec<(u64, Waker)>,
    next_key: u64,
}

impl WhoWaits {
    /// A future waits, under its key or a new one; returns who waited under it before.
    pub(crate) fn register(&mut self, key: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let key = *key.get_or_insert_with(|| {
            self.next_key += 1;
            self.next_key
        });
        match self.futures.iter_mut().find(|(waiting, _)| *waiting == key) {
            Some((_, kept)) if kept.will_wake(waker) => None,
            Some((_, kept)) => Some(std::mem::replace(kept, waker.clone())),
            None => {
                self.futures.push((key, waker.clone()));
                None
            }
        }
    }

    /// A future waits no more.
    pub(crate) fn forget(&mut self, key: u64) -> Option<Waker> {
        let at = self.futures.iter().position(|(waiting, _)| *waiting == key)?;
        Some(self.futures.swap_remove(at).1)
    }

    /// Takes everyone.
    pub(crate) fn take(&mut self, into: &mut Vec<Waker>) {
        into.extend(self.futures.drain(..).map(|(_, waker)| waker));
    }

    /// How many wait, for tests.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.futures.len()
    }
}

impl Waiters {
    /// The task of a `poll_*` function waits; returns who waited before, to be dropped after unlocking.
    pub(crate) fn register(&mut self, socket: SocketId, want: Want, waker: &Waker) -> Option<Waker> {
        let slot = self.slot_mut(socket);
        let place = if want.read { &mut slot.read } else { &mut slot.write };
        match place {
            Some(kept) if kept.will_wake(waker) => None,
            _ => place.replace(waker.clone()),
        }
    }

    /// A future waits, under its key or a new one; returns who waited under it before.
    pub(crate) fn register_future(
        &mut self,
        socket: SocketId,
        want: Want,
        key: &mut Option<u64>,
        waker: &Waker,
    ) -> Option<Waker> {
        let key = *key.get_or_insert_with(|| {
            self.next_key += 1;
            self.next_key
        });
        let futures = &mut self.slot_mut(socket).futures;
        match futures.iter_mut().find(|(waiting, ..)| *waiting == key) {
            Some((.., kept)) if kept.will_wake(waker) => None,
            Some((.., kept)) => Some(std::mem::replace(kept, waker.clone())),
            None => {
                futures.push((key, want, waker.clone()));
                None
            }
        }
    }

    /// A future waits no more.
    pub(crate) fn forget_future(&mut self, socket: SocketId, key: u64) -> Option<Waker> {
        let (of_kind, nth) = self.place(socket);
        let futures = &mut of_kind.get_mut(nth)?.as_mut()?.futures;
        let at = futures.iter().position(|(waiting, ..)| *waiting == key)?;
        Some(futures.swap_remove(at).2)
    }

    /// Takes those who wait for any of `what`.
    pub(crate) fn take(&mut self, socket: SocketId, what: Want, into: &mut Vec<Waker>) {
        let (of_kind, nth) = self.place(socket);
        let Some(Some(slot)) = of_kind.get_mut(nth) else {
            return;
        };
        if what.read {
            into.extend(slot.read.take());
        }
        if what.write {
            into.extend(slot.write.take());
        }
        let woken = slot.futures.extract_if(.., |(_, want, _)| want.meets(what));
        into.extend(woken.map(|(.., waker)| waker));
    }

    /// The socket is closed; those who waited for it are returned by way of `into`.
    pub(crate) fn close(&mut self, socket: SocketId, into: &mut Vec<Waker>) {
        let all = Want {
            read: true,
            write: true,
        };
        self.take(socket, all, into);
        let (of_kind, nth) = self.place(socket);
        if let Some(slot) = of_kind.get_mut(nth) {
            *slot = None;
        }
    }

    /// Takes everyone.
    pub(crate) fn take_all(&mut self, into: &mut Vec<Waker>) {
        for slot in [&mut self.tcp, &mut self.listeners, &mut self.udp]
            .into_iter()
            .flatten()
            .filter_map(Option::take)
        {
            into.extend(slot.read);
            into.extend(slot.write);
            into.extend(slot.futures.into_iter().map(|(.., waker)| waker));
        }
    }

    /// How many wait, for tests.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        let slots = [&self.tcp, &self.listeners, &self.udp].into_iter().flatten().flatten();
        slots
            .map(|slot| usize::from(slot.read.is_some()) + usize::from(slot.write.is_some()) + slot.futures.len())
            .sum()
    }

    fn place(&mut self, socket: SocketId) -> (&mut Vec<Option<Box<Slot>>>, usize) {
        match socket {
            SocketId::Tcp(id) => (&mut self.tcp, id.slot()),
            SocketId::Listener(id) => (&mut self.listeners, id.slot()),
            SocketId::Udp(id) => (&mut self.udp, id.slot()),
            // No front for these yet: nobody waits.
            SocketId::Raw(_) => (&mut self.udp, usize::MAX),
        }
    }

    fn slot_mut(&mut self, socket: SocketId) -> &mut Slot {
        let (of_kind, nth) = self.place(socket);
        if of_kind.len() <= nth {
            of_kind.resize_with(nth + 1, || None);
        }
        of_kind[nth].get_or_insert_default()
    }
}
