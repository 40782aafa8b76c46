//! Names into addresses, services into ports, and back.

use super::{AF_INET, AF_INET6, AF_UNSPEC, SOCK_DGRAM, SOCK_STREAM, errno};
use crate::{Host, services_registry};
use sockeye_core::error::Errno;
use std::io;
use std::net::{IpAddr, SocketAddr};

pub use services_registry::{getservbyname, getservbyport};

/// What [`gethostbyname`] gives: `struct hostent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// The name that was asked for.
    pub name: String,
    /// Its addresses, of both versions; one at least.
    pub addresses: Vec<IpAddr>,
}

/// One answer of [`getaddrinfo`]: what [`socket`](super::socket) and [`connect`](super::connect) take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddrInfo {
    /// `AF_INET` or `AF_INET6`.
    pub family: i32,
    /// `SOCK_STREAM` or `SOCK_DGRAM`.
    pub kind: i32,
    /// The address, with its port.
    pub address: SocketAddr,
}

/// The addresses of a host, by its name, as the current host knows them.
///
/// # Errors
/// `NotFound` for a name that nobody knows, or without a current host; `TimedOut` when no name server answers.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = sockeye::Host::builder().name("www.example", [192, 0, 2, 80]).build_on_thread()?;
/// let _entered = host.enter();
/// let found = sockeye::bsd::gethostbyname("www.example")?;
/// assert_eq!(found.addresses, ["192.0.2.80".parse::<std::net::IpAddr>()?]);
/// # Ok(()) }
/// ```
pub fn gethostbyname(name: &str) -> io::Result<HostEntry> {
    let found = crate::blocking::block_on(crate::net::resolve(&Host::current()?, &(name, 0)))?;
    let mut addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
    addresses.dedup();
    Ok(HostEntry {
        name: name.to_owned(),
        addresses,
    })
}

/// Every address of a host with the port of a service, by their names or numbers: of `family` (or `AF_UNSPEC`) and `kind` (or 0 for both). An
/// empty `node` is any local address; an empty `service` port 0.
///
/// # Errors
/// Those of [`gethostbyname`]; `InvalidInput` for a service that there is not; `EAFNOSUPPORT` for another family, or when the host has no
/// address of it.
///
/// ```
/// use sockeye::bsd::{self, AF_INET, SOCK_STREAM};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = sockeye::Host::builder().name("www.example", [192, 0, 2, 80]).build_on_thread()?;
/// let _entered = host.enter();
/// let found = bsd::getaddrinfo("www.example", "https", AF_INET, SOCK_STREAM)?;
/// assert_eq!(found[0].address, "192.0.2.80:443".parse()?);
/// # Ok(()) }
/// ```
pub fn getaddrinfo(node: &str, service: &str, family: i32, kind: i32) -> io::Result<Vec<AddrInfo>> {
    if ![AF_UNSPEC, AF_INET, AF_INET6].contains(&family) {
        return Err(errno(Errno::EAFNOSUPPORT));
    }
    let kinds: &[i32] = match kind {
        0 => &[SOCK_STREAM, SOCK_DGRAM],
        SOCK_STREAM => &[SOCK_STREAM],
        SOCK_DGRAM => &[SOCK_DGRAM],
        _ => return Err(errno(Errno::ESOCKTNOSUPPORT)),
    };
    let addresses = if node.is_empty() {
        vec!["::".parse().unwrap_or(IpAddr::from([0; 16])), IpAddr::from([0; 4])]
    } else {
        gethostbyname(node)?.addresses
    };
    let mut found = Vec::new();
    for ip in addresses {
        let of = if ip.is_ipv4() { AF_INET } else { AF_INET6 };
        for kind in kinds.iter().filter(|_| family == AF_UNSPEC || family == of) {
            let protocol = if *kind == SOCK_STREAM { "tcp" } else { "udp" };
            let port = if service.is_empty() {
                0
            } else {
                super::address::port(service, protocol)?
            };
            found.push(AddrInfo {
                family: of,
                kind: *kind,
                address: SocketAddr::new(ip, port),
            });
        }
    }
    if found.is_empty() {
        return Err(errno(Errno::EAFNOSUPPORT));
    }
    Ok(found)
}
