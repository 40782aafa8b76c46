//! What waits for a datagram socket: datagrams in the order they came, and errors about those it sent.
//!
//! It decides what fits and which ICMP error a socket gets to see. Who gets a datagram is decided before (`demux`, `raw`); a full queue drops
//! the newest and counts it, as the network would have. The rules are those of Linux, udp(7) and ip(7) `IP_RECVERR`; RFC 1122 §4.1.3.3.

use crate::error::SocketError;
use crate::settings::Settings;
use crate::socket::{ErrorReport, Received, Unreachable};
use std::collections::VecDeque;

/// What Linux 6 on x86-64 charges a receive queue for one datagram: a record of 256 bytes, and a buffer for payload, headers and notes that
/// the allocator rounds up. Programs have learnt how many datagrams a queue holds, so ours hold as many.
const RECORD: usize = 256;
/// See [`RECORD`].
const BUFFER: usize = 576;
/// See [`RECORD`].
const NOTES: usize = 370;
/// Reports kept in an error queue; then the oldest ones are worth more than new ones.
const REPORTS: usize = 64;

/// Queues of one socket.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: VecDeque<Received>,
    /// Payload bytes in `queue`, and what they are charged as.
    bytes: usize,
    charged: usize,
    error: Option<SocketError>,
    reports: VecDeque<ErrorReport>,
    drops: u64,
}

impl Inbox {
    /// Queues a datagram. False when it does not fit `limit`, a number of bytes in which each datagram costs more than its payload; an empty
    /// queue takes any datagram.
    pub(crate) fn push(&mut self, received: Received, limit: usize) -> bool {
        let len = received.data.len();
        if !self.queue.is_empty() && self.charged + charge(len) > limit {
            self.drops += 1;
            return false;
        }
        self.bytes += len;
        self.charged += charge(len);
        self.queue.push_back(received);
        true
    }

    /// The oldest datagram.
    pub(crate) fn pop(&mut self) -> Option<Received> {
        let received = self.queue.pop_front()?;
        self.bytes -= received.data.len();
        self.charged -= charge(received.data.len());
        Some(received)
    }

    /// The oldest datagram, which stays.
    pub(crate) fn peek(&self) -> Option<&Received> {
        self.queue.front()
    }

    /// Datagrams and payload bytes waiting.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.bytes)
    }

    /// Datagrams that found the queue full.
    pub(crate) const fn drops(&self) -> u64 {
        self.drops
    }

    /// An ICMP error about a datagram this socket sent. With `recverr` all are reported and kept; else only a connected socket hears, and
    /// only of what will not pass. True when there is something new to see.
    pub(crate) fn on_icmp(
        &mut self,
        kind: Unreachable,
        connected: bool,
        recverr: bool,
        report: impl FnOnce() -> ErrorReport,
    ) -> bool {
        if !(recverr || connected && is_hard(kind)) {
            return false;
        }
        if recverr && self.reports.len() < REPORTS {
            self.reports.push_back(report());
        }
        self.error = Some(socket_error(kind));
        true
    }

    /// True when an error is pending or kept in the error queue.
    pub(crate) fn has_error(&self) -> bool {
        self.error.is_some() || !self.reports.is_empty()
    }

    /// The pending error, which is then no longer pending.
    pub(crate) fn take_error(&mut self) -> Option<SocketError> {
        self.error.take()
    }

    /// The oldest report.
    pub(crate) fn take_report(&mut self) -> Option<ErrorReport> {
        self.reports.pop_front()
    }
}

/// What a queued datagram of `len` payload bytes counts against the limit, so that many empty ones are not free.
fn charge(len: usize) -> usize {
    RECORD + (len + NOTES).next_power_of_two().max(BUFFER)
}

/// The limit that `SO_RCVBUF` (in payload bytes) or else the host's setting gives. Linux doubles what a program asks for, to have room for
/// the overhead, and not its own default.
pub(crate) fn limit(asked: Option<u32>, settings: &Settings) -> usize {
    match asked {
        Some(bytes) => bytes.min(settings.rmem_max) as usize * 2,
        None => settings.rmem_default as usize,
    }
}

/// True for errors that will not pass by waiting. RFC 1122 §4.2.3.9 calls the others soft.
fn is_hard(kind: Unreachable) -> bool {
    match kind {
        Unreachable::Protocol | Unreachable::Port | Unreachable::Prohibited | Unreachable::TooBig(_) => true,
        Unreachable::Network | Unreachable::Host | Unreachable::HopLimit => false,
    }
}

/// What an ICMP error is to a socket.
pub(crate) fn socket_error(kind: Unreachable) -> SocketError {
    match kind {
        Unreachable::Port => SocketError::ConnectionRefused,
        Unreachable::Protocol => SocketError::ProtocolUnreachable,
        Unreachable::Network => SocketError::NetworkUnreachable,
        Unreachable::Host | Unreachable::HopLimit => SocketError::HostUnreachable,
        Unreachable::Prohibited => SocketError::Prohibited,
        Unreachable::TooBig(_) => SocketError::MessageTooLong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::net::{Ipv4Addr, SocketAddr};

    fn datagram(len: usize) -> Received {
        let end = SocketAddr::from(([127, 0, 0, 1], 9));
        Received {
            from: end,
            to: end,
            data: Bytes::from(vec![0; len]),
            tos: 0,
            ttl: 64,
            interface: 0,
        }
    }

    #[test]
    fn a_full_queue_drops_the_newest() {
        let mut inbox = Inbox::default();
        assert!(inbox.push(datagram(5_000), 2_048), "an empty queue takes any datagram");
        assert!(!inbox.push(datagram(0), 2_048));
        assert_eq!((inbox.queued(), inbox.drops()), ((1, 5_000), 1));
        assert_eq!(inbox.pop().map(|received| received.data.len()), Some(5_000));
        for n in 0..8 {
            assert_eq!(
                inbox.push(datagram(n), 2_048),
                n < 2,
                "empty-looking datagrams cost too: {n}"
            );
        }
        assert_eq!(inbox.queued(), (2, 1));
        let lengths: Vec<_> = std::iter::from_fn(|| inbox.pop())
            .map(|received| received.data.len())
            .collect();
        assert_eq!(lengths, [0, 1]);
        assert_eq!((inbox.queued(), inbox.drops()), ((0, 0), 7));
    }

    /// Counted on Linux 6.18: 200 datagrams sent to a socket that asked for 8192 bytes, and 2000 to one that did not ask.
    #[test]
    fn queues_hold_as_many_as_linux_s() {
        let settings = Settings::default();
        for (asked, len, want) in [
            (Some(8_192), 0, 19),
            (Some(8_192), 1, 19),
            (Some(8_192), 100, 19),
            (Some(8_192), 1_024, 7),
            (Some(8_192), 1_472, 7),
            (Some(8_192), 5_000, 1),
            (None, 100, 256),
        ] {
            let mut inbox = Inbox::default();
            let limit = limit(asked, &settings);
            let held = (0..2_000).filter(|_| inbox.push(datagram(len), limit)).count();
            assert_eq!(held, want, "{asked:?} {len}");
        }
    }

    #[test]
    fn who_hears_of_icmp_errors() {
        use SocketError::{ConnectionRefused, HostUnreachable, MessageTooLong};
        for (kind, connected, recverr, want) in [
            (Unreachable::Port, true, false, Some(ConnectionRefused)),
            (Unreachable::Port, false, false, None),
            (Unreachable::Port, false, true, Some(ConnectionRefused)),
            (Unreachable::Host, true, false, None),
            (Unreachable::Host, true, true, Some(HostUnreachable)),
            (Unreachable::HopLimit, true, false, None),
            (Unreachable::HopLimit, false, true, Some(HostUnreachable)),
            (Unreachable::TooBig(1400), true, false, Some(MessageTooLong)),
            (Unreachable::TooBig(1400), false, false, None),
        ] {
            let mut inbox = Inbox::default();
            let report = || ErrorReport {
                error: socket_error(kind),
                to: SocketAddr::from(([127, 0, 0, 1], 9)),
                from: Ipv4Addr::LOCALHOST.into(),
                icmp_type: 3,
                icmp_code: 3,
                info: 0,
                data: Bytes::new(),
            };
            assert_eq!(
                inbox.on_icmp(kind, connected, recverr, report),
                want.is_some(),
                "{kind:?}"
            );
            assert_eq!(inbox.take_report().map(|report| report.error), want.filter(|_| recverr));
            assert_eq!(
                inbox.take_error(),
                want,
                "{kind:?} connected {connected} recverr {recverr}"
            );
            assert_eq!(inbox.take_error(), None);
        }
    }
}
