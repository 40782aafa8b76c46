//! `sendto`, `sendmsg`, `sendmmsg`: sends with an address, with ancillary data, or with flags that a pair does not know.

use super::is_nonblocking;
use crate::call::{Answer, Answered, Call, MMSGHDR, Message, TRANSFER_MAX, Wait, WaitKind, core_errno};
use crate::datagram;
use crate::socket::{Kind, Sock, SockId, State};
use crate::supervisor::Supervisor;
use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use sockeye_core::bsd::address::Named;
use sockeye_core::bsd::control;
use std::os::fd::OwnedFd;

/// Messages of one call, at most: the kernel's limit.
const VLEN_MAX: u64 = 1_024;

impl Supervisor {
    pub(super) fn sendto(&mut self, call: &Call, id: SockId, app: OwnedFd) -> Answered {
        let flags = call.int(3);
        if flags & libc::MSG_OOB != 0 {
            return self.refuse(call, "MSG_OOB", Errno::OPNOTSUPP);
        }
        let len = usize::try_from(call.args[2]).unwrap_or(usize::MAX).min(TRANSFER_MAX);
        let message = Message {
            name: call.args[4],
            name_len: call.args[5] as u32,
            iov: vec![(call.args[1], len)],
            ..Message::default()
        };
        match self.socks.get(id).map(|sock| &sock.kind) {
            Some(Kind::Stream(_)) if flags & libc::MSG_FASTOPEN != 0 => self.send_fast(call, id, app, &message, flags),
            // Without an address the kernel does it, whatever the other flags.
            Some(_) if message.name == 0 => Ok(Answer::Continue),
            Some(Kind::Stream(_)) => self.send_stream(call, id, app, &message, flags),
            Some(Kind::Datagram(_)) => self.send_message(call, id, &message).map(|n| Answer::Value(n as i64)),
            None => Err(Errno::BADF),
        }
    }

    pub(super) fn sendmsg(&mut self, call: &Call, id: SockId, app: OwnedFd) -> Answered {
        let flags = call.int(2);
        if flags & libc::MSG_OOB != 0 {
            return self.refuse(call, "MSG_OOB", Errno::OPNOTSUPP);
        }
        let message = call.read_message(call.args[1])?;
        match self.socks.get(id).map(|sock| &sock.kind) {
            Some(Kind::Stream(_)) if flags & libc::MSG_FASTOPEN != 0 => self.send_fast(call, id, app, &message, flags),
            // Descriptors sent along would travel through a pair; TCP pays no attention to them.
            Some(Kind::Stream(_)) if message.name_len == 0 && message.control_len == 0 => Ok(Answer::Continue),
            Some(Kind::Stream(_)) => self.send_stream(call, id, app, &message, flags),
            Some(Kind::Datagram(_)) => self.send_message(call, id, &message).map(|n| Answer::Value(n as i64)),
            None => Err(Errno::BADF),
        }
    }

    pub(super) fn sendmmsg(&mut self, call: &Call, id: SockId, _app: &OwnedFd) -> Answered {
        if self.socks.get(id).and_then(|sock| sock.datagram()).is_none() {
            return Ok(Answer::Continue);
        }
        let mut sent = 0;
        for index in 0..call.args[2].min(VLEN_MAX) {
            let at = call.args[1] + index * MMSGHDR;
            let one = call
                .read_message(at)
                .and_then(|message| self.send_message(call, id, &message));
            let told = one.and_then(|n| call.write(at + 56, &(n as u32).to_ne_bytes()));
            match told {
                Ok(()) => sent += 1,
                Err(errno) if sent == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(Answer::Value(sent))
    }

    /// Sends one datagram out of the program's memory. Returns its length.
    fn send_message(&mut self, call: &Call, id: SockId, message: &Message) -> Result<usize, Errno> {
        let name = if message.name == 0 || message.name_len == 0 {
            None
        } else {
            Some(call.read_address(message.name, message.name_len as i32)?)
        };
        let data = call.read_all(&message.iov)?;
        let len = data.len();
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let to = match name
            .map(|bytes| sock.family.parse(&bytes))
            .transpose()
            .map_err(core_errno)?
        {
            Some(Named::At(to)) => Some(to),
            Some(Named::Nothing) | None => None,
        };
        if to.is_some_and(|to| to.port() == 0)
            && !sock
                .datagram()
                .is_some_and(|datagram| datagram.raw || datagram.is_ping())
        {
            return Err(Errno::INVAL);
        }
        let mut outgoing = datagram::outgoing(&sock.options, to, Bytes::from(data));
        if message.control != 0 && message.control_len > 0 {
            let control = call.read(message.control, message.control_len.min(4_096))?;
            control::parse(&control, &mut outgoing).map_err(core_errno)?;
        }
        // What was written before without an address goes first.
        self.take_native_sends(id);
        self.send_datagram(id, outgoing)?;
        Ok(len)
    }

    /// MSG_FASTOPEN: connects, then sends; the host puts what it can into the SYN (RFC 7413). Who does not wait is told EINPROGRESS, and sends
    /// when the socket is writable, as without a cookie on Linux.
    fn send_fast(&mut self, call: &Call, id: SockId, app: OwnedFd, message: &Message, flags: i32) -> Answered {
        let stream = self.socks.get_mut(id).and_then(Sock::stream_mut).ok_or(Errno::BADF)?;
        match stream.state {
            State::Fresh | State::Bound(_) if call.resumed => Err(stream.error.take().unwrap_or(Errno::CONNABORTED)),
            State::Fresh | State::Bound(_) => {
                if self.network.host.settings().tcp_fastopen & 1 == 0 {
                    return self.refuse(call, "MSG_FASTOPEN with tcp_fastopen off", Errno::OPNOTSUPP);
                }
                if message.name == 0 {
                    return Err(Errno::INVAL);
                }
                let bytes = call.read_address(message.name, message.name_len as i32)?;
                let family = self.socks.get(id).ok_or(Errno::BADF)?.family;
                match family.parse(&bytes).map_err(core_errno)? {
                    Named::At(remote) => self.connect_stream(id, app, remote, true),
                    Named::Nothing => Err(Errno::AFNOSUPPORT),
                }
            }
            State::Connected(_) if call.resumed => self.send_stream(call, id, app, message, flags),
            State::Connecting { .. } => Err(Errno::ALREADY),
            State::Connected(_) | State::Ended { .. } | State::Listening { .. } => Err(Errno::ISCONN),
        }
    }

    /// A TCP socket pays no attention to the address.
    fn send_stream(&mut self, call: &Call, id: SockId, app: OwnedFd, message: &Message, flags: i32) -> Answered {
        let stream = self.socks.get(id).and_then(|sock| sock.stream()).ok_or(Errno::BADF)?;
        if !matches!(stream.state, State::Connected(_)) {
            return Err(Errno::PIPE);
        }
        let data = call.read_all(&message.iov)?;
        match send(&app, &data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(n) => Ok(Answer::Value(n as i64)),
            Err(Errno::AGAIN) if flags & libc::MSG_DONTWAIT == 0 && !is_nonblocking(&app) => Ok(Answer::Wait(Wait {
                sock: id,
                app,
                deadline: None,
                kind: WaitKind::Send,
            })),
            Err(errno) => Err(errno),
        }
    }
}
