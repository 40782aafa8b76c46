//! Who talks to whom: the two ends of a conversation as one key of 36 bytes.
//!
//! IPv4 is held as v4-mapped IPv6 (RFC 4291 §2.5.5.2), so that one key serves both and a dual-stack socket needs no second table.

use crate::keys::Key;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What ports belong to: port 53 of UDP has nothing to do with port 53 of TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// Local and remote address and port.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FourTuple {
    local: [u8; 16],
    remote: [u8; 16],
    local_port: u16,
    remote_port: u16,
}

impl FourTuple {
    /// From our end to theirs.
    pub(crate) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local: mapped(local.ip()),
            remote: mapped(remote.ip()),
            local_port: local.port(),
            remote_port: remote.port(),
        }
    }

    /// Our end.
    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(canonical(self.local), self.local_port)
    }

    /// Their end.
    pub(crate) fn remote(&self) -> SocketAddr {
        SocketAddr::new(canonical(self.remote), self.remote_port)
    }

    /// True between IPv4 addresses.
    pub(crate) fn is_v4(&self) -> bool {
        self.remote[..12] == MAPPED
    }

    /// Keyed hash of the tuple and a word beside it. An IPv4 tuple is two words, so it costs half.
    pub(crate) fn hash(&self, key: &Key, beside: u64) -> u64 {
        let ports = u64::from(self.local_port) << 16 | u64::from(self.remote_port);
        if self.is_v4() && self.local[..12] == MAPPED {
            let addresses = u64::from(low32(&self.local)) << 32 | u64::from(low32(&self.remote));
            key.hash(&[addresses, beside << 32 | ports])
        } else {
            let [local, remote] = [&self.local, &self.remote].map(halves);
            key.hash(&[local[0], local[1], remote[0], remote[1], beside << 32 | ports])
        }
    }
}

impl std::fmt::Debug for FourTuple {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.local(), self.remote())
    }
}

const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// The address in 16 bytes.
pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address that 16 bytes stand for.
pub(crate) fn canonical(octets: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(octets).to_canonical()
}

/// The two words of an address.
pub(crate) fn halves(octets: &[u8; 16]) -> [u64; 2] {
    let whole = u128::from_be_bytes(*octets);
    [(whole >> 64) as u64, whole as u64]
}

fn low32(octets: &[u8; 16]) -> u32 {
    u128::from_be_bytes(*octets) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    #[test]
    fn keeps_both_families() {
        for (local, remote, v4) in [
            ("10.0.2.15:4000", "192.0.2.1:80", true),
            ("[fd00::15]:4000", "[2001:db8::1]:80", false),
        ] {
            let [local, remote]: [SocketAddr; 2] = [local, remote].map(|text| text.parse().unwrap());
            let tuple = FourTuple::new(local, remote);
            assert_eq!((tuple.local(), tuple.remote(), tuple.is_v4()), (local, remote, v4));
        }
        assert_eq!(size_of::<FourTuple>(), 36);
    }

    #[test]
    fn every_part_enters_the_hash() {
        let key = Keys::new(1, "tuple").key("test");
        let hash = |local: &str, remote: &str, beside| {
            FourTuple::new(local.parse().unwrap(), remote.parse().unwrap()).hash(&key, beside)
        };
        let hashes = [
            hash("10.0.0.1:1", "10.0.0.2:2", 0),
            hash("10.0.0.2:1", "10.0.0.1:2", 0),
            hash("10.0.0.1:2", "10.0.0.2:1", 0),
            hash("10.0.0.1:1", "10.0.0.2:2", 1),
            hash("[fd00::1]:1", "[fd00::2]:2", 0),
            hash("[fd00::2]:1", "[fd00::1]:2", 0),
            hash("[fd00::1]:1", "[fd00::2]:2", 1),
            hash("[fd00::1]:2", "[fd00::2]:1", 0),
        ];
        for (n, one) in hashes.iter().enumerate() {
            assert!(!hashes[..n].contains(one), "case {n}");
        }
    }
}
