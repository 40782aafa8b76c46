//! For tests: two hosts on one wire, and time that stands still unless moved.

use super::{Host, HostConfig, InterfaceConfig, InterfaceId, Medium};
use crate::packet::Packet;
use crate::socket::Outgoing;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// More packets than ever wait.
const MANY: usize = 1 << 20;

/// Hosts `a` (10.0.0.1, fd00::1) and `b` (10.0.0.2, fd00::2).
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) a: Host,
    pub(crate) b: Host,
    pub(crate) link: InterfaceId,
    /// Every packet that crossed the wire.
    pub(crate) seen: Vec<Packet>,
}

impl Pair {
    /// Two ordinary hosts.
    pub(crate) fn new() -> Self {
        Self::with(HostConfig::default(), HostConfig::default())
    }

    /// Two hosts made so.
    pub(crate) fn with(a: HostConfig, b: HostConfig) -> Self {
        let make = |config: HostConfig, seed, last: u16| {
            let mut host = Host::new(HostConfig { seed, ..config });
            let link = host.add_interface(InterfaceConfig {
                name: "eth0".into(),
                medium: Medium::Ip,
                mtu: 1_500,
                gso: true,
                addresses: vec![
                    ([10, 0, 0, last as u8].into(), 24),
                    ([0xfd00, 0, 0, 0, 0, 0, 0, last].into(), 64),
                ],
            });
            (host, link)
        };
        let (a, link) = make(a, 1, 1);
        let (b, _) = make(b, 2, 2);
        Self {
            now: Instant::from_millis(1_000),
            a,
            b,
            link,
            seen: Vec::new(),
        }
    }

    /// Carries packets both ways until none is left.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000 {
            let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
            self.a.poll_transmit(self.now, self.link, &mut there, MANY);
            self.b.poll_transmit(self.now, self.link, &mut back, MANY);
            if there.is_empty() && back.is_empty() {
                return;
            }
            self.seen.extend(there.iter().chain(&back).cloned());
            self.b.receive(self.now, self.link, &mut there.into());
            self.a.receive(self.now, self.link, &mut back.into());
        }
        panic!("the hosts never stop talking");
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.a.handle_timeout(self.now);
        self.b.handle_timeout(self.now);
        self.settle();
    }
}

/// An address.
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A datagram for `to`; an empty one for whom the socket is connected to.
pub(crate) fn datagram(to: &str, data: &[u8]) -> Outgoing {
    Outgoing {
        to: (!to.is_empty()).then(|| at(to)),
        data: Bytes::copy_from_slice(data),
        ..Outgoing::default()
    }
}
