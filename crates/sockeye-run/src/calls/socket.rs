//! `socket`: which kinds there are, and the pair behind one.

use crate::call::{Answer, Answered, Call, errno};
use crate::identity;
use crate::socket::{Datagram, Kind, Seen, Sock, SockId, Stream};
use crate::supervisor::{self, Supervisor};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use sockeye_core::bsd::address::Family;
use sockeye_core::bsd::options::Options;
use sockeye_sys::pair::{self, Pair};
use std::os::fd::{AsFd, OwnedFd};

const ESOCKTNOSUPPORT: Errno = Errno::SOCKTNOSUPPORT;

impl Supervisor {
    pub(super) fn socket(&mut self, call: &Call) -> Answered {
        let family = match call.int(0) {
            libc::AF_INET => Family::V4,
            libc::AF_INET6 => Family::V6,
            _ => return Ok(Answer::Continue),
        };
        let flags = call.int(1) & !0xf;
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(Errno::INVAL);
        }
        let kind = match self.kind(call, family, call.int(1) & 0xf, call.int(2)) {
            Ok(kind) => kind,
            Err((errno, what)) => return self.refuse(call, &what, errno),
        };
        let stream = matches!(kind, Kind::Stream(_));
        let Pair { ours, app } = pair::make(stream)?;
        let mut sock = Sock {
            cookie: identity::cookie(&app).ok_or(Errno::NFILE)?,
            family,
            end: Some(ours),
            options: Options::default(),
            hint: (call.tid, -1),
            ready: false,
            seen: Seen::default(),
            kind,
        };
        if let Some(stream) = sock.stream_mut() {
            stream.fill = pair::fill(&app);
        }
        let id = self.add(sock)?;
        self.counters.sockets += 1;
        self.open_raw(id)?;
        let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
        match self.inject(call, id, &app, nonblocking, flags & libc::SOCK_CLOEXEC != 0) {
            Ok(()) => Ok(Answer::Done),
            Err(errno) => {
                self.forget(id);
                if errno == Errno::NOENT {
                    Ok(Answer::Done)
                } else {
                    Err(errno)
                }
            }
        }
    }

    fn kind(&self, _call: &Call, family: Family, kind: i32, protocol: i32) -> Result<Kind, (Errno, String)> {
        let icmp = match family {
            Family::V4 => libc::IPPROTO_ICMP,
            Family::V6 => libc::IPPROTO_ICMPV6,
        };
        match (kind, protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Ok(Kind::Stream(Box::new(Stream::new()))),
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => {
                Ok(Kind::Datagram(Box::new(Datagram::new(libc::IPPROTO_UDP as u8, false))))
            }
            (libc::SOCK_DGRAM, protocol) if protocol == icmp => {
                Ok(Kind::Datagram(Box::new(Datagram::new(protocol as u8, false))))
            }
            (libc::SOCK_RAW, protocol @ 1..=254) => Ok(Kind::Datagram(Box::new(Datagram::new(protocol as u8, true)))),
            (libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_RAW, protocol) => {
                Err((Errno::PROTONOSUPPORT, format!("socket of protocol {protocol}")))
            }
            (kind, _) => Err((ESOCKTNOSUPPORT, format!("socket of type {kind}"))),
        }
    }

    /// Puts a socket into the table and watches our end of it.
    pub(super) fn add(&mut self, sock: Sock) -> Result<SockId, Errno> {
        // A stream's end is told of room only while it waits for some: the kernel would wake us after each read of the program.
        let flags = match sock.kind {
            Kind::Stream(_) => supervisor::WATCHED,
            Kind::Datagram(_) => supervisor::WATCHED | EventFlags::OUT,
        };
        let id = self.socks.insert(sock);
        let Some(end) = self.socks.get(id).and_then(|sock| sock.end.as_ref()) else {
            return Ok(id);
        };
        if let Err(errno) = epoll::add(&self.epoll, end, EventData::new_u64(id.pack()), flags) {
            self.socks.remove(id);
            return Err(errno);
        }
        Ok(id)
    }

    /// Gives the program its end of a pair, as the answer to its call.
    pub(super) fn inject(
        &mut self,
        call: &Call,
        id: SockId,
        app: &OwnedFd,
        nonblocking: bool,
        close_on_exec: bool,
    ) -> Result<(), Errno> {
        if !nonblocking {
            fcntl_setfl(app, OFlags::empty())?;
        }
        let fd = self
            .listener
            .answer_with_fd(call.id, app.as_fd(), close_on_exec)
            .map_err(|error| errno(&error))?;
        if let Some(sock) = self.socks.get_mut(id) {
            sock.hint = (call.tid, fd);
        }
        Ok(())
    }
}
