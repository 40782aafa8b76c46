//! Fast Open (RFC 7413) where a host takes part in it: which SYN is taken with its data, what is remembered of servers.

use super::Host;
use super::tcp_input::cx;
use crate::error::ConnectError;
use crate::socket::{Binding, TcpId, TcpOptions};
use crate::tcp::{Cx, Segment, SynReceived, Tcb, answer, fast_open_enable as enable, pending_limit};
use crate::time::Instant;
use crate::tuple::FourTuple;
use crate::wire::tcp::FastOpen;
use bytes::Bytes;
use std::net::SocketAddr;

/// What to make of a SYN for a listener.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// As if Fast Open did not exist.
    Ordinary,
    /// The same, and the SYN-ACK gives a cookie.
    Cookie(FastOpen),
    /// A connection at once, with the SYN's data.
    Accept,
}

impl Host {
    /// As [`Host::tcp_connect`], with data that leaves in the SYN when a cookie of the remote's is known (RFC 7413), as `MSG_FASTOPEN` does. What
    /// the SYN and the send buffer took is gone from `data`; all of it is left when there is no cookie yet, and is to be written when the connection
    /// is established.
    ///
    /// # Errors
    /// As [`Host::tcp_connect`].
    pub fn tcp_connect_with(
        &mut self,
        now: Instant,
        binding: Option<Binding>,
        remote: SocketAddr,
        mut options: TcpOptions,
        data: &mut Bytes,
    ) -> Result<TcpId, (Option<Binding>, ConnectError)> {
        options.fast_open_connect = true;
        let id = self.tcp_connect(now, binding, remote, options)?;
        if self.tcp.conn(id).is_some_and(Tcb::is_deferred) {
            let _ = self.tcp_write(now, id, data);
            // With nothing to carry the SYN leaves alone.
            if let Some(tcb) = self.tcp.conn_mut(id) {
                tcb.end_deferral();
            }
            self.settle_connection(now, id.index);
        }
        Ok(id)
    }

    /// True while the connection's SYN waits for the first data (`TCP_FASTOPEN_CONNECT` with a cookie at hand).
    pub fn tcp_is_deferred(&self, id: TcpId) -> bool {
        self.tcp.conn(id).is_some_and(Tcb::is_deferred)
    }

    /// Lets the SYN leave without data, should it still wait for some.
    pub fn tcp_end_deferral(&mut self, now: Instant, id: TcpId) {
        if let Some(tcb) = self.tcp.conn_mut(id) {
            tcb.end_deferral();
            self.settle_connection(now, id.index);
        }
    }

    /// A connection about to open, if that may be fast.
    pub(super) fn open_fast(&mut self, now: Instant, tcb: &mut Tcb) {
        if self.settings.tcp_fastopen & enable::CLIENT != 0 && !self.tcp.fast_open.is_refused(&tcb.tuple, now) {
            let known = self.tcp.fast_open.known(&tcb.tuple);
            tcb.open_fast(known, &mut cx!(self, now));
        }
    }

    /// RFC 7413 §4.2.2, the server's steps 1 to 3.
    pub(super) fn fast_open_verdict(
        &mut self,
        now: Instant,
        listener: u32,
        tuple: &FourTuple,
        segment: &Segment,
    ) -> Verdict {
        let without_cookie = self.settings.tcp_fastopen & enable::SERVER_NO_COOKIE != 0 && segment.has_payload();
        let offered = segment.fast_open();
        if offered.is_none() && !without_cookie {
            return Verdict::Ordinary;
        }
        let Some(listener) = self.tcp.listeners.at_mut(listener) else {
            return Verdict::Ordinary;
        };
        let limit = pending_limit(listener.options.fast_open, listener.backlog, &self.settings);
        if limit == 0 {
            return Verdict::Ordinary;
        }
        let key = self.settings.tcp_fastopen_key;
        let good = without_cookie || offered.is_some_and(|it| self.tcp.keys.is_fast_open_cookie(tuple, key, &it, now));
        if !good {
            self.counters.tcp_fast_open_cookie_reqd += 1;
            let experimental = offered.is_some_and(|it| it.experimental);
            let cookie = self.tcp.keys.fast_open_cookie(tuple, key, now);
            return cookie.map_or(Verdict::Ordinary, |mut cookie| {
                cookie.experimental = experimental;
                Verdict::Cookie(cookie)
            });
        }
        if !segment.has_payload() {
            return Verdict::Ordinary;
        }
        if !listener.fast_open.has_room(now, limit) {
            self.counters.tcp_fast_open_listen_overflow += 1;
            return Verdict::Ordinary;
        }
        Verdict::Accept
    }

    /// Steps 4 to 6: a connection in SYN-RECEIVED that can be accepted, read and written.
    pub(super) fn accept_with_data(
        &mut self,
        now: Instant,
        listener: u32,
        record: &SynReceived,
        mut options: TcpOptions,
        segment: Segment,
    ) {
        options.fast_open = 0;
        let (tuple, fallback) = (record.tuple, record.leaves_by_fallback());
        let path_mtu = self.path_mtu(&tuple, fallback);
        let mut tcb = answer(
            tuple,
            record.initial_sequence(),
            options,
            path_mtu,
            &self.tcp.keys,
            &record.facts(),
            &mut cx!(self, now),
        );
        let Some(held) = self.tcp.listeners.at_mut(listener) else {
            return;
        };
        held.fast_open.begin();
        tcb.count_by(listener);
        tcb.claim = self.ports.claim_child(held.claim, tuple.local().ip());
        tcb.mark_fallback(fallback);
        tcb.take_early_data(&mut cx!(self, now), segment);
        let id = self.tcp.add(tcb, &mut self.demux);
        if let Some(held) = self.tcp.listeners.at_mut(listener) {
            held.queue.push_back(id);
        }
        self.tell_listener(listener);
        self.settle_connection(now, id.index);
    }

    /// What a connection's attempt taught, and whether it is pending no longer.
    pub(super) fn note_fast_open(&mut self, now: Instant, index: u32) {
        let Some(tcb) = self.tcp.conns.at_mut(index).filter(|tcb| tcb.has_fast_open_news()) else {
            return;
        };
        if let Some(news) = tcb.fast_open_news() {
            if tcb.sent_data_in_syn() {
                self.counters.tcp_fast_open_active += 1;
            }
            if news == crate::tcp::FastOpenNews::Failed {
                self.counters.tcp_fast_open_active_fail += 1;
            }
            self.tcp.fast_open.note(&tcb.tuple, news, now);
        }
        if tcb.ends_pending_fast_open() {
            let (listener, established) = (tcb.counted_by(), tcb.state != crate::socket::State::Closed);
            if let Some(listener) = listener.and_then(|index| self.tcp.listeners.at_mut(index)) {
                listener.fast_open.end(now, established);
            }
        }
    }
}
