//! What an application sees of a host: socket identities, options, readiness, events, and snapshots of a connection.

use crate::error::SocketError;
use crate::settings::CongestionControl;
use crate::time::Duration;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name {
            pub(crate) index: u32,
            pub(crate) generation: u32,
        }

        impl $name {
            /// Which slot of its kind it lies in: a small number, used again once it names nothing. For tables beside the host's.
            pub const fn slot(self) -> usize {
                self.index as usize
            }
        }
    )*};
}

ids! {
    /// A TCP connection. A stale one names nothing: calls with it fail, never reach another connection.
    TcpId
    /// A listening TCP socket.
    ListenerId
    /// A UDP socket.
    UdpId
    /// A socket for raw IP, or for ICMP echo ("ping socket").
    RawId
    /// A SYN that waits for [`crate::Host::answer_syn`].
    SynId
}

/// Any socket, as named by an [`Event`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SocketId {
    /// A TCP connection.
    Tcp(TcpId),
    /// A TCP listener.
    Listener(ListenerId),
    /// A UDP socket.
    Udp(UdpId),
    /// A raw or ICMP echo socket.
    Raw(RawId),
}

/// Something about a socket changed: look at its readiness. Several changes may share one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Which socket.
    pub socket: SocketId,
}

/// A port (and perhaps address) held for one socket: by [`crate::Host::tcp_bind`], until it listens, connects or lets go.
#[derive(Debug)]
#[must_use = "a bound port stays taken until it is used or given to tcp_unbind"]
pub struct Binding {
    pub(crate) local: SocketAddr,
    pub(crate) options: BindOptions,
    /// Which claim of the port table this is.
    pub(crate) claim: u32,
}

impl Binding {
    /// The address held, with the port that was chosen.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

/// How a local address is taken, as with Linux's socket options of these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindOptions {
    /// `SO_REUSEADDR`.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: several sockets share the port; arrivals are spread by a hash of the 4-tuple.
    pub reuse_port: bool,
    /// `IPV6_V6ONLY`: a wildcard IPv6 socket leaves IPv4 alone.
    pub only_v6: bool,
    /// `IP_FREEBIND`: the address need not be ours.
    pub freebind: bool,
    /// `IP_LOCAL_PORT_RANGE`: where port 0 is chosen from, both ends included, else the host's setting.
    pub port_range: Option<(u16, u16)>,
}

/// Options of a TCP socket; a listener's are inherited by what it accepts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TcpOptions {
    /// `TCP_NODELAY`: no Nagle. RFC 9293 §3.7.4.
    pub nodelay: bool,
    /// `TCP_CORK`: only full segments until lifted (at most 200 ms).
    pub cork: bool,
    /// `MSG_MORE` with the last write: what is no full segment waits for the next write or acknowledgement (at most 200 ms).
    pub more: bool,
    /// `TCP_QUICKACK`: acknowledge at once.
    pub quickack: bool,
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// `TCP_KEEPIDLE`, else the host's setting.
    pub keepalive_time: Option<Duration>,
    /// `TCP_KEEPINTVL`.
    pub keepalive_intvl: Option<Duration>,
    /// `TCP_KEEPCNT`.
    pub keepalive_probes: Option<u8>,
    /// `TCP_USER_TIMEOUT`. RFC 5482, RFC 9293 §3.8.3.
    pub user_timeout: Option<Duration>,
    /// Advise the remote of this user timeout, and take its advice for ours unless `user_timeout` is set: RFC 5482's ADV_UTO. Off by default.
    pub advertise_timeout: Option<Duration>,
    /// `TCP_MAXSEG`, in bytes.
    pub max_segment: Option<u16>,
    /// `SO_RCVBUF`, in payload bytes; `None` lets the host tune it.
    pub recv_buffer: Option<u32>,
    /// `SO_SNDBUF`, in payload bytes; `None` lets the host tune it.
    pub send_buffer: Option<u32>,
    /// That buffer counts memory as `SO_SNDBUF` does, not bytes: it is filled by pieces of up to 64 KiB, the last of which may be beyond it.
    pub send_memory: bool,
    /// `TCP_NOTSENT_LOWAT`, in bytes.
    pub notsent_lowat: Option<u32>,
    /// `TCP_FASTOPEN` of a listener: connections made by a SYN with data that may wait for the end of their handshake; 0 is none. RFC 7413.
    pub fast_open: u32,
    /// `TCP_FASTOPEN_CONNECT`: ask for a cookie, and with one let the SYN wait for the first data and carry it. RFC 7413.
    pub fast_open_connect: bool,
    /// `TCP_SYNCNT`.
    pub syn_retries: Option<u8>,
    /// `TCP_LINGER2`; `Some(ZERO)` skips FIN-WAIT-2.
    pub fin_timeout: Option<Duration>,
    /// `TCP_WINDOW_CLAMP`, in bytes.
    pub window_clamp: Option<u32>,
    /// `TCP_CONGESTION`, else the host's setting.
    pub congestion: Option<CongestionControl>,
    /// `SO_MAX_PACING_RATE`, in bytes a second.
    pub max_pacing_rate: Option<u64>,
    /// `IP_TTL` or `IPV6_UNICAST_HOPS`, else the host's setting.
    pub ttl: Option<u8>,
    /// `IP_TOS` or `IPV6_TCLASS`, without the ECN bits.
    pub tos: u8,
    /// How received urgent data is handed over.
    pub urgent: UrgentData,
    /// Ask for ECN when opening and accept it when opened to, or neither; else the host's setting `tcp_ecn`. RFC 3168.
    pub ecn: Option<bool>,
}

/// Options of a UDP or raw socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpOptions {
    /// `SO_BROADCAST`.
    pub broadcast: bool,
    /// `SO_RCVBUF`, in payload bytes, else the host's setting.
    pub recv_buffer: Option<u32>,
    /// `IP_TTL` or `IPV6_UNICAST_HOPS`, else the host's setting.
    pub ttl: Option<u8>,
    /// `IP_TOS` or `IPV6_TCLASS`.
    pub tos: u8,
    /// `IP_MTU_DISCOVER` `IP_PMTUDISC_DO`: never fragment, fail with "message too long".
    pub dont_fragment: bool,
    /// `IP_RECVERR`: ICMP errors also hit unconnected sockets and are kept in the error queue.
    pub recverr: bool,
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// FIN after all queued bytes; RST instead when received bytes were not read. The host finishes on its own. RFC 9293 §3.6.
    Graceful,
    /// Throw everything away and send RST (`SO_LINGER` with 0).
    Reset,
}

/// Which direction to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// `SHUT_RD`: reads end at once; what arrives is thrown away.
    Read,
    /// `SHUT_WR`: FIN after all queued bytes.
    Write,
    /// `SHUT_RDWR`.
    Both,
}

/// What a connection is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// The handshake is complete, or the connection can be used before it is (Fast Open); it stays so until the connection ends.
    pub established: bool,
    /// Bytes that a read would give now.
    pub readable: usize,
    /// The remote sent FIN and all before it was read.
    pub eof: bool,
    /// The remote sent FIN, read or not.
    pub fin_received: bool,
    /// Bytes that a write would take now.
    pub writable: usize,
    /// Bytes sent or queued that are not acknowledged yet.
    pub unacked: usize,
    /// Bytes to write at once, so that the send buffer is filled as Linux fills it.
    pub piece: usize,
    /// A third of the send buffer is free: a fuller one is no invitation to write.
    pub roomy: bool,
    /// The connection can no longer be written to (FIN queued, or gone).
    pub write_closed: bool,
    /// A pending error, not yet taken.
    pub error: Option<SocketError>,
    /// Nothing more will happen in either direction.
    pub closed: bool,
    /// Urgent data is coming or here: so many bytes are to be read before the last urgent one, its mark. RFC 9293 §3.8.5.
    pub urgent: Option<usize>,
    /// The last urgent byte is here and was not taken out of band.
    pub out_of_band: bool,
}

/// How a connection hands over urgent data that it receives. RFC 9293 §3.8.5, RFC 6093 §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrgentData {
    /// As any other, and reads do not stop at the mark.
    #[default]
    Unmarked,
    /// `SO_OOBINLINE`: as any other, but a read stops at the mark.
    InLine,
    /// A read stops at the mark, and the last urgent byte is not in the stream: it is taken by itself.
    Apart,
}

/// What there is to be read out of band (`MSG_OOB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfBand {
    /// No urgent data, or its last byte was taken or passed.
    Nothing,
    /// It was announced and has not come yet.
    Awaited,
    /// The last urgent byte.
    Byte(u8),
}

/// A received datagram.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who sent it.
    pub from: SocketAddr,
    /// To which of our addresses and ports it was sent.
    pub to: SocketAddr,
    /// Payload.
    pub data: Bytes,
    /// Type of service or traffic class, ECN bits included.
    pub tos: u8,
    /// Hop limit as it arrived.
    pub ttl: u8,
    /// Interface it came in on.
    pub interface: u32,
}

/// A datagram to send.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Destination; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// Source address (`IP_PKTINFO`); `None` lets the host choose.
    pub from: Option<IpAddr>,
    /// Payload; with `segment_size` it stands for several datagrams.
    pub data: Bytes,
    /// `UDP_SEGMENT`: split into datagrams of this many bytes.
    pub segment_size: Option<u16>,
    /// Type of service for this one, else the socket's.
    pub tos: Option<u8>,
    /// Hop limit for this one, else the socket's.
    pub ttl: Option<u8>,
}

/// One entry of a datagram socket's error queue (`MSG_ERRQUEUE`).
#[derive(Clone, Debug)]
pub struct ErrorReport {
    /// What happened.
    pub error: SocketError,
    /// Where the datagram went.
    pub to: SocketAddr,
    /// Who reported it.
    pub from: IpAddr,
    /// ICMP type and code as they came.
    pub icmp_type: u8,
    /// See `icmp_type`.
    pub icmp_code: u8,
    /// Path MTU of a "too big" message, else 0.
    pub info: u32,
    /// The start of the payload that was quoted.
    pub data: Bytes,
}

/// Something that arrived for an address or port nobody holds, on a host made with `any_address`. See [`crate::Host::poll_stray`].
#[derive(Clone, Debug)]
pub enum Stray {
    /// Someone wants to connect: decide with [`crate::Host::answer_syn`]. Until then the SYN is held and its retransmissions are absorbed.
    Syn {
        /// For the answer.
        id: SynId,
        /// Where to.
        local: SocketAddr,
        /// Who.
        remote: SocketAddr,
    },
    /// A datagram. Answer with [`crate::Host::send_datagram`] or [`crate::Host::refuse`].
    Datagram {
        /// Where to.
        local: SocketAddr,
        /// Who.
        remote: SocketAddr,
        /// Payload.
        data: Bytes,
        /// Hop limit as it arrived.
        ttl: u8,
        /// Type of service as it arrived.
        tos: u8,
    },
    /// An ICMP echo request. Answer with [`crate::Host::send_echo_reply`] or [`crate::Host::refuse`].
    Echo {
        /// The exchange.
        echo: Echo,
        /// Hop limit as it arrived.
        ttl: u8,
    },
}

/// One ICMP echo exchange.
#[derive(Clone, Debug)]
pub struct Echo {
    /// The address that was pinged.
    pub local: IpAddr,
    /// Who pings.
    pub remote: IpAddr,
    /// Identifier.
    pub ident: u16,
    /// Sequence number.
    pub sequence: u16,
    /// Payload.
    pub data: Bytes,
}

/// What a stray was about, to refuse it: enough to quote it in an ICMP error.
#[derive(Clone, Copy, Debug)]
pub enum Refused {
    /// A UDP datagram from `remote` to `local` with this many payload bytes.
    Datagram {
        /// Where it was sent to.
        local: SocketAddr,
        /// Who sent it.
        remote: SocketAddr,
        /// Payload bytes.
        len: usize,
    },
    /// An echo request.
    Echo {
        /// Where it was sent to.
        local: IpAddr,
        /// Who sent it.
        remote: IpAddr,
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
    },
}

/// Why something is unreachable, as ICMP (RFC 792) and ICMPv6 (RFC 4443) say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// No route to the network.
    Network,
    /// The host does not answer.
    Host,
    /// The protocol is not spoken there.
    Protocol,
    /// Nobody holds the port.
    Port,
    /// Forbidden by policy.
    Prohibited,
    /// Too long for the path: its MTU in bytes.
    TooBig(u32),
    /// The hop limit ran out.
    HopLimit,
}

/// The decision on a [`Stray::Syn`].
#[derive(Clone, Debug)]
pub enum SynAnswer {
    /// Answer with SYN-ACK and make a connection.
    Accept(TcpOptions),
    /// Answer with RST.
    Refuse,
    /// Answer with an ICMP error.
    Unreachable(Unreachable),
    /// Do not answer, nor any retransmission of it for a while.
    Ignore,
}

/// A connection's state, by the RFC's names. RFC 9293 §3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "RFC 9293 §3.3.2 defines them")]
pub enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// What keeps a sender from sending more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limited {
    /// The application has written nothing more.
    #[default]
    Application,
    /// The remote's receive window is full.
    ReceiveWindow,
    /// The congestion window is full.
    CongestionWindow,
    /// Pacing holds the next burst.
    Pacing,
    /// The link takes no more.
    Link,
    /// The send buffer is full of bytes that are all on their way: the application would write more.
    SendBuffer,
}

impl Limited {
    /// All reasons, in the order of [`TcpInfo::limited`].
    pub const ALL: [Self; 6] = [
        Self::Application,
        Self::ReceiveWindow,
        Self::CongestionWindow,
        Self::Pacing,
        Self::Link,
        Self::SendBuffer,
    ];

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::ReceiveWindow => "receive window",
            Self::CongestionWindow => "congestion window",
            Self::Pacing => "pacing",
            Self::Link => "link",
            Self::SendBuffer => "send buffer",
        }
    }
}

/// A snapshot of a connection, with Linux's names, meanings and units (TCP_INFO), and our `limited` beside them.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "tcp(7) and linux/tcp.h document them")]
pub struct TcpInfo {
    pub state: u8,
    pub ca_state: u8,
    pub retransmits: u8,
    pub probes: u8,
    pub backoff: u8,
    pub options: u8,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
    pub delivery_rate_app_limited: bool,
    pub rto: u32,
    pub ato: u32,
    pub snd_mss: u32,
    pub rcv_mss: u32,
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retrans: u32,
    pub last_data_sent: u32,
    pub last_data_recv: u32,
    pub last_ack_recv: u32,
    pub pmtu: u32,
    pub rcv_ssthresh: u32,
    pub rtt: u32,
    pub rttvar: u32,
    pub snd_ssthresh: u32,
    pub snd_cwnd: u32,
    pub advmss: u32,
    pub reordering: u32,
    pub rcv_rtt: u32,
    pub rcv_space: u32,
    pub total_retrans: u32,
    pub pacing_rate: u64,
    pub max_pacing_rate: u64,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub segs_out: u32,
    pub segs_in: u32,
    pub notsent_bytes: u32,
    pub min_rtt: u32,
    pub data_segs_in: u32,
    pub data_segs_out: u32,
    pub delivery_rate: u64,
    pub busy_time: u64,
    pub rwnd_limited: u64,
    pub sndbuf_limited: u64,
    pub delivered: u32,
    pub delivered_ce: u32,
    pub bytes_sent: u64,
    pub bytes_retrans: u64,
    pub dsack_dups: u32,
    pub reord_seen: u32,
    pub rcv_ooopack: u32,
    pub snd_wnd: u32,
    pub rcv_wnd: u32,
    pub rehash: u32,
    pub total_rto: u16,
    pub total_rto_recoveries: u16,
    pub total_rto_time: u32,
    /// How long each of [`Limited::ALL`] held the sender back, from the moment the connection was established to that at which it closed.
    pub limited: [Duration; Limited::ALL.len()],
}
