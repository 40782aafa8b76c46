//! One epoll descriptor for everything of the gateway, and the tokens that lead from an event back to its socket.
//!
//! Sockets are registered once, edge-triggered, for all they can report; who owns one remembers what it was last ready for. A token carries
//! a generation, so that an event of a closed socket never reaches the one that took its place.

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Events taken at a time.
const MANY: usize = 256;

/// What kind of socket an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Relay,
    Udp,
    Echo,
    Query,
    Listener,
}

/// Names a registered socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) key: Key,
}

/// Place and generation of an entry of an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

impl Token {
    const KINDS: [Kind; 5] = [Kind::Relay, Kind::Udp, Kind::Echo, Kind::Query, Kind::Listener];

    fn pack(self) -> u64 {
        debug_assert!(self.key.index < 1 << 24, "more entries than a token can name");
        u64::from(self.kind as u8) << 56 | u64::from(self.key.index) << 32 | u64::from(self.key.generation)
    }

    fn unpack(word: u64) -> Option<Self> {
        Some(Self {
            kind: *Self::KINDS.get((word >> 56) as usize)?,
            key: Key {
                index: (word >> 32) as u32 & 0x00ff_ffff,
                generation: word as u32,
            },
        })
    }
}

/// What a socket became ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) read: bool,
    pub(super) write: bool,
    /// The remote closed its direction, or all is over: there is an end to be read.
    pub(super) hangup: bool,
    pub(super) error: bool,
}

/// The epoll descriptor.
pub(super) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
        })
    }

    /// Watches `fd` for everything. Closing the descriptor ends that.
    pub(super) fn add(&self, fd: impl AsFd, kind: Kind, key: Key) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(Token { kind, key }.pack());
        Ok(epoll::add(&self.epoll, fd, data, flags)?)
    }

    /// Watches a listener: level-triggered, so that connections left waiting are reported again.
    pub(super) fn add_listener(&self, fd: impl AsFd, key: Key) -> io::Result<()> {
        let kind = Kind::Listener;
        let data = EventData::new_u64(Token { kind, key }.pack());
        Ok(epoll::add(&self.epoll, fd, data, EventFlags::IN)?)
    }

    /// Appends what happened since the last call to `into`, without waiting; at most [`MANY`] things.
    pub(super) fn poll(&self, into: &mut Vec<(Token, Ready)>) {
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut room = [const { MaybeUninit::<Event>::uninit() }; MANY];
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut room, Some(&nothing)) else {
            return;
        };
        into.extend(events.iter().filter_map(|event| {
            let (flags, data) = (event.flags, event.data);
            let ready = Ready {
                read: flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
                write: flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR),
                hangup: flags.intersects(EventFlags::RDHUP | EventFlags::HUP),
                error: flags.contains(EventFlags::ERR),
            };
            Some((Token::unpack(data.u64())?, ready))
        }));
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Poller").field(&self.epoll).finish()
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Entries under keys that are never used twice.
#[derive(Debug)]
pub(super) struct Arena<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Arena<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[index as usize];
        entry.1 = Some(value);
        let generation = entry.0;
        Key { index, generation }
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let (generation, value) = self.entries.get(key.index as usize)?;
        value.as_ref().filter(|_| *generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = self.entries.get_mut(key.index as usize)?;
        value.as_mut().filter(|_| *generation == key.generation)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.0 != key.generation {
            return None;
        }
        let value = entry.1.take()?;
        entry.0 = entry.0.wrapping_add(1);
        self.free.push(key.index);
        self.len -= 1;
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, (generation, value))| {
                let key = Key {
                    index: index as u32,
                    generation: *generation,
                };
                Some((key, value.as_ref()?))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_its_entry_without_reaching_the_next() {
        let mut arena = Arena::default();
        let first = arena.insert("first");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert("second");
        assert_eq!(second.index, first.index);
        assert_eq!((arena.get(first), arena.get(second)), (None, Some(&"second")));
        assert_eq!((arena.remove(first), arena.len()), (None, 1));
        let kind = Kind::Query;
        let token = Token { kind, key: second };
        assert_eq!(Token::unpack(token.pack()), Some(token));
    }
}
