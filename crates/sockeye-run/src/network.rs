//! The program's network: its host, the link, and the gateway at the link's far end.
//!
//! [`Network::turn`] carries packets between them until nothing moves. It owns no clock: `now` is handed in.

use crate::config::RunConfig;
use sockeye::addresses;
use sockeye::gateway::Gateway;
use sockeye_core::host::{InterfaceConfig, InterfaceId, Loopback, Medium, Route};
use sockeye_core::{Host, HostConfig, Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Packets taken from one place at a time.
const BATCH: usize = 256;

/// The network of one run.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) host: Host,
    pub(crate) gateway: Gateway,
    eth0: InterfaceId,
    mtu: u32,
    out: VecDeque<Packet>,
    batch: Vec<Packet>,
}

impl Network {
    pub(crate) fn new(config: &RunConfig) -> io::Result<Self> {
        let mut settings = config.settings.clone();
        settings.route_localnet = true;
        let mut host = Host::new(HostConfig {
            seed: config.seed,
            any_address: false,
            loopback: Loopback::External,
            settings,
        });
        let gateway = &config.gateway;
        let mut addresses = Vec::new();
        let mut routes: Vec<(IpAddr, IpAddr)> = Vec::new();
        if gateway.ipv4 {
            addresses.push((addresses::PROGRAM_V4.into(), addresses::PREFIX_V4));
            routes.push((Ipv4Addr::UNSPECIFIED.into(), addresses::GATEWAY_V4.into()));
        }
        if gateway.ipv6 {
            addresses.push((addresses::PROGRAM_V6.into(), addresses::PREFIX_V6));
            routes.push((Ipv6Addr::UNSPECIFIED.into(), addresses::GATEWAY_V6.into()));
        }
        let eth0 = host.add_interface(InterfaceConfig {
            name: "eth0".into(),
            medium: Medium::Ip,
            mtu: gateway.mtu,
            gso: true,
            addresses,
        });
        for (network, via) in routes {
            host.add_route(Route {
                network,
                prefix: 0,
                via: Some(via),
                interface: eth0,
            });
        }
        if gateway.host_loopback {
            host.set_loopback_fallback(Some(eth0));
        }
        Ok(Self {
            host,
            gateway: Gateway::new(gateway.clone())?,
            eth0,
            mtu: gateway.mtu,
            out: VecDeque::new(),
            batch: Vec::new(),
        })
    }

    /// Largest IP packet of the link.
    pub(crate) fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Carries packets until nothing moves any more, or for long enough that others should have a turn. True when something moved.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for _ in 0..64 {
            let step = self.step(now);
            moved |= step;
            if !step {
                break;
            }
        }
        moved
    }

    fn step(&mut self, now: Instant) -> bool {
        let mut moved = false;
        self.host.poll_transmit(now, self.eth0, &mut self.out, BATCH);
        if !self.out.is_empty() {
            moved = true;
            self.batch.extend(self.out.drain(..));
            self.gateway.receive(now, &mut self.batch);
        }
        self.host
            .poll_transmit(now, InterfaceId::LOOPBACK, &mut self.out, BATCH);
        if !self.out.is_empty() {
            moved = true;
            self.batch.extend(self.out.drain(..));
            self.host.receive(now, InterfaceId::LOOPBACK, &mut self.batch);
        }
        self.gateway.poll_transmit(now, &mut self.out, BATCH);
        if !self.out.is_empty() {
            moved = true;
            self.batch.extend(self.out.drain(..));
            self.host.receive(now, self.eth0, &mut self.batch);
        }
        moved
    }

    /// When to call [`Network::handle_timeout`] next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.host.poll_timeout(), self.gateway.poll_timeout()];
        timeouts.into_iter().flatten().min()
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.host.poll_timeout().is_some_and(|at| at <= now) {
            self.host.handle_timeout(now);
        }
        if self.gateway.poll_timeout().is_some_and(|at| at <= now) {
            self.gateway.handle_timeout(now);
        }
    }
}
