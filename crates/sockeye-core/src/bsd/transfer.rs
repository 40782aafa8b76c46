//! Bytes in and out of descriptors: `read`, `recv`, `write`, `send` and their relatives, for sockets and pipes.

use super::address::Named;
use super::descriptors::{FileId, Kind, Transport};
use super::stream::Place;
use super::{Answer, Calls, Wait, abi, control};
use crate::buf::Rope;
use crate::error::{Errno, WriteError};
use crate::socket::{OutOfBand, TcpId};

/// What `recvmsg` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// What the call returns.
    pub len: usize,
    /// From whom: an address as bytes, whole; empty for a stream.
    pub name: Vec<u8>,
    /// Control messages, one after the other.
    pub control: Vec<u8>,
    /// MSG_OOB, MSG_TRUNC, MSG_CTRUNC, MSG_ERRQUEUE.
    pub flags: i32,
}

impl Calls<'_> {
    /// `read`: as `recv` without flags, from pipes too.
    ///
    /// # Errors
    /// See [`Calls::recvmsg`]; `EBADF` for the writing end of a pipe.
    pub fn read(&mut self, fd: i32, buf: &mut [u8], wait: &mut Wait) -> Answer<usize> {
        let id = self.resolve(fd, wait)?;
        match &self.file(id)?.kind {
            Kind::PipeOut(_) => self.read_pipe(id, buf, wait),
            Kind::PipeIn(_) => Err(Errno::EBADF.into()),
            Kind::Epoll(_) => Err(Errno::EINVAL.into()),
            Kind::Socket(_) if buf.is_empty() => Ok(0),
            Kind::Socket(_) => Ok(self.receive(id, buf, 0, wait)?.len),
        }
    }

    /// `write`: as `send` without flags, into pipes too.
    ///
    /// # Errors
    /// See [`Calls::sendmsg`]; `EBADF` for the reading end of a pipe.
    pub fn write(&mut self, fd: i32, data: &[u8], wait: &mut Wait) -> Answer<usize> {
        let id = self.resolve(fd, wait)?;
        match &self.file(id)?.kind {
            Kind::PipeIn(_) => self.write_pipe(id, data, wait),
            Kind::PipeOut(_) => Err(Errno::EBADF.into()),
            Kind::Epoll(_) => Err(Errno::EINVAL.into()),
            Kind::Socket(_) => self.transmit(id, data, None, &[], 0, wait),
        }
    }

    /// `recv`, `recvfrom` and `recvmsg`: fills `buf`, and tells the rest. Of the control messages `room` bytes are kept, as the kernel cuts them.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `ENOTCONN`, `EAGAIN`, a pending error of the socket; `EINVAL` for urgent data when there is none.
    pub fn recvmsg(&mut self, fd: i32, buf: &mut [u8], flags: i32, room: usize, wait: &mut Wait) -> Answer<Arrived> {
        let id = self.resolve(fd, wait)?;
        let mut arrived = self.receive(id, buf, flags, wait)?;
        let (fitted, cut) = control::fit(&arrived.control, room);
        arrived.control = fitted;
        arrived.flags |= if cut { abi::MSG_CTRUNC } else { 0 };
        Ok(arrived)
    }

    /// `recv`.
    ///
    /// # Errors
    /// See [`Calls::recvmsg`].
    pub fn recv(&mut self, fd: i32, buf: &mut [u8], flags: i32, wait: &mut Wait) -> Answer<usize> {
        Ok(self.recvmsg(fd, buf, flags, 0, wait)?.len)
    }

    /// `send`, `sendto` and `sendmsg`: `name` is where to, `control` are control messages for a datagram.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `EPIPE`, `EAGAIN`, a pending error of the socket, `EOPNOTSUPP` for a datagram with MSG_OOB; with MSG_FASTOPEN
    /// those of [`Calls::connect`]; for datagrams what
    /// [`crate::error::SendError`] says.
    pub fn sendmsg(
        &mut self,
        fd: i32,
        data: &[u8],
        name: Option<&[u8]>,
        control: &[u8],
        flags: i32,
        wait: &mut Wait,
    ) -> Answer<usize> {
        let id = self.resolve(fd, wait)?;
        self.transmit(id, data, name, control, flags, wait)
    }

    /// `send`.
    ///
    /// # Errors
    /// See [`Calls::sendmsg`].
    pub fn send(&mut self, fd: i32, data: &[u8], flags: i32, wait: &mut Wait) -> Answer<usize> {
        self.sendmsg(fd, data, None, &[], flags, wait)
    }

    fn receive(&mut self, id: FileId, buf: &mut [u8], flags: i32, wait: &mut Wait) -> Answer<Arrived> {
        if let Transport::Datagram(_) = self.sock(id)?.transport {
            return self.receive_datagram(id, buf, flags, wait);
        }
        if flags & (abi::MSG_OOB | abi::MSG_ERRQUEUE) == abi::MSG_OOB {
            return Ok(self.receive_urgent(id, buf, flags)?);
        }
        if flags & abi::MSG_ERRQUEUE != 0 {
            return Ok(Arrived {
                control: self.take_zerocopy(id)?,
                flags: abi::MSG_ERRQUEUE,
                ..Arrived::default()
            });
        }
        let len = self.receive_stream(id, buf, flags, wait)?;
        let control = self.stream(id)?.tcp().map_or_else(Vec::new, |tcp| {
            let readiness = self.host.tcp_readiness(tcp);
            let options = self.sock(id).map(|sock| &sock.options);
            options.map_or_else(
                |_| Vec::new(),
                |options| control::readable(options, readiness.readable, readiness.fin_received),
            )
        });
        Ok(Arrived {
            len,
            control,
            ..Arrived::default()
        })
    }

    fn transmit(
        &mut self,
        id: FileId,
        data: &[u8],
        name: Option<&[u8]>,
        control: &[u8],
        flags: i32,
        wait: &mut Wait,
    ) -> Answer<usize> {
        let sent = match self.sock(id)?.transport {
            Transport::Datagram(_) => return self.send_datagram(id, data, name, control, flags, wait),
            // A TCP socket pays no attention to an address.
            Transport::Stream(_) if flags & abi::MSG_FASTOPEN != 0 => self.send_fast(id, data, name, flags, wait)?,
            Transport::Stream(_) => self.send_stream(id, data, flags, wait)?,
        };
        if flags & abi::MSG_ZEROCOPY != 0 && sent > 0 {
            self.note_zerocopy(id)?;
        }
        Ok(sent)
    }

    pub(super) fn receive_stream(&mut self, id: FileId, buf: &mut [u8], flags: i32, wait: &mut Wait) -> Answer<usize> {
        if flags & abi::MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN.into());
        }
        let stream = self.stream(id)?;
        let shut = stream.shut_read;
        let Some(tcp) = stream.tcp() else {
            return if shut { Ok(0) } else { Err(Errno::ENOTCONN.into()) };
        };
        let options = &self.sock(id)?.options;
        let timeout = options.timeout(abi::SO_RCVTIMEO);
        let target = if flags & abi::MSG_WAITALL != 0 {
            buf.len()
        } else {
            options.low_water().min(buf.len()).max(1)
        };
        if !self.is_at_mark(tcp, flags, wait) {
            self.take_stream(tcp, buf, flags, wait);
        }
        if wait.done >= target || buf.is_empty() || self.is_at_mark(tcp, flags, wait) {
            return Ok(wait.done);
        }
        let readiness = self.host.tcp_readiness(tcp);
        let over = readiness.eof || readiness.error.is_some() || shut;
        if wait.done > 0 && over {
            return Ok(wait.done);
        }
        if !(readiness.fin_received && readiness.readable == 0)
            && let Some(error) = readiness.error
        {
            let _ = self.host.tcp_take_error(tcp);
            return Err(error.errno().into());
        }
        if over {
            return Ok(0);
        }
        let late = if flags & abi::MSG_DONTWAIT != 0 || self.nonblocking(id) {
            Err(Errno::EAGAIN.into())
        } else {
            self.block(wait, timeout, Errno::EAGAIN)
        };
        or_done(late, wait)
    }

    /// Has this call something to give, and stands at the urgent mark? Then it goes no further.
    fn is_at_mark(&self, tcp: TcpId, flags: i32, wait: &Wait) -> bool {
        let looked_at = if flags & abi::MSG_PEEK != 0 { wait.done } else { 0 };
        wait.done > 0 && self.host.tcp_readiness(tcp).urgent == Some(looked_at)
    }

    /// MSG_OOB: the last urgent byte. It never waits.
    fn receive_urgent(&mut self, id: FileId, buf: &mut [u8], flags: i32) -> Result<Arrived, Errno> {
        let stream = self.stream(id)?;
        let shut = stream.shut_read;
        let tcp = match stream.place {
            Place::Connected { id: tcp, .. } => tcp,
            Place::Listening(_) => return Err(Errno::ENOTCONN),
            Place::Fresh | Place::Bound(_) => return Err(Errno::EINVAL),
        };
        let byte = match self.host.tcp_out_of_band(tcp, flags & abi::MSG_PEEK != 0) {
            OutOfBand::Byte(byte) => byte,
            OutOfBand::Nothing => return Err(Errno::EINVAL),
            OutOfBand::Awaited if shut || self.host.tcp_readiness(tcp).fin_received => return Ok(Arrived::default()),
            OutOfBand::Awaited => return Err(Errno::EAGAIN),
        };
        let mut arrived = Arrived {
            len: buf.len().min(1),
            flags: abi::MSG_OOB,
            ..Arrived::default()
        };
        match buf.first_mut() {
            Some(first) if flags & abi::MSG_TRUNC == 0 => *first = byte,
            Some(_) => {}
            None => arrived.flags |= abi::MSG_TRUNC,
        }
        Ok(arrived)
    }

    /// Takes, looks at or throws away what is there.
    fn take_stream(&mut self, tcp: TcpId, buf: &mut [u8], flags: i32, wait: &mut Wait) {
        if flags & abi::MSG_PEEK != 0 {
            wait.done = self.host.tcp_peek(tcp, 0, buf);
            return;
        }
        let mut rope = Rope::new();
        let n = self.host.tcp_read(self.now, tcp, buf.len() - wait.done, &mut rope);
        if flags & abi::MSG_TRUNC == 0 {
            let _ = rope.read(&mut buf[wait.done..]);
        }
        wait.done += n;
    }

    pub(super) fn send_stream(&mut self, id: FileId, data: &[u8], flags: i32, wait: &mut Wait) -> Answer<usize> {
        let Place::Connected { id: tcp, .. } = self.stream(id)?.place else {
            return Err(Errno::EPIPE.into());
        };
        self.more(id, tcp, flags & abi::MSG_MORE != 0)?;
        let (before, put) = (wait.done, self.put_stream(tcp, data, wait));
        if flags & abi::MSG_EOR != 0 && wait.done == data.len() {
            self.host.tcp_end_record(self.now, tcp);
        }
        if flags & abi::MSG_OOB != 0 && wait.done > before {
            self.host.tcp_mark_urgent(self.now, tcp);
        }
        match put {
            Err(Errno::EAGAIN) if flags & abi::MSG_DONTWAIT == 0 && !self.nonblocking(id) => {
                let timeout = self.sock(id)?.options.timeout(abi::SO_SNDTIMEO);
                let late = self.block(wait, timeout, Errno::EAGAIN);
                or_done(late, wait)
            }
            other => or_done(other.map_err(Into::into), wait),
        }
    }

    /// MSG_FASTOPEN: connects and sends in one call, in one SYN when a cookie of the remote's is known (RFC 7413).
    fn send_fast(
        &mut self,
        id: FileId,
        data: &[u8],
        name: Option<&[u8]>,
        flags: i32,
        wait: &mut Wait,
    ) -> Answer<usize> {
        if self.host.settings().tcp_fastopen & 1 == 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let tcp = match self.stream(id)?.place {
            Place::Connected { id: tcp, .. } if wait.begun => tcp,
            Place::Connected { connecting: true, .. } => return Err(Errno::EALREADY.into()),
            Place::Connected { .. } | Place::Listening(_) => return Err(Errno::EISCONN.into()),
            Place::Fresh | Place::Bound(_) => {
                let name = name.ok_or(Errno::EINVAL)?;
                let Named::At(remote) = self.sock(id)?.family.parse(name)? else {
                    return Err(Errno::EAFNOSUPPORT.into());
                };
                wait.begun = true;
                self.start_connection(id, remote, true)?
            }
        };
        if self.host.tcp_is_deferred(tcp) {
            let _ = self.put_stream(tcp, data, wait);
            // With nothing to carry the SYN leaves alone.
            self.host.tcp_end_deferral(self.now, tcp);
        }
        match self.await_connection(id, tcp, wait) {
            Ok(()) => self.send_stream(id, data, flags, wait),
            Err(stopped) => or_done(Err(stopped), wait),
        }
    }

    /// Queues all of `data` that was not queued before, or as much as there is room for.
    fn put_stream(&mut self, tcp: TcpId, data: &[u8], wait: &mut Wait) -> Result<usize, Errno> {
        let readiness = self.host.tcp_readiness(tcp);
        if readiness.error.is_some() {
            // Told once everything before it was.
            let error = if wait.done > 0 {
                None
            } else {
                self.host.tcp_take_error(tcp)
            };
            return Err(error.map_or(Errno::EPIPE, Errno::from));
        }
        if wait.until.is_some() && !readiness.roomy && wait.done < data.len() {
            // Who waits for room waits for a third of the buffer.
            return Err(Errno::EAGAIN);
        }
        while wait.done < data.len() {
            // Piece by piece, as Linux fills its buffer: what leaves meanwhile makes room.
            let most = self.host.tcp_readiness(tcp).piece.clamp(1, data.len() - wait.done);
            let mut piece = self.host.pool().copy_from_slice(&data[wait.done..][..most]);
            match self.host.tcp_write(self.now, tcp, &mut piece) {
                Ok(n) => wait.done += n,
                Err(WriteError::NotConnected) => return Err(Errno::EAGAIN),
                Err(error) => return Err(error.errno()),
            }
        }
        if readiness.write_closed {
            return Err(Errno::EPIPE);
        }
        Ok(wait.done)
    }

    /// MSG_MORE holds back the tail of this send; the connection ends that itself when it has lasted too long, so each send says it anew.
    fn more(&mut self, id: FileId, tcp: TcpId, more: bool) -> Result<(), Errno> {
        let stream = self.stream_mut(id)?;
        if stream.more || more {
            stream.more = more;
            let sock = self.sock(id)?;
            let mut options = sock.tcp_options();
            options.more = more;
            self.host.tcp_set_options(self.now, tcp, options);
        }
        Ok(())
    }
}

/// A call that moved something has moved it, whatever stops it afterwards; only waiting goes on.
fn or_done(stopped: Answer<usize>, wait: &Wait) -> Answer<usize> {
    match stopped {
        Err(super::Stop::Errno(_)) if wait.done > 0 => Ok(wait.done),
        other => other,
    }
}
