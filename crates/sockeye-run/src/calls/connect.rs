//! `connect`, from the first call to the moment when the program may write.
//!
//! Until then the program's end is full and so not writable. When the connection stands, the filler is taken out, which the program sees as
//! "writable"; and only then a call that waits is answered, so that the program's first bytes come after the filler.

use super::is_nonblocking;
use crate::call::{Answer, Answered, Call, OK, Wait, WaitKind, core_errno};
use crate::socket::{DatagramId, Kind, Sock, SockId, State};
use crate::supervisor::Supervisor;
use rustix::io::Errno;
use sockeye_core::bsd::address::{Named, towards};
use sockeye_core::socket::{Close, SocketId};
use sockeye_sys::pair;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

impl Supervisor {
    pub(super) fn connect(&mut self, call: &Call, id: SockId, app: OwnedFd) -> Answered {
        if call.resumed {
            return self.connect_again(id, app, false);
        }
        let bytes = call.read_address(call.args[1], call.int(2))?;
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let named = sock.family.parse(&bytes).map_err(core_errno)?;
        if let (Named::At(SocketAddr::V4(_)), true) = (named, sock.options.bind_options().only_v6) {
            return Err(Errno::NETUNREACH);
        }
        match (&sock.kind, named) {
            (Kind::Datagram(_), named) => self.connect_datagram(id, named),
            (Kind::Stream(_), Named::Nothing) => self.disconnect(id),
            (Kind::Stream(stream), Named::At(remote)) => match &stream.state {
                State::Fresh | State::Bound(_) => self.connect_stream(id, app, remote, false),
                State::Connecting { .. } => {
                    let nonblocking = is_nonblocking(&app);
                    if nonblocking {
                        Err(Errno::ALREADY)
                    } else {
                        self.connect_again(id, app, true)
                    }
                }
                State::Connected(_) | State::Ended { .. } => self.connect_again(id, app, true),
                State::Listening { .. } => Err(Errno::ISCONN),
            },
        }
    }

    /// Starts to connect a TCP socket; `fast` is MSG_FASTOPEN's way.
    pub(super) fn connect_stream(&mut self, id: SockId, app: OwnedFd, named: SocketAddr, fast: bool) -> Answered {
        let redirected = self.names.redirect(named);
        let remote = redirected.unwrap_or(towards(named));
        let sock = self.socks.get_mut(id).ok_or(Errno::BADF)?;
        let mut options = sock.options.tcp(sock.family);
        options.fast_open_connect |= fast;
        let timeout = sock.options.timeout(libc::SO_SNDTIMEO);
        let stream = sock.stream_mut().ok_or(Errno::BADF)?;
        stream.alias = redirected.map(|_| named);
        stream.report_success = false;
        stream.error = None;
        let (binding, bound) = match std::mem::replace(&mut stream.state, State::Fresh) {
            State::Bound(binding) => {
                let local = binding.local();
                (Some(binding), Some(local))
            }
            _ => (None, None),
        };
        match self.network.host.tcp_connect(self.now, binding, remote, options) {
            Ok(tcp) => {
                self.socks.own(SocketId::Tcp(tcp), id);
                self.set_state(id, State::Connecting { id: tcp, bound });
            }
            Err((binding, error)) => {
                if let Some(binding) = binding {
                    self.set_state(id, State::Bound(binding));
                }
                self.counters.failed += 1;
                return Err(core_errno(error.errno()));
            }
        }
        if is_nonblocking(&app) {
            return Err(Errno::INPROGRESS);
        }
        Ok(Answer::Wait(Wait {
            sock: id,
            app,
            deadline: timeout.map(|timeout| (self.now + timeout, Errno::INPROGRESS)),
            kind: WaitKind::Connect,
        }))
    }

    /// A call that waited, or one that came again.
    fn connect_again(&mut self, id: SockId, app: OwnedFd, first_look: bool) -> Answered {
        let sock = self.socks.get_mut(id).ok_or(Errno::BADF)?;
        let timeout = sock.options.timeout(libc::SO_SNDTIMEO);
        let stream = sock.stream_mut().ok_or(Errno::BADF)?;
        match &stream.state {
            State::Connecting { .. } => Ok(Answer::Wait(Wait {
                sock: id,
                app,
                deadline: timeout.map(|timeout| (self.now + timeout, Errno::ALREADY)),
                kind: WaitKind::Connect,
            })),
            State::Connected(_) if first_look && !stream.report_success => Err(Errno::ISCONN),
            State::Connected(_) => {
                stream.report_success = false;
                OK
            }
            State::Fresh | State::Bound(_) | State::Ended { .. } | State::Listening { .. } => {
                Err(stream.error.take().unwrap_or(Errno::CONNABORTED))
            }
        }
    }

    /// `connect(AF_UNSPEC)`.
    fn disconnect(&mut self, id: SockId) -> Answered {
        let stream = self.socks.get(id).and_then(Sock::stream).ok_or(Errno::BADF)?;
        if stream.tcp().is_some() {
            self.end_stream(id, Close::Reset, None);
        }
        OK
    }

    fn connect_datagram(&mut self, id: SockId, named: Named) -> Answered {
        let (remote, alias) = match named {
            Named::Nothing => (None, None),
            Named::At(named) => {
                let redirected = self.names.redirect(named);
                (Some(redirected.unwrap_or(towards(named))), redirected.map(|_| named))
            }
        };
        let unspecified = self.socks.get(id).ok_or(Errno::BADF)?.family.unspecified();
        self.open_datagram(id, unspecified)?;
        let datagram = self.socks.get_mut(id).and_then(Sock::datagram_mut).ok_or(Errno::BADF)?;
        let connected = match datagram.id {
            DatagramId::Udp(udp) => self.network.host.udp_connect(udp, remote),
            DatagramId::Raw(raw) => self.network.host.raw_connect(raw, remote.map(|remote| remote.ip())),
            DatagramId::Fresh => return Err(Errno::BADF),
        };
        connected.map_err(|error| core_errno(error.errno()))?;
        datagram.connected = remote.is_some();
        datagram.remote = remote;
        datagram.alias = alias;
        OK
    }

    /// The connection stands: lets the program write, then answers it.
    pub(crate) fn established(&mut self, id: SockId) {
        self.counters.connected += 1;
        let held = self.is_held(id, WaitKind::Connect);
        let app = self.find_app(id);
        let Some(sock) = self.socks.get_mut(id) else { return };
        let Kind::Stream(stream) = &mut sock.kind else { return };
        let State::Connecting { id: tcp, .. } = stream.state else {
            return;
        };
        stream.state = State::Connected(tcp);
        stream.report_success = !held;
        if let Some(end) = &sock.end {
            pair::drain(end, std::mem::take(&mut stream.fill));
            pair::widen(end);
        }
        if let Some(app) = app {
            pair::widen(&app);
            stream.wide = true;
        }
        self.retry_held(id);
    }

    /// The attempt failed. A caller that waits learns why and may try again; others find a dead socket.
    pub(crate) fn connect_failed(&mut self, id: SockId, errno: Errno) {
        self.counters.failed += 1;
        let held = self.is_held(id, WaitKind::Connect);
        if !held {
            self.end_stream(id, Close::Reset, Some(errno));
            return;
        }
        let Some(State::Connecting { id: tcp, bound, .. }) = self.set_state(id, State::Fresh) else {
            return;
        };
        self.socks.disown(SocketId::Tcp(tcp));
        self.network.host.tcp_close(self.now, tcp, Close::Reset);
        if let Some(binding) = bound.and_then(|local| self.tcp_bind(id, local).ok()) {
            self.set_state(id, State::Bound(binding));
        }
        if let Some(stream) = self.socks.get_mut(id).and_then(Sock::stream_mut) {
            stream.error = Some(errno);
        }
        self.retry_held(id);
    }
}
