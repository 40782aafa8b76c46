//! Two smoltcp stacks in one thread, joined in memory: frames pass by swapping buffers, so that neither allocates.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::socket::AnySocket as _;
use smoltcp::socket::tcp::{self, CongestionControl};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::rc::Rc;

/// Frames that wait on one way at most.
const DEPTH: usize = 1_024;
const LONGEST: usize = 1 << 16;

/// What the link is, and what the sockets are.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) mtu: usize,
    /// Super-segments pass whole; smoltcp wants checksums to be left to the link then.
    pub(crate) whole: bool,
    pub(crate) checksums: bool,
    /// Bytes of each buffer of a socket.
    pub(crate) buffer: usize,
}

impl Setup {
    fn caps(self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ip;
        caps.max_transmission_unit = self.mtu;
        if !self.checksums {
            caps.checksum = phy::ChecksumCapabilities::ignored();
            caps.checksum.ipv4 = Checksum::Both;
        }
        if self.whole {
            caps.segmentation.tcpv4 = NonZeroUsize::new(65_535);
        }
        caps
    }
}

struct Frame {
    buffer: Box<[u8]>,
    len: usize,
}

type Queue = Rc<RefCell<VecDeque<Frame>>>;

struct Memory {
    incoming: Queue,
    outgoing: Queue,
    free: Queue,
    caps: DeviceCapabilities,
}

struct Received {
    frame: Frame,
    free: Queue,
}

struct Sending<'a> {
    outgoing: &'a Queue,
    free: &'a Queue,
}

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.frame.buffer[..self.frame.len]);
        self.free.borrow_mut().push_back(self.frame);
        result
    }
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let free = self.free.borrow_mut().pop_back();
        let mut frame = free.unwrap_or_else(|| Frame {
            buffer: vec![0; LONGEST].into(),
            len: 0,
        });
        frame.len = len;
        let result = f(&mut frame.buffer[..len]);
        self.outgoing.borrow_mut().push_back(frame);
        result
    }

    fn set_meta(&mut self, _: PacketMeta) {}
}

impl Device for Memory {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.incoming.borrow_mut().pop_front()?;
        let received = Received {
            frame,
            free: Rc::clone(&self.free),
        };
        let sending = Sending {
            outgoing: &self.outgoing,
            free: &self.free,
        };
        Some((received, sending))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        (self.outgoing.borrow().len() < DEPTH).then_some(Sending {
            outgoing: &self.outgoing,
            free: &self.free,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.caps.clone()
    }
}

/// One stack and its end of the link.
struct Node {
    device: Memory,
    interface: Interface,
    sockets: SocketSet<'static>,
}

impl Node {
    fn poll(&mut self, now: Instant) {
        let _ = self.interface.poll(now, &mut self.device, &mut self.sockets);
    }

    fn open(&mut self, handle: SocketHandle, from: u16) {
        self.open_to(handle, 80, from);
    }

    fn open_to(&mut self, handle: SocketHandle, to: u16, from: u16) {
        let remote = (IpAddress::v4(10, 0, 0, 2), to);
        let opening = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        opening
            .connect(self.interface.context(), remote, from)
            .expect("a fresh socket connects");
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

/// `a` connects, `b` listens.
pub(crate) struct Pair {
    a: Node,
    b: Node,
    setup: Setup,
}

fn socket(buffer: usize) -> tcp::Socket<'static> {
    let bytes = || tcp::SocketBuffer::new(vec![0; buffer]);
    let mut socket = tcp::Socket::new(bytes(), bytes());
    // At its best: its own congestion control slows super-segments down.
    socket.set_congestion_control(CongestionControl::None);
    socket.set_nagle_enabled(false);
    socket
}

impl Pair {
    pub(crate) fn new(setup: Setup) -> Self {
        let (there, back, free) = (Queue::default(), Queue::default(), Queue::default());
        let node = |incoming: &Queue, outgoing: &Queue, last: u8| {
            let mut device = Memory {
                incoming: Rc::clone(incoming),
                outgoing: Rc::clone(outgoing),
                free: Rc::clone(&free),
                caps: setup.caps(),
            };
            let mut config = Config::new(HardwareAddress::Ip);
            config.random_seed = u64::from(last);
            let mut interface = Interface::new(config, &mut device, Instant::now());
            interface.update_ip_addrs(|addresses| {
                let address = IpCidr::new(IpAddress::v4(10, 0, 0, last), 24);
                addresses.push(address).expect("there is room for one");
            });
            Node {
                device,
                interface,
                sockets: SocketSet::new(Vec::new()),
            }
        };
        Self {
            a: node(&back, &there, 1),
            b: node(&there, &back, 2),
            setup,
        }
    }

    /// So many idle connections, with the smallest of buffers. Many at once: each poll walks over all sockets.
    fn populate(&mut self, idle: usize) {
        for first in (0..idle).step_by(DEPTH / 2) {
            for nth in first..idle.min(first + DEPTH / 2) {
                let mut listening = socket(1);
                listening.listen(81).expect("a fresh socket listens");
                let _ = self.b.sockets.add(listening);
                let ours = self.a.sockets.add(socket(1));
                self.a.open_to(ours, 81, 1_024 + nth as u16);
            }
            for _ in 0..3 {
                let now = Instant::now();
                self.a.poll(now);
                self.b.poll(now);
            }
        }
        let connected = |node: &Node| {
            let sockets = node.sockets.iter();
            let tcp = sockets.filter_map(|(_, socket)| tcp::Socket::downcast(socket));
            tcp.filter(|socket| socket.state() == tcp::State::Established).count()
        };
        assert_eq!(connected(&self.a), idle + 1);
        assert_eq!(connected(&self.b), idle + 1);
    }

    fn connect(&mut self, port: u16) -> (SocketHandle, SocketHandle) {
        let buffer = self.setup.buffer;
        let mut listening = socket(buffer);
        listening.listen(80).expect("a fresh socket listens");
        let theirs = self.b.sockets.add(listening);
        let ours = self.a.sockets.add(socket(buffer));
        self.a.open(ours, port);
        while !(self.a.socket(ours).may_send() && self.b.socket(theirs).may_send()) {
            let now = Instant::now();
            self.a.poll(now);
            self.b.poll(now);
        }
        (ours, theirs)
    }
}

/// A connection that asks and answers, a byte each way, beside idle ones.
pub(crate) struct Asking {
    pair: Pair,
    from: SocketHandle,
    to: SocketHandle,
}

/// What small talk needs.
const SMALL: Setup = Setup {
    mtu: 1_500,
    whole: false,
    checksums: true,
    buffer: 4_096,
};

impl Asking {
    pub(crate) fn new(idle: usize) -> Self {
        let mut pair = Pair::new(SMALL);
        let (from, to) = pair.connect(1_000);
        pair.populate(idle);
        Self { pair, from, to }
    }

    /// One transaction.
    pub(crate) fn work(&mut self) -> u64 {
        let Pair { a, b, .. } = &mut self.pair;
        let now = Instant::now();
        let mut byte = [1];
        let sent = a.socket(self.from).send_slice(&byte);
        assert_eq!(sent, Ok(1));
        a.poll(now);
        b.poll(now);
        while b.socket(self.to).recv_slice(&mut byte) != Ok(1) {
            b.poll(now);
        }
        let sent = b.socket(self.to).send_slice(&byte);
        assert_eq!(sent, Ok(1));
        b.poll(now);
        a.poll(now);
        while a.socket(self.from).recv_slice(&mut byte) != Ok(1) {
            a.poll(now);
        }
        1
    }
}

/// One connection after the other by one socket at each end, used again: opened, a byte each way, closed, the server first.
pub(crate) struct Calling {
    pair: Pair,
    from: SocketHandle,
    to: SocketHandle,
    port: u16,
}

impl Calling {
    pub(crate) fn new() -> Self {
        let mut pair = Pair::new(SMALL);
        let to = pair.b.sockets.add(socket(SMALL.buffer));
        let from = pair.a.sockets.add(socket(SMALL.buffer));
        Self {
            pair,
            from,
            to,
            port: 1_024,
        }
    }

    /// One call.
    pub(crate) fn work(&mut self) -> u64 {
        self.port = if self.port >= 60_000 { 1_024 } else { self.port + 1 };
        let Pair { a, b, .. } = &mut self.pair;
        // What is left of the call before: no TIME-WAIT is kept.
        let now = Instant::now();
        b.socket(self.to).abort();
        b.poll(now);
        b.socket(self.to).listen(80).expect("an aborted socket listens");
        a.socket(self.from).abort();
        a.poll(now);
        b.poll(now);
        a.open(self.from, self.port);
        let mut byte = [1];
        let (mut asked, mut answered, mut heard) = (false, false, false);
        loop {
            let now = Instant::now();
            let from = a.socket(self.from);
            if !asked && from.may_send() {
                asked = from.send_slice(&byte) == Ok(1);
            }
            if answered && !heard && from.recv_slice(&mut byte) == Ok(1) {
                from.close();
                heard = true;
            }
            a.poll(now);
            let to = b.socket(self.to);
            if asked && !answered && to.recv_slice(&mut byte) == Ok(1) {
                answered = to.send_slice(&byte) == Ok(1);
                to.close();
            }
            let done = heard && !to.is_open();
            b.poll(now);
            if done {
                return 1;
            }
        }
    }
}

/// One connection that carries all it can, one way.
pub(crate) struct Bulk {
    pair: Pair,
    from: SocketHandle,
    to: SocketHandle,
    source: Vec<u8>,
    sink: Vec<u8>,
}

impl Bulk {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut pair = Pair::new(setup);
        let (from, to) = pair.connect(5_000);
        Self {
            pair,
            from,
            to,
            source: vec![3; 128 << 10],
            sink: vec![0; 128 << 10],
        }
    }

    /// A few rounds; how many bytes were read.
    pub(crate) fn work(&mut self) -> u64 {
        let Pair { a, b, .. } = &mut self.pair;
        let mut got = 0;
        for _ in 0..16 {
            let now = Instant::now();
            let _ = a.socket(self.from).send_slice(&self.source);
            a.poll(now);
            b.poll(now);
            while let Ok(n @ 1..) = b.socket(self.to).recv_slice(&mut self.sink) {
                got += n as u64;
            }
            b.poll(now);
        }
        got
    }
}
