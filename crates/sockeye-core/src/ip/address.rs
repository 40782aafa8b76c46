//! What kind of address may stand where. RFC 1122 §3.2.1.3, RFC 6890, RFC 4291 §2.

use std::net::IpAddr;

/// True for 127/8 and ::1.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

/// True for multicast and for IPv4's limited broadcast: such packets stay on one link and need no neighbour.
pub(super) fn is_link_wide(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// True for what may never be a packet's source: multicast, broadcast, 0/8 and 240/4, v4-mapped. IPv6's unspecified address may be one,
/// in neighbour discovery alone.
pub(super) fn is_bad_source(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.octets()[0] >= 224,
        IpAddr::V6(v6) => v6.is_multicast() || v6.to_ipv4_mapped().is_some(),
    }
}

/// True for what may never be a packet's destination: the unspecified address, 0/8, 240/4 but for the broadcast, v4-mapped, and IPv6
/// multicast of scope 0 (RFC 4291 §2.7).
pub(super) fn is_bad_destination(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || (v4.octets()[0] >= 240 && !v4.is_broadcast()),
        IpAddr::V6(v6) => {
            v6.is_unspecified() || v6.to_ipv4_mapped().is_some() || (v6.is_multicast() && v6.octets()[1] & 15 == 0)
        }
    }
}
