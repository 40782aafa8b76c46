//! ICMP echo ("ping"): relayed by kernel ping sockets where the system permits them (`net.ipv4.ping_group_range`), answered here for the
//! machine's loopback, refused as prohibited otherwise.

use super::ground::Ground;
use super::kernel;
use super::poller::{Arena, Key, Kind, Ready};
use super::udp::queued_kind;
use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use sockeye_core::Instant;
use sockeye_core::socket::{Echo, Refused, Unreachable};
use sockeye_sys::net;
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A ping socket outlives its last request by this long.
const IDLE: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(5);
/// ICMP and ICMPv6 echo headers alike: type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;

/// Who pings whom: one `ping` command.
type Who = (IpAddr, IpAddr, u16);

#[derive(Debug)]
struct Ping {
    fd: OwnedFd,
    who: Who,
    last: Instant,
}

/// All echo exchanges with the machine's network.
#[derive(Debug, Default)]
pub(super) struct Pings {
    pings: Arena<Ping>,
    by_who: HashMap<Who, Key>,
    next_sweep: Option<Instant>,
}

impl Pings {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next_sweep
    }

    pub(super) fn handle_timeout(&mut self, ground: &Ground) {
        if self.next_sweep.is_none_or(|at| at > ground.now) {
            return;
        }
        let idle = |ping: &Ping| ground.now.since(ping.last) >= IDLE;
        let old: Vec<Key> = self
            .pings
            .iter()
            .filter(|(_, ping)| idle(ping))
            .map(|(key, _)| key)
            .collect();
        for key in old {
            self.remove(key);
        }
        self.next_sweep = (self.pings.len() > 0).then(|| ground.now + SWEEP);
    }

    fn remove(&mut self, key: Key) {
        if let Some(ping) = self.pings.remove(key) {
            self.by_who.remove(&ping.who);
        }
    }

    /// The program pings an address of the machine's network.
    pub(super) fn on_echo(&mut self, ground: &mut Ground, echo: Echo) {
        if echo.local.is_loopback() {
            ground.counters.echo_replies += 1;
            return ground.host.send_echo_reply(ground.now, echo);
        }
        let who = (echo.local, echo.remote, echo.ident);
        let key = match self.by_who.get(&who) {
            Some(key) => *key,
            None => match self.open(ground, who) {
                Ok(key) => key,
                Err(error) => {
                    tracing::debug!(to = %echo.local, %error, "no ping socket: see net.ipv4.ping_group_range");
                    return refuse(ground, who, echo.sequence, kernel::unreachable(error));
                }
            },
        };
        let Some(ping) = self.pings.get_mut(key) else { return };
        ping.last = ground.now;
        let request = if echo.local.is_ipv4() { 8 } else { 128 };
        let mut message = Vec::with_capacity(HEADER + echo.data.len());
        // The kernel fills in the checksum and its own identifier.
        message.extend_from_slice(&[request, 0, 0, 0, 0, 0]);
        message.extend_from_slice(&echo.sequence.to_be_bytes());
        message.extend_from_slice(&echo.data);
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match send(&ping.fd, &message, flags).or_else(|_| send(&ping.fd, &message, flags)) {
            Ok(_) | Err(Errno::AGAIN | Errno::NOBUFS) => {}
            Err(error) => refuse(ground, who, echo.sequence, kernel::unreachable(error)),
        }
    }

    fn open(&mut self, ground: &mut Ground, who: Who) -> Result<Key, Errno> {
        if self.pings.len() >= ground.config.limits.echo
            && let Some(oldest) = self.pings.iter().min_by_key(|(_, ping)| ping.last).map(|(key, _)| key)
        {
            self.remove(oldest);
        }
        let fd = kernel::ping(who.0)?;
        let _ = net::set_recverr(&fd, who.0.is_ipv6());
        let last = ground.now;
        let key = self.pings.insert(Ping { fd, who, last });
        let fd = &self.pings.get(key).ok_or(Errno::BADF)?.fd;
        if ground.poller.add(fd, Kind::Echo, key).is_err() {
            self.pings.remove(key);
            return Err(Errno::NOMEM);
        }
        self.by_who.insert(who, key);
        self.next_sweep.get_or_insert(ground.now + SWEEP);
        Ok(key)
    }

    /// A ping socket became ready for something.
    pub(super) fn on_ready(&mut self, ground: &mut Ground, key: Key, ready: Ready) {
        let Some(ping) = self.pings.get(key) else { return };
        let (local, remote, ident) = ping.who;
        let mut buf = vec![0; 65_536];
        if ready.error {
            while let Ok(Some(error)) = net::take_queued_error(&ping.fd, &mut buf) {
                let sequence = sequence_of(&buf[..error.len.min(HEADER)]);
                refuse(ground, ping.who, sequence.unwrap_or(0), queued_kind(&error));
            }
        }
        // As many as may wait for one who pings; a flood beyond it is dropped when the socket idles out.
        for _ in 0..1_024 {
            match recv(&ping.fd, &mut buf[..], RecvFlags::DONTWAIT) {
                Ok((_, n)) => {
                    let Some(sequence) = sequence_of(&buf[..n]) else {
                        continue;
                    };
                    ground.counters.echo_replies += 1;
                    let data = Bytes::copy_from_slice(&buf[HEADER..n]);
                    let echo = Echo {
                        local,
                        remote,
                        ident,
                        sequence,
                        data,
                    };
                    ground.host.send_echo_reply(ground.now, echo);
                }
                Err(Errno::AGAIN) => return,
                Err(_) => {}
            }
        }
    }
}

fn sequence_of(message: &[u8]) -> Option<u16> {
    match message {
        [_, _, _, _, _, _, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

fn refuse(ground: &mut Ground, (local, remote, ident): Who, sequence: u16, why: Unreachable) {
    let what = Refused::Echo {
        local,
        remote,
        ident,
        sequence,
    };
    ground.host.refuse(ground.now, what, why);
}
