//! Short messages of a program are read at once, but stay in the pair for a while.
//!
//! Whenever something is taken out of a pair, the kernel wakes whoever waits on the program's end, even a read that waits for bytes to come:
//! two switches between tasks for nothing, for each message of a conversation. So a short message is only looked at, and taken out later,
//! many at once. Not much later: a program can ask how much of what it sent is still under way.

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use sockeye_core::buf::Pool;
use sockeye_sys::queue;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long messages stay.
pub(crate) const LONGEST: Duration = Duration::from_millis(5);

/// Messages are short below this.
const SHORT: usize = 2 << 10;

/// So much stays, and so many: the kernel counts each as a buffer of its own.
const BYTES: usize = 4 << 10;
const MESSAGES: usize = 64;

/// What a stream's pair still holds of what was read.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    way: Way,
    bytes: usize,
    messages: usize,
    /// In the list of those to catch up.
    pub(crate) listed: bool,
}

/// How the next message is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Way {
    #[default]
    Take,
    Look,
    /// This kernel does not let us look on from where we were.
    AlwaysTake,
}

/// What a read gave.
#[derive(Debug)]
pub(crate) struct Read {
    /// Nothing at the end of the stream.
    pub(crate) bytes: Bytes,
    /// There may be more.
    pub(crate) full: bool,
}

impl Lag {
    /// True while the pair holds something that was read.
    pub(crate) fn lies(&self) -> bool {
        self.bytes > 0
    }

    /// Reads up to `want` bytes. `ends` when the program sends no more: then nothing stays.
    pub(crate) fn read(&mut self, end: &OwnedFd, pool: &Pool, want: usize, ends: bool) -> Result<Read, Errno> {
        if ends || self.way != Way::Look {
            self.catch_up(end);
            let read = fill(end, pool, want, RecvFlags::empty())?;
            if !read.full && read.bytes.len() < SHORT && self.way == Way::Take {
                self.way = match queue::look_on(end) {
                    Ok(()) => Way::Look,
                    Err(_) => Way::AlwaysTake,
                };
            }
            return Ok(read);
        }
        let read = fill(end, pool, want.min(SHORT), RecvFlags::PEEK)?;
        self.bytes += read.bytes.len();
        self.messages += 1;
        if read.full {
            self.way = Way::Take;
        }
        if read.full || self.bytes >= BYTES || self.messages >= MESSAGES {
            self.catch_up(end);
        }
        Ok(read)
    }

    /// Takes out of the pair what was read.
    pub(crate) fn catch_up(&mut self, end: &OwnedFd) {
        let mut sink = [0; BYTES + SHORT];
        while self.bytes > 0 {
            let want = self.bytes.min(sink.len());
            match recv(end, &mut sink[..want], RecvFlags::DONTWAIT) {
                Ok((n, _)) if n > 0 => self.bytes -= n,
                Err(Errno::INTR) => {}
                // It cannot be: they lay there.
                _ => break,
            }
        }
        (self.bytes, self.messages) = (0, 0);
    }
}

fn fill(end: &OwnedFd, pool: &Pool, want: usize, flags: RecvFlags) -> Result<Read, Errno> {
    let mut got = Ok(0);
    let bytes = pool.fill(want, |buf| {
        got = recv(end, buf, flags | RecvFlags::DONTWAIT).map(|(n, _)| n);
        got.unwrap_or(0)
    });
    let full = got? == want;
    Ok(Read { bytes, full })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendFlags, send};
    use sockeye_sys::pair;

    #[test]
    fn short_messages_come_once_and_stay_for_a_while() {
        let pair = pair::make(true).unwrap();
        let (pool, mut lag) = (Pool::default(), Lag::default());
        let read = |lag: &mut Lag, ends| lag.read(&pair.ours, &pool, 64 << 10, ends).map(|read| read.bytes);
        let mut sent = 0;
        for n in 0..500_u32 {
            let message = n.to_be_bytes().repeat(1 + n as usize % 7);
            sent += send(&pair.app, &message, SendFlags::DONTWAIT).unwrap();
            assert_eq!(read(&mut lag, false).unwrap(), message);
            assert_eq!(read(&mut lag, false).unwrap_err(), Errno::AGAIN);
            let stays = queue::received(&pair.ours).unwrap();
            assert_eq!(stays, lag.bytes);
            assert!(stays < BYTES && (n == 0 || stays > 0 || lag.messages == 0), "{stays}");
        }
        assert!(sent > BYTES, "it has caught up at times");
        let long = vec![7; 100_000];
        assert_eq!(send(&pair.app, &long, SendFlags::DONTWAIT).unwrap(), long.len());
        let mut got = Vec::new();
        while got.len() < long.len() {
            got.extend_from_slice(&read(&mut lag, false).unwrap());
            assert!(!lag.lies());
        }
        assert_eq!(got, long);
        let _ = send(&pair.app, b"one", SendFlags::DONTWAIT).unwrap();
        assert_eq!(read(&mut lag, false).unwrap(), &b"one"[..]);
        let _ = send(&pair.app, b"two", SendFlags::DONTWAIT).unwrap();
        assert_eq!(read(&mut lag, false).unwrap(), &b"two"[..]);
        assert!(lag.lies());
        rustix::net::shutdown(&pair.app, rustix::net::Shutdown::Write).unwrap();
        assert_eq!(read(&mut lag, true).unwrap(), &b""[..]);
        assert_eq!(queue::received(&pair.ours).unwrap(), 0);
    }
}
