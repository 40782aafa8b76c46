//! From what a caller writes to socket addresses.

use crate::Host;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What can stand for one or more socket addresses: the types that tokio takes. A name is looked up among the host's own, then by its name
/// servers.
///
/// Nobody else implements it, so that it can grow.
pub trait ToSocketAddrs: sealed::Sealed {}

pub(crate) mod sealed {
    use super::Target;

    pub trait Sealed {
        fn target(&self) -> Target;
    }
}

/// Addresses, or a name that stands for some.
#[derive(Debug)]
pub enum Target {
    Addresses(Vec<SocketAddr>),
    Name(String, u16),
    /// Neither.
    Wrong(&'static str),
}

/// Looks a name up, as `connect` and `bind` do on the current host: among its own ([`HostBuilder::name`](crate::HostBuilder::name)), then by
/// its name servers ([`HostBuilder::name_server`](crate::HostBuilder::name_server)). What these say is kept as long as they allow.
///
/// # Errors
/// `NotFound` for a name that nobody knows, or without a current host; `TimedOut` when no name server answers; `InvalidInput` for what is neither name nor address.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = sockeye::Host::builder().build()?;
/// let found: Vec<_> = host.scope(sockeye::net::lookup_host("localhost:80")).await?.collect();
/// assert_eq!(found, ["127.0.0.1:80".parse()?, "[::1]:80".parse()?]);
/// # Ok(()) }
/// ```
pub async fn lookup_host(host: impl ToSocketAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    Ok(resolve(&Host::current()?, &host).await?.into_iter())
}

/// The addresses that `what` stands for on this host: one at least.
pub(crate) async fn resolve(host: &Host, what: &impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    let found = match what.target() {
        Target::Addresses(addresses) => addresses,
        Target::Wrong(why) => return Err(io::Error::new(io::ErrorKind::InvalidInput, why)),
        Target::Name(name, port) => match name.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let known = host.addresses_of(&name).await?;
                known.iter().map(|address| SocketAddr::new(*address, port)).collect()
            }
        },
    };
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "could not resolve to any address",
        ));
    }
    Ok(found)
}

macro_rules! targets {
    ($($type:ty, $self:ident => $target:expr;)*) => {$(
        impl ToSocketAddrs for $type {}
        impl sealed::Sealed for $type {
            fn target(&$self) -> Target {
                $target
            }
        }
    )*};
}

targets! {
    SocketAddr, self => Target::Addresses(vec![*self]);
    SocketAddrV4, self => Target::Addresses(vec![(*self).into()]);
    SocketAddrV6, self => Target::Addresses(vec![(*self).into()]);
    (IpAddr, u16), self => Target::Addresses(vec![(*self).into()]);
    (Ipv4Addr, u16), self => Target::Addresses(vec![(*self).into()]);
    (Ipv6Addr, u16), self => Target::Addresses(vec![(*self).into()]);
    [SocketAddr], self => Target::Addresses(self.to_vec());
    (&str, u16), self => Target::Name(self.0.to_owned(), self.1);
    (String, u16), self => Target::Name(self.0.clone(), self.1);
    str, self => parse(self);
    String, self => parse(self);
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {}

impl<T: ToSocketAddrs + ?Sized> sealed::Sealed for &T {
    fn target(&self) -> Target {
        (**self).target()
    }
}

/// `10.0.0.1:80`, `[fd00::1]:80`, `name:80`.
fn parse(text: &str) -> Target {
    if let Ok(address) = text.parse() {
        return Target::Addresses(vec![address]);
    }
    match text.rsplit_once(':') {
        None => Target::Wrong("invalid socket address"),
        Some((name, port)) => match port.parse() {
            Ok(port) => Target::Name(name.to_owned(), port),
            Err(_) => Target::Wrong("invalid port value"),
        },
    }
}

/// As a socket of this family shows an address: IPv4 is v4-mapped on one of IPv6.
pub(crate) fn shown(address: SocketAddr, v6: bool) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v6 => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        other => other,
    }
}
