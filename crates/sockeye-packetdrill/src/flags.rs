//! Settings of a run as text: packetdrill's `--so_flags`, and SOCKEYE_SYSCTL.

use std::net::IpAddr;

/// What the user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) local: Vec<IpAddr>,
    pub(crate) mtu: u32,
    pub(crate) seed: u64,
    /// Settings of the host, by their sysctls' names.
    pub(crate) settings: Vec<(String, String)>,
    /// What could not be understood: a line each.
    pub(crate) remarks: Vec<String>,
}

impl Default for Flags {
    /// The addresses that the kernel's own tests give packetdrill.
    fn default() -> Self {
        Self {
            local: ["192.168.0.1", "fd3d:a0b:17d6::1"]
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
            mtu: 1_500,
            seed: 0,
            settings: Vec::new(),
            remarks: Vec::new(),
        }
    }
}

impl Flags {
    /// Takes `text` on top of what was said before.
    pub(crate) fn add(&mut self, text: &str) {
        for (name, value) in pairs(text) {
            let taken = match name.as_str() {
                "local" => value.parse().map(|address| self.add_local(address)).is_ok(),
                "mtu" => number(&value)
                    .filter(|mtu| (1_280..=65_535).contains(mtu))
                    .map(|mtu| self.mtu = mtu as u32)
                    .is_some(),
                "seed" => number(&value).map(|seed| self.seed = seed).is_some(),
                _ => {
                    self.settings.push((name.clone(), value.clone()));
                    true
                }
            };
            if !taken {
                self.remarks.push(format!("{name}={value}: not a value of {name}"));
            }
        }
    }

    /// The first address of a family that is named takes the place of the default one.
    fn add_local(&mut self, address: IpAddr) {
        let default = Self::default().local;
        self.local
            .retain(|old| old.is_ipv4() != address.is_ipv4() || !default.contains(old));
        self.local.push(address);
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// The `name=value` of a text. What has no `=` belongs to the value before it.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for word in text.split([' ', '\t', '\n', ',', ';']).filter(|word| !word.is_empty()) {
        match (word.split_once('='), pairs.last_mut()) {
            (Some((name, value)), _) => {
                let name = name.trim_start_matches('-');
                pairs.push((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()));
            }
            (None, Some((_, value))) => {
                value.push(' ');
                value.push_str(word.trim_matches(['"', '\'']));
            }
            (None, None) => pairs.push((word.to_owned(), "1".to_owned())),
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_every_shape() {
        let mut flags = Flags::default();
        flags.add("net.ipv4.tcp_sack=0 mtu=1520;seed=7, net.ipv4.tcp_rmem=\"4096 5000 6000\"");
        flags.add("local=192.168.3.4 mtu=9 net.ipv4.tcp_sack=1");
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            flags.settings,
            [
                setting("net.ipv4.tcp_sack", "0"),
                setting("net.ipv4.tcp_rmem", "4096 5000 6000"),
                setting("net.ipv4.tcp_sack", "1")
            ]
        );
        assert_eq!((flags.mtu, flags.seed), (1_520, 7));
        let local: Vec<_> = flags.local.iter().map(ToString::to_string).collect();
        assert_eq!(local, ["fd3d:a0b:17d6::1", "192.168.3.4"]);
        assert_eq!(flags.remarks, ["mtu=9: not a value of mtu"]);
    }
}
