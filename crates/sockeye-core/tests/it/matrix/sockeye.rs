//! Sockeye at an end of the track.

use super::track::End;
use bytes::Bytes;
use sockeye_core::buf::Rope;
use sockeye_core::host::{InterfaceConfig, InterfaceId, Medium};
use sockeye_core::settings::Settings;
use sockeye_core::socket::{BindOptions, ListenerId, SocketId, TcpId, TcpOptions};
use sockeye_core::time::Instant;
use sockeye_core::{Host, HostConfig, Packet};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where the second end listens.
const PORT: u16 = 80;

struct Sockeye {
    host: Host,
    interface: InterfaceId,
    listener: Option<ListenerId>,
    /// Connections to make, at the first poll.
    wanted: usize,
    /// Bytes read, by connection.
    read: BTreeMap<TcpId, u64>,
    sends: bool,
    rope: Rope,
    chunk: Bytes,
}

fn address(end: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, end).into()
}

/// Both ends, to be joined by so many connections.
pub(crate) fn ends(seed: u64, flows: usize, settings: &Settings) -> [Box<dyn End>; 2] {
    [1, 2].map(|end| {
        let mut host = Host::new(HostConfig {
            seed: seed * 2 + u64::from(end),
            settings: settings.clone(),
            ..HostConfig::default()
        });
        let interface = host.add_interface(InterfaceConfig {
            name: "eth0".to_owned(),
            medium: Medium::Ip,
            mtu: 1500,
            gso: true,
            addresses: vec![(address(end), 24)],
        });
        let listener = (end == 2).then(|| {
            let to = SocketAddr::new(address(end), PORT);
            let binding = host.tcp_bind(to, BindOptions::default()).expect("the port is free");
            host.tcp_listen(Instant::ZERO, binding, 1_000, TcpOptions::default())
                .expect("nobody else listens")
        });
        let end: Box<dyn End> = Box::new(Sockeye {
            host,
            interface,
            listener,
            wanted: if end == 1 { flows } else { 0 },
            read: BTreeMap::new(),
            sends: end == 1,
            rope: Rope::new(),
            chunk: Bytes::from_static(&[7; 64 << 10]),
        });
        end
    })
}

impl Sockeye {
    fn act(&mut self, now: Instant, id: TcpId) {
        let read = self.read.entry(id).or_default();
        while !self.sends {
            let got = self.host.tcp_read(now, id, usize::MAX, &mut self.rope);
            if got == 0 {
                break;
            }
            *read += got as u64;
            self.rope = Rope::new();
        }
        while self.sends && self.host.tcp_readiness(id).writable > 0 {
            if !matches!(self.host.tcp_write(now, id, &mut self.chunk.clone()), Ok(n) if n > 0) {
                break;
            }
        }
    }
}

impl End for Sockeye {
    fn receive(&mut self, now: Instant, batch: &mut Vec<Packet>) {
        self.host.receive(now, self.interface, batch);
    }

    fn poll(&mut self, now: Instant, out: &mut VecDeque<Packet>) {
        for _ in 0..std::mem::take(&mut self.wanted) {
            let to = SocketAddr::new(address(2), PORT);
            let connected = self.host.tcp_connect(now, None, to, TcpOptions::default());
            let _ = connected.expect("there is a route");
        }
        self.host.handle_timeout(now);
        while let Some(event) = self.host.poll_event() {
            match (event.socket, self.listener) {
                (SocketId::Tcp(id), _) => self.act(now, id),
                (SocketId::Listener(_), Some(listener)) => {
                    while let Some(id) = self.host.tcp_accept(now, listener) {
                        self.act(now, id);
                    }
                }
                _ => {}
            }
        }
        self.host.poll_transmit(now, self.interface, out, usize::MAX / 2);
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.host.poll_timeout()
    }

    fn read(&self) -> Vec<u64> {
        self.read.values().copied().collect()
    }
}
