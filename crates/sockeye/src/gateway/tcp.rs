//! TCP relays: a connection of the gateway's host on one side, a kernel socket on the other.
//!
//! A connection inside is accepted only after the kernel's own connection to the same address was, so that a refusal, a timeout or an
//! unreachable network outside is the same inside. Then bytes go both ways under backpressure (`relay`): what one side does not take yet is
//! read from the other only up to one step's worth. Ends are carried over as they are: FIN by half close, RST by RST. What one side accepted
//! is delivered to the other before its end is (for a reset: within [`DRAIN`]).

use super::counters::{Direction, Flow, FlowState};
use super::ground::{Ground, Owner};
use super::kernel;
use super::poller::{Arena, Key, Kind, Ready};
use super::publish::{Door, Doors};
use super::relay::{End, Relay, Stage, inside_failure};
use rustix::io::Errno;
use sockeye_core::Instant;
use sockeye_core::error::ConnectError;
use sockeye_core::socket::{Close, SynAnswer, SynId, TcpId, TcpOptions};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long bytes that a reset remote sent before may take to reach the program.
const DRAIN: Duration = Duration::from_secs(10);
/// How often a drain is looked at.
const DRAIN_STEP: Duration = Duration::from_millis(10);

/// What a connection of the program is led to.
#[derive(Debug)]
pub(super) enum Target {
    /// A kernel socket, connected to this.
    Kernel(SocketAddr),
    /// A stream that somebody in this process or another holds the other end of.
    Stream(UnixStream),
}

/// All relays.
#[derive(Debug, Default)]
pub(super) struct Relays {
    relays: Arena<Relay>,
    timers: BTreeSet<(Instant, Key)>,
}

impl Relays {
    pub(super) fn flows<'a>(&'a self, ground: &'a Ground) -> impl Iterator<Item = Flow> + 'a {
        self.relays.iter().map(|(_, relay)| {
            let state = match relay.stage {
                Stage::Connecting(_) | Stage::Entering => FlowState::Opening,
                Stage::Open => FlowState::Open,
                Stage::Draining { .. } => FlowState::Reset,
            };
            relay.flow(ground, state)
        })
    }

    /// True when nothing that the program sent waits here for the outside: every program's end of stream was handed on.
    pub(super) fn all_passed_on(&self) -> bool {
        let mut relays = self.relays.iter();
        relays.all(|(_, relay)| relay.inside_ended || !matches!(relay.stage, Stage::Open))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn handle_timeout(&mut self, ground: &mut Ground) {
        while let Some(&(at, key)) = self.timers.first() {
            if at > ground.now {
                return;
            }
            self.timers.pop_first();
            if let Some(relay) = self.relays.get_mut(key) {
                relay.timed = false;
                self.drain(ground, key);
            }
        }
    }

    /// The program wants to connect to `outside`: so does the kernel, to there or where it was told to.
    pub(super) fn on_syn(
        &mut self,
        ground: &mut Ground,
        syn: SynId,
        inside: SocketAddr,
        outside: SocketAddr,
        target: Target,
    ) {
        if self.relays.len() >= ground.config.limits.tcp {
            ground.counters.tcp_limit += 1;
            tracing::warn!(%outside, limit = ground.config.limits.tcp, "too many connections: refused");
            ground.host.answer_syn(ground.now, syn, SynAnswer::Refuse);
            return;
        }
        let mut relay = Relay::new(Stage::Connecting(syn), Direction::Out, inside, outside, ground.now);
        let opened = match target {
            Target::Kernel(to) => kernel::tcp_connect(to),
            Target::Stream(stream) => kernel::taken_over(stream).map(|fd| (fd, true)),
        };
        match opened {
            Ok((fd, established)) => {
                relay.fd = Some(fd);
                if let Some(key) = self.watch(ground, relay)
                    && established
                {
                    self.connected(ground, key);
                }
            }
            Err(error) => fail_connect(ground, &relay, syn, error),
        }
    }

    /// A client connected to a published port: lead it to the program.
    pub(super) fn on_client(&mut self, ground: &mut Ground, doors: &Doors, door: &Door) {
        // A bound on one turn; the listener is level-triggered.
        for _ in 0..64 {
            match kernel::tcp_accept(&door.fd) {
                Ok((fd, client)) => self.enter(ground, doors, door, fd, client),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::MFILE | Errno::NFILE) => {
                    ground.counters.tcp_limit += 1;
                    kernel::tcp_shed(&door.fd, &mut ground.spare);
                }
                Err(_) => return,
            }
        }
    }

    fn enter(&mut self, ground: &mut Ground, doors: &Doors, door: &Door, fd: OwnedFd, client: SocketAddr) {
        if self.relays.len() >= ground.config.limits.tcp {
            ground.counters.tcp_limit += 1;
            return kernel::reset(fd);
        }
        let (from, inside) = doors.way_in(ground, door, client);
        let mut relay = Relay::new(Stage::Entering, Direction::In, inside, client, ground.now);
        let Some(id) = connect_inside(ground, from, inside) else {
            tracing::debug!(%client, %inside, "no way to the program for a client of a published port");
            return kernel::reset(fd);
        };
        relay.fd = Some(fd);
        relay.id = Some(id);
        ground.counters.tcp_published += 1;
        if let Some(key) = self.watch(ground, relay) {
            ground.owners.insert(id, Owner::Relay(key));
        } else {
            ground.host.tcp_close(ground.now, id, Close::Reset);
        }
    }

    /// Takes a relay in and watches its kernel socket.
    fn watch(&mut self, ground: &mut Ground, relay: Relay) -> Option<Key> {
        let key = self.relays.insert(relay);
        let fd = self.relays.get(key)?.fd.as_ref()?;
        let Err(error) = ground.poller.add(fd, Kind::Relay, key) else {
            return Some(key);
        };
        tracing::warn!(%error, "cannot watch a socket");
        let relay = self.relays.remove(key)?;
        if let Stage::Connecting(syn) = relay.stage {
            fail_connect(ground, &relay, syn, Errno::NOMEM);
        }
        None
    }

    /// The kernel socket of a relay became ready for something.
    pub(super) fn on_ready(&mut self, ground: &mut Ground, key: Key, ready: Ready) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        relay.can_read |= ready.read;
        relay.can_write |= ready.write;
        relay.hangup |= ready.hangup;
        match (&relay.stage, &relay.fd) {
            (Stage::Connecting(syn), Some(fd)) => match kernel::connect_error(fd, relay.outside) {
                Ok(()) if ready.write => self.connected(ground, key),
                Ok(()) => {}
                Err(error) => {
                    let syn = *syn;
                    if let Some(relay) = self.relays.remove(key) {
                        fail_connect(ground, &relay, syn, error);
                    }
                }
            },
            (Stage::Open, _) => self.pump(ground, key),
            (Stage::Draining { .. }, _) => self.drain(ground, key),
            // The client is gone before the program answered.
            (Stage::Entering, Some(fd)) if ready.error && kernel::take_error(fd).is_err() => {
                self.finish(ground, key, FlowState::Reset, Close::Reset);
            }
            _ => {}
        }
    }

    /// Something about the host's connection of a relay changed.
    pub(super) fn on_event(&mut self, ground: &mut Ground, key: Key) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let Some(id) = relay.id else { return };
        match relay.stage {
            Stage::Connecting(_) => {}
            Stage::Open => self.pump(ground, key),
            Stage::Draining { .. } => self.drain(ground, key),
            Stage::Entering => {
                let readiness = ground.host.tcp_readiness(id);
                if readiness.established && readiness.error.is_none() {
                    relay.stage = Stage::Open;
                    relay.connect_time = Some(ground.now.since(relay.opened));
                    self.pump(ground, key);
                } else if let Some(state) = inside_failure(readiness) {
                    self.finish(ground, key, state, Close::Reset);
                }
            }
        }
    }

    /// The kernel is connected: so may the program be.
    fn connected(&mut self, ground: &mut Ground, key: Key) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let Stage::Connecting(syn) = relay.stage else { return };
        let options = TcpOptions {
            nodelay: true,
            ..TcpOptions::default()
        };
        match ground.host.answer_syn(ground.now, syn, SynAnswer::Accept(options)) {
            Some(id) => {
                relay.id = Some(id);
                relay.stage = Stage::Open;
                relay.connect_time = Some(ground.now.since(relay.opened));
                ground.counters.tcp_opened += 1;
                ground.owners.insert(id, Owner::Relay(key));
                self.pump(ground, key);
            }
            // The program gave up meanwhile.
            None => self.finish(ground, key, FlowState::Closed, Close::Reset),
        }
    }

    fn pump(&mut self, ground: &mut Ground, key: Key) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        match relay.pump(ground) {
            Ok(()) => {}
            Err(End::Done) => self.finish(ground, key, FlowState::Closed, Close::Graceful),
            Err(End::InsideFailed(state)) => {
                if let Some(fd) = &relay.fd {
                    // One try: what the kernel does not take now, a reset would throw away there too.
                    let _ = kernel::write(fd, &mut relay.outward);
                }
                self.finish(ground, key, state, Close::Reset);
            }
            Err(End::OutsideFailed) => {
                relay.stage = Stage::Draining {
                    until: ground.now + DRAIN,
                };
                self.drain(ground, key);
            }
        }
    }

    /// Resets the program's connection once it has all that came before the reset.
    fn drain(&mut self, ground: &mut Ground, key: Key) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let (Stage::Draining { until }, Some(id)) = (&relay.stage, relay.id) else {
            return;
        };
        let until = *until;
        if let Some(fd) = relay.fd.take() {
            // A socket that failed still gives what it received before.
            relay.can_read = true;
            if relay.move_inward(ground, &fd, id).is_ok() && !relay.outside_ended {
                relay.fd = Some(fd);
            }
        } else if !relay.inward.is_empty() {
            let _ = ground.host.tcp_write(ground.now, id, &mut relay.inward);
        }
        let readiness = ground.host.tcp_readiness(id);
        let waits = readiness.unacked > 0 || !relay.inward.is_empty() || relay.fd.is_some();
        if waits && ground.now < until && inside_failure(readiness).is_none() {
            if !relay.timed {
                relay.timed = true;
                self.timers.insert((ground.now + DRAIN_STEP, key));
            }
        } else {
            self.finish(ground, key, FlowState::Reset, Close::Reset);
        }
    }

    /// Ends a relay on both sides.
    fn finish(&mut self, ground: &mut Ground, key: Key, state: FlowState, how: Close) {
        let Some(mut relay) = self.relays.remove(key) else {
            return;
        };
        let flow = relay.flow(ground, state);
        ground.history.push(flow);
        if let Some(id) = relay.id {
            ground.owners.remove(&id);
            ground.host.tcp_close(ground.now, id, how);
        }
        match relay.fd.take() {
            Some(fd) if how == Close::Reset => kernel::reset(fd),
            _ => {}
        }
    }
}

fn fail_connect(ground: &mut Ground, relay: &Relay, syn: SynId, error: Errno) {
    let answer = kernel::syn_answer(error);
    let (state, counter) = match &answer {
        SynAnswer::Refuse => (FlowState::Refused, &mut ground.counters.tcp_refused),
        SynAnswer::Ignore => (FlowState::TimedOut, &mut ground.counters.tcp_timed_out),
        _ => (FlowState::Unreachable, &mut ground.counters.tcp_unreachable),
    };
    *counter += 1;
    if matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) {
        ground.counters.tcp_limit += 1;
        tracing::warn!(outside = %relay.outside, %error, "cannot open another socket");
    }
    tracing::debug!(outside = %relay.outside, %error, "connection failed outside");
    let flow = relay.flow(ground, state);
    ground.history.push(flow);
    ground.host.answer_syn(ground.now, syn, answer);
}

/// Connects to the program from `from`, or from another port of that address when two clients outside share a port number.
fn connect_inside(ground: &mut Ground, from: SocketAddr, inside: SocketAddr) -> Option<TcpId> {
    let options = TcpOptions {
        nodelay: true,
        ..TcpOptions::default()
    };
    for step in 0..64 {
        let mut from = from;
        // An odd stride reaches every port; 0 is none.
        from.set_port(from.port().wrapping_add(step * 997).max(1));
        match ground.host.tcp_connect_from(ground.now, from, inside, options.clone()) {
            Ok(id) => return Some(id),
            Err(ConnectError::AddressInUse) => {}
            Err(_) => return None,
        }
    }
    None
}
