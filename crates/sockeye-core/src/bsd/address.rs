//! Socket addresses as programs hand them over: bytes on the way in, bytes on the way out.

use super::abi;
use crate::error::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The family of a socket that we serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// AF_INET.
    V4,
    /// AF_INET6.
    V6,
}

/// An address that a program named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// AF_UNSPEC: no address any more.
    Nothing,
    /// An address to bind or to talk to. An IPv6 socket's IPv4-mapped address is given as IPv4.
    At(SocketAddr),
}

impl Family {
    /// AF_INET or AF_INET6.
    pub fn number(self) -> i32 {
        match self {
            Self::V4 => abi::AF_INET,
            Self::V6 => abi::AF_INET6,
        }
    }

    /// Any address, any port.
    pub fn unspecified(self) -> SocketAddr {
        SocketAddr::new(
            match self {
                Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
            },
            0,
        )
    }

    /// Reads an address as a socket of this family understands it.
    ///
    /// # Errors
    /// `EINVAL` when it is too short, `EAFNOSUPPORT` when it is of another family.
    pub fn parse(self, bytes: &[u8]) -> Result<Named, Errno> {
        let family = bytes.get(..2).ok_or(Errno::EINVAL)?;
        let family = i32::from(u16::from_ne_bytes([family[0], family[1]]));
        let port = || {
            bytes
                .get(2..4)
                .map(|port| u16::from_be_bytes([port[0], port[1]]))
                .ok_or(Errno::EINVAL)
        };
        match (self, family) {
            (_, abi::AF_UNSPEC) => Ok(Named::Nothing),
            (Self::V4, abi::AF_INET) => {
                let address: [u8; 4] = bytes
                    .get(4..8)
                    .ok_or(Errno::EINVAL)?
                    .try_into()
                    .map_err(|_| Errno::EINVAL)?;
                if bytes.len() < 16 {
                    return Err(Errno::EINVAL);
                }
                Ok(Named::At(SocketAddr::new(Ipv4Addr::from(address).into(), port()?)))
            }
            (Self::V6, abi::AF_INET6) => {
                let address: [u8; 16] = bytes
                    .get(8..24)
                    .ok_or(Errno::EINVAL)?
                    .try_into()
                    .map_err(|_| Errno::EINVAL)?;
                let scope = bytes
                    .get(24..28)
                    .map_or(0, |scope| u32::from_ne_bytes([scope[0], scope[1], scope[2], scope[3]]));
                let address = Ipv6Addr::from(address);
                Ok(Named::At(match address.to_ipv4_mapped() {
                    Some(v4) => SocketAddr::new(v4.into(), port()?),
                    None => SocketAddrV6::new(address, port()?, 0, scope).into(),
                }))
            }
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// An address as a socket of this family shows it.
    pub fn encode(self, address: SocketAddr) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend((self.number() as u16).to_ne_bytes());
        bytes.extend(address.port().to_be_bytes());
        match self {
            Self::V4 => {
                let v4 = match address.ip() {
                    IpAddr::V4(v4) => v4,
                    IpAddr::V6(v6) => v6.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
                };
                bytes.extend(v4.octets());
                bytes.extend([0; 8]);
            }
            Self::V6 => {
                let (v6, scope) = match address {
                    SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
                    SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
                };
                bytes.extend([0; 4]);
                bytes.extend(v6.octets());
                bytes.extend(scope.to_ne_bytes());
            }
        }
        bytes
    }
}

/// Connecting to the unspecified address means this host, as on Linux.
pub fn towards(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(v6) if v6.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_in_and_out() {
        for (family, text, shown) in [
            (Family::V4, "10.0.2.15:80", "10.0.2.15:80"),
            (Family::V6, "[fd00::3]:53", "[fd00::3]:53"),
            (Family::V6, "10.0.2.2:7", "10.0.2.2:7"),
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let bytes = family.encode(address);
            assert_eq!(bytes.len(), if family == Family::V4 { 16 } else { 28 });
            assert_eq!(family.parse(&bytes), Ok(Named::At(shown.parse().unwrap())), "{text}");
        }
        let v4 = Family::V4.encode("1.2.3.4:5".parse().unwrap());
        assert_eq!(Family::V6.parse(&v4), Err(Errno::EAFNOSUPPORT));
        assert_eq!(Family::V4.parse(&v4[..15]), Err(Errno::EINVAL));
        assert_eq!(Family::V4.parse(&[0, 0]), Ok(Named::Nothing));
        assert_eq!(Family::V4.parse(&[2]), Err(Errno::EINVAL));
    }
}
