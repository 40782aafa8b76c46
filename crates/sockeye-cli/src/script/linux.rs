//! The machine's own TCP/IP as what a script tests: real sockets in a network of their own, whose only wire is a TUN device that we hold.

use crate::failure::Failure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockeye_core::script::{Outcome, Request, Setup, Subject};
use sockeye_sys::calls::Sockets;
use sockeye_sys::tun::{Tun, own_network};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How often a call under way is looked after while no packet comes.
const LOOK: Duration = Duration::from_micros(500);
const IPPROTO_TCP: i32 = 6;
const TCP_INFO: i32 = 11;
const TCP_CONGESTION: i32 = 13;

/// Linux behind a TUN.
pub(super) struct Linux {
    tun: Tun,
    sockets: Arc<Sockets>,
    start: Instant,
    requests: Sender<Request>,
    outcomes: Receiver<(Instant, Outcome)>,
    packets: VecDeque<(Duration, Vec<u8>)>,
    ended: Option<(Duration, Outcome)>,
    buffer: Vec<u8>,
}

impl Linux {
    /// Moves this thread to a network of its own, and sets up a link there.
    pub(super) fn new(setup: &Setup) -> Result<Self, Failure> {
        own_network().map_err(|error| {
            Failure::ours(format!(
                "--against linux needs root, for a network of its own (unshare: {error}); without root, leave it away"
            ))
        })?;
        let tun = Tun::open("tun0").map_err(|error| {
            Failure::ours(format!(
                "--against linux needs a TUN device, and /dev/net/tun does not give one ({error})"
            ))
        })?;
        // Nobody else is on this wire.
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/tun0/accept_dad", "0");
        tun.configure(setup.local, setup.remote, setup.mtu)
            .map_err(|error| Failure::ours(format!("the TUN device cannot be set up: {error}")))?;
        // A new IPv6 address is not there at once.
        let patience = Instant::now();
        while std::net::UdpSocket::bind((setup.local, 0)).is_err() && patience.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let sockets = Arc::new(Sockets::default());
        let (requests, todo) = channel();
        let (done, outcomes) = channel();
        let theirs = Arc::clone(&sockets);
        // Blocking calls block a thread of their own. It has our network, and ends when we do.
        let _ = std::thread::spawn(move || {
            for request in todo {
                let outcome = perform(&theirs, request);
                if done.send((Instant::now(), outcome)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            tun,
            sockets,
            start: Instant::now(),
            requests,
            outcomes,
            packets: VecDeque::new(),
            ended: None,
            buffer: vec![0; 1 << 16],
        })
    }

    fn collect(&mut self) {
        while let Ok(Some(len)) = self.tun.receive(&mut self.buffer) {
            self.packets
                .push_back((self.start.elapsed(), self.buffer[..len].to_vec()));
        }
        if let Ok((at, outcome)) = self.outcomes.try_recv() {
            self.ended = Some((at.saturating_duration_since(self.start), outcome));
        }
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        self.sockets.end();
    }
}

impl Subject for Linux {
    fn now(&mut self) -> Duration {
        self.start.elapsed()
    }

    fn wait(&mut self, until: Duration) {
        loop {
            self.collect();
            let left = until.saturating_sub(self.now());
            if !self.packets.is_empty() || self.ended.is_some() || left.is_zero() {
                return;
            }
            let slice = left.min(LOOK);
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: slice.as_nanos() as i64,
            };
            let _ = poll(&mut [PollFd::new(&self.tun, PollFlags::IN)], Some(&timeout));
        }
    }

    fn send(&mut self, packet: Vec<u8>) -> Result<(), String> {
        self.collect();
        self.tun
            .send(&packet)
            .map_err(|error| format!("the TUN device: {error}"))?;
        self.collect();
        Ok(())
    }

    fn receive(&mut self) -> Option<(Duration, Vec<u8>)> {
        self.packets.pop_front()
    }

    fn call(&mut self, request: Request) {
        self.ended = None;
        if self.requests.send(request).is_err() {
            self.ended = Some((self.now(), Outcome::failed(5)));
            return;
        }
        // Most calls end at once: the packets that they cause come after.
        if let Ok((at, outcome)) = self.outcomes.recv_timeout(Duration::from_millis(2)) {
            self.ended = Some((at.saturating_duration_since(self.start), outcome));
        }
    }

    fn ended(&mut self) -> Option<(Duration, Outcome)> {
        self.ended.take()
    }

    fn info(&mut self, fd: i32) -> Option<Vec<u8>> {
        self.sockets.option(fd, IPPROTO_TCP, TCP_INFO, 512).ok()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if !name.starts_with("net.") || name.contains("..") {
            return Err("only net.* can be set".into());
        }
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        match std::fs::write(&path, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err("this kernel does not have it, or has one for the whole machine".into())
            }
            result => result.map_err(|error| error.to_string()),
        }
    }

    /// `/proc/net/netstat` and `/proc/net/snmp` of this thread's network: lines of names, each followed by a line of their values.
    fn counters(&mut self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for file in ["netstat", "snmp"] {
            let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.chunks_exact(2) {
                let mut names = pair[0].split_whitespace();
                let values = pair[1].split_whitespace().skip(1);
                let group = names.next().unwrap_or_default().trim_end_matches(':');
                for (name, value) in names.zip(values) {
                    let _ = all.insert(format!("{group}{name}"), value.parse().unwrap_or(0));
                }
            }
        }
        all
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// A thread that waits for its turn, and timers that are the coarser the longer they run.
    fn slack(&self, after: Duration) -> Duration {
        Duration::from_millis(15) + after / 8
    }
}

/// Makes one call.
fn perform(sockets: &Sockets, request: Request) -> Outcome {
    try_perform(sockets, request).unwrap_or_else(|error| Outcome::failed(error.raw_os_error().unwrap_or(5)))
}

fn try_perform(sockets: &Sockets, request: Request) -> io::Result<Outcome> {
    let plain = |result: i64| Ok(Outcome::ok(result));
    match request {
        Request::Socket { domain, kind, protocol } => {
            let fd = sockets.socket(domain, kind, protocol)?;
            // Sockeye's default, whatever the machine's is. What is no TCP socket refuses it.
            let _ = sockets.set_option(fd, IPPROTO_TCP, TCP_CONGESTION, b"cubic");
            plain(fd.into())
        }
        Request::Bind { fd, address } => plain(sockets.bind(fd, address)?),
        Request::Listen { fd, backlog } => plain(sockets.listen(fd, backlog)?),
        Request::Accept { fd, flags } => {
            let (fd, address) = sockets.accept(fd, flags)?;
            Ok(Outcome {
                address,
                ..Outcome::ok(fd.into())
            })
        }
        Request::Connect { fd, address } => plain(sockets.connect(fd, address)?),
        Request::Receive { fd, len, flags } => {
            let mut data = vec![0; len];
            let got = sockets.receive(fd, &mut data, flags)?;
            data.truncate(got.len);
            Ok(Outcome {
                data,
                address: got.from,
                flags: got.flags,
                control: got.control,
                ..Outcome::ok(got.len as i64)
            })
        }
        Request::Send { fd, data, flags, to } => plain(sockets.send(fd, &data, flags, to)?),
        Request::GetOption { fd, level, name, len } => Ok(Outcome {
            data: sockets.option(fd, level, name, len)?,
            ..Outcome::ok(0)
        }),
        Request::SetOption { fd, level, name, value } => plain(sockets.set_option(fd, level, name, &value)?),
        Request::Shutdown { fd, how } => plain(sockets.shutdown(fd, how)?),
        Request::Close { fd } => plain(sockets.close(fd)?),
        Request::Fcntl { fd, command, argument } => plain(sockets.fcntl(fd, command, argument)?),
        Request::Ioctl { fd, request } => Ok(Outcome {
            data: sockets.ioctl(fd, request)?.to_ne_bytes().to_vec(),
            ..Outcome::ok(0)
        }),
        Request::Poll { fds, timeout } => {
            let (found, revents) = sockets.poll(&fds, timeout)?;
            let ready = revents.iter().enumerate();
            Ok(Outcome {
                ready: ready.map(|(n, events)| (n as u64, *events as u16 as u32)).collect(),
                ..Outcome::ok(found)
            })
        }
        Request::LocalName { fd } => named(sockets.name(fd, false)?),
        Request::PeerName { fd } => named(sockets.name(fd, true)?),
        Request::EpollCreate => plain(sockets.epoll_create()?.into()),
        Request::EpollControl {
            epoll,
            operation,
            fd,
            events,
            data,
        } => plain(sockets.epoll_control(epoll, operation, fd, events, data)?),
        Request::EpollWait { epoll, most, timeout } => {
            let ready = sockets.epoll_wait(epoll, most, timeout)?;
            Ok(Outcome {
                result: ready.len() as i64,
                ready,
                ..Outcome::default()
            })
        }
    }
}

fn named(address: Option<std::net::SocketAddr>) -> io::Result<Outcome> {
    Ok(Outcome {
        address,
        ..Outcome::ok(0)
    })
}
