//! From the ready list to the interfaces, and what falls due on the way.

use super::tcp_input::cx;
use super::{Host, InterfaceId, Loopback};
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::ip::{Header, Path};
use crate::packet::{Csum, Packet};
use crate::tcp::{Bits, Cx, Reply, next_packet, on_deadline};
use crate::time::{Instant, sooner};
use crate::tuple::FourTuple;
use crate::wire::tcp as wire;
use std::collections::VecDeque;

/// Payload that one connection may put on the line before it is another's turn.
const QUANTUM: usize = 128 << 10;
/// Packets queued on an interface beyond which connections wait: the line is the limit, not our queue.
const QUEUE_LIMIT: usize = 64;
/// IP's number for TCP.
const TCP: u8 = 6;

impl Host {
    /// Appends up to `max` packets that leave by `interface` to `out`. Call it until it gives nothing.
    pub fn poll_transmit(&mut self, now: Instant, interface: InterfaceId, out: &mut VecDeque<Packet>, max: usize) {
        let end = out.len() + max;
        while out.len() < end {
            self.flush(now);
            let before = out.len();
            self.ip.poll_transmit(now, interface, out, end - before);
            if out.len() == before {
                return;
            }
            self.udp_unblock();
        }
    }

    /// Moves what connections have to send to the interfaces' queues, and what goes to ourselves back in.
    pub(super) fn flush(&mut self, now: Instant) {
        loop {
            self.send_replies(now);
            let ip = &self.ip;
            let unblocked = self
                .tcp
                .unblock(|interface| QUEUE_LIMIT.saturating_sub(ip.queued(interface)));
            let mut visits = self.tcp.ready.len();
            while visits > 0 {
                visits -= 1;
                let Some(index) = self.tcp.ready.pop_front() else { break };
                if let Some(tcb) = self.tcp.conns.at_mut(index) {
                    tcb.bits.clear(Bits::READY);
                    self.send_from(now, index);
                }
            }
            self.send_replies(now);
            if self.loopback == Loopback::External || self.ip.queued(InterfaceId::LOOPBACK) == 0 {
                if unblocked {
                    continue; // Some may have had nothing to send any more, and left their room to others.
                }
                return;
            }
            let mut batch = VecDeque::new();
            self.ip
                .poll_transmit(now, InterfaceId::LOOPBACK, &mut batch, usize::MAX);
            self.receive(now, InterfaceId::LOOPBACK, &mut batch.into());
        }
    }

    /// One connection's turn.
    fn send_from(&mut self, now: Instant, index: u32) {
        let Some(tcb) = self.tcp.conns.at_mut(index) else {
            return;
        };
        let (tuple, fallback) = (tcb.tuple, tcb.bits.has(Bits::FALLBACK));
        let (ttl, tos) = tcb.marking();
        let Some(path) = self.route(tuple.remote().ip(), Some(tuple.local().ip()), fallback) else {
            self.counters.drop(DropReason::NoRoute);
            if let Some(tcb) = self.tcp.conns.at_mut(index) {
                let seq = tcb.first_outstanding();
                tcb.on_icmp_error(&mut cx!(self, now), seq, SocketError::NetworkUnreachable);
            }
            self.settle_sent(now, index);
            return;
        };
        let mut sent = 0;
        loop {
            let Some(tcb) = self.tcp.conns.at_mut(index) else {
                return;
            };
            tcb.on_path(path.proven, path.ceiling);
            let full = self.ip.queued(path.interface) >= QUEUE_LIMIT;
            if full || sent >= QUANTUM {
                tcb.account(now);
                if full {
                    self.tcp.block(index, path.interface);
                } else {
                    self.tcp.make_ready(index);
                }
                self.tcp.arm(index);
                return;
            }
            let Some(packet) = next_packet(tcb, &mut cx!(self, now)) else {
                break;
            };
            sent += packet.total_len();
            let tos = tos | tcb.codepoint(&packet);
            self.send_segment(now, &path, &tuple, ttl, tos, packet);
        }
        self.settle_sent(now, index);
    }

    fn send_segment(&mut self, now: Instant, path: &Path, tuple: &FourTuple, ttl: Option<u8>, tos: u8, packet: Packet) {
        let header = Header {
            src: tuple.local().ip(),
            dst: tuple.remote().ip(),
            protocol: TCP,
            ttl: ttl.unwrap_or(self.settings.ip_default_ttl),
            tos,
            dont_fragment: true,
        };
        self.ip.output(now, path, &header, packet, &mut self.counters);
    }

    /// Segments that belong to no connection.
    fn send_replies(&mut self, now: Instant) {
        if self.tcp.replies.is_empty() {
            return;
        }
        let mut replies = std::mem::take(&mut self.tcp.replies);
        for Reply {
            tuple,
            header,
            options,
            fallback,
        } in replies.drain(..)
        {
            let Some(path) = self.route(tuple.remote().ip(), Some(tuple.local().ip()), fallback) else {
                self.counters.drop(DropReason::NoRoute);
                continue;
            };
            let mut packet = Packet::default();
            wire::build(&mut packet.head, &header, &options);
            packet.meta.csum = Csum::Partial;
            self.send_segment(now, &path, &tuple, None, 0, packet);
        }
        self.tcp.replies = replies;
    }

    /// When to call [`Host::handle_timeout`] next; `None` while there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut first = self.tcp.wheel.next_deadline();
        first = sooner(first, self.tcp.syn_wheel.next_deadline());
        first = sooner(first, self.tcp.expiring.front().map(|(at, ..)| *at));
        first = sooner(first, self.ip.poll_timeout());
        sooner(first, self.strays.poll_timeout())
    }

    /// Fires every timer due at `now`; call again at [`Host::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.tcp.wheel.pop_due(now) {
            if let Some(tcb) = self.tcp.conns.at_mut(index) {
                on_deadline(tcb, &mut cx!(self, now));
                self.settle_connection(now, index);
            }
        }
        while let Some(index) = self.tcp.syn_wheel.pop_due(now) {
            self.syn_ack_timeout(now, index);
        }
        while let Some(&(at, index, generation)) = self.tcp.expiring.front()
            && at <= now
        {
            let _ = self.tcp.expiring.pop_front();
            let Some((record, _)) = self.tcp.time_waits.get(index, generation) else {
                continue;
            };
            // Restarted in the meantime: back to the end, where it belongs now.
            let left = record.expires.wrapping_sub(now.as_millis() as u32).cast_signed();
            if left > 0 {
                let again = now + std::time::Duration::from_millis(left as u64);
                self.tcp.expiring.push_back((again, index, generation));
            } else {
                self.counters.tw += 1;
                let _ = self.tcp.forget_time_wait(index, &mut self.demux, &mut self.ports);
            }
        }
        self.ip.handle_timeout(now, &mut self.counters);
        self.strays.handle_timeout(now, &mut self.demux);
        self.deliver_ip_errors(now);
    }
}
