//! Calls that wait. They are looked at again whenever something happens on their socket; besides, every 20 ms we see whether their callers
//! still live, whether a signal wants to be delivered, and whether their time is over.
//!
//! A call that waits in the supervisor ignores signals that have a handler (the kernel would otherwise repeat calls that were already done),
//! so the supervisor has to end it: with -ERESTARTSYS where nobody but the caller can take the signal, so that the kernel applies SA_RESTART
//! or EINTR by itself; else, when the signal is still there at the second look, with EINTR.

use crate::call::{Answer, Call, Wait, WaitKind};
use crate::identity::{self, Status};
use crate::socket::SockId;
use crate::supervisor::Supervisor;
use rustix::io::Errno;
use sockeye_core::Instant;
use std::time::Duration;

/// How often waiting calls are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// The kernel's private errno: the call is to be repeated after the signal handler, or to fail with EINTR, as SA_RESTART says.
const ERESTARTSYS: i64 = 512;

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) call: Call,
    pub(crate) wait: Wait,
    /// Ticks in a row at which a signal was pending for its process.
    seen_pending: u8,
}

/// What pending signals mean for a held call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Nothing,
    /// The caller must take it.
    Restart,
    /// Somebody of the process should take it.
    Pending,
}

impl Held {
    pub(crate) fn new(call: Call, wait: Wait) -> Self {
        Self {
            call,
            wait,
            seen_pending: 0,
        }
    }
}

fn verdict(status: &Status) -> Verdict {
    let deliverable = |pending: u64| pending & !status.blocked & status.caught != 0;
    if deliverable(status.pending) {
        Verdict::Restart
    } else if !deliverable(status.shared_pending) {
        Verdict::Nothing
    } else if status.threads <= 1 {
        Verdict::Restart
    } else {
        Verdict::Pending
    }
}

impl Supervisor {
    /// True while a call of this kind waits on `sock`.
    pub(crate) fn is_held(&self, sock: SockId, kind: WaitKind) -> bool {
        self.held
            .iter()
            .any(|held| held.wait.sock == sock && held.wait.kind == kind)
    }

    /// Looks again at the calls that wait on `sock`, oldest first.
    pub(crate) fn retry_held(&mut self, sock: SockId) {
        let mut at = 0;
        while at < self.held.len() {
            if self.held[at].wait.sock != sock {
                at += 1;
                continue;
            }
            let mut held = self.held.remove(at);
            held.call.resumed = true;
            let Ok(app) = held.wait.app.try_clone() else {
                self.held.insert(at, held);
                return;
            };
            match self.serve(&held.call, sock, app) {
                Ok(Answer::Wait(_)) => {
                    self.held.insert(at, held);
                    at += 1;
                }
                other => self.answer(&held.call, &other),
            }
        }
    }

    /// When to call [`Supervisor::tick`].
    pub(crate) fn held_timeout(&self) -> Option<Instant> {
        if self.held.is_empty() {
            return None;
        }
        let deadlines = self.held.iter().filter_map(|held| held.wait.deadline.map(|(at, _)| at));
        deadlines.chain([self.last_tick + TICK]).min()
    }

    /// Ends calls whose time is over, who were killed, or who have a signal to take.
    pub(crate) fn tick(&mut self) {
        let now = self.now;
        let mut at = 0;
        while at < self.held.len() {
            let due = self.held[at].wait.deadline.filter(|(deadline, _)| *deadline <= now);
            if let Some((_, errno)) = due {
                let held = self.held.remove(at);
                self.answer(&held.call, &Err(errno));
            } else {
                at += 1;
            }
        }
        if now < self.last_tick + TICK {
            return;
        }
        self.last_tick = now;
        let mut at = 0;
        while at < self.held.len() {
            let held = &mut self.held[at];
            if !self.listener.is_waiting(held.call.id) {
                self.held.remove(at);
                continue;
            }
            let seen = identity::status(held.call.tid).map_or(Verdict::Nothing, |status| verdict(&status));
            held.seen_pending = if seen == Verdict::Pending {
                held.seen_pending + 1
            } else {
                0
            };
            if seen == Verdict::Nothing || held.seen_pending == 1 {
                at += 1;
                continue;
            }
            let held = self.held.remove(at);
            let name = if held.wait.kind == WaitKind::Accept || held.wait.kind == WaitKind::Receive {
                libc::SO_RCVTIMEO
            } else {
                libc::SO_SNDTIMEO
            };
            let timed = self
                .socks
                .get(held.wait.sock)
                .is_some_and(|sock| sock.options.timeout(name).is_some());
            if seen == Verdict::Restart && !timed {
                // Negative values of `answer` are errnos.
                self.listener.answer(held.call.id, -ERESTARTSYS);
            } else {
                self.answer(&held.call, &Err(Errno::INTR));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sole_taker_of_a_signal_is_restarted() {
        let status = |pending, shared_pending, blocked, caught, threads| Status {
            tgid: 1,
            threads,
            pending,
            shared_pending,
            blocked,
            caught,
        };
        for (case, status, want) in [
            ("none", status(0, 0, 0, 0xff, 1), Verdict::Nothing),
            ("mine", status(4, 0, 0, 4, 9), Verdict::Restart),
            ("mine but blocked", status(4, 0, 4, 4, 9), Verdict::Nothing),
            ("not caught", status(4, 4, 0, 0, 9), Verdict::Nothing),
            ("the process's, one thread", status(0, 4, 0, 4, 1), Verdict::Restart),
            ("the process's, many threads", status(0, 4, 0, 4, 2), Verdict::Pending),
        ] {
            assert_eq!(verdict(&status), want, "{case}");
        }
    }
}
