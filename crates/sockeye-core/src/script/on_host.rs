//! A [`Host`] in virtual time as what a script tests. Time stands still but for [`Subject::wait`].

use super::{Fault, Outcome, Request, Script, Setup, Subject};
use crate::bsd::address::{Family, Named};
use crate::bsd::{Answer, EpollEvent, PollFd, Process, Stop, Wait};
use crate::error::Errno;
use crate::gso;
use crate::host::{Host, HostConfig, InterfaceConfig, InterfaceId, Medium, Route};
use crate::packet::{Gso, Packet};
use crate::time::{Duration, Instant};
use crate::wire::packet_from_bytes;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// When scripts begin: some time that is not 0.
const START: Instant = Instant::from_millis(1_000_000);
/// Timers that may fire at one instant before time moves on by itself.
const AT_ONCE: u32 = 1_000;
const IPPROTO_TCP: i32 = 6;
const TCP_INFO: i32 = 11;

impl Script {
    /// Runs the script against a new [`Host`] in virtual time.
    ///
    /// # Errors
    /// The first statement that did not hold, with the packets around it.
    pub fn run_on_host(&self) -> Result<(), Fault> {
        let mut subject = OnHost::new(&self.setup()?);
        self.run(&mut subject)?;
        subject.host.check().map_err(|broken| Fault {
            file: self.name.clone(),
            at: super::At { line: 1, column: 1 },
            text: format!("every statement held, but the host broke a rule of its own: {broken:?}"),
            around: Vec::new(),
        })
    }
}

/// A host, its one program, and a link to the script.
#[derive(Debug)]
pub struct OnHost {
    host: Host,
    process: Process,
    link: InterfaceId,
    now: Instant,
    mss: Option<u16>,
    packets: VecDeque<(Duration, Vec<u8>)>,
    /// A call that waits, and until when at most.
    waiting: Option<(Request, Wait, Option<Instant>)>,
    ended: Option<(Duration, Outcome)>,
    /// Timers that fired at this instant.
    fired: u32,
}

impl OnHost {
    /// A host as `setup` wants it.
    pub fn new(setup: &Setup) -> Self {
        let mut host = Host::new(HostConfig {
            seed: 1,
            ..HostConfig::default()
        });
        let v6 = setup.local.is_ipv6();
        let link = host.add_interface(InterfaceConfig {
            name: "tun0".into(),
            medium: Medium::Ip,
            mtu: setup.mtu,
            gso: false,
            addresses: vec![(setup.local, if v6 { 64 } else { 24 })],
        });
        let network = if v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        };
        host.add_route(Route {
            network,
            prefix: 0,
            via: None,
            interface: link,
        });
        Self {
            host,
            process: Process::new(),
            link,
            now: START,
            mss: setup.mss,
            packets: VecDeque::new(),
            waiting: None,
            ended: None,
            fired: 0,
        }
    }

    fn time(&self) -> Duration {
        self.now.since(START)
    }

    /// After anything happened: what the host sends goes out, and a call that waits is asked again.
    fn settle(&mut self) {
        self.transmit();
        if let Some((request, mut wait, _)) = self.waiting.take() {
            match perform(&mut self.process, &mut self.host, self.now, &request, &mut wait) {
                Err(Stop::Block(until)) => self.waiting = Some((request, wait, until)),
                answer => self.ended = Some((self.time(), outcome(answer))),
            }
            self.transmit();
        }
        // Events are the process's; it takes them here when no call does.
        let _ = self.process.on(&mut self.host, self.now);
    }

    fn transmit(&mut self) {
        let mut out = VecDeque::new();
        self.host.poll_transmit(self.now, self.link, &mut out, usize::MAX);
        let mut wire: VecDeque<Packet> = VecDeque::new();
        for packet in out {
            gso::segment(packet, u32::MAX, &mut wire);
        }
        for mut packet in wire {
            gso::finish(&mut packet);
            self.packets.push_back((self.time(), packet.to_vec()));
        }
    }
}

impl Subject for OnHost {
    fn now(&mut self) -> Duration {
        self.time()
    }

    fn wait(&mut self, until: Duration) {
        if !self.packets.is_empty() || self.ended.is_some() {
            return;
        }
        let until = START + until;
        let timer = self.host.poll_timeout();
        let call = self.waiting.as_ref().and_then(|(.., until)| *until);
        let next = [timer, call].into_iter().flatten().min();
        let next = next.map_or(until, |next| next.clamp(self.now, until.max(self.now)));
        self.fired = if next > self.now { 0 } else { self.fired + 1 };
        self.now = next;
        if self.fired > AT_ONCE {
            // A host that never gets done at one instant: the packets will tell.
            self.now += Duration::from_micros(1);
        }
        if timer.is_some_and(|timer| timer <= self.now) {
            self.host.handle_timeout(self.now);
        }
        self.settle();
    }

    fn send(&mut self, packet: Vec<u8>) -> Result<(), String> {
        let mut packet = packet_from_bytes(Bytes::from(packet), Medium::Ip);
        if let Some(mss) = self.mss
            && packet.body.len() > usize::from(mss)
        {
            packet.meta.gso = Gso::Tcp { mss };
        }
        self.host.receive(self.now, self.link, &mut vec![packet]);
        self.settle();
        Ok(())
    }

    fn receive(&mut self) -> Option<(Duration, Vec<u8>)> {
        self.packets.pop_front()
    }

    fn call(&mut self, request: Request) {
        self.ended = None;
        self.waiting = Some((request, Wait::default(), None));
        self.settle();
    }

    fn ended(&mut self) -> Option<(Duration, Outcome)> {
        self.ended.take()
    }

    fn info(&mut self, fd: i32) -> Option<Vec<u8>> {
        let calls = &mut self.process.on(&mut self.host, self.now);
        calls.getsockopt(fd, IPPROTO_TCP, TCP_INFO, 512).ok()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.host.settings.set(name, value).map_err(|error| error.to_string())
    }

    fn counters(&mut self) -> BTreeMap<String, u64> {
        let counters = self.host.counters();
        counters.iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(86_400)
    }
}

fn outcome(answer: Answer<Outcome>) -> Outcome {
    match answer {
        Ok(outcome) => outcome,
        Err(Stop::Errno(errno)) => Outcome::failed(errno as i32),
        // Told apart by the caller.
        Err(Stop::Block(_)) => Outcome::failed(Errno::EAGAIN as i32),
    }
}

/// Makes one call, or asks it again.
fn perform(
    process: &mut Process,
    host: &mut Host,
    now: Instant,
    request: &Request,
    wait: &mut Wait,
) -> Answer<Outcome> {
    let mut calls = process.on(host, now);
    let plain = |value: i64| Ok(Outcome::ok(value));
    let done = |()| Ok(Outcome::ok(0));
    match request {
        Request::Socket { domain, kind, protocol } => plain(calls.socket(*domain, *kind, *protocol)?.into()),
        Request::Bind { fd, address } => done(calls.bind(*fd, &encode(*address))?),
        Request::Listen { fd, backlog } => done(calls.listen(*fd, *backlog)?),
        Request::Accept { fd, flags } => {
            let (fd, name) = calls.accept4(*fd, *flags, wait)?;
            named(fd, &name)
        }
        Request::Connect { fd, address } => done(calls.connect(*fd, &encode(*address), wait)?),
        Request::Receive { fd, len, flags } => {
            let mut data = vec![0; *len];
            let arrived = calls.recvmsg(*fd, &mut data, *flags, 512, wait)?;
            data.truncate(arrived.len);
            Ok(Outcome {
                data,
                address: decode(&arrived.name),
                flags: arrived.flags,
                control: arrived.control,
                ..Outcome::ok(arrived.len as i64)
            })
        }
        Request::Send { fd, data, flags, to } => {
            let to = to.map(encode);
            plain(calls.sendmsg(*fd, data, to.as_deref(), &[], *flags, wait)? as i64)
        }
        Request::GetOption { fd, level, name, len } => Ok(Outcome {
            data: calls.getsockopt(*fd, *level, *name, *len as i32)?,
            ..Outcome::ok(0)
        }),
        Request::SetOption { fd, level, name, value } => done(calls.setsockopt(*fd, *level, *name, value)?),
        Request::Shutdown { fd, how } => done(calls.shutdown(*fd, *how)?),
        Request::Close { fd } => done(calls.close(*fd, wait)?),
        Request::Fcntl { fd, command, argument } => plain(calls.fcntl(*fd, *command, *argument)?.into()),
        Request::Ioctl { fd, request } => Ok(Outcome {
            data: calls.ioctl(*fd, *request, 0)?.to_ne_bytes().to_vec(),
            ..Outcome::ok(0)
        }),
        Request::LocalName { fd } => named(0, &calls.getsockname(*fd)?),
        Request::PeerName { fd } => named(0, &calls.getpeername(*fd)?),
        Request::EpollCreate => plain(calls.epoll_create1(0)?.into()),
        Request::EpollControl {
            epoll,
            operation,
            fd,
            events,
            data,
        } => {
            let event = EpollEvent {
                events: *events,
                data: *data,
            };
            done(calls.epoll_ctl(*epoll, *operation, *fd, event)?)
        }
        Request::Poll { .. } | Request::EpollWait { .. } => ready(&mut calls, request, wait),
    }
}

/// The calls that wait for many.
fn ready(calls: &mut crate::bsd::Calls<'_>, request: &Request, wait: &mut Wait) -> Answer<Outcome> {
    match request {
        Request::Poll { fds, timeout } => {
            let entry = |(fd, events): &(i32, i16)| PollFd {
                fd: *fd,
                events: *events,
                revents: 0,
            };
            let mut list: Vec<PollFd> = fds.iter().map(entry).collect();
            let found = calls.poll(&mut list, *timeout, wait)?;
            let ready = list.iter().enumerate();
            Ok(Outcome {
                ready: ready
                    .map(|(n, entry)| (n as u64, u32::from(entry.revents as u16)))
                    .collect(),
                ..Outcome::ok(found as i64)
            })
        }
        Request::EpollWait { epoll, most, timeout } => {
            let mut events = Vec::new();
            let _ = calls.epoll_wait(*epoll, &mut events, *most as i32, *timeout, wait)?;
            Ok(Outcome {
                ready: events.iter().map(|event| (event.data, event.events)).collect(),
                ..Outcome::ok(events.len() as i64)
            })
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

fn encode(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
    family.encode(address)
}

fn decode(name: &[u8]) -> Option<SocketAddr> {
    let family = if name.len() == 16 { Family::V4 } else { Family::V6 };
    match family.parse(name) {
        Ok(Named::At(address)) => Some(address),
        _ => None,
    }
}

fn named(result: i32, name: &[u8]) -> Answer<Outcome> {
    Ok(Outcome {
        address: decode(name),
        ..Outcome::ok(result.into())
    })
}
