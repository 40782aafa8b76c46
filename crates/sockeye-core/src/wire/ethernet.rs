//! Ethernet II frames (RFC 894, RFC 2464): the header, and the group addresses that IP multicast maps to. A VLAN tag is not looked behind.

use crate::counters::DropReason;
use crate::packet::Head;
use std::net::IpAddr;

/// A hardware address.
pub type Mac = [u8; 6];

/// Length of the header.
pub const HEADER_LEN: usize = 14;
/// All stations on the link.
pub const BROADCAST: Mac = [0xff; 6];
/// Ethertype of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ethertype of ARP.
pub const ARP: u16 = 0x0806;
/// Ethertype of IPv6.
pub const IPV6: u16 = 0x86dd;

/// The fields of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who shall take the frame.
    pub dst: Mac,
    /// Who sent it.
    pub src: Mac,
    /// What it carries.
    pub ethertype: u16,
}

/// Reads the header from the start of `bytes`.
///
/// # Errors
/// `Truncated` when `bytes` is too short.
pub fn parse(bytes: &[u8]) -> Result<Header, DropReason> {
    let b: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    Ok(Header {
        dst: [b[0], b[1], b[2], b[3], b[4], b[5]],
        src: [b[6], b[7], b[8], b[9], b[10], b[11]],
        ethertype: u16::from_be_bytes([b[12], b[13]]),
    })
}

/// Prepends a header.
pub fn build(head: &mut Head, header: &Header) {
    let out = head.prepend(HEADER_LEN);
    out[0..6].copy_from_slice(&header.dst);
    out[6..12].copy_from_slice(&header.src);
    out[12..14].copy_from_slice(&header.ethertype.to_be_bytes());
}

/// True for a group of stations rather than one (IEEE 802: the lowest bit of the first byte).
pub fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// The group address that an IP multicast address maps to. RFC 1112 §6.4: the low 23 bits; RFC 2464 §7: the low 32.
pub fn multicast(group: IpAddr) -> Mac {
    match group {
        IpAddr::V4(v4) => {
            let [_, b, c, d] = v4.octets();
            [0x01, 0x00, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(v6) => {
            let o = v6.octets();
            [0x33, 0x33, o[12], o[13], o[14], o[15]]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let header = Header {
            dst: BROADCAST,
            src: [2, 0, 0, 0, 0, 1],
            ethertype: ARP,
        };
        let mut head = Head::for_output();
        build(&mut head, &header);
        assert_eq!(parse(head.as_slice()), Ok(header));
        assert_eq!(parse(&head.as_slice()[..13]), Err(DropReason::Truncated));
    }

    #[test]
    fn groups_map_to_group_addresses() {
        for (group, want) in [
            ("224.0.0.1", [0x01, 0x00, 0x5e, 0, 0, 1]),
            ("239.129.2.3", [0x01, 0x00, 0x5e, 1, 2, 3]),
            ("ff02::1:ff00:15", [0x33, 0x33, 0xff, 0, 0, 0x15]),
        ] {
            let mac = multicast(group.parse().unwrap());
            assert_eq!(mac, want, "{group}");
            assert!(is_group(mac) && is_group(BROADCAST) && !is_group([2, 0, 0, 0, 0, 1]));
        }
    }
}
