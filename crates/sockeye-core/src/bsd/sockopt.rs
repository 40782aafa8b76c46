//! `getsockopt` and `setsockopt`. The options themselves are in `options`.

use super::address::Family;
use super::datagram::Place as DatagramPlace;
use super::descriptors::{FileId, Socket, Transport};
use super::options::table::{self, DATAGRAM, STREAM};
use super::options::{number, tcp_info};
use super::stream::{Place, Stream};
use super::{Calls, abi};
use crate::error::Errno;
use crate::socket::TcpInfo;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Linux's numbers of two states that are no connection's.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

impl Socket {
    fn who(&self) -> u8 {
        match self.transport {
            Transport::Stream(_) => STREAM,
            Transport::Datagram(_) => DATAGRAM,
        }
    }

    fn listens(&self) -> bool {
        matches!(&self.transport, Transport::Stream(stream) if matches!(stream.place, Place::Listening(_)))
    }
}

impl Calls<'_> {
    /// `setsockopt`.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `ENOPROTOOPT`, and what Linux says of the value: `EINVAL`, `EDOM`, `ENOENT`, `EPERM`.
    pub fn setsockopt(&mut self, fd: i32, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let id = self.socket_of(fd)?;
        let sock = self.sock_mut(id)?;
        let who = sock.who();
        match (level, name) {
            (abi::IPPROTO_TCP, abi::TCP_CONGESTION) if who == STREAM => sock.options.set_congestion(value)?,
            (abi::SOL_SOCKET, abi::SO_ZEROCOPY) if who == STREAM => match number(value) {
                Some(on @ (0 | 1)) => sock.options.zerocopy = on == 1,
                _ => return Err(Errno::EINVAL),
            },
            (abi::SOL_SOCKET, abi::SO_BINDTODEVICE) => sock.options.set_device(value)?,
            (abi::IPPROTO_IP, abi::IP_MULTICAST_IF) => return Ok(()),
            (abi::IPPROTO_IP, abi::IP_ADD_MEMBERSHIP | abi::IP_DROP_MEMBERSHIP) => {
                let group: &[u8; 4] = value.first_chunk().ok_or(Errno::EINVAL)?;
                return self.multicast(id, Ipv4Addr::from(*group).into(), name == abi::IP_ADD_MEMBERSHIP);
            }
            (abi::IPPROTO_IPV6, abi::IPV6_ADD_MEMBERSHIP | abi::IPV6_DROP_MEMBERSHIP) => {
                let group: &[u8; 16] = value.first_chunk().ok_or(Errno::EINVAL)?;
                return self.multicast(id, Ipv6Addr::from(*group).into(), name == abi::IPV6_ADD_MEMBERSHIP);
            }
            (abi::IPPROTO_IP, abi::IP_MULTICAST_TTL) if who == STREAM => return Err(Errno::EINVAL),
            _ => {
                let spec = table::find(level, name, who).ok_or(Errno::ENOPROTOOPT)?;
                sock.options.set(spec, value)?;
            }
        }
        self.options_changed(id)?;
        if (level, name) == (abi::IPPROTO_TCP, abi::TCP_NODELAY)
            && self.sock(id)?.options.flag(level, name)
            && let Ok(Some(tcp)) = self.stream(id).map(Stream::tcp)
        {
            self.host.tcp_push(self.now, tcp);
        }
        Ok(())
    }

    /// Tells the host.
    fn options_changed(&mut self, id: FileId) -> Result<(), Errno> {
        let sock = self.sock(id)?;
        let (mut tcp, udp) = (sock.tcp_options(), sock.options.udp(sock.family));
        match &sock.transport {
            Transport::Stream(stream) => {
                tcp.more = stream.more;
                match stream.place {
                    Place::Connected { id, .. } => self.host.tcp_set_options(self.now, id, tcp),
                    Place::Listening(id) => self.host.listener_set_options(id, tcp),
                    Place::Fresh | Place::Bound(_) => {}
                }
            }
            Transport::Datagram(datagram) => match datagram.place {
                DatagramPlace::Udp(id) => self.host.udp_set_options(id, udp),
                DatagramPlace::Raw(id) => self.host.raw_set_options(id, udp),
                DatagramPlace::Fresh => {}
            },
        }
        Ok(())
    }

    fn multicast(&mut self, id: FileId, group: IpAddr, join: bool) -> Result<(), Errno> {
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let unspecified = self.sock(id)?.family.unspecified();
        if let Transport::Stream(_) = self.sock(id)?.transport {
            return Err(Errno::EPROTO);
        }
        self.open_datagram(id, unspecified)?;
        if let Transport::Datagram(datagram) = &self.sock(id)?.transport
            && let DatagramPlace::Udp(udp) = datagram.place
        {
            self.host.udp_multicast(udp, group, None, join);
        }
        Ok(())
    }

    /// `getsockopt`: the value, cut to the `room` that the caller has for it.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK`, `ENOPROTOOPT` and `EOPNOTSUPP` for what is not there, `ENOTCONN` for the MTU towards nobody, `EINVAL` for negative
    /// room.
    pub fn getsockopt(&mut self, fd: i32, level: i32, name: i32, room: i32) -> Result<Vec<u8>, Errno> {
        let id = self.socket_of(fd)?;
        let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
        let mut value = self.option_value(id, level, name)?;
        // A small number fits a byte: IP options may be asked for as one.
        let small =
            level == abi::IPPROTO_IP && value.len() == 4 && number(&value).is_some_and(|n| (0..256).contains(&n));
        if small && matches!(room, 1..=3) {
            value.truncate(1);
        }
        value.truncate(room);
        Ok(value)
    }

    fn option_value(&mut self, id: FileId, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        if (level, name) == (abi::SOL_SOCKET, abi::SO_ERROR) {
            return Ok(self.take_error(id)?.to_ne_bytes().to_vec());
        }
        let sock = self.sock(id)?;
        let who = sock.who();
        if let Some(value) = self.live_value(id, level, name)? {
            return Ok(value);
        }
        if let Some(spec) = table::find(level, name, who) {
            return Ok(sock.options.value(spec));
        }
        // A level that the protocol has nothing of is refused in another way over IPv4.
        Err(if !table::has_level(level, who) && sock.family == Family::V4 {
            Errno::EOPNOTSUPP
        } else {
            Errno::ENOPROTOOPT
        })
    }

    /// Options whose value is not what was set, but what is.
    fn live_value(&self, id: FileId, level: i32, name: i32) -> Result<Option<Vec<u8>>, Errno> {
        let sock = self.sock(id)?;
        let int = |value: i32| Ok(Some(value.to_ne_bytes().to_vec()));
        let (protocol, raw) = match &sock.transport {
            Transport::Stream(_) => (abi::IPPROTO_TCP, false),
            Transport::Datagram(datagram) => (i32::from(datagram.protocol), datagram.raw),
        };
        match (level, name) {
            (abi::SOL_SOCKET, abi::SO_TYPE) => int(match protocol {
                abi::IPPROTO_TCP if !raw => abi::SOCK_STREAM,
                _ if raw => abi::SOCK_RAW,
                _ => abi::SOCK_DGRAM,
            }),
            (abi::SOL_SOCKET, abi::SO_DOMAIN) => int(sock.family.number()),
            (abi::SOL_SOCKET, abi::SO_ACCEPTCONN) => int(i32::from(sock.listens())),
            (abi::SOL_SOCKET, abi::SO_PROTOCOL) => int(protocol),
            (abi::SOL_SOCKET, abi::SO_BINDTODEVICE) => Ok(Some(sock.options.device())),
            (abi::SOL_SOCKET, abi::SO_INCOMING_NAPI_ID) => int(0),
            (abi::SOL_SOCKET, abi::SO_ZEROCOPY) => int(sock.options.zerocopy.into()),
            (abi::IPPROTO_IP, abi::IP_OPTIONS) => Ok(Some(Vec::new())),
            (abi::IPPROTO_IP, abi::IP_MTU) | (abi::IPPROTO_IPV6, abi::IPV6_MTU) if self.peer(id)?.is_none() => {
                Err(Errno::ENOTCONN)
            }
            (abi::IPPROTO_TCP, _) => match &sock.transport {
                Transport::Stream(stream) => self.tcp_value(sock, &stream.place, name),
                Transport::Datagram(_) => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn tcp_value(&self, sock: &Socket, place: &Place, name: i32) -> Result<Option<Vec<u8>>, Errno> {
        let info = match place {
            Place::Connected { id, .. } => self.host.tcp_info(self.now, *id),
            _ => None,
        };
        Ok(match (name, info) {
            (abi::TCP_CONGESTION, _) => Some(sock.options.congestion(self.host.settings().tcp_congestion_control)),
            (abi::TCP_INFO, info) => Some(tcp_info(&info.unwrap_or_else(|| TcpInfo {
                state: if sock.listens() { LISTEN } else { CLOSE },
                ..TcpInfo::default()
            }))),
            (abi::TCP_MAXSEG, Some(info)) => Some((info.snd_mss as i32).to_ne_bytes().to_vec()),
            _ => None,
        })
    }

    /// SO_ERROR, which is then no longer pending.
    fn take_error(&mut self, id: FileId) -> Result<i32, Errno> {
        let error = match &self.sock(id)?.transport {
            Transport::Stream(stream) => stream.tcp().and_then(|tcp| self.host.tcp_take_error(tcp)),
            Transport::Datagram(datagram) => match datagram.place {
                DatagramPlace::Udp(udp) => self.host.udp_take_error(udp),
                DatagramPlace::Raw(raw) => self.host.raw_take_error(raw),
                DatagramPlace::Fresh => None,
            },
        };
        Ok(error.map_or(0, |error| error.errno() as i32))
    }
}
