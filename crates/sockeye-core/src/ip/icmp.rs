//! ICMP and ICMPv6 as a host speaks them: echo replies, errors about what came in, and errors about what we sent.
//!
//! RFC 792, RFC 1122 §3.2.2, RFC 4443. What an error means for a connection is for its transport to decide (RFC 5927).

use super::path_mtu::next_plateau;
use super::{Datagram, Delivery, Header, IcmpError, Ip, Path, address};
use crate::counters::{Counters, DropReason};
use crate::gso;
use crate::host::InterfaceId;
use crate::packet::{Csum, Packet};
use crate::socket::Unreachable;
use crate::time::Instant;
use crate::wire::icmp::{Family, Message};
use crate::wire::{icmp, ipv4, ipv6, ndp, protocol};
use bytes::{Bytes, BytesMut};
use std::net::IpAddr;

/// Longest ICMP error over IPv4. RFC 1812 §4.3.2.3.
const MAX_ERROR_V4: usize = 576;
/// Longest ICMPv6 error: the least MTU. RFC 4443 §2.4 (c).
const MAX_ERROR_V6: usize = 1_280;
/// Type of an ICMP redirect.
const REDIRECT_V4: u8 = 5;

impl Ip {
    /// Deals with an ICMP message whose checksum is right.
    pub(super) fn icmp(
        &mut self,
        now: Instant,
        datagram: Datagram,
        counters: &mut Counters,
    ) -> Result<Delivery, DropReason> {
        counters.icmp_in_msgs += 1;
        let family = family(datagram.src);
        let l4 = usize::from(datagram.packet.meta.l4);
        let bytes = &datagram.packet.head.as_slice()[l4..];
        let (kind, code) = (bytes[0], bytes[1]);
        if family == Family::V6 && matches!(kind, ndp::ROUTER_SOLICITATION..=ndp::REDIRECT) {
            return self.on_ndp(now, &datagram, counters);
        }
        let message = icmp::parse(family, bytes)?;
        if datagram.src.is_unspecified() {
            return Err(DropReason::Martian);
        }
        match message {
            Message::EchoRequest { ident, sequence } if self.answers_echo(&datagram) => {
                self.echo_reply(now, datagram, Message::EchoReply { ident, sequence }, counters);
                Ok(Delivery::Consumed)
            }
            Message::EchoRequest { .. } if self.is_wide(&datagram) => Ok(Delivery::Consumed),
            Message::EchoRequest { .. } | Message::EchoReply { .. } => Ok(Delivery::Datagram(datagram)),
            Message::Error(why) => self.reported(now, &datagram, why, kind, code),
            // RFC 1122 §3.2.2.4, §3.2.2.5: transports hear of these as well, as the nearest thing they know.
            Message::ReassemblyTimeout => self.reported(now, &datagram, Unreachable::HopLimit, kind, code),
            Message::ParameterProblem { .. } => self.reported(now, &datagram, Unreachable::Protocol, kind, code),
            // RFC 4443 §2.4 (a): whoever sent the packet hears of errors of types that are not known here, too.
            Message::Other(_) if family == Family::V6 && icmp::is_error(family, kind) => {
                self.reported(now, &datagram, Unreachable::Host, kind, code)
            }
            Message::Other(REDIRECT_V4) if family == Family::V4 => self.on_redirect_v4(now, &datagram),
            Message::Other(_) => Ok(Delivery::Consumed),
        }
    }

    /// Echo requests to our own addresses; over IPv6 also to a group we are in (RFC 4443 §4.2), over IPv4 not (RFC 1122 §3.2.2.6).
    fn answers_echo(&self, datagram: &Datagram) -> bool {
        self.is_local(datagram.dst) || (datagram.dst.is_ipv6() && datagram.dst.is_multicast())
    }

    fn is_wide(&self, datagram: &Datagram) -> bool {
        address::is_link_wide(datagram.dst)
            || self
                .interface(datagram.interface)
                .is_some_and(|interface| interface.is_broadcast(datagram.dst))
    }

    /// Sends the payload back where it came from. RFC 1122 §3.2.2.6: all of it, and with the address that was asked as the source.
    fn echo_reply(&mut self, now: Instant, datagram: Datagram, reply: Message, counters: &mut Counters) {
        let src = Some(datagram.dst).filter(|dst| !dst.is_multicast());
        let mut packet = Packet {
            body: datagram.packet.body,
            ..Packet::default()
        };
        packet.meta.len = datagram.packet.meta.len;
        let Some(path) = self.way_back(datagram.src, src, datagram.interface) else {
            return counters.drop(DropReason::NoRoute);
        };
        self.send_icmp(now, &path, datagram.src, datagram.tos, reply, packet, counters);
    }

    /// Reads the packet of ours that an error quotes.
    fn reported(
        &mut self,
        now: Instant,
        datagram: &Datagram,
        why: Unreachable,
        kind: u8,
        code: u8,
    ) -> Result<Delivery, DropReason> {
        let quote = contiguous(&datagram.packet);
        let (local, remote, protocol, start) = match datagram.src {
            IpAddr::V4(_) => {
                let header = ipv4::parse(&quote)?;
                if header.offset != 0 {
                    return Err(DropReason::StrayIcmp);
                }
                (
                    header.src.into(),
                    header.dst.into(),
                    header.protocol,
                    usize::from(header.header_len),
                )
            }
            IpAddr::V6(_) => {
                let header = ipv6::parse(&quote)?;
                let chain =
                    ipv6::walk(header.next_header, &quote[ipv6::HEADER_LEN..]).map_err(|_| DropReason::StrayIcmp)?;
                if chain.fragment.is_some_and(|(fragment, _)| fragment.offset != 0) {
                    return Err(DropReason::StrayIcmp);
                }
                (
                    IpAddr::V6(header.src),
                    IpAddr::V6(header.dst),
                    chain.protocol,
                    ipv6::HEADER_LEN + chain.len,
                )
            }
        };
        if !self.is_local(local) && !self.any_address {
            return Err(DropReason::StrayIcmp);
        }
        let kind_of = match why {
            Unreachable::TooBig(mtu) if datagram.src.is_ipv4() => Unreachable::TooBig(told_mtu(mtu, &quote)),
            why => why,
        };
        if let Unreachable::TooBig(mtu) = kind_of
            && protocol != protocol::TCP
        {
            self.lower_path_mtu(now, remote, mtu);
        }
        Ok(Delivery::Error(IcmpError {
            protocol,
            local,
            remote,
            kind: kind_of,
            icmp_type: kind,
            icmp_code: code,
            from: datagram.src,
            quoted: quote.slice(start.min(quote.len())..),
        }))
    }

    /// Tells the sender of `about` that it did not get there. Nothing is sent when the rules forbid it or the rate is used up.
    pub(crate) fn unreachable(&mut self, now: Instant, about: &Datagram, why: Unreachable, counters: &mut Counters) {
        let message = match (why, about.src) {
            // RFC 4443 §3.4: ICMPv6 points at the field that names the unknown protocol.
            (Unreachable::Protocol, IpAddr::V6(_)) => {
                let head = about.packet.head.as_slice();
                let chain = head
                    .get(ipv6::HEADER_LEN..)
                    .and_then(|rest| ipv6::walk(head[6], rest).ok());
                let pointer = chain.map_or(6, |chain| chain.pointer as u32);
                Message::ParameterProblem { code: 1, pointer }
            }
            _ => Message::Error(why),
        };
        // RFC 4443 §2.4 (e.3): "too big" may answer multicast.
        let wide_too = matches!(why, Unreachable::TooBig(_)) && about.src.is_ipv6();
        self.report(now, about, message, wide_too, counters);
    }

    /// As [`Self::unreachable`], about a datagram that is no longer there: its IP header, its transport header, and how long its payload was.
    pub(crate) fn unreachable_quoting(
        &mut self,
        now: Instant,
        original: &Header,
        transport: &[u8],
        payload_len: usize,
        why: Unreachable,
        counters: &mut Counters,
    ) {
        let mut packet = Packet::default();
        packet.head.prepend(transport.len()).copy_from_slice(transport);
        // The quote says how long the payload was without having it: RFC 792 asks for 8 bytes of it at least.
        packet.meta.len = payload_len as u32;
        if self.prepend(original, &mut packet) {
            packet.meta.len = 0;
            let interface = InterfaceId(u32::MAX);
            let Header {
                src,
                dst,
                protocol,
                ttl,
                tos,
                ..
            } = *original;
            let about = Datagram {
                packet,
                src,
                dst,
                protocol,
                ttl,
                tos,
                interface,
            };
            self.unreachable(now, &about, why, counters);
        }
    }

    /// Reports a header of `about` that was not understood. RFC 4443 §3.4.
    pub(super) fn parameter_problem(
        &mut self,
        now: Instant,
        about: &Datagram,
        code: u8,
        pointer: u32,
        multicast_too: bool,
        counters: &mut Counters,
    ) {
        self.report(
            now,
            about,
            Message::ParameterProblem { code, pointer },
            multicast_too,
            counters,
        );
    }

    /// Sends one error about `about`, if the rules of RFC 1122 §3.2.2 and RFC 4443 §2.4 (e) and the rate allow it.
    pub(super) fn report(
        &mut self,
        now: Instant,
        about: &Datagram,
        message: Message,
        wide_too: bool,
        counters: &mut Counters,
    ) {
        let wide = self.is_wide(about);
        if (wide && !wide_too) || !is_answerable(about) {
            return;
        }
        // What the destination itself would say comes from its address; what a router would say comes from ours.
        let from_destination = matches!(message, Message::Error(Unreachable::Port | Unreachable::Protocol))
            || matches!(message, Message::ParameterProblem { .. } | Message::ReassemblyTimeout);
        let speaks = !wide && (self.is_local(about.dst) || (self.any_address && from_destination));
        let Some(path) = self.way_back(about.src, speaks.then_some(about.dst), about.interface) else {
            return;
        };
        if path.interface != InterfaceId::LOOPBACK && !self.icmp_errors.take(now) {
            return counters.drop(DropReason::RateLimited);
        }
        let packet = Packet::with_payload(quote(&about.packet, about.src));
        self.send_icmp(now, &path, about.src, 0, message, packet, counters);
    }

    /// The way to who sent what arrived by `interface`. A loopback address that came over a link is somebody else's: back over that link, or
    /// the first one when it is not known any more.
    fn way_back(&self, to: IpAddr, src: Option<IpAddr>, interface: InterfaceId) -> Option<Path> {
        if !address::is_loopback(to) || interface == InterfaceId::LOOPBACK {
            return self.route(to, src);
        }
        let known = self.interface(interface).is_some();
        let path = self.route_via(to, if known { interface } else { InterfaceId(1) })?;
        Some(Path {
            src: src.unwrap_or(path.src),
            ..path
        })
    }

    /// Sends an ICMP message whose data `packet` holds.
    #[expect(
        clippy::too_many_arguments,
        reason = "a message has that many properties, and two callers"
    )]
    fn send_icmp(
        &mut self,
        now: Instant,
        path: &Path,
        dst: IpAddr,
        tos: u8,
        message: Message,
        mut packet: Packet,
        counters: &mut Counters,
    ) {
        let (family, protocol) = (
            family(dst),
            if dst.is_ipv4() {
                protocol::ICMP
            } else {
                protocol::ICMPV6
            },
        );
        icmp::build(&mut packet.head, family, message);
        packet.meta.csum = Csum::Partial;
        let ttl = self.default_ttl;
        let header = Header {
            src: path.src,
            dst,
            protocol,
            ttl,
            tos,
            dont_fragment: false,
        };
        counters.icmp_out_msgs += 1;
        self.output(now, path, &header, packet, counters);
    }
}

fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// False about ICMP errors, and about what came from no single host.
fn is_answerable(about: &Datagram) -> bool {
    if about.src.is_unspecified() || address::is_bad_source(about.src) {
        return false;
    }
    let icmp = if about.src.is_ipv4() {
        protocol::ICMP
    } else {
        protocol::ICMPV6
    };
    let kind = about.packet.head.as_slice().get(usize::from(about.packet.meta.l4));
    about.protocol != icmp || kind.is_some_and(|kind| !icmp::is_error(family(about.src), *kind))
}

/// The start of a packet, as an error quotes it: with its checksum filled in, as the sender would have seen it on a wire.
fn quote(packet: &Packet, to: IpAddr) -> Bytes {
    let room = match to {
        IpAddr::V4(_) => MAX_ERROR_V4 - ipv4::HEADER_LEN - icmp::HEADER_LEN,
        IpAddr::V6(_) => MAX_ERROR_V6 - ipv6::HEADER_LEN - icmp::HEADER_LEN,
    };
    let mut packet = packet.clone();
    gso::finish(&mut packet);
    let mut bytes = BytesMut::with_capacity(room.min(packet.total_len()));
    for slice in std::iter::once(packet.head.as_slice()).chain(packet.body.iter().map(|slice| &slice[..])) {
        bytes.extend_from_slice(&slice[..slice.len().min(room - bytes.len())]);
    }
    bytes.freeze()
}

/// The payload as one slice.
pub(super) fn contiguous(packet: &Packet) -> Bytes {
    if let [one] = &packet.body[..] {
        return one.clone();
    }
    let mut bytes = BytesMut::with_capacity(packet.meta.len as usize);
    for slice in &packet.body {
        bytes.extend_from_slice(slice);
    }
    bytes.freeze()
}

/// The MTU that a "fragmentation needed" means. Old routers say 0: then the next plateau below the packet's length (RFC 1191 §5).
fn told_mtu(mtu: u32, quote: &[u8]) -> u32 {
    if mtu != 0 {
        mtu
    } else {
        next_plateau(u32::from(u16::from_be_bytes([quote[2], quote[3]])))
    }
}

#[cfg(test)]
mod tests;
