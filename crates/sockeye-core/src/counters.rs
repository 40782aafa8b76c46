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

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal;)+) => {
        /// Counters of one host.
        #[derive(Clone, Debug, Default)]
        pub struct Counters {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\n`", $name, "`.")]
                pub $field: u64,
            )+
            /// Packets received by their ECN field: not-ECT, ECT(1), ECT(0), CE.
            pub in_ecn_pkts: [u64; 4],
            drops: [u64; DropReason::ALL.len()],
        }

        impl Counters {
            /// Those with a field of their own, by the name that Linux's `nstat` has for them.
            fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field),)+].into_iter()
            }
        }
    };
}

// Names as nstat(8) prints them: MIB's with the protocol in front (RFC 4293, 4022, 4113), Linux's own with `TcpExt`. What Linux has no name for
// begins with `Sockeye`.
counters! {
    /// Packets received, all links.
    in_receives = "IpInReceives";
    /// Packets handed to a protocol.
    in_delivers = "IpInDelivers";
    /// Packets that left IP.
    out_requests = "IpOutRequests";
    /// Datagrams put together again.
    reasm_oks = "IpReasmOKs";
    /// Fragments made.
    frag_creates = "IpFragCreates";
    /// ICMP messages received.
    icmp_in_msgs = "IcmpInMsgs";
    /// ICMP messages sent.
    icmp_out_msgs = "IcmpOutMsgs";
    /// Datagrams delivered to sockets.
    udp_in_datagrams = "UdpInDatagrams";
    /// Datagrams sent.
    udp_out_datagrams = "UdpOutDatagrams";
    /// Datagrams for ports nobody holds.
    udp_no_ports = "UdpNoPorts";
    /// Connections opened by us.
    tcp_active_opens = "TcpActiveOpens";
    /// Connections opened to us.
    tcp_passive_opens = "TcpPassiveOpens";
    /// Connection attempts that failed.
    tcp_attempt_fails = "TcpAttemptFails";
    /// Connections reset while established.
    tcp_estab_resets = "TcpEstabResets";
    /// Segments received.
    tcp_in_segs = "TcpInSegs";
    /// Segments sent, retransmissions included, as Linux has it.
    tcp_out_segs = "TcpOutSegs";
    /// Segments retransmitted.
    tcp_retrans_segs = "TcpRetransSegs";
    /// RST segments sent.
    tcp_out_rsts = "TcpOutRsts";
    /// Connections on which both sides agreed to use ECN.
    tcp_ecn_setup = "SockeyeTcpEcnSetup";
    /// SYN cookies sent.
    syncookies_sent = "TcpExtSyncookiesSent";
    /// SYN cookies that came back good.
    syncookies_recv = "TcpExtSyncookiesRecv";
    /// Connections that found the accept queue full.
    listen_overflows = "TcpExtListenOverflows";
    /// TIME-WAIT records that lived to their end.
    tw = "TcpExtTW";
    /// TIME-WAIT records that gave way to a new connection.
    tw_recycled = "TcpExtTWRecycled";
    /// Acknowledgements that left because their delay was over.
    delayed_acks = "TcpExtDelayedACKs";
    /// Segments received that only acknowledge.
    tcp_pure_acks = "TcpExtTCPPureAcks";
    /// Recoveries begun by SACK.
    tcp_sack_recovery = "TcpExtTCPSackRecovery";
    /// Recoveries begun by duplicate acknowledgements.
    tcp_reno_recovery = "TcpExtTCPRenoRecovery";
    /// Recoveries found to be needless and undone.
    tcp_full_undo = "TcpExtTCPFullUndo";
    /// Timeouts found to be needless and undone.
    tcp_loss_undo = "TcpExtTCPLossUndo";
    /// Acknowledgements that showed reordering.
    tcp_sack_reorder = "TcpExtTCPSACKReorder";
    /// Segments repeated in fast recovery.
    tcp_fast_retrans = "TcpExtTCPFastRetrans";
    /// Segments repeated after a timeout.
    tcp_slow_start_retrans = "TcpExtTCPSlowStartRetrans";
    /// Segments whose repetition was lost, too.
    tcp_lost_retransmit = "TcpExtTCPLostRetransmit";
    /// Retransmission timeouts, of SYNs too.
    tcp_timeouts = "TcpExtTCPTimeouts";
    /// SYNs and SYN-ACKs repeated.
    tcp_syn_retrans = "TcpExtTCPSynRetrans";
    /// Data segments sent for the first time.
    tcp_orig_data_sent = "TcpExtTCPOrigDataSent";
    /// Segments that arrived at the remote, and those of them whose acknowledgement told of marks.
    tcp_delivered = "TcpExtTCPDelivered";
    /// Segments whose acknowledgement told of marks.
    tcp_delivered_ce = "TcpExtTCPDeliveredCE";
    /// Tail loss probes sent.
    tcp_loss_probes = "TcpExtTCPLossProbes";
    /// Window probes sent.
    tcp_win_probe = "TcpExtTCPWinProbe";
    /// Keepalive probes sent.
    tcp_keep_alive = "TcpExtTCPKeepAlive";
    /// Acknowledgements that reported a duplicate.
    tcp_dsack_recv = "TcpExtTCPDSACKRecv";
    /// Duplicates of what had been received in order, to be reported.
    tcp_dsack_old_sent = "TcpExtTCPDSACKOldSent";
    /// Segments that arrived out of order and were kept.
    tcp_ofo_queue = "TcpExtTCPOFOQueue";
    /// Segments that arrived out of order and were not kept for want of memory.
    tcp_ofo_drop = "TcpExtTCPOFODrop";
    /// Data segments dropped because our window was closed.
    tcp_zero_window_drop = "TcpExtTCPZeroWindowDrop";
    /// Times our window closed.
    tcp_to_zero_window_adv = "TcpExtTCPToZeroWindowAdv";
    /// Times our window opened again.
    tcp_from_zero_window_adv = "TcpExtTCPFromZeroWindowAdv";
    /// Segments sent to find out whether the path carries them, that arrived.
    tcp_mtup_success = "TcpExtTCPMTUPSuccess";
    /// The same, that were lost.
    tcp_mtup_fail = "TcpExtTCPMTUPFail";
    /// Times that segments became shorter because full ones did not arrive. RFC 4821 §7.7.
    tcp_mtup_black_holes = "SockeyeTcpMtupBlackHoles";
    /// Challenge ACKs sent.
    tcp_challenge_acks = "TcpExtTCPChallengeACK";
    /// SYNs on synchronized connections.
    tcp_syn_challenge = "TcpExtTCPSYNChallenge";
    /// Connections reset because data was left unread at close.
    tcp_abort_on_close = "TcpExtTCPAbortOnClose";
    /// Connections reset because data came that nobody would read, or because the application asked for a reset.
    tcp_abort_on_data = "TcpExtTCPAbortOnData";
    /// Connections given up because the remote was silent.
    tcp_abort_on_timeout = "TcpExtTCPAbortOnTimeout";
    /// Connections reset for want of memory.
    tcp_abort_on_memory = "TcpExtTCPAbortOnMemory";
    /// SYNs whose data was acknowledged.
    tcp_fast_open_active = "TcpExtTCPFastOpenActive";
    /// Fast Open attempts of ours that failed.
    tcp_fast_open_active_fail = "TcpExtTCPFastOpenActiveFail";
    /// Connections made by a SYN with data.
    tcp_fast_open_passive = "TcpExtTCPFastOpenPassive";
    /// SYNs with data that were taken without it, because too many were pending.
    tcp_fast_open_listen_overflow = "TcpExtTCPFastOpenListenOverflow";
    /// SYNs that asked for a cookie or brought a bad one.
    tcp_fast_open_cookie_reqd = "TcpExtTCPFastOpenCookieReqd";
}

impl Counters {
    /// All counters that have a name in Linux's `nstat`, and ours, as it prints them.
    ///
    /// ```
    /// let host = sockeye_core::Host::builder().build();
    /// assert!(host.counters().iter().any(|line| line == ("TcpActiveOpens", 0)));
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ecn = [
            "IpExtInNoECTPkts",
            "IpExtInECT1Pkts",
            "IpExtInECT0Pkts",
            "IpExtInCEPkts",
        ];
        let dropped = [
            ("TcpExtListenDrops", DropReason::ListenQueueFull),
            ("TcpExtPAWSEstab", DropReason::Paws),
            ("UdpRcvbufErrors", DropReason::ReceiveQueueFull),
            ("IpReasmFails", DropReason::ReassemblyTimeout),
            ("IpOutNoRoutes", DropReason::NoRoute),
            ("IpInUnknownProtos", DropReason::UnknownProtocol),
        ];
        let dropped = dropped.map(|(name, reason)| (name, self.drops(reason)));
        self.fields()
            .chain(ecn.into_iter().zip(self.in_ecn_pkts))
            .chain(dropped)
    }

    /// Counts one dropped packet.
    pub fn drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// Packets dropped for `reason`.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}
