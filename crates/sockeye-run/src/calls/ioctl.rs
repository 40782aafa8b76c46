//! `ioctl` on sockets: the interfaces of the program's host, as `SIOCGIF*` show them, whatever kind of socket asks.

use crate::call::{Answer, Answered, Call, OK};
use crate::identity;
use crate::supervisor::Supervisor;
use rustix::io::Errno;
use sockeye::addresses;
use sockeye_core::bsd::options::number;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sockeye_core::bsd::address::Family;

const SIOCATMARK: u32 = 0x8905;
const SIOCGSTAMP: u32 = 0x8906;
const SIOCGSTAMPNS: u32 = 0x8907;
const SIOCGIFNAME: u32 = 0x8910;
const SIOCGIFCONF: u32 = 0x8912;
const SIOCGIFFLAGS: u32 = 0x8913;
const SIOCGIFADDR: u32 = 0x8915;
const SIOCGIFDSTADDR: u32 = 0x8917;
const SIOCGIFBRDADDR: u32 = 0x8919;
const SIOCGIFNETMASK: u32 = 0x891b;
const SIOCGIFMETRIC: u32 = 0x891d;
const SIOCGIFMTU: u32 = 0x8921;
const SIOCGIFHWADDR: u32 = 0x8927;
const SIOCGIFINDEX: u32 = 0x8933;
const SIOCGIFTXQLEN: u32 = 0x8942;

/// `struct ifreq`: a name and a value.
const IFREQ: usize = 40;
const NAME: usize = 16;

/// What a program sees of an interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    index: i32,
    name: &'static str,
    address: Ipv4Addr,
    mask: Ipv4Addr,
    broadcast: Option<Ipv4Addr>,
    mtu: u32,
    flags: i32,
    /// ARPHRD_*.
    hardware: u16,
}

impl Supervisor {
    pub(super) fn ioctl(&mut self, call: &Call) -> Answered {
        let request = call.args[1] as u32;
        let Ok(app) = self.tasks.copy(call.tid, call.fd()) else {
            return Ok(Answer::Continue);
        };
        let Some(cookie) = identity::cookie(&app) else {
            return Ok(Answer::Continue);
        };
        match request {
            SIOCATMARK => {
                let ours = self.socks.by_cookie(cookie).is_some();
                if !ours {
                    return Ok(Answer::Continue);
                }
                call.write(call.args[2], &0_i32.to_ne_bytes())?;
                OK
            }
            SIOCGSTAMP | SIOCGSTAMPNS => Ok(Answer::Continue),
            SIOCGIFCONF => self.list(call),
            SIOCGIFNAME | SIOCGIFFLAGS..=SIOCGIFMETRIC | SIOCGIFMTU | SIOCGIFHWADDR | SIOCGIFINDEX | SIOCGIFTXQLEN => {
                self.one(call, request)
            }
            _ => self.refuse(call, &format!("ioctl 0x{request:x}"), Errno::OPNOTSUPP),
        }
    }

    /// `SIOCGIFCONF`: interfaces with IPv4 addresses.
    fn list(&self, call: &Call) -> Answered {
        let head = call.read(call.args[2], 16)?;
        let room = number(&head).unwrap_or(0).max(0) as usize;
        let at = u64::from_ne_bytes(std::array::from_fn(|i| head[8 + i]));
        let mut list = Vec::new();
        for interface in self
            .interfaces()
            .iter()
            .filter(|interface| !interface.address.is_unspecified())
        {
            let mut entry = padded_name(interface.name);
            entry.extend(Family::V4.encode(SocketAddr::new(interface.address.into(), 0)));
            entry.resize(IFREQ, 0);
            list.extend(entry);
        }
        if at != 0 {
            list.truncate(room / IFREQ * IFREQ);
            call.write(at, &list)?;
        }
        call.write(call.args[2], &(list.len() as i32).to_ne_bytes())?;
        OK
    }

    fn one(&self, call: &Call, request: u32) -> Answered {
        let asked = call.read(call.args[2], IFREQ)?;
        let interfaces = self.interfaces();
        let interface = if request == SIOCGIFNAME {
            let index = number(&asked[NAME..]).unwrap_or(0);
            interfaces.iter().find(|interface| interface.index == index)
        } else {
            let name = asked[..NAME]
                .split(|&byte| byte == 0 || byte == b':')
                .next()
                .unwrap_or_default();
            interfaces.iter().find(|interface| interface.name.as_bytes() == name)
        };
        let interface = interface.ok_or(Errno::NODEV)?;
        if request == SIOCGIFNAME {
            call.write(call.args[2], &padded_name(interface.name))?;
            return OK;
        }
        let address = |address: Ipv4Addr| {
            if interface.address.is_unspecified() {
                return Err(Errno::ADDRNOTAVAIL);
            }
            Ok(Family::V4.encode(SocketAddr::new(IpAddr::V4(address), 0)))
        };
        let value = match request {
            SIOCGIFFLAGS => (interface.flags as u16).to_ne_bytes().to_vec(),
            SIOCGIFADDR | SIOCGIFDSTADDR => address(interface.address)?,
            SIOCGIFBRDADDR => address(interface.broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED))?,
            SIOCGIFNETMASK => address(interface.mask)?,
            SIOCGIFMETRIC => 0_i32.to_ne_bytes().to_vec(),
            SIOCGIFMTU => (interface.mtu as i32).to_ne_bytes().to_vec(),
            SIOCGIFINDEX => interface.index.to_ne_bytes().to_vec(),
            SIOCGIFTXQLEN => 1_000_i32.to_ne_bytes().to_vec(),
            SIOCGIFHWADDR => {
                let mut value = interface.hardware.to_ne_bytes().to_vec();
                value.resize(16, 0);
                value
            }
            _ => return Err(Errno::INVAL),
        };
        call.write(call.args[2] + NAME as u64, &value)?;
        OK
    }

    fn interfaces(&self) -> [Interface; 2] {
        const UP_AND_RUNNING: i32 = libc::IFF_UP | libc::IFF_RUNNING;
        const ARPHRD_LOOPBACK: u16 = 772;
        const ARPHRD_NONE: u16 = 0xfffe;
        let carries_v4 = self.network.host.is_local(addresses::PROGRAM_V4.into());
        let address = if carries_v4 {
            addresses::PROGRAM_V4
        } else {
            Ipv4Addr::UNSPECIFIED
        };
        [
            Interface {
                index: 1,
                name: "lo",
                address: Ipv4Addr::LOCALHOST,
                mask: Ipv4Addr::new(255, 0, 0, 0),
                broadcast: None,
                mtu: 65_536,
                flags: UP_AND_RUNNING | libc::IFF_LOOPBACK,
                hardware: ARPHRD_LOOPBACK,
            },
            Interface {
                index: 2,
                name: "eth0",
                address,
                mask: Ipv4Addr::new(255, 255, 255, 0),
                broadcast: Some(Ipv4Addr::new(10, 0, 2, 255)),
                mtu: self.network.mtu(),
                flags: UP_AND_RUNNING | libc::IFF_BROADCAST | libc::IFF_MULTICAST,
                hardware: ARPHRD_NONE,
            },
        ]
    }
}

fn padded_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME, 0);
    bytes
}
