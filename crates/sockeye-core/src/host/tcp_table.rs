//! All of TCP that a host holds: connections, listeners, half-open and closed ones, their timers, and who has something to send.

use super::InterfaceId;
use super::events::EventQueue;
use crate::demux::{Demux, Entry};
use crate::keys::Keys;
use crate::port::Ports;
use crate::settings::Settings;
use crate::slab::Slab;
use crate::socket::{ListenerId, SocketId, State, TcpId};
use crate::tcp::{Bits, Budget, FastOpenCache, Limits, Listener, Reply, SynReceived, Tcb, TcpKeys, TimeWait};
use crate::time::Instant;
use crate::tuple::{FourTuple, Transport};
use crate::wheel::Wheel;
use std::collections::VecDeque;

/// The records of TCP.
#[derive(Debug)]
pub(crate) struct TcpTable {
    pub(crate) conns: Slab<Tcb>,
    pub(crate) listeners: Slab<Listener>,
    pub(crate) half_open: Slab<SynReceived>,
    pub(crate) time_waits: Slab<(TimeWait, u32)>,
    /// One timer a connection, by its index.
    pub(crate) wheel: Wheel,
    /// One timer a half-open connection.
    pub(crate) syn_wheel: Wheel,
    /// TIME-WAIT records in the order they expire; all stay equally long.
    pub(crate) expiring: VecDeque<(Instant, u32, u32)>,
    /// Connections that may have something to send.
    pub(crate) ready: VecDeque<u32>,
    /// Those that found their interface's queue full, by interface. They stay marked as ready.
    pub(crate) blocked: Vec<VecDeque<u32>>,
    pub(crate) keys: TcpKeys,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    /// Connections that nobody holds any more and that still finish.
    pub(crate) orphans: u32,
    pub(crate) fast_open: FastOpenCache,
    /// Segments to send that belong to no connection.
    pub(crate) replies: Vec<Reply>,
}

impl TcpTable {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self {
            conns: Slab::new(),
            listeners: Slab::new(),
            half_open: Slab::new(),
            time_waits: Slab::new(),
            wheel: Wheel::new(),
            syn_wheel: Wheel::new(),
            expiring: VecDeque::new(),
            ready: VecDeque::new(),
            blocked: Vec::new(),
            keys: TcpKeys::new(keys),
            limits: Limits::new(keys.secret_stream("tcp limits")),
            budget: Budget::default(),
            orphans: 0,
            fast_open: FastOpenCache::default(),
            replies: Vec::new(),
        }
    }

    /// The connection that `id` names, if it still does.
    pub(crate) fn conn(&self, id: TcpId) -> Option<&Tcb> {
        self.conns.get(id.index, id.generation)
    }

    pub(crate) fn conn_mut(&mut self, id: TcpId) -> Option<&mut Tcb> {
        self.conns.get_mut(id.index, id.generation)
    }

    pub(crate) fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(id.index, id.generation)
    }

    /// Is this entry of the flow table about `tuple`?
    pub(crate) fn is_about(&self, entry: Entry, tuple: &FourTuple) -> bool {
        match entry {
            Entry::Connection(index) => self.conns.at(index).is_some_and(|tcb| tcb.tuple == *tuple),
            Entry::TimeWait(index) => self
                .time_waits
                .at(index)
                .is_some_and(|(record, _)| record.tuple == *tuple),
            Entry::SynReceived(index) => self.half_open.at(index).is_some_and(|record| record.tuple == *tuple),
            Entry::HeldSyn(_) | Entry::Listener(_) | Entry::Udp(_) => false,
        }
    }

    /// Puts a connection on the ready list.
    pub(crate) fn make_ready(&mut self, index: u32) {
        if let Some(tcb) = self.conns.at_mut(index)
            && !tcb.bits.has(Bits::READY)
        {
            tcb.bits.set(Bits::READY);
            self.ready.push_back(index);
        }
    }

    /// Lets a connection that is marked as ready wait for room in an interface's queue, so that none is visited in vain.
    pub(crate) fn block(&mut self, index: u32, interface: InterfaceId) {
        let nth = interface.0 as usize;
        if self.blocked.len() <= nth {
            self.blocked.resize_with(nth + 1, VecDeque::new);
        }
        if let Some(tcb) = self.conns.at_mut(index) {
            tcb.bits.set(Bits::READY);
            self.blocked[nth].push_back(index);
        }
    }

    /// Those that waited longest for room go first, as many as `room` tells for an interface. True when there were any.
    pub(crate) fn unblock(&mut self, room: impl Fn(InterfaceId) -> usize) -> bool {
        let mut any = false;
        for (nth, blocked) in self.blocked.iter_mut().enumerate() {
            if !blocked.is_empty() {
                let n = blocked.len().min(room(InterfaceId(nth as u32)));
                any |= n > 0;
                for index in blocked.drain(..n).rev() {
                    self.ready.push_front(index);
                }
            }
        }
        any
    }

    /// Arms the wheel for the connection's next deadline. A later one than armed is left for when that fires.
    pub(crate) fn arm(&mut self, index: u32) {
        let Some(deadline) = self.conns.at(index).and_then(Tcb::deadline) else {
            return;
        };
        if self.wheel.due(index).is_none_or(|armed| deadline < armed) {
            self.wheel.set(index, deadline);
        }
    }

    /// Adds a connection to slab and tables.
    pub(crate) fn add(&mut self, tcb: Tcb, demux: &mut Demux) -> TcpId {
        let hash = demux.hash(Transport::Tcp, &tcb.tuple);
        let (index, generation) = self.conns.insert(tcb);
        demux.insert_flow(hash, Entry::Connection(index));
        TcpId { index, generation }
    }

    /// Removes a half-open connection.
    pub(crate) fn forget_half_open(&mut self, index: u32, demux: &mut Demux) -> Option<SynReceived> {
        let generation = self.half_open.generation(index)?;
        let record = self.half_open.remove(index, generation)?;
        self.syn_wheel.cancel(index);
        let _ = demux.remove_flow(demux.hash(Transport::Tcp, &record.tuple), Entry::SynReceived(index));
        if let Some(listener) = self.listeners.at_mut(record.listener) {
            listener.half_open = listener.half_open.saturating_sub(1);
        }
        Some(record)
    }

    /// Removes a TIME-WAIT record and gives its port back.
    pub(crate) fn forget_time_wait(&mut self, index: u32, demux: &mut Demux, ports: &mut Ports) -> Option<TimeWait> {
        let generation = self.time_waits.generation(index)?;
        let (record, claim) = self.time_waits.remove(index, generation)?;
        let _ = demux.remove_flow(demux.hash(Transport::Tcp, &record.tuple), Entry::TimeWait(index));
        ports.release(claim);
        Some(record)
    }

    /// After anything happened to a connection: tells the application, leaves the tables when it has ended, and looks after its timer.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        index: u32,
        demux: &mut Demux,
        ports: &mut Ports,
        events: &mut EventQueue,
        settings: &Settings,
    ) {
        let Some(generation) = self.conns.generation(index) else {
            return;
        };
        let Some(tcb) = self.conns.at_mut(index) else { return };
        tcb.account(now);
        self.budget.recharge(tcb, settings);
        if tcb.bits.take(Bits::TELL) && !tcb.bits.has(Bits::ORPHAN) && !tcb.bits.has(Bits::EVENT) {
            tcb.bits.set(Bits::EVENT);
            events.push(SocketId::Tcp(TcpId { index, generation }));
        }
        if !matches!(tcb.state, State::Closed | State::TimeWait) {
            self.arm(index);
            return;
        }
        if tcb.state == State::TimeWait && tcb.owes_ack() {
            // The last acknowledgement leaves first.
            return;
        }
        let orphan = tcb.bits.has(Bits::ORPHAN);
        if !tcb.bits.has(Bits::DETACHED) {
            tcb.bits.set(Bits::DETACHED);
            let claim = std::mem::replace(&mut tcb.claim, crate::port::NO_CLAIM);
            let hash = demux.hash(Transport::Tcp, &tcb.tuple);
            let _ = demux.remove_flow(hash, Entry::Connection(index));
            if tcb.state == State::TimeWait {
                let (stay, limit) = (settings.tcp_time_wait, settings.tcp_max_tw_buckets);
                let record = TimeWait::of(tcb, now, stay.as_millis() as u32);
                if self.time_waits.len() >= limit as usize
                    && let Some((_, oldest, generation)) = self.expiring.pop_front()
                    && self.time_waits.generation(oldest) == Some(generation)
                {
                    let _ = self.forget_time_wait(oldest, demux, ports);
                }
                let (at, generation) = self.time_waits.insert((record, claim));
                demux.insert_flow(hash, Entry::TimeWait(at));
                self.expiring.push_back((now + stay, at, generation));
            } else {
                ports.release(claim);
            }
            self.wheel.cancel(index);
        }
        if orphan && let Some(gone) = self.conns.remove(index, generation) {
            self.budget.discharge(&gone, settings);
            self.orphans = self.orphans.saturating_sub(1);
        }
    }
}
