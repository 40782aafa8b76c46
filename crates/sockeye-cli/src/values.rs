//! Values of flags that name hosts, servers and ports. A wrong one is answered with what is accepted.

use sockeye::gateway::PublishRule;
use sockeye_core::netem::grammar::{parse_duration, parse_mtu};
use sockeye_core::settings::Settings;
use sockeye_run::Target;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// `--publish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Publish {
    None,
    Rule(PublishRule),
}

/// `--dns`. Not an alias, for clap takes apart what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server(pub(crate) SocketAddr);

/// `--host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
}

/// `--sysctl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sysctl {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// `--addr`: an address of a host, and the prefix length of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceAddress {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// `--addr`.
pub(crate) fn interface_address(text: &str) -> Result<InterfaceAddress, String> {
    let wrong = || format!("`{text}` is no address with a prefix length: say 10.9.0.2/24 or fd09::2/64");
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let (address, prefix): (IpAddr, u8) = (
        address.parse().map_err(|_| wrong())?,
        prefix.parse().map_err(|_| wrong())?,
    );
    let (bits, longest) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    if prefix > longest {
        return Err(wrong());
    }
    // The parts of the address that name a host in the network: neither none of it nor, in IPv4, all. RFC 1122 §3.2.1.3.
    let hosts = 1_u128
        .checked_shl(u32::from(longest - prefix))
        .map_or(u128::MAX, |size| size - 1);
    let whole_network = longest - prefix > 1 && (bits & hosts == 0 || address.is_ipv4() && bits & hosts == hosts);
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || whole_network {
        return Err(format!(
            "`{text}` is not the address of one host: say 10.9.0.2/24 or fd09::2/64"
        ));
    }
    Ok(InterfaceAddress { address, prefix })
}

/// `--queues`.
pub(crate) fn queues(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=256).contains(count));
    count.ok_or_else(|| format!("`{text}` is no number of queues: 1 to 256 is accepted"))
}

/// `--seed`.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a whole number: 0 to {} is accepted", u64::MAX))
}

/// `--sysctl`. What is accepted here, a host takes.
pub(crate) fn sysctl(text: &str) -> Result<Sysctl, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` is not NAME=VALUE: say net.ipv4.tcp_sack=0; sockeye sysctl lists all names")
    })?;
    let (name, value) = (name.trim().to_owned(), value.to_owned());
    let set = Settings::default().set(&name, &value);
    set.map_err(|error| error.to_string()).map(|()| Sysctl { name, value })
}

/// `--mtu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Longest {
    pub(crate) bytes: u32,
    /// Longer packets vanish without an ICMP message.
    pub(crate) silent: bool,
}

/// `--mtu`: `1400`, `1400 silent`.
pub(crate) fn longest(text: &str) -> Result<Longest, String> {
    let loud = text.strip_suffix("silent");
    parse_mtu(loud.unwrap_or(text).trim_end())
        .map(|bytes| Longest {
            bytes,
            silent: loud.is_some(),
        })
        .map_err(|error| error.to_string())
}

/// `--rtt`.
pub(crate) fn round_trip(text: &str) -> Result<Duration, String> {
    if let Some((side @ ("up" | "down"), value)) = text.split_once(':') {
        return Err(format!(
            "a round trip has no direction: --rtt {value} or --delay {side}:{value}?"
        ));
    }
    parse_duration(text).map_err(|error| error.to_string())
}

/// `--publish`.
pub(crate) fn publish(text: &str) -> Result<Publish, String> {
    if text == "none" {
        return Ok(Publish::None);
    }
    text.parse()
        .map(Publish::Rule)
        .map_err(|error: sockeye::gateway::BadRule| error.to_string())
}

/// `--dns`: `9.9.9.9`, `9.9.9.9:5353`, `2620:fe::fe`, `[2620:fe::fe]:5353`.
pub(crate) fn server(text: &str) -> Result<Server, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    let address = address
        .or_else(|_| text.parse())
        .ok()
        .filter(|server| server.port() != 0);
    let wrong = || format!("`{text}` is not the address of a server: say 9.9.9.9, 9.9.9.9:5353 or [2620:fe::fe]:5353");
    address.map(Server).ok_or_else(wrong)
}

/// `--host`.
pub(crate) fn host(text: &str) -> Result<Host, String> {
    let wrong = || format!("`{text}` is not NAME=ADDR: say db.example=192.0.2.7");
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    if !is_name(name) {
        return Err(wrong());
    }
    let address = address.parse().map_err(|_| wrong())?;
    Ok(Host {
        name: name.to_owned(),
        address,
    })
}

/// `--to`: `api.example`, `api.example:443`, `192.0.2.7:443`, `2001:db8::7`, `[2001:db8::7]:443`.
pub(crate) fn target(text: &str) -> Result<Target, String> {
    let wrong = || format!("`{text}` is not HOST[:PORT]: say api.example, 192.0.2.7:443 or [2001:db8::7]:443");
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok(Target {
            addresses: vec![address],
            name: None,
            port: None,
        });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (
            host,
            Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?),
        ),
        None => (text, None),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse() {
        Ok(address) => Ok(Target {
            addresses: vec![address],
            name: None,
            port,
        }),
        Err(_) if is_name(host) => Ok(Target {
            addresses: Vec::new(),
            name: Some(host.to_owned()),
            port,
        }),
        Err(_) => Err(wrong()),
    }
}

/// A host name as people write them: letters, digits, hyphens and underscores, in labels of 63 at most. RFC 1123 §2.1.
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    text.len() <= 253
        && text
            .split('.')
            .all(|label| (1..=63).contains(&label.len()) && label.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, address, name, port) in [
            ("api", None, Some("api"), None),
            ("api.example:443", None, Some("api.example"), Some(443)),
            ("192.0.2.7", Some("192.0.2.7"), None, None),
            ("192.0.2.7:1", Some("192.0.2.7"), None, Some(1)),
            ("2001:db8::7", Some("2001:db8::7"), None, None),
            ("[2001:db8::7]", Some("2001:db8::7"), None, None),
            ("[2001:db8::7]:443", Some("2001:db8::7"), None, Some(443)),
        ] {
            let addresses = address.iter().map(|a| a.parse().unwrap()).collect();
            let want = Target {
                addresses,
                name: name.map(str::to_owned),
                port,
            };
            assert_eq!(target(text), Ok(want), "{text}");
        }
        for text in [
            "",
            ":443",
            "api:",
            "api:0",
            "api:70000",
            "a b",
            "http://api/",
            "[::1",
            "..",
            "a..b",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_of_a_host() {
        for text in [
            "10.9.0.2/24",
            "10.9.0.0/31",
            "10.9.0.1/32",
            "fd09::2/64",
            "fd09::/128",
            "1.2.3.4/0",
            "fe80::1/64",
        ] {
            assert_eq!(interface_address(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "10.9.0.2",
            "10.9.0.2/",
            "10.9.0.2/33",
            "fd09::2/129",
            "10.9.0/24",
            "10.9.0.0/24",
            "10.9.0.255/24",
            "fd09::/64",
            "0.0.0.0/24",
            "127.0.0.1/8",
            "::1/128",
            "224.0.0.1/24",
            "ff02::1/64",
            "a/24",
        ] {
            assert!(interface_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn servers_and_hosts() {
        for (text, want) in [
            ("9.9.9.9", "9.9.9.9:53"),
            ("9.9.9.9:5353", "9.9.9.9:5353"),
            ("2620:fe::fe", "[2620:fe::fe]:53"),
            ("[2620:fe::fe]", "[2620:fe::fe]:53"),
            ("[2620:fe::fe]:5353", "[2620:fe::fe]:5353"),
        ] {
            assert_eq!(server(text), Ok(Server(want.parse().unwrap())), "{text}");
        }
        for text in ["", "dns.example", "9.9.9.9:0", "9.9.9", "9.9.9.9:x"] {
            assert!(server(text).is_err(), "{text}");
        }
        assert_eq!(host("db=::1").unwrap().address, "::1".parse::<IpAddr>().unwrap());
        for text in ["", "db", "db=", "=1.2.3.4", "db=x", "d b=1.2.3.4"] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
