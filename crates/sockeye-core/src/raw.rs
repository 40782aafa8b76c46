//! Raw IP sockets, and ICMP echo ("ping") sockets: who gets a copy of what arrives.
//!
//! It decides which sockets a packet is for. Raw sockets see every packet of their protocol that IP delivers, beside whoever else takes it;
//! ping sockets see replies with their identifier. Packets on their way belong to `ip`; `host/raw.rs` ties the two together.
//! Spec: raw(7), icmp(7); RFC 3542 §3.1 for ICMPv6 checksums; RFC 792 and RFC 4443 §4 for echo.

use crate::error::{BindError, ConnectError};
use crate::inbox::Inbox;
use crate::keys::{Keys, below};
use crate::slab::Slab;
use crate::socket::{RawId, UdpOptions};
use crate::wire::protocol::{ICMP, ICMPV6};
use rand::rngs::ChaCha12Rng;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// All raw and ping sockets of a host.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) sockets: Slab<Socket>,
    /// Ping sockets by family (true for IPv6) and identifier.
    pings: BTreeMap<(bool, u16), u32>,
    rng: ChaCha12Rng,
}

/// One raw or ping socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) kind: Kind,
    /// The address bound to; unspecified for any. It also tells the family.
    pub(crate) local: IpAddr,
    pub(crate) remote: Option<IpAddr>,
    pub(crate) options: UdpOptions,
    pub(crate) inbox: Inbox,
}

/// What a socket receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Packets of one protocol.
    Raw { protocol: u8 },
    /// Replies to echo requests with one identifier.
    Ping { ident: u16 },
}

impl Raw {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self {
            sockets: Slab::new(),
            pings: BTreeMap::new(),
            rng: keys.secret_stream("echo identifiers"),
        }
    }

    pub(crate) fn get(&self, id: RawId) -> Option<&Socket> {
        self.sockets.get(id.index, id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: RawId) -> Option<&mut Socket> {
        self.sockets.get_mut(id.index, id.generation)
    }

    /// The name of the socket in a slot.
    pub(crate) fn id(&self, index: u32) -> Option<RawId> {
        let generation = self.sockets.generation(index)?;
        Some(RawId { index, generation })
    }

    /// A socket for `protocol`, bound to `local`.
    pub(crate) fn open(&mut self, local: IpAddr, protocol: u8) -> RawId {
        self.insert(local, Kind::Raw { protocol })
    }

    /// A ping socket; identifier 0 gets one that nobody has.
    ///
    /// # Errors
    /// `AddressInUse` when another ping socket has the identifier, `PortsExhausted` when all are taken.
    pub(crate) fn open_ping(&mut self, local: IpAddr, ident: u16) -> Result<RawId, BindError> {
        let v6 = local.is_ipv6();
        let ident = if ident == 0 {
            let start = below(&mut self.rng, u64::from(u16::MAX)) as u16;
            let mut order = (0..u16::MAX).map(|step| start.wrapping_add(step).max(1));
            order
                .find(|ident| !self.pings.contains_key(&(v6, *ident)))
                .ok_or(BindError::PortsExhausted)?
        } else if self.pings.contains_key(&(v6, ident)) {
            return Err(BindError::AddressInUse);
        } else {
            ident
        };
        let id = self.insert(local, Kind::Ping { ident });
        let _ = self.pings.insert((v6, ident), id.index);
        Ok(id)
    }

    fn insert(&mut self, local: IpAddr, kind: Kind) -> RawId {
        let (index, generation) = self.sockets.insert(Socket {
            kind,
            local,
            remote: None,
            options: UdpOptions::default(),
            inbox: Inbox::default(),
        });
        RawId { index, generation }
    }

    pub(crate) fn close(&mut self, id: RawId) {
        if let Some(socket) = self.sockets.remove(id.index, id.generation)
            && let Kind::Ping { ident } = socket.kind
        {
            let _ = self.pings.remove(&(socket.local.is_ipv6(), ident));
        }
    }

    /// Raw sockets that get a copy of a packet from `src` to `dst`.
    pub(crate) fn receivers(&self, protocol: u8, src: IpAddr, dst: IpAddr) -> Vec<u32> {
        if self.sockets.len() == self.pings.len() {
            return Vec::new();
        }
        let takes = |socket: &Socket| socket.kind == Kind::Raw { protocol } && socket.lets_in(src, dst);
        self.sockets
            .iter()
            .filter(|(.., socket)| takes(socket))
            .map(|(index, ..)| index)
            .collect()
    }

    /// The ping socket that asked for a reply from `src` to `dst`.
    pub(crate) fn asker(&self, ident: u16, src: IpAddr, dst: IpAddr) -> Option<u32> {
        let index = *self.pings.get(&(dst.is_ipv6(), ident))?;
        self.sockets
            .at(index)
            .filter(|socket| socket.lets_in(src, dst))
            .map(|_| index)
    }
}

impl Socket {
    /// True when a packet from `src` to `dst` passes the socket's addresses.
    fn lets_in(&self, src: IpAddr, dst: IpAddr) -> bool {
        self.local.is_ipv6() == dst.is_ipv6()
            && (self.local.is_unspecified() || self.local == dst)
            && self.remote.is_none_or(|only| only == src)
    }

    /// `remote` as a destination of this socket.
    ///
    /// # Errors
    /// `FamilyMismatch` for the other family.
    pub(crate) fn connectable(&self, remote: IpAddr) -> Result<IpAddr, ConnectError> {
        let same = self.local.is_ipv6() == remote.is_ipv6();
        same.then_some(remote).ok_or(ConnectError::FamilyMismatch)
    }

    /// The protocol in the IP header of what the socket sends.
    pub(crate) const fn protocol(&self) -> u8 {
        match (self.kind, self.local) {
            (Kind::Raw { protocol }, _) => protocol,
            (Kind::Ping { .. }, IpAddr::V4(_)) => ICMP,
            (Kind::Ping { .. }, IpAddr::V6(_)) => ICMPV6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn identifiers_are_held_by_one_socket_a_family() {
        let mut raw = Raw::new(&Keys::new(1, "raw"));
        let one = raw.open_ping(ANY, 7).unwrap();
        assert_eq!(raw.open_ping(ANY, 7), Err(BindError::AddressInUse));
        assert!(raw.open_ping(ip("::"), 7).is_ok());
        assert_eq!(raw.asker(7, ip("192.0.2.1"), ip("10.0.0.1")), Some(one.index));
        assert_eq!(raw.asker(8, ip("192.0.2.1"), ip("10.0.0.1")), None);
        raw.close(one);
        assert_eq!(raw.asker(7, ip("192.0.2.1"), ip("10.0.0.1")), None);
        for _ in 0..usize::from(u16::MAX) {
            assert!(raw.open_ping(ANY, 0).is_ok());
        }
        assert_eq!(raw.open_ping(ANY, 0), Err(BindError::PortsExhausted));
    }

    #[test]
    fn raw_sockets_filter_by_protocol_and_addresses() {
        for (protocol, local, remote, want) in [
            (1, "0.0.0.0", None, true),
            (2, "0.0.0.0", None, false),
            (1, "10.0.0.1", None, true),
            (1, "10.0.0.2", None, false),
            (1, "0.0.0.0", Some("192.0.2.1"), true),
            (1, "0.0.0.0", Some("192.0.2.2"), false),
            (1, "::", None, false),
        ] {
            let mut raw = Raw::new(&Keys::new(1, "raw"));
            let id = raw.open(ip(local), protocol);
            raw.get_mut(id).unwrap().remote = remote.map(ip);
            let takers = raw.receivers(1, ip("192.0.2.1"), ip("10.0.0.1"));
            assert_eq!(!takers.is_empty(), want, "{protocol} {local} {remote:?}");
        }
    }
}
