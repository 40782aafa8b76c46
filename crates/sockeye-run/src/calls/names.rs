//! `getsockname` and `getpeername`: one source of truth, the host.

use crate::call::{Answered, Call, OK};
use crate::socket::{DatagramId, Kind, SockId, State};
use crate::supervisor::Supervisor;
use rustix::io::Errno;
use std::net::SocketAddr;

impl Supervisor {
    pub(super) fn getsockname(&mut self, call: &Call, id: SockId) -> Answered {
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let local = self.local(id).unwrap_or(sock.family.unspecified());
        call.write_address(call.args[1], call.args[2], sock.family, Some(local))?;
        OK
    }

    pub(super) fn getpeername(&mut self, call: &Call, id: SockId) -> Answered {
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let peer = self.peer(id).ok_or(Errno::NOTCONN)?;
        call.write_address(call.args[1], call.args[2], sock.family, Some(peer))?;
        OK
    }

    /// The local address, if there is one yet.
    pub(super) fn local(&self, id: SockId) -> Option<SocketAddr> {
        let host = &self.network.host;
        match &self.socks.get(id)?.kind {
            Kind::Stream(stream) => match &stream.state {
                State::Fresh => None,
                State::Bound(binding) => Some(binding.local()),
                State::Connecting { id, .. } | State::Connected(id) => host.tcp_local(*id),
                State::Listening { local, .. } => Some(*local),
                State::Ended { local, .. } => *local,
            },
            Kind::Datagram(datagram) => match datagram.id {
                DatagramId::Fresh => None,
                DatagramId::Udp(udp) => host.udp_local(udp),
                DatagramId::Raw(raw) => host.raw_local(raw),
            },
        }
    }

    /// The address at the other end, as the program named it.
    pub(super) fn peer(&self, id: SockId) -> Option<SocketAddr> {
        let host = &self.network.host;
        match &self.socks.get(id)?.kind {
            Kind::Stream(stream) => match &stream.state {
                State::Connected(id) => stream.alias.or_else(|| host.tcp_peer(*id)),
                State::Ended { peer, .. } => *peer,
                _ => None,
            },
            Kind::Datagram(datagram) => datagram.connected.then_some(()).and_then(|()| {
                datagram.alias.or_else(|| match datagram.id {
                    DatagramId::Udp(udp) => host.udp_peer(udp),
                    DatagramId::Raw(_) | DatagramId::Fresh => datagram.remote,
                })
            }),
        }
    }
}
