//! Any-address mode: what arrived for nobody goes to the owner, and the owner's answers go out, with whatever source they need.

use super::Host;
use super::raw::{echo, family};
use super::udp::Departure;
use crate::counters::DropReason;
use crate::error::SendError;
use crate::ip::{Datagram, Header};
use crate::packet::{Csum, Head, Packet};
use crate::socket::{Echo, Outgoing, Refused, Stray, SynAnswer, SynId, TcpId, Unreachable};
use crate::time::Instant;
use crate::udp;
use crate::wire::icmp::{self, Message};
use crate::wire::{self, protocol};
use std::net::{IpAddr, SocketAddr};

impl Host {
    /// The oldest thing that arrived for an address or port nobody holds, on a host made with `any_address`; `None` when nothing waits.
    /// No event announces it: look after every `receive`.
    pub fn poll_stray(&mut self) -> Option<Stray> {
        self.strays.pop()
    }

    /// Decides on a SYN. A connection that is accepted opens from here on like any other: an event tells when it is established.
    ///
    /// `None` when the SYN is no longer there (reset by its sender, expired after 75 s, answered before), or was not accepted.
    pub fn answer_syn(&mut self, now: Instant, id: SynId, answer: SynAnswer) -> Option<TcpId> {
        if let SynAnswer::Ignore = answer {
            self.strays.ignore_syn(id);
            return None;
        }
        let (tuple, facts) = self.strays.take_syn(id, &mut self.demux)?;
        match answer {
            SynAnswer::Accept(options) => return Some(self.accept_held_syn(now, tuple, &facts, options)),
            SynAnswer::Refuse => self.refuse_held_syn(now, tuple, &facts),
            SynAnswer::Unreachable(why) => {
                let (local, remote) = (tuple.local(), tuple.remote());
                let mut head = Head::for_output();
                let header = wire::tcp::Header {
                    source: remote.port(),
                    destination: local.port(),
                    seq: facts.seq.0,
                    flags: wire::tcp::Flags::SYN,
                    window: facts.window,
                    ..wire::tcp::Header::default()
                };
                wire::tcp::build(&mut head, &header, &facts.options);
                self.refuse_packet(now, &arrived(remote.ip(), local.ip(), protocol::TCP), &head, 0, why);
            }
            SynAnswer::Ignore => {}
        }
        None
    }

    /// Sends a datagram from any address and port, ours or not. `datagram.to` and `datagram.from` mean nothing here.
    ///
    /// # Errors
    /// As [`Host::udp_send`], as far as they have to do with the datagram and the route.
    pub fn send_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: Outgoing,
    ) -> Result<(), SendError> {
        let (from, to) = (udp::canonical(local), udp::canonical(remote));
        if to.port() == 0 {
            return Err(SendError::Invalid);
        }
        if from.is_ipv4() != to.is_ipv4() {
            return Err(SendError::FamilyMismatch);
        }
        let departure = Departure {
            from,
            to,
            ttl: datagram.ttl.unwrap_or(self.settings.ip_default_ttl),
            tos: datagram.tos.unwrap_or_default(),
            dont_fragment: false,
        };
        let path = self.udp_path(from, to, Some(from.ip())).ok_or(SendError::Unreachable)?;
        self.udp_transmit(now, &path, &departure, datagram)
    }

    /// Answers an echo request, from the address that was asked. RFC 792, RFC 4443 §4.2.
    pub fn send_echo_reply(&mut self, now: Instant, echo: Echo) {
        let Echo {
            local,
            remote,
            ident,
            sequence,
            data,
        } = echo;
        let Some(path) = self.route(remote, Some(local), remote.is_loopback()) else {
            self.counters.drop(DropReason::NoRoute);
            return;
        };
        let total = udp::ip_header_len(remote) + icmp::HEADER_LEN + data.len();
        let header = Header {
            src: local,
            dst: remote,
            protocol: echo_protocol(local),
            ttl: self.settings.ip_default_ttl,
            tos: 0,
            dont_fragment: total <= path.mtu as usize,
        };
        let mut packet = Packet::with_payload(data);
        icmp::build(&mut packet.head, family(local), Message::EchoReply { ident, sequence });
        packet.meta.csum = Csum::Partial;
        self.ip.output(now, &path, &header, packet, &mut self.counters);
    }

    /// Tells the sender of a stray that it cannot be delivered: an ICMP error that quotes it, limited in rate as all of them.
    pub fn refuse(&mut self, now: Instant, what: Refused, why: Unreachable) {
        let mut head = Head::for_output();
        match what {
            Refused::Datagram { local, remote, len } => {
                wire::udp::build(&mut head, remote.port(), local.port(), len);
                self.refuse_packet(now, &arrived(remote.ip(), local.ip(), protocol::UDP), &head, len, why);
            }
            Refused::Echo {
                local,
                remote,
                ident,
                sequence,
            } => {
                icmp::build(&mut head, family(local), Message::EchoRequest { ident, sequence });
                self.refuse_packet(now, &arrived(remote, local, echo_protocol(local)), &head, 0, why);
            }
        }
    }

    /// An ICMP error about a packet of which only the transport header is left.
    fn refuse_packet(&mut self, now: Instant, header: &Header, transport: &Head, payload: usize, why: Unreachable) {
        if header.src.is_ipv4() == header.dst.is_ipv4() {
            self.ip
                .unreachable_quoting(now, header, transport.as_slice(), payload, why, &mut self.counters);
        }
    }

    /// An echo request that neither IP (for our own addresses) nor a socket answered.
    ///
    /// # Errors
    /// `NoSocket` when this host does not speak for any address, or for any other ICMP message; `Limit` when too many strays wait.
    pub(super) fn stray_echo(&mut self, datagram: &Datagram) -> Result<(), DropReason> {
        let Some(Message::EchoRequest { ident, sequence }) = echo(datagram).filter(|_| self.any_address) else {
            return Err(DropReason::NoSocket);
        };
        let echo = Echo {
            local: datagram.dst,
            remote: datagram.src,
            ident,
            sequence,
            data: datagram
                .packet
                .bytes_from(usize::from(datagram.packet.meta.l4) + icmp::HEADER_LEN),
        };
        self.strays.push(Stray::Echo {
            echo,
            ttl: datagram.ttl,
        })
    }
}

/// The IP header that a stray must have had.
fn arrived(src: IpAddr, dst: IpAddr, protocol: u8) -> Header {
    Header {
        src,
        dst,
        protocol,
        ttl: 1,
        tos: 0,
        dont_fragment: true,
    }
}

fn echo_protocol(address: IpAddr) -> u8 {
    if address.is_ipv6() {
        protocol::ICMPV6
    } else {
        protocol::ICMP
    }
}

#[cfg(test)]
mod tests;
