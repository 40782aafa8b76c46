//! UDP: sockets and the eight bytes of header. RFC 768; RFC 8200 §8.1 for IPv6; RFC 1122 §4.1 for what a host owes its applications.
//!
//! It decides what a datagram must look like, where one that an application hands over may go, and what a socket remembers. Ports, lookup,
//! routes and packets on their way belong to `port`, `demux` and `ip`; `host/udp.rs` ties them together.

use crate::counters::DropReason;
use crate::error::{ConnectError, SendError};
use crate::inbox::Inbox;
use crate::packet::{Csum, Gso, Packet};
use crate::slab::Slab;
use crate::socket::{BindOptions, Outgoing, UdpId, UdpOptions};
use crate::wire::udp::{HEADER_LEN, Header};
use crate::wire::{self, checksum, protocol};
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Datagrams that one send may stand for (`UDP_SEGMENT`), as Linux.
const MAX_SEGMENTS: usize = 128;

/// All UDP sockets of a host.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    pub(crate) sockets: Slab<Socket>,
    /// Sockets that were told to wait until a link takes packets again.
    pub(crate) blocked: Vec<UdpId>,
}

/// One UDP socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// What bind took, with the port that was chosen.
    pub(crate) bound: SocketAddr,
    /// `bound`, or once connected the address that packets to the remote carry.
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) sharing: BindOptions,
    pub(crate) options: UdpOptions,
    /// The claim on the port.
    pub(crate) claim: u32,
    pub(crate) inbox: Inbox,
    /// Multicast groups joined, and on which interface (by number; `None` is any).
    pub(crate) groups: Vec<(IpAddr, Option<u32>)>,
}

impl Udp {
    pub(crate) fn get(&self, id: UdpId) -> Option<&Socket> {
        self.sockets.get(id.index, id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: UdpId) -> Option<&mut Socket> {
        self.sockets.get_mut(id.index, id.generation)
    }

    /// The name of the socket in a slot.
    pub(crate) fn id(&self, index: u32) -> Option<UdpId> {
        let generation = self.sockets.generation(index)?;
        Some(UdpId { index, generation })
    }

    /// True when a connected socket has these two ends.
    pub(crate) fn is_flow(&self, index: u32, local: SocketAddr, remote: SocketAddr) -> bool {
        self.sockets
            .at(index)
            .is_some_and(|socket| socket.local == local && socket.remote == Some(remote))
    }

    /// Sockets that a datagram to many (multicast, broadcast) is for: each one on the port whose address and remote let it in.
    pub(crate) fn listeners(&self, local: SocketAddr, remote: SocketAddr) -> Vec<u32> {
        let takes = |socket: &Socket| {
            let address = socket.local.ip();
            let family = local.is_ipv6() || address.is_ipv4() || !socket.sharing.only_v6;
            socket.local.port() == local.port()
                && (address == local.ip()
                    || address.is_unspecified() && (address.is_ipv6() || local.is_ipv4()) && family)
                && socket.remote.is_none_or(|only| only == remote)
        };
        self.sockets
            .iter()
            .filter(|(.., socket)| takes(socket))
            .map(|(index, ..)| index)
            .collect()
    }

    /// True when some socket joined the group on this interface.
    pub(crate) fn is_member(&self, group: IpAddr, interface: u32) -> bool {
        let joined = |(address, on): &(IpAddr, Option<u32>)| *address == group && on.is_none_or(|on| on == interface);
        self.sockets.iter().any(|(.., socket)| socket.groups.iter().any(joined))
    }
}

impl Socket {
    pub(crate) fn new(bound: SocketAddr, sharing: BindOptions, claim: u32) -> Self {
        Self {
            bound,
            local: bound,
            remote: None,
            sharing,
            options: UdpOptions::default(),
            claim,
            inbox: Inbox::default(),
            groups: Vec::new(),
        }
    }

    /// `remote` as a connected socket keeps it.
    ///
    /// # Errors
    /// `FamilyMismatch` when the socket's family has no such address.
    pub(crate) fn connectable(&self, remote: SocketAddr) -> Result<SocketAddr, ConnectError> {
        let remote = canonical(remote);
        if !self.reaches(remote.ip()) {
            return Err(ConnectError::FamilyMismatch);
        }
        Ok(self_for_unspecified(remote))
    }

    /// Where a datagram goes.
    ///
    /// # Errors
    /// `NoDestination` without one, `Invalid` for port 0, `FamilyMismatch` when the socket's family has no such address.
    pub(crate) fn destination(&self, datagram: &Outgoing) -> Result<SocketAddr, SendError> {
        let Some(to) = datagram.to.map(canonical).or(self.remote) else {
            return Err(SendError::NoDestination);
        };
        if to.port() == 0 {
            return Err(SendError::Invalid);
        }
        if !self.reaches(to.ip()) {
            return Err(SendError::FamilyMismatch);
        }
        Ok(self_for_unspecified(to))
    }

    /// The source address that the datagram or the socket insists on.
    pub(crate) fn source(&self, datagram: &Outgoing) -> Option<IpAddr> {
        let asked = datagram.from.map(|address| address.to_canonical());
        let asked = asked
            .or(Some(self.local.ip()))
            .filter(|address| !address.is_unspecified());
        // A socket bound to a group receives for the group, and sends as the host that it is.
        asked.filter(|address| !address.is_multicast())
    }

    /// True when the socket's family has this address.
    fn reaches(&self, address: IpAddr) -> bool {
        match (self.bound.ip(), address) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => true,
            (IpAddr::V6(own), IpAddr::V4(_)) => own.is_unspecified() && !self.sharing.only_v6,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

/// Checks how long a datagram is that goes to `to` by a path of `mtu` bytes. Returns the segment size when it stands for several.
///
/// # Errors
/// `MessageTooLong` beyond what UDP's length field holds, beyond the path when it must not be fragmented, or when a segment does not fit the path;
/// `Invalid` for too many segments or segments of 0 bytes.
pub(crate) fn check_length(
    datagram: &Outgoing,
    to: IpAddr,
    mtu: usize,
    dont_fragment: bool,
) -> Result<Option<u16>, SendError> {
    let ip_header = ip_header_len(to);
    let len = datagram.data.len();
    // IPv4's length field counts its own header, IPv6's does not. RFC 791 §3.1, RFC 8200 §3.
    let longest = usize::from(u16::MAX) - HEADER_LEN - if to.is_ipv4() { ip_header } else { 0 };
    if len > longest {
        return Err(SendError::MessageTooLong);
    }
    let room = mtu.saturating_sub(ip_header + HEADER_LEN);
    match datagram.segment_size {
        Some(0) => Err(SendError::Invalid),
        Some(size) if len > usize::from(size) => {
            if len.div_ceil(usize::from(size)) > MAX_SEGMENTS {
                return Err(SendError::Invalid);
            }
            if usize::from(size) > room {
                return Err(SendError::MessageTooLong);
            }
            Ok(Some(size))
        }
        _ if dont_fragment && len > room => Err(SendError::MessageTooLong),
        _ => Ok(None),
    }
}

/// The length of an IP header to such an address, as we send it.
pub(crate) const fn ip_header_len(to: IpAddr) -> usize {
    match to {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    }
}

/// Reads the datagram that begins at `at` in `packet` (head and body as one). Returns its header and payload; bytes behind its length are
/// not part of it.
///
/// # Errors
/// `Truncated` or `Malformed` when the lengths do not fit, `BadChecksum` when it does not match, or is missing over IPv6 (RFC 8200 §8.1;
/// over IPv4 RFC 768 allows that).
pub(crate) fn parse(packet: &Packet, at: usize, src: IpAddr, dst: IpAddr) -> Result<(Header, Bytes), DropReason> {
    let bytes = packet.head.as_slice().get(at..).ok_or(DropReason::Truncated)?;
    let header = wire::udp::parse(bytes)?;
    let available = packet.total_len() - at;
    let several = matches!(packet.meta.gso, Gso::Udp { .. });
    // The length field of a super-datagram speaks of no datagram on the wire.
    let len = if several { available } else { usize::from(header.len) };
    if len > available {
        return Err(DropReason::Truncated);
    }
    let payload = packet.bytes_from(at + HEADER_LEN).slice(..len - HEADER_LEN);
    if packet.meta.csum == Csum::Full && !several {
        let good = match header.checksum {
            0 => src.is_ipv4(),
            _ => checksum::transport(src, dst, protocol::UDP, [&bytes[..HEADER_LEN], &payload], len) == 0,
        };
        if !good {
            return Err(DropReason::BadChecksum);
        }
    }
    Ok((header, payload))
}

/// The address without the disguise of IPv4 in IPv6, and without scope.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// "This host" as a destination is the loopback address, as on BSD and Linux.
pub(crate) fn self_for_unspecified(to: SocketAddr) -> SocketAddr {
    let address = match to.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, to.port())
}
