//! Every knob of a host, called as Linux's sysctls: one table, and no setting lives anywhere else.
//!
//! A line of the table is all that a setting needs: from it follow the field of [`Settings`], its default, and the [`Setting`] by whose name
//! text sets it. What Linux has no name for has one in the same manner, its unit at its end.

mod form;
mod sysctl;

pub use form::{FastOpenKey, Form};
pub use sysctl::{Setting, SysctlError, find};

use crate::time::Duration;
use form::{bytes, count, flag, key, micros, millis, mode, nanos, seconds, word, words};
use sysctl::settings;

/// As much as Linux's signed numbers hold.
const INT_MAX: u64 = i32::MAX as u64;
/// The largest window that can be told. RFC 7323 §2.3.
const WINDOW_MAX: u64 = 1 << 30;

settings! {
    // field: type = default, sysctl, form, where it is from

    /// Hop limit of what the host sends.
    ip_default_ttl: u8 = 64, "net.ipv4.ip_default_ttl", count("hops", 1..=255), "RFC 1122 §3.2.1.7";
    /// Ports chosen for clients that name none, both ends included.
    ip_local_port_range: (u16, u16) = (49_152, 65_535), "net.ipv4.ip_local_port_range", count("ports", 1..=65_535), "RFC 6335 §6";
    /// Accept packets to loopback addresses from links: for hosts whose link is a wire to their own machine.
    route_localnet: bool = false, "net.ipv4.conf.all.route_localnet", flag(), "RFC 1122 §3.2.1.3";
    /// ICMP errors that the host sends at most, and about as many resets for segments that belong to nothing.
    icmp_msgs_per_sec: u32 = 1_000, "net.ipv4.icmp_msgs_per_sec", count("a second", 0..=INT_MAX), "RFC 1812 §4.3.2.8";
    /// Fragments held while their datagrams are incomplete.
    ipfrag_high_thresh: usize = 4 << 20, "net.ipv4.ipfrag_high_thresh", bytes(0..=1 << 40), "Linux";
    /// How long an incomplete datagram is kept.
    ipfrag_time: Duration = Duration::from_secs(30), "net.ipv4.ipfrag_time", seconds(0..=INT_MAX), "RFC 1122 §3.3.2";
    /// Receive queue limit of a datagram socket.
    rmem_default: u32 = 212_992, "net.core.rmem_default", bytes(2_304..=INT_MAX), "Linux";
    /// Largest receive queue limit that a program may ask for.
    rmem_max: u32 = 4 << 20, "net.core.rmem_max", bytes(2_304..=INT_MAX), "Linux";
    /// Send queue limit of a datagram socket.
    wmem_default: u32 = 212_992, "net.core.wmem_default", bytes(4_608..=INT_MAX), "Linux";
    /// Largest send queue limit that a program may ask for.
    wmem_max: u32 = 4 << 20, "net.core.wmem_max", bytes(4_608..=INT_MAX), "Linux";
    /// Largest accept queue that a program may ask for.
    somaxconn: u32 = 4_096, "net.core.somaxconn", count("connections", 0..=INT_MAX), "Linux";
    /// Fast Open, a sum: 1 for clients, 2 for listeners that ask for it, 4 for data without a cookie, 0x200 for listeners to take that, 0x400
    /// for all listeners.
    tcp_fastopen: u32 = 1, "net.ipv4.tcp_fastopen", mode(0..=0x607), "RFC 7413";
    /// Key of the cookies that listeners give: with the same one all hosts behind an address take each other's, Linux's too. Empty is one of chance,
    /// changed from time to time.
    tcp_fastopen_key: Option<FastOpenKey> = None, "net.ipv4.tcp_fastopen_key", key(), "RFC 7413 §4.1.2";
    /// Half-open connections that a listener remembers.
    tcp_max_syn_backlog: u32 = 4_096, "net.ipv4.tcp_max_syn_backlog", count("connections", 0..=INT_MAX), "RFC 4987 §3.1";
    /// SYN cookies: 0 never, 1 when the SYN queue is full or memory is short, 2 always.
    tcp_syncookies: u8 = 1, "net.ipv4.tcp_syncookies", mode(0..=2), "RFC 4987 §3.6";
    /// Repetitions of a SYN before a connect fails; 6 is 127 s, less than the 3 minutes of MUST-23.
    tcp_syn_retries: u8 = 6, "net.ipv4.tcp_syn_retries", count("retransmissions", 1..=127), "Linux; RFC 9293 §3.8.3";
    /// Repetitions of a SYN-ACK before it is forgotten.
    tcp_synack_retries: u8 = 5, "net.ipv4.tcp_synack_retries", count("retransmissions", 0..=255), "Linux";
    /// Retransmissions before the remote is reported as gone: R2.
    tcp_retries2: u8 = 15, "net.ipv4.tcp_retries2", count("retransmissions", 0..=255), "RFC 9293 §3.8.3";
    /// Connections that finish without a socket, at most; beyond it a close resets.
    tcp_max_orphans: u32 = 65_536, "net.ipv4.tcp_max_orphans", count("connections", 1..=INT_MAX), "Linux";
    /// Retransmissions or probes of a closed socket before it is dropped.
    tcp_orphan_retries: u8 = 8, "net.ipv4.tcp_orphan_retries", count("retransmissions", 0..=255), "Linux";
    /// How long an orphan waits in FIN-WAIT-2.
    tcp_fin_timeout: Duration = Duration::from_secs(60), "net.ipv4.tcp_fin_timeout", seconds(0..=INT_MAX), "Linux";
    /// The stay in TIME-WAIT: twice the maximum segment lifetime.
    tcp_time_wait: Duration = Duration::from_secs(60), "net.ipv4.tcp_time_wait_ms", millis(0..=600_000), "RFC 9293 §3.6.1; in Linux a constant";
    /// TIME-WAIT records kept at most.
    tcp_max_tw_buckets: u32 = 262_144, "net.ipv4.tcp_max_tw_buckets", count("connections", 0..=INT_MAX), "Linux";
    /// Idle time before the first keepalive probe.
    tcp_keepalive_time: Duration = Duration::from_secs(7_200), "net.ipv4.tcp_keepalive_time", seconds(1..=INT_MAX), "RFC 9293 §3.8.4 MUST-28";
    /// Time between keepalive probes.
    tcp_keepalive_intvl: Duration = Duration::from_secs(75), "net.ipv4.tcp_keepalive_intvl", seconds(1..=INT_MAX), "Linux";
    /// Unanswered keepalive probes that end a connection.
    tcp_keepalive_probes: u8 = 9, "net.ipv4.tcp_keepalive_probes", count("probes", 1..=127), "Linux";
    /// Receive buffer: smallest, initial, largest. The last decides the window scale.
    tcp_rmem: [u32; 3] = [4_096, 131_072, 6 << 20], "net.ipv4.tcp_rmem", bytes(1..=WINDOW_MAX), "Linux";
    /// Send buffer: smallest, initial, largest.
    tcp_wmem: [u32; 3] = [4_096, 16_384, 4 << 20], "net.ipv4.tcp_wmem", bytes(1..=WINDOW_MAX), "Linux";
    /// Memory of all connections together: above the first buffers stop growing, above the second nothing out of order is kept and new
    /// connections need a SYN cookie, above the third connections are reset.
    tcp_mem: [u32; 3] = [131_072, 196_608, 262_144], "net.ipv4.tcp_mem", count("pages of 4096 bytes", 256..=INT_MAX), "Linux";
    /// Window scale option.
    tcp_window_scaling: bool = true, "net.ipv4.tcp_window_scaling", flag(), "RFC 7323 §2";
    /// Timestamps option.
    tcp_timestamps: bool = true, "net.ipv4.tcp_timestamps", flag(), "RFC 7323 §3";
    /// Selective acknowledgements.
    tcp_sack: bool = true, "net.ipv4.tcp_sack", flag(), "RFC 2018";
    /// Duplicate SACK.
    tcp_dsack: bool = true, "net.ipv4.tcp_dsack", flag(), "RFC 2883";
    /// Explicit congestion notification: 0 never, 1 asked for and accepted, 2 accepted only.
    tcp_ecn: u8 = 2, "net.ipv4.tcp_ecn", mode(0..=2), "RFC 3168 §6.1.1";
    /// A SYN that asked for ECN and was not answered is repeated without asking.
    tcp_ecn_fallback: bool = true, "net.ipv4.tcp_ecn_fallback", flag(), "RFC 3168 §6.1.1.1";
    /// Loss detection, in bits: 1 RACK (without it, RFC 6675 counts), 2 its reordering window stays at a quarter of the shortest round trip, 4 it
    /// waits for the window whatever is SACKed.
    tcp_recovery: u8 = 1, "net.ipv4.tcp_recovery", mode(0..=7), "RFC 8985";
    /// Tail loss probes: 3 or 4 on, else off.
    tcp_early_retrans: u8 = 3, "net.ipv4.tcp_early_retrans", mode(0..=4), "RFC 8985 §7";
    /// Find out timeouts that came too early, without timestamps: 0 off.
    tcp_frto: u8 = 2, "net.ipv4.tcp_frto", mode(0..=2), "RFC 5682";
    /// Segments SACKed, or duplicate acknowledgements, that mean loss while no reordering was seen.
    tcp_reordering: u32 = 3, "net.ipv4.tcp_reordering", count("segments", 1..=INT_MAX), "RFC 5681 §3.2";
    /// What reordering may raise that to.
    tcp_max_reordering: u32 = 300, "net.ipv4.tcp_max_reordering", count("segments", 1..=INT_MAX), "Linux";
    /// How long the shortest round trip is remembered.
    tcp_min_rtt_wlen: Duration = Duration::from_secs(300), "net.ipv4.tcp_min_rtt_wlen", seconds(0..=86_400), "RFC 8985 §6.2";
    /// Probing for the path MTU: 0 never, 1 once a black hole is suspected, 2 always, from `tcp_base_mss` upwards.
    tcp_mtu_probing: u8 = 1, "net.ipv4.tcp_mtu_probing", mode(0..=2), "RFC 4821; in Linux 0";
    /// MSS that is likely to get through anywhere.
    tcp_base_mss: u16 = 1_024, "net.ipv4.tcp_base_mss", bytes(48..=65_000), "RFC 4821 §7.2";
    /// Least MSS that a black hole brings a connection down to.
    tcp_mtu_probe_floor: u16 = 512, "net.ipv4.tcp_mtu_probe_floor", bytes(48..=65_000), "RFC 4821 §7.7; in Linux 48, where any longer outage leads";
    /// The search for the path MTU ends when it would gain fewer bytes.
    tcp_probe_threshold: u16 = 8, "net.ipv4.tcp_probe_threshold", bytes(1..=65_000), "Linux";
    /// After this a longer packet is tried again.
    tcp_probe_interval: Duration = Duration::from_secs(600), "net.ipv4.tcp_probe_interval", seconds(300..=INT_MAX), "RFC 4821 §7.3";
    /// Initial retransmission timeout.
    tcp_initial_rto: Duration = Duration::from_secs(1), "net.ipv4.tcp_initial_rto", millis(1..=120_000), "RFC 6298 §2.1; in Linux a constant";
    /// Smallest retransmission timeout.
    tcp_rto_min: Duration = Duration::from_millis(200), "net.ipv4.tcp_rto_min_us", micros(1..=INT_MAX), "Linux; RFC 6298 §2.4 asks for 1 s";
    /// Largest retransmission timeout.
    tcp_rto_max: Duration = Duration::from_secs(120), "net.ipv4.tcp_rto_max_ms", millis(1_000..=120_000), "RFC 6298 §2.5";
    /// Shortest delay of an acknowledgement that is delayed at all.
    tcp_delack: Duration = Duration::from_millis(40), "net.ipv4.tcp_delack_min_us", micros(0..=499_999), "in Linux a constant";
    /// Longest delay of an acknowledgement.
    tcp_delack_max: Duration = Duration::from_millis(200), "net.ipv4.tcp_delack_max_us", micros(0..=499_999), "RFC 9293 §3.8.6.3 MUST-40; in Linux a socket option";
    /// How long acknowledgements behind a gap, beyond the third, are gathered at most.
    tcp_comp_sack_delay_ns: Duration = Duration::from_millis(1), "net.ipv4.tcp_comp_sack_delay_ns", nanos(0..=499_999_999), "Linux";
    /// Segments gathered so at most: 0 acknowledges each at once.
    tcp_comp_sack_nr: u32 = 44, "net.ipv4.tcp_comp_sack_nr", count("segments", 0..=255), "Linux";
    /// Initial congestion window.
    tcp_init_cwnd: u32 = 10, "net.ipv4.tcp_init_cwnd", count("segments", 1..=1_000), "RFC 6928; in Linux `initcwnd` of a route";
    /// Pacing rate in slow start, of the window a round trip: twice it lets the window double; 0 is no pacing.
    tcp_pacing_ss_ratio: u32 = 200, "net.ipv4.tcp_pacing_ss_ratio", count("percent", 0..=1_000), "Linux";
    /// Pacing rate in congestion avoidance, of the window a round trip; 0 is no pacing.
    tcp_pacing_ca_ratio: u32 = 120, "net.ipv4.tcp_pacing_ca_ratio", count("percent", 0..=1_000), "Linux";
    /// Segments that may always leave as one packet of the stack's own, however slow the path.
    tcp_min_tso_segs: u32 = 2, "net.ipv4.tcp_min_tso_segs", count("segments", 1..=65_535), "Linux";
    /// Congestion control of new connections.
    tcp_congestion_control: CongestionControl = CongestionControl::Cubic, "net.ipv4.tcp_congestion_control", word(CongestionControl::NAMES), "RFC 9438";
    /// The window restarts small after idling for an RTO.
    tcp_slow_start_after_idle: bool = true, "net.ipv4.tcp_slow_start_after_idle", flag(), "RFC 5681 §4.1";
    /// Challenge ACKs of the whole host, at most.
    tcp_challenge_ack_limit: u32 = 1_000, "net.ipv4.tcp_challenge_ack_limit", count("a second", 0..=INT_MAX), "RFC 5961 §7";
    /// Least time between answers to out-of-window segments of one connection.
    tcp_invalid_ratelimit: Duration = Duration::from_millis(500), "net.ipv4.tcp_invalid_ratelimit", millis(0..=INT_MAX), "Linux";
    /// Let a connect take over our own TIME-WAIT when timestamps make it safe: 0 never, 1 always, 2 on loopback.
    tcp_tw_reuse: u8 = 2, "net.ipv4.tcp_tw_reuse", mode(0..=2), "RFC 6191 §3";
}

words! {
    /// A congestion control algorithm by its Linux name.
    CongestionControl {
        /// RFC 5681.
        Reno = "reno",
        /// RFC 9438.
        Cubic = "cubic",
        /// draft-ietf-ccwg-bbr.
        Bbr = "bbr",
    }
}

impl Default for CongestionControl {
    fn default() -> Self {
        Settings::default().tcp_congestion_control
    }
}

#[cfg(test)]
mod tests;
