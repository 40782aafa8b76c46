//! `accept`, and the doorbell: a listener's end is readable while somebody waits at the door.
//!
//! One byte lies in the program's receive queue for each connection that is ready. It is taken out before the program gets the connection;
//! when the program turns out to be gone, the connection goes back and the bell rings again.

use super::is_nonblocking;
use crate::call::{Answer, Answered, Call, Wait, WaitKind};
use crate::identity;
use crate::socket::{Kind, Seen, Sock, SockId, State, Stream};
use crate::supervisor::Supervisor;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use sockeye_core::socket::{Close, SocketId, TcpId};
use sockeye_sys::pair;
use std::os::fd::OwnedFd;

impl Supervisor {
    pub(super) fn accept(&mut self, call: &Call, id: SockId, app: OwnedFd) -> Answered {
        let flags = if call.nr == libc::SYS_accept4 { call.int(3) } else { 0 };
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(Errno::INVAL);
        }
        let sock = self.socks.get_mut(id).ok_or(Errno::BADF)?;
        let timeout = sock.options.timeout(libc::SO_RCVTIMEO);
        let stream = sock.stream_mut().ok_or(Errno::OPNOTSUPP)?;
        let State::Listening {
            id: listener,
            bells,
            back,
            ..
        } = &mut stream.state
        else {
            return Err(Errno::INVAL);
        };
        let next = back
            .pop_front()
            .or_else(|| self.network.host.tcp_accept(self.now, *listener));
        // One bell less; all of them when nobody is there after all.
        while *bells > 0 {
            let mut bell = [0];
            let _ = recv(&app, &mut bell, RecvFlags::DONTWAIT);
            *bells -= 1;
            if next.is_some() {
                break;
            }
        }
        let Some(tcp) = next else {
            if is_nonblocking(&app) {
                return Err(Errno::AGAIN);
            }
            return Ok(Answer::Wait(Wait {
                sock: id,
                app,
                deadline: timeout.map(|timeout| (self.now + timeout, Errno::AGAIN)),
                kind: WaitKind::Accept,
            }));
        };
        match self.deliver(call, id, tcp, flags) {
            Ok(()) => {
                self.counters.accepted += 1;
                Ok(Answer::Done)
            }
            // The caller's memory is wrong: the connection is lost, as in the kernel.
            Err(Errno::FAULT) => {
                self.network.host.tcp_close(self.now, tcp, Close::Graceful);
                Err(Errno::FAULT)
            }
            Err(errno) => {
                if let Some(stream) = self.socks.get_mut(id).and_then(Sock::stream_mut)
                    && let State::Listening { back, .. } = &mut stream.state
                {
                    back.push_front(tcp);
                }
                self.wake(id);
                if errno == Errno::NOENT {
                    Ok(Answer::Done)
                } else {
                    Err(errno)
                }
            }
        }
    }

    /// Hands an accepted connection to the caller.
    fn deliver(&mut self, call: &Call, listener: SockId, tcp: TcpId, flags: i32) -> Result<(), Errno> {
        let door = self.socks.get(listener).ok_or(Errno::BADF)?;
        let (family, options) = (door.family, door.options.clone());
        let pair = pair::make(true)?;
        pair::widen(&pair.ours);
        pair::widen(&pair.app);
        let peer = self.network.host.tcp_peer(tcp);
        call.write_address(call.args[1], call.args[2], family, peer)?;
        let mut stream = Stream::new();
        stream.state = State::Connected(tcp);
        stream.wide = true;
        let id = self.add(Sock {
            cookie: identity::cookie(&pair.app).ok_or(Errno::NFILE)?,
            family,
            end: Some(pair.ours),
            options,
            hint: (call.tid, -1),
            ready: false,
            seen: Seen::default(),
            kind: Kind::Stream(Box::new(stream)),
        })?;
        let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
        if let Err(errno) = self.inject(call, id, &pair.app, nonblocking, flags & libc::SOCK_CLOEXEC != 0) {
            self.socks.remove(id);
            return Err(errno);
        }
        self.socks.own(SocketId::Tcp(tcp), id);
        // Bytes may have come already.
        self.wake(id);
        Ok(())
    }

    /// Rings once for each connection that is ready and was not rung for.
    pub(crate) fn ring(&mut self, id: SockId) {
        let Some(sock) = self.socks.get_mut(id) else { return };
        let Kind::Stream(stream) = &mut sock.kind else { return };
        let State::Listening {
            id: listener,
            bells,
            back,
            ..
        } = &mut stream.state
        else {
            return;
        };
        let pending = back.len() + self.network.host.listener_pending(*listener);
        let Some(end) = &sock.end else { return };
        while *bells < pending {
            if send(end, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_err() {
                return self.wait_for_room(id);
            }
            *bells += 1;
        }
    }

    /// Closes the host's listener and what waits at its door.
    pub(crate) fn stop_listening(&mut self, id: SockId) {
        let Some(stream) = self.socks.get_mut(id).and_then(Sock::stream_mut) else {
            return;
        };
        let State::Listening {
            id: listener,
            back,
            local,
            ..
        } = &mut stream.state
        else {
            return;
        };
        let (listener, local) = (*listener, *local);
        for tcp in back.drain(..) {
            self.network.host.tcp_close(self.now, tcp, Close::Reset);
        }
        self.network.host.listener_close(self.now, listener);
        self.socks.disown(SocketId::Listener(listener));
        self.network.gateway.unpublish(sockeye::gateway::Protocol::Tcp, local);
    }
}
