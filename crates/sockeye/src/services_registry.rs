//! The services registry, both ways: which port a service has, which service a port belongs to, and what kind of port it is.
//!
//! It is carried in the binary (IANA's registry, and a short list of other names in use), so it answers where `/etc/services` is missing.
//! Names are compared without regard to case (RFC 6335 §5.1). What a program really finds behind a port is another matter.

use std::fmt;
use std::sync::LazyLock;

/// One entry: a name, its port and one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The registry's name.
    pub name: &'static str,
    /// Its port.
    pub port: u16,
    /// `tcp`, `udp`, `sctp` or `dccp`.
    pub protocol: &'static str,
    /// What it is, in the registry's words; may be empty.
    pub description: &'static str,
}

impl Service {
    /// Other names in use for it.
    pub fn aliases(&self) -> impl Iterator<Item = &'static str> + use<> {
        let name = self.name;
        let aliases = TABLES.aliases.iter();
        aliases.filter(move |(_, of)| *of == name).map(|(alias, _)| *alias)
    }
}

/// The three ranges of ports. RFC 6335 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortClass {
    /// 0 to 1023, also called system ports.
    WellKnown,
    /// 1024 to 49151, also called user ports.
    Registered,
    /// 49152 to 65535, also called private or ephemeral ports: never assigned.
    Dynamic,
}

impl PortClass {
    /// The range of `port`.
    pub const fn of(port: u16) -> Self {
        match port {
            0..=1023 => Self::WellKnown,
            1024..=49151 => Self::Registered,
            49152.. => Self::Dynamic,
        }
    }

    /// Its first and last port.
    pub const fn range(self) -> (u16, u16) {
        match self {
            Self::WellKnown => (0, 1023),
            Self::Registered => (1024, 49151),
            Self::Dynamic => (49152, 65535),
        }
    }
}

impl fmt::Display for PortClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WellKnown => "well known",
            Self::Registered => "registered",
            Self::Dynamic => "dynamic",
        })
    }
}

/// The first entry for a name, or an alias, and a protocol; `None` takes any protocol.
pub fn getservbyname(name: &str, protocol: Option<&str>) -> Option<Service> {
    by_name(name).find(|service| protocol.is_none_or(|wanted| service.protocol == wanted))
}

/// The first entry for a port (in host byte order) and a protocol; `None` takes any protocol.
pub fn getservbyport(port: u16, protocol: Option<&str>) -> Option<Service> {
    by_port(port).find(|service| protocol.is_none_or(|wanted| service.protocol == wanted))
}

/// All entries for a name or an alias, by port.
pub fn by_name(name: &str) -> impl Iterator<Item = Service> + use<> {
    let name = name.to_ascii_lowercase();
    let known = range(&TABLES.by_name, |(key, _)| key.as_str().cmp(&name));
    let alias = TABLES.aliases.iter().find(|(alias, _)| *alias == name);
    let real = alias.map_or(name, |(_, real)| real.to_ascii_lowercase());
    let meant = if known.is_empty() {
        range(&TABLES.by_name, |(key, _)| key.as_str().cmp(&real))
    } else {
        known
    };
    meant.iter().map(|(_, service)| *service)
}

/// All entries for a port.
pub fn by_port(port: u16) -> impl Iterator<Item = Service> {
    range(&TABLES.by_port, |service| service.port.cmp(&port))
        .iter()
        .copied()
}

/// Names that look like `name`, the lowest ports first, five at most: for those who mistyped.
pub fn suggestions(name: &str) -> Vec<&'static str> {
    let name = name.to_ascii_lowercase();
    let most = name.len().div_ceil(3).min(3);
    let aliased = |(alias, of): &(&'static str, &str)| by_name(of).next().map(|service| (service.port, *alias));
    let names = TABLES.by_port.iter().map(|service| (service.port, service.name));
    let names = names.chain(TABLES.aliases.iter().filter_map(aliased));
    let mut near: Vec<(usize, u16, &str)> = names
        .filter(|(_, candidate)| candidate.len().abs_diff(name.len()) <= most)
        .map(|(port, candidate)| (distance(&name, &candidate.to_ascii_lowercase()), port, candidate))
        .filter(|(distance, ..)| *distance <= most)
        .collect();
    near.sort_unstable();
    near.dedup();
    let nearest = near.first().map_or(0, |(distance, ..)| *distance);
    let near = near.into_iter().take_while(|(distance, ..)| *distance == nearest);
    near.map(|(.., candidate)| candidate).take(5).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) from one name to another.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut before = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 0..from.len() {
        let mut row = vec![i + 1];
        for j in 0..to.len() {
            let replaced = last[j] + usize::from(from[i] != to[j]);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from[i] == to[j - 1] && from[i - 1] == to[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

/// The entries of a table, sorted so, that `compare` finds equal.
fn range<T>(table: &[T], compare: impl Fn(&T) -> std::cmp::Ordering) -> &[T] {
    let start = table.partition_point(|entry| compare(entry).is_lt());
    let len = table[start..].partition_point(|entry| compare(entry).is_eq());
    &table[start..start + len]
}

struct Tables {
    /// By name in lower case.
    by_name: Vec<(String, Service)>,
    by_port: Vec<Service>,
    /// Alias, name.
    aliases: Vec<(&'static str, &'static str)>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let by_port: Vec<Service> = lines(include_str!("../data/services.txt")).flat_map(entries).collect();
    let lower = |service: &Service| (service.name.to_ascii_lowercase(), *service);
    let mut by_name: Vec<_> = by_port.iter().map(lower).collect();
    by_name.sort_by(|a, b| a.0.cmp(&b.0)); // stable: equal names stay in the order of their ports
    let aliases = lines(include_str!("../data/service-aliases.txt")).filter_map(|line| line.split_once(' '));
    Tables {
        by_name,
        by_port,
        aliases: aliases.collect(),
    }
});

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// `name port protocol,protocol description`
fn entries(line: &'static str) -> Vec<Service> {
    let mut words = line.splitn(4, ' ');
    let (Some(name), Some(port), Some(protocols)) = (words.next(), words.next(), words.next()) else {
        return Vec::new();
    };
    let Ok(port) = port.parse() else { return Vec::new() };
    let description = words.next().unwrap_or_default();
    let entry = |protocol| Service {
        name,
        port,
        protocol,
        description,
    };
    protocols.split(',').map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_read_and_sorted() {
        for line in lines(include_str!("../data/services.txt")) {
            assert!(!entries(line).is_empty(), "{line}");
        }
        assert!(TABLES.by_port.is_sorted_by_key(|service| service.port));
        assert!(TABLES.by_port.len() > 11_000);
        for (alias, name) in &TABLES.aliases {
            assert!(by_name(name).next().is_some(), "{alias} is an alias of nothing");
            let own = TABLES.by_name.iter().any(|(key, _)| key == alias);
            assert!(!own, "{alias} is a name of the registry");
        }
    }

    #[test]
    fn lookups_both_ways() {
        for (name, protocol, port) in [
            ("http", Some("tcp"), Some(80)),
            ("HTTP", None, Some(80)),
            ("www", Some("tcp"), Some(80)),
            ("domain", Some("udp"), Some(53)),
            ("ssh", Some("tcp"), Some(22)),
            ("syslog", Some("udp"), Some(514)),
            ("syslog", Some("tcp"), None),
            ("no-such-service", None, None),
            ("", None, None),
        ] {
            assert_eq!(
                getservbyname(name, protocol).map(|s| s.port),
                port,
                "{name} {protocol:?}"
            );
        }
        for (port, protocol, name) in [
            (80, Some("tcp"), Some("http")),
            (443, None, Some("https")),
            (514, Some("tcp"), Some("shell")),
            (514, Some("udp"), Some("syslog")),
            (8080, None, Some("http-alt")),
            (65_535, None, None),
        ] {
            assert_eq!(
                getservbyport(port, protocol).map(|s| s.name),
                name,
                "{port} {protocol:?}"
            );
        }
        let http = getservbyport(80, None).unwrap();
        assert!(http.aliases().any(|alias| alias == "www"));
    }

    #[test]
    fn classes_have_the_borders_of_rfc_6335() {
        for (port, class) in [
            (0, PortClass::WellKnown),
            (1023, PortClass::WellKnown),
            (1024, PortClass::Registered),
            (49_151, PortClass::Registered),
            (49_152, PortClass::Dynamic),
            (65_535, PortClass::Dynamic),
        ] {
            assert_eq!(PortClass::of(port), class, "{port}");
            let (first, last) = class.range();
            assert!((first..=last).contains(&port));
        }
    }

    #[test]
    fn a_mistyped_name_finds_its_like() {
        for (typed, meant) in [
            ("htpp", "http"),
            ("htps", "https"),
            ("ssj", "ssh"),
            ("domian", "domain"),
        ] {
            assert!(suggestions(typed).contains(&meant), "{typed}: {:?}", suggestions(typed));
        }
        assert!(suggestions("qqqqqqqqqq").is_empty());
    }
}
