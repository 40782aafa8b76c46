//! Connections that write, read and close as planned, and check every byte: what a simulation runs over TCP, and the judge of it.
//!
//! The applications here are as real ones are behind an event loop: they act when an event names their socket (or a pause of their own is
//! over) and never look otherwise. A host that forgets an event leaves them waiting, and that is reported as [`Stuck`].

use super::{HostId, Sim, Stream};
use crate::buf::Rope;
use crate::error::{ConnectError, SocketError, WriteError};
use crate::host::Host;
use crate::socket::{BindOptions, Close, ListenerId, Shutdown, SocketId, State, TcpId, TcpOptions};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

/// One connection as it is meant to go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who connects.
    pub client: HostId,
    /// Who listens.
    pub server: HostId,
    /// Where the server listens; a port that nobody there holds.
    pub to: SocketAddr,
    /// What the client does.
    pub up: Part,
    /// What the server does.
    pub down: Part,
    /// A failure to connect that the network is bad enough for.
    pub excused: Option<SocketError>,
}

/// One side's part in a plan.
#[derive(Clone, Debug)]
pub struct Part {
    /// Bytes it sends.
    pub bytes: u64,
    /// Socket options.
    pub options: TcpOptions,
    /// How it ends.
    pub ending: Ending,
    /// How it reads and writes.
    pub pace: Pace,
}

/// How a side ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN once all is written; closes when the other side's FIN was read.
    HalfClose,
    /// FIN only after the other side's. (Two of these wait for each other.)
    LastWord,
    /// Closes when all is written and all is read, FIN or not.
    Close,
    /// Closes when all is written, unread bytes or not: may cut the other side off.
    CloseEarly,
    /// Resets the connection when so many bytes are written.
    ResetAfter(u64),
}

/// How a side reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a write at most.
    pub write: usize,
    /// Bytes a read at most.
    pub read: usize,
    /// Rest after each read.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            write: 64 << 10,
            read: 64 << 10,
            pause: Duration::ZERO,
        }
    }
}

impl Part {
    /// Sends so many bytes and closes in order, with default options.
    pub fn sends(bytes: u64) -> Self {
        Self {
            bytes,
            options: TcpOptions::default(),
            ending: Ending::HalfClose,
            pace: Pace::default(),
        }
    }

    /// True when the ending may take bytes from the other side.
    fn is_rude(&self) -> bool {
        matches!(self.ending, Ending::CloseEarly | Ending::ResetAfter(_))
    }
}

/// What a side came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes the host took for sending.
    pub sent: u64,
    /// Bytes read, every one as sent.
    pub received: u64,
    /// The other side's FIN was read.
    pub eof: bool,
    /// What ended the connection early.
    pub error: Option<SocketError>,
}

/// One connection of [`Flows`].
#[derive(Debug)]
pub struct Flow {
    plan: Plan,
    listener: Option<ListenerId>,
    sides: [Side; 2],
    started: Instant,
    finished: Option<Instant>,
}

#[derive(Debug)]
struct Side {
    host: HostId,
    part: Part,
    id: Option<TcpId>,
    sends: Stream,
    gets: Stream,
    /// Bytes the other side sends.
    expected: u64,
    outcome: Outcome,
    shut: bool,
    closed: bool,
    paused_until: Option<Instant>,
    rope: Rope,
    wrong: Option<String>,
}

/// A run that did not come to its end as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The simulation's seed.
    pub seed: u64,
    /// When it was given up.
    pub at: Instant,
    /// What is wrong, a line a side.
    pub what: Vec<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {}:", self.seed, self.at)?;
        self.what.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Stuck {}

/// Connections that run side by side.
#[derive(Debug, Default)]
pub struct Flows {
    flows: Vec<Flow>,
    /// Which flow and side a socket belongs to.
    sockets: BTreeMap<(HostId, SocketId), (usize, usize)>,
    open: usize,
}

impl Flow {
    /// What the client and the server came to.
    pub fn outcomes(&self) -> [Outcome; 2] {
        [self.sides[0].outcome, self.sides[1].outcome]
    }

    /// From connect to both sides closed.
    pub fn time(&self) -> Option<Duration> {
        self.finished.map(|at| at.since(self.started))
    }

    /// The client's connection, while it has it.
    pub fn client(&self) -> Option<TcpId> {
        self.sides[0].id.filter(|_| !self.sides[0].closed)
    }

    fn is_rude(&self) -> bool {
        let client = self.sides[0].outcome;
        let excused = client.error.is_some() && client.error == self.plan.excused && client.sent == 0;
        excused || self.plan.up.is_rude() || self.plan.down.is_rude()
    }

    /// What is not as it has to be, now that both sides are closed.
    fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (n, who) in ["client", "server"].into_iter().enumerate() {
            let (side, other) = (&self.sides[n], &self.sides[1 - n]);
            let (got, theirs) = (side.outcome, other.outcome);
            if let Some(text) = &side.wrong {
                wrong.push(format!("{who}: {text}"));
            }
            if got.received > theirs.sent {
                wrong.push(format!(
                    "{who} got {} bytes of {} that were sent",
                    got.received, theirs.sent
                ));
            }
            if got.eof && !matches!(other.part.ending, Ending::ResetAfter(_)) && got.received < side.expected {
                wrong.push(format!(
                    "{who} was told of the end after {} bytes of {}",
                    got.received, side.expected
                ));
            }
            if self.is_rude() {
                continue;
            }
            if let Some(error) = got.error {
                wrong.push(format!(
                    "{who} failed: {error}, with {} sent, {} received",
                    got.sent, got.received
                ));
            } else if got.received != side.expected || got.sent != side.part.bytes {
                wrong.push(format!(
                    "{who} closed with {}/{} sent, {}/{} received",
                    got.sent, side.part.bytes, got.received, side.expected
                ));
            }
        }
        wrong
    }
}

impl Flows {
    /// No connections yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts one: the server listens and the client connects, now.
    ///
    /// # Panics
    /// When the server cannot listen at `plan.to`: the plan is wrong.
    pub fn start(&mut self, sim: &mut Sim, plan: Plan) {
        let number = self.flows.len();
        let listener = sim.on(plan.server, |host, now| {
            let binding = host
                .tcp_bind(plan.to, BindOptions::default())
                .expect("the port is free");
            host.tcp_listen(now, binding, 16, plan.down.options.clone())
                .map_err(|(_, error)| error)
        });
        let listener = listener.expect("nobody else listens");
        let connected = sim.on(plan.client, |host, now| {
            host.tcp_connect(now, None, plan.to, plan.up.options.clone())
                .map_err(|(_, error)| error)
        });
        let [up, down] = [0, 1].map(|way| Stream::new(sim.seed(), number as u64 * 2 + way));
        let side = |host, part: &Part, sends, gets, expected| Side {
            host,
            part: part.clone(),
            id: None,
            sends,
            gets,
            expected,
            outcome: Outcome::default(),
            shut: false,
            closed: false,
            paused_until: None,
            rope: Rope::new(),
            wrong: None,
        };
        let mut client = side(plan.client, &plan.up, up, down, plan.down.bytes);
        let server = side(plan.server, &plan.down, down, up, plan.up.bytes);
        let _ = self
            .sockets
            .insert((plan.server, SocketId::Listener(listener)), (number, 1));
        match connected {
            Ok(id) => {
                let _ = self.sockets.insert((plan.client, SocketId::Tcp(id)), (number, 0));
                client.id = Some(id);
            }
            Err(error) => {
                client.closed = true;
                client.wrong = Some(format!("could not connect: {error}"));
                client.outcome.error = (error == ConnectError::Unreachable).then_some(SocketError::NetworkUnreachable);
            }
        }
        self.flows.push(Flow {
            plan,
            listener: Some(listener),
            sides: [client, server],
            started: sim.now(),
            finished: None,
        });
        self.open += 1;
    }

    /// The connections, in the order they were started.
    pub fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter()
    }

    /// Runs until every connection has come to its end.
    ///
    /// # Errors
    /// When no byte is written or read for `patience` of virtual time and it is not the end; when it is, but not as planned; when a byte is
    /// wrong.
    pub fn run(&mut self, sim: &mut Sim, patience: Duration) -> Result<(), Stuck> {
        let mut end = sim.now() + patience;
        let mut moved = 0;
        loop {
            self.poll(sim);
            let outcomes = self.flows.iter().flat_map(Flow::outcomes);
            let sum = outcomes.map(|outcome| outcome.sent + outcome.received).sum();
            if moved != sum {
                (moved, end) = (sum, sim.now() + patience);
            }
            if self.open == 0
                || self
                    .flows
                    .iter()
                    .any(|flow| flow.sides.iter().any(|side| side.wrong.is_some()))
            {
                break;
            }
            let alarm = self
                .flows
                .iter()
                .flat_map(|flow| &flow.sides)
                .filter_map(|side| side.paused_until)
                .min();
            match (sim.next_time(), alarm) {
                (Some(at), _) if at > end => break,
                (None, None) => break,
                (Some(at), alarm) if alarm.is_none_or(|alarm| at <= alarm) => {
                    let _ = sim.step();
                }
                (_, Some(alarm)) if alarm <= end => sim.run_until(alarm),
                _ => break,
            }
        }
        let what: Vec<String> = self.flows.iter().flat_map(|flow| self.verdict(sim, flow)).collect();
        if what.is_empty() {
            return Ok(());
        }
        Err(Stuck {
            seed: sim.seed(),
            at: sim.now(),
            what,
        })
    }

    /// Does what events and pauses that are over call for.
    pub fn poll(&mut self, sim: &mut Sim) {
        for host in sim.hosts() {
            while let Some(event) = sim.take_event(host) {
                let Some((flow, side)) = self.sockets.get(&(host, event.socket)).copied() else {
                    continue;
                };
                match event.socket {
                    SocketId::Listener(listener) => self.accept(sim, flow, listener),
                    _ => self.act(sim, flow, side),
                }
            }
        }
        for flow in 0..self.flows.len() {
            for side in 0..2 {
                if self.flows[flow].sides[side]
                    .paused_until
                    .is_some_and(|until| until <= sim.now())
                {
                    self.flows[flow].sides[side].paused_until = None;
                    self.act(sim, flow, side);
                }
            }
        }
    }

    fn accept(&mut self, sim: &mut Sim, number: usize, listener: ListenerId) {
        let host = self.flows[number].plan.server;
        while let Some(id) = sim.on(host, |host, now| host.tcp_accept(now, listener)) {
            let side = &mut self.flows[number].sides[1];
            if side.id.is_some() {
                side.wrong = Some("a second connection was accepted".to_owned());
                return;
            }
            side.id = Some(id);
            let _ = self.sockets.insert((host, SocketId::Tcp(id)), (number, 1));
            self.act(sim, number, 1);
        }
    }

    fn act(&mut self, sim: &mut Sim, number: usize, side: usize) {
        let flow = &mut self.flows[number];
        let side = &mut flow.sides[side];
        if side.closed {
            return;
        }
        sim.on(side.host, |host, now| side.act(host, now));
        if side.closed
            && let Some(id) = side.id
        {
            let _ = self.sockets.remove(&(side.host, SocketId::Tcp(id)));
        }
        if flow.sides.iter().all(|side| side.closed) && flow.finished.is_none() {
            flow.finished = Some(sim.now());
            self.open -= 1;
            if let Some(listener) = flow.listener.take() {
                sim.on(flow.plan.server, |host, now| host.listener_close(now, listener));
            }
        }
    }

    /// What is wrong with a flow, now that nothing more will happen.
    fn verdict(&self, sim: &Sim, flow: &Flow) -> Vec<String> {
        let mut what = flow.judge();
        // A client that left before the handshake was over leaves no server behind.
        if flow.finished.is_some() || flow.is_rude() && flow.sides[0].closed && flow.sides[1].id.is_none() {
            return what;
        }
        for (who, side) in ["client", "server"].into_iter().zip(&flow.sides) {
            what.push(format!("{who} {}", side.describe(sim)));
        }
        what
    }
}

impl Side {
    /// Writes, reads, shuts and closes as far as the plan and the host allow.
    fn act(&mut self, host: &mut Host, now: Instant) {
        let Some(id) = self.id.filter(|_| !self.closed) else {
            return;
        };
        let readiness = host.tcp_readiness(id);
        if let Some(error) = host.tcp_take_error(id) {
            self.fail(host, now, id, error);
            return;
        }
        if !readiness.established && !readiness.closed {
            return;
        }
        if let Err(error) = self.write(host, now, id) {
            self.fail(host, now, id, error);
            return;
        }
        if let Ending::ResetAfter(bytes) = self.part.ending
            && self.outcome.sent >= bytes.min(self.part.bytes)
        {
            host.tcp_close(now, id, Close::Reset);
            self.closed = true;
            return;
        }
        self.read(host, now, id);
        self.finish(host, now, id);
    }

    fn write(&mut self, host: &mut Host, now: Instant, id: TcpId) -> Result<(), SocketError> {
        while self.outcome.sent < self.part.bytes {
            let left = self.part.bytes - self.outcome.sent;
            let len = left.min(self.part.pace.write.clamp(1, 64 << 10) as u64) as usize;
            let mut data = self.sends.bytes(self.outcome.sent, len);
            match host.tcp_write(now, id, &mut data) {
                Ok(taken) => {
                    if taken + data.len() != len {
                        self.wrong = Some(format!("write of {len} took {taken} and left {}", data.len()));
                    }
                    self.outcome.sent += taken as u64;
                    if taken < len {
                        return Ok(());
                    }
                }
                Err(WriteError::WouldBlock | WriteError::NotConnected) => return Ok(()),
                Err(WriteError::TimedOut) => return Err(SocketError::TimedOut),
                Err(WriteError::Reset) => return Err(SocketError::ConnectionReset),
                Err(WriteError::BrokenPipe) => return Err(SocketError::BrokenPipe),
            }
        }
        Ok(())
    }

    fn read(&mut self, host: &mut Host, now: Instant, id: TcpId) {
        if self.outcome.eof || self.paused_until.is_some() {
            return;
        }
        loop {
            let asked = self.part.pace.read.max(1);
            let got = host.tcp_read(now, id, asked, &mut self.rope);
            if got > asked || got != self.rope.len() {
                self.wrong = Some(format!("read of {asked} says {got} and gives {}", self.rope.len()));
            }
            while let Some(chunk) = self.rope.pop_chunk(usize::MAX) {
                if let Err(wrong) = self.gets.check(self.outcome.received, &chunk) {
                    self.wrong = Some(format!("{wrong:?}, after {} good bytes", self.outcome.received));
                }
                self.outcome.received += chunk.len() as u64;
            }
            if got == 0 {
                self.outcome.eof = host.tcp_readiness(id).eof;
                return;
            }
            if !self.part.pace.pause.is_zero() {
                self.paused_until = Some(now + self.part.pace.pause);
                return;
            }
        }
    }

    fn finish(&mut self, host: &mut Host, now: Instant, id: TcpId) {
        let all_sent = self.outcome.sent == self.part.bytes;
        let shut = match self.part.ending {
            Ending::HalfClose => all_sent,
            Ending::LastWord => all_sent && self.outcome.eof,
            _ => false,
        };
        if shut && !self.shut {
            self.shut = true;
            host.tcp_shutdown(now, id, Shutdown::Write);
        }
        let over = match self.part.ending {
            Ending::HalfClose | Ending::LastWord => self.shut && self.outcome.eof,
            Ending::Close => all_sent && (self.outcome.received == self.expected || self.outcome.eof),
            Ending::CloseEarly => all_sent,
            Ending::ResetAfter(_) => false,
        };
        if over {
            host.tcp_close(now, id, Close::Graceful);
            self.closed = true;
        }
    }

    fn fail(&mut self, host: &mut Host, now: Instant, id: TcpId, error: SocketError) {
        self.outcome.error = Some(error);
        host.tcp_close(now, id, Close::Graceful);
        self.closed = true;
    }

    /// Where it stands, for a report.
    fn describe(&self, sim: &Sim) -> String {
        let progress = format!(
            "sent {}/{}, received {}/{}, eof {}, shut {}, error {:?}",
            self.outcome.sent,
            self.part.bytes,
            self.outcome.received,
            self.expected,
            self.outcome.eof,
            self.shut,
            self.outcome.error
        );
        match self.id {
            None => format!("never connected; {progress}"),
            Some(_) if self.closed => format!("closed; {progress}"),
            Some(id) => {
                let host = sim.look(self.host);
                let state: State = host.tcp_state(id);
                let (readiness, info) = (host.tcp_readiness(id), host.tcp_info(sim.now(), id));
                format!("in {state:?}; {progress}; {readiness:?}; {info:?}")
            }
        }
    }
}

impl Sim {
    /// Sends `bytes` bytes from `a` to `b` over a connection of their own on the first link that they share, checks each, and closes in
    /// order. Returns how long it took.
    ///
    /// # Errors
    /// When nothing moves for two hours, a byte is wrong, or the connection fails.
    ///
    /// # Panics
    /// When the hosts share no link.
    pub fn transfer(&mut self, a: HostId, b: HostId, bytes: u64) -> Result<Duration, Stuck> {
        let link = self.link_between(a, b).expect("the hosts share a link");
        let to = SocketAddr::new(self.address(b, link, false), self.next_port());
        let mut flows = Flows::new();
        let (up, down) = (Part::sends(bytes), Part::sends(0));
        flows.start(
            self,
            Plan {
                client: a,
                server: b,
                to,
                up,
                down,
                excused: None,
            },
        );
        flows.run(self, Duration::from_secs(7_200))?;
        Ok(flows.flows[0].time().unwrap_or_default())
    }
}
