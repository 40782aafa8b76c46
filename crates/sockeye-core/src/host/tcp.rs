//! The TCP calls of a host: bind, listen, connect, accept, read, write, shut down, close. RFC 9293 §3.9.1.

use super::tcp_input::cx;
use super::{Host, InterfaceId};
use crate::buf::Rope;
use crate::demux::{Entry, Member};
use crate::error::{BindError, ConnectError, ListenError, SocketError, WriteError};
use crate::packet::Body;
use crate::port::NO_CLAIM;
use crate::socket::{
    BindOptions, Binding, Close, ListenerId, OutOfBand, Readiness, Shutdown, State, TcpId, TcpInfo, TcpOptions,
};
use crate::tcp::{Bits, Cx, Listener, Pending, SeqNumber, connect};
use crate::time::Instant;
use crate::tuple::{FourTuple, Transport};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

impl Host {
    /// Takes a local address and port for a TCP socket; port 0 gets a dynamic one (RFC 6335 §6).
    ///
    /// # Errors
    /// `AddressNotAvailable` for an address that is not ours (without `freebind`), `AddressInUse` as Linux's rules of `SO_REUSEADDR` and
    /// `SO_REUSEPORT` have it, `PortsExhausted` when port 0 finds none free.
    pub fn tcp_bind(&mut self, local: SocketAddr, options: BindOptions) -> Result<Binding, BindError> {
        if !local.ip().is_unspecified() && !options.freebind && !self.is_local(local.ip()) {
            return Err(BindError::AddressNotAvailable);
        }
        let range = options.port_range.unwrap_or(self.settings.ip_local_port_range);
        let (port, claim) = self.ports.claim_bind(Transport::Tcp, local, options, range)?;
        Ok(Binding {
            local: SocketAddr::new(local.ip(), port),
            options,
            claim,
        })
    }

    /// Lets go of a bound address.
    #[expect(clippy::needless_pass_by_value, reason = "a binding is given back once")]
    pub fn tcp_unbind(&mut self, binding: Binding) {
        self.ports.release(binding.claim);
    }

    /// Listens on a bound address, with room for `backlog` connections that wait to be accepted (at most `somaxconn`).
    ///
    /// # Errors
    /// The binding comes back with `AddressInUse` when another socket listens there already.
    pub fn tcp_listen(
        &mut self,
        _now: Instant,
        binding: Binding,
        backlog: u32,
        options: TcpOptions,
    ) -> Result<ListenerId, (Binding, ListenError)> {
        if let Err(error) = self.ports.claim_listen(binding.claim) {
            return Err((binding, error));
        }
        let Binding {
            local,
            options: bind,
            claim,
        } = binding;
        let backlog = backlog.min(self.settings.somaxconn);
        let listener = Listener {
            local,
            claim,
            backlog,
            options,
            queue: VecDeque::new(),
            half_open: 0,
            turned_away: VecDeque::new(),
            event: false,
            fast_open: Pending::default(),
        };
        let (index, generation) = self.tcp.listeners.insert(listener);
        let member = Member {
            entry: Entry::Listener(index),
            reuse_port: bind.reuse_port,
            only_v6: bind.only_v6,
        };
        self.demux.insert_bind(Transport::Tcp, local, member);
        Ok(ListenerId { index, generation })
    }

    /// Changes how many connections may wait (a second `listen`).
    pub fn listener_set_backlog(&mut self, id: ListenerId, backlog: u32) {
        let most = self.settings.somaxconn;
        if let Some(listener) = self.tcp.listeners.get_mut(id.index, id.generation) {
            listener.backlog = backlog.min(most);
        }
    }

    /// Sets the options that connections inherit which are made from now on.
    pub fn listener_set_options(&mut self, id: ListenerId, options: TcpOptions) {
        if let Some(listener) = self.tcp.listeners.get_mut(id.index, id.generation) {
            listener.options = options;
        }
    }

    /// Connections ready to be accepted.
    pub fn listener_pending(&self, id: ListenerId) -> usize {
        self.tcp.listener(id).map_or(0, |listener| listener.queue.len())
    }

    /// Where it listens.
    pub fn listener_local(&self, id: ListenerId) -> Option<SocketAddr> {
        self.tcp.listener(id).map(|listener| listener.local)
    }

    /// Takes the connection that has waited longest; look at its readiness, for bytes may have come already.
    pub fn tcp_accept(&mut self, now: Instant, id: ListenerId) -> Option<TcpId> {
        let accepted = self.tcp.listeners.get_mut(id.index, id.generation)?.queue.pop_front()?;
        self.let_in(now, id.index);
        Some(accepted)
    }

    /// Stops listening. Connections that wait to be accepted are reset, half-open ones forgotten.
    pub fn listener_close(&mut self, now: Instant, id: ListenerId) {
        let Some(listener) = self.tcp.listeners.remove(id.index, id.generation) else {
            return;
        };
        let _ = self
            .demux
            .remove_bind(Transport::Tcp, listener.local, Entry::Listener(id.index));
        let orphans: Vec<u32> = self
            .tcp
            .half_open
            .iter()
            .filter(|(_, _, record)| record.listener == id.index)
            .map(|(index, ..)| index)
            .collect();
        for index in orphans {
            let _ = self.tcp.forget_half_open(index, &mut self.demux);
        }
        self.ports.release(listener.claim);
        for waiting in listener.queue {
            self.tcp_close(now, waiting, Close::Reset);
        }
    }

    /// Starts a connection: SYN leaves with the next `poll_transmit`. Without a binding, or with one to port 0's choice of address, the source
    /// follows the route to `remote`; without a binding the port is a dynamic one that nobody can guess (RFC 6056). An unspecified `remote`
    /// means this host, as on Linux.
    ///
    /// # Errors
    /// The binding comes back with what was wrong. See [`ConnectError`].
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        binding: Option<Binding>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> Result<TcpId, (Option<Binding>, ConnectError)> {
        let bound = binding
            .as_ref()
            .map(|binding| (binding.local, binding.options, binding.claim));
        match self.open(now, bound, remote, options) {
            Ok(id) => Ok(id),
            Err(error) => Err((binding, error)),
        }
    }

    fn open(
        &mut self,
        now: Instant,
        bound: Option<(SocketAddr, BindOptions, u32)>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> Result<TcpId, ConnectError> {
        let remote = SocketAddr::new(somewhere(remote.ip().to_canonical()), remote.port());
        if remote.port() == 0 {
            return Err(ConnectError::InvalidRemote);
        }
        if remote.ip().is_multicast() || remote.ip() == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(ConnectError::Unreachable);
        }
        let wanted = bound.and_then(|(local, _, _)| (!local.ip().is_unspecified()).then(|| local.ip().to_canonical()));
        if let Some((local, bind, _)) = bound {
            let v6_only = local.is_ipv6() && bind.only_v6;
            if wanted.is_some_and(|ip| ip.is_ipv4() != remote.is_ipv4())
                || (local.is_ipv4() && remote.is_ipv6())
                || (v6_only && remote.is_ipv4())
            {
                return Err(ConnectError::FamilyMismatch);
            }
        }
        let fallback = self.takes_fallback(Transport::Tcp, remote);
        let path = self
            .route(remote.ip(), wanted, fallback)
            .ok_or(ConnectError::Unreachable)?;
        let source = wanted.unwrap_or(path.src);
        let (local, claim, beyond) = match bound {
            Some((local, _, claim)) => {
                let local = SocketAddr::new(source, local.port());
                let beyond = self.make_way(&FourTuple::new(local, remote), now)?;
                self.ports.settle(claim, source);
                (local, claim, beyond)
            }
            None => {
                let (tcp, demux) = (&self.tcp, &self.demux);
                let taken = |port| {
                    let tuple = FourTuple::new(SocketAddr::new(source, port), remote);
                    demux
                        .find_flow(demux.hash(Transport::Tcp, &tuple), |entry| tcp.is_about(entry, &tuple))
                        .is_some()
                };
                let (port, claim) = self
                    .ports
                    .claim_connect(source, remote, self.settings.ip_local_port_range, taken)
                    .ok_or(ConnectError::PortsExhausted)?;
                (SocketAddr::new(source, port), claim, None)
            }
        };
        Ok(self.start(now, local, remote, options, path.proven, claim, fallback, beyond))
    }

    /// A 4-tuple must be free, or held by a TIME-WAIT record that may be replaced: then the new numbers have to lie beyond those returned.
    fn make_way(&mut self, tuple: &FourTuple, now: Instant) -> Result<Option<SeqNumber>, ConnectError> {
        match self.occupant(tuple) {
            None => Ok(None),
            Some(entry) => {
                let (index, beyond) = self.reusable(entry, now).ok_or(ConnectError::AddressInUse)?;
                self.counters.tw_recycled += 1;
                let _ = self.tcp.forget_time_wait(index, &mut self.demux, &mut self.ports);
                Ok(Some(beyond))
            }
        }
    }

    fn occupant(&self, tuple: &FourTuple) -> Option<Entry> {
        let hash = self.demux.hash(Transport::Tcp, tuple);
        self.demux.find_flow(hash, |entry| self.tcp.is_about(entry, tuple))
    }

    /// A record in TIME-WAIT that an active open may take over, and where the sequence numbers that follow begin. RFC 6191 §3, `tcp_tw_reuse`.
    fn reusable(&self, entry: Entry, now: Instant) -> Option<(u32, SeqNumber)> {
        let Entry::TimeWait(index) = entry else { return None };
        let (record, _) = self.tcp.time_waits.at(index)?;
        Some((index, record.reusable(now, &self.settings)?))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what a connection starts from, settled one by one by the caller"
    )]
    fn start(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        options: TcpOptions,
        mtu: u32,
        claim: u32,
        fallback: bool,
        beyond: Option<SeqNumber>,
    ) -> TcpId {
        let tuple = FourTuple::new(local, remote);
        let iss = self.tcp.keys.initial_sequence(&tuple, now);
        let iss = beyond.map_or(iss, |beyond| iss.max(beyond));
        let fast = options.fast_open_connect;
        let mut tcb = connect(tuple, iss, options, mtu, &self.tcp.keys, &mut cx!(self, now));
        if fast {
            self.open_fast(now, &mut tcb);
        }
        tcb.claim = claim;
        tcb.mark_fallback(fallback);
        let id = self.tcp.add(tcb, &mut self.demux);
        self.settle_connection(now, id.index);
        id
    }

    /// Opens a connection from any address, ours or not: for a gateway that keeps the true client's address. Port 0 gets a dynamic one.
    ///
    /// # Errors
    /// `Unreachable` without a route to `remote`, `AddressInUse` when this very conversation exists.
    pub fn tcp_connect_from(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> Result<TcpId, ConnectError> {
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(ConnectError::FamilyMismatch);
        }
        let interface = self.default_interface();
        let path = self
            .ip
            .route_via(remote.ip(), interface)
            .ok_or(ConnectError::Unreachable)?;
        let mut local = local;
        let (mut claim, mut beyond) = (NO_CLAIM, None);
        if local.port() == 0 {
            let (tcp, demux) = (&self.tcp, &self.demux);
            let taken = |port| {
                let tuple = FourTuple::new(SocketAddr::new(local.ip(), port), remote);
                demux
                    .find_flow(demux.hash(Transport::Tcp, &tuple), |entry| tcp.is_about(entry, &tuple))
                    .is_some()
            };
            let (port, held) = self
                .ports
                .claim_connect(local.ip(), remote, self.settings.ip_local_port_range, taken)
                .ok_or(ConnectError::PortsExhausted)?;
            (local, claim) = (SocketAddr::new(local.ip(), port), held);
        } else {
            beyond = self.make_way(&FourTuple::new(local, remote), now)?;
        }
        Ok(self.start(now, local, remote, options, path.proven, claim, true, beyond))
    }

    /// The connection's state; CLOSED for an id that names nothing.
    pub fn tcp_state(&self, id: TcpId) -> State {
        self.tcp.conn(id).map_or(State::Closed, |tcb| tcb.state)
    }

    /// What the connection is ready for.
    pub fn tcp_readiness(&self, id: TcpId) -> Readiness {
        let gone = Readiness {
            eof: true,
            write_closed: true,
            closed: true,
            ..Readiness::default()
        };
        self.tcp.conn(id).map_or(gone, crate::tcp::Tcb::readiness)
    }

    /// Moves up to `max` received bytes to the end of `into`, without copying them. 0 when nothing is there: the readiness says why.
    pub fn tcp_read(&mut self, now: Instant, id: TcpId, max: usize, into: &mut Rope) -> usize {
        let cx = cx!(self, now);
        let Some(tcb) = self.tcp.conns.get_mut(id.index, id.generation) else {
            return 0;
        };
        let n = tcb.read(&cx, max, into);
        self.tcp.budget.recharge(tcb, &self.settings);
        if tcb.owes_ack() {
            self.tcp.make_ready(id.index);
        }
        n
    }

    /// Copies received bytes from offset `skip` on into `buf`, and leaves them. Returns how many.
    pub fn tcp_peek(&mut self, id: TcpId, skip: usize, buf: &mut [u8]) -> usize {
        self.tcp.conn(id).map_or(0, |tcb| tcb.peek(skip, buf))
    }

    /// Appends up to `max` received bytes to `into` as shared slices, and leaves them. Returns how many.
    pub fn tcp_peek_slices(&mut self, id: TcpId, max: usize, into: &mut Body) -> usize {
        self.tcp.conn_mut(id).map_or(0, |tcb| tcb.peek_slices(max, into))
    }

    /// Queues as much of `data` as the send buffer takes, and leaves the rest in it. Returns how much; after less than all an event follows
    /// when there is room again.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn tcp_write(&mut self, now: Instant, id: TcpId, data: &mut Bytes) -> Result<usize, WriteError> {
        let Some(tcb) = self.tcp.conns.get_mut(id.index, id.generation) else {
            return Err(WriteError::BrokenPipe);
        };
        let n = tcb.write(data)?;
        if n > 0 {
            self.settle_connection(now, id.index);
            self.relieve(now);
        }
        Ok(n)
    }

    /// Marks what was written last as the end of urgent data, which leaves at once (`MSG_OOB`). RFC 9293 §3.8.5; RFC 6093 §5: not for new programs.
    pub fn tcp_mark_urgent(&mut self, now: Instant, id: TcpId) {
        if let Some(tcb) = self.tcp.conns.get_mut(id.index, id.generation) {
            tcb.mark_urgent();
            self.settle_connection(now, id.index);
        }
    }

    /// What was written so far ends a record: no segment holds bytes of both sides of its end.
    pub fn tcp_end_record(&mut self, now: Instant, id: TcpId) {
        if let Some(tcb) = self.tcp.conns.get_mut(id.index, id.generation) {
            tcb.end_record(now, &self.settings);
        }
    }

    /// The last urgent byte of a connection that keeps it apart; `peek` leaves it.
    pub fn tcp_out_of_band(&mut self, id: TcpId, peek: bool) -> OutOfBand {
        self.tcp
            .conn_mut(id)
            .map_or(OutOfBand::Nothing, |tcb| tcb.take_out_of_band(peek))
    }

    /// Ends one direction or both. RFC 9293 §3.6.
    pub fn tcp_shutdown(&mut self, now: Instant, id: TcpId, how: Shutdown) {
        let mut cx = cx!(self, now);
        let Some(tcb) = self.tcp.conns.get_mut(id.index, id.generation) else {
            return;
        };
        tcb.shutdown(&mut cx, how);
        self.settle_connection(now, id.index);
    }

    /// Lets go of the connection; the host finishes it on its own. `id` names nothing afterwards.
    pub fn tcp_close(&mut self, now: Instant, id: TcpId, how: Close) {
        let crowded = self.tcp.orphans >= self.settings.tcp_max_orphans;
        let mut cx = cx!(self, now);
        let Some(tcb) = self.tcp.conns.get_mut(id.index, id.generation) else {
            return;
        };
        // Whoever walks over all connections may reset one that finishes already.
        let first = !tcb.bits.has(Bits::ORPHAN);
        tcb.close(&mut cx, how);
        self.tcp.orphans += u32::from(first);
        if first && crowded && tcb.state != State::Closed && tcb.state != State::TimeWait {
            // tcp(7), tcp_max_orphans: too many finish on their own already.
            tcb.sacrifice(&mut cx);
        }
        self.settle_connection(now, id.index);
    }

    /// `SO_ERROR`: the pending error, which is then no longer pending.
    pub fn tcp_take_error(&mut self, id: TcpId) -> Option<SocketError> {
        self.tcp.conn_mut(id)?.take_error()
    }

    /// Our end.
    pub fn tcp_local(&self, id: TcpId) -> Option<SocketAddr> {
        Some(self.tcp.conn(id)?.tuple.local())
    }

    /// The remote's end.
    pub fn tcp_peer(&self, id: TcpId) -> Option<SocketAddr> {
        Some(self.tcp.conn(id)?.tuple.remote())
    }

    /// The next sequence number expected from the remote, for whoever forges segments (a simulated middlebox); `None` before SYN was received.
    pub fn tcp_rcv_nxt(&self, id: TcpId) -> Option<u32> {
        let tcb = self.tcp.conn(id)?;
        (!matches!(tcb.state, State::Closed | State::SynSent)).then_some(tcb.rcv_nxt().0)
    }

    /// The options as they were set.
    pub fn tcp_options(&self, id: TcpId) -> TcpOptions {
        self.tcp
            .conn(id)
            .map_or_else(TcpOptions::default, crate::tcp::Tcb::options_set)
    }

    /// Sets all options at once; see [`Host::tcp_options`] for those in force.
    pub fn tcp_set_options(&mut self, now: Instant, id: TcpId, options: TcpOptions) {
        let cx = cx!(self, now);
        let Some(tcb) = self.tcp.conns.get_mut(id.index, id.generation) else {
            return;
        };
        tcb.set_options(&cx, options);
        self.settle_connection(now, id.index);
    }

    /// Sends what is queued, whatever its size, cork or not: each setting of `TCP_NODELAY` does. tcp(7).
    pub fn tcp_push(&mut self, now: Instant, id: TcpId) {
        if let Some(tcb) = self.tcp.conns.get_mut(id.index, id.generation) {
            tcb.push();
            self.settle_connection(now, id.index);
        }
    }

    /// A snapshot in the manner of Linux's `TCP_INFO`.
    pub fn tcp_info(&self, now: Instant, id: TcpId) -> Option<TcpInfo> {
        Some(self.tcp.conn(id)?.info(now, &self.settings))
    }

    /// Every connection that the application has not let go of, and every one still finishing; TIME-WAIT excluded.
    pub fn tcp_ids(&self) -> impl Iterator<Item = TcpId> {
        self.tcp
            .conns
            .iter()
            .map(|(index, generation, _)| TcpId { index, generation })
    }

    /// The path's MTU for a conversation.
    pub(super) fn path_mtu(&self, tuple: &FourTuple, fallback: bool) -> u32 {
        let path = self.route(tuple.remote().ip(), Some(tuple.local().ip()), fallback);
        path.map_or(if tuple.is_v4() { 576 } else { 1_280 }, |path| path.proven)
    }

    /// A loopback address that nobody here holds the port of is the far end's, when a fallback interface is set.
    pub(super) fn takes_fallback(&self, transport: Transport, remote: SocketAddr) -> bool {
        self.fallback.is_some() && remote.ip().is_loopback() && self.demux.find_bind(transport, remote, 0).is_none()
    }

    /// Where packets to `remote` go.
    pub(super) fn route(&self, remote: IpAddr, local: Option<IpAddr>, fallback: bool) -> Option<crate::ip::Path> {
        match self.fallback {
            Some(interface) if fallback && remote.is_loopback() => {
                let mut path = self.ip.route_via(remote, interface)?;
                if local.is_none() {
                    path.src = self.ip.route(remote, None)?.src;
                }
                Some(path)
            }
            _ if fallback => self.ip.route_via(remote, self.default_interface()),
            _ => self.ip.route(remote, local),
        }
    }

    /// The first interface that is not loopback.
    pub(super) fn default_interface(&self) -> InterfaceId {
        if self.interfaces > 1 {
            InterfaceId(1)
        } else {
            InterfaceId::LOOPBACK
        }
    }
}

/// An unspecified destination means this host. ip(7) is silent; Linux and the BSDs agree.
fn somewhere(remote: IpAddr) -> IpAddr {
    match remote {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

impl crate::tcp::Tcb {
    pub(super) fn mark_fallback(&mut self, fallback: bool) {
        if fallback {
            self.bits.set(Bits::FALLBACK);
        }
    }
}
