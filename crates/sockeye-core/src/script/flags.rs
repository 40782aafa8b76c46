//! Lines such as `--tolerance_usecs=10000`: how a script wants to be run.

use super::fault::{Wrong, wrong};
use super::tree::{Flag, Script};
use crate::script::Fault;
use crate::time::Duration;
use std::net::IpAddr;

/// How a script is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The address of what is under test.
    pub local: IpAddr,
    /// The address of the script.
    pub remote: IpAddr,
    /// MTU of the link between the two.
    pub mtu: u32,
    /// Packets that come with more payload are segments of this size, put together on their way.
    pub mss: Option<u16>,
    /// How much too early or too late something may be.
    pub tolerance: Duration,
    /// The port that `bind(fd, ..., ...)` takes.
    pub bind_port: u16,
    /// The port that `connect(fd, ..., ...)` goes to.
    pub connect_port: u16,
}

impl Script {
    /// How this script is run: what its `--name=value` lines say, packetdrill's defaults for the rest.
    ///
    /// # Errors
    /// A line that means nothing.
    pub fn setup(&self) -> Result<Setup, Fault> {
        read(&self.flags).map_err(|(at, text)| Fault {
            file: self.name.clone(),
            at,
            text,
            around: Vec::new(),
        })
    }
}

fn read(flags: &[Flag]) -> Result<Setup, Wrong> {
    let v6 = flags
        .iter()
        .any(|flag| flag.name == "ip_version" && flag.value == "ipv6");
    let (local, remote) = if v6 {
        ("fd3d:a0b:17d6:8888::1", "fd3d:fa7b:d17d:8888::1")
    } else {
        ("192.168.0.1", "192.0.2.1")
    };
    let mut setup = Setup {
        local: local.parse().expect("an address"),
        remote: remote.parse().expect("an address"),
        mtu: 1_500,
        mss: None,
        tolerance: Duration::from_millis(4),
        bind_port: 8_080,
        connect_port: 8_080,
    };
    for flag in flags {
        let Flag { at, name, value } = flag;
        let number = |most: u64| match value.parse::<u64>() {
            Ok(value) if value <= most => Ok(value),
            _ => wrong(*at, format!("--{name} takes a number up to {most}, not {value}")),
        };
        let address = || match value.parse::<IpAddr>() {
            Ok(address) if address.is_ipv6() == v6 => Ok(address),
            _ => wrong(
                *at,
                format!("--{name} takes an address of the script's IP version, not {value}"),
            ),
        };
        match name.as_str() {
            "ip_version" if value == "ipv4" || value == "ipv6" => {}
            "ip_version" => return wrong(*at, format!("--ip_version takes ipv4 or ipv6, not {value}")),
            "tolerance_usecs" => setup.tolerance = Duration::from_micros(number(100_000_000)?),
            "mtu" => {
                let mtu = number(65_535)?;
                if mtu < 576 {
                    return wrong(*at, "--mtu is 576 at least");
                }
                setup.mtu = mtu as u32;
            }
            "mss" => setup.mss = Some(number(65_535)?.max(1) as u16),
            "bind_port" => setup.bind_port = number(65_535)? as u16,
            "connect_port" => setup.connect_port = number(65_535)? as u16,
            "local_ip" => setup.local = address()?,
            "remote_ip" => setup.remote = address()?,
            // Of a network that is not there, of clocks that are the script's own, of output.
            "gateway_ip" | "netmask_ip" | "tcp_ts_tick_usecs" | "verbose" | "speed" | "debug" => {}
            // Of buffers that are reused, of super-segments that are cut: neither is here.
            "send_omit_free" | "strict_segments" => {}
            _ => {
                let known = "tolerance_usecs, ip_version, mtu, mss, bind_port, connect_port, local_ip, remote_ip";
                return wrong(*at, format!("--{name} is not known: {known} are"));
            }
        }
    }
    Ok(setup)
}
