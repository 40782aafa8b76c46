//! What a run is made from: everything that a command line or a library user may choose.

use sockeye::gateway::GatewayConfig;
use sockeye_core::netem::Netem;
use sockeye_core::settings::Settings;
use std::ffi::OsString;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

/// How to run a program on a Sockeye host.
///
/// The link between the program's host and the gateway takes its MTU, and which of IPv4 and IPv6 it carries, from [`RunConfig::gateway`].
pub struct RunConfig {
    /// The program and its arguments. A program without a slash is looked up in `PATH`.
    pub argv: Vec<OsString>,
    /// All chance of the run follows from this: the program's host, and Netem. The gateway has a seed of its own.
    pub seed: u64,
    /// What the link does to packets from the program.
    pub up: Netem,
    /// What the link does to packets to the program.
    pub down: Netem,
    /// Which conversations Netem impairs; empty: all.
    pub only: Vec<Target>,
    /// The far end of the link: what it relays, publishes, and answers.
    pub gateway: GatewayConfig,
    /// The knobs of the program's host. [`RunConfig::new`] sets `route_localnet`, for the link is a wire to the machine's own loopback.
    /// Over a link that does nothing, `tcp_rmem` at its default grows to 512 KiB at most.
    pub settings: Settings,
    /// Where a capture (pcapng) of the link goes, as the program's host sees it.
    pub pcap: Option<Box<dyn Write + Send>>,
    /// How long the peers of what the program left behind may be silent before it is given up, once the program has ended.
    pub linger: Duration,
    /// Tell on standard error what could not be served, once per process and reason.
    pub verbose: bool,
}

/// A destination, for [`RunConfig::only`]: packets to it and from it are impaired, all others pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Addresses that are meant.
    pub addresses: Vec<IpAddr>,
    /// A name whose addresses, as the program's own lookups find them, are meant too.
    pub name: Option<String>,
    /// Only this port; `None`: all.
    pub port: Option<u16>,
}

impl RunConfig {
    /// Runs `argv` over a perfect link.
    pub fn new(argv: Vec<OsString>) -> Self {
        Self {
            argv,
            seed: 0,
            up: Netem::NONE,
            down: Netem::NONE,
            only: Vec::new(),
            gateway: GatewayConfig::default(),
            settings: Settings {
                route_localnet: true,
                ..Settings::default()
            },
            pcap: None,
            linger: Duration::from_secs(5),
            verbose: false,
        }
    }
}

impl std::fmt::Debug for RunConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunConfig")
            .field("argv", &self.argv)
            .field("seed", &self.seed)
            .field("up", &self.up)
            .field("down", &self.down)
            .field("only", &self.only)
            .field("gateway", &self.gateway)
            .field("pcap", &self.pcap.is_some())
            .field("linger", &self.linger)
            .finish_non_exhaustive()
    }
}
