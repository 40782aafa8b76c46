//! What all parts of the gateway stand on: its host, its poller, its settings and its books.

use super::config::GatewayConfig;
use super::counters::{GatewayCounters, History, LinkReport};
use super::kernel;
use super::poller::{Key, Poller};
use sockeye_core::host::{InterfaceConfig, InterfaceId, Medium, Route};
use sockeye_core::settings::Settings;
use sockeye_core::socket::TcpId;
use sockeye_core::{Host, HostConfig, Instant};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use crate::addresses;
use crate::names::Answers;

/// Who looks after a connection of the gateway's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A relay to a kernel socket.
    Relay(Key),
    /// A built-in service.
    Service(Key),
}

#[derive(Debug)]
pub(super) struct Ground {
    pub(super) host: Host,
    pub(super) link: InterfaceId,
    pub(super) poller: Poller,
    pub(super) config: GatewayConfig,
    pub(super) counters: GatewayCounters,
    pub(super) history: History,
    pub(super) report: LinkReport,
    pub(super) answers: Answers,
    pub(super) owners: HashMap<TcpId, Owner>,
    pub(super) now: Instant,
    /// See [`kernel::tcp_shed`].
    pub(super) spare: Option<OwnedFd>,
}

impl Ground {
    pub(super) fn new(config: GatewayConfig) -> io::Result<Self> {
        let settings = Settings {
            route_localnet: true,
            ..config.settings.clone()
        };
        let mut host = Host::new(HostConfig {
            seed: config.seed,
            any_address: true,
            settings,
            ..HostConfig::default()
        });
        let mut own = Vec::new();
        if config.ipv4 {
            own.push((addresses::GATEWAY_V4.into(), addresses::PREFIX_V4));
        }
        if config.ipv6 {
            own.push((addresses::GATEWAY_V6.into(), addresses::PREFIX_V6));
        }
        // Names are asked over whichever version the machine's own list says, relayed or not.
        own.push((addresses::NAMES_V4.into(), addresses::PREFIX_V4));
        own.push((addresses::NAMES_V6.into(), addresses::PREFIX_V6));
        let link = host.add_interface(InterfaceConfig {
            name: "link".to_owned(),
            medium: Medium::Ip,
            mtu: config.mtu,
            gso: true,
            addresses: own,
        });
        for network in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
            if if network.is_ipv4() { config.ipv4 } else { config.ipv6 } {
                host.add_route(Route {
                    network,
                    prefix: 0,
                    via: None,
                    interface: link,
                });
            }
        }
        host.set_loopback_fallback(Some(link));
        Ok(Self {
            host,
            link,
            poller: Poller::new()?,
            config,
            counters: GatewayCounters::default(),
            history: History::default(),
            report: LinkReport::default(),
            answers: Answers::default(),
            owners: HashMap::new(),
            now: Instant::ZERO,
            spare: kernel::spare(),
        })
    }
}
