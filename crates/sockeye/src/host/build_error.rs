//! What can be wrong with the description of a host.

use sockeye_core::settings::SysctlError;
use std::fmt;
use std::io;
use std::net::IpAddr;

/// Memory budgets: what `net.ipv4.tcp_mem` takes, a number of pages.
pub(super) const PAGE: u64 = 4_096;
pub(super) const LEAST_MEMORY: u64 = 256 * PAGE;
pub(super) const MOST_MEMORY: u64 = i32::MAX as u64 * PAGE;

/// Why a host could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// Not an address with a prefix length.
    Address(String),
    /// Not a network with a prefix length, or not a router's address of the same family.
    Route(String, String),
    /// The router is on none of the host's links.
    Router(IpAddr),
    /// Which link has the addresses cannot be told.
    WhichLink,
    /// There are addresses, and no link.
    NoLink,
    /// A link's MTU is out of range.
    Mtu(u32),
    /// Not a name server's address, with a port or without.
    NameServer(String),
    /// Not a name.
    Name(String),
    /// A memory budget that is out of range, in bytes.
    Memory(u64),
    /// A setting that there is not, or a value that it does not take.
    Sysctl(SysctlError),
    /// No tokio runtime is running here.
    NoRuntime,
    /// The machine gives no thread or runtime for the host, and why.
    Thread(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => write!(
                f,
                "`{text}` is no address with a prefix length; 10.0.0.1/24 and fd00::1/64 are"
            ),
            Self::Route(network, via) => write!(
                f,
                "no route from `{network}` by `{via}`; a network and a router of the same family are wanted: 0.0.0.0/0 by 10.0.0.1"
            ),
            Self::Router(via) => write!(
                f,
                "router {via} is on no link of this host: no address of the host is in its network"
            ),
            Self::WhichLink => f.write_str("with several links, say which has which address: HostBuilder::interface"),
            Self::NoLink => f.write_str("an address needs a link; without one a host has its loopback addresses"),
            Self::Mtu(mtu) => write!(
                f,
                "a link's MTU of {mtu} is out of range; 68 to 65535 bytes are in it, from 1280 on with IPv6"
            ),
            Self::NameServer(text) => write!(
                f,
                "`{text}` is no name server's address; 10.0.0.53 and [fd00::53]:5353 are"
            ),
            Self::Name(text) => write!(f, "`{text}` is no name; www.example is"),
            Self::Memory(bytes) => write!(
                f,
                "a memory budget of {bytes} bytes is out of range; {LEAST_MEMORY} to {MOST_MEMORY} bytes are in it"
            ),
            Self::Sysctl(error) => error.fmt(f),
            Self::Thread(why) => write!(f, "no thread for the host: {why}"),
            Self::NoRuntime => f.write_str(
                "a host needs a tokio runtime to be built on, with time enabled: call build() inside of one, or build_on_thread()",
            ),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<BuildError> for io::Error {
    fn from(error: BuildError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
