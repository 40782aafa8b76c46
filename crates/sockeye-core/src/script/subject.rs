//! What scripts talk to: a TCP/IP with sockets on one side and packets on the other.

use crate::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A TCP/IP under test. Time is counted from the start of the script.
pub trait Subject {
    /// Now, on the script's clock.
    fn now(&mut self) -> Duration;

    /// Lets time pass until `until`, or until a packet or the end of a call is there to be taken. May return earlier.
    fn wait(&mut self, until: Duration);

    /// Gives it one IP packet, as if it came from the network.
    ///
    /// # Errors
    /// What the link said.
    fn send(&mut self, packet: Vec<u8>) -> Result<(), String>;

    /// Takes the next IP packet that it sent, and when it did.
    fn receive(&mut self) -> Option<(Duration, Vec<u8>)>;

    /// Begins a socket call. The one before has ended.
    fn call(&mut self, request: Request);

    /// Takes what came of the call, and when it ended; `None` while it blocks.
    fn ended(&mut self) -> Option<(Duration, Outcome)>;

    /// `TCP_INFO` of a connection, as its structure; `None` when there is none.
    fn info(&mut self, fd: i32) -> Option<Vec<u8>>;

    /// Sets one of Linux's sysctls: `net.ipv4.tcp_sack`.
    ///
    /// # Errors
    /// Why it cannot be set.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String>;

    /// All counters, by the names that nstat has for them.
    fn counters(&mut self) -> BTreeMap<String, u64>;

    /// How long to wait for a packet that may come at any time.
    fn patience(&self) -> Duration;

    /// What to add to a script's tolerance for something expected `after` the event before: nothing in virtual time, what the machine's
    /// scheduling and timers take in real time.
    fn slack(&self, _after: Duration) -> Duration {
        Duration::ZERO
    }
}

/// A socket call, its arguments resolved. Descriptors are the subject's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the calls' manual pages document them")]
pub enum Request {
    Socket {
        domain: i32,
        kind: i32,
        protocol: i32,
    },
    Bind {
        fd: i32,
        address: SocketAddr,
    },
    Listen {
        fd: i32,
        backlog: i32,
    },
    Accept {
        fd: i32,
        flags: i32,
    },
    Connect {
        fd: i32,
        address: SocketAddr,
    },
    /// `read`, `readv`, `recv`, `recvfrom`, `recvmsg`: all are this one.
    Receive {
        fd: i32,
        len: usize,
        flags: i32,
    },
    /// `write`, `writev`, `send`, `sendto`, `sendmsg`.
    Send {
        fd: i32,
        data: Vec<u8>,
        flags: i32,
        to: Option<SocketAddr>,
    },
    GetOption {
        fd: i32,
        level: i32,
        name: i32,
        len: usize,
    },
    SetOption {
        fd: i32,
        level: i32,
        name: i32,
        value: Vec<u8>,
    },
    Shutdown {
        fd: i32,
        how: i32,
    },
    Close {
        fd: i32,
    },
    Fcntl {
        fd: i32,
        command: i32,
        argument: i32,
    },
    /// Requests that give one integer.
    Ioctl {
        fd: i32,
        request: u64,
    },
    Poll {
        /// Descriptors, and what to look for.
        fds: Vec<(i32, i16)>,
        /// In milliseconds; negative waits for ever.
        timeout: i32,
    },
    LocalName {
        fd: i32,
    },
    PeerName {
        fd: i32,
    },
    EpollCreate,
    EpollControl {
        epoll: i32,
        operation: i32,
        fd: i32,
        events: u32,
        /// Comes back with the event.
        data: u64,
    },
    EpollWait {
        epoll: i32,
        most: usize,
        timeout: i32,
    },
}

/// What came of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it returned; -1 for an error.
    pub result: i64,
    /// The error's number.
    pub errno: i32,
    /// Bytes received, or the option's value; the integer of an `ioctl`.
    pub data: Vec<u8>,
    /// An address that the call gives.
    pub address: Option<SocketAddr>,
    /// `msg_flags`.
    pub flags: i32,
    /// Control messages, as `recvmsg` gives them.
    pub control: Vec<u8>,
    /// What `poll` (by the place in its list) or `epoll_wait` (by `data`) found.
    pub ready: Vec<(u64, u32)>,
}

impl Outcome {
    /// A call that gave `result`.
    pub fn ok(result: i64) -> Self {
        Self {
            result,
            ..Self::default()
        }
    }

    /// A call that failed.
    pub fn failed(errno: i32) -> Self {
        Self {
            result: -1,
            errno,
            ..Self::default()
        }
    }
}
