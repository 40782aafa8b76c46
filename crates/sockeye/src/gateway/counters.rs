//! What the gateway did, in numbers: totals, one record a flow, and what the link's owner tells it about the link.

use serde::Serialize;
use sockeye_core::netem::NetemCounters;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Totals of one gateway. Packets are counted by its host ([`super::Gateway::host`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GatewayCounters {
    /// Connections the program opened to the outside that were established.
    pub tcp_opened: u64,
    /// Connections refused or reset outside before they were established.
    pub tcp_refused: u64,
    /// Connections to unreachable or forbidden destinations.
    pub tcp_unreachable: u64,
    /// Connections nobody answered.
    pub tcp_timed_out: u64,
    /// Connections refused because of [`super::Limits::tcp`] or for want of descriptors.
    pub tcp_limit: u64,
    /// Connections from the machine to published ports.
    pub tcp_published: u64,
    /// Connections to the built-in services.
    pub services: u64,
    /// Datagrams relayed out.
    pub udp_out: u64,
    /// Datagrams relayed in.
    pub udp_in: u64,
    /// ICMP errors of the machine's network passed on.
    pub udp_errors: u64,
    /// Datagrams not relayed: multicast, broadcast, no buffer.
    pub udp_dropped: u64,
    /// UDP sockets replaced because of [`super::Limits::udp`].
    pub udp_limit: u64,
    /// Echo requests relayed or answered.
    pub echo_requests: u64,
    /// Echo replies relayed or given.
    pub echo_replies: u64,
    /// Name queries received.
    pub dns_queries: u64,
    /// Name queries answered from the gateway's own knowledge.
    pub dns_local: u64,
    /// Name queries that no server answered.
    pub dns_failed: u64,
    /// Requests to the built-in web server.
    pub http_requests: u64,
}

/// Which transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Who spoke first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The program.
    Out,
    /// Somebody on the machine's network, to a published port.
    In,
}

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowState {
    /// Not answered yet.
    Opening,
    /// Data may flow.
    Open,
    /// Ended by both sides, or idle for long.
    Closed,
    /// Ended by a reset.
    Reset,
    /// Refused.
    Refused,
    /// Unreachable or forbidden.
    Unreachable,
    /// Nobody answered.
    TimedOut,
}

/// One conversation through the gateway, or with its built-in services.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flow {
    /// Which transport.
    pub protocol: Protocol,
    /// Who spoke first.
    pub direction: Direction,
    /// The program's end.
    pub inside: SocketAddr,
    /// The other end, as the program names it.
    pub outside: SocketAddr,
    /// The name that the program asked for to get `outside`, when it did.
    pub name: Option<String>,
    /// Where it stands.
    pub state: FlowState,
    /// Payload bytes from the program.
    pub sent: u64,
    /// Payload bytes to the program.
    pub received: u64,
    /// Start, in microseconds since the gateway's epoch.
    pub opened: u64,
    /// Microseconds that the outside took to answer.
    pub connect_time: Option<u64>,
    /// Smoothed round trip over the link, in microseconds, as the gateway's end measures it.
    pub rtt: Option<u32>,
    /// The shortest round trip over the link, in microseconds.
    pub min_rtt: Option<u32>,
    /// Segments that the gateway's end sent again.
    pub retransmissions: u32,
}

/// What the link did in one direction, as told by its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkCounters {
    /// Packets offered.
    pub packets: u64,
    /// Bytes offered.
    pub bytes: u64,
    /// Packets lost on purpose.
    pub lost: u64,
    /// Packets delayed.
    pub delayed: u64,
    /// Packets that overtook others.
    pub reordered: u64,
    /// Packets sent twice.
    pub duplicated: u64,
    /// Packets with flipped bits.
    pub corrupted: u64,
    /// Packets dropped by a full queue.
    pub overflowed: u64,
    /// Packets marked by the queue (ECN).
    pub marked: u64,
    /// Packets dropped by CoDel.
    pub codel_dropped: u64,
}

impl From<&NetemCounters> for LinkCounters {
    fn from(pipe: &NetemCounters) -> Self {
        Self {
            packets: pipe.packets,
            bytes: pipe.bytes,
            lost: pipe.lost + pipe.outage_lost,
            delayed: pipe.delayed,
            reordered: pipe.reordered,
            duplicated: pipe.duplicated,
            corrupted: pipe.corrupted,
            overflowed: pipe.queue_dropped,
            marked: pipe.marked,
            codel_dropped: pipe.codel_dropped,
        }
    }
}

/// What the link did in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkReport {
    /// From the program.
    pub up: LinkCounters,
    /// To the program.
    pub down: LinkCounters,
}

/// Flows that ended, the latest ones.
#[derive(Debug, Default)]
pub(super) struct History {
    ended: VecDeque<Flow>,
}

impl History {
    /// As many ended flows are remembered; older ones live on in the totals only.
    const KEEP: usize = 1_024;

    pub(super) fn push(&mut self, flow: Flow) {
        if self.ended.len() == Self::KEEP {
            self.ended.pop_front();
        }
        self.ended.push_back(flow);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.ended.iter()
    }
}
