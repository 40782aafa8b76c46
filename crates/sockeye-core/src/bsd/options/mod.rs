//! The options of one socket: what the program set, checked as Linux checks it, and what the host is told of it.

mod info;
pub mod table;

use super::abi;
use super::address::Family;
use crate::error::Errno;
use crate::settings::CongestionControl;
use crate::socket::{BindOptions, TcpOptions, UdpOptions, UrgentData};
use std::collections::BTreeMap;
use std::time::Duration;
use table::{Shape, Spec};

pub use info::tcp_info;

/// Largest buffer a program may ask for: our hosts' rmem_max and wmem_max.
const BUFFER_MAX: i32 = 4 << 20;

/// Options that were set; all others have their defaults.
#[derive(Clone, Debug, Default)]
pub struct Options {
    set: BTreeMap<(i32, i32), Vec<u8>>,
    congestion: Option<CongestionControl>,
    device: Vec<u8>,
    /// `SO_ZEROCOPY`: only of those that tell when a send has ended, and so not in the table.
    pub(in crate::bsd) zerocopy: bool,
}

impl Options {
    /// Takes the value that a program gives for an option.
    ///
    /// # Errors
    /// As Linux: `EINVAL` for a value too short or out of range, `EDOM` for a time that is none, `ENOPROTOOPT` for what can be read only.
    pub fn set(&mut self, spec: &Spec, value: &[u8]) -> Result<(), Errno> {
        let kept = match spec.shape {
            Shape::ReadOnly => return Err(Errno::ENOPROTOOPT),
            Shape::Refused(errno) => return Err(errno),
            Shape::Bytes(len) => {
                let mut kept = value.to_vec();
                kept.resize(len, 0);
                kept
            }
            Shape::Time => time_value(value)?,
            Shape::Linger => {
                let kept = value.get(..8).ok_or(Errno::EINVAL)?;
                let on = i32::from(number(&kept[..4]).unwrap_or(0) != 0);
                [&on.to_ne_bytes(), &kept[4..]].concat()
            }
            Shape::Flag | Shape::Number(..) | Shape::OrDefault(..) | Shape::Buffer(_) => {
                self.number_value(spec, value)?.to_ne_bytes().to_vec()
            }
        };
        self.set.insert((spec.level, spec.name), kept);
        Ok(())
    }

    fn number_value(&self, spec: &Spec, value: &[u8]) -> Result<i32, Errno> {
        // IP options may be given as one byte.
        let short = spec.level == abi::IPPROTO_IP && matches!(value.len(), 1..=3);
        let given = if short {
            i32::from(value[0])
        } else {
            number(value).ok_or(Errno::EINVAL)?
        };
        Ok(match spec.shape {
            Shape::Flag => i32::from(given != 0),
            Shape::Buffer(least) => given.clamp(0, BUFFER_MAX).saturating_mul(2).max(least),
            Shape::OrDefault(..) if given == -1 => spec.default,
            Shape::Number(low, high) | Shape::OrDefault(low, high) if !(low..=high).contains(&given) => {
                return Err(Errno::EINVAL);
            }
            _ => given,
        })
    }

    /// The value of an option, as `getsockopt` gives it.
    pub fn value(&self, spec: &Spec) -> Vec<u8> {
        if let Some(kept) = self.set.get(&(spec.level, spec.name)) {
            return kept.clone();
        }
        match spec.shape {
            Shape::Time => vec![0; 16],
            Shape::Linger => vec![0; 8],
            Shape::Bytes(len) => vec![0; len],
            _ => spec.default.to_ne_bytes().to_vec(),
        }
    }

    fn number(&self, level: i32, name: i32) -> Option<i32> {
        number(self.set.get(&(level, name))?)
    }

    /// True when a flag was set.
    pub fn flag(&self, level: i32, name: i32) -> bool {
        self.number(level, name).is_some_and(|value| value != 0)
    }

    /// SO_LINGER: how many seconds closing waits, when it is on; with 0 it resets.
    pub fn linger(&self) -> Option<u32> {
        let linger = self.set.get(&(abi::SOL_SOCKET, abi::SO_LINGER))?;
        let seconds = number(&linger[4..]).unwrap_or(0).max(0) as u32;
        (number(&linger[..4]) == Some(1)).then_some(seconds)
    }

    /// SO_RCVTIMEO or SO_SNDTIMEO; `None` waits for ever.
    pub fn timeout(&self, name: i32) -> Option<Duration> {
        let newer = match name {
            abi::SO_RCVTIMEO => abi::SO_RCVTIMEO_NEW,
            _ => abi::SO_SNDTIMEO_NEW,
        };
        let set = |name| self.set.get(&(abi::SOL_SOCKET, name));
        let value = set(name).or_else(|| set(newer))?;
        let seconds = i64::from_ne_bytes(value[..8].try_into().ok()?);
        let micros = i64::from_ne_bytes(value[8..16].try_into().ok()?);
        let timeout = Duration::from_secs(seconds.max(0) as u64) + Duration::from_micros(micros.max(0) as u64);
        (!timeout.is_zero()).then_some(timeout)
    }

    /// SO_RCVLOWAT: bytes that make a stream worth reading.
    pub fn low_water(&self) -> usize {
        let set = self.number(abi::SOL_SOCKET, abi::SO_RCVLOWAT);
        set.map_or(1, |bytes| bytes.max(1) as usize)
    }

    /// TCP_CONGESTION.
    ///
    /// # Errors
    /// `ENOENT` for an algorithm that is not there.
    pub fn set_congestion(&mut self, name: &[u8]) -> Result<(), Errno> {
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let known = std::str::from_utf8(name).ok().and_then(CongestionControl::by_name);
        self.congestion = Some(known.ok_or(Errno::ENOENT)?);
        Ok(())
    }

    /// TCP_CONGESTION: 16 bytes, zero-padded; `default` is the host's.
    pub fn congestion(&self, default: CongestionControl) -> Vec<u8> {
        let mut name = self.congestion.unwrap_or(default).name().as_bytes().to_vec();
        name.resize(16, 0);
        name
    }

    /// SO_BINDTODEVICE: only our own two interfaces are there.
    ///
    /// # Errors
    /// `ENODEV` for any other.
    pub fn set_device(&mut self, name: &[u8]) -> Result<(), Errno> {
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if !matches!(name, b"" | b"lo" | b"eth0") {
            return Err(Errno::ENODEV);
        }
        self.device = name.to_vec();
        Ok(())
    }

    /// SO_BINDTODEVICE.
    pub fn device(&self) -> Vec<u8> {
        if self.device.is_empty() {
            Vec::new()
        } else {
            [&self.device[..], b"\0"].concat()
        }
    }

    /// What binding has to know.
    pub fn bind_options(&self) -> BindOptions {
        BindOptions {
            reuse_address: self.flag(abi::SOL_SOCKET, abi::SO_REUSEADDR),
            reuse_port: self.flag(abi::SOL_SOCKET, abi::SO_REUSEPORT),
            only_v6: self.flag(abi::IPPROTO_IPV6, abi::IPV6_V6ONLY),
            freebind: self.flag(abi::IPPROTO_IP, abi::IP_FREEBIND),
            port_range: None,
        }
    }

    fn ttl(&self, family: Family) -> Option<u8> {
        let value = match family {
            Family::V4 => self.number(abi::IPPROTO_IP, abi::IP_TTL),
            Family::V6 => self.number(abi::IPPROTO_IPV6, abi::IPV6_UNICAST_HOPS),
        };
        value.and_then(|ttl| u8::try_from(ttl).ok())
    }

    fn tos(&self, family: Family) -> u8 {
        let value = match family {
            Family::V4 => self.number(abi::IPPROTO_IP, abi::IP_TOS),
            Family::V6 => self.number(abi::IPPROTO_IPV6, abi::IPV6_TCLASS),
        };
        value.unwrap_or(0) as u8
    }

    /// What a TCP connection of this family has to know.
    pub fn tcp(&self, family: Family) -> TcpOptions {
        let tcp = |name| self.number(abi::IPPROTO_TCP, name);
        let seconds = |name| tcp(name).map(|value| Duration::from_secs(value.max(0) as u64));
        let small = |name| tcp(name).and_then(|value| u8::try_from(value).ok());
        // The kernel's sizes are twice what was asked for, to make room for its own bookkeeping.
        let buffer = |name| self.number(abi::SOL_SOCKET, name).map(|size| size as u32 / 2);
        TcpOptions {
            nodelay: tcp(abi::TCP_NODELAY) == Some(1),
            cork: tcp(abi::TCP_CORK) == Some(1),
            more: false,
            quickack: tcp(abi::TCP_QUICKACK) == Some(1),
            keepalive: self.flag(abi::SOL_SOCKET, abi::SO_KEEPALIVE),
            keepalive_time: seconds(abi::TCP_KEEPIDLE),
            keepalive_intvl: seconds(abi::TCP_KEEPINTVL),
            keepalive_probes: small(abi::TCP_KEEPCNT),
            user_timeout: tcp(abi::TCP_USER_TIMEOUT)
                .filter(|&millis| millis > 0)
                .map(|millis| Duration::from_millis(millis as u64)),
            // The kernel has no option for it.
            advertise_timeout: None,
            max_segment: tcp(abi::TCP_MAXSEG).and_then(|value| u16::try_from(value).ok()),
            recv_buffer: buffer(abi::SO_RCVBUF),
            // Sending counts memory, and has the whole of it.
            send_buffer: self.number(abi::SOL_SOCKET, abi::SO_SNDBUF).map(|size| size as u32),
            send_memory: self.number(abi::SOL_SOCKET, abi::SO_SNDBUF).is_some(),
            notsent_lowat: tcp(abi::TCP_NOTSENT_LOWAT)
                .filter(|&value| value > 0)
                .map(|value| value as u32),
            fast_open: tcp(abi::TCP_FASTOPEN).map_or(0, |pending| pending.max(0) as u32),
            fast_open_connect: tcp(abi::TCP_FASTOPEN_CONNECT) == Some(1),
            syn_retries: small(abi::TCP_SYNCNT),
            fin_timeout: tcp(abi::TCP_LINGER2).map(|value| Duration::from_secs(value.max(0) as u64)),
            window_clamp: tcp(abi::TCP_WINDOW_CLAMP)
                .filter(|&value| value > 0)
                .map(|value| value as u32),
            congestion: self.congestion,
            max_pacing_rate: self
                .number(abi::SOL_SOCKET, abi::SO_MAX_PACING_RATE)
                .filter(|rate| !matches!(rate, -1 | 0))
                .map(|rate| u64::from(rate as u32)),
            ttl: self.ttl(family),
            tos: self.tos(family) & !3,
            urgent: UrgentData::Unmarked,
            // The kernel has no option for it.
            ecn: None,
        }
    }

    /// What a datagram socket of this family has to know.
    pub fn udp(&self, family: Family) -> UdpOptions {
        let discover = match family {
            Family::V4 => self.number(abi::IPPROTO_IP, abi::IP_MTU_DISCOVER),
            Family::V6 => self.number(abi::IPPROTO_IPV6, abi::IPV6_MTU_DISCOVER),
        };
        UdpOptions {
            broadcast: self.flag(abi::SOL_SOCKET, abi::SO_BROADCAST),
            recv_buffer: self.number(abi::SOL_SOCKET, abi::SO_RCVBUF).map(|size| size as u32),
            ttl: self.ttl(family),
            tos: self.tos(family),
            dont_fragment: matches!(discover, Some(abi::IP_PMTUDISC_DO | abi::IP_PMTUDISC_PROBE)),
            recverr: self.flag(abi::IPPROTO_IP, abi::IP_RECVERR) || self.flag(abi::IPPROTO_IPV6, abi::IPV6_RECVERR),
        }
    }

    /// UDP_SEGMENT.
    pub fn segment_size(&self) -> Option<u16> {
        let size = self.number(abi::IPPROTO_UDP, abi::UDP_SEGMENT)?;
        u16::try_from(size).ok().filter(|&size| size > 0)
    }
}

/// The first four bytes as a number.
pub fn number(value: &[u8]) -> Option<i32> {
    Some(i32::from_ne_bytes(value.get(..4)?.try_into().ok()?))
}

/// A `struct timeval`, checked.
fn time_value(value: &[u8]) -> Result<Vec<u8>, Errno> {
    let kept = value.get(..16).ok_or(Errno::EINVAL)?;
    let micros = i64::from_ne_bytes(kept[8..].try_into().map_err(|_| Errno::EINVAL)?);
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    Ok(kept.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_then_get(level: i32, name: i32, who: u8, value: i32) -> Result<i32, Errno> {
        let spec = table::find(level, name, who).ok_or(Errno::ENOPROTOOPT)?;
        let mut options = Options::default();
        options.set(spec, &value.to_ne_bytes())?;
        number(&options.value(spec)).ok_or(Errno::EINVAL)
    }

    #[test]
    fn values_are_kept_as_linux_keeps_them() {
        let (sol, tcp, ip) = (abi::SOL_SOCKET, abi::IPPROTO_TCP, abi::IPPROTO_IP);
        for (case, level, name, who, value, want) in [
            ("flags become 1", sol, abi::SO_REUSEADDR, table::STREAM, 7, Ok(1)),
            ("sizes double", sol, abi::SO_RCVBUF, table::STREAM, 10_000, Ok(20_000)),
            ("sizes have a floor", sol, abi::SO_SNDBUF, table::DATAGRAM, 1, Ok(4_608)),
            ("TTL of -1 is the default", ip, abi::IP_TTL, table::STREAM, -1, Ok(64)),
            (
                "TTL of 0 is none",
                ip,
                abi::IP_TTL,
                table::STREAM,
                0,
                Err(Errno::EINVAL),
            ),
            (
                "UDP has no TCP options",
                tcp,
                abi::TCP_NODELAY,
                table::DATAGRAM,
                1,
                Err(Errno::ENOPROTOOPT),
            ),
            ("no marks", sol, abi::SO_MARK, table::STREAM, 1, Err(Errno::EPERM)),
            ("no kTLS", tcp, abi::TCP_ULP, table::STREAM, 1, Err(Errno::ENOENT)),
            ("unknown", sol, 9_999, table::STREAM, 1, Err(Errno::ENOPROTOOPT)),
        ] {
            assert_eq!(set_then_get(level, name, who, value), want, "{case}");
        }
    }

    #[test]
    fn options_reach_the_host() {
        let mut options = Options::default();
        let mut set = |level, name, value: &[u8]| {
            options
                .set(table::find(level, name, table::STREAM).unwrap(), value)
                .unwrap();
        };
        set(abi::IPPROTO_TCP, abi::TCP_NODELAY, &1_i32.to_ne_bytes());
        set(abi::IPPROTO_TCP, abi::TCP_USER_TIMEOUT, &1_500_i32.to_ne_bytes());
        set(
            abi::SOL_SOCKET,
            abi::SO_LINGER,
            &[1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat(),
        );
        set(
            abi::SOL_SOCKET,
            abi::SO_RCVTIMEO,
            &[0_i64.to_ne_bytes(), 250_000_i64.to_ne_bytes()].concat(),
        );
        let tcp = options.tcp(Family::V4);
        assert!(tcp.nodelay && !tcp.cork);
        assert_eq!(tcp.user_timeout, Some(Duration::from_millis(1_500)));
        assert_eq!(options.linger(), Some(0));
        assert_eq!(options.timeout(abi::SO_RCVTIMEO), Some(Duration::from_millis(250)));
        assert_eq!(options.timeout(abi::SO_SNDTIMEO), None);
    }
}
