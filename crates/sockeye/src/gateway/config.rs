//! How a gateway is set up: everything that a command line or a library user may choose.

use super::publish::PublishPolicy;
use sockeye_core::settings::Settings;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What a [`super::Gateway`] is made from.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// All chance of the gateway's side of the link follows from this.
    pub seed: u64,
    /// Largest IP packet on the link, in bytes: 1280..=65535.
    pub mtu: u32,
    /// Relay IPv4 and answer A queries.
    pub ipv4: bool,
    /// Relay IPv6 and answer AAAA queries.
    pub ipv6: bool,
    /// Relay 127.0.0.0/8 and ::1 to the machine's own loopback; off: refuse. The machine's other addresses are reached either way, and so is
    /// what listens on them.
    pub host_loopback: bool,
    /// Name servers to ask, instead of those in `resolv_conf`.
    pub dns: Option<Vec<SocketAddr>>,
    /// Names with fixed addresses: asked first.
    pub hosts: Vec<(String, IpAddr)>,
    /// Where the machine lists its name servers; read again whenever it changes.
    pub resolv_conf: PathBuf,
    /// Which of the program's ports are reachable from the machine.
    pub publish: PublishPolicy,
    /// What the link does to packets, in words, for the built-in page: `loss 2%, delay 20ms`.
    pub link: String,
    /// The knobs of the gateway's own host.
    pub settings: Settings,
    /// How much the gateway takes on.
    pub limits: Limits,
}

/// Bounds on what a program can make its gateway hold. Each entry costs one kernel descriptor and at most the socket buffers of
/// `settings` on the inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections relayed or being opened, both directions. One more is refused.
    pub tcp: usize,
    /// UDP sockets inside that have a kernel socket. One more replaces the longest idle.
    pub udp: usize,
    /// Echo exchanges that wait for an answer. One more replaces the oldest.
    pub echo: usize,
    /// Name queries that wait for a server. One more is answered with SERVFAIL.
    pub queries: usize,
    /// Connections to the built-in services. One more is refused.
    pub services: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tcp: 16_384,
            udp: 4_096,
            echo: 256,
            queries: 512,
            services: 4_096,
        }
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            mtu: 1_500,
            ipv4: true,
            ipv6: true,
            host_loopback: true,
            dns: None,
            hosts: Vec::new(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            publish: PublishPolicy::Auto,
            link: String::new(),
            settings: Settings::default(),
            limits: Limits::default(),
        }
    }
}
