//! The run itself: one thread, one loop, that owns the listener, the pairs, the program's host, the link and the gateway.
//!
//! A notification that is answered on the caller's own CPU costs a tenth of one that another core answers, so nothing is handed to other
//! threads. A round of the loop takes what the kernel has to say, answers calls, moves bytes between pairs and host, carries packets until
//! nothing moves, and only then waits.

use crate::call::{Answer, Answered, Call};
use crate::capture::Capture;
use crate::config::RunConfig;
use crate::datagram::Charges;
use crate::held::Held;
use crate::identity::{self, Tasks};
use crate::launch;
use crate::names::NameServers;
use crate::network::Network;
use crate::outcome::{Outcome, SocketCounters, SpawnError};
use crate::socket::{SockId, Sockets};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process};
use sockeye_core::Instant;
use sockeye_core::buf::Pool;
use sockeye_core::socket::State as TcpState;
use sockeye_sys::seccomp::Listener;
use sockeye_sys::signal::SignalFd;
use std::collections::{HashSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Events that are not a socket's have this bit.
const SPECIAL: u64 = 1 << 63;
const NOTIFICATIONS: u64 = SPECIAL;
const SIGNALS: u64 = SPECIAL | 1;
const GATEWAY: u64 = SPECIAL | 2;

/// What we want to know of every end of a pair, once each time that it changes.
pub(crate) const WATCHED: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// Calls answered in a row before packets have their turn.
const CALLS_A_ROUND: usize = 64;

/// A program that runs.
#[derive(Debug)]
pub struct Run {
    supervisor: Supervisor,
}

#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) listener: Listener,
    pub(crate) epoll: OwnedFd,
    signals: SignalFd,
    pub(crate) network: Network,
    /// The host's buffers.
    pub(crate) pool: Pool,
    pub(crate) socks: Sockets,
    pub(crate) tasks: Tasks,
    pub(crate) held: Vec<Held>,
    pub(crate) last_tick: Instant,
    /// Sockets to look at.
    pub(crate) ready: VecDeque<SockId>,
    /// Sockets whose pair holds something that was read, and since when the first of them does.
    pub(crate) lagging: Vec<SockId>,
    pub(crate) lags_since: Option<Instant>,
    pub(crate) names: NameServers,
    pub(crate) charges: Charges,
    pub(crate) counters: SocketCounters,
    pub(crate) rtt: Option<(Duration, Duration)>,
    pub(crate) now: Instant,
    epoch: std::time::Instant,
    seed: u64,
    linger: Duration,
    verbose: bool,
    /// What was told already: process and text.
    told: HashSet<(u32, String)>,
    main: Pid,
    status: Option<u8>,
    /// No task uses the filter any more.
    deserted: bool,
    /// When to stop waiting for data to reach its peers.
    give_up: Option<Instant>,
    /// What was heard from other ends when that was decided: segments and bytes.
    heard: u64,
    undelivered: usize,
}

impl Run {
    /// Starts the program. From here on [`Run::wait`] must be called for anything to move.
    ///
    /// # Errors
    /// With the text to show and the exit status to give: the program is not there or not a program, the kernel misses something, a port
    /// cannot be published.
    pub fn spawn(mut config: RunConfig) -> Result<Self, SpawnError> {
        probe()?;
        warn_inherited();
        let network = Network::new(&mut config).map_err(|error| SpawnError::Failed(error.to_string()))?;
        let setup = |error: rustix::io::Errno| SpawnError::failed("cannot watch descriptors", error);
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(setup)?;
        let launched = launch::launch(&config.argv)?;
        // After the start: a blocked signal would be inherited.
        let handled = [libc::SIGCHLD, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];
        let signals = SignalFd::new(&handled).map_err(|error| SpawnError::failed("cannot take signals", error))?;
        let watch = |fd: &dyn AsFdDyn, token| {
            epoll::add(&epoll, fd.fd(), EventData::new_u64(token), EventFlags::IN).map_err(setup)
        };
        watch(&launched.listener, NOTIFICATIONS)?;
        watch(&signals, SIGNALS)?;
        watch(&network.gateway, GATEWAY)?;
        let synchronous = launched.listener.wake_up_synchronously();
        tracing::debug!(pid = launched.pid, synchronous, "program started");
        let main = Pid::from_raw(launched.pid as i32).ok_or_else(|| SpawnError::Failed("no process".into()))?;
        Ok(Self {
            supervisor: Supervisor {
                listener: launched.listener,
                epoll,
                signals,
                pool: network.host.pool().clone(),
                network,
                socks: Sockets::default(),
                tasks: Tasks::new(),
                held: Vec::new(),
                last_tick: Instant::ZERO,
                ready: VecDeque::new(),
                lagging: Vec::new(),
                lags_since: None,
                names: NameServers::new(config.gateway.resolv_conf.clone()),
                charges: Charges::default(),
                counters: SocketCounters::default(),
                rtt: None,
                now: Instant::ZERO,
                epoch: std::time::Instant::now(),
                seed: config.seed,
                linger: config.linger,
                verbose: config.verbose,
                told: HashSet::new(),
                main,
                status: None,
                deserted: false,
                give_up: None,
                heard: 0,
                undelivered: 0,
            },
        })
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.supervisor.main.as_raw_nonzero().get() as u32
    }

    /// Serves the program until it and all that it started have ended, and what it left to be sent has been sent.
    pub fn wait(mut self) -> Outcome {
        self.supervisor.run();
        self.supervisor.outcome()
    }
}

impl Supervisor {
    fn run(&mut self) {
        let mut events = Vec::with_capacity(256);
        // It may have ended before we listened for signals.
        self.reap();
        // When the network has something to do, as it was before we waited: what was begun since is due later than now.
        let mut due = None;
        loop {
            self.network.report();
            if due.is_some_and(|at| at <= self.now) {
                // What has arrived comes before what fell due: after a pause an answer may be here already.
                self.look_at_ready();
                self.network.turn(self.now);
                self.network.handle_timeout(self.now);
            }
            self.tick();
            self.catch_up_lagging();
            let quiet = self.settle();
            if quiet && self.finished() {
                return;
            }
            if quiet && let Some(capture) = &mut self.network.link.capture {
                capture.flush();
            }
            due = self.network.poll_timeout();
            let wait = self.time_to_wait(quiet, due);
            events.clear();
            let waited = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), wait.as_ref());
            self.now = Instant::from_nanos(self.epoch.elapsed().as_nanos() as u64);
            match waited {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot wait for events");
                    return;
                }
            }
            // Sockets first: a call may count on a close that came before it, and both are told at once.
            for event in &events {
                let (flags, data) = (event.flags, event.data);
                if data.u64() & SPECIAL == 0 {
                    self.on_end(SockId::unpack(data.u64()), flags);
                }
            }
            for event in &events {
                let (flags, data) = (event.flags, event.data);
                match data.u64() {
                    NOTIFICATIONS => self.on_notifications(flags),
                    SIGNALS => self.on_signals(),
                    GATEWAY => self.network.gateway.handle_io(self.now),
                    _ => {}
                }
            }
        }
    }

    /// Moves bytes and packets until nothing moves. False when it stopped for the sake of others, with more to do.
    fn settle(&mut self) -> bool {
        for _ in 0..16 {
            self.look_at_ready();
            let quiet = self.network.turn(self.now);
            while let Some(event) = self.network.host.poll_event() {
                if let Some(id) = self.socks.by_host(event.socket) {
                    self.wake(id);
                }
            }
            if self.ready.is_empty() && quiet {
                return true;
            }
        }
        false
    }

    fn look_at_ready(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            if let Some(sock) = self.socks.get_mut(id) {
                sock.ready = false;
                self.look_at(id);
            }
        }
    }

    /// Takes in closes that came before the call at hand: a port may be free by now.
    pub(crate) fn catch_up(&mut self) {
        let mut events = Vec::with_capacity(256);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now)).is_err() {
            return;
        }
        for event in &events {
            let (flags, data) = (event.flags, event.data);
            // Those that are not sockets' are told again.
            if data.u64() & SPECIAL == 0 {
                self.on_end(SockId::unpack(data.u64()), flags);
            }
        }
        self.look_at_ready();
    }

    /// Our end of a pair changed.
    fn on_end(&mut self, id: SockId, flags: EventFlags) {
        let Some(sock) = self.socks.get_mut(id) else { return };
        sock.seen.note(flags);
        if flags.contains(EventFlags::OUT) && std::mem::take(&mut sock.seen.waits_for_room) {
            self.watch(id, WATCHED);
        }
        self.wake(id);
    }

    /// Asks to be told when the program has taken something out of its full queue.
    pub(crate) fn wait_for_room(&mut self, id: SockId) {
        let Some(sock) = self.socks.get_mut(id) else { return };
        if !std::mem::replace(&mut sock.seen.waits_for_room, true) {
            self.watch(id, WATCHED | EventFlags::OUT);
        }
    }

    fn watch(&self, id: SockId, flags: EventFlags) {
        if let Some(end) = self.socks.get(id).and_then(|sock| sock.end.as_ref())
            && let Err(error) = epoll::modify(&self.epoll, end, EventData::new_u64(id.pack()), flags)
        {
            tracing::warn!(%error, "cannot watch a socket");
        }
    }

    /// Has a socket looked at, soon, and its end read: something was done to it that the kernel has not told us yet.
    pub(crate) fn wake_to_read(&mut self, id: SockId) {
        if let Some(sock) = self.socks.get_mut(id) {
            sock.seen.readable = true;
        }
        self.wake(id);
    }

    /// Has a socket looked at, soon.
    pub(crate) fn wake(&mut self, id: SockId) {
        if let Some(sock) = self.socks.get_mut(id)
            && !sock.ready
        {
            sock.ready = true;
            self.ready.push_back(id);
        }
    }

    fn time_to_wait(&self, quiet: bool, due: Option<Instant>) -> Option<Timespec> {
        let at = if quiet {
            let all = [due, self.held_timeout(), self.lags_until(), self.give_up];
            all.into_iter().flatten().min()?
        } else {
            self.now
        };
        // What is left of it now, not when the round began.
        let now = Instant::from_nanos(self.epoch.elapsed().as_nanos() as u64);
        let left = at.since(now);
        Some(Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }

    fn on_notifications(&mut self, flags: EventFlags) {
        if flags.contains(EventFlags::HUP) {
            self.deserted = true;
            let _ = epoll::delete(&self.epoll, self.listener.as_fd());
            return;
        }
        for _ in 0..CALLS_A_ROUND {
            match self.listener.receive() {
                Ok(Some(notification)) => self.on_call(Call::from(notification)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot receive calls");
                    return;
                }
            }
            let mut more = [PollFd::new(&self.listener, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if !matches!(poll(&mut more, Some(&now)), Ok(1)) || !more[0].revents().contains(PollFlags::IN) {
                return;
            }
        }
    }

    fn on_call(&mut self, call: Call) {
        self.counters.calls += 1;
        let answered = self.dispatch(&call);
        if let Ok(Answer::Wait(wait)) = answered {
            if self.held.is_empty() {
                self.last_tick = self.now;
            }
            self.held.push(Held::new(call, wait));
        } else {
            self.answer(&call, &answered);
        }
    }

    /// Answers a call.
    pub(crate) fn answer(&self, call: &Call, answered: &Answered) {
        tracing::trace!(tid = call.tid, nr = call.nr, args = ?call.args, ?answered, "call");
        let told = match answered {
            Ok(Answer::Value(value)) => self.listener.answer(call.id, *value),
            Ok(Answer::Continue) => self.listener.proceed(call.id),
            Ok(Answer::Wait(_) | Answer::Done) => true,
            Err(errno) => self.listener.answer(call.id, -i64::from(errno.raw_os_error())),
        };
        if !told {
            tracing::debug!(tid = call.tid, nr = call.nr, "the caller is gone");
        }
    }

    /// Refuses what we do not serve: `what` is said once per process, when the user wants to hear.
    pub(crate) fn refuse(&mut self, call: &Call, what: &str, errno: rustix::io::Errno) -> Answered {
        self.counters.refused += 1;
        if self.verbose {
            let tgid = identity::status(call.tid).map_or(call.tid, |status| status.tgid);
            if self.told.insert((tgid, what.to_owned())) {
                let error = std::io::Error::from(errno);
                eprintln!("sockeye: process {tgid}: {what}: refused ({error})");
            }
        }
        Err(errno)
    }

    /// A remark for the user, once per process and text.
    pub(crate) fn remark(&mut self, what: &str) {
        if self.verbose && self.told.insert((0, what.to_owned())) {
            eprintln!("sockeye: {what}");
        }
    }

    fn on_signals(&mut self) {
        while let Some(signal) = self.signals.take() {
            match signal.number {
                libc::SIGCHLD => self.reap(),
                // The terminal sends these to the program, too.
                libc::SIGINT | libc::SIGQUIT if signal.sender == 0 => {}
                // Nobody is left to pass it on to: we are meant.
                _ if self.status.is_some() => self.give_up = Some(Instant::ZERO),
                number => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        let _ = kill_process(self.main, signal);
                    }
                }
            }
        }
    }

    /// Takes in children that ended: the program, and orphans of it that came to us.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.main {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                let code = status.exit_status().or(signal).unwrap_or(125);
                tracing::debug!(code, "program ended");
                self.status = Some(code as u8);
            }
        }
    }

    fn finished(&mut self) -> bool {
        if self.give_up == Some(Instant::ZERO) {
            return true;
        }
        if self.status.is_none() || !self.deserted {
            return false;
        }
        if self.all_sent() {
            return true;
        }
        // As long as the other ends say something, or take something, it is worth waiting.
        let host = &self.network.host;
        let passed_on: u64 = self.network.gateway.flows().iter().map(|flow| flow.sent).sum();
        let heard = host.counters().tcp_in_segs + passed_on;
        if self.give_up.is_none() || heard != self.heard {
            self.heard = heard;
            self.give_up = Some(self.now + self.linger);
        }
        if self.give_up.is_some_and(|give_up| self.now >= give_up) {
            self.undelivered = host.tcp_ids().filter(|id| !is_sent(host.tcp_state(*id))).count();
            return true;
        }
        false
    }

    /// True when every byte that the program left behind has reached its peer.
    fn all_sent(&self) -> bool {
        let host = &self.network.host;
        let mut ids = self.socks.ids().into_iter().filter_map(|id| self.socks.get(id));
        ids.all(|sock| sock.end.is_none())
            && host.tcp_ids().all(|id| is_sent(host.tcp_state(id)))
            && self.network.gateway.all_passed_on()
    }

    fn outcome(mut self) -> Outcome {
        let tcp: Vec<_> = self.network.host.tcp_ids().collect();
        for id in tcp {
            self.note_rtt(id);
        }
        let capture = self.network.link.capture.as_mut();
        let pcap_error = capture.and_then(Capture::finish);
        let gateway = &self.network.gateway;
        Outcome {
            status: self.status.unwrap_or(125),
            seed: self.seed,
            duration: self.epoch.elapsed(),
            sockets: self.counters,
            link: self.network.link.report(),
            host: self.network.host.counters().clone(),
            gateway_host: gateway.host().counters().clone(),
            gateway: *gateway.counters(),
            flows: gateway.flows(),
            rtt: self.rtt,
            pcap_error,
            undelivered: self.undelivered,
        }
    }
}

/// True in states in which all that was written has been acknowledged, the end included.
fn is_sent(state: TcpState) -> bool {
    matches!(
        state,
        TcpState::Closed | TcpState::Listen | TcpState::FinWait2 | TcpState::TimeWait
    )
}

/// Descriptors to watch.
trait AsFdDyn {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsFdDyn for T {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}

/// Can we do here what a run needs?
fn probe() -> Result<(), SpawnError> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let me = pidfd_open(getpid(), PidfdFlags::empty())
        .map_err(|error| SpawnError::failed("this kernel or container has no pidfd_open", error))?;
    pidfd_getfd(&me, std::os::fd::AsRawFd::as_raw_fd(&me), PidfdGetfdFlags::empty()).map_err(|error| {
        SpawnError::Failed(format!(
            "pidfd_getfd is not allowed here ({error}): a container's seccomp profile blocks it; \
             allow it there, or give the container CAP_SYS_PTRACE"
        ))
    })?;
    Ok(())
}

/// Sockets of the machine that we hand down to the program stay the machine's.
fn warn_inherited() {
    use rustix::net::{AddressFamily, getsockname};
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for fd in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        let family = getsockname(fd).map(|name| name.address_family());
        if matches!(family, Ok(AddressFamily::INET | AddressFamily::INET6)) {
            eprintln!("sockeye: a standard descriptor is a socket of the machine's network and stays one");
        }
    }
}
