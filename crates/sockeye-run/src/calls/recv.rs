//! `recvfrom`, `recvmsg`, `recvmmsg`: receives that want addresses or ancillary data.
//!
//! A stream's are the kernel's, on the pair. A datagram's address is here: what lies in the pair is taken from the program's end together with
//! its [`Meta`]; what is not in the pair yet comes from the host directly.

use super::is_nonblocking;
use crate::call::{Answer, Answered, Call, MMSGHDR, Message, Wait, WaitKind};
use crate::datagram::LONGEST;
use crate::socket::{DatagramId, Kind, SockId, State};
use crate::supervisor::Supervisor;
use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use sockeye_core::bsd::control::{self, Arrival};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A datagram for the program.
#[derive(Debug)]
struct Taken {
    data: Bytes,
    from: SocketAddr,
    arrival: Arrival,
}

/// What a receive tells beside its value.
#[derive(Debug, Default)]
struct Told {
    /// What the call returns.
    value: usize,
    name: Vec<u8>,
    control: Vec<u8>,
    flags: i32,
}

impl Supervisor {
    pub(super) fn recvfrom(&mut self, call: &Call, id: SockId, app: OwnedFd) -> Answered {
        let flags = call.int(3);
        if self.socks.get(id).and_then(|sock| sock.stream()).is_some() {
            let len = usize::try_from(call.args[2]).unwrap_or(usize::MAX);
            return self.recv_stream(id, &app, flags, len);
        }
        let len = usize::try_from(call.args[2]).unwrap_or(usize::MAX).min(LONGEST);
        let message = Message {
            iov: vec![(call.args[1], len)],
            ..Message::default()
        };
        match self.receive(call, id, &app, flags, &message) {
            Ok(told) => {
                if call.args[4] != 0 {
                    let room = usize::try_from(call.read_int(call.args[5])?).map_err(|_| Errno::INVAL)?;
                    call.write(call.args[4], &told.name[..told.name.len().min(room)])?;
                    call.write(call.args[5], &(told.name.len() as i32).to_ne_bytes())?;
                }
                Ok(Answer::Value(told.value as i64))
            }
            Err(errno) => self.or_wait(id, app, flags, errno),
        }
    }

    pub(super) fn recvmsg(&mut self, call: &Call, id: SockId, app: OwnedFd) -> Answered {
        let flags = call.int(2);
        if self.socks.get(id).and_then(|sock| sock.stream()).is_some() {
            return self.recv_stream(id, &app, flags, 0);
        }
        let message = call.read_message(call.args[1])?;
        match self.receive(call, id, &app, flags, &message) {
            Ok(told) => {
                tell(call, call.args[1], &message, &told)?;
                Ok(Answer::Value(told.value as i64))
            }
            Err(errno) => self.or_wait(id, app, flags, errno),
        }
    }

    /// Takes what is there, without waiting for more once something was.
    pub(super) fn recvmmsg(&mut self, call: &Call, id: SockId, app: OwnedFd) -> Answered {
        if self.socks.get(id).and_then(|sock| sock.stream()).is_some() {
            return Ok(Answer::Continue);
        }
        let flags = call.int(3);
        let mut taken = 0;
        for index in 0..call.args[2].min(1_024) {
            let at = call.args[1] + index * MMSGHDR;
            let message = call.read_message(at)?;
            match self.receive(call, id, &app, flags, &message) {
                Ok(told) => {
                    tell(call, at, &message, &told)?;
                    call.write(at + 56, &(told.value as u32).to_ne_bytes())?;
                    taken += 1;
                }
                Err(errno) if taken == 0 => return self.or_wait(id, app, flags, errno),
                Err(_) => break,
            }
        }
        Ok(Answer::Value(taken))
    }

    /// Waits when there is nothing and the program is willing to.
    fn or_wait(&mut self, id: SockId, app: OwnedFd, flags: i32, errno: Errno) -> Answered {
        if errno != Errno::AGAIN || flags & (libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE) != 0 || is_nonblocking(&app) {
            return Err(errno);
        }
        let timeout = self
            .socks
            .get(id)
            .and_then(|sock| sock.options.timeout(libc::SO_RCVTIMEO));
        Ok(Answer::Wait(Wait {
            sock: id,
            app,
            deadline: timeout.map(|timeout| (self.now + timeout, Errno::AGAIN)),
            kind: WaitKind::Receive,
        }))
    }

    fn recv_stream(&mut self, id: SockId, app: &OwnedFd, flags: i32, len: usize) -> Answered {
        let stream = self.socks.get(id).and_then(|sock| sock.stream()).ok_or(Errno::BADF)?;
        if flags & libc::MSG_OOB != 0 {
            return Err(Errno::INVAL);
        }
        if flags & libc::MSG_ERRQUEUE != 0 {
            return Err(Errno::AGAIN);
        }
        match stream.state {
            State::Connected(_) | State::Ended { .. } => {}
            // Waits for the connection, as the kernel does.
            State::Connecting { .. } => return Ok(Answer::Continue),
            _ => return Err(Errno::NOTCONN),
        }
        if flags & libc::MSG_TRUNC == 0 || flags & libc::MSG_PEEK != 0 {
            return Ok(Answer::Continue);
        }
        // MSG_TRUNC throws bytes away instead of copying them.
        let mut sink = vec![0; len.min(LONGEST)];
        match recv(app, &mut sink[..], RecvFlags::DONTWAIT) {
            Ok((n, _)) => Ok(Answer::Value(n as i64)),
            Err(Errno::AGAIN) if !is_nonblocking(app) && flags & libc::MSG_DONTWAIT == 0 => Ok(Answer::Continue),
            Err(errno) => Err(errno),
        }
    }

    /// Receives one datagram into the program's memory; EAGAIN when there is none.
    fn receive(
        &mut self,
        call: &Call,
        id: SockId,
        app: &OwnedFd,
        flags: i32,
        message: &Message,
    ) -> Result<Told, Errno> {
        if flags & libc::MSG_OOB != 0 {
            return Err(Errno::OPNOTSUPP);
        }
        let family = self.socks.get(id).ok_or(Errno::BADF)?.family;
        if flags & libc::MSG_ERRQUEUE != 0 {
            let udp = match self
                .socks
                .get(id)
                .and_then(|sock| sock.datagram())
                .map(|datagram| datagram.id)
            {
                Some(DatagramId::Udp(udp)) => udp,
                _ => return Err(Errno::AGAIN),
            };
            let report = self.network.host.udp_take_report(udp).ok_or(Errno::AGAIN)?;
            let len = report.data.len().min(message.len());
            call.write_all(&message.front(len), &report.data[..len])?;
            return Ok(Told {
                value: len,
                name: family.encode(report.to),
                control: control::error_report(family, &report),
                flags: libc::MSG_ERRQUEUE,
            });
        }
        let taken = self.take(id, app, flags & libc::MSG_PEEK != 0)?;
        let len = taken.data.len().min(message.len());
        call.write_all(&message.front(len), &taken.data[..len])?;
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let truncated = len < taken.data.len();
        Ok(Told {
            value: if flags & libc::MSG_TRUNC != 0 {
                taken.data.len()
            } else {
                len
            },
            name: family.encode(taken.from),
            control: control::build(&sock.options, family, &taken.arrival),
            flags: if truncated { libc::MSG_TRUNC } else { 0 },
        })
    }

    /// The next datagram, or the pending error, or EAGAIN.
    fn take(&mut self, id: SockId, app: &OwnedFd, peek: bool) -> Result<Taken, Errno> {
        let sock = self.socks.get_mut(id).ok_or(Errno::BADF)?;
        let (Kind::Datagram(datagram), Some(end)) = (&mut sock.kind, &sock.end) else {
            return Err(Errno::NOTCONN);
        };
        if !datagram.in_pair.is_empty() {
            datagram.resync(end);
        }
        let error = datagram.error.take();
        while let Some(meta) = datagram.in_pair.front() {
            if meta.error.is_none() && error.is_none() {
                break;
            }
            if meta.error.is_none() {
                return Err(error.unwrap_or(Errno::IO));
            }
            // The empty datagram that stood for the error.
            let _ = recv(app, &mut [0], RecvFlags::DONTWAIT);
            datagram.in_pair.pop_front();
        }
        if let Some(errno) = error {
            return Err(errno);
        }
        let Some(meta) = datagram.in_pair.front().cloned() else {
            if datagram.shut_read {
                return Ok(nothing(sock.family.unspecified()));
            }
            return self.take_from_host(id, peek);
        };
        let mut buf = vec![0; LONGEST];
        let flags = if peek {
            RecvFlags::DONTWAIT | RecvFlags::PEEK
        } else {
            RecvFlags::DONTWAIT
        };
        let (n, _) = recv(app, &mut buf[..], flags)?;
        if !peek {
            datagram.in_pair.pop_front();
        }
        buf.truncate(n);
        let from = datagram.shown(meta.from);
        let drops = self.drops(id);
        Ok(Taken {
            data: Bytes::from(buf),
            from,
            arrival: Arrival {
                to: meta.to,
                tos: meta.tos,
                ttl: meta.ttl,
                drops,
                at: wall_clock(),
            },
        })
    }

    fn take_from_host(&mut self, id: SockId, peek: bool) -> Result<Taken, Errno> {
        let received = self.next_received(id).ok_or(Errno::AGAIN)?;
        let drops = self.drops(id);
        let datagram = self
            .socks
            .get_mut(id)
            .and_then(|sock| sock.datagram_mut())
            .ok_or(Errno::BADF)?;
        let taken = Taken {
            data: received.data.clone(),
            from: datagram.shown(received.from),
            arrival: Arrival {
                to: received.to,
                tos: received.tos,
                ttl: received.ttl,
                drops,
                at: wall_clock(),
            },
        };
        if peek {
            datagram.waiting = Some(received);
        }
        Ok(taken)
    }

    fn drops(&self, id: SockId) -> u64 {
        match self
            .socks
            .get(id)
            .and_then(|sock| sock.datagram())
            .map(|datagram| datagram.id)
        {
            Some(DatagramId::Udp(udp)) => self.network.host.udp_drops(udp),
            _ => 0,
        }
    }
}

/// The program's clock.
fn wall_clock() -> Duration {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// What a socket gives that was shut down for receiving.
fn nothing(nowhere: SocketAddr) -> Taken {
    Taken {
        data: Bytes::new(),
        from: nowhere,
        arrival: Arrival {
            to: nowhere,
            tos: 0,
            ttl: 0,
            drops: 0,
            at: wall_clock(),
        },
    }
}

/// Fills in a `struct msghdr`: name, control messages, flags.
fn tell(call: &Call, at: u64, message: &Message, told: &Told) -> Result<(), Errno> {
    if message.name != 0 {
        call.write(
            message.name,
            &told.name[..told.name.len().min(message.name_len as usize)],
        )?;
        call.write(at + 8, &(told.name.len() as u32).to_ne_bytes())?;
    }
    let room = if message.control == 0 { 0 } else { message.control_len };
    let (control, cut) = control::fit(&told.control, room);
    if room > 0 {
        call.write(message.control, &control)?;
    }
    let flags = told.flags | if cut { libc::MSG_CTRUNC } else { 0 };
    call.write(at + 40, &(control.len() as u64).to_ne_bytes())?;
    call.write(at + 48, &flags.to_ne_bytes())
}
