//! The events of a script, one after the other: do what it says, expect what it expects.

use super::commands::{self, Setting, Step};
use super::craft;
use super::expect::{self, Live, LiveInner, Matched, seconds};
use super::fault::{At, Fault, Wrong, wrong};
use super::flags::Setup;
use super::flow::Flow;
use super::info;
use super::python::{self, Names};
use super::request::{Asked, Descriptors, Outputs, Progress, Resolver, compare};
use super::subject::{Outcome, Request, Subject};
use super::tree::{Action, Call, Event, Inner, Packet, Quoted, Range, Script, When};
use crate::time::Duration;
use crate::wire::protocol;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// Lines kept to show around a fault.
const AROUND: usize = 12;
/// Packets that a subject may have sent without being asked for; beyond it something is wrong.
const QUEUE: usize = 100_000;

impl Script {
    /// Runs the script against `subject`, which was made as [`Script::setup`] says.
    ///
    /// # Errors
    /// The first statement that did not hold, with the packets around it.
    pub fn run(&self, subject: &mut dyn Subject) -> Result<(), Fault> {
        let setup = self.setup()?;
        let mut run = Run::new(setup, subject);
        let result = self.events.iter().try_for_each(|event| run.event(event));
        result.and_then(|()| run.finish_call()).map_err(|(at, text)| Fault {
            file: self.name.clone(),
            at,
            text,
            around: run.around.into(),
        })
    }
}

/// A call that was begun and not yet compared.
struct Pending<'a> {
    call: &'a Call,
    asked: Asked,
    /// When it should end.
    until: Duration,
    ended: Option<(Duration, Outcome)>,
}

struct Run<'a> {
    setup: Setup,
    subject: &'a mut dyn Subject,
    flows: Vec<Flow>,
    current: Option<usize>,
    /// Somebody listens whom no connection was made to yet.
    fresh_listener: bool,
    fds: Descriptors,
    /// Sockets whose reads are datagrams.
    datagrams: BTreeSet<i32>,
    /// The connection that assertions are about.
    connected: Option<i32>,
    /// Everything written so far was the pattern; nothing urgent came.
    plain: (bool, bool),
    queue: VecDeque<Live>,
    pending: Option<Pending<'a>>,
    /// When the event before was.
    last: Duration,
    names: Names,
    /// As `nstat` saw them last.
    counters: BTreeMap<String, u64>,
    around: VecDeque<String>,
}

impl<'a> Run<'a> {
    fn new(setup: Setup, subject: &'a mut dyn Subject) -> Self {
        let mut names = Names::new();
        info::constants(&mut names);
        Self {
            setup,
            subject,
            flows: Vec::new(),
            current: None,
            fresh_listener: false,
            fds: Descriptors::default(),
            datagrams: BTreeSet::new(),
            connected: None,
            plain: (true, true),
            queue: VecDeque::new(),
            pending: None,
            last: Duration::ZERO,
            names,
            counters: BTreeMap::new(),
            around: VecDeque::new(),
        }
    }

    fn remember(&mut self, line: String) {
        if self.around.len() == AROUND {
            let _ = self.around.pop_front();
        }
        self.around.push_back(line);
    }

    fn event(&mut self, event: &'a Event) -> Result<(), Wrong> {
        let (from, to) = self.window(event.when);
        if let Action::Packet(packet) = &event.action
            && !packet.inbound
        {
            let time = self.outbound(event, packet, (from, to))?;
            // A time of its own moves the clock of the script; a loose one, and one that the machine's timers blur, follows what happened.
            let exact = from == to && self.subject.slack(Duration::ZERO).is_zero();
            self.last = if exact { from } else { time };
            return Ok(());
        }
        self.advance(from);
        // Late, on a busy machine: what follows is measured from here.
        self.last = self.subject.now().max(from);
        self.remember(format!("{} {}", seconds(self.last), strip_time(&event.text)));
        match &event.action {
            Action::Packet(packet) => self.inbound(event.at, packet),
            Action::Call(call) => self.call(call, event.when),
            Action::Command(command) => self.command(event.at, command),
            Action::Code(statements) => self.code(event.at, statements),
        }
    }

    /// Between which times an event is.
    fn window(&mut self, when: When) -> (Duration, Duration) {
        match when {
            When::At(at) => (at, at),
            When::After(after) => (self.last + after, self.last + after),
            When::Between(from, to) => (from, to),
            When::AfterBetween(from, to) => (self.last + from, self.last + to),
            When::Anytime => {
                let now = self.subject.now();
                (now, now + self.subject.patience())
            }
        }
    }

    /// How much too early or too late something due at `due` may be.
    fn tolerance(&self, due: Duration) -> Duration {
        self.setup.tolerance + self.subject.slack(due.saturating_sub(self.last))
    }

    /// Takes what came out, and the end of the call under way.
    fn collect(&mut self) {
        while let Some((time, bytes)) = self.subject.receive() {
            let Some(live) = Live::read(time, &bytes) else {
                continue;
            };
            // Neighbours and groups are looked for by any host; no script is about that.
            if !live.dst.is_multicast() && self.queue.len() < QUEUE {
                self.queue.push_back(live);
            }
        }
        if let Some(pending) = &mut self.pending
            && pending.ended.is_none()
        {
            pending.ended = self.subject.ended();
        }
    }

    fn advance(&mut self, until: Duration) {
        while self.subject.now() < until {
            self.subject.wait(until);
            self.collect();
        }
        self.collect();
    }

    /// The next packet, waited for until `until`.
    fn next_packet(&mut self, until: Duration) -> Option<Live> {
        loop {
            self.collect();
            if let Some(live) = self.queue.pop_front() {
                return Some(live);
            }
            if self.subject.now() >= until {
                return None;
            }
            self.subject.wait(until);
        }
    }

    // ---- packets ----

    fn inbound(&mut self, at: At, packet: &Packet) -> Result<(), Wrong> {
        let placed = |text: String| (at, text);
        let bytes = match &packet.inner {
            Inner::Tcp(segment) => {
                const SYN: u8 = 2;
                const ACK: u8 = 16;
                const URG: u8 = 32;
                let syn = segment.flags & (SYN | ACK) == SYN;
                self.plain.1 &= segment.flags & URG == 0;
                let flow = self.flow_for(protocol::TCP, packet.ip.port, syn);
                let flow = &mut self.flows[flow];
                if packet.ip.new {
                    flow.start_over();
                }
                craft::segment(flow, &packet.ip, segment).map_err(placed)?
            }
            Inner::Udp { len } => {
                let flow = self.flow_for(protocol::UDP, packet.ip.port, false);
                craft::datagram(&self.flows[flow], &packet.ip, *len).map_err(placed)?
            }
            Inner::Icmp(icmp) => {
                let (number, range) = match icmp.quoted {
                    Quoted::Tcp(range) => (protocol::TCP, range),
                    Quoted::Udp => (protocol::UDP, Range { start: 0, len: 0 }),
                    Quoted::Last => {
                        let last = self
                            .current
                            .map_or(protocol::TCP, |current| self.flows[current].protocol);
                        (last, Range { start: 1, len: 0 })
                    }
                };
                let flow = self.flow_for(number, packet.ip.port, false);
                craft::icmp(&mut self.flows[flow], &packet.ip, icmp, range)?
            }
        };
        self.subject.send(bytes).map_err(placed)?;
        self.collect();
        Ok(())
    }

    /// The connection that a packet of the script belongs to.
    fn flow_for(&mut self, number: u8, port: Option<u16>, syn: bool) -> usize {
        let of_protocol = |flow: &Flow| flow.protocol == number;
        let found = match port {
            Some(port) => self
                .flows
                .iter()
                .rposition(|flow| of_protocol(flow) && flow.remote.port() == port),
            None if syn && self.fresh_listener => None,
            None => self
                .current
                .filter(|current| of_protocol(&self.flows[*current]))
                .or_else(|| self.flows.iter().rposition(of_protocol)),
        };
        let flow = found.unwrap_or_else(|| {
            let port = port.unwrap_or(40_001 + self.flows.len() as u16);
            let local = SocketAddr::new(self.setup.local, self.setup.bind_port);
            let remote = SocketAddr::new(self.setup.remote, port);
            self.flows
                .push(Flow::new(number, local, remote, self.subject.slack(Duration::ZERO)));
            self.flows.len() - 1
        });
        self.fresh_listener &= !syn;
        self.current = Some(flow);
        flow
    }

    fn outbound(&mut self, event: &Event, expected: &Packet, window: (Duration, Duration)) -> Result<Duration, Wrong> {
        let (from, to) = window;
        let tolerance = self.tolerance(from);
        let (earliest, latest) = (from.saturating_sub(tolerance), to + tolerance);
        let (mut done, mut first) = (0, None);
        loop {
            let Some(live) = self.next_packet(latest) else {
                let rest = if done > 0 { " the rest of" } else { "" };
                let now = seconds(self.subject.now());
                return wrong(
                    event.at,
                    format!(
                        "nothing came until {now}; expected was{rest} `{}`",
                        strip_time(&event.text)
                    ),
                );
            };
            let matched = self.compare(expected, &live, done);
            let shown = live.show(self.current.map(|current| &self.flows[current]));
            self.remember(shown.clone());
            let fail = |why: String| {
                wrong(
                    event.at,
                    format!(
                        "{why}: expected was `{}`, what came is `{shown}`",
                        strip_time(&event.text)
                    ),
                )
            };
            let matched = match matched {
                Ok(matched) => matched,
                Err(why) => return fail(why),
            };
            if live.time < earliest || live.time > latest {
                let due = if from == to {
                    seconds(from)
                } else {
                    format!("{} to {}", seconds(from), seconds(to))
                };
                return fail(format!("it came at {}, not {due}", seconds(live.time)));
            }
            first = first.or(Some(live.time));
            match matched {
                Matched::Whole => return Ok(first.unwrap_or(live.time)),
                Matched::UpTo(bytes) => done = bytes,
            }
        }
    }

    fn compare(&mut self, expected: &Packet, live: &Live, done: u32) -> Result<Matched, String> {
        expect::ip(&expected.ip, live)?;
        let segment = match &expected.inner {
            Inner::Icmp(icmp) => return expect::message(icmp, live).map(|()| Matched::Whole),
            Inner::Tcp(segment) => Some(segment),
            Inner::Udp { .. } => None,
        };
        let Some((number, local, remote)) = live.ends() else {
            return Err("it is an ICMP message".into());
        };
        let same = |flow: &Flow| (flow.protocol, flow.local, flow.remote) == (number, local, remote);
        let known = self.flows.iter().rposition(same);
        let flow = known.unwrap_or_else(|| {
            self.flows
                .push(Flow::new(number, local, remote, self.subject.slack(Duration::ZERO)));
            self.flows.len() - 1
        });
        let current = *self.current.get_or_insert(flow);
        match expected.ip.port {
            Some(port) if remote.port() != port => {
                return Err(format!("it is for port {}, not {port}", remote.port()));
            }
            // What begins a connection may be the next one's.
            None if flow != current && known.is_some() => {
                return Err(format!(
                    "it is of another connection: [port {}] would name it",
                    remote.port()
                ));
            }
            _ => self.current = Some(flow),
        }
        match (segment, &live.inner) {
            (Some(segment), inner) => expect::segment(&mut self.flows[flow], segment, inner, done, self.plain.0),
            (None, LiveInner::Udp { len, .. }) => match expected.inner {
                Inner::Udp { len: wanted } if wanted != *len => Err(format!("it has {len} bytes, not {wanted}")),
                _ => Ok(Matched::Whole),
            },
            (None, _) => Err("it is no datagram".into()),
        }
    }

    // ---- calls ----

    fn call(&mut self, call: &'a Call, when: When) -> Result<(), Wrong> {
        self.finish_call()?;
        let resolver = Resolver {
            setup: &self.setup,
            fds: &self.fds,
            call,
        };
        let asked = resolver.resolve()?;
        let now = self.last;
        let until = match (call.until, when) {
            (None, _) => now,
            (Some(until), When::At(_) | When::Between(..)) => until,
            // As the beginning, the end counts from the event before.
            (Some(until), When::After(after)) => (now + until).saturating_sub(after),
            (Some(until), _) => now + until,
        };
        if call.until.is_some() && until < now {
            return wrong(call.at, "the call ends before it begins");
        }
        self.subject.call(asked.request.clone());
        self.pending = Some(Pending {
            call,
            asked,
            until,
            ended: None,
        });
        self.collect();
        if call.until.is_none() {
            self.finish_call()?;
        }
        Ok(())
    }

    /// Compares the call under way, once it has ended.
    fn finish_call(&mut self) -> Result<(), Wrong> {
        let Some(pending) = &self.pending else {
            return Ok(());
        };
        let (until, blocks) = (pending.until, pending.call.until.is_some());
        // A call that does not block is let off the script's tolerance: it may wait for a thread to run.
        let tolerance = self.tolerance(until);
        let latest = until + tolerance.max(Duration::from_millis(50));
        while self.pending.as_ref().is_some_and(|pending| pending.ended.is_none()) && self.subject.now() < latest {
            self.subject.wait(latest);
            self.collect();
        }
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let Pending { call, asked, ended, .. } = pending;
        let Some((time, outcome)) = ended else {
            let hint = if blocks {
                ""
            } else {
                ": a call that may block is written `0.1...0.2 read(...)`"
            };
            return wrong(
                call.at,
                format!("{}() has not ended by {}{hint}", call.name, seconds(until)),
            );
        };
        if blocks && (time + tolerance < until || time > until + tolerance) {
            return wrong(
                call.at,
                format!("{}() ended at {}, not {}", call.name, seconds(time), seconds(until)),
            );
        }
        let mut asked = asked;
        if matches!(asked.outputs, Outputs::Stream) && !self.plain.1 {
            asked.outputs = Outputs::Nothing;
        }
        compare(call, &asked, &outcome, &self.fds)?;
        self.learn(call, &asked, &outcome)
    }

    /// What a call that went well changes for those after it.
    fn learn(&mut self, call: &Call, asked: &Asked, outcome: &Outcome) -> Result<(), Wrong> {
        if let Request::Connect { fd, .. } = asked.request {
            // Under way counts, too.
            self.connected = Some(fd);
            self.current = None;
        }
        if outcome.result < 0 {
            return Ok(());
        }
        match &asked.request {
            Request::Socket { kind, .. } if kind & 0xf != 1 => {
                let _ = self.datagrams.insert(outcome.result as i32);
            }
            Request::Socket { .. } => {
                let _ = self.datagrams.remove(&(outcome.result as i32));
            }
            Request::Listen { .. } => self.fresh_listener = true,
            Request::Accept { .. } => self.connected = Some(outcome.result as i32),
            Request::Receive { fd, flags, .. } => {
                // Neither looked at nor out of line.
                const PEEK_OR_OOB: i32 = 3;
                if flags & PEEK_OR_OOB == 0 && !self.datagrams.contains(fd) {
                    let progress = self.fds.progress.entry(asked.fd).or_default();
                    progress.read = progress.read.wrapping_add(outcome.result as u32);
                }
            }
            Request::Send { data, .. } => {
                let progress = self.fds.progress.entry(asked.fd).or_default();
                let from = progress.written;
                progress.written = from.wrapping_add(outcome.result as u32);
                let mut bytes = data.iter().enumerate();
                self.plain.0 &= bytes.all(|(n, byte)| *byte == craft::pattern(from.wrapping_add(n as u32)));
            }
            Request::Close { .. } => {
                let _ = self.fds.live.remove(&asked.fd);
            }
            _ => {}
        }
        if matches!(asked.outputs, Outputs::Descriptor) {
            let name = super::request::value(&call.result)?;
            let _ = self.fds.live.insert(name, outcome.result as i32);
            let _ = self.fds.progress.insert(name, Progress::default());
        }
        Ok(())
    }

    // ---- the rest ----

    fn command(&mut self, at: At, command: &str) -> Result<(), Wrong> {
        for step in commands::steps(command).map_err(|text| (at, text))? {
            match step {
                Step::Set(Setting { name, value, optional }) => match self.subject.set(&name, &value) {
                    Err(text) if !optional => return wrong(at, format!("{name}={value}: {text}")),
                    _ => {}
                },
                Step::Counters { remember, holding } => self.counters(at, remember, &holding)?,
            }
        }
        Ok(())
    }

    /// What counters grew by since they were looked at last; one that holds all of `holding`, in nstat's layout, must be there.
    fn counters(&mut self, at: At, remember: bool, holding: &[String]) -> Result<(), Wrong> {
        let now = self.subject.counters();
        let grown = now.iter().filter_map(|(name, value)| {
            let before = self.counters.get(name).copied().unwrap_or(0);
            let grown = value.saturating_sub(before);
            (grown > 0).then(|| format!("{name:<32}{grown:<16} 0.0"))
        });
        let lines: Vec<String> = grown.collect();
        if remember {
            self.counters = now;
        }
        let (Some(first), all) = (holding.first(), |line: &&String| {
            holding.iter().all(|text| line.contains(text))
        }) else {
            return Ok(());
        };
        if lines.iter().any(|line| all(&line)) {
            return Ok(());
        }
        let near = lines.iter().find(|line| line.contains(first));
        let near = near.map_or("it did not grow".to_owned(), |line| {
            format!("it grew by {}", line[32..].trim_end_matches("0.0").trim())
        });
        wrong(at, format!("no counter holds {}: {near}", holding.join(" and ")))
    }

    fn code(&mut self, at: At, statements: &[python::Statement]) -> Result<(), Wrong> {
        if let Some(fd) = self.connected {
            let Some(info) = self.subject.info(fd) else {
                return wrong(at, "there is no TCP_INFO: the connection was closed");
            };
            info::fields(&info, &mut self.names);
        }
        for statement in statements {
            python::run(statement, &mut self.names)?;
        }
        Ok(())
    }
}

/// A statement without the time in front of it.
fn strip_time(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+.~* ".contains(c)));
    text[end.unwrap_or(0)..].trim_start()
}
