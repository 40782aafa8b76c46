//! Names in the description of a host: its own, and whom it asks for others.

use super::{BuildError, HostBuilder};
use crate::names::resolv_conf;
use hickory_proto::rr::Name;
use std::net::{IpAddr, SocketAddr};

impl HostBuilder {
    /// Teaches the host a name, as a line of `/etc/hosts` does. `localhost` it knows. Case does not matter.
    pub fn name(mut self, name: impl Into<String>, address: impl Into<IpAddr>) -> Self {
        self.names.push((name.into(), address.into()));
        self
    }

    /// Teaches the host the names of a table as `/etc/hosts` has them: an address and its names a line, `#` begins a comment.
    ///
    /// ```
    /// use sockeye::{Host, net::lookup_host};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = Host::builder().hosts("192.0.2.80 www.example www # the web").build()?;
    /// let found: Vec<_> = host.scope(lookup_host("www:80")).await?.collect();
    /// assert_eq!(found, ["192.0.2.80:80".parse()?]);
    /// # Ok(()) }
    /// ```
    pub fn hosts(mut self, table: &str) -> Self {
        for line in table.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(first) = words.next() else { continue };
            match first.parse::<IpAddr>() {
                Ok(address) => self.names.extend(words.map(|name| (name.to_owned(), address))),
                Err(_) => {
                    self.misnamed.get_or_insert(BuildError::Address(first.to_owned()));
                }
            }
        }
        self
    }

    /// Adds a name server to ask for names that the host does not know by itself: `10.0.0.53`, or with a port `[fd00::53]:5353`. It is
    /// reached by the host's own links and routes. Several are asked in order, eight times around with growing patience (0.5 s to 4 s each);
    /// answers that UDP cuts off are fetched over TCP.
    ///
    /// ```
    /// use sockeye::{Host, link};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (link, _wire) = link::channel(1_500);
    /// let host = Host::builder()
    ///     .address("10.0.0.2/24")
    ///     .link(link)
    ///     .name_server("10.0.0.53")
    ///     .search("example.com")
    ///     .build()?;
    /// # drop(host);
    /// # Ok(()) }
    /// ```
    pub fn name_server(mut self, address: impl AsRef<str>) -> Self {
        let text = address.as_ref();
        let plain = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, resolv_conf::PORT));
        match plain.or_else(|_| text.parse()) {
            Ok(server) => self.resolver.servers.push(server),
            Err(_) => {
                self.misnamed.get_or_insert(BuildError::NameServer(text.to_owned()));
            }
        }
        self
    }

    /// Adds a domain to try names in: with `search("example.com")` `www` may mean `www.example.com`. Names with a dot are tried as they are
    /// first, those that end in one as they are only.
    pub fn search(mut self, domain: impl AsRef<str>) -> Self {
        let text = domain.as_ref();
        match Name::from_utf8(text) {
            Ok(mut domain) => {
                domain.set_fqdn(true);
                self.resolver.search.push(domain);
            }
            Err(_) => {
                self.misnamed.get_or_insert(BuildError::Name(text.to_owned()));
            }
        }
        self
    }

    /// Takes name servers, search list and `ndots` from a text as `/etc/resolv.conf` has them; what makes no sense there is passed over.
    pub fn resolv_conf(mut self, text: &str) -> Self {
        self.resolver.servers.extend(resolv_conf::parse(text.as_bytes()));
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("search" | "domain") => {
                    let domains = words.filter_map(|word| Name::from_utf8(word).ok());
                    self.resolver.search = domains
                        .map(|mut domain| {
                            domain.set_fqdn(true);
                            domain
                        })
                        .collect();
                }
                Some("options") => {
                    let ndots = words
                        .filter_map(|word| word.strip_prefix("ndots:")?.parse().ok())
                        .next_back();
                    self.resolver.ndots = ndots.unwrap_or(self.resolver.ndots).min(15);
                }
                _ => {}
            }
        }
        self
    }
}
