//! Two smoltcp stacks in one thread, joined in memory: frames pass by swapping buffers, so that neither allocates.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium, PacketMeta};
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

    fn connect(&mut self, port: u16) -> (SocketHandle, SocketHandle) {
        let buffer = self.setup.buffer;
        let mut listening = socket(buffer);
        listening.listen(80).expect("a fresh socket listens");
        let theirs = self.b.sockets.add(listening);
        let ours = self.a.sockets.add(socket(buffer));
        let Node { interface, sockets, .. } = &mut self.a;
        let remote = (IpAddress::v4(10, 0, 0, 2), 80);
        let opening = sockets.get_mut::<tcp::Socket<'_>>(ours);
        opening
            .connect(interface.context(), remote, port)
            .expect("a fresh socket connects");
        while !(self.a.socket(ours).may_send() && self.b.socket(theirs).may_send()) {
            let now = Instant::now();
            self.a.poll(now);
            self.b.poll(now);
        }
        (ours, theirs)
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
