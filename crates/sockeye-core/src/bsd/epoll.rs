//! `epoll_create`, `epoll_ctl`, `epoll_wait`: level, edge, one shot. epoll(7).
//!
//! Waiting looks at each descriptor of the interest list: the lists of scripts are short.

use super::abi::{self, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, POLLERR, POLLHUP};
use super::descriptors::{FileId, Kind};
use super::{Answer, Calls, Wait};
use crate::error::Errno;
use std::collections::BTreeMap;

const EXCLUSIVE: u32 = 1 << 28;
const ONESHOT: u32 = 1 << 30;
const EDGE: u32 = 1 << 31;
/// What is told whether or not it was asked for.
const ALWAYS: u32 = (POLLERR | POLLHUP) as u32;
/// The bits of poll(2).
const READINESS: u32 = 0xffff;

/// `struct epoll_event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpollEvent {
    /// EPOLLIN and so on: the bits of poll(2), and EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE.
    pub events: u32,
    /// The program's own.
    pub data: u64,
}

/// An epoll instance.
#[derive(Debug, Default)]
pub(super) struct Epoll {
    interests: BTreeMap<(i32, FileId), Interest>,
}

#[derive(Clone, Copy, Debug)]
struct Interest {
    wanted: EpollEvent,
    /// The change of the file that was told last; `None` before the first look.
    told: Option<u64>,
    /// One shot that was fired.
    spent: bool,
}

impl Calls<'_> {
    /// `epoll_create`.
    ///
    /// # Errors
    /// `EINVAL` unless `size` is above zero, `EMFILE`.
    pub fn epoll_create(&mut self, size: i32) -> Result<i32, Errno> {
        if size <= 0 {
            return Err(Errno::EINVAL);
        }
        self.epoll_create1(0)
    }

    /// `epoll_create1`.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags, `EMFILE`.
    pub fn epoll_create1(&mut self, flags: i32) -> Result<i32, Errno> {
        if flags & !abi::EPOLL_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        self.process
            .open(Kind::Epoll(Epoll::default()), abi::O_RDWR, flags != 0)
    }

    fn epoll(&mut self, id: FileId) -> Result<&mut Epoll, Errno> {
        match &mut self.process.file_mut(id).ok_or(Errno::EBADF)?.kind {
            Kind::Epoll(epoll) => Ok(epoll),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `epoll_ctl`.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EEXIST`, `ENOENT` as epoll_ctl(2) says.
    pub fn epoll_ctl(&mut self, epfd: i32, op: i32, fd: i32, event: EpollEvent) -> Result<(), Errno> {
        let (instance, target) = (self.process.lookup(epfd)?, self.process.lookup(fd)?);
        if instance == target {
            return Err(Errno::EINVAL);
        }
        let epoll = self.epoll(instance)?;
        let key = (fd, target);
        let fresh = Interest {
            wanted: event,
            told: None,
            spent: false,
        };
        match (op, epoll.interests.get_mut(&key)) {
            (EPOLL_CTL_ADD, Some(_)) => return Err(Errno::EEXIST),
            (EPOLL_CTL_ADD, None) => drop(epoll.interests.insert(key, fresh)),
            (EPOLL_CTL_MOD | EPOLL_CTL_DEL, None) => return Err(Errno::ENOENT),
            (EPOLL_CTL_MOD, Some(interest)) => {
                if (event.events | interest.wanted.events) & EXCLUSIVE != 0 {
                    return Err(Errno::EINVAL);
                }
                *interest = fresh;
            }
            (EPOLL_CTL_DEL, Some(_)) => drop(epoll.interests.remove(&key)),
            _ => return Err(Errno::EINVAL),
        }
        // A change of interest may make the instance itself ready.
        self.process.touch(instance);
        Ok(())
    }

    /// `epoll_wait`: up to `max` events into `out`; waits for `timeout` milliseconds, or for ever when it is negative.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for what is no epoll instance and unless `max` is above zero.
    pub fn epoll_wait(
        &mut self,
        epfd: i32,
        out: &mut Vec<EpollEvent>,
        max: i32,
        timeout: i32,
        wait: &mut Wait,
    ) -> Answer<usize> {
        let id = self.resolve(epfd, wait)?;
        let max = usize::try_from(max).ok().filter(|&max| max > 0).ok_or(Errno::EINVAL)?;
        let interests = self.epoll(id)?.interests.clone();
        for (key, interest) in interests {
            if out.len() == max {
                break;
            }
            self.settle_zerocopy(key.1);
            let Some(changed) = self.process.file(key.1).map(|file| file.changed) else {
                // Closed: the kernel forgets it, too.
                self.epoll(id)?.interests.remove(&key);
                continue;
            };
            let Some(event) = self.due(key.1, &interest, 0) else {
                continue;
            };
            out.push(event);
            if let Some(interest) = self.epoll(id)?.interests.get_mut(&key) {
                interest.told = Some(changed);
                interest.spent = event_is_last(interest);
            }
        }
        if !out.is_empty() {
            return Ok(out.len());
        }
        self.nothing_ready(timeout, wait)
    }

    /// What is to be told of one descriptor.
    fn due(&self, file: FileId, interest: &Interest, depth: u32) -> Option<EpollEvent> {
        let Interest { wanted, told, spent } = *interest;
        let changed = self.process.file(file)?.changed;
        if spent || wanted.events & EDGE != 0 && told.is_some_and(|told| told >= changed) {
            return None;
        }
        let ready = self.ready(file, depth) as u32 & READINESS & (wanted.events | ALWAYS);
        (ready != 0).then_some(EpollEvent {
            events: ready,
            data: wanted.data,
        })
    }

    /// True when waiting on this instance would tell something.
    pub(super) fn any_ready(&self, id: FileId, depth: u32) -> bool {
        let Some(Kind::Epoll(epoll)) = self.process.file(id).map(|file| &file.kind) else {
            return false;
        };
        let mut interests = epoll.interests.iter();
        interests.any(|(key, interest)| self.due(key.1, interest, depth).is_some())
    }
}

fn event_is_last(interest: &Interest) -> bool {
    interest.wanted.events & ONESHOT != 0
}
