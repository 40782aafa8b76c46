//! Takes a packet from an interface: is it readable, is it for us, which transport is it for. RFC 1122 §3.2.1, RFC 8200 §3 and §4.
//!
//! Transport checksums are verified here, once for all transports; what never left memory needs none (see [`Csum`]).

use super::shape::{cut, peek, pull, replace, trim};
use super::{Datagram, Delivery, Ip, address};
use crate::counters::{Counters, DropReason};
use crate::gso;
use crate::host::InterfaceId;
use crate::packet::{Csum, Gso, HEAD_ROOM, Packet};
use crate::settings::Settings;
use crate::time::Instant;
use crate::wire::ipv6::Stop;
use crate::wire::layout::{Layout, transport_len};
use crate::wire::{ipv4, ipv6, protocol, tcp, udp};
use std::net::IpAddr;

impl Ip {
    /// Takes one packet as it arrived on `interface`.
    ///
    /// # Errors
    /// Why it went no further; the caller counts it.
    pub(crate) fn input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        mut packet: Packet,
        counters: &mut Counters,
        settings: &Settings,
    ) -> Result<Delivery, DropReason> {
        if let Some(us) = self.mac(interface) {
            match self.input_frame(now, interface, us, packet, counters)? {
                Some(inside) => packet = inside,
                None => return Ok(Delivery::Consumed),
            }
        }
        packet.meta.l3 = 0;
        if !pull(&mut packet, 1) {
            return Err(DropReason::Truncated);
        }
        let datagram = match packet.head.as_slice()[0] >> 4 {
            4 => self.input_v4(now, interface, packet, counters, settings)?,
            6 => self.input_v6(now, interface, packet, counters, settings)?,
            _ => return Err(DropReason::Malformed),
        };
        let Some(mut datagram) = datagram else {
            return Ok(Delivery::Consumed);
        };
        transport(&mut datagram)?;
        let icmp = if datagram.src.is_ipv4() {
            protocol::ICMP
        } else {
            protocol::ICMPV6
        };
        if datagram.protocol == icmp {
            return self.icmp(now, datagram, counters);
        }
        if matches!(datagram.protocol, protocol::ICMP | protocol::ICMPV6) {
            return Err(DropReason::UnknownProtocol);
        }
        if datagram.src.is_unspecified() {
            return Err(DropReason::Martian);
        }
        Ok(Delivery::Datagram(datagram))
    }

    /// The IPv4 header. `None` when there is nothing (yet) to deliver.
    fn input_v4(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        mut packet: Packet,
        counters: &mut Counters,
        settings: &Settings,
    ) -> Result<Option<Datagram>, DropReason> {
        if !pull(&mut packet, ipv4::HEADER_LEN) {
            return Err(DropReason::Truncated);
        }
        let len = usize::from(packet.head.as_slice()[0] & 15) * 4;
        if !pull(&mut packet, len) {
            return Err(DropReason::Truncated);
        }
        let header = ipv4::parse(packet.head.as_slice())?;
        if packet.meta.csum == Csum::Full && !ipv4::verify(&packet.head.as_slice()[..len]) {
            return Err(DropReason::BadChecksum);
        }
        if packet.meta.gso == Gso::None {
            let total = usize::from(header.total_len);
            if total > packet.total_len() {
                return Err(DropReason::Truncated);
            }
            trim(&mut packet, total);
        }
        let (src, dst) = (IpAddr::V4(header.src), IpAddr::V4(header.dst));
        self.accept(interface, src, dst, settings)?;
        if header.is_fragment() {
            return match self.on_fragment_v4(now, interface, &header, &packet, counters)? {
                Some(whole) => self.input_v4(now, interface, whole, counters, settings),
                None => Ok(None),
            };
        }
        packet.meta.l4 = header.header_len;
        let (protocol, ttl, tos) = (header.protocol, header.ttl, header.tos);
        Ok(Some(Datagram {
            packet,
            src,
            dst,
            protocol,
            ttl,
            tos,
            interface,
        }))
    }

    /// The IPv6 header and its extensions. `None` when there is nothing (yet) to deliver.
    fn input_v6(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        mut packet: Packet,
        counters: &mut Counters,
        settings: &Settings,
    ) -> Result<Option<Datagram>, DropReason> {
        if !pull(&mut packet, ipv6::HEADER_LEN) {
            return Err(DropReason::Truncated);
        }
        let header = ipv6::parse(packet.head.as_slice())?;
        if packet.meta.gso == Gso::None {
            let total = usize::from(header.payload_len) + ipv6::HEADER_LEN;
            if total > packet.total_len() {
                return Err(DropReason::Truncated);
            }
            trim(&mut packet, total);
        }
        let (src, dst) = (IpAddr::V6(header.src), IpAddr::V6(header.dst));
        self.accept(interface, src, dst, settings)?;
        packet.meta.l4 = ipv6::HEADER_LEN as u8;
        let (protocol, ttl, tos) = (header.next_header, header.hop_limit, header.traffic_class);
        let mut datagram = Datagram {
            packet,
            src,
            dst,
            protocol,
            ttl,
            tos,
            interface,
        };
        if ipv6::is_extension(protocol) {
            match extensions(&mut datagram) {
                Ok(None) => {}
                Ok(Some(chain)) => {
                    return match self.on_fragment_v6(now, &datagram, &chain, counters)? {
                        Some(whole) => self.input_v6(now, interface, whole, counters, settings),
                        None => Ok(None),
                    };
                }
                Err(Stop::Drop(reason)) => return Err(reason),
                Err(Stop::Problem {
                    code,
                    pointer,
                    multicast_too,
                }) => {
                    self.parameter_problem(now, &datagram, code, pointer, multicast_too, counters);
                    return Err(DropReason::Malformed);
                }
            }
        }
        Ok((datagram.protocol != protocol::NO_NEXT_HEADER).then_some(datagram))
    }

    /// May this come in by that interface, and is it for us? RFC 1122 §3.2.1.3, §3.3.4.2 (weak model: any address of ours will do).
    fn accept(&self, interface: InterfaceId, src: IpAddr, dst: IpAddr, settings: &Settings) -> Result<(), DropReason> {
        if address::is_bad_source(src) || address::is_bad_destination(dst) {
            return Err(DropReason::Martian);
        }
        let link = self.interface(interface).ok_or(DropReason::NotForUs)?;
        let own = self.is_local(dst);
        if interface != InterfaceId::LOOPBACK {
            let loopback = address::is_loopback(src) || address::is_loopback(dst);
            if loopback && !settings.route_localnet || link.is_broadcast(src) {
                return Err(DropReason::Martian);
            }
            // Nobody else speaks with our address.
            if !loopback && !self.any_address && self.is_local(src) {
                return Err(DropReason::Martian);
            }
        }
        if own {
            return Ok(());
        }
        let wide = address::is_link_wide(dst) || link.is_broadcast(dst);
        let ours = if wide {
            !dst.is_multicast() || link.is_member(dst)
        } else {
            self.any_address && interface != InterfaceId::LOOPBACK
        };
        if ours { Ok(()) } else { Err(DropReason::NotForUs) }
    }
}

/// Walks the extension headers, and gives the walk when it ended at a fragment. Afterwards `meta.l4` is the transport header, for which
/// there is room in the head: headers too long to stay with it are dropped, as they have said what they had to.
fn extensions(datagram: &mut Datagram) -> Result<Option<ipv6::Chain>, Stop> {
    const LONGEST_TRANSPORT: usize = tcp::HEADER_LEN + tcp::MAX_OPTIONS;
    let mut bytes = [0; ipv6::HEADER_LEN + ipv6::MAX_CHAIN];
    let len = peek(&datagram.packet, &mut bytes);
    let chain = ipv6::walk(datagram.protocol, &bytes[ipv6::HEADER_LEN..len])?;
    if chain.fragment.is_some() {
        return Ok(Some(chain));
    }
    datagram.protocol = chain.protocol;
    let mut l4 = ipv6::HEADER_LEN + chain.len;
    if l4 + LONGEST_TRANSPORT > HEAD_ROOM {
        let payload = u16::from_be_bytes([bytes[4], bytes[5]]).saturating_sub(chain.len as u16);
        bytes[4..6].copy_from_slice(&payload.to_be_bytes());
        bytes[6] = chain.protocol;
        replace(&mut datagram.packet, l4, &bytes[..ipv6::HEADER_LEN]);
        l4 = ipv6::HEADER_LEN;
    }
    pull(&mut datagram.packet, l4);
    datagram.packet.meta.l4 = l4 as u8;
    Ok(None)
}

/// Brings the transport header wholly into the head and nothing more, and verifies the checksum.
fn transport(datagram: &mut Datagram) -> Result<(), DropReason> {
    let packet = &mut datagram.packet;
    let l4 = usize::from(packet.meta.l4);
    let least = match datagram.protocol {
        protocol::TCP => tcp::HEADER_LEN,
        protocol::UDP | protocol::ICMP | protocol::ICMPV6 => udp::HEADER_LEN,
        _ => 0,
    };
    if !pull(packet, l4 + least) {
        return Err(DropReason::Truncated);
    }
    let len = transport_len(datagram.protocol, &packet.head.as_slice()[l4..]).ok_or(DropReason::Malformed)?;
    if !pull(packet, l4 + len) {
        return Err(DropReason::Truncated);
    }
    cut(packet, l4 + len);
    if datagram.protocol == protocol::UDP && packet.meta.gso == Gso::None {
        let header = udp::parse(&packet.head.as_slice()[l4..])?;
        if l4 + usize::from(header.len) > packet.total_len() {
            return Err(DropReason::Truncated);
        }
        trim(packet, l4 + usize::from(header.len));
        if header.checksum == 0 && packet.meta.csum == Csum::Full {
            // RFC 1122 §4.1.3.4: no checksum is fine over IPv4. RFC 8200 §8.1: not over IPv6.
            packet.meta.csum = Csum::Verified;
            return if datagram.src.is_ipv4() {
                Ok(())
            } else {
                Err(DropReason::BadChecksum)
            };
        }
    }
    if packet.meta.csum == Csum::Full {
        let v6 = datagram.src.is_ipv6();
        let layout = Layout {
            v6,
            l3: 0,
            l4,
            end: l4 + len,
            protocol: datagram.protocol,
            fragment: false,
        };
        if layout.checksum_field().is_some() && gso::transport_checksum(packet, &layout) != 0 {
            return Err(DropReason::BadChecksum);
        }
        packet.meta.csum = Csum::Verified;
    }
    Ok(())
}
