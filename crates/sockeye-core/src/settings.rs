//! Every knob of a host, called as Linux's sysctls. No setting lives anywhere else.

use crate::time::Duration;

/// A host's settings. Durations carry their unit in the type; sizes are bytes unless said otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Hop limit of what we send, 1..=255. RFC 1122 §3.2.1.7.
    pub ip_default_ttl: u8,
    /// Ports chosen for clients that name none, both ends included: the dynamic range of RFC 6335 §6.
    pub ip_local_port_range: (u16, u16),
    /// Accept packets to loopback addresses from links: off, as RFC 1122 §3.2.1.3 wants, but for hosts whose link is a wire to their own machine.
    pub route_localnet: bool,
    /// ICMP errors a second that this host sends at most (RFC 1812 §4.3.2.8), and about as many resets for segments that belong to nothing.
    pub icmp_ratelimit: u32,
    /// Bytes of fragments held while their datagrams are incomplete.
    pub ipfrag_high_thresh: usize,
    /// How long an incomplete datagram is kept. RFC 1122 §3.3.2 allows up to 120 s.
    pub ipfrag_time: Duration,
    /// Receive queue limit of a datagram socket.
    pub rmem_default: u32,
    /// Largest receive queue limit a program may ask for.
    pub rmem_max: u32,
    /// Send queue limit of a datagram socket.
    pub wmem_default: u32,
    /// Largest send queue limit a program may ask for.
    pub wmem_max: u32,
    /// Largest accept queue a program may ask for, in connections.
    pub somaxconn: u32,
    /// Fast Open (RFC 7413), a sum: 1 for clients, 2 for listeners that ask for it, 4 for data without a cookie, 0x200 for listeners to take that,
    /// 0x400 for all listeners.
    pub tcp_fastopen: u32,
    /// Half-open connections a listener remembers, in connections.
    pub tcp_max_syn_backlog: u32,
    /// Answer with SYN cookies when the SYN queue is full. RFC 4987.
    pub tcp_syncookies: bool,
    /// SYN retransmissions before giving up: 6 is 127 s. RFC 9293 §3.8.3 MUST-23 wants R2 for SYN to be at least 3 minutes; Linux's default.
    pub tcp_syn_retries: u8,
    /// SYN-ACK retransmissions before giving up.
    pub tcp_synack_retries: u8,
    /// Retransmissions before the remote is reported as gone: R2 of RFC 9293 §3.8.3.
    pub tcp_retries2: u8,
    /// Retransmissions or probes of a closed socket before it is dropped.
    pub tcp_orphan_retries: u8,
    /// How long an orphan waits in FIN-WAIT-2.
    pub tcp_fin_timeout: Duration,
    /// Twice the maximum segment lifetime: the stay in TIME-WAIT. RFC 9293 §3.6.1.
    pub tcp_time_wait: Duration,
    /// TIME-WAIT records kept at most.
    pub tcp_max_tw_buckets: u32,
    /// Idle time before the first keepalive probe. RFC 9293 §3.8.4 MUST-28: at least 2 hours by default.
    pub tcp_keepalive_time: Duration,
    /// Time between keepalive probes.
    pub tcp_keepalive_intvl: Duration,
    /// Unanswered keepalive probes that end a connection.
    pub tcp_keepalive_probes: u8,
    /// Receive buffer: smallest, initial, largest. The last decides the window scale.
    pub tcp_rmem: [u32; 3],
    /// Send buffer: smallest, initial, largest.
    pub tcp_wmem: [u32; 3],
    /// Memory of all connections together, in pages of 4096 bytes: above the first buffers stop growing, above the second nothing out of order is
    /// kept and new connections need a SYN cookie, above the third connections are reset.
    pub tcp_mem: [u32; 3],
    /// Window scale option. RFC 7323 §2.
    pub tcp_window_scaling: bool,
    /// Timestamps option. RFC 7323 §3.
    pub tcp_timestamps: bool,
    /// Selective acknowledgements. RFC 2018.
    pub tcp_sack: bool,
    /// Duplicate SACK. RFC 2883.
    pub tcp_dsack: bool,
    /// Explicit congestion notification: 0 never, 1 asked for and accepted, 2 accepted only. RFC 3168 §6.1.1.
    pub tcp_ecn: u8,
    /// A SYN that asked for ECN and was not answered is repeated without asking. RFC 3168 §6.1.1.1.
    pub tcp_ecn_fallback: bool,
    /// Loss detection, in bits: 1 RACK (without it, RFC 6675 counts), 2 its reordering window stays at a quarter of the shortest round trip, 4 it
    /// waits for the window whatever is SACKed. RFC 8985.
    pub tcp_recovery: u8,
    /// Tail loss probes: 3 or 4 on, else off. RFC 8985 §7.
    pub tcp_early_retrans: u8,
    /// Find out timeouts that came too early, without timestamps: 0 off. RFC 5682.
    pub tcp_frto: u8,
    /// Segments SACKed, or duplicate acknowledgements, that mean loss while no reordering was seen. RFC 5681 §3.2.
    pub tcp_reordering: u32,
    /// What reordering may raise that to.
    pub tcp_max_reordering: u32,
    /// How long the shortest round trip is remembered. RFC 8985 §6.2 step 1.
    pub tcp_min_rtt_wlen: Duration,
    /// Initial retransmission timeout. RFC 6298 §2.1.
    pub tcp_initial_rto: Duration,
    /// Smallest retransmission timeout. RFC 6298 §2.4 asks for 1 s; Linux's 200 ms.
    pub tcp_rto_min: Duration,
    /// Largest retransmission timeout. RFC 6298 §2.5: at least 60 s.
    pub tcp_rto_max: Duration,
    /// Longest delay of an acknowledgement. RFC 9293 §3.8.6.3 MUST-40: below 0.5 s.
    pub tcp_delack: Duration,
    /// Initial congestion window, in segments. RFC 6928.
    pub tcp_init_cwnd: u32,
    /// Congestion control of new connections.
    pub tcp_congestion_control: CongestionControl,
    /// Let the window restart small after idling for an RTO. RFC 5681 §4.1.
    pub tcp_slow_start_after_idle: bool,
    /// Challenge ACKs a second for the whole host, at most. RFC 5961 §7.
    pub tcp_challenge_ack_limit: u32,
    /// Least time between answers to out-of-window segments of one connection.
    pub tcp_invalid_ratelimit: Duration,
    /// Allow a new connection over a TIME-WAIT record when timestamps make it safe. RFC 6191.
    pub tcp_tw_reuse: bool,
}

/// A congestion control algorithm by its Linux name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// `reno`: RFC 5681.
    Reno,
    /// `cubic`: RFC 9438.
    #[default]
    Cubic,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ip_default_ttl: 64,
            ip_local_port_range: (49_152, 65_535),
            route_localnet: false,
            icmp_ratelimit: 1_000,
            ipfrag_high_thresh: 4 << 20,
            ipfrag_time: Duration::from_secs(30),
            rmem_default: 212_992,
            rmem_max: 4 << 20,
            wmem_default: 212_992,
            wmem_max: 4 << 20,
            somaxconn: 4_096,
            tcp_fastopen: 1,
            tcp_max_syn_backlog: 4_096,
            tcp_syncookies: true,
            tcp_syn_retries: 6,
            tcp_synack_retries: 5,
            tcp_retries2: 15,
            tcp_orphan_retries: 8,
            tcp_fin_timeout: Duration::from_secs(60),
            tcp_time_wait: Duration::from_secs(60),
            tcp_max_tw_buckets: 262_144,
            tcp_keepalive_time: Duration::from_secs(7_200),
            tcp_keepalive_intvl: Duration::from_secs(75),
            tcp_keepalive_probes: 9,
            tcp_rmem: [4_096, 131_072, 6 << 20],
            tcp_wmem: [4_096, 16_384, 4 << 20],
            tcp_mem: [131_072, 196_608, 262_144],
            tcp_window_scaling: true,
            tcp_timestamps: true,
            tcp_sack: true,
            tcp_dsack: true,
            tcp_ecn: 2,
            tcp_ecn_fallback: true,
            tcp_recovery: 1,
            tcp_early_retrans: 3,
            tcp_frto: 2,
            tcp_reordering: 3,
            tcp_max_reordering: 300,
            tcp_min_rtt_wlen: Duration::from_secs(300),
            tcp_initial_rto: Duration::from_secs(1),
            tcp_rto_min: Duration::from_millis(200),
            tcp_rto_max: Duration::from_secs(120),
            tcp_delack: Duration::from_millis(40),
            tcp_init_cwnd: 10,
            tcp_congestion_control: CongestionControl::default(),
            tcp_slow_start_after_idle: true,
            tcp_challenge_ack_limit: 1_000,
            tcp_invalid_ratelimit: Duration::from_millis(500),
            tcp_tw_reuse: true,
        }
    }
}
