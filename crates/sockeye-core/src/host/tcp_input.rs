//! A TCP segment finds its connection, its listener, or nobody. RFC 9293 §3.10.7.

use super::Host;
use super::fast_open::Verdict;
use crate::counters::DropReason;
use crate::demux::Entry;
use crate::error::SocketError;
use crate::ip::{Datagram, IcmpError};
use crate::packet::{Csum, Gso};
use crate::port::NO_CLAIM;
use crate::socket::{ListenerId, SocketId, TcpId, TcpOptions, Unreachable};
use crate::tcp::{
    Cx, HalfOpen, Pressure, Reply, Segment, SeqNumber, Straggler, SynFacts, SynReceived, accepts_ecn, redeem,
    refuse_segment, segment_arrives, stamp,
};
use crate::time::{Duration, Instant};
use crate::tuple::{FourTuple, Transport};
use crate::wire::tcp::FastOpen;
use crate::wire::{checksum, tcp as wire};
use bytes::Bytes;
use std::net::SocketAddr;

/// What the segment functions may use, taken apart from the host.
macro_rules! cx {
    ($host:ident, $now:expr) => {
        Cx {
            now: $now,
            settings: &$host.settings,
            counters: &mut $host.counters,
            limits: &mut $host.tcp.limits,
            pressure: $host.tcp.budget.pressure(),
            replies: &mut $host.tcp.replies,
        }
    };
}
pub(super) use cx;

impl Host {
    /// A TCP segment for one of our addresses.
    pub(super) fn tcp_input(&mut self, now: Instant, mut datagram: Datagram) -> Result<(), DropReason> {
        self.counters.tcp_in_segs += datagram.packet.wire_packets() as u64;
        let l4 = usize::from(datagram.packet.meta.l4);
        let head = datagram.packet.head.as_slice().get(l4..).ok_or(DropReason::Truncated)?;
        let (header, options, header_len) = wire::parse(head)?;
        if datagram.packet.meta.csum == Csum::Full {
            let parts = std::iter::once(head).chain(datagram.packet.body.iter().map(AsRef::as_ref));
            let bytes = head.len() + datagram.packet.meta.len as usize;
            if checksum::transport(datagram.src, datagram.dst, 6, parts, bytes) != 0 {
                return Err(DropReason::BadChecksum);
            }
        }
        if head.len() > header_len {
            // Payload that came along with the headers.
            let extra = Bytes::copy_from_slice(&head[header_len..]);
            datagram.packet.meta.len += extra.len() as u32;
            datagram.packet.body.insert(0, extra);
        }
        let tuple = FourTuple::new(
            SocketAddr::new(datagram.dst, header.destination),
            SocketAddr::new(datagram.src, header.source),
        );
        let len = datagram.packet.meta.len;
        let unit = match datagram.packet.meta.gso {
            Gso::Tcp { mss } => u32::from(mss),
            _ => len,
        };
        let pins = datagram.packet.meta.pins.max(datagram.packet.total_len() as u32);
        let body = std::mem::take(&mut datagram.packet.body);
        let segment = Segment::new(&header, options, len, unit, body)
            .marked(datagram.tos)
            .pinning(pins);
        let hash = self.demux.hash(Transport::Tcp, &tuple);
        let tcp = &self.tcp;
        let strays = &self.strays;
        let found = self.demux.find_flow(hash, |entry| match entry {
            Entry::HeldSyn(index) => strays.is_about(index, &tuple),
            entry => tcp.is_about(entry, &tuple),
        });
        let fallback = self.is_fallback(&datagram);
        match found {
            Some(Entry::Connection(index)) => self.segment_for_connection(now, index, segment),
            Some(Entry::SynReceived(index)) => self.segment_for_half_open(now, index, segment),
            Some(Entry::TimeWait(index)) => self.segment_for_time_wait(now, index, tuple, hash, segment, fallback),
            Some(Entry::HeldSyn(index)) => self.segment_for_held_syn(index, &segment),
            _ => self.segment_for_port(now, tuple, hash, segment, fallback, None),
        }
    }

    /// A loopback address that came over the fallback interface is answered there.
    fn is_fallback(&self, datagram: &Datagram) -> bool {
        self.fallback == Some(datagram.interface) && (datagram.src.is_loopback() || datagram.dst.is_loopback())
    }

    fn segment_for_connection(&mut self, now: Instant, index: u32, segment: Segment) -> Result<(), DropReason> {
        let Some(tcb) = self.tcp.conns.at_mut(index) else {
            return Err(DropReason::NoSocket);
        };
        let told = segment_arrives(tcb, &mut cx!(self, now), segment);
        self.settle_connection(now, index);
        told
    }

    /// A repeated SYN is absorbed while its first awaits the owner's decision; anything else does not fit.
    fn segment_for_held_syn(&mut self, index: u32, segment: &Segment) -> Result<(), DropReason> {
        if segment.is_reset() {
            self.strays.forget_syn(index, &mut self.demux);
        }
        Err(DropReason::BadState)
    }

    fn segment_for_half_open(&mut self, now: Instant, index: u32, segment: Segment) -> Result<(), DropReason> {
        let Some(mut record) = self.tcp.half_open.at(index).copied() else {
            return Err(DropReason::NoSocket);
        };
        let Some(listener) = self.tcp.listeners.at(record.listener) else {
            let _ = self.tcp.forget_half_open(index, &mut self.demux);
            return Err(DropReason::NoSocket);
        };
        let (options, full) = (listener.options.clone(), listener.is_full());
        let window = options.recv_buffer.unwrap_or(self.settings.tcp_rmem[1]).min(65_535);
        let what = record.segment_arrives(&segment, window, &mut cx!(self, now));
        if let Some(kept) = self.tcp.half_open.at_mut(index) {
            *kept = record;
        }
        match what? {
            HalfOpen::Repeat => {
                self.send_syn_ack(now, &record, &options, None);
                Ok(())
            }
            HalfOpen::Forget => {
                let _ = self.tcp.forget_half_open(index, &mut self.demux);
                Ok(())
            }
            HalfOpen::Complete if full => {
                self.counters.listen_overflows += 1;
                self.turn_away(index);
                Err(DropReason::ListenQueueFull)
            }
            HalfOpen::Complete => {
                let _ = self.tcp.forget_half_open(index, &mut self.demux);
                self.complete(now, &record, options, segment)
            }
        }
    }

    /// The remote believes itself connected and may never speak again, but there is no room for it: it is remembered.
    fn turn_away(&mut self, index: u32) {
        if let Some(record) = self.tcp.half_open.at_mut(index)
            && record.turn_away()
            && let Some(listener) = self.tcp.listeners.at_mut(record.listener)
        {
            listener.turned_away.push_back(index);
        }
    }

    /// There may be room in the accept queue of `listener`: those that were turned away come in, the longest waiting first.
    pub(super) fn let_in(&mut self, now: Instant, listener: u32) {
        while let Some(held) = self.tcp.listeners.at_mut(listener)
            && !held.is_full()
            && let Some(index) = held.turned_away.pop_front()
        {
            let options = held.options.clone();
            // A record that came and went in the meantime is not meant, nor one of another listener in its place.
            if let Some(record) = self.tcp.half_open.at(index).copied()
                && record.listener == listener
                && let Some(answer) = record.answer_turned_away()
            {
                let _ = self.tcp.forget_half_open(index, &mut self.demux);
                let _ = self.complete(now, &record, options, answer);
            }
        }
    }

    /// Makes a connection out of a half-open one, and hands it to its listener.
    fn complete(
        &mut self,
        now: Instant,
        record: &SynReceived,
        mut options: TcpOptions,
        segment: Segment,
    ) -> Result<(), DropReason> {
        options.fast_open = 0;
        let path_mtu = self.path_mtu(&record.tuple, record.leaves_by_fallback());
        let mut tcb = record.connection(options, path_mtu, &self.tcp.keys, &mut cx!(self, now));
        let claim = self
            .tcp
            .listeners
            .at(record.listener)
            .map_or(NO_CLAIM, |listener| listener.claim);
        tcb.claim = self.ports.claim_child(claim, record.tuple.local().ip());
        tcb.mark_fallback(record.leaves_by_fallback());
        let told = segment_arrives(&mut tcb, &mut cx!(self, now), segment);
        let id = self.tcp.add(tcb, &mut self.demux);
        if let Some(listener) = self.tcp.listeners.at_mut(record.listener) {
            listener.queue.push_back(id);
            self.tell_listener(record.listener);
        }
        self.settle_connection(now, id.index);
        told
    }

    pub(super) fn tell_listener(&mut self, index: u32) {
        let Some(generation) = self.tcp.listeners.generation(index) else {
            return;
        };
        if let Some(listener) = self.tcp.listeners.at_mut(index)
            && !listener.event
        {
            listener.event = true;
            self.events.push(SocketId::Listener(ListenerId { index, generation }));
        }
    }

    fn segment_for_time_wait(
        &mut self,
        now: Instant,
        index: u32,
        tuple: FourTuple,
        hash: u64,
        segment: Segment,
        fallback: bool,
    ) -> Result<(), DropReason> {
        let Some((record, _)) = self.tcp.time_waits.at_mut(index) else {
            return Err(DropReason::NoSocket);
        };
        match record.segment_arrives(&segment, &mut cx!(self, now))? {
            Straggler::Ignore => Ok(()),
            Straggler::Restart => {
                let stay = self.settings.tcp_time_wait;
                record.expires = ((now + stay).as_millis()) as u32;
                Ok(())
            }
            Straggler::Reopen(beyond) => {
                if self.demux.find_bind(Transport::Tcp, tuple.local(), hash).is_none() {
                    return Err(DropReason::NoSocket);
                }
                self.counters.tw_recycled += 1;
                let _ = self.tcp.forget_time_wait(index, &mut self.demux, &mut self.ports);
                self.segment_for_port(now, tuple, hash, segment, fallback, Some(beyond))
            }
        }
    }

    /// Nobody knows the conversation: is somebody listening? RFC 9293 §3.10.7.1 and §3.10.7.2.
    fn segment_for_port(
        &mut self,
        now: Instant,
        tuple: FourTuple,
        hash: u64,
        segment: Segment,
        fallback: bool,
        beyond: Option<SeqNumber>,
    ) -> Result<(), DropReason> {
        let Some(Entry::Listener(index)) = self.demux.find_bind(Transport::Tcp, tuple.local(), hash) else {
            return self.segment_for_nobody(now, tuple, hash, &segment, fallback);
        };
        let Some(listener) = self.tcp.listeners.at(index) else {
            return Err(DropReason::NoSocket);
        };
        let (options, full) = (listener.options.clone(), listener.is_full());
        let crowded = listener.syn_queue_full(&self.settings) || self.tcp.budget.pressure() >= Pressure::Hard;
        if segment.is_reset() {
            return Err(DropReason::BadState);
        }
        if segment.has_ack() {
            // It may bring a cookie back; else it is for a connection that never was. RFC 9293 §3.10.7.2 second step.
            if self.settings.tcp_syncookies > 0
                && self.counters.syncookies_sent > 0
                && !segment.is_syn()
                && let Some(record) = redeem(&self.tcp.keys, tuple, &segment, index, now)
            {
                if full {
                    // Nothing remembers it but itself: it comes again, with the cookie.
                    self.counters.listen_overflows += 1;
                    return Err(DropReason::ListenQueueFull);
                }
                self.counters.syncookies_recv += 1;
                return self.complete(now, &record, options, segment);
            }
            return self.refuse_rationed(now, tuple, &segment, fallback);
        }
        if !segment.is_syn() {
            return Err(DropReason::BadState);
        }
        if full {
            self.counters.listen_overflows += 1;
            return Err(DropReason::ListenQueueFull);
        }
        let iss = self.tcp.keys.initial_sequence(&tuple, now);
        let iss = beyond.map_or(iss, |beyond| iss.max(beyond));
        let mut facts = SynFacts::of(&segment);
        facts.ecn &= accepts_ecn(&options, &self.settings);
        let record = SynReceived::new(tuple, iss, index, &facts, fallback, now, &self.settings);
        if crowded || self.settings.tcp_syncookies == 2 {
            if self.settings.tcp_syncookies == 0 {
                return Err(DropReason::ListenQueueFull);
            }
            self.counters.syncookies_sent += 1;
            let record = record.with_cookie(&self.tcp.keys, now);
            let mut reply = self.syn_ack(now, &record, &options);
            stamp(&mut reply, &record.facts());
            self.tcp.replies.push(reply);
            return Ok(());
        }
        let cookie = match self.fast_open_verdict(now, index, &tuple, &segment) {
            Verdict::Ordinary => None,
            Verdict::Cookie(cookie) => Some(cookie),
            Verdict::Accept => {
                self.accept_with_data(now, index, &record, options, segment);
                return Ok(());
            }
        };
        self.send_syn_ack(now, &record, &options, cookie);
        let (at, _) = self.tcp.half_open.insert(record);
        self.demux.insert_flow(hash, Entry::SynReceived(at));
        self.tcp.syn_wheel.set(at, now + self.settings.tcp_initial_rto);
        if let Some(listener) = self.tcp.listeners.at_mut(index) {
            listener.half_open += 1;
        }
        Ok(())
    }

    fn segment_for_nobody(
        &mut self,
        now: Instant,
        tuple: FourTuple,
        hash: u64,
        segment: &Segment,
        fallback: bool,
    ) -> Result<(), DropReason> {
        if segment.is_reset() {
            return Err(DropReason::NoSocket);
        }
        if self.any_address && segment.is_syn() && !segment.has_ack() {
            if self.tcp.budget.pressure() >= Pressure::Hard {
                // No cookie can stand for a decision that is still to come; the SYN comes again.
                return Err(DropReason::NoBuffer);
            }
            return self
                .strays
                .hold_syn(now, tuple, hash, &SynFacts::of(segment), &mut self.demux);
        }
        self.refuse_rationed(now, tuple, segment, fallback)
    }

    /// RST for a segment that belongs to nothing: rationed towards others, never towards ourselves.
    fn refuse_rationed(
        &mut self,
        now: Instant,
        tuple: FourTuple,
        segment: &Segment,
        fallback: bool,
    ) -> Result<(), DropReason> {
        let ours = self.ip.is_local(tuple.remote().ip()) || tuple.remote().ip().is_loopback();
        if !ours && !self.tcp.limits.allow_reset(now, &self.settings) {
            return Err(DropReason::RateLimited);
        }
        refuse_segment(tuple, segment, fallback, &mut cx!(self, now));
        Err(DropReason::NoSocket)
    }

    fn send_syn_ack(&mut self, now: Instant, record: &SynReceived, options: &TcpOptions, cookie: Option<FastOpen>) {
        let mut reply = self.syn_ack(now, record, options);
        reply.options.fast_open = cookie;
        self.tcp.replies.push(reply);
    }

    fn syn_ack(&self, now: Instant, record: &SynReceived, options: &TcpOptions) -> Reply {
        let mtu = self.path_mtu(&record.tuple, record.leaves_by_fallback());
        let headers = if record.tuple.is_v4() { 40 } else { 60 };
        let mss = mtu
            .saturating_sub(headers)
            .min(u32::from(options.max_segment.unwrap_or(u16::MAX))) as u16;
        record.syn_ack(now, &self.tcp.keys, options, mss, &self.settings)
    }

    /// The SYN-ACK of a half-open connection was not answered.
    pub(super) fn syn_ack_timeout(&mut self, now: Instant, index: u32) {
        let Some(record) = self.tcp.half_open.at_mut(index) else {
            return;
        };
        if record.retries >= self.settings.tcp_synack_retries {
            self.counters.tcp_attempt_fails += 1;
            let _ = self.tcp.forget_half_open(index, &mut self.demux);
            return;
        }
        record.retries += 1;
        let record = *record;
        let wait = self
            .settings
            .tcp_initial_rto
            .saturating_mul(1 << record.retries.min(16))
            .min(Duration::from_secs(120));
        self.tcp.syn_wheel.set(index, now + wait);
        if let Some(options) = self
            .tcp
            .listeners
            .at(record.listener)
            .map(|listener| listener.options.clone())
        {
            self.counters.tcp_retrans_segs += 1;
            self.counters.tcp_syn_retrans += 1;
            self.send_syn_ack(now, &record, &options, None);
        }
    }

    /// An ICMP error about a segment of ours.
    pub(super) fn tcp_icmp_error(&mut self, now: Instant, error: &IcmpError) -> Result<(), DropReason> {
        let quoted = error.quoted.first_chunk::<8>().ok_or(DropReason::StrayIcmp)?;
        let port = |at: usize| u16::from_be_bytes([quoted[at], quoted[at + 1]]);
        let seq = u32::from_be_bytes([quoted[4], quoted[5], quoted[6], quoted[7]]);
        let tuple = FourTuple::new(
            SocketAddr::new(error.local, port(0)),
            SocketAddr::new(error.remote, port(2)),
        );
        let hash = self.demux.hash(Transport::Tcp, &tuple);
        let tcp = &self.tcp;
        let Some(Entry::Connection(index)) = self.demux.find_flow(hash, |entry| tcp.is_about(entry, &tuple)) else {
            return Err(DropReason::StrayIcmp);
        };
        let tcb = self.tcp.conns.at_mut(index).ok_or(DropReason::StrayIcmp)?;
        let what = match error.kind {
            Unreachable::TooBig(mtu) => {
                // RFC 5927 §7.2: only about what is in flight.
                if !tcb.quotes_flight(seq) {
                    return Err(DropReason::StrayIcmp);
                }
                // Remembered for all that goes there, within the floors.
                self.ip.lower_path_mtu(now, error.remote, mtu);
                if let Some(mtu) = self.ip.path_mtu(error.remote) {
                    tcb.on_path_mtu(mtu);
                }
                self.settle_connection(now, index);
                return Ok(());
            }
            Unreachable::Port => SocketError::ConnectionRefused,
            Unreachable::Protocol => SocketError::ProtocolUnreachable,
            Unreachable::Network => SocketError::NetworkUnreachable,
            Unreachable::Prohibited => SocketError::Prohibited,
            Unreachable::Host | Unreachable::HopLimit => SocketError::HostUnreachable,
        };
        tcb.on_icmp_error(&mut cx!(self, now), seq, what);
        self.settle_connection(now, index);
        Ok(())
    }

    /// See [`super::tcp_table::TcpTable::settle`].
    pub(super) fn settle_connection(&mut self, now: Instant, index: u32) {
        self.note_fast_open(now, index);
        if let Some(tcb) = self.tcp.conns.at_mut(index)
            && let Some((mtu, ceiling)) = tcb.take_path_news()
        {
            let tuple = tcb.tuple;
            let lifetime = self.settings.tcp_probe_interval;
            self.ip.path_found(now, tuple.remote().ip(), mtu, ceiling, lifetime);
        }
        self.settle_sent(now, index);
        self.tcp.make_ready(index);
    }

    /// The same after output, when it has nothing more to send.
    pub(super) fn settle_sent(&mut self, now: Instant, index: u32) {
        self.tcp.settle(
            now,
            index,
            &mut self.demux,
            &mut self.ports,
            &mut self.events,
            &self.settings,
        );
    }

    /// A connection for a SYN that was held, in SYN-RECEIVED and owing its SYN-ACK.
    pub(super) fn accept_held_syn(
        &mut self,
        now: Instant,
        tuple: FourTuple,
        facts: &SynFacts,
        options: TcpOptions,
    ) -> TcpId {
        let fallback = self.is_fallback_conversation(&tuple);
        let path_mtu = self.path_mtu(&tuple, fallback);
        let iss = self.tcp.keys.initial_sequence(&tuple, now);
        let mut tcb = crate::tcp::answer(
            tuple,
            iss,
            options,
            path_mtu,
            &self.tcp.keys,
            facts,
            &mut cx!(self, now),
        );
        tcb.claim = NO_CLAIM;
        tcb.mark_fallback(fallback);
        let id = self.tcp.add(tcb, &mut self.demux);
        self.settle_connection(now, id.index);
        id
    }

    /// RST for a SYN that was held.
    pub(super) fn refuse_held_syn(&mut self, now: Instant, tuple: FourTuple, facts: &SynFacts) {
        let fallback = self.is_fallback_conversation(&tuple);
        refuse_segment(tuple, &facts.as_segment(), fallback, &mut cx!(self, now));
    }

    /// A held SYN came over a link: where loopback addresses are concerned, that was the fallback interface.
    fn is_fallback_conversation(&self, tuple: &FourTuple) -> bool {
        self.fallback.is_some() && (tuple.local().ip().is_loopback() || tuple.remote().ip().is_loopback())
    }
}
