//! Raw and ping sockets of a host: between the application's calls, `raw` and IP. No rules of its own beyond order.

use super::Host;
use super::udp::report;
use crate::error::{BindError, ConnectError, SendError, SocketError};
use crate::inbox;
use crate::ip::{Datagram, Header, IcmpError};
use crate::packet::{Csum, Head, Packet};
use crate::raw::Kind;
use crate::socket::{ErrorReport, Outgoing, RawId, Received, SocketId, UdpOptions, Unreachable};
use crate::time::Instant;
use crate::udp;
use crate::wire::icmp::{self, Family, Message};
use crate::wire::{ipv4, ipv6, protocol};
use bytes::{Bytes, BytesMut};
use std::net::{IpAddr, SocketAddr};

/// Bytes of what a raw socket sends that travel in the packet's head, where a transport header is looked for.
const HEAD: usize = 60;
/// Longest packet, header included. RFC 791 §3.1.
const LONGEST: usize = 65_535;

impl Host {
    /// A ping socket: sends ICMP echo requests and receives the replies to its identifier, which is `local`'s port; port 0 picks one.
    /// What it sends and receives are whole ICMP messages; identifier and checksum are filled in on the way out.
    ///
    /// # Errors
    /// `AddressNotAvailable` for an address that is not ours, `AddressInUse` for an identifier that another socket has. icmp(7).
    pub fn ping_open(&mut self, local: SocketAddr) -> Result<RawId, BindError> {
        let address = local.ip().to_canonical();
        if !address.is_unspecified() && !self.ip.is_local(address) {
            return Err(BindError::AddressNotAvailable);
        }
        self.raw.open_ping(address, local.port())
    }

    /// A raw socket for one IP protocol, for packets to `local` or (unspecified) to any of our addresses of its family. It receives whole
    /// IPv4 packets, header included, and IPv6 packets without; it sends without in both. raw(7), RFC 3542 §3.
    pub fn raw_open(&mut self, local: IpAddr, protocol: u8) -> RawId {
        self.raw.open(local.to_canonical(), protocol)
    }

    /// Sets or clears the default destination, which is then the only remote it receives from.
    ///
    /// # Errors
    /// `FamilyMismatch` for an address of the other family, `Unreachable` without a route.
    pub fn raw_connect(&mut self, id: RawId, remote: Option<IpAddr>) -> Result<(), ConnectError> {
        let Some(socket) = self.raw.get_mut(id) else {
            return Err(ConnectError::InvalidRemote);
        };
        let remote = remote
            .map(|remote| socket.connectable(remote.to_canonical()))
            .transpose()?;
        if let Some(remote) = remote {
            let source = Some(socket.local).filter(|address| !address.is_unspecified());
            let _ = self.ip.route(remote, source).ok_or(ConnectError::Unreachable)?;
        }
        socket.remote = remote;
        Ok(())
    }

    /// Sends one message; ports of its destination mean nothing. ICMPv6 gets its checksum here (RFC 3542 §3.1), other protocols bring theirs.
    ///
    /// # Errors
    /// First a pending error of the socket, which the call consumes. `Invalid` for what is no echo request, on a ping socket.
    pub fn raw_send(&mut self, now: Instant, id: RawId, datagram: Outgoing) -> Result<(), SendError> {
        let Some(socket) = self.raw.get_mut(id) else {
            return Err(SendError::Invalid);
        };
        if let Some(error) = socket.inbox.take_error() {
            return Err(error.into());
        }
        let asked = datagram.to.map(|to| to.ip().to_canonical());
        let to = asked.or(socket.remote).ok_or(SendError::NoDestination)?;
        let to = udp::self_for_unspecified(SocketAddr::new(to, 0)).ip();
        let to = socket.connectable(to).map_err(|_| SendError::FamilyMismatch)?;
        let source = datagram.from.map(|from| from.to_canonical()).or(Some(socket.local));
        let source = source.filter(|address| !address.is_unspecified());
        let options = socket.options.clone();
        let (kind, protocol) = (socket.kind, socket.protocol());
        if !options.broadcast && self.ip.is_broadcast(to) {
            return Err(SendError::BroadcastNotAllowed);
        }
        if source.is_some_and(|address| !self.ip.is_local(address)) {
            return Err(SendError::AddressNotAvailable);
        }
        let path = self.ip.route(to, source).ok_or(SendError::Unreachable)?;
        let src = source.unwrap_or(path.src);
        let len = datagram.data.len();
        let total = udp::ip_header_len(to) + len;
        if total > LONGEST || options.dont_fragment && total > path.mtu as usize {
            return Err(SendError::MessageTooLong);
        }
        let header = Header {
            src,
            dst: to,
            protocol,
            ttl: datagram.ttl.or(options.ttl).unwrap_or(if to.is_multicast() {
                1
            } else {
                self.settings.ip_default_ttl
            }),
            tos: datagram.tos.unwrap_or(options.tos),
            dont_fragment: options.dont_fragment || total <= path.mtu as usize,
        };
        let packet = message(kind, protocol, datagram.data, to.is_ipv6()).ok_or(SendError::Invalid)?;
        self.ip.output(now, &path, &header, packet, &mut self.counters);
        Ok(())
    }

    /// The oldest received packet; `None` when none waits. Ports of its addresses are 0.
    pub fn raw_recv(&mut self, id: RawId) -> Option<Received> {
        self.raw.get_mut(id)?.inbox.pop()
    }

    /// Packets and bytes waiting.
    pub fn raw_queued(&self, id: RawId) -> (usize, usize) {
        self.raw.get(id).map_or((0, 0), |socket| socket.inbox.queued())
    }

    /// True when an error is pending, or waits in the error queue.
    pub fn raw_has_error(&self, id: RawId) -> bool {
        self.raw.get(id).is_some_and(|socket| socket.inbox.has_error())
    }

    /// SO_ERROR: the pending error, which is then no longer pending.
    pub fn raw_take_error(&mut self, id: RawId) -> Option<SocketError> {
        self.raw.get_mut(id)?.inbox.take_error()
    }

    /// The oldest entry of the error queue (`MSG_ERRQUEUE`), which is filled while `recverr` is set.
    pub fn raw_take_report(&mut self, id: RawId) -> Option<ErrorReport> {
        self.raw.get_mut(id)?.inbox.take_report()
    }

    /// The local address; a ping socket's identifier as the port.
    pub fn raw_local(&self, id: RawId) -> Option<SocketAddr> {
        self.raw.get(id).map(|socket| {
            let port = match socket.kind {
                Kind::Ping { ident } => ident,
                Kind::Raw { .. } => 0,
            };
            SocketAddr::new(socket.local, port)
        })
    }

    /// Replaces all options.
    pub fn raw_set_options(&mut self, id: RawId, options: UdpOptions) {
        if let Some(socket) = self.raw.get_mut(id) {
            socket.options = options;
        }
    }

    /// Closes the socket; what is queued is gone, and `id` names nothing afterwards.
    pub fn raw_close(&mut self, id: RawId) {
        self.raw.close(id);
    }

    /// A packet arrived for one of our addresses: copies for raw sockets, and an echo reply for the ping socket that asked. True when somebody
    /// took it.
    pub(super) fn raw_input(&mut self, datagram: &Datagram) -> bool {
        let Datagram { src, dst, protocol, .. } = *datagram;
        let takers = self.raw.receivers(protocol, src, dst);
        let mut taken = !takers.is_empty();
        if taken {
            let from = if dst.is_ipv4() {
                datagram.packet.meta.l3
            } else {
                datagram.packet.meta.l4
            };
            let data = whole_bytes(&datagram.packet, from);
            for index in takers {
                self.raw_deliver(index, datagram, data.clone());
            }
        }
        if let Some(Message::EchoReply { ident, .. }) = echo(datagram)
            && let Some(index) = self.raw.asker(ident, src, dst)
        {
            let data = whole_bytes(&datagram.packet, datagram.packet.meta.l4);
            self.raw_deliver(index, datagram, data);
            taken = true;
        }
        taken
    }

    fn raw_deliver(&mut self, index: u32, datagram: &Datagram, data: Bytes) {
        let received = Received {
            from: SocketAddr::new(datagram.src, 0),
            to: SocketAddr::new(datagram.dst, 0),
            data,
            tos: datagram.tos,
            ttl: datagram.ttl,
            interface: datagram.interface.0,
        };
        self.raw_queue(index, received);
    }

    fn raw_queue(&mut self, index: u32, received: Received) {
        let (Some(id), Some(socket)) = (self.raw.id(index), self.raw.sockets.at_mut(index)) else {
            return;
        };
        let limit = inbox::limit(socket.options.recv_buffer, &self.settings);
        if socket.inbox.push(received, limit) {
            self.events.push(SocketId::Raw(id));
        }
    }

    /// An ICMP error about a packet that we sent: to the ping socket that sent it, to raw sockets of its protocol, and as a message of its own
    /// to raw sockets for ICMP.
    pub(super) fn raw_icmp_error(&mut self, error: &IcmpError) {
        let icmp = if error.local.is_ipv6() {
            protocol::ICMPV6
        } else {
            protocol::ICMP
        };
        let mut senders = self.raw.receivers(error.protocol, error.remote, error.local);
        if error.protocol == icmp
            && let Ok(Message::EchoRequest { ident, .. }) = icmp::parse(family(error.local), &error.quoted)
        {
            senders.extend(self.raw.asker(ident, error.remote, error.local));
        }
        for index in senders {
            let (Some(id), Some(socket)) = (self.raw.id(index), self.raw.sockets.at_mut(index)) else {
                continue;
            };
            let to = SocketAddr::new(error.remote, 0);
            let (connected, recverr) = (socket.remote.is_some(), socket.options.recverr);
            if socket.inbox.on_icmp(error.kind, connected, recverr, || {
                report(error, to, error.quoted.clone())
            }) {
                self.events.push(SocketId::Raw(id));
            }
        }
        for index in self.raw.receivers(icmp, error.from, error.local) {
            let received = Received {
                from: SocketAddr::new(error.from, 0),
                to: SocketAddr::new(error.local, 0),
                data: message_again(error, self.settings.ip_default_ttl),
                tos: 0,
                ttl: self.settings.ip_default_ttl,
                interface: 0,
            };
            self.raw_queue(index, received);
        }
    }
}

/// The ICMP of an address's family.
pub(super) fn family(address: IpAddr) -> Family {
    if address.is_ipv6() { Family::V6 } else { Family::V4 }
}

/// What an ICMP datagram says; `None` for other protocols.
pub(super) fn echo(datagram: &Datagram) -> Option<Message> {
    let family = family(datagram.dst);
    let right = match family {
        Family::V4 => protocol::ICMP,
        Family::V6 => protocol::ICMPV6,
    };
    let message = datagram
        .packet
        .head
        .as_slice()
        .get(usize::from(datagram.packet.meta.l4)..)?;
    (datagram.protocol == right).then(|| icmp::parse(family, message).ok())?
}

/// The packet from `start` on, as the wire would have it: a socket for raw packets wants to see checksums.
fn whole_bytes(packet: &Packet, start: u8) -> Bytes {
    if packet.meta.csum == Csum::Partial {
        let mut finished = packet.clone();
        crate::gso::finish(&mut finished);
        return finished.bytes_from(usize::from(start));
    }
    packet.bytes_from(usize::from(start))
}

/// The packet for what an application sends; `None` when a ping socket sends something else than an echo request.
fn message(kind: Kind, protocol: u8, mut data: Bytes, v6: bool) -> Option<Packet> {
    let mut packet = match kind {
        Kind::Ping { ident } => {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let Ok(Message::EchoRequest { sequence, .. }) = icmp::parse(family, &data) else {
                return None;
            };
            let mut packet = Packet::with_payload(data.split_off(icmp::HEADER_LEN));
            icmp::build(&mut packet.head, family, Message::EchoRequest { ident, sequence });
            packet.meta.csum = Csum::Partial;
            packet
        }
        Kind::Raw { .. } => {
            let start = data.split_to(HEAD.min(data.len()));
            let mut packet = Packet::with_payload(data);
            packet.head.prepend(start.len()).copy_from_slice(&start);
            packet
        }
    };
    if protocol == protocol::ICMPV6 && v6 {
        packet.head.as_mut_slice().get_mut(2..4)?.fill(0);
        packet.meta.csum = Csum::Partial;
    }
    Some(packet)
}

/// The ICMP message that `error` was read from, written again, with its own IP header over IPv4: programs that trace routes read the header
/// that it quotes.
fn message_again(error: &IcmpError, ttl: u8) -> Bytes {
    let word = match error.kind {
        Unreachable::TooBig(mtu) => mtu,
        _ => 0,
    };
    let mut icmp = [error.icmp_type, error.icmp_code, 0, 0, 0, 0, 0, 0];
    icmp[4..].copy_from_slice(&word.to_be_bytes());
    let mut quoted = Head::for_output();
    build_ip(
        &mut quoted,
        error.local,
        error.remote,
        error.protocol,
        1,
        error.quoted.len(),
    );
    let len = icmp.len() + quoted.len() + error.quoted.len();
    let mut outer = Head::for_output();
    if error.local.is_ipv4() {
        build_ip(&mut outer, error.from, error.local, protocol::ICMP, ttl, len);
    }
    let mut bytes = BytesMut::with_capacity(outer.len() + len);
    for part in [outer.as_slice(), &icmp, quoted.as_slice(), &error.quoted] {
        bytes.extend_from_slice(part);
    }
    bytes.freeze()
}

/// Prepends a plain IP header for `len` bytes more than `head` has.
fn build_ip(head: &mut Head, src: IpAddr, dst: IpAddr, protocol: u8, ttl: u8, len: usize) {
    let len = head.len() + len;
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = ipv4::Header {
                header_len: ipv4::HEADER_LEN as u8,
                tos: 0,
                total_len: u16::try_from(ipv4::HEADER_LEN + len).unwrap_or(u16::MAX),
                id: 0,
                dont_fragment: true,
                more_fragments: false,
                offset: 0,
                ttl,
                protocol,
                src,
                dst,
            };
            ipv4::build(head, &header);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = ipv6::Header {
                traffic_class: 0,
                flow_label: 0,
                payload_len: u16::try_from(len).unwrap_or(u16::MAX),
                next_header: protocol,
                hop_limit: ttl,
                src,
                dst,
            };
            ipv6::build(head, &header);
        }
        _ => debug_assert!(false, "{src} and {dst} are of different families"),
    }
}

#[cfg(test)]
mod tests;
