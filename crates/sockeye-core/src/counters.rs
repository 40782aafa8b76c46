//! What happened, counted: MIB names for events, a [`DropReason`] for every packet that went no further.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a packet went no further. Each drop is counted under exactly one of these.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// All reasons, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason's name, as shown in counters and logs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

drop_reasons! {
    /// Shorter than its headers say.
    Truncated,
    /// A header field that no rule allows (version, header length, option length).
    Malformed,
    /// A checksum that does not match.
    BadChecksum,
    /// Not for one of our addresses.
    NotForUs,
    /// An address that may not appear there: loopback on a link, multicast as a source.
    Martian,
    /// A protocol nobody here speaks; the sender was told.
    UnknownProtocol,
    /// No socket takes it; the sender was told.
    NoSocket,
    /// The socket's receive queue is full.
    ReceiveQueueFull,
    /// A listener's queue is full.
    ListenQueueFull,
    /// A fragment beyond the memory for fragments.
    FragmentMemory,
    /// A fragment that overlaps another, is too small, or makes the datagram too long. RFC 5722.
    BadFragment,
    /// Other fragments of it did not come in time.
    ReassemblyTimeout,
    /// No route to the destination.
    NoRoute,
    /// The neighbour did not answer, or too many packets wait for it.
    NoNeighbor,
    /// The interface's output queue is full.
    OutputQueueFull,
    /// Longer than the link carries, and not to be fragmented.
    TooBig,
    /// An ICMP error about a packet we did not send.
    StrayIcmp,
    /// A TCP segment outside the receive window. RFC 9293 §3.10.7.4.
    OutOfWindow,
    /// A TCP segment with an old timestamp. RFC 7323 §5.
    Paws,
    /// A TCP segment that is not acceptable in the connection's state.
    BadState,
    /// A TCP segment that acknowledges what was never sent or is too old. RFC 5961 §5.
    BadAck,
    /// A TCP data segment for which there is no receive buffer left.
    NoBuffer,
    /// A blind attack turned away, or an answer withheld by a rate limit. RFC 5961.
    RateLimited,
    /// A limit on memory or records was reached.
    Limit,
}

/// Counters of one host.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Packets received, all links. IP-MIB ipInReceives.
    pub in_receives: u64,
    /// Packets handed to a protocol. IP-MIB ipInDelivers.
    pub in_delivers: u64,
    /// The same by their ECN field: not-ECT, ECT(1), ECT(0), CE. Linux IpExtInNoECTPkts, InECT1Pkts, InECT0Pkts, InCEPkts.
    pub in_ecn_pkts: [u64; 4],
    /// Packets that left IP. IP-MIB ipOutRequests.
    pub out_requests: u64,
    /// Datagrams put together again. IP-MIB ipReasmOKs.
    pub reasm_oks: u64,
    /// Fragments made. IP-MIB ipFragCreates.
    pub frag_creates: u64,
    /// ICMP messages received. ICMP-MIB icmpInMsgs.
    pub icmp_in_msgs: u64,
    /// ICMP messages sent. ICMP-MIB icmpOutMsgs.
    pub icmp_out_msgs: u64,
    /// Datagrams delivered to sockets. UDP-MIB udpInDatagrams.
    pub udp_in_datagrams: u64,
    /// Datagrams sent. UDP-MIB udpOutDatagrams.
    pub udp_out_datagrams: u64,
    /// Datagrams for ports nobody holds. UDP-MIB udpNoPorts.
    pub udp_no_ports: u64,
    /// Connections opened by us. TCP-MIB tcpActiveOpens.
    pub tcp_active_opens: u64,
    /// Connections opened to us. TCP-MIB tcpPassiveOpens.
    pub tcp_passive_opens: u64,
    /// Connection attempts that failed. TCP-MIB tcpAttemptFails.
    pub tcp_attempt_fails: u64,
    /// Connections reset while established. TCP-MIB tcpEstabResets.
    pub tcp_estab_resets: u64,
    /// Connections on which both sides agreed to use ECN.
    pub tcp_ecn_setup: u64,
    /// Segments received. TCP-MIB tcpInSegs.
    pub tcp_in_segs: u64,
    /// Segments sent, retransmissions excluded. TCP-MIB tcpOutSegs.
    pub tcp_out_segs: u64,
    /// Segments retransmitted. TCP-MIB tcpRetransSegs.
    pub tcp_retrans_segs: u64,
    /// RST segments sent. TCP-MIB tcpOutRsts.
    pub tcp_out_rsts: u64,
    /// Retransmission timeouts. Linux TcpExtTCPTimeouts.
    pub tcp_timeouts: u64,
    /// Fast recoveries entered. Linux TcpExtTCPSackRecovery and TCPRenoRecovery together.
    pub tcp_recoveries: u64,
    /// Tail loss probes sent. Linux TcpExtTCPLossProbes.
    pub tcp_loss_probes: u64,
    /// Recoveries found to be needless and undone. Linux TcpExtTCPFullUndo.
    pub tcp_undos: u64,
    /// Challenge ACKs sent. Linux TcpExtTCPChallengeACK.
    pub tcp_challenge_acks: u64,
    /// Segments that arrived out of order and were kept. Linux TcpExtTCPOFOQueue.
    pub tcp_ofo_queue: u64,
    /// SYN cookies sent. Linux TcpExtSyncookiesSent.
    pub syncookies_sent: u64,
    /// SYN cookies that came back good. Linux TcpExtSyncookiesRecv.
    pub syncookies_recv: u64,
    /// Connections reset for want of memory. Linux TcpExtTCPAbortOnMemory.
    pub tcp_abort_on_memory: u64,
    /// SYNs whose data was acknowledged. Linux TcpExtTCPFastOpenActive.
    pub tcp_fast_open_active: u64,
    /// Fast Open attempts of ours that failed. Linux TcpExtTCPFastOpenActiveFail.
    pub tcp_fast_open_active_fail: u64,
    /// Connections made by a SYN with data. Linux TcpExtTCPFastOpenPassive.
    pub tcp_fast_open_passive: u64,
    /// SYNs with data that were taken without it, because too many were pending. Linux TcpExtTCPFastOpenListenOverflow.
    pub tcp_fast_open_listen_overflow: u64,
    /// SYNs that asked for a cookie or brought a bad one. Linux TcpExtTCPFastOpenCookieReqd.
    pub tcp_fast_open_cookie_reqd: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Counts one dropped packet.
    pub fn drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// Packets dropped for `reason`.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}
