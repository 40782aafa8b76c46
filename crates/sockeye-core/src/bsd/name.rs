//! `bind`, `getsockname`, `getpeername`.

use super::address::Named;
use super::datagram::Place as DatagramPlace;
use super::descriptors::{FileId, Transport};
use super::stream::Place;
use super::{Calls, abi};
use crate::bsd::address::Family;
use crate::error::Errno;
use crate::socket::State;
use std::net::SocketAddr;

impl Calls<'_> {
    /// `bind`.
    ///
    /// # Errors
    /// `EINVAL` for a short address and for a socket that has one, `EAFNOSUPPORT`, `EADDRINUSE`, `EADDRNOTAVAIL`.
    pub fn bind(&mut self, fd: i32, name: &[u8]) -> Result<(), Errno> {
        let id = self.socket_of(fd)?;
        let sock = self.sock(id)?;
        let options = sock.options.bind_options();
        let Named::At(local) = bindable(sock.family, name)? else {
            return Err(Errno::EAFNOSUPPORT);
        };
        if local.is_ipv4() && options.only_v6 {
            return Err(Errno::EINVAL);
        }
        match &sock.transport {
            Transport::Stream(stream) if !matches!(stream.place, Place::Fresh) => Err(Errno::EINVAL),
            Transport::Stream(_) => {
                let binding = self.host.tcp_bind(local, options)?;
                self.stream_mut(id)?.place = Place::Bound(binding);
                Ok(())
            }
            Transport::Datagram(datagram) if matches!(datagram.place, DatagramPlace::Udp(_)) => Err(Errno::EINVAL),
            Transport::Datagram(_) => self.open_datagram(id, local),
        }
    }

    /// `getsockname`: the address as bytes, whole.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`.
    pub fn getsockname(&self, fd: i32) -> Result<Vec<u8>, Errno> {
        let id = self.socket_of(fd)?;
        let family = self.sock(id)?.family;
        let local = self.local(id)?.unwrap_or(family.unspecified());
        Ok(family.encode(local))
    }

    /// `getpeername`: the address as bytes, whole.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `ENOTCONN`.
    pub fn getpeername(&self, fd: i32) -> Result<Vec<u8>, Errno> {
        let id = self.socket_of(fd)?;
        let peer = self.peer(id)?.ok_or(Errno::ENOTCONN)?;
        Ok(self.sock(id)?.family.encode(peer))
    }

    fn local(&self, id: FileId) -> Result<Option<SocketAddr>, Errno> {
        Ok(match &self.sock(id)?.transport {
            Transport::Stream(stream) => match &stream.place {
                Place::Fresh => None,
                Place::Bound(binding) => Some(binding.local()),
                Place::Listening(listener) => self.host.listener_local(*listener),
                Place::Connected { id, .. } => self.host.tcp_local(*id),
            },
            Transport::Datagram(datagram) => match datagram.place {
                DatagramPlace::Fresh => None,
                DatagramPlace::Udp(udp) => self.host.udp_local(udp),
                DatagramPlace::Raw(raw) => self.host.raw_local(raw),
            },
        })
    }

    /// The address at the other end.
    pub(super) fn peer(&self, id: FileId) -> Result<Option<SocketAddr>, Errno> {
        Ok(match &self.sock(id)?.transport {
            Transport::Stream(stream) => stream.tcp().and_then(|tcp| match self.host.tcp_state(tcp) {
                State::Closed | State::SynSent | State::TimeWait => None,
                _ => self.host.tcp_peer(tcp),
            }),
            Transport::Datagram(datagram) => datagram.remote,
        })
    }
}

/// An address to bind to. An IPv4 socket takes AF_UNSPEC with 0.0.0.0, as it has since 4.2BSD.
fn bindable(family: Family, name: &[u8]) -> Result<Named, Errno> {
    let unspecified = name.len() >= 16 && name[..2] == (abi::AF_UNSPEC as u16).to_ne_bytes() && name[4..8] == [0; 4];
    if family == Family::V4 && unspecified {
        let port = u16::from_be_bytes([name[2], name[3]]);
        return Ok(Named::At(SocketAddr::new(family.unspecified().ip(), port)));
    }
    family.parse(name)
}
