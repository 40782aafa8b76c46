//! `poll`.

use super::abi::{POLLERR, POLLHUP, POLLNVAL};
use super::{Answer, Calls, Stop, Wait};
use crate::error::Errno;
use crate::time::Duration;

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollFd {
    /// The descriptor; a negative one is passed over.
    pub fd: i32,
    /// What to look for.
    pub events: i16,
    /// What is.
    pub revents: i16,
}

impl Calls<'_> {
    /// `poll`: how many of `fds` are ready; waits for `timeout` milliseconds, or for ever when it is negative.
    ///
    /// # Errors
    /// None but [`Stop::Block`]: what is wrong with a descriptor is told in its `revents`.
    pub fn poll(&mut self, fds: &mut [PollFd], timeout: i32, wait: &mut Wait) -> Answer<usize> {
        let mut found = 0;
        for fd in fds.iter_mut() {
            if let Ok(id) = self.process.lookup(fd.fd) {
                self.settle_zerocopy(id);
            }
            fd.revents = match self.process.lookup(fd.fd) {
                _ if fd.fd < 0 => 0,
                Ok(id) => self.ready(id, 0) & (fd.events | POLLERR | POLLHUP),
                Err(_) => POLLNVAL,
            };
            found += usize::from(fd.revents != 0);
        }
        if found > 0 {
            return Ok(found);
        }
        self.nothing_ready(timeout, wait)
    }

    /// Waits as `poll` and `epoll_wait` do: at the end nothing is ready, which is no error.
    pub(super) fn nothing_ready(&self, timeout: i32, wait: &mut Wait) -> Answer<usize> {
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        match self.block(wait, timeout, Errno::EAGAIN) {
            Err(Stop::Errno(_)) => Ok(0),
            other => other,
        }
    }
}
