//! Whose socket is it? A descriptor number means nothing without its process, so it is never trusted.
//!
//! We take a copy of the caller's descriptor (`pidfd_getfd`) and ask the kernel for the socket's cookie: a number that no other socket ever
//! had or will have. It is the same through `dup`, `fork`, `exec` and descriptor passing.

use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

/// `PIDFD_THREAD` (Linux 6.9): a descriptor for a thread, whose descriptor table may be its own.
const PIDFD_THREAD: u32 = libc::PIDFD_THREAD;

/// Handles of threads are kept, at most so many.
const KEPT: usize = 1_024;

/// Descriptors of other threads.
#[derive(Debug)]
pub(crate) struct Tasks {
    pidfds: HashMap<u32, OwnedFd>,
    /// The kernel gives handles of threads, not only of processes.
    threads: bool,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let threads = pidfd_open(rustix::process::getpid(), PidfdFlags::from_bits_retain(PIDFD_THREAD)).is_ok();
        Self {
            pidfds: HashMap::new(),
            threads,
        }
    }

    /// A copy of descriptor `fd` of thread `tid`.
    pub(crate) fn copy(&mut self, tid: u32, fd: i32) -> Result<OwnedFd, Errno> {
        if fd < 0 {
            return Err(Errno::BADF);
        }
        if let Some(pidfd) = self.pidfds.get(&tid) {
            match pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty()) {
                Err(Errno::SRCH) => {}
                other => return other,
            }
        }
        let pidfd = self.open(tid)?;
        let copy = pidfd_getfd(&pidfd, fd, PidfdGetfdFlags::empty());
        if self.pidfds.len() >= KEPT {
            self.pidfds.clear();
        }
        self.pidfds.insert(tid, pidfd);
        copy
    }

    fn open(&self, tid: u32) -> Result<OwnedFd, Errno> {
        if self.threads {
            return pidfd_open(pid(tid)?, PidfdFlags::from_bits_retain(PIDFD_THREAD));
        }
        let tgid = status(tid).map_or(tid, |status| status.tgid);
        pidfd_open(pid(tgid)?, PidfdFlags::empty())
    }

    /// Threads that we have met lately.
    pub(crate) fn known(&self) -> Vec<u32> {
        self.pidfds.keys().copied().collect()
    }
}

fn pid(raw: u32) -> Result<Pid, Errno> {
    i32::try_from(raw).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)
}

/// The cookie of a socket; `None` for what is not a socket.
pub(crate) fn cookie(socket: impl AsFd) -> Option<u64> {
    sockopt::socket_cookie(socket).ok()
}

/// Descriptors of a thread that are sockets.
pub(crate) fn sockets_of(tid: u32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{tid}/fd")) else {
        return Vec::new();
    };
    let sockets = entries.flatten().filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let socket = target.to_str()?.starts_with("socket:");
        socket.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    });
    sockets.collect()
}

/// What `/proc/TID/status` says about a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Its process.
    pub(crate) tgid: u32,
    /// Threads of its process.
    pub(crate) threads: u32,
    /// Signals pending for the thread alone.
    pub(crate) pending: u64,
    /// Signals pending for the process.
    pub(crate) shared_pending: u64,
    /// Blocked signals.
    pub(crate) blocked: u64,
    /// Signals with a handler.
    pub(crate) caught: u64,
}

/// Reads `/proc/TID/status`; `None` when the thread is gone.
pub(crate) fn status(tid: u32) -> Option<Status> {
    let text = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    Some(parse_status(&text))
}

fn parse_status(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        let mask = || u64::from_str_radix(value, 16).unwrap_or(0);
        match key {
            "Tgid" => status.tgid = value.parse().unwrap_or(0),
            "Threads" => status.threads = value.parse().unwrap_or(0),
            "SigPnd" => status.pending = mask(),
            "ShdPnd" => status.shared_pending = mask(),
            "SigBlk" => status.blocked = mask(),
            "SigCgt" => status.caught = mask(),
            _ => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn a_copy_has_the_cookie_of_its_original() {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let dup = rustix::io::dup(&a).unwrap();
        assert_eq!(cookie(&a), cookie(&dup));
        assert_ne!(cookie(&a), cookie(&b));
        assert_eq!(cookie(std::fs::File::open("/dev/null").unwrap()), None);
    }

    /// Kernels before 6.9 give handles of processes only.
    #[test]
    fn descriptors_are_copied_from_threads_and_from_processes() {
        use std::os::fd::AsRawFd;
        let (a, _b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        for threads in [Tasks::new().threads, false] {
            let mut tasks = Tasks {
                pidfds: HashMap::new(),
                threads,
            };
            for _ in 0..2 {
                let copy = tasks.copy(tid, a.as_raw_fd()).unwrap();
                assert_eq!(cookie(&copy), cookie(&a));
            }
            assert_eq!(tasks.copy(tid, 1_000_000).unwrap_err(), Errno::BADF);
            assert_eq!(tasks.copy(tid, -1).unwrap_err(), Errno::BADF);
            assert_eq!(tasks.known(), [tid]);
        }
    }

    #[test]
    fn status_lines() {
        let text =
            "Name:\tx\nTgid:\t12\nThreads:\t3\nSigPnd:\t0000000000000200\nShdPnd:\t0\nSigBlk:\t1\nSigCgt:\tffff\n";
        let want = Status {
            tgid: 12,
            threads: 3,
            pending: 0x200,
            shared_pending: 0,
            blocked: 1,
            caught: 0xffff,
        };
        assert_eq!(parse_status(text), want);
    }
}
