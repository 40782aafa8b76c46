//! Bytes between a TCP socket's pair and the host, both ways, and how the ends of a connection cross.
//!
//! Nothing is read from the pair that the host does not take at once: an unread pair is how the program feels that the network is slow.
//! Whether the program closed is looked at before its end of stream is believed: a close may have to reset.

use crate::call::core_errno;
use crate::identity;
use crate::lag;
use crate::socket::{Kind, Seen, Sock, SockId, State, Stream};
use crate::supervisor::Supervisor;
use bytes::Bytes;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg, shutdown, sockopt};
use sockeye_core::Instant;
use sockeye_core::buf::{Pool, Rope};
use sockeye_core::error::WriteError;
use sockeye_core::socket::{Close, Shutdown, SocketId, TcpId};
use sockeye_sys::queue;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Bytes taken from the pair at a time.
const CHUNK: usize = 64 << 10;

/// Bytes taken from the host at a time.
const READ: usize = 256 << 10;

/// Chunks moved each way before others have their turn.
const BUDGET: usize = 8;

/// Slices written to the pair at a time.
const SLICES: usize = 64;

/// Whether there may be more to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    /// Nothing more for now: an event will tell.
    All,
    /// The budget is used up.
    More,
    /// The program's queue is full.
    Full,
    /// The connection is over for the program.
    Over(Close),
}

impl Supervisor {
    /// Does what can be done on a socket.
    pub(crate) fn look_at(&mut self, id: SockId) {
        match self.socks.get(id).map(|sock| &sock.kind) {
            Some(Kind::Datagram(_)) => self.look_at_datagram(id),
            Some(Kind::Stream(_)) => self.look_at_stream(id),
            None => {}
        }
    }

    fn look_at_stream(&mut self, id: SockId) {
        let Some(sock) = self.socks.get(id) else { return };
        let Some(stream) = sock.stream() else { return };
        if sock.end.is_none() {
            return;
        }
        match &stream.state {
            State::Connected(_) => self.pump(id),
            _ if sock.seen.hung_up => self.forget(id),
            State::Listening { .. } => {
                self.retry_held(id);
                self.ring(id);
            }
            State::Connecting { id: tcp, .. } => {
                let tcp = *tcp;
                let readiness = self.network.host.tcp_readiness(tcp);
                if readiness.established {
                    self.established(id);
                    self.pump(id);
                } else if readiness.error.is_some() || readiness.closed {
                    let error = self.network.host.tcp_take_error(tcp).or(readiness.error);
                    let errno = error.map_or(Errno::CONNABORTED, |error| core_errno(error.errno()));
                    self.connect_failed(id, errno);
                }
            }
            State::Fresh | State::Bound(_) | State::Ended { .. } => {}
        }
    }

    /// Moves bytes both ways on a connected socket.
    pub(crate) fn pump(&mut self, id: SockId) {
        let Some(sock) = self.socks.get_mut(id) else { return };
        let resets = sock.options.linger() == Some(0);
        let (Kind::Stream(stream), Some(end), seen) = (&mut sock.kind, &sock.end, &mut sock.seen) else {
            return;
        };
        let State::Connected(tcp) = stream.state else { return };
        let closed = seen.hung_up && !stream.shut_write;
        if closed {
            let unread = !stream.to_program.is_empty() || matches!(sockopt::socket_error(end), Ok(Err(_)));
            if resets || unread {
                self.end_stream(id, Close::Reset, None);
                self.forget(id);
                return;
            }
        }
        let host = &mut self.network.host;
        let out = from_program(host, &self.pool, self.now, tcp, stream, end, seen);
        let back = to_program(host, self.now, tcp, stream, end);
        if stream.lag.lies() && !std::mem::replace(&mut stream.lag.listed, true) {
            self.lagging.push(id);
            self.lags_since.get_or_insert(self.now);
        }
        if let Moved::Over(how) = out {
            self.end_stream(id, how, None);
            if closed {
                self.forget(id);
            }
            return;
        }
        if back == Moved::Full {
            self.wait_for_room(id);
        }
        if out == Moved::More || back == Moved::More {
            self.wake(id);
        }
        self.pass_end(id, tcp);
        if out == Moved::All {
            self.retry_held(id);
        }
    }

    /// Takes out of pairs what was read of them, when it has lain there long enough.
    pub(crate) fn catch_up_lagging(&mut self) {
        if self.lags_until().is_none_or(|until| self.now < until) {
            return;
        }
        self.lags_since = None;
        for id in self.lagging.drain(..) {
            if let Some(sock) = self.socks.get_mut(id)
                && let (Kind::Stream(stream), Some(end)) = (&mut sock.kind, &sock.end)
            {
                stream.lag.catch_up(end);
                stream.lag.listed = false;
            }
        }
    }

    /// When to call [`Supervisor::catch_up_lagging`].
    pub(crate) fn lags_until(&self) -> Option<Instant> {
        self.lags_since.map(|since| since + lag::LONGEST)
    }

    /// The remote's end of stream, or its reset, reaches the program after all bytes before it.
    fn pass_end(&mut self, id: SockId, tcp: TcpId) {
        let readiness = self.network.host.tcp_readiness(tcp);
        let Some(sock) = self.socks.get_mut(id) else { return };
        let (Kind::Stream(stream), Some(end)) = (&mut sock.kind, &sock.end) else {
            return;
        };
        if !stream.to_program.is_empty() || readiness.readable > 0 {
            return;
        }
        if let Some(error) = readiness.error {
            self.reset_program(id, core_errno(error.errno()));
        } else if readiness.eof && !stream.eof_told {
            stream.eof_told = true;
            let _ = shutdown(end, rustix::net::Shutdown::Write);
        }
    }

    /// The connection is lost: the program's next read says so. The kernel does that when we close over bytes that we did not read.
    fn reset_program(&mut self, id: SockId, errno: Errno) {
        let Some(sock) = self.socks.get(id) else { return };
        let (Some(stream), Some(end)) = (sock.stream(), &sock.end) else {
            return;
        };
        let unread = queue::received(end).unwrap_or(0);
        if stream.eof_told {
            // The program knows of the end: reads go on to give 0, writes fail.
            let mut sink = vec![0; CHUNK];
            while matches!(recv(end, &mut sink[..], RecvFlags::DONTWAIT), Ok((n, _)) if n > 0) {}
        } else if unread == 0
            && let Some(app) = self.find_app(id)
        {
            let _ = send(&app, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
        self.end_stream(id, Close::Reset, Some(errno));
    }

    /// Lets go of the host's connection and of our end; what is known stays, for questions.
    pub(crate) fn end_stream(&mut self, id: SockId, how: Close, error: Option<Errno>) {
        let Some(stream) = self.socks.get(id).and_then(Sock::stream) else {
            return;
        };
        let alias = stream.alias;
        let Some(tcp) = stream.tcp() else { return };
        self.note_rtt(tcp);
        let (local, peer) = (self.network.host.tcp_local(tcp), self.network.host.tcp_peer(tcp));
        self.network.host.tcp_close(self.now, tcp, how);
        self.socks.disown(SocketId::Tcp(tcp));
        let peer = if error.is_some() { None } else { alias.or(peer) };
        self.set_state(id, State::Ended { local, peer });
        if let Some(sock) = self.socks.get_mut(id) {
            let end = sock.end.take();
            if let Kind::Stream(stream) = &mut sock.kind {
                // Closed over bytes that lie there, the pair would show a reset.
                if let (Some(end), None) = (&end, error) {
                    stream.lag.catch_up(end);
                }
                stream.error = error;
                stream.to_program = Rope::new();
                stream.to_host = Bytes::new();
            }
        }
        self.retry_held(id);
        self.socks.keep_ended(id);
    }

    /// The program's last descriptor of a socket is gone.
    pub(crate) fn forget(&mut self, id: SockId) {
        self.stop_listening(id);
        let Some(sock) = self.socks.remove(id) else { return };
        match sock.kind {
            Kind::Datagram(datagram) => self.close_datagram(&datagram),
            Kind::Stream(stream) => match stream.state {
                State::Bound(binding) => self.network.host.tcp_unbind(binding),
                State::Connecting { id: tcp, .. } | State::Connected(tcp) => {
                    self.socks.disown(SocketId::Tcp(tcp));
                    self.network.host.tcp_close(self.now, tcp, Close::Graceful);
                }
                State::Fresh | State::Listening { .. } | State::Ended { .. } => {}
            },
        }
    }

    /// A copy of the program's end: from a call that waits on it, from where it was seen last, or from any thread that we know.
    pub(crate) fn find_app(&mut self, id: SockId) -> Option<OwnedFd> {
        if let Some(held) = self.held.iter().find(|held| held.wait.sock == id) {
            return held.wait.app.try_clone().ok();
        }
        let sock = self.socks.get(id)?;
        let (cookie, hint) = (sock.cookie, sock.hint);
        let ours = |app: &OwnedFd| identity::cookie(app) == Some(cookie);
        if let Some(app) = self.tasks.copy(hint.0, hint.1).ok().filter(ours) {
            return Some(app);
        }
        for tid in self.tasks.known() {
            for fd in identity::sockets_of(tid) {
                if let Some(app) = self.tasks.copy(tid, fd).ok().filter(ours) {
                    return Some(app);
                }
            }
        }
        None
    }

    /// Remembers the round trip time that a connection saw.
    pub(crate) fn note_rtt(&mut self, tcp: TcpId) {
        let Some(info) = self.network.host.tcp_info(self.now, tcp) else {
            return;
        };
        if info.rtt == 0 {
            return;
        }
        let rtt = Duration::from_micros(u64::from(info.rtt));
        let (low, high) = self.rtt.unwrap_or((rtt, rtt));
        self.rtt = Some((low.min(rtt), high.max(rtt)));
    }
}

/// What a descriptor is ready for.
pub(crate) fn events(end: impl AsFd) -> PollFlags {
    let mut fds = [PollFd::new(&end, PollFlags::IN | PollFlags::RDHUP)];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(_) => fds[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

/// Moves bytes from the program to the host.
fn from_program(
    host: &mut sockeye_core::Host,
    pool: &Pool,
    now: Instant,
    tcp: TcpId,
    stream: &mut Stream,
    end: &OwnedFd,
    seen: &mut Seen,
) -> Moved {
    give(host, now, tcp, stream);
    if !stream.to_host.is_empty() {
        return Moved::All;
    }
    for _ in 0..BUDGET {
        let readiness = host.tcp_readiness(tcp);
        // A connection that no longer takes bytes: they go nowhere, but the program's close must be seen.
        let dead = readiness.write_closed || readiness.closed || readiness.error.is_some();
        if !seen.readable || stream.shut_told && !seen.hung_up || readiness.writable == 0 && !dead {
            return Moved::All;
        }
        let want = if dead { CHUNK } else { readiness.writable.min(CHUNK) };
        match stream.lag.read(end, pool, want, seen.ends) {
            Ok(read) if read.bytes.is_empty() && seen.hung_up => return Moved::Over(Close::Graceful),
            // Closed since we were told: how it was closed decides what comes next, not the end of stream.
            Ok(read) if read.bytes.is_empty() && events(end).contains(PollFlags::HUP) => {
                seen.note(EventFlags::HUP);
                return Moved::More;
            }
            Ok(read) if read.bytes.is_empty() => {
                if !stream.shut_told {
                    stream.shut_told = true;
                    host.tcp_shutdown(now, tcp, Shutdown::Write);
                }
                return Moved::All;
            }
            Ok(read) => {
                // What comes after a short read is told of.
                seen.readable = read.full || seen.ends;
                if !dead {
                    stream.to_host = read.bytes;
                    give(host, now, tcp, stream);
                }
                if !stream.to_host.is_empty() {
                    return Moved::All;
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                seen.readable = false;
                return Moved::All;
            }
            Err(_) => return Moved::Over(Close::Reset),
        }
    }
    Moved::More
}

/// Hands to the host what was taken from the pair. What it does not take waits; what it never will is gone.
fn give(host: &mut sockeye_core::Host, now: Instant, tcp: TcpId, stream: &mut Stream) {
    if stream.to_host.is_empty() {
        return;
    }
    // A write would take the pending error, and the program would never hear of it.
    let lost = host.tcp_readiness(tcp).error.is_some();
    if lost
        || !matches!(
            host.tcp_write(now, tcp, &mut stream.to_host),
            Ok(_) | Err(WriteError::WouldBlock)
        )
    {
        stream.to_host = Bytes::new();
    }
}

/// Moves bytes from the host to the program.
fn to_program(host: &mut sockeye_core::Host, now: Instant, tcp: TcpId, stream: &mut Stream, end: &OwnedFd) -> Moved {
    for _ in 0..BUDGET {
        if stream.to_program.is_empty() && host.tcp_read(now, tcp, READ, &mut stream.to_program) == 0 {
            return Moved::All;
        }
        match send_front(end, &stream.to_program) {
            Ok(n) => stream.to_program.drop_front(n),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Moved::Full,
            // The program reads no more.
            Err(_) => {
                let rest = stream.to_program.len();
                stream.to_program.drop_front(rest);
            }
        }
    }
    Moved::More
}

/// Writes from the front of `rope` to the pair; how much it took.
fn send_front(end: &OwnedFd, rope: &Rope) -> Result<usize, Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let mut rest = rope.slices();
    let first = rest.next().unwrap_or_default();
    let Some(second) = rest.next() else {
        return send(end, first, flags);
    };
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut count = 0;
    for (place, slice) in slices.iter_mut().zip([first, second].into_iter().chain(rest)) {
        *place = IoSlice::new(slice);
        count += 1;
    }
    sendmsg(end, &slices[..count], &mut SendAncillaryBuffer::default(), flags)
}
