//! The program's network: its host, the link, and the gateway at the link's far end.
//!
//! [`Network::turn`] carries packets between them until nothing moves. It owns no clock: `now` is handed in.

use crate::config::RunConfig;
use crate::link::{Link, Way};
use sockeye::addresses;
use sockeye::gateway::Gateway;
use sockeye_core::host::{InterfaceConfig, InterfaceId, Loopback, Medium, Route};
use sockeye_core::settings::Settings;
use sockeye_core::{Host, HostConfig, Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far a receive buffer grows on a link without delay. Gigabytes a second need no more there; with more, whoever sends faster than the
/// program reads fills all of it, and each byte has left the processor's caches before it is read.
const NEAR: u32 = 512 << 10;

/// Packets taken from one place at a time.
const BATCH: usize = 256;

/// The network of one run.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) host: Host,
    pub(crate) gateway: Gateway,
    pub(crate) link: Link,
    eth0: InterfaceId,
    mtu: u32,
    out: VecDeque<Packet>,
    batch: Vec<Packet>,
    /// Empty; kept for its room.
    arrived: Vec<Packet>,
}

impl Network {
    pub(crate) fn new(config: &mut RunConfig) -> io::Result<Self> {
        let mut host = Host::new(HostConfig {
            seed: config.seed,
            any_address: false,
            loopback: Loopback::External,
            settings: settings(config),
        });
        let gateway = &config.gateway;
        let mut addresses: Vec<(IpAddr, u8)> = Vec::new();
        let mut routes: Vec<(IpAddr, u8, Option<IpAddr>)> = Vec::new();
        // A version that is off leads to the name server and nowhere else: the machine's list may name it by an address of that version.
        if gateway.ipv4 {
            addresses.push((addresses::PROGRAM_V4.into(), addresses::PREFIX_V4));
            routes.push((Ipv4Addr::UNSPECIFIED.into(), 0, Some(addresses::GATEWAY_V4.into())));
        } else {
            addresses.push((addresses::PROGRAM_V4.into(), 32));
            routes.push((addresses::NAMES_V4.into(), 32, None));
        }
        if gateway.ipv6 {
            addresses.push((addresses::PROGRAM_V6.into(), addresses::PREFIX_V6));
            routes.push((Ipv6Addr::UNSPECIFIED.into(), 0, Some(addresses::GATEWAY_V6.into())));
        } else {
            addresses.push((addresses::PROGRAM_V6.into(), 128));
            routes.push((addresses::NAMES_V6.into(), 128, None));
        }
        let eth0 = host.add_interface(InterfaceConfig {
            name: "eth0".into(),
            medium: Medium::Ip,
            mtu: gateway.mtu,
            gso: true,
            addresses,
        });
        for (network, prefix, via) in routes {
            host.add_route(Route {
                network,
                prefix,
                via,
                interface: eth0,
            });
        }
        if gateway.host_loopback {
            host.set_loopback_fallback(Some(eth0));
        }
        let (mtu, gateway) = (gateway.mtu, Gateway::new(gateway.clone())?);
        Ok(Self {
            host,
            gateway,
            link: Link::new(config),
            eth0,
            mtu,
            out: VecDeque::new(),
            batch: Vec::new(),
            arrived: Vec::new(),
        })
    }

    /// Largest IP packet of the link.
    pub(crate) fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Tells the gateway what the link did so far, for those who ask it.
    pub(crate) fn report(&mut self) {
        self.gateway.set_link_report(self.link.report());
    }

    /// Carries packets until nothing moves any more: true; or for long enough that others should have a turn: false.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        (0..64).any(|_| !self.step(now))
    }

    fn step(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for way in [Way::Up, Way::Loop, Way::Down] {
            match way {
                Way::Up => self.host.poll_transmit(now, self.eth0, &mut self.out, BATCH),
                Way::Loop => self
                    .host
                    .poll_transmit(now, InterfaceId::LOOPBACK, &mut self.out, BATCH),
                Way::Down => self.gateway.poll_transmit(now, &mut self.out, BATCH),
            }
            while let Some(packet) = self.out.pop_front() {
                moved = true;
                if let Some(answer) = self.link.push(now, way, packet, &self.gateway, &mut self.arrived) {
                    self.batch.push(answer);
                }
            }
            // What the link says to senders goes to where they are.
            self.hand_over(
                now,
                if way == Way::Down {
                    Way::Up
                } else if way == Way::Up {
                    Way::Down
                } else {
                    Way::Loop
                },
            );
            self.batch.append(&mut self.arrived);
            while self.batch.len() < BATCH
                && let Some(packet) = self.link.pop(now, way)
            {
                self.batch.push(packet);
            }
            moved |= !self.batch.is_empty();
            self.hand_over(now, way);
        }
        moved
    }

    /// Gives the batch to whom packets of this way go.
    fn hand_over(&mut self, now: Instant, way: Way) {
        if self.batch.is_empty() {
            return;
        }
        match way {
            Way::Up => self.gateway.receive(now, &mut self.batch),
            Way::Down => self.host.receive(now, self.eth0, &mut self.batch),
            Way::Loop => self.host.receive(now, InterfaceId::LOOPBACK, &mut self.batch),
        }
    }

    /// When to call [`Network::handle_timeout`] next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.host.poll_timeout(),
            self.gateway.poll_timeout(),
            self.link.poll_timeout(),
        ];
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

/// The settings of the program's host: those asked for, with smaller buffers where nothing asks for large ones or could show them.
fn settings(config: &RunConfig) -> Settings {
    let mut settings = config.settings.clone();
    let near = config.up.is_none() && config.down.is_none() && config.pcap.is_none();
    if near && settings.tcp_rmem == Settings::default().tcp_rmem {
        settings.tcp_rmem[2] = NEAR;
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_core::netem::Netem;

    #[test]
    fn buffers_are_small_only_where_nobody_asked() {
        let most = |change: fn(&mut RunConfig)| {
            let mut config = RunConfig::new(vec!["true".into()]);
            change(&mut config);
            settings(&config).tcp_rmem[2]
        };
        let usual = Settings::default().tcp_rmem[2];
        assert_eq!(most(|_| {}), NEAR);
        assert_eq!(
            most(|config| config.down = "delay 20ms".parse::<Netem>().unwrap()),
            usual
        );
        assert_eq!(most(|config| config.pcap = Some(Box::new(io::sink()))), usual);
        assert_eq!(most(|config| config.settings.tcp_rmem[2] = 1 << 20), 1 << 20);
    }
}
