//! What a host is made from.

use super::anyone::Strays;
use super::build_error::{BuildError, LEAST_MEMORY, MOST_MEMORY, PAGE};
use super::clock::Clock;
use super::driver::Driver;
use super::shard::{Port, Shard};
use super::{Handle, Host, Pump};
use crate::link::{Caps, Link};
use crate::names::resolver::{self, Resolver};
use sockeye_core::HostConfig;
use sockeye_core::host::{InterfaceConfig, InterfaceId, Route};
use sockeye_core::settings::{Settings, SysctlError};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Describes a [`Host`]; [`build`](Self::build) makes it. What is wrong with the description comes out there, as a value.
///
/// ```
/// use sockeye::{Host, link};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (link, wire) = link::channel(1_420);
/// let host = Host::builder()
///     .address("10.0.0.2/24")
///     .address("fd00::2/64")
///     .link(link)
///     .route("0.0.0.0/0", "10.0.0.1")
///     .sysctl("net.ipv4.tcp_congestion_control", "reno")
///     .seed(7)
///     .build()?;
/// # drop((host, wire));
/// # Ok(()) }
/// ```
#[derive(Default)]
#[must_use = "build() makes the host"]
pub struct HostBuilder {
    addresses: Vec<String>,
    links: Vec<Box<dyn Link>>,
    interfaces: Vec<Interface>,
    routes: Vec<(String, String)>,
    pub(super) names: Vec<(String, IpAddr)>,
    settings: Settings,
    wrong: Option<SysctlError>,
    seed: Option<u64>,
    pub(super) resolver: resolver::Settings,
    /// What was wrong with a name, a name server or a table of them.
    pub(super) misnamed: Option<BuildError>,
    any_address: bool,
    memory: Option<u64>,
}

/// One interface of a host with several: a link, and the addresses on it. See [`HostBuilder::interface`].
#[must_use = "hand it to HostBuilder::interface"]
pub struct Interface {
    link: Box<dyn Link>,
    addresses: Vec<String>,
    routes: Vec<String>,
}

impl Interface {
    /// An interface on `link`, without addresses yet.
    pub fn new(link: impl Link) -> Self {
        Self {
            link: Box::new(link),
            addresses: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Adds an address with its prefix length: `10.0.0.1/24`.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Packets to `network` leave by this link without a router: `on_link("192.168.0.0/16")`. Each address has the route to its own network
    /// already; for routes by a router see [`HostBuilder::route`].
    pub fn on_link(mut self, network: impl Into<String>) -> Self {
        self.routes.push(network.into());
        self
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interface")
            .field("caps", &self.link.caps())
            .field("addresses", &self.addresses)
            .finish()
    }
}

impl HostBuilder {
    /// Adds an address with its prefix length to the host's one link: `10.0.0.1/24`, `fd00::1/64`. Before or after the link is the same.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// The link of a host with one. For several see [`HostBuilder::interface`].
    pub fn link(mut self, link: impl Link) -> Self {
        self.links.push(Box::new(link));
        self
    }

    /// Adds a link with its addresses.
    ///
    /// ```
    /// use sockeye::{Host, Interface, link};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ((left, _a), (right, _b)) = (link::pair(), link::pair());
    /// let host = Host::builder()
    ///     .interface(Interface::new(left).address("10.1.0.1/24"))
    ///     .interface(Interface::new(right).address("10.2.0.1/24"))
    ///     .build()?;
    /// # drop(host);
    /// # Ok(()) }
    /// ```
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interfaces.push(interface);
        self
    }

    /// Packets to `network` go to the router `via`, which must be on one of the links: `route("0.0.0.0/0", "10.0.0.1")`. Each address has the
    /// route to its own network already.
    pub fn route(mut self, network: impl Into<String>, via: impl Into<String>) -> Self {
        self.routes.push((network.into(), via.into()));
        self
    }

    /// Accepts packets for any address, not only the host's own: what no socket of this host takes comes out of [`Host::accept_any`] and
    /// [`Host::recv_any`]. For transparent proxies and gateways. A host with one link and no default route answers everybody by that link.
    pub const fn any_address(mut self, any: bool) -> Self {
        self.any_address = any;
        self
    }

    /// Limits what buffers and flow state of all connections together may take, in bytes: 1 MiB at least, 1 GiB unless set. From half of it
    /// on buffers do not grow; from three quarters on only what is in order is kept, and new connections come in by SYN cookie only; at the
    /// limit connections are reset, those that hold most first. It is `net.ipv4.tcp_mem` in bytes; [`Host::memory`] tells what is in use.
    ///
    /// ```
    /// use sockeye::Host;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = Host::builder().max_memory(32 << 20).build()?;
    /// assert_eq!(host.memory().buffers, 0);
    /// # Ok(()) }
    /// ```
    pub const fn max_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Sets what Linux's `sysctl` calls `name`, in Linux's notation: `sysctl("net.ipv4.tcp_sack", "0")`. The defaults are safe and meant to stay.
    pub fn sysctl(mut self, name: &str, value: &str) -> Self {
        if let Err(error) = self.settings.set(name, value) {
            self.wrong.get_or_insert(error);
        }
        self
    }

    /// All chance of the host follows from this, and all its secrets: for tests. Without it they are drawn anew each time.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The host, moved along by a task on the runtime that this is called on.
    ///
    /// # Errors
    /// See [`BuildError`]: what was wrong, and what would be right.
    ///
    /// # Panics
    /// When the runtime has no timers (`enable_time`).
    pub fn build(self) -> Result<Host, BuildError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let start = tokio::time::Instant::now();
        let host = self.assemble(Clock::Tokio(start))?;
        let driver = Driver::new(Arc::clone(&host.handle.shard), start);
        drop(runtime.spawn(driver));
        Ok(host)
    }

    /// The host, moved along by a thread of its own, which ends with the host: for programs without a runtime, whose sockets are those of
    /// [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// See [`BuildError`].
    ///
    /// ```
    /// let host = sockeye::Host::builder().build_on_thread()?;
    /// host.make_default();
    /// let socket = sockeye::blocking::UdpSocket::bind("127.0.0.1:53")?;
    /// assert_eq!(socket.local_addr()?.port(), 53);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build_on_thread(self) -> Result<Host, BuildError> {
        let start = std::time::Instant::now();
        let host = self.assemble(Clock::Real(start))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| BuildError::Thread(error.to_string()))?;
        let shard = Arc::clone(&host.handle.shard);
        let run = move || runtime.block_on(async { Driver::new(shard, start.into()).await });
        let thread = std::thread::Builder::new().name("sockeye-host".to_owned());
        let spawned = thread.spawn(run);
        spawned.map_err(|error| BuildError::Thread(error.to_string()))?;
        Ok(host)
    }

    /// The host, moved along by hand: with a link of at most `mtu` bytes a packet whose other end is the [`Pump`], which also tells the time.
    /// Needs no runtime.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn pump(self, mtu: u32) -> Result<(Host, Pump), BuildError> {
        let (link, wire) = crate::link::channel(mtu);
        let host = self.link(link).assemble(Clock::Told(AtomicU64::new(0)))?;
        let pump = Pump::new(Arc::clone(&host.handle.shard), wire);
        Ok((host, pump))
    }

    /// The host of a simulated machine, which shares its time and its names with the others and is moved along by the simulation.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(self, time: Arc<AtomicU64>, names: super::SharedNames) -> Result<Host, BuildError> {
        let mut host = self.assemble(Clock::Shared(time))?;
        if let Some(handle) = Arc::get_mut(&mut host.handle) {
            handle.shared_names = Some(names);
        }
        Ok(host)
    }

    fn assemble(mut self, clock: Clock) -> Result<Host, BuildError> {
        if let Some(error) = self.wrong {
            return Err(BuildError::Sysctl(error));
        }
        if let Some(wrong) = self.misnamed {
            return Err(wrong);
        }
        if let Some(bytes) = self.memory {
            self.settings.tcp_mem = budget(bytes)?;
        }
        match (self.links.len(), self.addresses.is_empty()) {
            (0, false) => return Err(BuildError::NoLink),
            (2.., false) => return Err(BuildError::WhichLink),
            _ => {}
        }
        for link in self.links {
            self.interfaces.push(Interface {
                link,
                addresses: std::mem::take(&mut self.addresses),
                routes: Vec::new(),
            });
        }
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        let mut host = sockeye_core::Host::new(HostConfig {
            seed,
            settings: self.settings,
            any_address: self.any_address,
            ..HostConfig::default()
        });
        let mut ports = Vec::new();
        let mut networks = Vec::new();
        let mut routes = Vec::new();
        for (nth, interface) in self.interfaces.into_iter().enumerate() {
            let caps = interface.link.caps();
            let addresses: Result<Vec<_>, _> = interface.addresses.iter().map(|text| parse(text)).collect();
            let addresses = addresses?;
            check_mtu(caps, &addresses)?;
            let id = host.add_interface(InterfaceConfig {
                name: format!("eth{nth}"),
                medium: caps.medium,
                mtu: caps.mtu,
                gso: caps.gso,
                addresses: addresses.clone(),
            });
            for text in &interface.routes {
                let (network, prefix) = parse(text)?;
                routes.push(on_link(network, prefix, id));
            }
            networks.extend(addresses.into_iter().map(|network| (network, id)));
            ports.push(Port::new(id, caps.checksum, interface.link));
        }
        for (network, via) in self.routes {
            routes.push(route(&network, &via, &networks)?);
        }
        if self.any_address
            && let [only] = &ports[..]
        {
            answer_by(only.interface(), &mut routes);
        }
        routes.into_iter().for_each(|route| host.add_route(route));
        let strays = self.any_address.then(Strays::default);
        Ok(Host {
            handle: Arc::new(Handle {
                shard: Arc::new(Shard::new(host, ports, clock, strays)),
                names: names(&self.names),
                resolver: Resolver::new(self.resolver, seed),
                #[cfg(feature = "sim")]
                shared_names: None,
            }),
        })
    }
}

/// A memory budget in `tcp_mem`'s terms: where growth ends, where pressure begins, and the limit.
fn budget(bytes: u64) -> Result<[u32; 3], BuildError> {
    if !(LEAST_MEMORY..=MOST_MEMORY).contains(&bytes) {
        return Err(BuildError::Memory(bytes));
    }
    let pages = u32::try_from(bytes / PAGE).map_err(|_| BuildError::Memory(bytes))?;
    Ok([pages / 2, pages / 4 * 3, pages])
}

const fn on_link(network: IpAddr, prefix: u8, interface: InterfaceId) -> Route {
    Route {
        network,
        prefix,
        via: None,
        interface,
    }
}

/// Everybody is on the only link, unless a default route says otherwise.
fn answer_by(interface: InterfaceId, routes: &mut Vec<Route>) {
    for everywhere in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
        let same = |route: &Route| route.prefix == 0 && route.network.is_ipv4() == everywhere.is_ipv4();
        if !routes.iter().any(same) {
            routes.push(on_link(everywhere, 0, interface));
        }
    }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder")
            .field("addresses", &self.addresses)
            .field("links", &self.links.len())
            .field("interfaces", &self.interfaces)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

fn names(given: &[(String, IpAddr)]) -> BTreeMap<String, Vec<IpAddr>> {
    let mut names = BTreeMap::from([(
        "localhost".to_owned(),
        vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
    )]);
    for (name, address) in given {
        names.entry(crate::names::normal(name)).or_default().push(*address);
    }
    names
}

/// An address or network with its prefix length.
fn parse(text: &str) -> Result<(IpAddr, u8), BuildError> {
    let wrong = || BuildError::Address(text.to_owned());
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let (address, prefix): (IpAddr, u8) = (
        address.parse().map_err(|_| wrong())?,
        prefix.parse().map_err(|_| wrong())?,
    );
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if prefix > longest {
        return Err(wrong());
    }
    Ok((address, prefix))
}

fn check_mtu(caps: Caps, addresses: &[(IpAddr, u8)]) -> Result<(), BuildError> {
    let least = if addresses.iter().any(|(address, _)| address.is_ipv6()) {
        1_280
    } else {
        68
    };
    if (least..=65_535).contains(&caps.mtu) {
        Ok(())
    } else {
        Err(BuildError::Mtu(caps.mtu))
    }
}

/// A route by the interface whose network the router is in.
fn route(network: &str, via: &str, networks: &[((IpAddr, u8), InterfaceId)]) -> Result<Route, BuildError> {
    let wrong = || BuildError::Route(network.to_owned(), via.to_owned());
    let (to, prefix) = parse(network).map_err(|_| wrong())?;
    let via: IpAddr = via.parse().map_err(|_| wrong())?;
    if to.is_ipv4() != via.is_ipv4() {
        return Err(wrong());
    }
    let (_, interface) = networks
        .iter()
        .find(|((own, prefix), _)| covers(*own, *prefix, via))
        .ok_or(BuildError::Router(via))?;
    Ok(Route {
        network: to,
        prefix,
        via: Some(via),
        interface: *interface,
    })
}

/// True when `address` is in the network of `own`.
fn covers(own: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let differ = match (own, address) {
        (IpAddr::V4(own), IpAddr::V4(address)) => u128::from(u32::from(own) ^ u32::from(address)) << 96,
        (IpAddr::V6(own), IpAddr::V6(address)) => u128::from(own) ^ u128::from(address),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(prefix)
}
