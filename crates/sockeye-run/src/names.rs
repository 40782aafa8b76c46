//! Names: which of a program's conversations are with its name server, so that no lookup leaves by another way.
//!
//! Whatever resolver the machine's resolv.conf names (a local stub included) is served by the built-in one; replies carry the address that
//! the program sent to. Local caches (nscd, systemd-resolved) are refused, for they would ask the machine's network behind our back.

use sockeye::addresses;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Local sockets behind which names are looked up.
const CACHES: [&[u8]; 6] = [
    b"/var/run/nscd/socket",
    b"/run/nscd/socket",
    b"/run/systemd/resolve/io.systemd.Resolve",
    b"/var/run/systemd/resolve/io.systemd.Resolve",
    b"/run/systemd/resolve/io.systemd.Resolve.Monitor",
    b"/run/avahi-daemon/socket",
];

/// True for a local socket behind which names are looked up.
pub(crate) fn is_name_cache(path: &[u8]) -> bool {
    CACHES.contains(&path)
}

/// The name servers that a program believes in.
#[derive(Debug)]
pub(crate) struct NameServers {
    path: PathBuf,
    read: Option<(Instant, Option<SystemTime>)>,
    servers: Vec<IpAddr>,
}

impl NameServers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: None,
            servers: Vec::new(),
        }
    }

    /// Where a conversation with `to` goes in truth, when `to` is one of the program's name servers.
    pub(crate) fn redirect(&mut self, to: SocketAddr) -> Option<SocketAddr> {
        if to.port() != 53 || addresses::is_names(to.ip()) {
            return None;
        }
        self.refresh();
        let server = |v4: bool| -> IpAddr {
            if v4 {
                addresses::NAMES_V4.into()
            } else {
                addresses::NAMES_V6.into()
            }
        };
        self.servers
            .contains(&to.ip())
            .then(|| SocketAddr::new(server(to.is_ipv4()), 53))
    }

    /// Reads the list again when it may have changed, at most once a second.
    fn refresh(&mut self) {
        let changed = || std::fs::metadata(&self.path).and_then(|meta| meta.modified()).ok();
        let now = Instant::now();
        let seen = match self.read {
            Some((at, _)) if now.duration_since(at) < Duration::from_secs(1) => return,
            Some((_, seen)) if seen.is_some() => {
                let modified = changed();
                self.read = Some((now, modified));
                if modified == seen {
                    return;
                }
                modified
            }
            _ => changed(),
        };
        self.read = Some((now, seen));
        self.servers = parse(&std::fs::read_to_string(&self.path).unwrap_or_default());
    }
}

/// The servers that resolv.conf(5) names; without any it means this host.
fn parse(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|&word| word == "nameserver").and(words.next())?;
        address.split('%').next()?.parse().ok()
    });
    let servers: Vec<IpAddr> = servers.collect();
    if servers.is_empty() {
        vec![Ipv4Addr::LOCALHOST.into()]
    } else {
        servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_resolver_reads_them() {
        let list = |text: &str| parse(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            list("# x\nnameserver 127.0.0.53\noptions edns0\nnameserver fe80::1%eth0\n"),
            ["127.0.0.53", "fe80::1"]
        );
        assert_eq!(list("search example\n"), ["127.0.0.1"]);
    }

    #[test]
    fn only_port_53_of_a_listed_server_is_redirected() {
        let file = std::env::temp_dir().join(format!("sockeye-resolv-{}", std::process::id()));
        std::fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
        let mut names = NameServers::new(file.clone());
        let to = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(names.redirect(to("192.0.2.1:53")), Some(to("10.0.2.3:53")));
        assert_eq!(names.redirect(to("192.0.2.1:54")), None);
        assert_eq!(names.redirect(to("192.0.2.2:53")), None);
        assert_eq!(names.redirect(to("10.0.2.3:53")), None);
        std::fs::remove_file(file).unwrap();
    }
}
