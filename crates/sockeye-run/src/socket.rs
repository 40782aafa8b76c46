//! The program's sockets: what we know about each, and the table of them.

use crate::lag::Lag;
use bytes::Bytes;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use sockeye_core::bsd::address::Family;
use sockeye_core::bsd::options::Options;
use sockeye_core::buf::Rope;
use sockeye_core::socket::{Binding, ListenerId, RawId, Received, SocketId, TcpId, UdpId};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Names a socket of the program. A stale one names nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SockId {
    index: u32,
    generation: u32,
}

/// A socket of the program.
#[derive(Debug)]
pub(crate) struct Sock {
    /// The kernel's name for the program's end of the pair.
    pub(crate) cookie: u64,
    pub(crate) family: Family,
    /// Our end of the pair; `None` once nothing more can be said on it.
    pub(crate) end: Option<OwnedFd>,
    pub(crate) options: Options,
    /// A thread and descriptor number under which the program's end was seen last.
    pub(crate) hint: (u32, i32),
    /// In the list of sockets to look at.
    pub(crate) ready: bool,
    pub(crate) seen: Seen,
    pub(crate) kind: Kind,
}

/// What is known of our end of a stream's pair without asking: the kernel tells when it changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// There may be something to read, be it the end.
    pub(crate) readable: bool,
    /// The program sends no more: there is an end to be read.
    pub(crate) ends: bool,
    /// Neither end sends any more.
    pub(crate) hung_up: bool,
    /// The program's queue is full, and we asked to be told when it is not.
    pub(crate) waits_for_room: bool,
}

impl Seen {
    pub(crate) fn note(&mut self, flags: EventFlags) {
        self.hung_up |= flags.contains(EventFlags::HUP);
        self.ends |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.readable |= self.ends || flags.contains(EventFlags::IN);
    }
}

/// What kind of socket.
#[derive(Debug)]
pub(crate) enum Kind {
    Stream(Box<Stream>),
    Datagram(Box<Datagram>),
}

/// A TCP socket.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) state: State,
    /// Filler bytes in our receive queue that keep the program's end from being writable.
    pub(crate) fill: usize,
    /// The program's end has the send buffer of a connected socket.
    pub(crate) wide: bool,
    /// From the host, not yet taken by the pair.
    pub(crate) to_program: Rope,
    /// From the program, and still in the pair.
    pub(crate) lag: Lag,
    /// From the program, not yet taken by the host.
    pub(crate) to_host: Bytes,
    /// The end of the stream was passed on to the program.
    pub(crate) eof_told: bool,
    /// The program shut its sending direction.
    pub(crate) shut_write: bool,
    /// We passed that on to the host.
    pub(crate) shut_told: bool,
    /// A non-blocking connect has succeeded and the next one reports that.
    pub(crate) report_success: bool,
    /// The remote as the program named it, where that differs from where we went.
    pub(crate) alias: Option<SocketAddr>,
    /// SO_ERROR of an attempt that failed.
    pub(crate) error: Option<Errno>,
}

/// Where a TCP socket stands.
#[derive(Debug)]
pub(crate) enum State {
    Fresh,
    Bound(Binding),
    Connecting {
        id: TcpId,
        /// The address was chosen by the program: a second attempt starts from it again.
        bound: Option<SocketAddr>,
    },
    Connected(TcpId),
    Listening {
        id: ListenerId,
        /// Bytes in the program's receive queue that say "somebody is there".
        bells: usize,
        /// Accepted but not delivered.
        back: VecDeque<TcpId>,
        local: SocketAddr,
    },
    /// Over; kept for questions.
    Ended {
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    },
}

/// A UDP, ICMP echo or raw socket.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) id: DatagramId,
    pub(crate) protocol: u8,
    /// SOCK_RAW, not SOCK_DGRAM.
    pub(crate) raw: bool,
    pub(crate) connected: bool,
    /// Whom it is connected to, where the host does not remember.
    pub(crate) remote: Option<SocketAddr>,
    /// One entry for each datagram in the pair, oldest first.
    pub(crate) in_pair: VecDeque<Meta>,
    /// A datagram that the pair did not take yet.
    pub(crate) waiting: Option<Received>,
    /// A pending error.
    pub(crate) error: Option<Errno>,
    /// The name server that the program believes to talk to.
    pub(crate) alias: Option<SocketAddr>,
    /// Published by the gateway under this address.
    pub(crate) published: Option<SocketAddr>,
    /// Receiving was shut down.
    pub(crate) shut_read: bool,
}

/// The host's side of a datagram socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatagramId {
    /// Not bound yet.
    Fresh,
    Udp(UdpId),
    Raw(RawId),
}

/// What travels beside a datagram in the pair, which carries payload only.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    /// Memory the kernel charges for it.
    pub(crate) charge: usize,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    /// Not a datagram but an error, shown as an empty one to those who do not ask us.
    pub(crate) error: Option<Errno>,
}

impl Sock {
    pub(crate) fn stream(&self) -> Option<&Stream> {
        match &self.kind {
            Kind::Stream(stream) => Some(stream),
            Kind::Datagram(_) => None,
        }
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.kind {
            Kind::Stream(stream) => Some(stream),
            Kind::Datagram(_) => None,
        }
    }

    pub(crate) fn datagram(&self) -> Option<&Datagram> {
        match &self.kind {
            Kind::Datagram(datagram) => Some(datagram),
            Kind::Stream(_) => None,
        }
    }

    pub(crate) fn datagram_mut(&mut self) -> Option<&mut Datagram> {
        match &mut self.kind {
            Kind::Datagram(datagram) => Some(datagram),
            Kind::Stream(_) => None,
        }
    }

    /// SOCK_STREAM, SOCK_DGRAM or SOCK_RAW.
    pub(crate) fn type_number(&self) -> i32 {
        match &self.kind {
            Kind::Stream(_) => libc::SOCK_STREAM,
            Kind::Datagram(datagram) if datagram.raw => libc::SOCK_RAW,
            Kind::Datagram(_) => libc::SOCK_DGRAM,
        }
    }
}

impl Datagram {
    pub(crate) fn new(protocol: u8, raw: bool) -> Self {
        Self {
            id: DatagramId::Fresh,
            protocol,
            raw,
            connected: false,
            remote: None,
            in_pair: VecDeque::new(),
            waiting: None,
            error: None,
            alias: None,
            published: None,
            shut_read: false,
        }
    }

    /// True for an ICMP echo socket, which needs no privilege.
    pub(crate) fn is_ping(&self) -> bool {
        !self.raw && i32::from(self.protocol) != libc::IPPROTO_UDP
    }
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Fresh,
            fill: 0,
            wide: false,
            to_program: Rope::new(),
            lag: Lag::default(),
            to_host: Bytes::new(),
            eof_told: false,
            shut_write: false,
            shut_told: false,
            report_success: false,
            alias: None,
            error: None,
        }
    }

    /// The host's connection, while there is one.
    pub(crate) fn tcp(&self) -> Option<TcpId> {
        match &self.state {
            State::Connecting { id, .. } | State::Connected(id) => Some(*id),
            _ => None,
        }
    }
}

/// All of the program's sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    slots: Vec<(u32, Option<Sock>)>,
    free: Vec<u32>,
    by_cookie: HashMap<u64, SockId>,
    by_host: HashMap<SocketId, SockId>,
    /// Ended ones, oldest first; the oldest goes when there are too many.
    ended: VecDeque<SockId>,
}

/// Ended sockets are remembered, so many at most.
const ENDED_KEPT: usize = 4_096;

impl Sockets {
    pub(crate) fn insert(&mut self, sock: Sock) -> SockId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let cookie = sock.cookie;
        let slot = &mut self.slots[index as usize];
        slot.1 = Some(sock);
        let generation = slot.0;
        let id = SockId { index, generation };
        self.by_cookie.insert(cookie, id);
        id
    }

    pub(crate) fn get(&self, id: SockId) -> Option<&Sock> {
        let slot = self.slots.get(id.index as usize)?;
        slot.1.as_ref().filter(|_| slot.0 == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: SockId) -> Option<&mut Sock> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.1.as_mut().filter(|_| slot.0 == id.generation)
    }

    pub(crate) fn by_cookie(&self, cookie: u64) -> Option<SockId> {
        self.by_cookie.get(&cookie).copied()
    }

    pub(crate) fn by_host(&self, socket: SocketId) -> Option<SockId> {
        self.by_host.get(&socket).copied()
    }

    /// Events of `socket` concern `id`.
    pub(crate) fn own(&mut self, socket: SocketId, id: SockId) {
        self.by_host.insert(socket, id);
    }

    pub(crate) fn disown(&mut self, socket: SocketId) {
        self.by_host.remove(&socket);
    }

    pub(crate) fn remove(&mut self, id: SockId) -> Option<Sock> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.0 != id.generation {
            return None;
        }
        let sock = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1) & SockId::GENERATIONS;
        self.free.push(id.index);
        self.by_cookie.remove(&sock.cookie);
        Some(sock)
    }

    /// `id` is over, but its program may still ask about it. Forgets the one that ended longest ago when there are too many.
    pub(crate) fn keep_ended(&mut self, id: SockId) {
        self.ended.push_back(id);
        if self.ended.len() > ENDED_KEPT
            && let Some(oldest) = self.ended.pop_front()
        {
            self.remove(oldest);
        }
    }

    pub(crate) fn ids(&self) -> Vec<SockId> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| slot.1.is_some())
            .map(|(index, slot)| SockId {
                index: index as u32,
                generation: slot.0,
            })
            .collect()
    }
}

impl SockId {
    const GENERATIONS: u32 = 0x7fff_ffff;

    /// As a word with its highest bit clear.
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn unpack(word: u64) -> Self {
        Self {
            index: word as u32,
            generation: (word >> 32) as u32,
        }
    }
}
