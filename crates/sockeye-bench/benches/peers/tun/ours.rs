//! Sockeye behind a TUN device: the core and the link, on a plain thread; default settings.

use super::device::{FAR, NEAR, PORT};
use super::{CHUNK, Shared};
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockeye::link::{Link, Tun};
use sockeye_core::buf::Rope;
use sockeye_core::host::{InterfaceConfig, InterfaceId, Route};
use sockeye_core::socket::{BindOptions, TcpId, TcpOptions};
use sockeye_core::{Host, HostConfig, Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;

/// Packets of one turn.
const BATCH: usize = 64;

struct Stack {
    host: Host,
    link: InterfaceId,
    tun: Tun,
    start: std::time::Instant,
    arrived: Vec<Packet>,
    leaving: VecDeque<Packet>,
}

pub(super) fn run(shared: &Shared, opened: &Sender<io::Result<()>>) {
    let mut stack = match Tun::open("tun0") {
        Ok(tun) => Stack::new(tun),
        Err(error) => return drop(opened.send(Err(error.into()))),
    };
    let at = SocketAddr::new(FAR.into(), PORT);
    let binding = stack
        .host
        .tcp_bind(at, BindOptions::default())
        .expect("the port is free");
    let listener = stack
        .host
        .tcp_listen(Instant::ZERO, binding, 1, TcpOptions::default())
        .map_err(|(_, error)| error)
        .expect("nobody else listens there");
    let _ = opened.send(Ok(()));
    let mut connection = None;
    let mut sink = vec![0; CHUNK];
    let source = vec![1; CHUNK];
    let mut left = Bytes::new();
    while !shared.over.load(Relaxed) {
        let now = Instant::ZERO + stack.start.elapsed();
        let mut moved = stack.take_in(now);
        connection = connection.or_else(|| stack.host.tcp_accept(now, listener));
        if let Some(id) = connection {
            moved |= stack.read(now, id, &mut sink, shared);
            if shared.send.load(Relaxed) {
                moved |= stack.write(now, id, &source, &mut left);
            }
        }
        moved |= stack.send_off(now);
        if !moved {
            stack.wait(now);
        }
    }
}

impl Stack {
    fn new(tun: Tun) -> Self {
        let mut host = Host::new(HostConfig::default());
        let caps = tun.caps();
        let link = host.add_interface(InterfaceConfig {
            name: "tun".into(),
            medium: caps.medium,
            mtu: super::device::MTU,
            gso: caps.gso,
            addresses: vec![(IpAddr::from(FAR), 24)],
        });
        host.add_route(Route {
            network: NEAR.into(),
            prefix: 0,
            via: None,
            interface: link,
        });
        Self {
            host,
            link,
            tun,
            start: std::time::Instant::now(),
            arrived: Vec::new(),
            leaving: VecDeque::new(),
        }
    }

    fn take_in(&mut self, now: Instant) -> bool {
        let got = self
            .tun
            .try_recv(&mut self.arrived, BATCH)
            .expect("the device is there");
        self.host.receive(now, self.link, &mut self.arrived);
        if self.host.poll_timeout().is_some_and(|at| at <= now) {
            self.host.handle_timeout(now);
        }
        while self.host.poll_event().is_some() {}
        got > 0
    }

    fn send_off(&mut self, now: Instant) -> bool {
        self.host.poll_transmit(now, self.link, &mut self.leaving, BATCH);
        let some = !self.leaving.is_empty();
        self.tun.try_send(&mut self.leaving).expect("the kernel takes it");
        some
    }

    /// Copies out what has arrived.
    fn read(&mut self, now: Instant, id: TcpId, sink: &mut [u8], shared: &Shared) -> bool {
        let mut some = false;
        loop {
            let mut rope = Rope::new();
            let _ = self.host.tcp_read(now, id, sink.len(), &mut rope);
            let n = rope.read(sink);
            if n == 0 {
                return some;
            }
            let _ = shared.read.fetch_add(n as u64, Relaxed);
            some = true;
        }
    }

    /// Copies in as much as the send buffer takes of one chunk. What leaves, leaves at once, as after any call: while it is warm.
    fn write(&mut self, now: Instant, id: TcpId, mut data: &[u8], left: &mut Bytes) -> bool {
        let mut some = false;
        loop {
            if left.is_empty() {
                if data.is_empty() {
                    return some;
                }
                *left = self.host.pool().copy_from_slice(data);
                data = &data[left.len()..];
            }
            let before = left.len();
            let _ = self.host.tcp_write(now, id, left);
            some |= left.len() < before;
            some |= self.send_off(now);
            if !left.is_empty() {
                return some;
            }
        }
    }

    fn wait(&mut self, now: Instant) {
        let longest = std::time::Duration::from_millis(20);
        let wait = self
            .host
            .poll_timeout()
            .map_or(longest, |at| at.since(now).min(longest));
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: wait.as_nanos() as i64,
        };
        let _ = poll(&mut [PollFd::new(&self.tun, PollFlags::IN)], Some(&timeout));
    }
}
