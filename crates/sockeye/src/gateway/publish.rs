//! Published ports: kernel sockets on the machine that lead to ports the program listens on. This module decides which ports those are and
//! where a client is led to; `tcp` and `udp` carry the bytes.

use super::counters::Protocol;
use super::ground::Ground;
use super::kernel;
use super::poller::{Arena, Key};
use crate::addresses;
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::str::FromStr;

/// Which of the program's ports are reachable from the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PublishPolicy {
    /// Every port the program listens on, under the same number on the machine's loopback, where that is free.
    #[default]
    Auto,
    /// None.
    None,
    /// These and no others.
    Explicit(Vec<PublishRule>),
}

/// `[ADDR:]HOST:PORT[/tcp|/udp]`, as with `docker -p`; without `ADDR` it means the machine's loopback, IPv4 and IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRule {
    /// Which transport.
    pub protocol: Protocol,
    /// The machine's address; `None` for its loopback.
    pub address: Option<IpAddr>,
    /// The machine's port; 0 lets the system choose.
    pub outside: u16,
    /// The program's port.
    pub inside: u16,
}

/// A port to publish, or one that the program began to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Which transport.
    pub protocol: Protocol,
    /// Where the program listens; unspecified addresses mean all of the program's.
    pub inside: SocketAddr,
    /// `IPV6_V6ONLY`: an unspecified IPv6 address does not take IPv4.
    pub only_v6: bool,
    /// Where on the machine; `None`: the same port on its loopback.
    pub outside: Option<SocketAddr>,
}

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRule(String);

impl fmt::Display for BadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not [ADDR:]HOST:PORT[/tcp|/udp]: try 8080:80, 0.0.0.0:8080:80, [::1]:8080:80 or 5353:53/udp",
            self.0
        )
    }
}

impl std::error::Error for BadRule {}

impl FromStr for PublishRule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = || BadRule(text.to_owned());
        let (ports, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(bad()),
        };
        let port = |text: &str| text.parse::<u16>().map_err(|_| bad());
        let (front, inside) = match ports.rsplit_once(':') {
            Some((front, inside)) => (front, port(inside)?),
            None => (ports, port(ports)?),
        };
        let (address, outside) = match front.rsplit_once(':') {
            Some((address, outside)) => {
                let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                let address = match bare {
                    Some(v6) => v6.parse::<Ipv6Addr>().map_err(|_| bad())?.into(),
                    None => address.parse::<Ipv4Addr>().map_err(|_| bad())?.into(),
                };
                (Some(address), port(outside)?)
            }
            None => (None, port(front)?),
        };
        if inside == 0 {
            return Err(bad());
        }
        Ok(Self {
            protocol,
            address,
            outside,
            inside,
        })
    }
}

/// One kernel socket that stands for a port of the program.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) fd: OwnedFd,
    pub(super) outside: SocketAddr,
    pub(super) protocol: Protocol,
    /// The program's port.
    pub(super) port: u16,
    /// It stays when nobody inside listens: the user asked for it by name.
    explicit: bool,
}

/// All published ports.
#[derive(Debug, Default)]
pub(super) struct Doors {
    doors: Arena<Door>,
    /// Everything the program listens on, as it told us.
    listening: Vec<Publish>,
}

impl Doors {
    /// Opens what the configuration names.
    pub(super) fn open(ground: &Ground) -> io::Result<Self> {
        let mut doors = Self::default();
        if let PublishPolicy::Explicit(rules) = &ground.config.publish {
            for rule in rules {
                doors.open_rule(ground, rule)?;
            }
        }
        Ok(doors)
    }

    fn open_rule(&mut self, ground: &Ground, rule: &PublishRule) -> io::Result<()> {
        let all = match rule.address {
            Some(address) => vec![address],
            None => loopbacks(ground, true, true),
        };
        let mut port = rule.outside;
        for (index, address) in all.into_iter().enumerate() {
            let outside = SocketAddr::new(address, port);
            match self.bind(ground, rule.protocol, outside, rule.inside, true) {
                Ok(bound) => port = bound.port(),
                Err(error) if index == 0 => return Err(cannot(outside, &error)),
                // The second address of a loopback pair: a machine without IPv6 on `lo` is no reason to fail.
                Err(error) => tracing::debug!(%outside, %error, "not published"),
            }
        }
        Ok(())
    }

    fn bind(
        &mut self,
        ground: &Ground,
        protocol: Protocol,
        outside: SocketAddr,
        port: u16,
        explicit: bool,
    ) -> io::Result<SocketAddr> {
        let fd = match protocol {
            Protocol::Tcp => kernel::tcp_listen(outside)?,
            Protocol::Udp => {
                let fd = kernel::udp(outside.ip(), Some(outside))?;
                kernel::deepen(&fd);
                fd
            }
        };
        let outside = kernel::local(&fd).unwrap_or(outside);
        let key = self.doors.insert(Door {
            fd,
            outside,
            protocol,
            port,
            explicit,
        });
        let watched = ground
            .poller
            .add_listener(&self.doors.get(key).ok_or(Errno::BADF)?.fd, key);
        if let Err(error) = watched {
            self.doors.remove(key);
            return Err(error);
        }
        tracing::debug!(?protocol, %outside, port, "published");
        Ok(outside)
    }

    /// The program listens on a port: publish it as the policy says. `None` when the policy says no.
    pub(super) fn on_listen(&mut self, ground: &Ground, what: Publish) -> Option<io::Result<SocketAddr>> {
        match ground.config.publish {
            PublishPolicy::None => None,
            PublishPolicy::Explicit(_) => {
                let door = self.find(what.protocol, what.inside.port()).map(|door| door.outside);
                self.listening.push(what);
                door.map(Ok)
            }
            PublishPolicy::Auto => Some(self.publish(ground, what)),
        }
    }

    /// Publishes one port, whatever the policy.
    pub(super) fn publish(&mut self, ground: &Ground, what: Publish) -> io::Result<SocketAddr> {
        let port = what.inside.port();
        let outside = match what.outside {
            Some(outside) => {
                let bound = self.bind(ground, what.protocol, outside, port, false);
                bound.map_err(|error| cannot(outside, &error))?
            }
            None => self.open_loopbacks(ground, what)?,
        };
        self.listening.push(what);
        Ok(outside)
    }

    /// Opens the machine's loopback addresses that fit, or finds them open. The first decides whether that went well.
    fn open_loopbacks(&mut self, ground: &Ground, what: Publish) -> io::Result<SocketAddr> {
        let port = what.inside.port();
        let v4 = what.inside.is_ipv4() || (what.inside.ip().is_unspecified() && !what.only_v6);
        let mut first = None;
        for address in loopbacks(ground, v4, what.inside.is_ipv6()) {
            let outside = SocketAddr::new(address, port);
            let same = |door: &Door| (door.protocol, door.outside, door.port) == (what.protocol, outside, port);
            let opened = if self.iter().any(same) {
                Ok(outside)
            } else {
                self.bind(ground, what.protocol, outside, port, false)
            };
            first.get_or_insert(opened.map_err(|error| cannot(outside, &error)));
        }
        first.unwrap_or_else(|| Err(io::ErrorKind::AddrNotAvailable.into()))
    }

    /// The program no longer listens there. Connections that exist go on.
    pub(super) fn unpublish(&mut self, protocol: Protocol, inside: SocketAddr) {
        let same = |known: &Publish| known.protocol == protocol && known.inside == inside;
        if let Some(index) = self.listening.iter().position(same) {
            self.listening.swap_remove(index);
        }
        let port = inside.port();
        if self
            .listening
            .iter()
            .any(|known| known.protocol == protocol && known.inside.port() == port)
        {
            return;
        }
        let gone = |door: &Door| door.protocol == protocol && door.port == port && !door.explicit;
        let keys: Vec<Key> = self
            .doors
            .iter()
            .filter(|(_, door)| gone(door))
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.doors.remove(key);
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&Door> {
        self.doors.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Door> {
        self.doors.iter().map(|(_, door)| door)
    }

    fn find(&self, protocol: Protocol, port: u16) -> Option<&Door> {
        let same = |door: &Door| door.protocol == protocol && door.port == port;
        self.iter().find(|door| same(door))
    }

    /// True when connecting to this address of the machine would come straight back to the program.
    pub(super) fn leads_back(&self, protocol: Protocol, outside: SocketAddr) -> bool {
        let same = |door: &Door| {
            let covers = door.outside.ip() == outside.ip() || door.outside.ip().is_unspecified();
            door.protocol == protocol && door.outside.port() == outside.port() && covers
        };
        outside.ip().is_loopback() && self.iter().any(same)
    }

    /// Where a client of a door is led to: the local address it appears from, and the program's.
    pub(super) fn way_in(&self, ground: &Ground, door: &Door, client: SocketAddr) -> (SocketAddr, SocketAddr) {
        let heard = |known: &&Publish| known.protocol == door.protocol && known.inside.port() == door.port;
        let fits = |known: &&Publish| {
            let wild = known.inside.ip().is_unspecified() && known.inside.is_ipv6() && !known.only_v6;
            known.inside.is_ipv4() == client.is_ipv4() || wild
        };
        let listening = || self.listening.iter().filter(heard);
        let inside = match listening().find(fits).or_else(|| listening().next()) {
            Some(known) if !known.inside.ip().is_unspecified() => known.inside.ip(),
            // A wildcard IPv6 socket that takes IPv4 too sees the client's own family.
            Some(known) if known.inside.is_ipv4() || known.only_v6 => addresses::program(known.inside.ip()),
            _ => addresses::program(client.ip()),
        };
        let inside = match inside {
            IpAddr::V4(_) if !ground.config.ipv4 => addresses::PROGRAM_V6.into(),
            IpAddr::V6(_) if !ground.config.ipv6 => addresses::PROGRAM_V4.into(),
            other => other,
        };
        let foreign = client.ip().is_loopback() || client.is_ipv4() != inside.is_ipv4() || is_link_local(client.ip());
        let from = if foreign {
            addresses::gateway(inside)
        } else {
            client.ip()
        };
        (SocketAddr::new(from, client.port()), SocketAddr::new(inside, door.port))
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn cannot(outside: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot publish {outside}: {error}"))
}

fn loopbacks(ground: &Ground, v4: bool, v6: bool) -> Vec<IpAddr> {
    let v4 = (v4 && ground.config.ipv4).then_some(IpAddr::from(Ipv4Addr::LOCALHOST));
    let v6 = (v6 && ground.config.ipv6).then_some(IpAddr::from(Ipv6Addr::LOCALHOST));
    v4.into_iter().chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_docker_writes_them() {
        let rule = |protocol, address: Option<&str>, outside, inside| {
            Ok(PublishRule {
                protocol,
                address: address.map(|text| text.parse().unwrap()),
                outside,
                inside,
            })
        };
        for (text, want) in [
            ("8080:80", rule(Protocol::Tcp, None, 8080, 80)),
            ("80", rule(Protocol::Tcp, None, 80, 80)),
            ("0:80/tcp", rule(Protocol::Tcp, None, 0, 80)),
            ("5353:53/udp", rule(Protocol::Udp, None, 5353, 53)),
            ("0.0.0.0:1:2", rule(Protocol::Tcp, Some("0.0.0.0"), 1, 2)),
            ("[::1]:1:2/udp", rule(Protocol::Udp, Some("::1"), 1, 2)),
        ] {
            assert_eq!(text.parse::<PublishRule>(), want, "{text}");
        }
        for text in [
            "",
            ":",
            "80:",
            "a:80",
            "80:80/sctp",
            "::1:80:80",
            "70000:1",
            "1:0",
            "1.2.3:1:2",
        ] {
            assert!(text.parse::<PublishRule>().is_err(), "{text}");
        }
    }
}
