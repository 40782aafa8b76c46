//! TCP sockets: the states of one, and bytes between its pair and its connection, both ways.
//!
//! A socket that connects is not writable until it is: its send side is filled (`sockeye_sys::pair`). One that listens is readable while a
//! connection waits: a byte lies in its queue, which `accept` takes. The end of a stream crosses as the end of a stream, a reset as a reset.

use super::service::service;
use super::sock::{Inner, Kind, Sock, events, number};
use crate::{Host, net};
use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg, sockopt};
use sockeye_core::buf::Rope;
use sockeye_core::socket::{Binding, Shutdown};
use sockeye_sys::{descriptor, pair, queue};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Poll;

/// Bytes moved at a time.
const CHUNK: usize = 64 << 10;
/// Chunks moved each way before others have their turn.
const BUDGET: usize = 8;
/// Slices written to the pair at a time.
const SLICES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) place: Place,
    /// Filler bytes in our receive queue.
    pub(super) fill: usize,
    /// A connect that did not wait has succeeded, and the next one says so.
    pub(super) report: bool,
    to_app: Rope,
    to_host: Bytes,
    eof_told: bool,
    shut_told: bool,
}

/// Where it stands.
#[derive(Debug, Default)]
pub(super) enum Place {
    #[default]
    Fresh,
    Bound(Binding),
    Connecting {
        stream: net::TcpStream,
        /// Somebody waits for it: the pair lives on when it fails.
        waits: bool,
    },
    Connected(net::TcpStream),
    Listening {
        listener: net::TcpListener,
        /// Rung for and not accepted yet.
        accepted: VecDeque<net::TcpStream>,
    },
    /// Over; kept for questions.
    Ended(Option<SocketAddr>),
}

/// Whether there may be more to move.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    All,
    More,
    /// The program closed, gracefully.
    Closed,
    /// It closed over bytes that it did not read.
    Reset,
}

impl Stream {
    pub(super) fn connected(stream: net::TcpStream) -> Self {
        Self {
            place: Place::Connected(stream),
            ..Self::default()
        }
    }

    /// Drops what the host has of it.
    pub(super) fn let_go(&mut self, host: &Host) {
        let local = self.local();
        if let Place::Bound(binding) = std::mem::replace(&mut self.place, Place::Ended(local)) {
            host.shard().look(|stack| stack.host.tcp_unbind(binding));
        }
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Fresh => None,
            Place::Bound(binding) => Some(binding.local()),
            Place::Connecting { stream, .. } | Place::Connected(stream) => stream.local_addr().ok(),
            Place::Listening { listener, .. } => listener.local_addr().ok(),
            Place::Ended(local) => *local,
        }
    }

    /// Rings for the next connection, one at a time. What waits beyond that stays in the host's queue, which has a limit.
    pub(super) fn ring(&mut self, sock: &Sock, end: &OwnedFd) {
        let Place::Listening { listener, accepted } = &mut self.place else {
            return;
        };
        if accepted.is_empty()
            && let Poll::Ready(Ok((stream, _))) = listener.poll_accept(&mut sock.context())
        {
            accepted.push_back(stream);
            let _ = send(end, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }

    fn established(&mut self, sock: &Sock, end: &OwnedFd) {
        let place = std::mem::take(&mut self.place);
        let Place::Connecting { stream, waits } = place else {
            self.place = place;
            return;
        };
        self.place = Place::Connected(stream);
        self.report = !waits;
        self.unfill(end);
        if let Some(app) = sock.app() {
            let _ = descriptor::with(app, |app| pair::widen(app));
        }
    }

    /// Makes the program's end writable.
    fn unfill(&mut self, end: &OwnedFd) {
        pair::drain(end, std::mem::take(&mut self.fill));
    }

    /// From the program to the connection.
    fn take_from_app(&mut self, sock: &Sock, end: &OwnedFd, hung_up: bool) -> Moved {
        let Place::Connected(stream) = &self.place else {
            return Moved::All;
        };
        for _ in 0..BUDGET {
            if !self.to_host.is_empty() {
                match stream.poll_put(&mut sock.context(), &mut self.to_host) {
                    Poll::Pending => return Moved::All,
                    Poll::Ready(Ok(_)) if !self.to_host.is_empty() => continue,
                    Poll::Ready(Ok(_)) => {}
                    // Bytes for a connection that takes no more go nowhere; reading tells of why.
                    Poll::Ready(Err(_)) => self.to_host = Bytes::new(),
                }
            }
            let mut got = Ok(0);
            let chunk = stream.host().shard().pool().fill(CHUNK, |buf| {
                got = recv(end, buf, RecvFlags::DONTWAIT).map(|(n, _)| n);
                got.unwrap_or(0)
            });
            match got {
                Ok(0) if hung_up => return Moved::Closed,
                // Closed since we looked: how, decides what comes next.
                Ok(0) if events(end).contains(PollFlags::HUP) => return Moved::More,
                Ok(0) => {
                    if !self.shut_told {
                        self.shut_told = true;
                        stream.end(Shutdown::Write);
                    }
                    return Moved::All;
                }
                Ok(_) => self.to_host = chunk,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Moved::All,
                Err(_) => return Moved::Reset,
            }
        }
        Moved::More
    }

    /// From the connection to the program; an error is the connection's end.
    fn give_to_app(&mut self, sock: &Sock, end: &OwnedFd) -> Result<Moved, i32> {
        let Place::Connected(stream) = &self.place else {
            return Ok(Moved::All);
        };
        for _ in 0..BUDGET {
            if self.to_app.is_empty() {
                match stream.poll_take(&mut sock.context(), 4 * CHUNK) {
                    Poll::Pending => return Ok(Moved::All),
                    Poll::Ready(Err(error)) => return Err(number(&error)),
                    Poll::Ready(Ok(rope)) if rope.is_empty() => {
                        if !std::mem::replace(&mut self.eof_told, true) {
                            let _ = rustix::net::shutdown(end, rustix::net::Shutdown::Write);
                        }
                        return Ok(Moved::All);
                    }
                    Poll::Ready(Ok(rope)) => self.to_app = rope,
                }
            }
            let slices: Vec<IoSlice<'_>> = self.to_app.slices().take(SLICES).map(IoSlice::new).collect();
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(end, &slices, &mut SendAncillaryBuffer::default(), flags) {
                Ok(n) => self.to_app.drop_front(n),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Moved::All),
                // The program reads no more.
                Err(_) => self.to_app = Rope::new(),
            }
        }
        Ok(Moved::More)
    }
}

impl Sock {
    /// True when the program has closed it and nothing is left to do.
    pub(super) fn look_at_stream(&self, inner: &mut Inner, hung_up: bool) -> bool {
        let linger = inner.options.linger();
        let Inner { end, kind, error, .. } = inner;
        let (Kind::Stream(stream), Some(ours)) = (kind, &*end) else {
            return hung_up;
        };
        match &stream.place {
            Place::Listening { .. } if !hung_up => {
                stream.ring(self, ours);
                return false;
            }
            Place::Connecting { stream: opening, waits } if !hung_up => {
                let waits = *waits;
                match opening.poll_established(&mut self.context()) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(())) => stream.established(self, ours),
                    Poll::Ready(Err(failed)) => {
                        *error = Some(number(&failed));
                        if waits {
                            stream.place = Place::Fresh;
                            stream.unfill(ours);
                        } else {
                            stream.let_go(&self.host);
                            *end = None;
                            self.lose();
                        }
                        return false;
                    }
                }
            }
            Place::Connected(_) => {}
            _ => return hung_up,
        }
        // Asked only once it has closed: asking takes the error away.
        let unread = || !stream.to_app.is_empty() || matches!(sockopt::socket_error(ours), Ok(Err(_)));
        if hung_up && (linger == Some(0) || unread()) {
            reset(stream);
            return true;
        }
        let out = stream.take_from_app(self, ours, hung_up);
        if out == Moved::Reset {
            reset(stream);
            return true;
        }
        if out == Moved::Closed {
            return true;
        }
        match stream.give_to_app(self, ours) {
            Ok(back) => {
                if out == Moved::More || back == Moved::More {
                    self.again();
                }
            }
            Err(failed) => {
                *error = Some(failed);
                self.lose_connection(stream, ours);
                *end = None;
                return hung_up;
            }
        }
        false
    }

    /// The connection is lost: the program's next read says so. The kernel does that when we close over bytes that we did not read.
    fn lose_connection(&self, stream: &mut Stream, end: &OwnedFd) {
        let mut sink = vec![0; CHUNK];
        if stream.eof_told {
            // The program knows of the end: reads go on to give 0, writes fail.
            while matches!(recv(end, &mut sink[..], RecvFlags::DONTWAIT), Ok((n, _)) if n > 0) {}
        } else if queue::received(end).unwrap_or(0) == 0
            && let Some(app) = self.app()
        {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let _ = descriptor::with(app, |app| send(app, &[0], flags));
        }
        stream.let_go(&self.host);
        self.lose();
    }

    /// Its end is closed: nothing will tell when the program's is.
    fn lose(&self) {
        if let Ok(service) = service() {
            service.keep_lost(self.cookie());
        }
    }
}

fn reset(stream: &mut Stream) {
    if let Place::Connected(connection) = &stream.place {
        // Setting it cannot fail.
        let _ = connection.set_zero_linger();
    }
}

/// Accepted connections, in a socket of their own each.
pub(super) fn adopt(sock: &Arc<Sock>, stream: net::TcpStream) -> std::io::Result<(Arc<Sock>, OwnedFd)> {
    let options = sock.lock().options.clone();
    stream.set_options(options.tcp(sock.family));
    let kind = Kind::Stream(Box::new(Stream::connected(stream)));
    Sock::make(&sock.host, sock.family, options, kind)
}
