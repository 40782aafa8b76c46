//! From an interface to the protocol that a packet is for.

use super::{Host, InterfaceId};
use crate::counters::DropReason;
use crate::gro;
use crate::ip::{Datagram, Delivery, IcmpError};
use crate::packet::Packet;
use crate::socket::Unreachable;
use crate::time::Instant;
use crate::wire::ecn;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

impl Host {
    /// Takes all of `batch`, as it arrived on `interface`. Nothing in a packet can make this fail, panic or wait: what is not acceptable is
    /// counted under a [`DropReason`].
    pub fn receive(&mut self, now: Instant, interface: InterfaceId, batch: &mut Vec<Packet>) {
        gro::coalesce(batch);
        for packet in batch.drain(..) {
            self.counters.in_receives += 1;
            if let Err(reason) = self.deliver(now, interface, packet) {
                tracing::trace!(reason = reason.name(), "dropped");
                self.counters.drop(reason);
            }
        }
        self.deliver_ip_errors(now);
        self.relieve(now);
    }

    fn deliver(&mut self, now: Instant, interface: InterfaceId, packet: Packet) -> Result<(), DropReason> {
        match self
            .ip
            .input(now, interface, packet, &mut self.counters, &self.settings)?
        {
            Delivery::Consumed => Ok(()),
            Delivery::Error(error) => self.icmp_error(now, &error),
            Delivery::Datagram(datagram) => {
                self.counters.in_delivers += 1;
                self.counters.in_ecn_pkts[usize::from(datagram.tos & ecn::MASK)] +=
                    datagram.packet.wire_packets() as u64;
                self.dispatch(now, datagram)
            }
        }
    }

    fn dispatch(&mut self, now: Instant, datagram: Datagram) -> Result<(), DropReason> {
        let taken = self.raw_input(&datagram);
        match datagram.protocol {
            TCP => self.tcp_input(now, datagram),
            UDP => self.udp_input(now, &datagram),
            ICMP | ICMPV6 if taken => Ok(()),
            ICMP | ICMPV6 => self.stray_echo(&datagram),
            _ if taken => Ok(()),
            _ => {
                self.ip
                    .unreachable(now, &datagram, Unreachable::Protocol, &mut self.counters);
                Err(DropReason::UnknownProtocol)
            }
        }
    }

    /// An ICMP error goes to the socket whose packet it quotes, and to raw sockets that want to see it. RFC 1122 §3.2.2.
    fn icmp_error(&mut self, now: Instant, error: &IcmpError) -> Result<(), DropReason> {
        self.raw_icmp_error(error);
        match error.protocol {
            TCP => self.tcp_icmp_error(now, error),
            UDP => self.udp_icmp_error(error),
            _ => Ok(()),
        }
    }

    /// Errors that IP found itself: neighbours that do not answer.
    pub(super) fn deliver_ip_errors(&mut self, now: Instant) {
        while let Some(error) = self.ip.poll_error() {
            if let Err(reason) = self.icmp_error(now, &error) {
                self.counters.drop(reason);
            }
        }
    }
}
