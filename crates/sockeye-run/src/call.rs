//! One system call of the program that waits for our answer, and the program's memory around it.
//!
//! Arguments in memory are read once and acted on as read: another thread may change them while we think.

use crate::address::LONGEST;
use crate::socket::SockId;
use rustix::io::Errno;
use sockeye_core::Instant;
use sockeye_core::bsd::address::Family;
use sockeye_core::bsd::options::number;
use sockeye_sys::memory::{self, Stretch};
use sockeye_sys::seccomp::Notification;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// A call that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) tid: u32,
    pub(crate) nr: i64,
    pub(crate) args: [u64; 6],
    /// It was looked at before and had to wait.
    pub(crate) resumed: bool,
}

/// What to answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The call returns this.
    Value(i64),
    /// The kernel does it.
    Continue,
    /// It has to wait for something to happen on the socket.
    Wait(Wait),
    /// It was answered, or nobody waits any more.
    Done,
}

/// Why and how long a call waits.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) sock: SockId,
    /// A copy of the program's end: the descriptor may be closed meanwhile.
    pub(crate) app: OwnedFd,
    /// Until when, and what the call returns then.
    pub(crate) deadline: Option<(Instant, Errno)>,
    pub(crate) kind: WaitKind,
}

/// What a held call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitKind {
    Accept,
    Connect,
    Receive,
    Send,
}

/// An answer, or the errno that the call fails with.
pub(crate) type Answered = Result<Answer, Errno>;

/// Success without a value.
pub(crate) const OK: Answered = Ok(Answer::Value(0));

/// Buffers of a message: at most so many, as in the kernel.
const IOV_MAX: usize = 1_024;

/// No call moves more than this at once.
pub(crate) const TRANSFER_MAX: usize = 1 << 20;

/// `struct msghdr`, read from the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) name: u64,
    pub(crate) name_len: u32,
    pub(crate) iov: Vec<Stretch>,
    pub(crate) control: u64,
    pub(crate) control_len: usize,
}

/// Size of `struct msghdr`, and of `struct mmsghdr`.
pub(crate) const MSGHDR: u64 = 56;
pub(crate) const MMSGHDR: u64 = 64;

impl From<Notification> for Call {
    fn from(n: Notification) -> Self {
        Self {
            id: n.id,
            tid: n.tid,
            nr: n.nr,
            args: n.args,
            resumed: false,
        }
    }
}

impl Call {
    /// The descriptor in the first argument.
    pub(crate) fn fd(&self) -> i32 {
        self.args[0] as i32
    }

    /// An int argument.
    pub(crate) fn int(&self, n: usize) -> i32 {
        self.args[n] as i32
    }

    /// Reads exactly `len` bytes.
    pub(crate) fn read(&self, at: u64, len: usize) -> Result<Vec<u8>, Errno> {
        self.read_all(&[(at, len)])
    }

    /// Reads stretches of memory, all of each.
    pub(crate) fn read_all(&self, from: &[Stretch]) -> Result<Vec<u8>, Errno> {
        let len = from.iter().map(|stretch| stretch.1).sum();
        let mut bytes = vec![0; len];
        if len > 0 {
            let got = memory::read(self.tid, from, &mut bytes).map_err(|error| errno(&error))?;
            if got < len {
                return Err(Errno::FAULT);
            }
        }
        Ok(bytes)
    }

    /// Writes `bytes` to memory.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.write_all(&[(at, bytes.len())], bytes)
    }

    /// Writes `bytes` to stretches of memory.
    pub(crate) fn write_all(&self, to: &[Stretch], bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let wrote = memory::write(self.tid, to, bytes).map_err(|error| errno(&error))?;
        if wrote < bytes.len() { Err(Errno::FAULT) } else { Ok(()) }
    }

    /// Reads an int.
    pub(crate) fn read_int(&self, at: u64) -> Result<i32, Errno> {
        number(&self.read(at, 4)?).ok_or(Errno::FAULT)
    }

    /// Reads a socket address of the given length.
    pub(crate) fn read_address(&self, at: u64, len: i32) -> Result<Vec<u8>, Errno> {
        match usize::try_from(len) {
            Ok(len) if len <= LONGEST => self.read(at, len),
            _ => Err(Errno::INVAL),
        }
    }

    /// Gives an address back through a pointer and a pointer to its length, cut to the room there is. Nothing without a pointer.
    pub(crate) fn write_address(
        &self,
        at: u64,
        len_at: u64,
        family: Family,
        address: Option<SocketAddr>,
    ) -> Result<(), Errno> {
        if at == 0 {
            return Ok(());
        }
        let bytes = address.map_or_else(Vec::new, |address| family.encode(address));
        self.write_sized(at, len_at, &bytes)
    }

    /// Gives bytes back through a pointer and a pointer to their length, cut to the room there is; the length told is the full one.
    fn write_sized(&self, at: u64, len_at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let room = usize::try_from(self.read_int(len_at)?).map_err(|_| Errno::INVAL)?;
        let len = (bytes.len() as i32).to_ne_bytes();
        self.write(at, &bytes[..bytes.len().min(room)])?;
        self.write(len_at, &len)
    }

    /// Gives an option's value back, cut to the room there is.
    pub(crate) fn write_option(&self, at: u64, len_at: u64, value: &[u8]) -> Result<(), Errno> {
        let room = usize::try_from(self.read_int(len_at)?).map_err(|_| Errno::INVAL)?;
        let cut = &value[..value.len().min(room)];
        self.write(at, cut)?;
        self.write(len_at, &(cut.len() as i32).to_ne_bytes())
    }

    /// Reads a `struct msghdr` and its buffers.
    pub(crate) fn read_message(&self, at: u64) -> Result<Message, Errno> {
        let raw = self.read(at, MSGHDR as usize)?;
        let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| raw[at + i]));
        let count = word(24) as usize;
        if count > IOV_MAX {
            return Err(Errno::MSGSIZE);
        }
        let vectors = self.read(word(16), count * 16)?;
        let mut left = TRANSFER_MAX;
        let iov = vectors.chunks_exact(16).map(|vector| {
            let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| vector[at + i]));
            let len = usize::try_from(word(8)).unwrap_or(usize::MAX).min(left);
            left -= len;
            (word(0), len)
        });
        Ok(Message {
            name: word(0),
            name_len: number(&raw[8..12]).unwrap_or(0) as u32,
            iov: iov.filter(|stretch| stretch.1 > 0).collect(),
            control: word(32),
            control_len: word(40) as usize,
        })
    }
}

impl Message {
    /// Bytes of all buffers.
    pub(crate) fn len(&self) -> usize {
        self.iov.iter().map(|stretch| stretch.1).sum()
    }

    /// The buffers that the first `len` bytes go to.
    pub(crate) fn front(&self, mut len: usize) -> Vec<Stretch> {
        let mut front = Vec::new();
        for &(at, size) in &self.iov {
            let take = size.min(len);
            if take > 0 {
                front.push((at, take));
            }
            len -= take;
        }
        front
    }
}

/// The errno of a failed system call of ours.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// The errno of a core error.
pub(crate) fn core_errno(errno: sockeye_core::error::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

#[cfg(test)]
mod tests {
    use sockeye_core::bsd::abi;

    /// The stack has numbers of its own, since it does without libc; they must be the same.
    #[test]
    fn numbers_are_those_of_the_c_library() {
        macro_rules! same {
            ($($name:ident)*) => {
                $(assert_eq!(i64::from(abi::$name), libc::$name as i64, stringify!($name));)*
            };
        }
        same! {
            AF_UNSPEC AF_UNIX AF_INET AF_INET6 SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_NONBLOCK SOCK_CLOEXEC SOL_SOCKET
            IPPROTO_IP IPPROTO_ICMP IPPROTO_TCP IPPROTO_UDP IPPROTO_IPV6 IPPROTO_ICMPV6 SHUT_RD SHUT_WR SHUT_RDWR
            MSG_OOB MSG_PEEK MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_WAITALL MSG_ERRQUEUE MSG_NOSIGNAL MSG_MORE
            MSG_FASTOPEN SO_DEBUG SO_REUSEADDR SO_TYPE SO_ERROR SO_DONTROUTE SO_BROADCAST SO_SNDBUF SO_RCVBUF
            SO_KEEPALIVE SO_OOBINLINE SO_NO_CHECK SO_PRIORITY SO_LINGER SO_REUSEPORT SO_RCVLOWAT SO_SNDLOWAT
            SO_RCVTIMEO SO_SNDTIMEO SO_BINDTODEVICE SO_DETACH_FILTER SO_TIMESTAMP SO_ACCEPTCONN SO_SNDBUFFORCE
            SO_RCVBUFFORCE SO_TIMESTAMPNS SO_MARK SO_PROTOCOL SO_DOMAIN SO_RXQ_OVFL SO_SELECT_ERR_QUEUE SO_BUSY_POLL
            SO_MAX_PACING_RATE SO_INCOMING_CPU SO_INCOMING_NAPI_ID SO_ZEROCOPY IP_TOS IP_TTL IP_OPTIONS IP_RECVOPTS
            IP_RETOPTS IP_PKTINFO IP_MTU_DISCOVER IP_RECVERR IP_RECVTTL IP_RECVTOS IP_MTU IP_FREEBIND IP_TRANSPARENT
            IP_RECVORIGDSTADDR IP_MINTTL IP_BIND_ADDRESS_NO_PORT IP_MULTICAST_IF IP_MULTICAST_TTL IP_MULTICAST_LOOP
            IP_ADD_MEMBERSHIP IP_DROP_MEMBERSHIP IP_MULTICAST_ALL IP_PMTUDISC_DO IP_PMTUDISC_PROBE IPV6_UNICAST_HOPS
            IPV6_MULTICAST_IF IPV6_MULTICAST_HOPS IPV6_MULTICAST_LOOP IPV6_ADD_MEMBERSHIP IPV6_DROP_MEMBERSHIP
            IPV6_MTU_DISCOVER IPV6_MTU IPV6_RECVERR IPV6_V6ONLY IPV6_RECVPKTINFO IPV6_PKTINFO IPV6_RECVHOPLIMIT
            IPV6_HOPLIMIT IPV6_RECVTCLASS IPV6_TCLASS TCP_NODELAY TCP_MAXSEG TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL
            TCP_KEEPCNT TCP_SYNCNT TCP_LINGER2 TCP_DEFER_ACCEPT TCP_WINDOW_CLAMP TCP_INFO TCP_QUICKACK TCP_CONGESTION
            TCP_THIN_LINEAR_TIMEOUTS TCP_THIN_DUPACK TCP_USER_TIMEOUT TCP_REPAIR TCP_FASTOPEN TCP_NOTSENT_LOWAT
            TCP_SAVE_SYN TCP_ULP TCP_INQ UDP_CORK UDP_SEGMENT UDP_GRO FIONREAD FIONBIO F_DUPFD F_GETFD F_SETFD
            F_GETFL F_SETFL F_DUPFD_CLOEXEC FD_CLOEXEC O_WRONLY O_RDWR O_NONBLOCK O_CLOEXEC POLLIN POLLPRI POLLOUT
            POLLERR POLLHUP POLLNVAL POLLRDNORM POLLRDBAND POLLWRNORM POLLWRBAND POLLRDHUP EPOLL_CTL_ADD
            EPOLL_CTL_DEL EPOLL_CTL_MOD EPOLL_CLOEXEC SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE
        }
    }
}
