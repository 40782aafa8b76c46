//! The inside network's addresses: slirp's numbers, which people know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The program's IPv4 address, in 10.0.2.0/24.
pub const PROGRAM_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The program's IPv6 address, in fd00::/64.
pub const PROGRAM_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x15);
/// The gateway, which also offers the built-in services.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The gateway, which also offers the built-in services.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
/// The name server.
pub const NAMES_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The name server.
pub const NAMES_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);
/// Prefix length of the inside IPv4 network.
pub const PREFIX_V4: u8 = 24;
/// Prefix length of the inside IPv6 network.
pub const PREFIX_V6: u8 = 64;

/// The gateway's address of the same family as `like`.
pub fn gateway(like: IpAddr) -> IpAddr {
    if like.is_ipv4() {
        GATEWAY_V4.into()
    } else {
        GATEWAY_V6.into()
    }
}

/// The program's address of the same family as `like`.
pub fn program(like: IpAddr) -> IpAddr {
    if like.is_ipv4() {
        PROGRAM_V4.into()
    } else {
        PROGRAM_V6.into()
    }
}

/// True for the gateway's own addresses.
pub fn is_gateway(address: IpAddr) -> bool {
    address == GATEWAY_V4 || address == GATEWAY_V6
}

/// True for the name server's own addresses.
pub fn is_names(address: IpAddr) -> bool {
    address == NAMES_V4 || address == NAMES_V6
}

/// True for every address of the inside network, held by somebody or not.
pub fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == GATEWAY_V4.octets()[..3],
        IpAddr::V6(v6) => v6.segments()[..4] == GATEWAY_V6.segments()[..4],
    }
}
