//! What the name server knows by itself: `sockeye.test`, `localhost`, names given by the user, and the addresses of the inside network.
//! Names that nobody can have (`.invalid`) are denied here too. RFC 6761.

use super::answers::normal;
use crate::addresses::{self, GATEWAY_V4, GATEWAY_V6, NAMES_V4, NAMES_V6, PROGRAM_V4, PROGRAM_V6};
use hickory_proto::rr::{Name, RecordType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The gateway's own domain. RFC 6761 §6.2 keeps `test` for such.
const DOMAIN: &str = "sockeye.test";
/// Hosts of that domain. The first name of an address is the one a reverse lookup gives.
const HOSTS: [(&str, Ipv4Addr, Ipv6Addr); 4] = [
    ("hello", GATEWAY_V4, GATEWAY_V6),
    ("gateway", GATEWAY_V4, GATEWAY_V6),
    ("dns", NAMES_V4, NAMES_V6),
    ("program", PROGRAM_V4, PROGRAM_V6),
];

/// An answer from our own knowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// This name, for a reverse lookup.
    Pointer(String),
    /// The name exists, without records of the type asked for.
    Nothing,
    /// There is no such name.
    NoSuchName,
}

/// All we know.
#[derive(Clone, Debug)]
pub struct Zone {
    ipv4: bool,
    ipv6: bool,
    hosts: Vec<(String, IpAddr)>,
}

impl Zone {
    /// The built-in names and `hosts`, for a network that speaks the given versions of IP.
    pub fn new(ipv4: bool, ipv6: bool, hosts: &[(String, IpAddr)]) -> Self {
        let hosts = hosts.iter().map(|(name, address)| (normal(name), *address)).collect();
        Self { ipv4, ipv6, hosts }
    }

    /// The answer to a question. `None`: ask somebody else.
    pub fn lookup(&self, name: &Name, kind: RecordType) -> Option<Known> {
        let text = normal(&name.to_ascii());
        if let Some(addresses) = self.addresses(&text) {
            return Some(self.pick(&addresses, kind));
        }
        if text == DOMAIN {
            return Some(Known::Nothing);
        }
        if within(&text, DOMAIN) || within(&text, "invalid") {
            return Some(Known::NoSuchName);
        }
        if within(&text, "arpa")
            && let Some(known) = self.reverse(name, kind)
        {
            return Some(known);
        }
        // Addresses of a version that is switched off would lead nowhere.
        let off = (kind == RecordType::A && !self.ipv4) || (kind == RecordType::AAAA && !self.ipv6);
        off.then_some(Known::Nothing)
    }

    /// All addresses of a name we know.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let given: Vec<IpAddr> = self
            .hosts
            .iter()
            .filter(|(host, _)| host == name)
            .map(|(_, at)| *at)
            .collect();
        if !given.is_empty() {
            return Some(given);
        }
        if within(name, "localhost") {
            return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let label = name.strip_suffix(DOMAIN)?.strip_suffix('.')?;
        let (_, v4, v6) = HOSTS.iter().find(|(host, ..)| *host == label)?;
        Some(vec![(*v4).into(), (*v6).into()])
    }

    fn pick(&self, addresses: &[IpAddr], kind: RecordType) -> Known {
        let fits = |address: &&IpAddr| match address {
            IpAddr::V4(_) => self.ipv4 && matches!(kind, RecordType::A | RecordType::ANY),
            IpAddr::V6(_) => self.ipv6 && matches!(kind, RecordType::AAAA | RecordType::ANY),
        };
        let picked: Vec<IpAddr> = addresses.iter().filter(fits).copied().collect();
        if picked.is_empty() {
            Known::Nothing
        } else {
            Known::Addresses(picked)
        }
    }

    fn reverse(&self, name: &Name, kind: RecordType) -> Option<Known> {
        let network = name.parse_arpa_name().ok()?;
        let address = network.addr();
        let whole = network.prefix_len() == network.max_prefix_len();
        let given = || {
            self.hosts
                .iter()
                .find(|(_, at)| *at == address)
                .map(|(host, _)| host.clone())
        };
        let own = || HOSTS.iter().find(|(_, v4, v6)| address == *v4 || address == *v6);
        let ours = || own().map(|(host, ..)| format!("{host}.{DOMAIN}"));
        let local = || (address.is_loopback() && whole).then(|| "localhost".to_owned());
        let pointer = whole.then(|| given().or_else(ours).or_else(local)).flatten();
        match pointer {
            Some(name) if matches!(kind, RecordType::PTR | RecordType::ANY) => Some(Known::Pointer(name + ".")),
            Some(_) => Some(Known::Nothing),
            None if whole && addresses::is_inside(address) => Some(Known::NoSuchName),
            None => None,
        }
    }
}

/// True for `domain` and all names below it.
fn within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_we_know_and_names_we_do_not() {
        let hosts = [
            ("api.example".to_owned(), "192.0.2.7".parse().unwrap()),
            ("Both.Example.".to_owned(), "192.0.2.8".parse().unwrap()),
            ("both.example".to_owned(), "2001:db8::8".parse().unwrap()),
        ];
        let (all, only4) = (Zone::new(true, true, &hosts), Zone::new(true, false, &hosts));
        let at = |list: &[&str]| {
            Some(Known::Addresses(
                list.iter().map(|text| text.parse().unwrap()).collect(),
            ))
        };
        let to = |name: &str| Some(Known::Pointer(name.to_owned()));
        let (nothing, no_such) = (Some(Known::Nothing), Some(Known::NoSuchName));
        let hello6 = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.";
        use RecordType as R;
        for (zone, name, kind, want) in [
            (&all, "hello.sockeye.test.", R::A, at(&["10.0.2.2"])),
            (&all, "HELLO.Sockeye.Test.", R::AAAA, at(&["fd00::2"])),
            (&all, "hello.sockeye.test.", R::ANY, at(&["10.0.2.2", "fd00::2"])),
            (&all, "hello.sockeye.test.", R::MX, nothing.clone()),
            (&only4, "hello.sockeye.test.", R::AAAA, nothing.clone()),
            (&all, "dns.sockeye.test.", R::A, at(&["10.0.2.3"])),
            (&all, "sockeye.test.", R::A, nothing.clone()),
            (&all, "www.hello.sockeye.test.", R::A, no_such.clone()),
            (&all, "nosockeye.test.", R::A, None),
            (&all, "never.invalid.", R::A, no_such.clone()),
            (&all, "localhost.", R::A, at(&["127.0.0.1"])),
            (&all, "api.localhost.", R::AAAA, at(&["::1"])),
            (&all, "api.example.", R::A, at(&["192.0.2.7"])),
            (&all, "api.example.", R::AAAA, nothing.clone()),
            (&all, "both.example.", R::AAAA, at(&["2001:db8::8"])),
            (&all, "www.example.", R::A, None),
            (&only4, "www.example.", R::A, None),
            (&only4, "www.example.", R::AAAA, nothing.clone()),
            (&all, "2.2.0.10.in-addr.arpa.", R::PTR, to("hello.sockeye.test.")),
            (&all, "99.2.0.10.in-addr.arpa.", R::PTR, no_such.clone()),
            (&all, "1.0.0.127.in-addr.arpa.", R::PTR, to("localhost.")),
            (&all, "7.2.0.192.in-addr.arpa.", R::PTR, to("api.example.")),
            (&all, "8.8.8.8.in-addr.arpa.", R::PTR, None),
            (&all, hello6, R::PTR, to("hello.sockeye.test.")),
            (&all, "x.y.z.in-addr.arpa.", R::PTR, None),
            (&all, ".", R::NS, None),
        ] {
            let parsed = Name::from_ascii(name).unwrap();
            assert_eq!(zone.lookup(&parsed, kind), want, "{name} {kind}");
        }
    }
}
