//! TCP sockets: connect, listen, accept, shut down, close. RFC 9293 §3.9.1 as tcp(7) has it.

use super::address::{Named, towards};
use super::descriptors::{FileId, Transport};
use super::options::Options;
use super::zerocopy::ZeroCopy;
use super::{Answer, Calls, Stop, Wait, abi};
use crate::error::Errno;
use crate::socket::{Binding, Close, ListenerId, Shutdown, SocketId, State, TcpId};
use crate::time::Duration;
use std::net::SocketAddr;

/// A TCP socket.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) place: Place,
    /// Receiving was shut down.
    pub(super) shut_read: bool,
    /// The last send said MSG_MORE.
    pub(super) more: bool,
    pub(super) zerocopy: Option<Box<ZeroCopy>>,
}

/// Where a TCP socket stands.
#[derive(Debug, Default)]
pub(super) enum Place {
    #[default]
    Fresh,
    Bound(Binding),
    Listening(ListenerId),
    Connected {
        id: TcpId,
        /// `connect` has not told yet how its attempt ended.
        connecting: bool,
        /// The address was chosen by the program: a second attempt starts from it again.
        bound: Option<SocketAddr>,
    },
}

impl Stream {
    /// The host's connection, while there is one.
    pub(super) fn tcp(&self) -> Option<TcpId> {
        match self.place {
            Place::Connected { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl Calls<'_> {
    /// The TCP socket behind a file; other sockets cannot do that.
    pub(super) fn stream(&self, id: FileId) -> Result<&Stream, Errno> {
        match &self.sock(id)?.transport {
            Transport::Stream(stream) => Ok(stream),
            Transport::Datagram(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(super) fn stream_mut(&mut self, id: FileId) -> Result<&mut Stream, Errno> {
        match &mut self.sock_mut(id)?.transport {
            Transport::Stream(stream) => Ok(stream),
            Transport::Datagram(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// `listen`.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `EOPNOTSUPP` for a datagram socket, `EINVAL` for a connected one, `EADDRINUSE`.
    pub fn listen(&mut self, fd: i32, backlog: i32) -> Result<(), Errno> {
        // A negative backlog is a large one.
        let backlog = backlog as u32;
        let id = self.socket_of(fd)?;
        let place = std::mem::take(&mut self.stream_mut(id)?.place);
        let binding = match place {
            Place::Bound(binding) => binding,
            Place::Fresh => {
                let sock = self.sock(id)?;
                let (local, options) = (sock.family.unspecified(), sock.options.bind_options());
                self.host.tcp_bind(local, options)?
            }
            Place::Listening(listener) => {
                self.host.listener_set_backlog(listener, backlog);
                self.stream_mut(id)?.place = place;
                return Ok(());
            }
            Place::Connected { .. } => {
                self.stream_mut(id)?.place = place;
                return Err(Errno::EINVAL);
            }
        };
        let sock = self.sock(id)?;
        let options = sock.tcp_options();
        match self.host.tcp_listen(self.now, binding, backlog, options) {
            Ok(listener) => {
                self.process.own(SocketId::Listener(listener), id);
                self.stream_mut(id)?.place = Place::Listening(listener);
                Ok(())
            }
            Err((binding, error)) => {
                self.stream_mut(id)?.place = Place::Bound(binding);
                Err(error.errno())
            }
        }
    }

    /// `accept4`: a descriptor, and the address of who connected. `accept` is the same with flags 0.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags and for a socket that does not listen, `EOPNOTSUPP` for a datagram socket, `EAGAIN` when nobody waits, `EMFILE`.
    pub fn accept4(&mut self, fd: i32, flags: i32, wait: &mut Wait) -> Answer<(i32, Vec<u8>)> {
        if flags & !(abi::SOCK_NONBLOCK | abi::SOCK_CLOEXEC) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let id = self.resolve(fd, wait)?;
        let Place::Listening(listener) = self.stream(id)?.place else {
            return Err(Errno::EINVAL.into());
        };
        let sock = self.sock(id)?;
        let (family, options) = (sock.family, sock.options.clone());
        let Some(tcp) = self.host.tcp_accept(self.now, listener) else {
            if self.nonblocking(id) {
                return Err(Errno::EAGAIN.into());
            }
            return self.block(wait, options.timeout(abi::SO_RCVTIMEO), Errno::EAGAIN);
        };
        let peer = self
            .host
            .tcp_peer(tcp)
            .map_or_else(Vec::new, |peer| family.encode(peer));
        let stream = Stream {
            place: Place::Connected {
                id: tcp,
                connecting: false,
                bound: None,
            },
            ..Stream::default()
        };
        match self.open_socket(family, options, Transport::Stream(stream), flags) {
            Ok(fd) => {
                let file = self.process.lookup(fd)?;
                self.process.own(SocketId::Tcp(tcp), file);
                Ok((fd, peer))
            }
            Err(errno) => {
                // The kernel takes the connection before it looks for a number, and loses it.
                self.host.tcp_close(self.now, tcp, Close::Reset);
                Err(errno.into())
            }
        }
    }

    /// `connect`.
    ///
    /// # Errors
    /// `EINPROGRESS`, `EALREADY`, `EISCONN`, `ECONNREFUSED`, `ETIMEDOUT` and the others of connect(2).
    pub fn connect(&mut self, fd: i32, name: &[u8], wait: &mut Wait) -> Answer<()> {
        let id = self.resolve(fd, wait)?;
        let sock = self.sock(id)?;
        let named = sock.family.parse(name)?;
        if let (Named::At(SocketAddr::V4(_)), true) = (named, sock.options.bind_options().only_v6) {
            return Err(Errno::ENETUNREACH.into());
        }
        let Transport::Stream(stream) = &sock.transport else {
            return Ok(self.connect_datagram(id, named)?);
        };
        let Named::At(remote) = named else {
            self.disconnect(id)?;
            return Ok(());
        };
        match stream.place {
            Place::Listening(_) => Err(Errno::EISCONN.into()),
            Place::Connected { connecting: false, .. } => Err(Errno::EISCONN.into()),
            Place::Connected { id: tcp, .. } => self.await_connection(id, tcp, wait),
            Place::Fresh | Place::Bound(_) => {
                let tcp = self.start_connection(id, remote, false)?;
                wait.begun = true;
                self.await_connection(id, tcp, wait)
            }
        }
    }

    /// Starts to connect; `fast` is MSG_FASTOPEN's way.
    pub(super) fn start_connection(&mut self, id: FileId, named: SocketAddr, fast: bool) -> Result<TcpId, Errno> {
        let sock = self.sock(id)?;
        let mut options = sock.tcp_options();
        options.fast_open_connect |= fast;
        let stream = self.stream_mut(id)?;
        stream.shut_read = false;
        let (binding, bound) = match std::mem::take(&mut stream.place) {
            Place::Bound(binding) => {
                let local = binding.local();
                (Some(binding), Some(local))
            }
            _ => (None, None),
        };
        match self.host.tcp_connect(self.now, binding, towards(named), options) {
            Ok(tcp) => {
                self.process.own(SocketId::Tcp(tcp), id);
                self.stream_mut(id)?.place = Place::Connected {
                    id: tcp,
                    connecting: true,
                    bound,
                };
                Ok(tcp)
            }
            Err((binding, error)) => {
                if let Some(binding) = binding {
                    self.stream_mut(id)?.place = Place::Bound(binding);
                }
                Err(error.errno())
            }
        }
    }

    /// The attempt has ended, or is to be waited for.
    pub(super) fn await_connection(&mut self, id: FileId, tcp: TcpId, wait: &mut Wait) -> Answer<()> {
        let readiness = self.host.tcp_readiness(tcp);
        if readiness.established && !readiness.closed {
            if let Place::Connected { connecting, .. } = &mut self.stream_mut(id)?.place {
                *connecting = false;
            }
            return Ok(());
        }
        if readiness.closed {
            let error = self.host.tcp_take_error(tcp);
            self.disconnect(id)?;
            return Err(error.map_or(Errno::ECONNABORTED, Errno::from).into());
        }
        let under_way = if wait.begun {
            Errno::EINPROGRESS
        } else {
            Errno::EALREADY
        };
        if self.nonblocking(id) {
            return Err(under_way.into());
        }
        let timeout = self.sock(id)?.options.timeout(abi::SO_SNDTIMEO);
        self.block(wait, timeout, under_way)
    }

    /// `connect(AF_UNSPEC)`, and what a failed attempt leaves: a socket that may connect again, from the address that it was bound to.
    fn disconnect(&mut self, id: FileId) -> Result<(), Errno> {
        let options = self.sock(id)?.options.bind_options();
        let stream = self.stream_mut(id)?;
        stream.shut_read = false;
        match std::mem::take(&mut stream.place) {
            Place::Connected { id: tcp, bound, .. } => {
                self.process.disown(SocketId::Tcp(tcp));
                self.host.tcp_close(self.now, tcp, Close::Reset);
                if let Some(binding) = bound.and_then(|local| self.host.tcp_bind(local, options).ok()) {
                    self.stream_mut(id)?.place = Place::Bound(binding);
                }
            }
            Place::Listening(listener) => {
                self.process.disown(SocketId::Listener(listener));
                self.host.listener_close(self.now, listener);
            }
            kept @ (Place::Fresh | Place::Bound(_)) => self.stream_mut(id)?.place = kept,
        }
        self.process.touch(id);
        Ok(())
    }

    /// `shutdown`.
    ///
    /// # Errors
    /// `EINVAL` for an unknown direction, `ENOTCONN` for a socket without a remote.
    pub fn shutdown(&mut self, fd: i32, how: i32) -> Result<(), Errno> {
        let id = self.socket_of(fd)?;
        let how = match how {
            abi::SHUT_RD => Shutdown::Read,
            abi::SHUT_WR => Shutdown::Write,
            abi::SHUT_RDWR => Shutdown::Both,
            _ => return Err(Errno::EINVAL),
        };
        let Transport::Stream(stream) = &self.sock(id)?.transport else {
            return self.shutdown_datagram(id, how);
        };
        match stream.place {
            Place::Fresh | Place::Bound(_) => Err(Errno::ENOTCONN),
            // Only its receiving side can be shut, and that ends it.
            Place::Listening(_) if how == Shutdown::Write => Ok(()),
            Place::Listening(_) => self.disconnect(id),
            Place::Connected { id: tcp, .. } => match self.host.tcp_state(tcp) {
                State::SynSent => self.disconnect(id),
                state => {
                    self.stream_mut(id)?.shut_read |= how != Shutdown::Write;
                    self.host.tcp_shutdown(self.now, tcp, how);
                    self.process.touch(id);
                    if matches!(state, State::Closed | State::TimeWait) {
                        return Err(Errno::ENOTCONN);
                    }
                    Ok(())
                }
            },
        }
    }

    /// SO_LINGER with a time: closing waits until the remote has everything, FIN included. socket(7).
    pub(super) fn linger(&mut self, id: FileId, wait: &mut Wait) -> Answer<()> {
        let Ok(sock) = self.sock(id) else { return Ok(()) };
        let (Some(seconds), Transport::Stream(stream)) = (sock.options.linger(), &sock.transport) else {
            return Ok(());
        };
        let Some(tcp) = stream.tcp().filter(|_| seconds > 0) else {
            return Ok(());
        };
        let readiness = self.host.tcp_readiness(tcp);
        if readiness.readable > 0 || !readiness.established {
            return Ok(());
        }
        if wait.until.is_none() {
            self.host.tcp_shutdown(self.now, tcp, Shutdown::Write);
        }
        let under_way = matches!(
            self.host.tcp_state(tcp),
            State::Established | State::CloseWait | State::FinWait1 | State::Closing | State::LastAck
        );
        if !under_way {
            return Ok(());
        }
        let timeout = Duration::from_secs(u64::from(seconds));
        match self.block(wait, Some(timeout), Errno::EAGAIN) {
            Err(Stop::Errno(_)) => Ok(()),
            other => other,
        }
    }

    /// The last descriptor of a TCP socket is gone.
    pub(super) fn end_stream(&mut self, stream: Stream, options: &Options) {
        match stream.place {
            Place::Fresh => {}
            Place::Bound(binding) => self.host.tcp_unbind(binding),
            Place::Listening(listener) => {
                self.process.disown(SocketId::Listener(listener));
                self.host.listener_close(self.now, listener);
            }
            Place::Connected { id, .. } => {
                let how = match options.linger() {
                    Some(0) => Close::Reset,
                    _ => Close::Graceful,
                };
                self.process.disown(SocketId::Tcp(id));
                self.host.tcp_close(self.now, id, how);
            }
        }
    }
}
