//! UDP sockets of a host: between the application's calls, the port table, the lookup tables and IP. No rules of its own beyond order.

use super::{Host, InterfaceId};
use crate::counters::DropReason;
use crate::demux::{Entry, Member};
use crate::error::{BindError, ConnectError, SendError, SocketError};
use crate::inbox;
use crate::ip::{Datagram, Header, IcmpError, Path};
use crate::packet::{Csum, Gso, Packet};
use crate::socket::{BindOptions, ErrorReport, Outgoing, Received, SocketId, Stray, UdpId, UdpOptions, Unreachable};
use crate::time::Instant;
use crate::tuple::{FourTuple, Transport};
use crate::udp::{self, Socket};
use crate::wire::{self, protocol};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// Packets waiting on an interface beyond which a sender is told to wait.
const LINK_QUEUE: usize = 1_000;

/// A datagram on its way out, everything decided but the route.
pub(super) struct Departure {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) ttl: u8,
    pub(super) tos: u8,
    pub(super) dont_fragment: bool,
}

impl Host {
    /// Makes a UDP socket that holds `local`; port 0 gets one of `settings.ip_local_port_range`, the unspecified address stands for all of
    /// ours, and `[::]` also for IPv4 unless `only_v6`. Sharing follows `SO_REUSEADDR` and `SO_REUSEPORT` as on Linux.
    ///
    /// Addresses of IPv4 are IPv4 in all calls, on a dual-stack socket too: who needs them v4-mapped maps them.
    ///
    /// # Errors
    /// `AddressNotAvailable` for an address that is neither ours, nor multicast or broadcast, without `freebind`; `AddressInUse` and
    /// `PortsExhausted` as the names say. RFC 768, RFC 6335 §6.
    pub fn udp_bind(&mut self, local: SocketAddr, options: BindOptions) -> Result<UdpId, BindError> {
        let local = udp::canonical(local);
        let address = local.ip();
        let special = address.is_unspecified() || address.is_multicast() || self.ip.is_broadcast(address);
        if !(special || options.freebind || self.ip.is_local(address)) {
            return Err(BindError::AddressNotAvailable);
        }
        let range = options.port_range.unwrap_or(self.settings.ip_local_port_range);
        let (port, claim) = self.ports.claim_bind(Transport::Udp, local, options, range)?;
        let bound = SocketAddr::new(address, port);
        let (index, generation) = self.udp.sockets.insert(Socket::new(bound, options, claim));
        self.demux.insert_bind(Transport::Udp, bound, member(index, options));
        Ok(UdpId { index, generation })
    }

    /// Sets the remote: where datagrams without a destination go, and the only one that datagrams are accepted from. The local address
    /// becomes the one that packets to the remote carry. ICMP errors now reach the socket. `None` dissolves all that.
    ///
    /// Datagrams already queued stay, whoever sent them.
    ///
    /// # Errors
    /// `Unreachable` without a route, `FamilyMismatch` when the socket's family has no such address, `BroadcastNotAllowed` for a broadcast
    /// address without `SO_BROADCAST`. The socket is then as it was. RFC 1122 §4.1.3.3, §4.1.4.
    pub fn udp_connect(&mut self, id: UdpId, remote: Option<SocketAddr>) -> Result<(), ConnectError> {
        let Some(socket) = self.udp.get(id) else {
            return Err(ConnectError::InvalidRemote);
        };
        let bound = socket.bound;
        let ends = match remote {
            None => None,
            Some(remote) => {
                let remote = socket.connectable(remote)?;
                if !socket.options.broadcast && self.ip.is_broadcast(remote.ip()) {
                    return Err(ConnectError::BroadcastNotAllowed);
                }
                let source = Some(bound.ip()).filter(|address| !address.is_unspecified() && !address.is_multicast());
                let path = self.ip.route(remote.ip(), source).ok_or(ConnectError::Unreachable)?;
                Some((SocketAddr::new(source.unwrap_or(path.src), bound.port()), remote))
            }
        };
        self.udp_unhash(id);
        if let Some(socket) = self.udp.get_mut(id) {
            (socket.local, socket.remote) = ends.map_or((bound, None), |(local, remote)| (local, Some(remote)));
            match ends {
                Some((local, _)) => self.ports.settle(socket.claim, local.ip()),
                None => self.ports.unsettle(socket.claim),
            }
        }
        self.udp_hash(id);
        Ok(())
    }

    /// Sends a datagram, or with `segment_size` several of that size each. Bytes are not copied.
    ///
    /// # Errors
    /// First a pending error of the socket, which the call consumes (`Refused`, `HostUnreachable`, ...): nothing is sent then. Then what is
    /// wrong with this datagram; see [`SendError`]. `WouldBlock` while the link's queue is full; an event follows.
    pub fn udp_send(&mut self, now: Instant, id: UdpId, datagram: Outgoing) -> Result<(), SendError> {
        let Some(socket) = self.udp.get_mut(id) else {
            return Err(SendError::Invalid);
        };
        if let Some(error) = socket.inbox.take_error() {
            return Err(error.into());
        }
        let to = socket.destination(&datagram)?;
        let source = socket.source(&datagram);
        let options = &socket.options;
        let departure = Departure {
            from: SocketAddr::new(source.unwrap_or(to.ip()), socket.local.port()),
            to,
            ttl: datagram
                .ttl
                .or(options.ttl.filter(|_| !to.ip().is_multicast()))
                .unwrap_or(if to.ip().is_multicast() {
                    1 // RFC 1112 §6.1: multicast stays on the link unless asked.
                } else {
                    self.settings.ip_default_ttl
                }),
            tos: datagram.tos.unwrap_or(options.tos),
            dont_fragment: options.dont_fragment,
        };
        let (broadcast, freebind) = (options.broadcast, socket.sharing.freebind);
        if !broadcast && self.ip.is_broadcast(to.ip()) {
            return Err(SendError::BroadcastNotAllowed);
        }
        if let Some(address) = datagram.from.filter(|address| !address.is_unspecified())
            && !freebind
            && !self.ip.is_local(address.to_canonical())
        {
            return Err(SendError::AddressNotAvailable);
        }
        let path = self
            .udp_path(departure.from, to, source)
            .ok_or(SendError::Unreachable)?;
        if self.ip.queued(path.interface) >= LINK_QUEUE {
            if !self.udp.blocked.contains(&id) {
                self.udp.blocked.push(id);
            }
            return Err(SendError::WouldBlock);
        }
        let departure = Departure {
            from: SocketAddr::new(source.unwrap_or(path.src), departure.from.port()),
            ..departure
        };
        self.udp_transmit(now, &path, &departure, datagram)
    }

    /// The oldest received datagram; `None` when none waits.
    pub fn udp_recv(&mut self, id: UdpId) -> Option<Received> {
        self.udp.get_mut(id)?.inbox.pop()
    }

    /// The oldest received datagram, which stays for the next receive.
    pub fn udp_peek(&self, id: UdpId) -> Option<&Received> {
        self.udp.get(id)?.inbox.peek()
    }

    /// Datagrams and payload bytes waiting.
    pub fn udp_queued(&self, id: UdpId) -> (usize, usize) {
        self.udp.get(id).map_or((0, 0), |socket| socket.inbox.queued())
    }

    /// True when an error is pending, or waits in the error queue.
    pub fn udp_has_error(&self, id: UdpId) -> bool {
        self.udp.get(id).is_some_and(|socket| socket.inbox.has_error())
    }

    /// False from a send that would have blocked until the event that says there is room again.
    pub fn udp_writable(&self, id: UdpId) -> bool {
        !self.udp.blocked.contains(&id)
    }

    /// SO_ERROR: the pending error, which is then no longer pending.
    pub fn udp_take_error(&mut self, id: UdpId) -> Option<SocketError> {
        self.udp.get_mut(id)?.inbox.take_error()
    }

    /// The oldest entry of the error queue (`MSG_ERRQUEUE`), which is filled while `recverr` is set.
    pub fn udp_take_report(&mut self, id: UdpId) -> Option<ErrorReport> {
        self.udp.get_mut(id)?.inbox.take_report()
    }

    /// The local address and port: what was bound, or once connected the address that the remote sees.
    pub fn udp_local(&self, id: UdpId) -> Option<SocketAddr> {
        self.udp.get(id).map(|socket| socket.local)
    }

    /// The remote of a connected socket.
    pub fn udp_peer(&self, id: UdpId) -> Option<SocketAddr> {
        self.udp.get(id)?.remote
    }

    /// Replaces all options. A smaller receive queue keeps what it holds.
    pub fn udp_set_options(&mut self, id: UdpId, options: UdpOptions) {
        if let Some(socket) = self.udp.get_mut(id) {
            socket.options = options;
        }
    }

    /// Joins (`true`) or leaves a multicast group on one interface, or on all. As with Linux's default of `IP_MULTICAST_ALL`, datagrams for a
    /// group that anyone here joined reach every socket on the port, and what we send to it ourselves too (`IP_MULTICAST_LOOP`). RFC 1112 §6.
    pub fn udp_multicast(&mut self, id: UdpId, group: IpAddr, interface: Option<InterfaceId>, join: bool) {
        let entry = (group.to_canonical(), interface.map(|interface| interface.0));
        let Some(socket) = self.udp.get_mut(id) else {
            return;
        };
        match (join, socket.groups.iter().position(|joined| *joined == entry)) {
            (true, None) => socket.groups.push(entry),
            (false, Some(at)) => drop(socket.groups.swap_remove(at)),
            _ => return,
        }
        self.ip.set_group(entry.0, interface, join);
    }

    /// Datagrams that were dropped because the receive queue was full (`SO_MEMINFO`, `SK_MEMINFO_DROPS`).
    pub fn udp_drops(&self, id: UdpId) -> u64 {
        self.udp.get(id).map_or(0, |socket| socket.inbox.drops())
    }

    /// Closes the socket; what is queued is gone, and `id` names nothing afterwards.
    pub fn udp_close(&mut self, id: UdpId) {
        self.udp_unhash(id);
        if let Some(socket) = self.udp.sockets.remove(id.index, id.generation) {
            for (group, interface) in socket.groups {
                self.ip.set_group(group, interface.map(InterfaceId), false);
            }
            self.ports.release(socket.claim);
        }
    }

    /// Puts a socket into the lookup table that its connection calls for.
    fn udp_hash(&mut self, id: UdpId) {
        let Some(socket) = self.udp.get(id) else {
            return;
        };
        let entry = Entry::Udp(id.index);
        match socket.remote {
            Some(remote) => {
                let hash = self.demux.hash(Transport::Udp, &FourTuple::new(socket.local, remote));
                self.demux.insert_flow(hash, entry);
            }
            None => self
                .demux
                .insert_bind(Transport::Udp, socket.local, member(id.index, socket.sharing)),
        }
    }

    fn udp_unhash(&mut self, id: UdpId) {
        let Some(socket) = self.udp.get(id) else {
            return;
        };
        let entry = Entry::Udp(id.index);
        let found = match socket.remote {
            Some(remote) => {
                let hash = self.demux.hash(Transport::Udp, &FourTuple::new(socket.local, remote));
                self.demux.remove_flow(hash, entry)
            }
            None => self.demux.remove_bind(Transport::Udp, socket.local, entry),
        };
        debug_assert!(found, "UDP socket {id:?} was in no table");
    }

    /// The socket for datagrams from `remote` to `local`: the one connected so, else who waits on the port.
    pub(super) fn udp_find(&self, local: SocketAddr, remote: SocketAddr) -> Option<UdpId> {
        let hash = self.demux.hash(Transport::Udp, &FourTuple::new(local, remote));
        let connected = |entry| matches!(entry, Entry::Udp(index) if self.udp.is_flow(index, local, remote));
        let found = self.demux.find_flow(hash, connected);
        match found.or_else(|| self.demux.find_bind(Transport::Udp, local, hash))? {
            Entry::Udp(index) => self.udp.id(index),
            _ => None,
        }
    }

    /// The way out. A loopback destination that nobody here waits on leaves by the fallback interface, if there is one, and so do answers from
    /// a loopback address to another host: they go back the way the question came.
    pub(super) fn udp_path(&self, from: SocketAddr, to: SocketAddr, source: Option<IpAddr>) -> Option<Path> {
        let away = match (to.ip().is_loopback(), source) {
            (true, _) => self.udp_find(to, from).is_none(),
            (false, Some(source)) => source.is_loopback(),
            (false, None) => false,
        };
        self.route(to.ip(), source, away && self.fallback.is_some())
    }

    /// Builds the packet and hands it to IP.
    pub(super) fn udp_transmit(
        &mut self,
        now: Instant,
        path: &Path,
        departure: &Departure,
        datagram: Outgoing,
    ) -> Result<(), SendError> {
        let &Departure { from, to, .. } = departure;
        let mtu = path.mtu as usize;
        let segment = udp::check_length(&datagram, to.ip(), mtu, departure.dont_fragment)?;
        let len = datagram.data.len();
        self.counters.udp_out_datagrams += segment.map_or(1, |size| len.div_ceil(usize::from(size)) as u64);
        if to.ip().is_multicast() && self.udp.is_member(to.ip(), path.interface.0) {
            self.udp_loop_back(path.interface, departure, segment, &datagram.data);
        }
        let mut packet = Packet::with_payload(datagram.data);
        wire::udp::build(&mut packet.head, from.port(), to.port(), len);
        packet.meta.csum = Csum::Partial;
        packet.meta.gso = segment.map_or(Gso::None, |size| Gso::Udp { size });
        let fits = segment.is_some() || udp::ip_header_len(to.ip()) + wire::udp::HEADER_LEN + len <= mtu;
        let header = Header {
            src: from.ip(),
            dst: to.ip(),
            protocol: protocol::UDP,
            ttl: departure.ttl,
            tos: departure.tos,
            // What fits is sent whole or not at all, so that the path's MTU is learnt (Linux's IP_PMTUDISC_WANT).
            dont_fragment: departure.dont_fragment || fits,
        };
        self.ip.output(now, path, &header, packet, &mut self.counters);
        Ok(())
    }

    /// Our own copy of what we send to a group that we are in. RFC 1112 §6.1.
    fn udp_loop_back(&mut self, interface: InterfaceId, departure: &Departure, segment: Option<u16>, data: &Bytes) {
        let arrival = Received {
            from: departure.from,
            to: departure.to,
            data: Bytes::new(),
            tos: departure.tos,
            ttl: departure.ttl,
            interface: interface.0,
        };
        for data in pieces(data, segment) {
            let _ = self.udp_spread(
                Received {
                    data,
                    ..arrival.clone()
                },
                true,
            );
        }
    }

    /// A UDP datagram (or a super-datagram) arrived for one of our addresses.
    ///
    /// # Errors
    /// Why it went no further; whoever sent it was told if it is to be told.
    pub(super) fn udp_input(&mut self, now: Instant, datagram: &Datagram) -> Result<(), DropReason> {
        let (src, dst) = (datagram.src, datagram.dst);
        let (header, payload) = udp::parse(&datagram.packet, usize::from(datagram.packet.meta.l4), src, dst)?;
        let segment = match datagram.packet.meta.gso {
            Gso::Udp { size } => Some(size),
            _ => None,
        };
        let (local, remote) = (
            SocketAddr::new(dst, header.destination),
            SocketAddr::new(src, header.source),
        );
        let arrival = Received {
            from: remote,
            to: local,
            data: Bytes::new(),
            tos: datagram.tos,
            ttl: datagram.ttl,
            interface: datagram.interface.0,
        };
        let pieces = pieces(&payload, segment).map(|data| Received {
            data,
            ..arrival.clone()
        });
        let mut result = Ok(());
        let many = local.ip().is_multicast() || self.ip.is_broadcast(local.ip());
        let socket = self.udp_find(local, remote);
        if !many && socket.is_none() {
            self.counters.udp_no_ports += 1;
            if !self.any_address {
                self.ip
                    .unreachable(now, datagram, Unreachable::Port, &mut self.counters);
            }
        }
        for received in pieces {
            let one = match socket {
                Some(id) if !many => self.udp_deliver(id, received),
                _ => self.udp_spread(received, many),
            };
            result = result.and(one);
        }
        result
    }

    /// One datagram for one socket.
    fn udp_deliver(&mut self, id: UdpId, received: Received) -> Result<(), DropReason> {
        let Some(socket) = self.udp.get_mut(id) else {
            return Err(DropReason::NoSocket);
        };
        let limit = inbox::limit(socket.options.recv_buffer, &self.settings);
        if !socket.inbox.push(received, limit) {
            return Err(DropReason::ReceiveQueueFull);
        }
        self.counters.udp_in_datagrams += 1;
        self.events.push(SocketId::Udp(id));
        Ok(())
    }

    /// One datagram for all sockets that it is for: multicast and broadcast, of which nobody is told when there is none (RFC 1122 §3.2.2). What
    /// no socket takes is the owner's, in any-address mode.
    fn udp_spread(&mut self, received: Received, many: bool) -> Result<(), DropReason> {
        let mut result = Err(DropReason::NoSocket);
        let takers = if many {
            self.udp.listeners(received.to, received.from)
        } else {
            Vec::new()
        };
        for index in takers {
            let one = self.udp.id(index).map(|id| self.udp_deliver(id, received.clone()));
            // One copy that arrived makes it a datagram that arrived.
            result = if result.is_ok() { result } else { one.unwrap_or(result) };
        }
        if result != Err(DropReason::NoSocket) || !self.any_address {
            return result;
        }
        let Received {
            from: remote,
            to: local,
            data,
            ttl,
            tos,
            ..
        } = received;
        self.strays.push(Stray::Datagram {
            local,
            remote,
            data,
            ttl,
            tos,
        })
    }

    /// An ICMP error about a UDP datagram that we sent. RFC 1122 §4.1.3.3.
    ///
    /// # Errors
    /// `StrayIcmp` when no socket can have sent it.
    pub(super) fn udp_icmp_error(&mut self, error: &IcmpError) -> Result<(), DropReason> {
        let ports: &[u8; 4] = error.quoted.first_chunk().ok_or(DropReason::Truncated)?;
        let local = SocketAddr::new(error.local, u16::from_be_bytes([ports[0], ports[1]]));
        let remote = SocketAddr::new(error.remote, u16::from_be_bytes([ports[2], ports[3]]));
        let id = self.udp_find(local, remote).ok_or(DropReason::StrayIcmp)?;
        let socket = self.udp.get_mut(id).ok_or(DropReason::StrayIcmp)?;
        let payload = error.quoted.slice(wire::udp::HEADER_LEN.min(error.quoted.len())..);
        let (connected, recverr) = (socket.remote.is_some(), socket.options.recverr);
        if socket
            .inbox
            .on_icmp(error.kind, connected, recverr, || report(error, remote, payload))
        {
            self.events.push(SocketId::Udp(id));
        }
        Ok(())
    }

    /// Links took packets: whoever was told to wait may try again.
    pub(super) fn udp_unblock(&mut self) {
        if !self.udp.blocked.is_empty() {
            for id in std::mem::take(&mut self.udp.blocked) {
                self.events.push(SocketId::Udp(id));
            }
        }
    }
}

fn member(index: u32, options: BindOptions) -> Member {
    Member {
        entry: Entry::Udp(index),
        reuse_port: options.reuse_port,
        only_v6: options.only_v6,
    }
}

/// The datagrams that a super-datagram stands for; an ordinary one is itself, empty or not.
fn pieces(payload: &Bytes, size: Option<u16>) -> impl Iterator<Item = Bytes> + use<> {
    let size = size.map_or(payload.len(), usize::from).max(1);
    let payload = payload.clone();
    (0..payload.len().div_ceil(size).max(1)).map(move |n| payload.slice(n * size..((n + 1) * size).min(payload.len())))
}

/// An error queue's entry about what we sent to `to`.
pub(super) fn report(error: &IcmpError, to: SocketAddr, data: Bytes) -> ErrorReport {
    ErrorReport {
        error: inbox::socket_error(error.kind),
        to,
        from: error.from,
        icmp_type: error.icmp_type,
        icmp_code: error.icmp_code,
        info: match error.kind {
            Unreachable::TooBig(mtu) => mtu,
            _ => 0,
        },
        data,
    }
}

#[cfg(test)]
mod tests;
