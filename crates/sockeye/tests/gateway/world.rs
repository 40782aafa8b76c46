//! A program's host and a gateway, joined by memory, in real time that a test may hurry on.

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockeye::addresses::{GATEWAY_V4, GATEWAY_V6, PREFIX_V4, PREFIX_V6, PROGRAM_V4, PROGRAM_V6};
use sockeye::gateway::{Gateway, GatewayConfig};
use sockeye_core::buf::Rope;
use sockeye_core::error::{SocketError, WriteError};
use sockeye_core::host::{InterfaceConfig, InterfaceId, Medium, Route};
use sockeye_core::keys::Keys;
use sockeye_core::netem::{Netem, Pipe};
use sockeye_core::settings::Settings;
use sockeye_core::socket::{BindOptions, Close, ListenerId, Outgoing, Received, Shutdown, TcpId, TcpOptions, UdpId};
use sockeye_core::{Host, HostConfig, Instant, Packet};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Nothing in a test takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    pub(crate) program: Host,
    pub(crate) gateway: Gateway,
    link: InterfaceId,
    /// From the program, and to it.
    pub(crate) pipes: [Pipe; 2],
    /// What the program sent, for tests that ask for it.
    pub(crate) watch: Option<Vec<Packet>>,
    start: std::time::Instant,
    skipped: Duration,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(GatewayConfig::default())
    }

    pub(crate) fn with(config: GatewayConfig) -> Self {
        Self::over(config, &Netem::default())
    }

    /// A world whose link does to packets what `netem` says, both ways.
    pub(crate) fn over(config: GatewayConfig, netem: &Netem) -> Self {
        let mut program = Host::new(HostConfig {
            seed: 1,
            settings: Settings {
                route_localnet: true,
                ..Settings::default()
            },
            ..HostConfig::default()
        });
        let link = program.add_interface(InterfaceConfig {
            name: "eth0".to_owned(),
            medium: Medium::Ip,
            mtu: config.mtu,
            gso: true,
            addresses: vec![(PROGRAM_V4.into(), PREFIX_V4), (PROGRAM_V6.into(), PREFIX_V6)],
        });
        for (network, via) in [
            (IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(GATEWAY_V4)),
            (Ipv6Addr::UNSPECIFIED.into(), GATEWAY_V6.into()),
        ] {
            program.add_route(Route {
                network,
                prefix: 0,
                via: Some(via),
                interface: link,
            });
        }
        program.set_loopback_fallback(Some(link));
        Self {
            program,
            gateway: Gateway::new(config).expect("a gateway"),
            link,
            pipes: ["up", "down"].map(|name| Pipe::new(netem, &Keys::new(7, "link"), name)),
            watch: None,
            start: std::time::Instant::now(),
            skipped: Duration::ZERO,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed() + self.skipped
    }

    /// Lets time pass for the hosts without waiting for it.
    pub(crate) fn skip(&mut self, time: Duration) {
        self.skipped += time;
        self.turn();
    }

    /// Carries all packets there are, and serves what is ready.
    pub(crate) fn turn(&mut self) {
        let now = self.now();
        if self.program.poll_timeout().is_some_and(|at| at <= now) {
            self.program.handle_timeout(now);
        }
        if self.gateway.poll_timeout().is_some_and(|at| at <= now) {
            self.gateway.handle_timeout(now);
        }
        self.gateway.handle_io(now);
        loop {
            let (mut up, mut down) = (VecDeque::new(), VecDeque::new());
            self.program.poll_transmit(now, self.link, &mut up, 64);
            self.gateway.poll_transmit(now, &mut down, 64);
            if let Some(watch) = &mut self.watch {
                watch.extend(up.iter().cloned());
            }
            for (pipe, packets) in self.pipes.iter_mut().zip([&mut up, &mut down]) {
                packets.drain(..).for_each(|packet| pipe.push(now, packet));
                packets.extend(std::iter::from_fn(|| pipe.pop(now)));
            }
            if up.is_empty() && down.is_empty() {
                break;
            }
            self.gateway.receive(now, &mut up.into_iter().collect());
            self.program.receive(now, self.link, &mut down.into_iter().collect());
        }
        while self.program.poll_event().is_some() {}
    }

    /// Turns until `check` gives something, sleeping on the gateway's descriptor in between.
    pub(crate) fn until<T>(&mut self, what: &str, mut check: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begin = std::time::Instant::now();
        loop {
            self.turn();
            if let Some(found) = check(self) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "waited too long for {what}");
            let hosts = [self.program.poll_timeout(), self.gateway.poll_timeout()];
            let pipes = self.pipes.each_ref().map(Pipe::poll_timeout);
            let due = hosts.into_iter().chain(pipes).flatten().min();
            // Threads of the test act without telling: look again soon.
            let wait = due
                .map_or(Duration::from_millis(5), |at| at.since(self.now()))
                .min(Duration::from_millis(5));
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: wait.as_nanos() as i64,
            };
            let mut fds = [PollFd::new(&self.gateway, PollFlags::IN)];
            poll(&mut fds, Some(&wait)).expect("poll");
        }
    }

    /// Connects as a program would.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> Result<TcpId, SocketError> {
        let now = self.now();
        let id = self
            .program
            .tcp_connect(now, None, to, TcpOptions::default())
            .expect("a route");
        self.until("a connection", |world| {
            let readiness = world.program.tcp_readiness(id);
            match readiness.error {
                Some(_) => world.program.tcp_take_error(id).map(Err),
                None => readiness.established.then_some(Ok(id)),
            }
        })
    }

    pub(crate) fn write(&mut self, id: TcpId, bytes: &[u8]) {
        let mut left = Bytes::copy_from_slice(bytes);
        self.until("room to write", |world| {
            let now = world.now();
            match world.program.tcp_write(now, id, &mut left) {
                Ok(_) | Err(WriteError::WouldBlock) => left.is_empty().then_some(()),
                Err(error) => panic!("write: {error}"),
            }
        });
    }

    pub(crate) fn shutdown(&mut self, id: TcpId) {
        let now = self.now();
        self.program.tcp_shutdown(now, id, Shutdown::Write);
        self.turn();
    }

    pub(crate) fn close(&mut self, id: TcpId, how: Close) {
        let now = self.now();
        self.program.tcp_close(now, id, how);
        self.turn();
    }

    /// Reads until the end of the stream, or until `enough` bytes are there.
    pub(crate) fn read(&mut self, id: TcpId, enough: usize) -> Result<Vec<u8>, (Vec<u8>, SocketError)> {
        let mut all = Vec::new();
        self.until("bytes to read", |world| {
            let now = world.now();
            let mut rope = Rope::new();
            world.program.tcp_read(now, id, enough - all.len(), &mut rope);
            rope.slices().for_each(|slice| all.extend_from_slice(slice));
            let readiness = world.program.tcp_readiness(id);
            if all.len() >= enough || (readiness.eof && readiness.error.is_none()) {
                return Some(Ok(std::mem::take(&mut all)));
            }
            (readiness.readable == 0).then_some(())?;
            world
                .program
                .tcp_take_error(id)
                .map(|error| Err((std::mem::take(&mut all), error)))
        })
    }

    pub(crate) fn read_all(&mut self, id: TcpId) -> Vec<u8> {
        self.read(id, usize::MAX).expect("an end of stream")
    }

    pub(crate) fn listen(&mut self, at: SocketAddr) -> ListenerId {
        let now = self.now();
        let binding = self.program.tcp_bind(at, BindOptions::default()).expect("a free port");
        self.program
            .tcp_listen(now, binding, 16, TcpOptions::default())
            .map_err(|(_, error)| error)
            .expect("a listener")
    }

    pub(crate) fn accept(&mut self, listener: ListenerId) -> TcpId {
        self.until("a client", |world| {
            let now = world.now();
            world.program.tcp_accept(now, listener)
        })
    }

    pub(crate) fn udp(&mut self, at: &str) -> UdpId {
        self.program
            .udp_bind(at.parse().expect("an address"), BindOptions::default())
            .expect("a free port")
    }

    pub(crate) fn send_to(&mut self, id: UdpId, to: SocketAddr, data: &[u8]) {
        let now = self.now();
        let datagram = Outgoing {
            to: Some(to),
            data: Bytes::copy_from_slice(data),
            ..Outgoing::default()
        };
        self.program.udp_send(now, id, datagram).expect("sent");
        self.turn();
    }

    pub(crate) fn recv(&mut self, id: UdpId) -> Received {
        self.until("a datagram", |world| world.program.udp_recv(id))
    }
}

/// Bytes that tell their place.
pub(crate) fn numbered(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

/// Any port of the machine's loopback addresses; IPv6 where the machine has it.
pub(crate) fn loopbacks() -> Vec<&'static str> {
    let v6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    if !v6 {
        eprintln!("skipped: no IPv6 on this machine's loopback");
    }
    ["127.0.0.1:0"].into_iter().chain(v6.then_some("[::1]:0")).collect()
}
