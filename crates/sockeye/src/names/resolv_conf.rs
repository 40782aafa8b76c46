//! The machine's own name servers, as `/etc/resolv.conf` lists them now: read again whenever the file changes. resolv.conf(5).

use resolv_conf::{Config, ScopedIp};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The port name servers listen on.
pub const PORT: u16 = 53;
/// A file longer than this is not a list of name servers.
const LONGEST: u64 = 1 << 20;

/// A live view of a resolv.conf.
#[derive(Debug)]
pub struct ResolvConf {
    path: PathBuf,
    stamp: Option<Stamp>,
    servers: Vec<SocketAddr>,
    /// The file listed servers: they are not the default of a file that lists none.
    listed: bool,
}

/// What tells one version of a file from the next.
type Stamp = (u64, u64, u64, i64, i64);

impl ResolvConf {
    /// Reads the file when first asked.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            stamp: None,
            servers: default_servers(),
            listed: false,
        }
    }

    /// The name servers in order. A missing file, or one that lists none, means 127.0.0.1, as for the C library.
    pub fn servers(&mut self) -> &[SocketAddr] {
        self.refresh();
        &self.servers
    }

    /// True when the file lists servers.
    pub fn lists_any(&mut self) -> bool {
        self.refresh();
        self.listed
    }

    fn refresh(&mut self) {
        let meta = fs::metadata(&self.path)
            .ok()
            .filter(|meta| meta.is_file() && meta.len() <= LONGEST);
        let stamp = meta.map(|meta| (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()));
        if stamp == self.stamp {
            return;
        }
        let text = fs::read(&self.path).unwrap_or_default();
        self.servers = parse(&text);
        self.listed = !self.servers.is_empty();
        if !self.listed {
            self.servers = default_servers();
        }
        tracing::debug!(path = %self.path.display(), servers = ?self.servers, "name servers");
        self.stamp = stamp;
    }
}

fn default_servers() -> Vec<SocketAddr> {
    vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)]
}

/// The name servers that a resolv.conf lists. Lines that make no sense are passed over, as the C library does.
pub fn parse(text: &[u8]) -> Vec<SocketAddr> {
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Config::parse(line).ok());
    let servers = lines.flat_map(|line| line.nameservers);
    servers.map(|server| with_scope(&server)).collect()
}

fn with_scope(server: &ScopedIp) -> SocketAddr {
    match server {
        ScopedIp::V4(v4) => SocketAddr::new(IpAddr::V4(*v4), PORT),
        ScopedIp::V6(v6, scope) => {
            let scope = scope.as_deref().map_or(0, interface_index);
            SocketAddrV6::new(*v6, PORT, 0, scope).into()
        }
    }
}

/// The number of an interface, given by number or by name. 0 when there is none.
fn interface_index(name: &str) -> u32 {
    let by_name = || {
        fs::read_to_string(format!("/sys/class/net/{name}/ifindex"))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let plain = !name.contains('/');
    name.parse().ok().or_else(|| plain.then(by_name).flatten()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nonsense_lines_do_not_hide_the_others() {
        let text = b"# comment\nsearch example.com\nnameserver 192.0.2.53\nnameserver not-an-address\n\xff\xfe\n\
            options edns0 trust-ad\nnameserver 2001:db8::53\n  nameserver\nnameserver 127.0.0.53";
        let want = addresses(&["192.0.2.53:53", "[2001:db8::53]:53", "127.0.0.53:53"]);
        assert_eq!(parse(text), want);
        assert_eq!(parse(b""), []);
        let scoped = parse(b"nameserver fe80::1%7");
        assert_eq!(scoped, [SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 7).into()]);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let mut live = ResolvConf::new(path.clone());
        assert_eq!(
            (live.servers().to_vec(), live.lists_any()),
            (addresses(&["127.0.0.1:53"]), false)
        );
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(
            (live.servers().to_vec(), live.lists_any()),
            (addresses(&["192.0.2.1:53"]), true)
        );
        fs::write(&path, "nameserver 192.0.2.22\n").unwrap();
        assert_eq!(live.servers(), addresses(&["192.0.2.22:53"]));
        fs::remove_file(&path).unwrap();
        assert_eq!(
            (live.servers().to_vec(), live.lists_any()),
            (addresses(&["127.0.0.1:53"]), false)
        );
    }
}
