//! One small world: the host under attack, an honest peer, applications on both that open, write, read and close at random, a wire that
//! loses half. Whoever throws the dice decides what happens: a seed, or a fuzzer's bytes.

use super::forge::Forger;
use bytes::Bytes;
use rand::Rng;
use sockeye_core::buf::Rope;
use sockeye_core::host::{HostConfig, InterfaceConfig, InterfaceId, Medium};
use sockeye_core::keys::{below, unit};
use sockeye_core::settings::Settings;
use sockeye_core::socket::{
    BindOptions, Close, ListenerId, Outgoing, RawId, Refused, Shutdown, SocketId, State, Stray, SynAnswer, TcpId,
    TcpOptions, UdpId, Unreachable, UrgentData,
};
use sockeye_core::time::{Duration, Instant, MS};
use sockeye_core::{Host, Packet};
use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Connections a host holds at most, so that the worlds stay small.
const CONNECTIONS: usize = 40;

/// One host with its applications.
struct Side {
    host: Host,
    interface: InterfaceId,
    listeners: Vec<ListenerId>,
    connections: Vec<TcpId>,
    udp: Vec<UdpId>,
    ping: Vec<RawId>,
}

pub(super) struct World<D> {
    dice: D,
    now: Instant,
    /// The host under attack, and its peer.
    sides: [Side; 2],
    forger: Forger<D>,
    out: VecDeque<Packet>,
    rope: Rope,
    pub(super) seen: BTreeSet<State>,
}

fn address(end: u8, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(end)])
    } else {
        IpAddr::from([10, 0, 0, end])
    }
}

/// The hardware address of a host: every other world is Ethernet.
fn hardware(seed: u64, end: u8) -> Option<[u8; 6]> {
    (seed % 4 >= 2).then_some([2, 0, 0, 0, 0, end])
}

/// Some worlds leave little memory, some take data in SYNs, with cookies or without.
fn settings(seed: u64) -> Settings {
    let plenty = Settings::default();
    Settings {
        tcp_fastopen: [1, 3, 0x603][(seed % 3) as usize],
        tcp_mem: if seed % 5 == 1 { [2, 8, 32] } else { plenty.tcp_mem },
        ..plenty
    }
}

impl Side {
    fn new(seed: u64, end: u8) -> Self {
        let mut host = Host::new(HostConfig {
            seed,
            // One world in three attacks a gateway.
            any_address: end == 1 && seed.is_multiple_of(3),
            settings: settings(seed),
            ..HostConfig::default()
        });
        let interface = host.add_interface(InterfaceConfig {
            name: "eth0".to_owned(),
            medium: match hardware(seed, end) {
                None => Medium::Ip,
                Some(address) => Medium::Ethernet { address },
            },
            mtu: 1500,
            gso: seed.is_multiple_of(2),
            addresses: vec![(address(end, false), 24), (address(end, true), 64)],
        });
        let mut side = Self {
            host,
            interface,
            listeners: Vec::new(),
            connections: Vec::new(),
            udp: Vec::new(),
            ping: Vec::new(),
        };
        for v6 in [false, true] {
            let any: IpAddr = if v6 { [0_u16; 8].into() } else { [0_u8; 4].into() };
            let options = BindOptions {
                only_v6: true,
                ..BindOptions::default()
            };
            let binding = side.host.tcp_bind(SocketAddr::new(any, 80), options).expect("free");
            let fast = TcpOptions {
                fast_open: 4,
                ..TcpOptions::default()
            };
            let listener = side.host.tcp_listen(Instant::ZERO, binding, 8, fast);
            side.listeners.extend(listener.ok());
            side.udp.extend(side.host.udp_bind(SocketAddr::new(any, 53), options));
            side.ping.extend(side.host.ping_open(SocketAddr::new(any, 0)));
        }
        side
    }
}

impl<D: Rng> World<D> {
    /// `shape` decides what kinds of hosts there are; `dice` and `forger` what they and the attacker do.
    pub(super) fn new(shape: u64, dice: D, forger: D) -> Self {
        Self {
            dice,
            now: Instant::from_millis(1),
            sides: [Side::new(shape, 1), Side::new(shape + 12 * (1 << 40), 2)],
            forger: Forger::new(forger, [address(1, false), address(1, true)], hardware(shape, 1)),
            out: VecDeque::new(),
            rope: Rope::new(),
            seen: BTreeSet::new(),
        }
    }

    fn upto(&mut self, n: u64) -> u64 {
        below(&mut self.dice, n + 1)
    }

    fn chance(&mut self, share: f64) -> bool {
        unit(&mut self.dice) < share
    }

    /// The host under attack.
    pub(super) fn victim(&self) -> &Host {
        &self.sides[0].host
    }

    /// Sends up to `packets` hostile packets, for as long as there is `more` chance.
    pub(super) fn run(&mut self, packets: u64, more: impl Fn() -> bool) {
        for n in (0..packets).take_while(|_| more()) {
            let packet = self.forger.forge();
            let target = &mut self.sides[0];
            target.host.receive(self.now, target.interface, &mut vec![packet]);
            self.check();
            if n % 3 == 0 {
                self.application();
            }
            if n % 2 == 0 {
                self.exchange();
            }
            if n % 5 == 0 {
                self.pass_time();
            }
        }
    }

    /// Something that an application might do, on either side.
    fn application(&mut self) {
        let who = self.upto(1) as usize;
        let (choice, v6, far) = (self.upto(11), self.chance(0.4), self.chance(0.2));
        let (pick, amount) = (self.upto(1 << 20) as usize, self.upto(20_000) as usize);
        let peer = if far {
            address(9, v6)
        } else {
            address(2 - who as u8, v6)
        };
        let now = self.now;
        let Self { sides, rope, .. } = self;
        let side = &mut sides[who];
        let connection = (!side.connections.is_empty()).then(|| pick % side.connections.len());
        match (choice, connection) {
            (0 | 1, _) if side.connections.len() < CONNECTIONS => {
                let to = SocketAddr::new(peer, 80);
                let options = TcpOptions {
                    fast_open_connect: pick & 1 == 0,
                    ..TcpOptions::default()
                };
                side.connections.extend(side.host.tcp_connect(now, None, to, options));
            }
            (2 | 3, Some(n)) => {
                let _ = side
                    .host
                    .tcp_write(now, side.connections[n], &mut Bytes::from(vec![7; amount]));
                if pick.is_multiple_of(5) {
                    side.host.tcp_mark_urgent(now, side.connections[n]);
                }
            }
            (4 | 5, Some(n)) => {
                let _ = side.host.tcp_read(now, side.connections[n], amount, rope);
                let _ = side.host.tcp_out_of_band(side.connections[n], pick & 1 == 0);
                rope.drop_front(rope.len());
            }
            (6, Some(n)) => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][pick % 3];
                side.host.tcp_shutdown(now, side.connections[n], how);
            }
            (7, Some(n)) => {
                let how = if pick.is_multiple_of(3) {
                    Close::Reset
                } else {
                    Close::Graceful
                };
                side.host.tcp_close(now, side.connections.swap_remove(n), how);
            }
            (8, Some(n)) => {
                let id = side.connections[n];
                let mut options = side.host.tcp_options(id);
                options.nodelay = pick & 1 == 0;
                options.keepalive = pick & 2 == 0;
                options.urgent = [UrgentData::Unmarked, UrgentData::InLine, UrgentData::Apart][pick % 3];
                options.keepalive_time = Some(MS * (1 + pick as u32 % 10_000));
                options.user_timeout = (pick & 4 == 0).then_some(MS * (1 + pick as u32 % 60_000));
                options.recv_buffer = (pick & 8 == 0).then_some(pick as u32 % 100_000);
                side.host.tcp_set_options(now, id, options);
                let _ = (side.host.tcp_info(now, id), side.host.tcp_take_error(id));
            }
            (9, _) => {
                let datagram = Outgoing {
                    to: Some(SocketAddr::new(peer, 53)),
                    data: Bytes::from(vec![1; amount % 5_000]),
                    ..Outgoing::default()
                };
                let _ = side.host.udp_send(now, side.udp[usize::from(v6)], datagram);
            }
            _ => side.tidy(now),
        }
        self.note_states();
    }

    fn note_states(&mut self) {
        let host = &self.sides[0].host;
        self.seen.extend(host.tcp_ids().map(|id| host.tcp_state(id)));
    }

    /// What the hosts send reaches the other one half of the time; the forger sees all of it.
    fn exchange(&mut self) {
        for who in 0..2 {
            let mut out = std::mem::take(&mut self.out);
            let side = &mut self.sides[who];
            side.host.poll_transmit(self.now, side.interface, &mut out, 64);
            for packet in out.drain(..) {
                self.forger.overhears(&packet, who == 0);
                if self.chance(0.5) {
                    let other = &mut self.sides[1 - who];
                    other.host.receive(self.now, other.interface, &mut vec![packet]);
                }
            }
            self.out = out;
        }
        self.check();
    }

    fn pass_time(&mut self) {
        let bits = self.upto(34);
        let nanos = self.upto(1 << bits);
        let until = self.now + Duration::from_nanos(nanos);
        for _ in 0..100 {
            let due = self.sides.iter().filter_map(|side| side.host.poll_timeout()).min();
            let Some(due) = due.filter(|due| *due <= until) else {
                break;
            };
            self.now = self.now.max(due);
            for side in &mut self.sides {
                if side.host.poll_timeout().is_some_and(|at| at <= self.now) {
                    side.host.handle_timeout(self.now);
                }
            }
            self.exchange();
        }
        self.now = self.now.max(until);
    }

    fn check(&self) {
        for side in &self.sides {
            if let Err(broken) = side.host.check() {
                panic!("at {}: {broken:?}", self.now);
            }
        }
    }
}

impl Side {
    /// Accepts, receives and lets go of what is over, as an event loop would.
    fn tidy(&mut self, now: Instant) {
        while let Some(event) = self.host.poll_event() {
            if let SocketId::Listener(listener) = event.socket {
                while self.connections.len() < CONNECTIONS {
                    let Some(id) = self.host.tcp_accept(now, listener) else {
                        break;
                    };
                    self.connections.push(id);
                }
            }
        }
        while let Some(stray) = self.host.poll_stray() {
            self.answer(now, &stray);
        }
        for id in &self.udp {
            while self.host.udp_recv(*id).is_some() {}
            let _ = (self.host.udp_take_error(*id), self.host.udp_take_report(*id));
        }
        for id in &self.ping {
            while self.host.raw_recv(*id).is_some() {}
        }
        let mut n = 0;
        while n < self.connections.len() {
            if self.host.tcp_readiness(self.connections[n]).closed {
                self.host
                    .tcp_close(now, self.connections.swap_remove(n), Close::Graceful);
            } else {
                n += 1;
            }
        }
    }
}

impl Side {
    /// What a gateway may do about something that arrived for nobody: all of it, in turn.
    fn answer(&mut self, now: Instant, stray: &Stray) {
        let choice = now.as_nanos() % 5;
        match stray {
            Stray::Syn { id, .. } => {
                let answer = match choice {
                    0 => SynAnswer::Refuse,
                    1 => SynAnswer::Unreachable(Unreachable::Host),
                    2 => SynAnswer::Ignore,
                    _ => SynAnswer::Accept(TcpOptions::default()),
                };
                if let Some(id) = self.host.answer_syn(now, *id, answer) {
                    if self.connections.len() < CONNECTIONS {
                        self.connections.push(id);
                    } else {
                        self.host.tcp_close(now, id, Close::Reset);
                    }
                }
            }
            Stray::Datagram {
                local, remote, data, ..
            } => {
                let datagram = Outgoing {
                    data: data.clone(),
                    ..Outgoing::default()
                };
                if choice < 3 {
                    let _ = self.host.send_datagram(now, *local, *remote, datagram);
                } else {
                    let refused = Refused::Datagram {
                        local: *local,
                        remote: *remote,
                        len: data.len(),
                    };
                    self.host.refuse(now, refused, Unreachable::Port);
                }
            }
            Stray::Echo { echo, .. } => self.host.send_echo_reply(now, echo.clone()),
        }
    }
}
