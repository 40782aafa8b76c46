//! Ethernet links: frames in and out, and the conversations between neighbours that they need: ARP (RFC 826, RFC 5227 §2.4) and neighbor
//! discovery (RFC 4861 §7.2). What the answers mean is `neighbor`'s to decide; bare IP links need none of this.

use super::neighbor::{Advert, Neighbor, Solicit, Unparked};
use super::{Datagram, Delivery, Header, IcmpError, Ip, Path, address, shape};
use crate::counters::{Counters, DropReason};
use crate::host::{InterfaceId, Medium};
use crate::packet::{Csum, Gso, Packet};
use crate::socket::Unreachable;
use crate::time::Instant;
use crate::wire::ethernet::{self, Mac};
use crate::wire::layout::Layout;
use crate::wire::ndp::{self, NeighborAdvertisement};
use crate::wire::{arp, ipv4, ipv6, protocol};
use bytes::BytesMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest neighbor discovery message looked at.
const LONGEST_NDP: usize = 1_280;

impl Ip {
    /// Takes the link header off a frame. `None` when the frame was between neighbours and is dealt with.
    pub(super) fn input_frame(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        us: Mac,
        mut packet: Packet,
        counters: &mut Counters,
    ) -> Result<Option<Packet>, DropReason> {
        if !shape::pull(&mut packet, ethernet::HEADER_LEN) {
            return Err(DropReason::Truncated);
        }
        let frame = ethernet::parse(packet.head.as_slice())?;
        if ethernet::is_group(frame.src) {
            return Err(DropReason::Martian);
        }
        if frame.dst != us && !ethernet::is_group(frame.dst) {
            return Err(DropReason::NotForUs);
        }
        packet.head.strip(ethernet::HEADER_LEN);
        match frame.ethertype {
            ethernet::ARP => {
                let mut bytes = [0; arp::LEN];
                let len = shape::peek(&packet, &mut bytes);
                let message = arp::parse(&bytes[..len])?;
                self.on_arp(now, interface, us, &message, counters)?;
                Ok(None)
            }
            ethernet::IPV4 | ethernet::IPV6 => {
                let bad_version = frame.ethertype == ethernet::IPV4;
                let mut start = [0; ipv6::HEADER_LEN];
                let len = shape::peek(&packet, &mut start);
                let dst = destination(&start[..len]).ok_or(DropReason::Malformed)?;
                if dst.is_ipv4() != bad_version {
                    return Err(DropReason::Malformed);
                }
                // RFC 1122 §3.3.6: what was sent to all on the link must be meant for many.
                let wide = address::is_link_wide(dst) || self.is_broadcast(dst);
                if ethernet::is_group(frame.dst) && !wide {
                    Err(DropReason::NotForUs)
                } else {
                    Ok(Some(packet))
                }
            }
            _ => Err(DropReason::UnknownProtocol),
        }
    }

    /// Sends an IP packet in a frame, once it is known to whom.
    pub(super) fn output_frame(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        next_hop: IpAddr,
        packet: Packet,
        counters: &mut Counters,
    ) {
        let to = if self.is_broadcast(next_hop) {
            Some(ethernet::BROADCAST)
        } else if next_hop.is_multicast() {
            Some(ethernet::multicast(next_hop))
        } else {
            self.neighbors.lookup(
                now,
                Neighbor {
                    interface,
                    address: next_hop,
                },
            )
        };
        match to {
            Some(to) => self.send_frame(interface, to, packet, counters),
            None => {
                if self
                    .neighbors
                    .park(
                        now,
                        Neighbor {
                            interface,
                            address: next_hop,
                        },
                        packet,
                    )
                    .is_some()
                {
                    counters.drop(DropReason::NoNeighbor);
                }
                self.settle_neighbors(now, counters);
            }
        }
    }

    /// Sends the questions that are due, and reports the packets whose neighbour was asked in vain. RFC 4861 §7.2.2, RFC 1122 §3.2.2.1.
    pub(super) fn settle_neighbors(&mut self, now: Instant, counters: &mut Counters) {
        self.send_solicits(now, counters);
        while let Some((neighbor, packet)) = self.neighbors.poll_failed() {
            self.redirects.forget_via(neighbor.interface, neighbor.address);
            counters.drop(DropReason::NoNeighbor);
            self.errors.extend(host_unreachable(&packet));
        }
    }

    /// A neighbor discovery message. RFC 4861 §7.2.3 to §7.2.5. What routers tell is not used but for their link-layer address.
    pub(super) fn on_ndp(
        &mut self,
        now: Instant,
        datagram: &Datagram,
        counters: &mut Counters,
    ) -> Result<Delivery, DropReason> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (datagram.src, datagram.dst) else {
            return Ok(Delivery::Consumed);
        };
        let interface = datagram.interface;
        let Some(us) = self.mac(interface) else {
            return Ok(Delivery::Consumed);
        };
        let message = message(datagram)?;
        let neighbor = |address: Ipv6Addr| Neighbor {
            interface,
            address: address.into(),
        };
        let freed = match ndp::parse(src, dst, datagram.ttl, &message)? {
            ndp::Message::NeighborSolicitation { target, source } => {
                if !self.interface(interface).is_some_and(|link| link.has(target.into())) {
                    return Ok(Delivery::Consumed);
                }
                let freed = source.map(|mac| self.neighbors.on_mention(now, neighbor(src), mac, true));
                self.advertise(now, interface, us, target, src, counters);
                (src, freed)
            }
            ndp::Message::NeighborAdvertisement(NeighborAdvertisement { target, .. })
                if self.is_local(target.into()) =>
            {
                // RFC 4862 §5.4.4: somebody else claims our address. We hold on to it.
                return Err(DropReason::Martian);
            }
            ndp::Message::NeighborAdvertisement(NeighborAdvertisement {
                target,
                mac,
                solicited,
                overrides,
                ..
            }) => {
                let advert = Advert {
                    mac,
                    solicited,
                    overrides,
                };
                (target, Some(self.neighbors.on_advert(now, neighbor(target), advert)))
            }
            ndp::Message::RouterAdvertisement(advert) => (
                src,
                advert
                    .source
                    .map(|mac| self.neighbors.on_mention(now, neighbor(src), mac, true)),
            ),
            ndp::Message::Redirect {
                target,
                destination,
                mac,
            } => {
                self.on_redirect(now, datagram, destination.into(), target.into())?;
                (
                    target,
                    mac.map(|mac| self.neighbors.on_mention(now, neighbor(target), mac, true)),
                )
            }
            // RFC 4861 §6.2.6: for routers.
            ndp::Message::RouterSolicitation { .. } => return Ok(Delivery::Consumed),
        };
        if let (address, Some(freed)) = freed {
            self.release(now, neighbor(address), freed, counters);
        }
        Ok(Delivery::Consumed)
    }

    /// RFC 826, with the care of RFC 5227 §2.4 about our own addresses.
    fn on_arp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        us: Mac,
        message: &arp::Message,
        counters: &mut Counters,
    ) -> Result<(), DropReason> {
        let link = self.interface(interface).ok_or(DropReason::NotForUs)?;
        let sender = IpAddr::V4(message.sender);
        if message.sender_mac == us {
            return Ok(()); // Our own, come back.
        }
        if link.has(sender) || address::is_bad_source(sender) && !message.sender.is_unspecified() {
            return Err(DropReason::Martian);
        }
        let for_us = link.has(message.target.into());
        if !message.sender.is_unspecified() {
            let neighbor = Neighbor {
                interface,
                address: sender,
            };
            let answers = message.operation == arp::Operation::Reply && message.target_mac == us;
            let freed = if answers {
                let advert = Advert {
                    mac: Some(message.sender_mac),
                    solicited: true,
                    overrides: true,
                };
                self.neighbors.on_advert(now, neighbor, advert)
            } else {
                self.neighbors.on_mention(now, neighbor, message.sender_mac, for_us)
            };
            self.release(now, neighbor, freed, counters);
        }
        if for_us && message.operation == arp::Operation::Request {
            let reply = arp::Message {
                operation: arp::Operation::Reply,
                sender_mac: us,
                sender: message.target,
                target_mac: message.sender_mac,
                target: message.sender,
            };
            self.send_arp(interface, us, message.sender_mac, &reply, counters);
        }
        Ok(())
    }

    /// What waited for a neighbour goes out, in the order it came.
    fn release(&mut self, now: Instant, neighbor: Neighbor, freed: Unparked, counters: &mut Counters) {
        let Neighbor { interface, address } = neighbor;
        for packet in freed {
            match self.unfragmented(&packet, neighbor) {
                Some((path, header)) => self.output_long(now, &path, &header, packet, counters),
                None => self.output_frame(now, interface, address, packet, counters),
            }
        }
    }

    /// True unless packets by this path would have to wait for a neighbour.
    pub(super) fn is_resolved(&self, path: &Path) -> bool {
        let (interface, address) = (path.interface, path.next_hop);
        self.mac(interface).is_none()
            || address::is_link_wide(address)
            || self.is_broadcast(address)
            || self.neighbors.knows(Neighbor { interface, address })
    }

    /// Path and header of a packet that waited for its neighbour before it was fragmented.
    fn unfragmented(&self, packet: &Packet, neighbor: Neighbor) -> Option<(Path, Header)> {
        let Neighbor { interface, address } = neighbor;
        let layout = Layout::find(packet.head.as_slice(), 0).filter(|_| packet.meta.gso == Gso::None)?;
        let (src, dst) = layout.addresses(packet.head.as_slice());
        let mtu = self.interface(interface)?.mtu;
        let mtu = self.path_mtu(dst).map_or(mtu, |path| path.min(mtu));
        let path = Path {
            interface,
            next_hop: address,
            src,
            mtu,
            proven: mtu,
            ceiling: mtu,
        };
        let header = Header {
            src,
            dst,
            protocol: layout.protocol,
            ttl: 0,
            tos: 0,
            dont_fragment: false,
        };
        (packet.total_len() > mtu as usize).then_some((path, header))
    }

    fn send_solicits(&mut self, now: Instant, counters: &mut Counters) {
        while let Some(Solicit { neighbor, to }) = self.neighbors.poll_solicit() {
            let Some(us) = self.mac(neighbor.interface) else {
                continue;
            };
            let source = self.source_address(neighbor.address, neighbor.interface);
            match (neighbor.address, source) {
                (IpAddr::V4(target), Some(IpAddr::V4(sender))) => {
                    let question = arp::Message {
                        operation: arp::Operation::Request,
                        sender_mac: us,
                        sender,
                        target_mac: [0; 6],
                        target,
                    };
                    let to = to.unwrap_or(ethernet::BROADCAST);
                    self.send_arp(neighbor.interface, us, to, &question, counters);
                }
                (IpAddr::V6(target), Some(IpAddr::V6(source))) => {
                    let mut packet = Packet::default();
                    ndp::build_solicitation(&mut packet.head, target, Some(us));
                    let dst = if to.is_some() {
                        target
                    } else {
                        ndp::solicited_node(target)
                    };
                    let mac = to.unwrap_or_else(|| ethernet::multicast(dst.into()));
                    self.send_ndp(now, neighbor.interface, mac, source, dst, packet, counters);
                }
                _ => {}
            }
        }
    }

    /// Answers a question for `target`. RFC 4861 §7.2.4.
    fn advertise(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        us: Mac,
        target: Ipv6Addr,
        asker: Ipv6Addr,
        counters: &mut Counters,
    ) {
        let anonymous = asker.is_unspecified();
        let advert = NeighborAdvertisement {
            target,
            mac: Some(us),
            router: false,
            solicited: !anonymous,
            overrides: true,
        };
        let mut packet = Packet::default();
        ndp::build_advertisement(&mut packet.head, &advert);
        let dst = if anonymous {
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)
        } else {
            asker
        };
        self.prepend_ndp(now, target, dst, &mut packet, counters);
        self.output_frame(now, interface, dst.into(), packet, counters);
    }

    #[expect(clippy::too_many_arguments, reason = "a message has that many properties")]
    fn send_ndp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        mac: Mac,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        mut packet: Packet,
        counters: &mut Counters,
    ) {
        self.prepend_ndp(now, src, dst, &mut packet, counters);
        self.send_frame(interface, mac, packet, counters);
    }

    fn prepend_ndp(
        &mut self,
        now: Instant,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        packet: &mut Packet,
        counters: &mut Counters,
    ) {
        packet.meta.csum = Csum::Partial;
        packet.meta.at = now;
        counters.icmp_out_msgs += 1;
        let header = Header {
            src: src.into(),
            dst: dst.into(),
            protocol: protocol::ICMPV6,
            ttl: ndp::HOP_LIMIT,
            tos: 0,
            dont_fragment: true,
        };
        let _ = self.prepend(&header, packet);
    }

    fn send_arp(&mut self, interface: InterfaceId, us: Mac, to: Mac, message: &arp::Message, counters: &mut Counters) {
        let mut packet = Packet::default();
        arp::build(&mut packet.head, message);
        let frame = ethernet::Header {
            dst: to,
            src: us,
            ethertype: ethernet::ARP,
        };
        self.queue_frame(interface, &frame, packet, counters);
    }

    fn send_frame(&mut self, interface: InterfaceId, to: Mac, packet: Packet, counters: &mut Counters) {
        let Some(us) = self.mac(interface) else { return };
        let v6 = packet.head.as_slice().first().is_some_and(|first| first >> 4 == 6);
        let ethertype = if v6 { ethernet::IPV6 } else { ethernet::IPV4 };
        self.queue_frame(
            interface,
            &ethernet::Header {
                dst: to,
                src: us,
                ethertype,
            },
            packet,
            counters,
        );
    }

    fn queue_frame(
        &mut self,
        interface: InterfaceId,
        frame: &ethernet::Header,
        mut packet: Packet,
        counters: &mut Counters,
    ) {
        ethernet::build(&mut packet.head, frame);
        packet.meta.l3 += ethernet::HEADER_LEN as u8;
        packet.meta.l4 += ethernet::HEADER_LEN as u8;
        if let Some(link) = self.interfaces.get_mut(interface.0 as usize) {
            link.queue(packet, counters);
        }
    }

    /// Our hardware address on an Ethernet link.
    pub(super) fn mac(&self, interface: InterfaceId) -> Option<Mac> {
        match self.interface(interface)?.medium {
            Medium::Ethernet { address } => Some(address),
            Medium::Ip => None,
        }
    }
}

/// The whole ICMPv6 message.
fn message(datagram: &Datagram) -> Result<BytesMut, DropReason> {
    let packet = &datagram.packet;
    let start = &packet.head.as_slice()[usize::from(packet.meta.l4)..];
    if start.len() + packet.meta.len as usize > LONGEST_NDP {
        return Err(DropReason::Malformed);
    }
    let mut bytes = BytesMut::from(start);
    packet.body.iter().for_each(|slice| bytes.extend_from_slice(slice));
    Ok(bytes)
}

/// Destination of the IP packet at the start of `bytes`.
fn destination(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.first()? >> 4 {
        4 => bytes
            .get(16..ipv4::HEADER_LEN)?
            .first_chunk()
            .map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).into()),
        6 => bytes
            .get(24..ipv6::HEADER_LEN)?
            .first_chunk()
            .map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
}

/// The error that a router would send about a packet of ours that no neighbour took.
fn host_unreachable(packet: &Packet) -> Option<IcmpError> {
    let head = packet.head.as_slice();
    let layout = Layout::find(head, 0)?;
    if layout.fragment && layout.end == layout.l4 {
        return None; // Not the first fragment.
    }
    let (local, remote) = layout.addresses(head);
    let mut quoted = BytesMut::from(&head[layout.l4..]);
    packet
        .body
        .iter()
        .for_each(|slice| quoted.extend_from_slice(&slice[..slice.len().min(LONGEST_NDP)]));
    quoted.truncate(LONGEST_NDP);
    let (icmp_type, icmp_code) = if layout.v6 { (1, 3) } else { (3, 1) };
    Some(IcmpError {
        protocol: layout.protocol,
        local,
        remote,
        kind: Unreachable::Host,
        icmp_type,
        icmp_code,
        from: local,
        quoted: quoted.freeze(),
    })
}

#[cfg(test)]
mod tests;
