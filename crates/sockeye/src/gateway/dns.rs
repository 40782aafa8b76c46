//! The name server at 10.0.2.3 and fd00::3, and at every address that the machine's resolv.conf lists (the program reads that file too).
//!
//! What [`Zone`] does not know goes to the machine's own servers as it came, under an identifier and port of our own (RFC 5452): questions
//! over UDP by UDP, those over TCP by TCP. A server that does not answer within [`PATIENCE`], is unreachable, or fails is followed by
//! the next. When none is left the asker is told so: it never waits for nothing.

use super::ground::Ground;
use super::kernel;
use super::poller::{Arena, Key, Kind, Ready};
use crate::names::message::{self, Failure, NoQuestion, Question};
use crate::names::resolv_conf::{PORT, ResolvConf};
use crate::names::zone::{Known, Zone};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, connect, recv, send};
use sockeye_core::Instant;
use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long one server may take to answer over UDP.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one server may take to connect and answer over TCP.
const STREAM_PATIENCE: Duration = Duration::from_secs(5);
/// Servers asked for one question at most, repetitions included.
const ATTEMPTS: usize = 6;
/// The longest message over TCP, its length in front.
const LONGEST: usize = 2 + 65_535;

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// By datagram: from `remote`, to our address `local`.
    Datagram { local: SocketAddr, remote: SocketAddr },
    /// Over a connection to the name server.
    Stream(Key),
}

/// A question on its way to the machine's servers.
#[derive(Debug)]
struct Query {
    asker: Asker,
    question: Question,
    /// The message, under the identifier of the current attempt.
    bytes: Vec<u8>,
    servers: Vec<SocketAddr>,
    attempt: usize,
    /// What the last server that failed said: better than our own words when no other knows more.
    fallback: Option<Vec<u8>>,
    wire: Wire,
    until: Instant,
}

/// How the current server is asked.
#[derive(Debug)]
enum Wire {
    None,
    Udp(OwnedFd),
    Tcp {
        fd: OwnedFd,
        unsent: Vec<u8>,
        reply: Vec<u8>,
    },
}

/// What came of looking at a server's socket.
enum Outcome {
    Wait,
    Reply(Vec<u8>),
    Failed,
}

/// The name server.
#[derive(Debug)]
pub(super) struct Dns {
    zone: Zone,
    conf: ResolvConf,
    queries: Arena<Query>,
    timers: BTreeSet<(Instant, Key)>,
    answered: Vec<(Asker, Vec<u8>)>,
}

impl Dns {
    pub(super) fn new(ground: &Ground) -> Self {
        let config = &ground.config;
        Self {
            zone: Zone::new(config.ipv4, config.ipv6, &config.hosts),
            conf: ResolvConf::new(config.resolv_conf.clone()),
            queries: Arena::default(),
            timers: BTreeSet::new(),
            answered: Vec::new(),
        }
    }

    /// True for an address that the program may take for a name server because the machine's resolv.conf lists it.
    pub(super) fn is_listed(&mut self, address: SocketAddr) -> bool {
        address.port() == PORT && self.conf.servers().iter().any(|server| server.ip() == address.ip())
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
            if self.queries.get(key).is_some_and(|query| query.until <= ground.now) {
                self.next_server(ground, key);
            }
        }
    }

    /// Answers to hand back.
    pub(super) fn poll_answer(&mut self) -> Option<(Asker, Vec<u8>)> {
        self.answered.pop()
    }

    /// Somebody asks. False for what is no question and gets no answer.
    pub(super) fn on_question(&mut self, ground: &mut Ground, asker: Asker, bytes: &[u8]) -> bool {
        ground.counters.dns_queries += 1;
        match Question::parse(bytes) {
            Ok(question) => self.on_good_question(ground, asker, question, bytes),
            Err(NoQuestion::Ignore) => return false,
            Err(NoQuestion::Answer(reply)) => self.answered.push((asker, reply)),
        }
        true
    }

    fn on_good_question(&mut self, ground: &mut Ground, asker: Asker, question: Question, bytes: &[u8]) {
        if let Some(known) = question.kind().and_then(|kind| self.zone.lookup(question.name(), kind)) {
            ground.counters.dns_local += 1;
            if let Known::Addresses(addresses) = &known {
                let name = question.name().to_ascii();
                addresses
                    .iter()
                    .for_each(|address| ground.answers.learn(&name, *address));
            }
            return self.answered.push((asker, question.answer(&known)));
        }
        let again = |query: &Query| query.asker == asker && query.question.id() == question.id();
        if matches!(asker, Asker::Datagram { .. }) && self.queries.iter().any(|(_, query)| again(query)) {
            // Sent again while the first is on its way: one answer will do.
            return;
        }
        if self.queries.len() >= ground.config.limits.queries {
            ground.counters.dns_failed += 1;
            return self.answered.push((asker, question.fail(Failure::Busy)));
        }
        let servers = match &ground.config.dns {
            Some(servers) => servers.clone(),
            None => self.conf.servers().to_vec(),
        };
        let key = self.queries.insert(Query {
            asker,
            question,
            bytes: bytes.to_vec(),
            servers,
            attempt: 0,
            fallback: None,
            wire: Wire::None,
            until: ground.now,
        });
        self.ask(ground, key);
    }

    /// The asker is gone.
    pub(super) fn on_asker_gone(&mut self, gone: Key) {
        let theirs = |query: &Query| query.asker == Asker::Stream(gone);
        let keys: Vec<Key> = self
            .queries
            .iter()
            .filter(|(_, query)| theirs(query))
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.remove(key);
        }
    }

    /// A server's socket became ready for something.
    pub(super) fn on_ready(&mut self, ground: &mut Ground, key: Key, ready: Ready) {
        let Some(query) = self.queries.get_mut(key) else { return };
        match query.look(ready) {
            Outcome::Wait => {}
            Outcome::Failed => self.next_server(ground, key),
            Outcome::Reply(reply) if message::is_failure(&reply) && query.attempt + 1 < query.servers.len() => {
                query.fallback = Some(reply);
                self.next_server(ground, key);
            }
            Outcome::Reply(reply) => self.finish(ground, key, reply),
        }
    }

    fn next_server(&mut self, ground: &mut Ground, key: Key) {
        if let Some(query) = self.queries.get_mut(key) {
            query.attempt += 1;
            query.wire = Wire::None;
            self.ask(ground, key);
        }
    }

    /// Asks the server whose turn it is, or the first after it that can be asked.
    fn ask(&mut self, ground: &mut Ground, key: Key) {
        let Some(query) = self.queries.get_mut(key) else { return };
        while let Some((server, stream)) = query.turn() {
            match query.open(server, stream) {
                Ok(patience) => {
                    let fd = match &query.wire {
                        Wire::Udp(fd) | Wire::Tcp { fd, .. } => Some(fd),
                        Wire::None => None,
                    };
                    if fd.is_some_and(|fd| ground.poller.add(fd, Kind::Query, key).is_ok()) {
                        query.until = ground.now + patience;
                        self.timers.insert((query.until, key));
                        return;
                    }
                }
                Err(error) => tracing::debug!(%server, %error, "name server cannot be asked"),
            }
            query.attempt += 1;
        }
        let Some(query) = self.queries.get_mut(key) else { return };
        let reply = query.fallback.take().unwrap_or_else(|| {
            ground.counters.dns_failed += 1;
            let none = query.servers.is_empty() || (ground.config.dns.is_none() && !self.conf.lists_any());
            let failure = if none {
                Failure::NoServer
            } else {
                Failure::NoReachableAuthority
            };
            query.question.fail(failure)
        });
        self.finish(ground, key, reply);
    }

    fn finish(&mut self, ground: &mut Ground, key: Key, mut reply: Vec<u8>) {
        let Some(query) = self.remove(key) else { return };
        message::set_id(&mut reply, query.question.id());
        let name = query.question.name().to_ascii();
        for address in message::addresses(&reply) {
            ground.answers.learn(&name, address);
        }
        if matches!(query.asker, Asker::Datagram { .. }) {
            reply = message::truncate(reply, query.question.max_payload());
        }
        self.answered.push((query.asker, reply));
    }

    fn remove(&mut self, key: Key) -> Option<Query> {
        let query = self.queries.remove(key)?;
        self.timers.remove(&(query.until, key));
        Some(query)
    }
}

impl Query {
    /// The server to ask now, and whether over TCP. Each is asked once; a lone one twice, for a datagram may get lost; a server that
    /// cannot be had over TCP is asked by UDP in the end.
    fn turn(&self) -> Option<(SocketAddr, bool)> {
        let servers = self.servers.len();
        let stream = matches!(self.asker, Asker::Stream(_));
        let turns = if stream { servers * 2 } else { servers.max(2) };
        if self.attempt >= turns.min(ATTEMPTS) || servers == 0 {
            return None;
        }
        Some((self.servers[self.attempt % servers], stream && self.attempt < servers))
    }

    fn open(&mut self, server: SocketAddr, stream: bool) -> Result<Duration, Errno> {
        message::set_id(&mut self.bytes, random());
        if !stream {
            let fd = kernel::udp(server.ip(), None)?;
            connect(&fd, &server)?;
            send(&fd, &self.bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
            self.wire = Wire::Udp(fd);
            return Ok(PATIENCE);
        }
        let (fd, _) = kernel::tcp_connect(server)?;
        let mut unsent = (self.bytes.len() as u16).to_be_bytes().to_vec();
        unsent.extend_from_slice(&self.bytes);
        let reply = Vec::new();
        self.wire = Wire::Tcp { fd, unsent, reply };
        Ok(STREAM_PATIENCE)
    }

    fn look(&mut self, ready: Ready) -> Outcome {
        match &mut self.wire {
            Wire::None => Outcome::Wait,
            Wire::Udp(fd) => loop {
                let mut buf = vec![0; LONGEST];
                match recv(&*fd, &mut buf[..], RecvFlags::DONTWAIT) {
                    Ok((_, n)) if message::answers(&buf[..n], &self.bytes) => {
                        buf.truncate(n);
                        return Outcome::Reply(buf);
                    }
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => return Outcome::Wait,
                    Err(_) => return Outcome::Failed,
                }
            },
            Wire::Tcp { fd, unsent, reply } => {
                if kernel::take_error(&*fd).is_err() {
                    return Outcome::Failed;
                }
                if ready.write && !unsent.is_empty() {
                    match send(&*fd, unsent, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                        Ok(n) => drop(unsent.drain(..n)),
                        Err(Errno::AGAIN | Errno::INTR) => {}
                        Err(_) => return Outcome::Failed,
                    }
                }
                if !ready.read {
                    return Outcome::Wait;
                }
                read_stream(fd, reply, &self.bytes)
            }
        }
    }
}

/// Reads what a server sent over TCP; done when the message is whole.
fn read_stream(fd: &OwnedFd, reply: &mut Vec<u8>, asked: &[u8]) -> Outcome {
    let mut buf = vec![0; LONGEST];
    loop {
        match recv(fd, &mut buf[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Outcome::Failed,
            Ok((_, n)) => reply.extend_from_slice(&buf[..n]),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return Outcome::Wait,
            Err(_) => return Outcome::Failed,
        }
        let Some(length) = reply
            .first_chunk::<2>()
            .map(|field| usize::from(u16::from_be_bytes(*field)))
        else {
            continue;
        };
        if let Some(whole) = reply.get(2..2 + length) {
            let good = message::answers(whole, asked);
            return if good {
                Outcome::Reply(whole.to_vec())
            } else {
                Outcome::Failed
            };
        }
    }
}

/// An identifier that nobody can guess: the standard library's hash keys come from the system.
fn random() -> u16 {
    RandomState::new().build_hasher().finish() as u16
}
