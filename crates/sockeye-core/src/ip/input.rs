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
use crate::wire::ipv4::OptionFault;
use crate::wire::ipv6::Stop;
use crate::wire::layout::{Layout, transport_len};
use crate::wire::{ipv4, ipv6, protocol, tcp, udp};
use std::net::{IpAddr, Ipv4Addr};

impl Ip {
    /// Takes one packet as it arrived on `interface`.
    ///
    /// # Errors
    /// Why it went no further; the caller counts it.
    pub(crate) fn input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: Packet,
        counters: &mut Counters,
        settings: &Settings,
    ) -> Result<Delivery, DropReason> {
        // Filled in place: a packet is large, and moving it costs more than reading its header.
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut datagram = Datagram {
            packet,
            src: unspecified,
            dst: unspecified,
            protocol: 0,
            ttl: 0,
            tos: 0,
            interface,
        };
        if let Some(us) = self.mac(interface) {
            let frame = std::mem::take(&mut datagram.packet);
            match self.input_frame(now, interface, us, frame, counters)? {
                Some(inside) => datagram.packet = inside,
                None => return Ok(Delivery::Consumed),
            }
        }
        if !self.input_ip(now, &mut datagram, counters, settings)? {
            return Ok(Delivery::Consumed);
        }
        transport(&mut datagram)?;
        match (datagram.protocol, datagram.src) {
            (protocol::ICMP, IpAddr::V4(_)) | (protocol::ICMPV6, IpAddr::V6(_)) => self.icmp(now, datagram, counters),
            (protocol::ICMP | protocol::ICMPV6, _) => Err(DropReason::UnknownProtocol),
            (_, src) if src.is_unspecified() => Err(DropReason::Martian),
            _ => Ok(Delivery::Datagram(datagram)),
        }
    }

    /// The IP header of either version. False when there is nothing (yet) to deliver.
    fn input_ip(
        &mut self,
        now: Instant,
        datagram: &mut Datagram,
        counters: &mut Counters,
        settings: &Settings,
    ) -> Result<bool, DropReason> {
        datagram.packet.meta.l3 = 0;
        if !pull(&mut datagram.packet, 1) {
            return Err(DropReason::Truncated);
        }
        match datagram.packet.head.as_slice()[0] >> 4 {
            4 => self.input_v4(now, datagram, counters, settings),
            6 => self.input_v6(now, datagram, counters, settings),
            _ => Err(DropReason::Malformed),
        }
    }

    fn input_v4(
        &mut self,
        now: Instant,
        datagram: &mut Datagram,
        counters: &mut Counters,
        settings: &Settings,
    ) -> Result<bool, DropReason> {
        let packet = &mut datagram.packet;
        if !pull(packet, ipv4::HEADER_LEN) {
            return Err(DropReason::Truncated);
        }
        let len = usize::from(packet.head.as_slice()[0] & 15) * 4;
        if !pull(packet, len) {
            return Err(DropReason::Truncated);
        }
        let header = ipv4::parse(packet.head.as_slice())?;
        if packet.meta.csum == Csum::Full && !ipv4::verify(&packet.head.as_slice()[..len]) {
            return Err(DropReason::BadChecksum);
        }
        fit(packet, usize::from(header.total_len))?;
        (datagram.src, datagram.dst) = (header.src.into(), header.dst.into());
        self.accept(datagram.interface, datagram.src, datagram.dst, settings)?;
        datagram.packet.meta.l4 = header.header_len;
        if len > ipv4::HEADER_LEN {
            (datagram.protocol, datagram.ttl, datagram.tos) = (header.protocol, header.ttl, header.tos);
            self.check_options(now, datagram, &header, counters)?;
        }
        if header.is_fragment() {
            let whole = self.on_fragment_v4(now, datagram.interface, &header, &datagram.packet, counters)?;
            return self.input_whole(now, datagram, whole, counters, settings);
        }
        (datagram.protocol, datagram.ttl, datagram.tos) = (header.protocol, header.ttl, header.tos);
        Ok(true)
    }

    /// RFC 1122 §3.2.1.8: options need not be understood, but must be readable; who sent others is told (§3.2.2.5).
    #[cold]
    fn check_options(
        &mut self,
        now: Instant,
        datagram: &mut Datagram,
        header: &ipv4::Header,
        counters: &mut Counters,
    ) -> Result<(), DropReason> {
        match ipv4::check_options(&datagram.packet.head.as_slice()[..usize::from(header.header_len)]) {
            Ok(()) => Ok(()),
            Err(OptionFault::SourceRoute) => Err(DropReason::Martian),
            Err(OptionFault::Length(pointer)) => {
                // RFC 1122 §3.2.2: never about any but the first fragment.
                if header.offset == 0 {
                    // An ICMP type decides whether it may be answered.
                    let _ = pull(&mut datagram.packet, usize::from(header.header_len) + 1);
                    self.parameter_problem(now, datagram, 0, pointer.into(), false, counters);
                }
                Err(DropReason::Malformed)
            }
        }
    }

    /// The IPv6 header and its extensions.
    fn input_v6(
        &mut self,
        now: Instant,
        datagram: &mut Datagram,
        counters: &mut Counters,
        settings: &Settings,
    ) -> Result<bool, DropReason> {
        let packet = &mut datagram.packet;
        if !pull(packet, ipv6::HEADER_LEN) {
            return Err(DropReason::Truncated);
        }
        let header = ipv6::parse(packet.head.as_slice())?;
        fit(packet, usize::from(header.payload_len) + ipv6::HEADER_LEN)?;
        packet.meta.l4 = ipv6::HEADER_LEN as u8;
        (datagram.src, datagram.dst) = (header.src.into(), header.dst.into());
        self.accept(datagram.interface, datagram.src, datagram.dst, settings)?;
        (datagram.protocol, datagram.ttl, datagram.tos) = (header.next_header, header.hop_limit, header.traffic_class);
        if !ipv6::is_extension(datagram.protocol) {
            return Ok(datagram.protocol != protocol::NO_NEXT_HEADER);
        }
        match extensions(datagram) {
            Ok(None) => Ok(datagram.protocol != protocol::NO_NEXT_HEADER),
            Ok(Some(chain)) => {
                let whole = self.on_fragment_v6(now, datagram, &chain, counters)?;
                self.input_whole(now, datagram, whole, counters, settings)
            }
            Err(Stop::Drop(reason)) => Err(reason),
            Err(Stop::Problem {
                code,
                pointer,
                multicast_too,
            }) => {
                self.parameter_problem(now, datagram, code, pointer, multicast_too, counters);
                Err(DropReason::Malformed)
            }
        }
    }

    /// What fragments became, if they did, is looked at from the start: what was hidden in them obeys the same rules.
    fn input_whole(
        &mut self,
        now: Instant,
        datagram: &mut Datagram,
        whole: Option<Packet>,
        counters: &mut Counters,
        settings: &Settings,
    ) -> Result<bool, DropReason> {
        let Some(whole) = whole else { return Ok(false) };
        datagram.packet = whole;
        self.input_ip(now, datagram, counters, settings)
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

/// Makes a packet as long as its IP header says; a super-segment may be longer than that can tell.
fn fit(packet: &mut Packet, total: usize) -> Result<(), DropReason> {
    if packet.meta.gso != Gso::None {
        return Ok(());
    }
    if total > packet.total_len() {
        return Err(DropReason::Truncated);
    }
    trim(packet, total);
    Ok(())
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
