//! Datagrams between a UDP, ICMP or raw socket's pair and the host.
//!
//! The pair carries payload only; addresses stay here, one [`Meta`] for each datagram that lies in the program's receive queue. A program may
//! take datagrams behind our back with `recv`, so before a receive that wants addresses we ask the kernel how much memory is still charged
//! for what we sent: datagrams leave in order, so that tells which are left.

use crate::call::core_errno;
use crate::socket::{Datagram, DatagramId, Kind, Meta, Sock, SockId};
use crate::stream::events;
use crate::supervisor::Supervisor;
use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use sockeye::addresses;
use sockeye::gateway::Protocol;
use sockeye_core::bsd::address::towards;
use sockeye_core::bsd::options::Options;
use sockeye_core::socket::{Outgoing, Received, SocketId};
use sockeye_sys::pair;
use sockeye_sys::queue;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Datagrams moved before others have their turn.
const BUDGET: usize = 128;

/// Datagrams in a pair before we look which of them are still there.
const IN_PAIR: usize = 512;

/// Longest datagram.
pub(crate) const LONGEST: usize = 65_536;

/// What the kernel charges for a datagram of each length, measured once on a pair of our own.
#[derive(Debug, Default)]
pub(crate) struct Charges {
    known: HashMap<usize, usize>,
    scale: Option<(OwnedFd, OwnedFd)>,
}

impl Charges {
    pub(crate) fn of(&mut self, len: usize) -> usize {
        if let Some(&charge) = self.known.get(&len) {
            return charge;
        }
        if self.scale.is_none() {
            self.scale = pair::make(false).ok().map(|pair| (pair.ours, pair.app));
        }
        let Some((from, to)) = &self.scale else { return len };
        let payload = vec![0; len];
        if send(from, &payload, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_err() {
            return len;
        }
        let charge = queue::unreceived(from).unwrap_or(len);
        let mut sink = [0; 1];
        let _ = recv(to, &mut sink, RecvFlags::DONTWAIT);
        self.known.insert(len, charge);
        charge
    }
}

impl Datagram {
    /// Forgets what the program took from the pair without asking us.
    pub(crate) fn resync(&mut self, end: &OwnedFd) {
        let Ok(left) = queue::unreceived(end) else { return };
        let mut sum: usize = self.in_pair.iter().map(|meta| meta.charge).sum();
        while sum > left {
            let Some(meta) = self.in_pair.pop_front() else { return };
            sum -= meta.charge;
        }
    }

    /// An address as the program knows it: replies of the built-in name server come from the server it asked.
    pub(crate) fn shown(&self, from: SocketAddr) -> SocketAddr {
        match self.alias {
            Some(alias) if addresses::is_names(from.ip()) && from.port() == 53 => alias,
            _ => from,
        }
    }
}

impl Supervisor {
    /// Gives a datagram socket its place in the host, if it has none yet.
    pub(crate) fn open_datagram(&mut self, id: SockId, local: SocketAddr) -> Result<(), Errno> {
        let sock = self.socks.get_mut(id).ok_or(Errno::BADF)?;
        let family = sock.family;
        let (bind, udp_options) = (sock.options.bind_options(), sock.options.udp(family));
        let datagram = sock.datagram_mut().ok_or(Errno::BADF)?;
        let protocol = datagram.protocol;
        let host = &mut self.network.host;
        let opened = match datagram.id {
            DatagramId::Udp(_) => return Ok(()),
            DatagramId::Raw(_) if local.ip().is_unspecified() => return Ok(()),
            // A raw socket that gets a local address.
            DatagramId::Raw(old) => {
                self.socks.disown(SocketId::Raw(old));
                host.raw_close(old);
                let raw = host.raw_open(local.ip(), protocol);
                host.raw_set_options(raw, udp_options);
                DatagramId::Raw(raw)
            }
            DatagramId::Fresh if datagram.is_ping() => {
                let raw = host.ping_open(local).map_err(|error| core_errno(error.errno()))?;
                host.raw_set_options(raw, udp_options);
                DatagramId::Raw(raw)
            }
            DatagramId::Fresh => {
                let udp = host.udp_bind(local, bind).map_err(|error| core_errno(error.errno()))?;
                host.udp_set_options(udp, udp_options);
                DatagramId::Udp(udp)
            }
        };
        self.place(id, opened);
        Ok(())
    }

    /// A raw socket receives from its first moment.
    pub(crate) fn open_raw(&mut self, id: SockId) -> Result<(), Errno> {
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let Some(datagram) = sock.datagram().filter(|datagram| datagram.raw) else {
            return Ok(());
        };
        let raw = self
            .network
            .host
            .raw_open(sock.family.unspecified().ip(), datagram.protocol);
        self.place(id, DatagramId::Raw(raw));
        Ok(())
    }

    fn place(&mut self, id: SockId, opened: DatagramId) {
        if let Some(socket) = opened.socket() {
            self.socks.own(socket, id);
        }
        if let Some(datagram) = self.socks.get_mut(id).and_then(Sock::datagram_mut) {
            datagram.id = opened;
        }
    }

    pub(crate) fn close_datagram(&mut self, datagram: &Datagram) {
        if let Some(socket) = datagram.id.socket() {
            self.socks.disown(socket);
        }
        if let Some(local) = datagram.published {
            self.network.gateway.unpublish(Protocol::Udp, local);
        }
        match datagram.id {
            DatagramId::Udp(udp) => self.network.host.udp_close(udp),
            DatagramId::Raw(raw) => self.network.host.raw_close(raw),
            DatagramId::Fresh => {}
        }
    }

    /// Tells the host of changed options.
    pub(crate) fn datagram_options_changed(&mut self, id: SockId) {
        let Some(sock) = self.socks.get(id) else { return };
        let options = sock.options.udp(sock.family);
        match sock.datagram().map(|datagram| datagram.id) {
            Some(DatagramId::Udp(udp)) => self.network.host.udp_set_options(udp, options),
            Some(DatagramId::Raw(raw)) => self.network.host.raw_set_options(raw, options),
            _ => {}
        }
    }

    pub(crate) fn look_at_datagram(&mut self, id: SockId) {
        let Some(sock) = self.socks.get(id) else { return };
        let Some(end) = &sock.end else { return };
        let hung_up = events(end).contains(PollFlags::HUP);
        if self.take_native_sends(id) {
            self.wake(id);
        } else if hung_up {
            self.forget(id);
            return;
        }
        self.collect_error(id);
        self.retry_held(id);
        self.push_to_pair(id);
    }

    /// Sends what the program wrote without an address. True when there may be more.
    pub(crate) fn take_native_sends(&mut self, id: SockId) -> bool {
        let pool = self.network.host.pool().clone();
        for _ in 0..BUDGET {
            let Some(end) = self.socks.get(id).and_then(|sock| sock.end.as_ref()) else {
                return false;
            };
            let mut got = Err(Errno::AGAIN);
            let data = pool.fill(LONGEST, |buf| {
                got = recv(end, buf, RecvFlags::DONTWAIT).map(|(n, _)| n);
                got.unwrap_or(0)
            });
            match got {
                Ok(0) if events(end).contains(PollFlags::RDHUP) => return false,
                Ok(_) => {
                    let Some(sock) = self.socks.get(id) else { return false };
                    let outgoing = Outgoing {
                        data,
                        segment_size: sock.options.segment_size(),
                        ..Outgoing::default()
                    };
                    // Too late to tell the program; the network loses datagrams, too.
                    if let Err(errno) = self.send_datagram(id, outgoing) {
                        tracing::debug!(?errno, "datagram not sent");
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends one datagram.
    pub(crate) fn send_datagram(&mut self, id: SockId, mut outgoing: Outgoing) -> Result<(), Errno> {
        let sock = self.socks.get(id).ok_or(Errno::BADF)?;
        let datagram = sock.datagram().ok_or(Errno::BADF)?;
        if outgoing.to.is_none() && !datagram.connected {
            return Err(Errno::DESTADDRREQ);
        }
        let unspecified = sock.family.unspecified();
        if let Some(named) = outgoing.to {
            let redirected = self.names.redirect(named);
            outgoing.to = Some(redirected.unwrap_or(towards(named)));
            if redirected.is_some()
                && let Some(datagram) = self.socks.get_mut(id).and_then(Sock::datagram_mut)
            {
                datagram.alias = Some(named);
            }
        }
        self.open_datagram(id, unspecified)?;
        self.collect_error(id);
        let datagram = self.socks.get_mut(id).and_then(Sock::datagram_mut).ok_or(Errno::BADF)?;
        if let Some(errno) = datagram.error.take() {
            return Err(errno);
        }
        let sent = match datagram.id {
            DatagramId::Udp(udp) => self.network.host.udp_send(self.now, udp, outgoing),
            DatagramId::Raw(raw) => self.network.host.raw_send(self.now, raw, outgoing),
            DatagramId::Fresh => return Err(Errno::BADF),
        };
        sent.map_err(|error| core_errno(error.errno()))
    }

    /// Takes a pending error from the host. Programs that poll see an empty datagram; receives that come to us see the error.
    fn collect_error(&mut self, id: SockId) {
        let Some(sock) = self.socks.get_mut(id) else { return };
        let (Kind::Datagram(datagram), Some(end)) = (&mut sock.kind, &sock.end) else {
            return;
        };
        let DatagramId::Udp(udp) = datagram.id else { return };
        let Some(error) = self.network.host.udp_take_error(udp) else {
            return;
        };
        let errno = core_errno(error.errno());
        datagram.error = Some(errno);
        if send(end, &[], SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok() {
            let nowhere = sock.family.unspecified();
            datagram.in_pair.push_back(Meta {
                charge: self.charges.of(0),
                from: nowhere,
                to: nowhere,
                tos: 0,
                ttl: 0,
                error: Some(errno),
            });
        }
    }

    /// Puts what came from the network into the pair, as far as it takes it; the rest stays in the host's queue, which has a limit.
    fn push_to_pair(&mut self, id: SockId) {
        for _ in 0..BUDGET {
            let Some(received) = self.next_received(id) else { return };
            let charge = self.charges.of(received.data.len());
            let Some(sock) = self.socks.get_mut(id) else { return };
            let (Kind::Datagram(datagram), Some(end)) = (&mut sock.kind, &sock.end) else {
                return;
            };
            if datagram.in_pair.len() >= IN_PAIR {
                datagram.resync(end);
            }
            match send(end, &received.data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => datagram.in_pair.push_back(Meta {
                    charge,
                    from: received.from,
                    to: received.to,
                    tos: received.tos,
                    ttl: received.ttl,
                    error: None,
                }),
                Err(Errno::AGAIN | Errno::INTR) => {
                    datagram.waiting = Some(received);
                    return;
                }
                Err(_) => return,
            }
        }
        self.wake(id);
    }

    /// The next datagram that is not in the pair.
    pub(crate) fn next_received(&mut self, id: SockId) -> Option<Received> {
        let datagram = self.socks.get_mut(id)?.datagram_mut()?;
        if let Some(waiting) = datagram.waiting.take() {
            return Some(waiting);
        }
        match datagram.id {
            DatagramId::Udp(udp) => self.network.host.udp_recv(udp),
            DatagramId::Raw(raw) => self.network.host.raw_recv(raw),
            DatagramId::Fresh => None,
        }
    }
}

impl DatagramId {
    fn socket(self) -> Option<SocketId> {
        match self {
            Self::Fresh => None,
            Self::Udp(udp) => Some(SocketId::Udp(udp)),
            Self::Raw(raw) => Some(SocketId::Raw(raw)),
        }
    }
}

/// An outgoing datagram's socket-wide settings.
pub(crate) fn outgoing(options: &Options, to: Option<SocketAddr>, data: Bytes) -> Outgoing {
    Outgoing {
        to,
        data,
        segment_size: options.segment_size(),
        ..Outgoing::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metas_left_are_those_of_the_datagrams_left() {
        let pair = pair::make(false).unwrap();
        let mut charges = Charges::default();
        let mut datagram = Datagram::new(libc::IPPROTO_UDP as u8, false);
        let nowhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
        for len in [1, 1_400, 0, 9_000, 1, 65_000] {
            let payload = vec![7; len];
            let _ = send(&pair.ours, &payload, SendFlags::DONTWAIT).unwrap();
            datagram.in_pair.push_back(Meta {
                charge: charges.of(len),
                from: SocketAddr::new(nowhere.ip(), len as u16),
                to: nowhere,
                tos: 0,
                ttl: 0,
                error: None,
            });
        }
        let mut sink = vec![0; LONGEST];
        for (taken, next) in [
            (0, Some(1)),
            (1, Some(1_400)),
            (2, Some(9_000)),
            (1, Some(1)),
            (2, None),
        ] {
            for _ in 0..taken {
                let _ = recv(&pair.app, &mut sink[..], RecvFlags::DONTWAIT).unwrap();
            }
            datagram.resync(&pair.ours);
            assert_eq!(datagram.in_pair.front().map(|meta| meta.from.port()), next);
        }
    }
}
