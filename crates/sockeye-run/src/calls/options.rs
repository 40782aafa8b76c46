//! `setsockopt` and `getsockopt`.

use crate::call::{Answer, Answered, Call, OK, core_errno};
use crate::socket::{DatagramId, Kind, SockId, State, Stream};
use crate::supervisor::Supervisor;
use rustix::io::Errno;
use rustix::net::sockopt;
use sockeye_core::bsd::address::Family;
use sockeye_core::bsd::options::table::{self, DATAGRAM, STREAM};
use sockeye_core::bsd::options::{number, tcp_info};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

/// Longest value we read.
const LONGEST: i32 = 256;

/// Options that the pair has to know, too: the kernel's own reads and writes honour them.
fn is_shared(level: i32, name: i32) -> bool {
    const SHARED: [i32; 5] = [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO, 66, 67, libc::SO_RCVLOWAT];
    level == libc::SOL_SOCKET && SHARED.contains(&name)
}

impl Supervisor {
    pub(super) fn setsockopt(&mut self, call: &Call, id: SockId) -> Answered {
        let (level, name) = (call.int(1), call.int(2));
        let len = call.int(4);
        if len < 0 {
            return Err(Errno::INVAL);
        }
        let value = call.read(call.args[3], len.min(LONGEST) as usize)?;
        // Bytes written before go out as the options were then.
        let sock = self.socks.get_mut(id).ok_or(Errno::BADF)?;
        sock.seen.readable = true;
        self.pump(id);
        let sock = self.socks.get_mut(id).ok_or(Errno::BADF)?;
        match (level, name) {
            (libc::IPPROTO_TCP, libc::TCP_CONGESTION) if sock.stream().is_some() => {
                sock.options.set_congestion(&value).map_err(core_errno)?;
            }
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) => sock.options.set_device(&value).map_err(core_errno)?,
            (libc::IPPROTO_IP, libc::IP_MULTICAST_IF) => return OK,
            (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP | libc::IP_DROP_MEMBERSHIP) => {
                let group: [u8; 4] = value.get(..4).and_then(|at| at.try_into().ok()).ok_or(Errno::INVAL)?;
                let join = name == libc::IP_ADD_MEMBERSHIP;
                return self.multicast(id, Ipv4Addr::from(group).into(), join);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP | libc::IPV6_DROP_MEMBERSHIP) => {
                let group: [u8; 16] = value.get(..16).and_then(|at| at.try_into().ok()).ok_or(Errno::INVAL)?;
                let join = name == libc::IPV6_ADD_MEMBERSHIP;
                return self.multicast(id, Ipv6Addr::from(group).into(), join);
            }
            (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL) if sock.stream().is_some() => return Err(Errno::INVAL),
            _ => {
                let who = if sock.stream().is_some() { STREAM } else { DATAGRAM };
                let Some(spec) = table::find(level, name, who) else {
                    if !table::has_level(level, who) {
                        return Err(Errno::NOPROTOOPT);
                    }
                    let what = format!("socket option {} {name}", table::level_name(level));
                    return self.refuse(call, &what, Errno::NOPROTOOPT);
                };
                sock.options.set(spec, &value).map_err(core_errno)?;
            }
        }
        self.options_changed(id);
        if is_shared(level, name) {
            Ok(Answer::Continue)
        } else {
            OK
        }
    }

    fn options_changed(&mut self, id: SockId) {
        let Some(sock) = self.socks.get(id) else { return };
        let options = sock.options.tcp(sock.family);
        match &sock.kind {
            Kind::Datagram(_) => self.datagram_options_changed(id),
            Kind::Stream(stream) => match &stream.state {
                State::Connecting { id, .. } | State::Connected(id) => {
                    self.network.host.tcp_set_options(self.now, *id, options);
                }
                State::Listening { id, .. } => self.network.host.listener_set_options(*id, options),
                State::Fresh | State::Bound(_) | State::Ended { .. } => {}
            },
        }
    }

    fn multicast(&mut self, id: SockId, group: IpAddr, join: bool) -> Answered {
        if !group.is_multicast() {
            return Err(Errno::INVAL);
        }
        let unspecified = self.socks.get(id).ok_or(Errno::BADF)?.family.unspecified();
        self.open_datagram(id, unspecified)?;
        if let Some(DatagramId::Udp(udp)) = self
            .socks
            .get(id)
            .and_then(|sock| sock.datagram())
            .map(|datagram| datagram.id)
        {
            self.network.host.udp_multicast(udp, group, None, join);
        }
        OK
    }

    pub(super) fn getsockopt(&mut self, call: &Call, id: SockId, app: &OwnedFd) -> Answered {
        let (level, name) = (call.int(1), call.int(2));
        if level == libc::SOL_SOCKET && matches!(name, libc::SO_COOKIE | libc::SO_PEERCRED) {
            return Ok(Answer::Continue);
        }
        let Some(mut value) = self.option_value(id, level, name, app)? else {
            let sock = self.socks.get(id).ok_or(Errno::BADF)?;
            let who = if sock.stream().is_some() { STREAM } else { DATAGRAM };
            if !table::has_level(level, who) {
                return Err(if sock.family == Family::V4 {
                    Errno::OPNOTSUPP
                } else {
                    Errno::NOPROTOOPT
                });
            }
            let what = format!("socket option {} {name}", table::level_name(level));
            return self.refuse(call, &what, Errno::NOPROTOOPT);
        };
        // A small number fits a byte: IP options may be asked for as one.
        let small =
            level == libc::IPPROTO_IP && value.len() == 4 && number(&value).is_some_and(|n| (0..256).contains(&n));
        if small && matches!(call.read_int(call.args[4])?, 1..=3) {
            value.truncate(1);
        }
        call.write_option(call.args[3], call.args[4], &value)?;
        OK
    }

    /// The value of an option; `None` for one that is not there.
    fn option_value(&mut self, id: SockId, level: i32, name: i32, app: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let int = |value: i32| Ok(Some(value.to_ne_bytes().to_vec()));
        let listening = matches!(sock.stream().map(|stream| &stream.state), Some(State::Listening { .. }));
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => return int(self.take_error(id, app)),
            (libc::SOL_SOCKET, libc::SO_TYPE) => return int(sock.type_number()),
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => return int(sock.family.number()),
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => return int(i32::from(listening)),
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) => {
                let datagram = sock.datagram().map(|datagram| i32::from(datagram.protocol));
                return int(datagram.unwrap_or(libc::IPPROTO_TCP));
            }
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) => return Ok(Some(sock.options.device())),
            (libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID | libc::SO_ZEROCOPY) => return int(0),
            (libc::IPPROTO_IP, libc::IP_OPTIONS) => return Ok(Some(Vec::new())),
            (libc::IPPROTO_IP | libc::IPPROTO_IPV6, libc::IP_MTU | libc::IPV6_MTU) if self.peer(id).is_none() => {
                let mtu = (libc::IPPROTO_IP, libc::IP_MTU) == (level, name)
                    || (libc::IPPROTO_IPV6, libc::IPV6_MTU) == (level, name);
                if mtu {
                    return Err(Errno::NOTCONN);
                }
            }
            (libc::IPPROTO_TCP, libc::TCP_CONGESTION) if sock.stream().is_some() => {
                let default = self.network.host.settings().tcp_congestion_control;
                return Ok(Some(sock.options.congestion(default)));
            }
            (libc::IPPROTO_TCP, libc::TCP_INFO) => return Ok(sock.stream().map(|_| self.tcp_info(id))),
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
                if let Some(tcp) = sock.stream().and_then(Stream::tcp)
                    && let Some(info) = self.network.host.tcp_info(self.now, tcp)
                {
                    return int(info.snd_mss as i32);
                }
            }
            _ => {}
        }
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let who = if sock.stream().is_some() { STREAM } else { DATAGRAM };
        Ok(table::find(level, name, who).map(|spec| sock.options.value(spec)))
    }

    fn tcp_info(&self, id: SockId) -> Vec<u8> {
        const CLOSE: u8 = 7;
        const LISTEN: u8 = 10;
        let stream = self.socks.get(id).and_then(|sock| sock.stream());
        let info = stream
            .and_then(Stream::tcp)
            .and_then(|tcp| self.network.host.tcp_info(self.now, tcp));
        let listening = matches!(stream.map(|stream| &stream.state), Some(State::Listening { .. }));
        let info = info.unwrap_or_else(|| sockeye_core::socket::TcpInfo {
            state: if listening { LISTEN } else { CLOSE },
            ..Default::default()
        });
        tcp_info(&info)
    }

    /// SO_ERROR, which is then no longer pending.
    fn take_error(&mut self, id: SockId, app: &OwnedFd) -> i32 {
        let Some(sock) = self.socks.get_mut(id) else { return 0 };
        match &mut sock.kind {
            Kind::Datagram(datagram) => {
                let pending = datagram.error.take();
                pending.map_or(0, Errno::raw_os_error)
            }
            Kind::Stream(stream) => match stream.state {
                State::Ended { .. } => {
                    // The pair shows a lost connection; its own error is cleared as the kernel clears it.
                    let on_pair = matches!(sockopt::socket_error(app), Ok(Err(_)));
                    let pending = stream.error.take();
                    if on_pair {
                        pending.unwrap_or(Errno::CONNRESET).raw_os_error()
                    } else {
                        0
                    }
                }
                State::Connected(tcp) => {
                    let error = self.network.host.tcp_readiness(tcp).error;
                    error.map_or(0, |error| error.errno() as i32)
                }
                _ => 0,
            },
        }
    }
}
