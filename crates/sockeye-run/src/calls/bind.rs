//! `bind` and `listen`.

use crate::call::{Answered, Call, OK, core_errno};
use crate::socket::{DatagramId, Kind, SockId, State};
use crate::supervisor::Supervisor;
use rustix::io::Errno;
use sockeye::gateway::{Protocol, Publish};
use sockeye_core::bsd::address::Named;
use sockeye_core::error::BindError;
use sockeye_core::socket::{BindOptions, Binding, SocketId};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Ports for sockets that leave the choice to us. They may be published under their number: above those that the machine's kernel gives to
/// its own sockets (60999, see ip(7)) it is free there, too.
const PUBLISHABLE: (u16, u16) = (61_000, u16::MAX);

impl Supervisor {
    pub(super) fn bind(&mut self, call: &Call, id: SockId) -> Answered {
        let bytes = call.read_address(call.args[1], call.int(2))?;
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let local = match sock.family.parse(&bytes).map_err(core_errno)? {
            Named::At(local) => local,
            Named::Nothing => return Err(Errno::AFNOSUPPORT),
        };
        if local.is_ipv4() && sock.options.bind_options().only_v6 {
            return Err(Errno::INVAL);
        }
        match &sock.kind {
            Kind::Stream(stream) => {
                if !matches!(stream.state, State::Fresh) {
                    return Err(Errno::INVAL);
                }
                let binding = self.tcp_bind(id, local)?;
                self.set_state(id, State::Bound(binding));
            }
            Kind::Datagram(datagram) => {
                if matches!(datagram.id, DatagramId::Udp(_)) {
                    return Err(Errno::INVAL);
                }
                match self.open_datagram(id, local) {
                    Err(Errno::ADDRINUSE) => {
                        self.catch_up();
                        self.open_datagram(id, local)?;
                    }
                    other => other?,
                }
                if local.port() != 0 {
                    self.publish_udp(id);
                }
            }
        }
        OK
    }

    /// Takes a local address for a TCP socket.
    pub(super) fn tcp_bind(&mut self, id: SockId, local: SocketAddr) -> Result<Binding, Errno> {
        let asked = self.socks.get(id).ok_or(Errno::BADF)?.options.bind_options();
        let options = BindOptions {
            port_range: Some(PUBLISHABLE),
            ..asked
        };
        let mut bound = self.network.host.tcp_bind(local, options);
        if matches!(bound, Err(BindError::PortsExhausted)) {
            bound = self.network.host.tcp_bind(local, asked);
        }
        if matches!(bound, Err(BindError::AddressInUse)) {
            self.catch_up();
            bound = self.network.host.tcp_bind(local, asked);
        }
        bound.map_err(|error| core_errno(error.errno()))
    }

    pub(crate) fn set_state(&mut self, id: SockId, state: State) -> Option<State> {
        let stream = self.socks.get_mut(id)?.stream_mut()?;
        Some(std::mem::replace(&mut stream.state, state))
    }

    pub(super) fn listen(&mut self, call: &Call, id: SockId) -> Answered {
        // A negative backlog is a large one.
        let backlog = call.int(1) as u32;
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let stream = sock.stream().ok_or(Errno::OPNOTSUPP)?;
        let unspecified = sock.family.unspecified();
        let (options, only_v6) = (sock.options.tcp(sock.family), sock.options.bind_options().only_v6);
        let binding = match &stream.state {
            State::Listening { id: listener, .. } => {
                self.network.host.listener_set_backlog(*listener, backlog);
                return OK;
            }
            State::Fresh => self.tcp_bind(id, unspecified)?,
            State::Bound(_) => match self.set_state(id, State::Fresh) {
                Some(State::Bound(binding)) => binding,
                _ => return Err(Errno::INVAL),
            },
            State::Connecting { .. } | State::Connected(_) | State::Ended { .. } => return Err(Errno::INVAL),
        };
        let local = binding.local();
        match self.network.host.tcp_listen(self.now, binding, backlog, options) {
            Ok(listener) => {
                self.socks.own(SocketId::Listener(listener), id);
                self.set_state(
                    id,
                    State::Listening {
                        id: listener,
                        bells: 0,
                        back: VecDeque::new(),
                        local,
                    },
                );
                self.publish(Publish {
                    protocol: Protocol::Tcp,
                    inside: local,
                    only_v6,
                    outside: None,
                });
                OK
            }
            Err((binding, error)) => {
                self.set_state(id, State::Bound(binding));
                Err(core_errno(error.errno()))
            }
        }
    }

    /// A datagram socket with an address of the program's choice is reachable from the machine, like a listener.
    fn publish_udp(&mut self, id: SockId) {
        let Some(sock) = self.socks.get(id) else { return };
        let only_v6 = sock.options.bind_options().only_v6;
        let Some(DatagramId::Udp(udp)) = sock.datagram().map(|datagram| datagram.id) else {
            return;
        };
        let Some(inside) = self.network.host.udp_local(udp) else {
            return;
        };
        if let Some(datagram) = self.socks.get_mut(id).and_then(|sock| sock.datagram_mut()) {
            datagram.published = Some(inside);
        }
        self.publish(Publish {
            protocol: Protocol::Udp,
            inside,
            only_v6,
            outside: None,
        });
    }

    fn publish(&mut self, what: Publish) {
        match self.network.gateway.on_listen(what) {
            Some(Ok(outside)) => {
                tracing::debug!(inside = %what.inside, %outside, "published");
                if outside.port() != what.inside.port() {
                    self.remark(&format!("port {} is published as {outside}", what.inside.port()));
                }
            }
            Some(Err(error)) => self.remark(&error.to_string()),
            None => {}
        }
    }
}
