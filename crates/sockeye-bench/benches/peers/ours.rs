//! Two Sockeye hosts in one thread, joined in memory: the core's calls, default settings.

use bytes::Bytes;
use sockeye_core::buf::Rope;
use sockeye_core::error::WriteError;
use sockeye_core::host::{InterfaceConfig, InterfaceId, Medium};
use sockeye_core::keys::Keys;
use sockeye_core::netem::{Netem, Pipe};
use sockeye_core::settings::CongestionControl;
use sockeye_core::socket::{BindOptions, Close, ListenerId, TcpId, TcpOptions};
use sockeye_core::{Host, HostConfig, Instant, Packet, gso};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Packets that a link takes at once.
const BATCH: usize = 1_024;

/// Idle connections to one port of the server.
const A_PORT: usize = 10_000;

/// A link in memory: nothing is split, and memory corrupts nothing.
pub(crate) const MEMORY: Wire = Wire {
    mtu: 1_500,
    whole: true,
    checksums: false,
};

/// What the link between them is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) mtu: u32,
    /// Super-segments pass whole.
    pub(crate) whole: bool,
    /// Every checksum is computed by the sender and verified by the receiver.
    pub(crate) checksums: bool,
}

/// One host and its end of the link.
pub(crate) struct Node {
    pub(crate) host: Host,
    link: InterfaceId,
    out: VecDeque<Packet>,
}

/// `a` connects, `b` listens.
pub(crate) struct Pair {
    pub(crate) a: Node,
    pub(crate) b: Node,
    wire: Wire,
    /// What befalls packets on the way there, and back.
    netem: Option<[Pipe; 2]>,
    start: std::time::Instant,
    /// Time that was made to pass beside the clock's.
    leapt: Duration,
    /// Idle connections.
    idle: usize,
    /// Where they are connected to.
    listeners: Vec<ListenerId>,
}

/// The server's address.
pub(crate) fn server(port: u16) -> SocketAddr {
    SocketAddr::new([10, 0, 0, 2].into(), port)
}

impl Pair {
    pub(crate) fn new(wire: Wire) -> Self {
        let node = |last: u8| {
            let mut host = Host::new(HostConfig {
                seed: u64::from(last),
                ..HostConfig::default()
            });
            let link = host.add_interface(InterfaceConfig {
                name: "memory".into(),
                medium: Medium::Ip,
                mtu: wire.mtu,
                gso: wire.whole,
                addresses: vec![(IpAddr::from([10, 0, 0, last]), 24)],
            });
            Node {
                host,
                link,
                out: VecDeque::new(),
            }
        };
        Self {
            a: node(1),
            b: node(2),
            wire,
            netem: None,
            start: std::time::Instant::now(),
            leapt: Duration::from_secs(1),
            idle: 0,
            listeners: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed() + self.leapt
    }

    /// Carries what `a` has to send to `b`. How many packets that were.
    pub(crate) fn there(&mut self, now: Instant) -> usize {
        let pipe = self.netem.as_mut().map(|[there, _]| there);
        carry(&mut self.a, &mut self.b, pipe, self.wire.checksums, now)
    }

    /// Carries what `b` has to send to `a`.
    pub(crate) fn back(&mut self, now: Instant) -> usize {
        let pipe = self.netem.as_mut().map(|[_, back]| back);
        carry(&mut self.b, &mut self.a, pipe, self.wire.checksums, now)
    }

    /// Until neither has anything to say.
    pub(crate) fn settle(&mut self) {
        loop {
            let now = self.now();
            if self.there(now) + self.back(now) == 0 {
                return;
            }
        }
    }

    pub(crate) fn listen(&mut self, port: u16, backlog: u32) -> ListenerId {
        let host = &mut self.b.host;
        let binding = host
            .tcp_bind(server(port), BindOptions::default())
            .expect("the port is free");
        host.tcp_listen(Instant::ZERO, binding, backlog, TcpOptions::default())
            .map_err(|(_, error)| error)
            .expect("nobody else listens there")
    }

    /// A connection to a port that `b` listens on: our end and its.
    pub(crate) fn connect(&mut self, port: u16, listener: ListenerId) -> (TcpId, TcpId) {
        let now = self.now();
        let ours = self.a.open(now, port);
        self.settle();
        let theirs = self
            .b
            .host
            .tcp_accept(now, listener)
            .expect("the handshake is complete");
        self.forget_events();
        (ours, theirs)
    }

    /// Makes it `total` idle connections, spread over ports of the server: one port has room for few.
    pub(crate) fn populate(&mut self, total: usize) {
        while self.idle < total {
            let nth = self.idle / A_PORT;
            let port = 1_000 + nth as u16;
            if nth == self.listeners.len() {
                let listener = self.listen(port, 16);
                self.listeners.push(listener);
            }
            let _ = self.connect(port, self.listeners[nth]);
            self.idle += 1;
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.leapt += time;
        self.timers(self.now());
        self.settle();
        self.forget_events();
    }

    /// Fires the timers that are due.
    fn timers(&mut self, now: Instant) {
        for node in [&mut self.a, &mut self.b] {
            if node.host.poll_timeout().is_some_and(|at| at <= now) {
                node.host.handle_timeout(now);
            }
        }
    }

    pub(crate) fn forget_events(&mut self) {
        while self.a.host.poll_event().is_some() {}
        while self.b.host.poll_event().is_some() {}
    }
}

fn carry(from: &mut Node, to: &mut Node, netem: Option<&mut Pipe>, checksums: bool, now: Instant) -> usize {
    from.host.poll_transmit(now, from.link, &mut from.out, BATCH);
    if let Some(pipe) = netem
        && !pipe.pass(now, &mut from.out)
    {
        from.out.drain(..).for_each(|packet| pipe.push(now, packet));
        from.out.extend(std::iter::from_fn(|| pipe.pop(now)));
    }
    let carried = from.out.len();
    if carried > 0 {
        if checksums {
            from.out.iter_mut().for_each(gso::finish);
        }
        // Both ways without moving a packet.
        let mut batch = Vec::from(std::mem::take(&mut from.out));
        to.host.receive(now, to.link, &mut batch);
        from.out = batch.into();
    }
    carried
}

impl Node {
    fn open(&mut self, now: Instant, port: u16) -> TcpId {
        self.host
            .tcp_connect(now, None, server(port), TcpOptions::default())
            .expect("there is a route and a port")
    }

    /// One byte, if it has arrived.
    fn read_byte(&mut self, now: Instant, id: TcpId) -> Option<u8> {
        let mut byte = [0];
        (self.read(now, id, &mut byte) == 1).then_some(byte[0])
    }

    fn write_byte(&mut self, now: Instant, id: TcpId, byte: u8) {
        let mut data = self.host.pool().copy_from_slice(&[byte]);
        let _ = self.host.tcp_write(now, id, &mut data).expect("the connection is open");
    }

    /// Copies `data` in, chunk by chunk while the send buffer takes them. What it does not take stays in `left`, and goes first the next time.
    pub(crate) fn write(&mut self, now: Instant, id: TcpId, mut data: &[u8], left: &mut Bytes) {
        loop {
            if left.is_empty() {
                if data.is_empty() {
                    return;
                }
                *left = self.host.pool().copy_from_slice(data);
                data = &data[left.len()..];
            }
            match self.host.tcp_write(now, id, left) {
                Ok(_) if left.is_empty() => {}
                Ok(_) | Err(WriteError::WouldBlock) => return,
                Err(error) => panic!("the connection is open: {error:?}"),
            }
        }
    }

    /// Copies what has arrived out.
    pub(crate) fn read(&mut self, now: Instant, id: TcpId, into: &mut [u8]) -> usize {
        let mut rope = Rope::new();
        let _ = self.host.tcp_read(now, id, into.len(), &mut rope);
        rope.read(into)
    }
}

/// A connection that asks and answers, a byte each way, beside idle ones.
pub(crate) struct Asking {
    pub(crate) pair: Pair,
    from: TcpId,
    to: TcpId,
}

impl Asking {
    pub(crate) fn new() -> Self {
        let mut pair = Pair::new(MEMORY);
        let listener = pair.listen(80, 16);
        let (from, to) = pair.connect(80, listener);
        Self { pair, from, to }
    }

    /// Some transactions; how many.
    pub(crate) fn work(&mut self) -> u64 {
        let pair = &mut self.pair;
        for _ in 0..64 {
            let now = pair.now();
            pair.a.write_byte(now, self.from, 1);
            pair.there(now);
            let heard = pair.b.read_byte(now, self.to).expect("the byte has arrived");
            pair.b.write_byte(now, self.to, heard);
            pair.back(now);
            pair.a.read_byte(now, self.from).expect("the answer has arrived");
            pair.timers(now);
            pair.forget_events();
        }
        64
    }
}

/// One connection after the other: opened, a byte each way, closed, the server first.
pub(crate) struct Calling {
    pair: Pair,
    listener: ListenerId,
}

impl Calling {
    /// Beside so many idle connections.
    pub(crate) fn new(idle: usize) -> Self {
        let mut pair = Pair::new(MEMORY);
        let listener = pair.listen(80, 16);
        pair.populate(idle);
        Self { pair, listener }
    }

    /// Some calls; how many.
    pub(crate) fn work(&mut self) -> u64 {
        let pair = &mut self.pair;
        for _ in 0..16 {
            let now = pair.now();
            let a = pair.a.open(now, 80);
            pair.there(now);
            pair.back(now);
            pair.a.write_byte(now, a, 1);
            pair.there(now);
            let b = pair
                .b
                .host
                .tcp_accept(now, self.listener)
                .expect("the handshake is complete");
            let heard = pair.b.read_byte(now, b).expect("the byte has arrived");
            pair.b.write_byte(now, b, heard);
            pair.b.host.tcp_close(now, b, Close::Graceful);
            pair.back(now);
            pair.a.read_byte(now, a).expect("the answer has arrived");
            pair.a.host.tcp_close(now, a, Close::Graceful);
            pair.there(now);
            pair.back(now);
            pair.timers(now);
            pair.forget_events();
        }
        16
    }
}

/// One connection that carries all it can, one way.
pub(crate) struct Bulk {
    pair: Pair,
    from: TcpId,
    to: TcpId,
    source: Vec<u8>,
    left: Bytes,
    sink: Vec<u8>,
}

impl Bulk {
    pub(crate) fn new(wire: Wire) -> Self {
        Self::with(wire, TcpOptions::default())
    }

    /// Slowed down by Reno.
    pub(crate) fn by_reno(wire: Wire) -> Self {
        Self::with(
            wire,
            TcpOptions {
                congestion: Some(CongestionControl::Reno),
                ..TcpOptions::default()
            },
        )
    }

    /// The same through Netem that has nothing to do.
    pub(crate) fn through_idle_netem(mut self) -> Self {
        let keys = Keys::new(1, "wire");
        self.pair.netem = Some(["there", "back"].map(|name| Pipe::new(&Netem::NONE, &keys, name)));
        self
    }

    fn with(wire: Wire, options: TcpOptions) -> Self {
        let mut pair = Pair::new(wire);
        let listener = pair.listen(80, 16);
        let (from, to) = pair.connect(80, listener);
        pair.a.host.tcp_set_options(pair.now(), from, options);
        Self {
            pair,
            from,
            to,
            source: vec![3; 128 << 10],
            left: Bytes::new(),
            sink: vec![0; 128 << 10],
        }
    }

    /// A few rounds; how many bytes were read.
    pub(crate) fn work(&mut self) -> u64 {
        let mut got = 0;
        for _ in 0..16 {
            let now = self.pair.now();
            self.pair.a.write(now, self.from, &self.source, &mut self.left);
            self.pair.there(now);
            loop {
                let n = self.pair.b.read(now, self.to, &mut self.sink);
                if n == 0 {
                    break;
                }
                got += n as u64;
            }
            self.pair.back(now);
            self.pair.timers(now);
        }
        self.pair.forget_events();
        got
    }
}
