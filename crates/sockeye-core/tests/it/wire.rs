//! Two hosts and a wire that shows every wire packet, and lets a test decide what becomes of each.

use sockeye_core::gso;
use sockeye_core::host::{InterfaceConfig, InterfaceId, Medium};
use sockeye_core::packet::{Mark, Packet};
use sockeye_core::settings::Settings;
use sockeye_core::socket::{BindOptions, ListenerId, TcpId, TcpInfo, TcpOptions};
use sockeye_core::time::{Duration, SECOND};
use sockeye_core::wire::ecn;
use sockeye_core::wire::layout::Layout;
use sockeye_core::wire::tcp::{self, Flags};
use sockeye_core::{Host, HostConfig, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// One TCP segment on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    /// When it arrives.
    pub(crate) due: Instant,
    /// Which host sent it: 0 or 1.
    pub(crate) from: usize,
    pub(crate) flags: Flags,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    /// Payload bytes.
    pub(crate) len: u32,
    /// Length of the IP packet.
    pub(crate) total: u32,
    /// The ECN field of its IP header.
    pub(crate) ecn: u8,
    pub(crate) resent: bool,
}

impl Seen {
    fn read(at: Instant, due: Instant, from: usize, packet: &Packet) -> Self {
        let head = packet.head.as_slice();
        let layout = Layout::find(head, 0).expect("hosts send readable packets");
        let (header, _, _) = tcp::parse(&head[layout.l4..]).expect("and only TCP here");
        Self {
            at,
            due,
            from,
            flags: header.flags,
            seq: header.seq,
            ack: header.ack,
            len: packet.meta.len,
            total: packet.total_len() as u32,
            ecn: ecn::of(head),
            resent: packet.meta.mark.has(Mark::RETRANSMISSION),
        }
    }

    pub(crate) fn is_syn(&self) -> bool {
        self.flags.has(Flags::SYN)
    }
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Mark,
    Lose,
}

type Rule = Box<dyn FnMut(&Seen) -> Fate>;

/// Time under way.
const DELAY: Duration = Duration::from_millis(10);
/// Time between the arrivals of two packets.
const SPACING: Duration = Duration::from_micros(100);

/// Two hosts, 10.0.0.1 and fd00::1, 10.0.0.2 and fd00::2, ten milliseconds apart on a line of some 120 Mbit/s.
pub(crate) struct Wire {
    pub(crate) now: Instant,
    pub(crate) hosts: [Host; 2],
    eth0: InterfaceId,
    on_wire: BTreeMap<(Instant, u64), (usize, Packet)>,
    /// Every wire packet, by its place in `seen`.
    packets: Vec<Packet>,
    serial: u64,
    free_at: [Instant; 2],
    pub(crate) seen: Vec<Seen>,
    pub(crate) rule: Rule,
}

impl Wire {
    pub(crate) fn new(settings: [Settings; 2]) -> Self {
        let mut n = 0;
        let hosts = settings.map(|settings| {
            n += 1;
            let mut host = Host::new(HostConfig {
                seed: n,
                settings,
                ..HostConfig::default()
            });
            let eth0 = host.add_interface(InterfaceConfig {
                name: "eth0".into(),
                medium: Medium::Ip,
                mtu: 1_500,
                gso: true,
                addresses: vec![(address(n, false), 24), (address(n, true), 64)],
            });
            (host, eth0)
        });
        let eth0 = hosts[0].1;
        Self {
            now: Instant::from_millis(1_000),
            hosts: hosts.map(|(host, _)| host),
            eth0,
            on_wire: BTreeMap::new(),
            packets: Vec::new(),
            serial: 0,
            free_at: [Instant::ZERO; 2],
            seen: Vec::new(),
            rule: Box::new(|_| Fate::Pass),
        }
    }

    fn pump(&mut self) {
        for from in 0..2 {
            let (mut out, mut wires) = (VecDeque::new(), VecDeque::new());
            self.hosts[from].poll_transmit(self.now, self.eth0, &mut out, usize::MAX);
            for packet in out {
                gso::segment(packet, u32::MAX, &mut wires);
            }
            for mut packet in wires {
                let due = (self.now + DELAY).max(self.free_at[from] + SPACING);
                let seen = Seen::read(self.now, due, from, &packet);
                self.seen.push(seen);
                self.packets.push(packet.clone());
                match (self.rule)(&seen) {
                    Fate::Lose => continue,
                    Fate::Mark => assert!(ecn::mark(packet.head.as_mut_slice()), "{seen:?} understands no marks"),
                    Fate::Pass => {}
                }
                // As from a real wire: every checksum is looked at.
                gso::finish(&mut packet);
                self.serial += 1;
                self.free_at[from] = due;
                let _ = self.on_wire.insert((due, self.serial), (1 - from, packet));
            }
            assert_eq!(self.hosts[from].check(), Ok(()));
        }
    }

    /// One thing happens, unless it lies after `end`.
    fn step(&mut self, end: Instant) -> bool {
        self.pump();
        let arrival = self.on_wire.first_key_value().map(|((at, _), _)| *at);
        let timer = self.hosts.iter().filter_map(Host::poll_timeout).min();
        let Some(next) = [arrival, timer].into_iter().flatten().min() else {
            return false;
        };
        if next > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(next);
        let mut batches = [Vec::new(), Vec::new()];
        while let Some(entry) = self.on_wire.first_entry()
            && entry.key().0 <= self.now
        {
            let (to, packet) = entry.remove();
            batches[to].push(packet);
        }
        for (to, batch) in batches.iter_mut().enumerate() {
            self.hosts[to].receive(self.now, self.eth0, batch);
            self.hosts[to].handle_timeout(self.now);
        }
        self.pump();
        true
    }

    /// A copy of what was seen arrives now, marked.
    pub(crate) fn replay_marked(&mut self, what: &Seen) {
        let place = self.seen.iter().position(|seen| seen == what).expect("it was seen");
        let mut packet = self.packets[place].clone();
        assert!(ecn::mark(packet.head.as_mut_slice()));
        self.hosts[1 - what.from].receive(self.now, self.eth0, &mut vec![packet]);
    }

    /// Something arrives at a host that the other did not send.
    pub(crate) fn arrive(&mut self, host: usize, packet: Packet) {
        self.hosts[host].receive(self.now, self.eth0, &mut vec![packet]);
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end && self.step(end) {}
    }

    /// Host 1 listens, host 0 connects; both come back once the connection is there.
    pub(crate) fn connect(&mut self, v6: bool, options: [TcpOptions; 2]) -> (TcpId, TcpId) {
        let [client, server] = options;
        let listener = self.listen(v6, 16, server);
        let client = self.dial(v6, client);
        let end = self.now + 60 * SECOND;
        while self.hosts[1].listener_pending(listener) == 0 {
            assert!(self.step(end), "no connection: {:#?}", self.seen);
        }
        let server = self.hosts[1].tcp_accept(self.now, listener).expect("it is pending");
        (client, server)
    }

    pub(crate) fn listen(&mut self, v6: bool, backlog: u32, options: TcpOptions) -> ListenerId {
        let to = SocketAddr::new(address(2, v6), 80);
        let binding = self.hosts[1]
            .tcp_bind(to, BindOptions::default())
            .expect("the port is free");
        self.hosts[1]
            .tcp_listen(self.now, binding, backlog, options)
            .expect("nobody else listens")
    }

    pub(crate) fn dial(&mut self, v6: bool, options: TcpOptions) -> TcpId {
        let to = SocketAddr::new(address(2, v6), 80);
        self.hosts[0]
            .tcp_connect(self.now, None, to, options)
            .expect("a route exists")
    }

    /// Writes, and reads at the other end, until so many bytes have arrived or the time is over. How long it took.
    pub(crate) fn transfer(&mut self, from: usize, id: TcpId, to: TcpId, bytes: usize, limit: Duration) -> Duration {
        self.watched_transfer(from, id, to, bytes, limit, &mut |_| {})
    }

    /// The same, with a look at everything that happens.
    pub(crate) fn watched_transfer(
        &mut self,
        from: usize,
        id: TcpId,
        to: TcpId,
        bytes: usize,
        limit: Duration,
        watch: &mut dyn FnMut(&Self),
    ) -> Duration {
        let start = self.now;
        let mut data = bytes::Bytes::from(vec![7; bytes]);
        let mut rope = sockeye_core::buf::Rope::new();
        loop {
            if !data.is_empty() {
                let _ = self.hosts[from].tcp_write(self.now, id, &mut data);
            }
            while self.hosts[1 - from].tcp_read(self.now, to, usize::MAX, &mut rope) > 0 {}
            if rope.len() >= bytes {
                return self.now.since(start);
            }
            assert!(
                self.step(start + limit),
                "{} bytes of {bytes} came in {limit:?}",
                rope.len()
            );
            watch(self);
        }
    }

    pub(crate) fn info(&self, host: usize, id: TcpId) -> TcpInfo {
        self.hosts[host].tcp_info(self.now, id).expect("it exists")
    }

    /// What host `from` sent that is not a SYN.
    pub(crate) fn sent(&self, from: usize) -> impl Iterator<Item = &Seen> + Clone {
        self.seen.iter().filter(move |seen| seen.from == from && !seen.is_syn())
    }
}

fn address(host: u64, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host as u16])
    } else {
        IpAddr::from([10, 0, 0, host as u8])
    }
}
