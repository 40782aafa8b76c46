//! Connections to the built-in services: between a connection of the gateway's host and a [`Service`], which knows no sockets.
//!
//! A service whose client reads slowly makes no more output than [`OUTPUT`], and takes no more input than it can answer.

use super::counters::{Direction, Flow, FlowState, Protocol};
use super::ground::{Ground, Owner};
use super::poller::{Arena, Key};
use crate::services::http::{Report, Tcp};
use crate::services::{INPUT, Io, OUTPUT, Service, Step};
use bytes::Bytes;
use sockeye_core::Instant;
use sockeye_core::buf::Rope;
use sockeye_core::error::WriteError;
use sockeye_core::socket::{Close, Shutdown, SynAnswer, SynId, TcpId, TcpOptions};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a client may take to close after we did, so that the rest of what it sends does not turn our last answer into a reset.
const LINGER: Duration = Duration::from_secs(2);
/// Rounds of one turn: a round moves at most the buffers' sizes.
const ROUNDS: usize = 64;

#[derive(Debug)]
struct Visit {
    id: TcpId,
    service: Service,
    local: SocketAddr,
    remote: SocketAddr,
    input: Rope,
    output: Rope,
    /// From `output`, not yet taken by the host.
    unsent: Bytes,
    sent: u64,
    received: u64,
    opened: Instant,
    wake: Option<Instant>,
    /// We said all we had to: what still comes is thrown away until then.
    lingers: Option<Instant>,
}

/// All connections to the services.
#[derive(Debug, Default)]
pub(super) struct Visits {
    visits: Arena<Visit>,
    timers: BTreeSet<(Instant, Key)>,
    questions: Vec<(Key, Vec<u8>)>,
    gone: Vec<Key>,
}

/// What a look at a visit led to.
enum Look {
    Stay,
    Leave(FlowState, Close),
}

impl Visit {
    fn flow(&self, ground: &Ground, state: FlowState) -> Flow {
        let info = ground.host.tcp_info(ground.now, self.id);
        let measured = |value: u32| (value != 0 && value != u32::MAX).then_some(value);
        Flow {
            protocol: Protocol::Tcp,
            direction: Direction::Out,
            inside: self.remote,
            outside: self.local,
            name: ground.answers.name_of(self.local.ip()).map(str::to_owned),
            state,
            sent: self.received,
            received: self.sent,
            opened: self.opened.as_micros(),
            connect_time: None,
            rtt: info.as_ref().and_then(|info| measured(info.rtt)),
            min_rtt: info.as_ref().and_then(|info| measured(info.min_rtt)),
            retransmissions: info.map_or(0, |info| info.total_retrans),
        }
    }

    /// Moves bytes and lets the service work until there is nothing more to do.
    fn run(&mut self, ground: &mut Ground) -> Look {
        for _ in 0..ROUNDS {
            let alive = self.send(ground);
            let readiness = ground.host.tcp_readiness(self.id);
            if !alive || readiness.error.is_some() || (readiness.closed && !readiness.fin_received) {
                return Look::Leave(FlowState::Reset, Close::Reset);
            }
            if self.lingers.is_some() {
                return self.linger(ground, readiness.eof);
            }
            let room = INPUT.saturating_sub(self.input.len());
            let taken = ground.host.tcp_read(ground.now, self.id, room, &mut self.input);
            self.received += taken as u64;
            let readiness = ground.host.tcp_readiness(self.id);
            let ended = readiness.eof && readiness.fin_received;
            let before = (self.input.len(), self.output.len());
            let step = self.step(ground, ended);
            let moved = taken > 0 || before != (self.input.len(), self.output.len());
            self.wake = match step {
                Step::GoUntil(at) => Some(at),
                Step::Go | Step::Close => None,
            };
            let alive = self.send(ground);
            let all_sent = alive && self.output.is_empty() && self.unsent.is_empty();
            if step == Step::Close && all_sent {
                ground.host.tcp_shutdown(ground.now, self.id, Shutdown::Write);
                self.lingers = Some(ground.now + LINGER);
                self.wake = self.lingers;
                continue;
            }
            if alive && (!moved || self.output.len() >= OUTPUT) {
                return Look::Stay;
            }
        }
        // More to do, but others too.
        self.wake = Some(ground.now);
        Look::Stay
    }

    fn step(&mut self, ground: &Ground, ended: bool) -> Step {
        let (id, local, remote) = (self.id, self.local, self.remote);
        let report = || Report {
            client: remote,
            server: local,
            tcp: ground
                .host
                .tcp_info(ground.now, id)
                .map_or_else(Tcp::default, |info| Tcp::new(&info)),
            link: ground.config.link.clone(),
            did: Some(ground.report),
            version: env!("CARGO_PKG_VERSION"),
        };
        let mut io = Io {
            input: &mut self.input,
            ended,
            output: &mut self.output,
            now: ground.now,
            report: &report,
        };
        self.service.step(&mut io)
    }

    /// Hands output to the host as far as it takes it. False when the connection takes nothing more, ever.
    fn send(&mut self, ground: &mut Ground) -> bool {
        loop {
            if self.unsent.is_empty() {
                match self.output.pop_chunk(usize::MAX) {
                    Some(chunk) => self.unsent = chunk,
                    None => return true,
                }
            }
            match ground.host.tcp_write(ground.now, self.id, &mut self.unsent) {
                Ok(n) => self.sent += n as u64,
                Err(error) => return matches!(error, WriteError::WouldBlock | WriteError::NotConnected),
            }
            if !self.unsent.is_empty() {
                return true;
            }
        }
    }

    fn linger(&mut self, ground: &mut Ground, ended: bool) -> Look {
        let mut rest = Rope::new();
        while ground.host.tcp_read(ground.now, self.id, INPUT, &mut rest) > 0 {
            rest = Rope::new();
        }
        let over = ended || ground.host.tcp_readiness(self.id).eof;
        if over || self.lingers.is_some_and(|until| until <= ground.now) {
            return Look::Leave(FlowState::Closed, Close::Graceful);
        }
        Look::Stay
    }
}

impl Visits {
    pub(super) fn flows<'a>(&'a self, ground: &'a Ground) -> impl Iterator<Item = Flow> + 'a {
        self.visits.iter().map(|(_, visit)| visit.flow(ground, FlowState::Open))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn handle_timeout(&mut self, ground: &mut Ground) {
        // Those that ask for another turn at once get it in the next call.
        let due: Vec<(Instant, Key)> = self
            .timers
            .iter()
            .take_while(|(at, _)| *at <= ground.now)
            .copied()
            .collect();
        for timer in due {
            self.timers.remove(&timer);
            self.on_event(ground, timer.1);
        }
    }

    /// A question that came in over TCP to the name server, and whose it is.
    pub(super) fn poll_question(&mut self) -> Option<(Key, Vec<u8>)> {
        self.questions.pop()
    }

    /// A visit that ended.
    pub(super) fn poll_gone(&mut self) -> Option<Key> {
        self.gone.pop()
    }

    /// The answer to a question of a visit, or that there will be none.
    pub(super) fn on_answer(&mut self, ground: &mut Ground, key: Key, answer: Option<Vec<u8>>) {
        let Some(visit) = self.visits.get_mut(key) else { return };
        let Service::Names(framed) = &mut visit.service else {
            return;
        };
        match answer {
            Some(answer) => {
                framed.on_answer(answer);
                self.on_event(ground, key);
            }
            None => self.leave(ground, key, FlowState::Reset, Close::Reset),
        }
    }

    /// Somebody connects to a service.
    pub(super) fn on_syn(
        &mut self,
        ground: &mut Ground,
        syn: SynId,
        remote: SocketAddr,
        local: SocketAddr,
        service: Option<Service>,
    ) {
        let full = self.visits.len() >= ground.config.limits.services;
        let Some(service) = service.filter(|_| !full) else {
            ground.host.answer_syn(ground.now, syn, SynAnswer::Refuse);
            return;
        };
        let options = TcpOptions {
            nodelay: true,
            ..TcpOptions::default()
        };
        let Some(id) = ground.host.answer_syn(ground.now, syn, SynAnswer::Accept(options)) else {
            return;
        };
        ground.counters.services += 1;
        let key = self.visits.insert(Visit {
            id,
            service,
            local,
            remote,
            input: Rope::new(),
            output: Rope::new(),
            unsent: Bytes::new(),
            sent: 0,
            received: 0,
            opened: ground.now,
            wake: None,
            lingers: None,
        });
        ground.owners.insert(id, Owner::Service(key));
        self.on_event(ground, key);
    }

    /// Something about a visit's connection changed, or its time came.
    pub(super) fn on_event(&mut self, ground: &mut Ground, key: Key) {
        let Some(visit) = self.visits.get_mut(key) else { return };
        if !ground.host.tcp_readiness(visit.id).established && visit.lingers.is_none() {
            // The handshake is not done: nothing to do but see it fail.
            let readiness = ground.host.tcp_readiness(visit.id);
            if readiness.error.is_some() || readiness.closed {
                self.leave(ground, key, FlowState::Reset, Close::Reset);
            }
            return;
        }
        if let Some(wake) = visit.wake.take() {
            self.timers.remove(&(wake, key));
        }
        let requests = http_requests(&visit.service);
        let look = visit.run(ground);
        ground.counters.http_requests += http_requests(&visit.service) - requests;
        if let Service::Names(framed) = &mut visit.service {
            while let Some(question) = framed.poll_question() {
                self.questions.push((key, question));
            }
        }
        match look {
            Look::Stay => {
                if let Some(wake) = visit.wake {
                    self.timers.insert((wake, key));
                }
            }
            Look::Leave(state, how) => self.leave(ground, key, state, how),
        }
    }

    fn leave(&mut self, ground: &mut Ground, key: Key, state: FlowState, how: Close) {
        let Some(visit) = self.visits.remove(key) else { return };
        if let Some(wake) = visit.wake {
            self.timers.remove(&(wake, key));
        }
        if matches!(visit.service, Service::Names(_)) {
            self.gone.push(key);
        }
        let flow = visit.flow(ground, state);
        ground.history.push(flow);
        ground.owners.remove(&visit.id);
        ground.host.tcp_close(ground.now, visit.id, how);
    }
}

fn http_requests(service: &Service) -> u64 {
    match service {
        Service::Http(http) => http.requests(),
        _ => 0,
    }
}
