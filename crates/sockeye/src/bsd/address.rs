//! Addresses as the calls take and give them.

use crate::services_registry;
use rustix::net::{SocketAddrAny, SocketAddrUnix};
use sockeye_core::bsd::address::Family;
use sockeye_core::error::Errno;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::errno;
use crate::Host;

/// An address for a socket of any family, made from whatever the caller has.
///
/// A text is `HOST:PORT` where either may be a name (`"10.0.0.1:80"`, `"[fd00::1]:53"`, `"www.example:http"`), or a path, which begins with `/`.
///
/// ```
/// use sockeye::bsd::Address;
/// assert_eq!(Address::from("10.0.0.1:80"), Address::Inet("10.0.0.1:80".parse()?));
/// assert_eq!(Address::from("www.example:http"), Address::Name("www.example".into(), "http".into()));
/// assert_eq!(Address::from("/run/socket"), Address::Unix("/run/socket".into()));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of AF_INET or AF_INET6.
    Inet(SocketAddr),
    /// A host's name and a port or a service's name.
    Name(String, String),
    /// Of AF_UNIX.
    Unix(PathBuf),
    /// None: an AF_UNIX socket that is not bound, or AF_UNSPEC for `connect`, which lets go of a remote.
    Unspecified,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Name(host, service) => write!(f, "{host}:{service}"),
            Self::Unix(path) => path.display().fmt(f),
            Self::Unspecified => f.write_str("(none)"),
        }
    }
}

impl Address {
    /// The socket address, where it is one already.
    ///
    /// # Errors
    /// `EAFNOSUPPORT` for all others.
    ///
    /// ```
    /// # use sockeye::bsd::Address;
    /// assert_eq!(Address::from("10.0.0.1:80").inet()?.port(), 80);
    /// assert!(Address::from("/run/socket").inet().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn inet(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Inet(address) => Ok(*address),
            _ => Err(errno(Errno::EAFNOSUPPORT)),
        }
    }

    /// What it stands for on a socket of this family: one address at least.
    pub(super) fn resolve(&self, host: &Host, family: Family, protocol: &str) -> io::Result<Vec<SocketAddr>> {
        let (name, service) = match self {
            Self::Inet(address) => return fit(*address, family).map(|address| vec![address]),
            Self::Name(name, service) => (name, service),
            Self::Unix(_) | Self::Unspecified => return Err(errno(Errno::EAFNOSUPPORT)),
        };
        let port = port(service, protocol)?;
        let found = crate::blocking::block_on(crate::net::resolve(host, &(name.as_str(), port)))?;
        let fits: Vec<_> = found.iter().filter_map(|address| fit(*address, family).ok()).collect();
        if fits.is_empty() {
            return Err(errno(Errno::EAFNOSUPPORT));
        }
        Ok(fits)
    }

    pub(super) fn unix(&self) -> io::Result<SocketAddrUnix> {
        match self {
            Self::Unix(path) => Ok(SocketAddrUnix::new(path)?),
            _ => Err(errno(Errno::EINVAL)),
        }
    }

    /// What a local socket's call gave.
    pub(super) fn from_kernel(address: SocketAddrAny) -> Self {
        let Ok(unix) = SocketAddrUnix::try_from(address) else {
            return Self::Unspecified;
        };
        match unix.path() {
            Some(path) => Self::Unix(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())).to_owned()),
            None => Self::Unspecified,
        }
    }
}

/// The port of a service: a number, or a name of the registry.
pub(super) fn port(service: &str, protocol: &str) -> io::Result<u16> {
    let known = || services_registry::getservbyname(service, Some(protocol)).map(|service| service.port);
    service.parse().ok().or_else(known).ok_or_else(|| {
        let text = format!("no service `{service}` over {protocol}; a port number or a name like `http` is wanted");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// As a socket of this family names it.
fn fit(address: SocketAddr, family: Family) -> io::Result<SocketAddr> {
    match (address, family) {
        (SocketAddr::V4(_), Family::V4) | (SocketAddr::V6(_), Family::V6) => Ok(address),
        (SocketAddr::V4(v4), Family::V6) => Ok(SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())),
        (SocketAddr::V6(_), Family::V4) => Err(errno(Errno::EAFNOSUPPORT)),
    }
}

macro_rules! from {
    ($($type:ty),*) => {$(
        impl From<$type> for Address {
            fn from(address: $type) -> Self {
                Self::Inet(address.into())
            }
        }
    )*};
}

from!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        if text.starts_with('/') {
            return Self::Unix(text.into());
        }
        match (text.parse(), text.rsplit_once(':')) {
            (Ok(address), _) => Self::Inet(address),
            (Err(_), Some((host, service))) => (host, service).into(),
            (Err(_), None) => (text, "").into(),
        }
    }
}

impl From<&String> for Address {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<(&str, &str)> for Address {
    fn from((host, service): (&str, &str)) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Self::Name(bare.unwrap_or(host).to_owned(), service.to_owned())
    }
}

impl From<(&str, u16)> for Address {
    fn from((host, port): (&str, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Inet(SocketAddr::new(address, port)),
            Err(_) => Self::Name(host.to_owned(), port.to_string()),
        }
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}
