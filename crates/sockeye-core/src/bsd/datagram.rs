//! UDP, ping and raw sockets. udp(7), icmp(7), raw(7).

use super::address::{Family, Named, towards};
use super::control::{self, Arrival};
use super::descriptors::{FileId, Transport};
use super::transfer::Arrived;
use super::{Answer, Calls, Stop, Wait, abi};
use crate::error::Errno;
use crate::socket::{Outgoing, RawId, Received, Shutdown, SocketId, UdpId};
use crate::time::Duration;
use bytes::Bytes;
use std::net::SocketAddr;

/// A UDP, ICMP echo or raw socket.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) place: Place,
    pub(super) protocol: u8,
    /// SOCK_RAW, not SOCK_DGRAM.
    pub(super) raw: bool,
    /// Whom it is connected to.
    pub(super) remote: Option<SocketAddr>,
    /// A datagram that was looked at and left.
    peeked: Option<Received>,
    pub(super) shut_read: bool,
    pub(super) shut_write: bool,
}

/// The host's side of a datagram socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not bound yet.
    Fresh,
    Udp(UdpId),
    Raw(RawId),
}

impl Place {
    fn socket(self) -> Option<SocketId> {
        match self {
            Self::Fresh => None,
            Self::Udp(udp) => Some(SocketId::Udp(udp)),
            Self::Raw(raw) => Some(SocketId::Raw(raw)),
        }
    }
}

impl Datagram {
    pub(super) fn new(protocol: u8, raw: bool) -> Self {
        Self {
            place: Place::Fresh,
            protocol,
            raw,
            remote: None,
            peeked: None,
            shut_read: false,
            shut_write: false,
        }
    }

    /// True for an ICMP echo socket.
    pub(super) fn is_ping(&self) -> bool {
        !self.raw && i32::from(self.protocol) != abi::IPPROTO_UDP
    }
}

impl Calls<'_> {
    fn datagram(&self, id: FileId) -> Result<&Datagram, Errno> {
        match &self.sock(id)?.transport {
            Transport::Datagram(datagram) => Ok(datagram),
            Transport::Stream(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    fn datagram_mut(&mut self, id: FileId) -> Result<&mut Datagram, Errno> {
        match &mut self.sock_mut(id)?.transport {
            Transport::Datagram(datagram) => Ok(datagram),
            Transport::Stream(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// A raw socket receives from its first moment.
    pub(super) fn open_raw(&mut self, id: FileId) -> Result<(), Errno> {
        let sock = self.sock(id)?;
        if let Transport::Datagram(Datagram {
            raw: true, protocol, ..
        }) = sock.transport
        {
            let raw = self.host.raw_open(sock.family.unspecified().ip(), protocol);
            self.place_datagram(id, Place::Raw(raw))?;
        }
        Ok(())
    }

    /// Gives a datagram socket its place in the host, if it has none yet.
    pub(super) fn open_datagram(&mut self, id: FileId, local: SocketAddr) -> Result<(), Errno> {
        let sock = self.sock(id)?;
        let (bind, options) = (sock.options.bind_options(), sock.options.udp(sock.family));
        let datagram = self.datagram(id)?;
        let (protocol, ping) = (datagram.protocol, datagram.is_ping());
        let opened = match datagram.place {
            Place::Udp(_) => return Ok(()),
            Place::Raw(_) if local.ip().is_unspecified() => return Ok(()),
            // A raw socket that gets a local address.
            Place::Raw(old) => {
                self.process.disown(SocketId::Raw(old));
                self.host.raw_close(old);
                Place::Raw(self.host.raw_open(local.ip(), protocol))
            }
            Place::Fresh if ping => Place::Raw(self.host.ping_open(local)?),
            Place::Fresh => Place::Udp(self.host.udp_bind(local, bind)?),
        };
        match opened {
            Place::Udp(udp) => self.host.udp_set_options(udp, options),
            Place::Raw(raw) => self.host.raw_set_options(raw, options),
            Place::Fresh => {}
        }
        self.place_datagram(id, opened)
    }

    fn place_datagram(&mut self, id: FileId, place: Place) -> Result<(), Errno> {
        if let Some(socket) = place.socket() {
            self.process.own(socket, id);
        }
        self.datagram_mut(id)?.place = place;
        Ok(())
    }

    pub(super) fn connect_datagram(&mut self, id: FileId, named: Named) -> Result<(), Errno> {
        let remote = match named {
            Named::Nothing => None,
            Named::At(named) => Some(towards(named)),
        };
        let unspecified = self.sock(id)?.family.unspecified();
        self.open_datagram(id, unspecified)?;
        let connected = match self.datagram(id)?.place {
            Place::Udp(udp) => self.host.udp_connect(udp, remote),
            Place::Raw(raw) => self.host.raw_connect(raw, remote.map(|remote| remote.ip())),
            Place::Fresh => return Err(Errno::EBADF),
        };
        connected?;
        self.datagram_mut(id)?.remote = remote;
        Ok(())
    }

    pub(super) fn shutdown_datagram(&mut self, id: FileId, how: Shutdown) -> Result<(), Errno> {
        let datagram = self.datagram_mut(id)?;
        datagram.shut_read |= how != Shutdown::Write;
        datagram.shut_write |= how != Shutdown::Read;
        let connected = datagram.remote.is_some();
        self.process.touch(id);
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    /// Sends one datagram.
    pub(super) fn send_datagram(
        &mut self,
        id: FileId,
        data: &[u8],
        name: Option<&[u8]>,
        control: &[u8],
        flags: i32,
        wait: &mut Wait,
    ) -> Answer<usize> {
        if flags & abi::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let sock = self.sock(id)?;
        let (family, segment_size) = (sock.family, sock.options.segment_size());
        let timeout = sock.options.timeout(abi::SO_SNDTIMEO);
        let to = match name.map(|name| family.parse(name)).transpose()? {
            Some(Named::At(to)) => Some(to),
            Some(Named::Nothing) | None => None,
        };
        let datagram = self.datagram(id)?;
        if datagram.shut_write {
            return Err(Errno::EPIPE.into());
        }
        if to.is_some_and(|to| to.port() == 0) && !datagram.raw && !datagram.is_ping() {
            return Err(Errno::EINVAL.into());
        }
        if to.is_none() && datagram.remote.is_none() {
            return Err(Errno::EDESTADDRREQ.into());
        }
        let mut outgoing = Outgoing {
            to: to.map(towards),
            data: Bytes::copy_from_slice(data),
            segment_size,
            ..Outgoing::default()
        };
        control::parse(control, &mut outgoing)?;
        self.open_datagram(id, family.unspecified())?;
        let sent = match self.datagram(id)?.place {
            Place::Udp(udp) => self.host.udp_send(self.now, udp, outgoing),
            Place::Raw(raw) => self.host.raw_send(self.now, raw, outgoing),
            Place::Fresh => return Err(Errno::EBADF.into()),
        };
        match sent.map_err(Errno::from) {
            Ok(()) => Ok(data.len()),
            Err(Errno::EAGAIN) if flags & abi::MSG_DONTWAIT == 0 && !self.nonblocking(id) => {
                self.block(wait, timeout, Errno::EAGAIN)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Receives one datagram; what `buf` has no room for is lost.
    pub(super) fn receive_datagram(
        &mut self,
        id: FileId,
        buf: &mut [u8],
        flags: i32,
        wait: &mut Wait,
    ) -> Answer<Arrived> {
        if flags & abi::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if flags & abi::MSG_ERRQUEUE != 0 {
            return Ok(self.receive_report(id, buf)?);
        }
        let received = match self.take(id, flags & abi::MSG_PEEK != 0)? {
            Some(received) => received,
            None if self.datagram(id)?.shut_read => return Ok(Arrived::default()),
            None if flags & abi::MSG_DONTWAIT != 0 || self.nonblocking(id) => return Err(Errno::EAGAIN.into()),
            None => {
                let timeout = self.sock(id)?.options.timeout(abi::SO_RCVTIMEO);
                return self.block(wait, timeout, Errno::EAGAIN);
            }
        };
        let len = copy(&received.data, buf);
        let sock = self.sock(id)?;
        let drops = match self.datagram(id)?.place {
            Place::Udp(udp) => self.host.udp_drops(udp),
            _ => 0,
        };
        let arrival = Arrival {
            to: received.to,
            tos: received.tos,
            ttl: received.ttl,
            drops,
            at: Duration::from_nanos(self.now.as_nanos()),
        };
        let cut = len < received.data.len();
        Ok(Arrived {
            len: if flags & abi::MSG_TRUNC != 0 {
                received.data.len()
            } else {
                len
            },
            name: sock.family.encode(received.from),
            control: control::build(&sock.options, sock.family, &arrival),
            flags: if cut { abi::MSG_TRUNC } else { 0 },
        })
    }

    /// The oldest entry of the error queue.
    fn receive_report(&mut self, id: FileId, buf: &mut [u8]) -> Result<Arrived, Errno> {
        let family: Family = self.sock(id)?.family;
        let report = match self.datagram(id)?.place {
            Place::Udp(udp) => self.host.udp_take_report(udp),
            Place::Raw(raw) => self.host.raw_take_report(raw),
            Place::Fresh => None,
        };
        let report = report.ok_or(Errno::EAGAIN)?;
        let len = copy(&report.data, buf);
        let cut = len < report.data.len();
        Ok(Arrived {
            len,
            name: family.encode(report.to),
            control: control::error_report(family, &report),
            flags: abi::MSG_ERRQUEUE | if cut { abi::MSG_TRUNC } else { 0 },
        })
    }

    /// The next datagram, or the pending error.
    fn take(&mut self, id: FileId, peek: bool) -> Answer<Option<Received>> {
        let place = self.datagram(id)?.place;
        let error = match place {
            Place::Udp(udp) => self.host.udp_take_error(udp),
            Place::Raw(raw) => self.host.raw_take_error(raw),
            Place::Fresh => None,
        };
        if let Some(error) = error {
            return Err(Stop::Errno(error.errno()));
        }
        let received = match (self.datagram_mut(id)?.peeked.take(), place) {
            (Some(received), _) => Some(received),
            (None, Place::Udp(udp)) => self.host.udp_recv(udp),
            (None, Place::Raw(raw)) => self.host.raw_recv(raw),
            (None, Place::Fresh) => None,
        };
        if peek {
            self.datagram_mut(id)?.peeked.clone_from(&received);
        }
        Ok(received)
    }

    /// True when a datagram waits.
    pub(super) fn has_datagram(&self, datagram: &Datagram) -> bool {
        let waiting = match datagram.place {
            Place::Udp(udp) => self.host.udp_queued(udp).0,
            Place::Raw(raw) => self.host.raw_queued(raw).0,
            Place::Fresh => 0,
        };
        waiting > 0 || datagram.peeked.is_some()
    }

    /// The length of the next datagram: FIONREAD.
    pub(super) fn next_length(&mut self, id: FileId) -> Result<usize, Errno> {
        if self.datagram(id)?.peeked.is_none() {
            let received = match self.datagram(id)?.place {
                Place::Udp(udp) => self.host.udp_recv(udp),
                Place::Raw(raw) => self.host.raw_recv(raw),
                Place::Fresh => None,
            };
            self.datagram_mut(id)?.peeked = received;
        }
        let peeked = &self.datagram(id)?.peeked;
        Ok(peeked.as_ref().map_or(0, |received| received.data.len()))
    }

    /// The last descriptor of a datagram socket is gone.
    pub(super) fn end_datagram(&mut self, datagram: &Datagram) {
        if let Some(socket) = datagram.place.socket() {
            self.process.disown(socket);
        }
        match datagram.place {
            Place::Udp(udp) => self.host.udp_close(udp),
            Place::Raw(raw) => self.host.raw_close(raw),
            Place::Fresh => {}
        }
    }
}

/// As much of `data` as `buf` holds.
fn copy(data: &[u8], buf: &mut [u8]) -> usize {
    let len = data.len().min(buf.len());
    buf[..len].copy_from_slice(&data[..len]);
    len
}
