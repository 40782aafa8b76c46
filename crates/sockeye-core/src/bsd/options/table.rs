//! Every socket option there is here: its shape, its default, and which sockets have it. The values are Linux's.

use crate::bsd::abi::{self, IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET};
use crate::error::Errno;

/// `SOL_UDP`.
const UDP: i32 = abi::IPPROTO_UDP;
/// `SOL_RAW`.
const RAW: i32 = abi::SOL_RAW;

/// What a value looks like, and which values are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 0 or 1; whatever is not 0 becomes 1.
    Flag,
    /// A number from the first to the second, both included.
    Number(i32, i32),
    /// A number of the range, or -1 for the default.
    OrDefault(i32, i32),
    /// A buffer size: doubled, and at least this.
    Buffer(i32),
    /// `struct timeval`.
    Time,
    /// `struct linger`.
    Linger,
    /// So many bytes, kept as they are.
    Bytes(usize),
    /// Can be read only.
    ReadOnly,
    /// Setting it fails with this errno; reading gives the default.
    Refused(Errno),
}

/// Which sockets have an option.
pub const STREAM: u8 = 1;
/// Which sockets have an option.
pub const DATAGRAM: u8 = 2;
const ANY: u8 = STREAM | DATAGRAM;

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// `SOL_SOCKET`, `IPPROTO_TCP` and so on.
    pub level: i32,
    /// Its number within the level.
    pub name: i32,
    /// What a value looks like.
    pub shape: Shape,
    /// The value while none was set.
    pub default: i32,
    /// Which sockets have it: [`STREAM`], [`DATAGRAM`] or both.
    pub who: u8,
}

const fn spec(level: i32, name: i32, shape: Shape, default: i32, who: u8) -> Spec {
    Spec {
        level,
        name,
        shape,
        default,
        who,
    }
}

use Shape::{Buffer, Bytes, Flag, Linger, Number, OrDefault, ReadOnly, Refused, Time};

const MAX: i32 = i32::MAX;

/// All options.
pub const SPECS: &[Spec] = &[
    spec(SOL_SOCKET, abi::SO_DEBUG, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_REUSEADDR, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_TYPE, ReadOnly, 0, ANY),
    spec(SOL_SOCKET, abi::SO_ERROR, ReadOnly, 0, ANY),
    spec(SOL_SOCKET, abi::SO_DONTROUTE, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_BROADCAST, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_SNDBUF, Buffer(4_608), 212_992, DATAGRAM),
    spec(SOL_SOCKET, abi::SO_RCVBUF, Buffer(2_304), 212_992, DATAGRAM),
    spec(SOL_SOCKET, abi::SO_SNDBUF, Buffer(4_608), 16_384, STREAM),
    spec(SOL_SOCKET, abi::SO_RCVBUF, Buffer(2_304), 131_072, STREAM),
    spec(SOL_SOCKET, abi::SO_SNDBUFFORCE, Refused(Errno::EPERM), 0, ANY),
    spec(SOL_SOCKET, abi::SO_RCVBUFFORCE, Refused(Errno::EPERM), 0, ANY),
    spec(SOL_SOCKET, abi::SO_KEEPALIVE, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_OOBINLINE, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_NO_CHECK, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_PRIORITY, Number(0, 6), 0, ANY),
    spec(SOL_SOCKET, abi::SO_LINGER, Linger, 0, ANY),
    spec(SOL_SOCKET, abi::SO_BSDCOMPAT, Number(0, 1), 0, ANY),
    spec(SOL_SOCKET, abi::SO_REUSEPORT, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_RCVLOWAT, Number(0, MAX), 1, ANY),
    spec(SOL_SOCKET, abi::SO_SNDLOWAT, Refused(Errno::ENOPROTOOPT), 1, ANY),
    spec(SOL_SOCKET, abi::SO_RCVTIMEO, Time, 0, ANY),
    spec(SOL_SOCKET, abi::SO_SNDTIMEO, Time, 0, ANY),
    spec(SOL_SOCKET, abi::SO_RCVTIMEO_NEW, Time, 0, ANY),
    spec(SOL_SOCKET, abi::SO_SNDTIMEO_NEW, Time, 0, ANY),
    spec(SOL_SOCKET, abi::SO_TIMESTAMP, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_TIMESTAMPNS, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_ACCEPTCONN, ReadOnly, 0, ANY),
    spec(SOL_SOCKET, abi::SO_PROTOCOL, ReadOnly, 0, ANY),
    spec(SOL_SOCKET, abi::SO_DOMAIN, ReadOnly, 0, ANY),
    spec(SOL_SOCKET, abi::SO_MARK, Refused(Errno::EPERM), 0, ANY),
    spec(SOL_SOCKET, abi::SO_RXQ_OVFL, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_BUSY_POLL, Refused(Errno::EPERM), 0, ANY),
    spec(SOL_SOCKET, abi::SO_MAX_PACING_RATE, Number(i32::MIN, MAX), -1, ANY),
    spec(SOL_SOCKET, abi::SO_INCOMING_CPU, Number(-1, MAX), -1, ANY),
    spec(SOL_SOCKET, abi::SO_SELECT_ERR_QUEUE, Flag, 0, ANY),
    spec(SOL_SOCKET, abi::SO_DETACH_FILTER, Refused(Errno::ENOENT), 0, ANY),
    spec(IPPROTO_IP, abi::IP_TOS, Number(0, 255), 0, ANY),
    spec(IPPROTO_IP, abi::IP_TTL, OrDefault(1, 255), 64, ANY),
    spec(IPPROTO_IP, abi::IP_RECVOPTS, Flag, 0, DATAGRAM),
    spec(IPPROTO_IP, abi::IP_RETOPTS, Flag, 0, DATAGRAM),
    spec(IPPROTO_IP, abi::IP_OPTIONS, ReadOnly, 0, ANY),
    spec(IPPROTO_IP, abi::IP_PKTINFO, Flag, 0, ANY),
    spec(IPPROTO_IP, abi::IP_MTU_DISCOVER, Number(0, 5), 1, ANY),
    spec(IPPROTO_IP, abi::IP_RECVERR, Flag, 0, ANY),
    spec(IPPROTO_IP, abi::IP_RECVTTL, Flag, 0, ANY),
    spec(IPPROTO_IP, abi::IP_RECVTOS, Flag, 0, ANY),
    spec(IPPROTO_IP, abi::IP_MTU, ReadOnly, 1_500, ANY),
    spec(IPPROTO_IP, abi::IP_FREEBIND, Flag, 0, ANY),
    spec(IPPROTO_IP, abi::IP_TRANSPARENT, Refused(Errno::EPERM), 0, ANY),
    spec(IPPROTO_IP, abi::IP_RECVORIGDSTADDR, Flag, 0, ANY),
    spec(IPPROTO_IP, abi::IP_MINTTL, Number(0, 255), 0, ANY),
    spec(IPPROTO_IP, 23, Flag, 0, ANY), // IP_CHECKSUM
    spec(IPPROTO_IP, abi::IP_BIND_ADDRESS_NO_PORT, Flag, 0, ANY),
    spec(IPPROTO_IP, abi::IP_MULTICAST_TTL, OrDefault(0, 255), 1, ANY),
    spec(IPPROTO_IP, abi::IP_MULTICAST_LOOP, Flag, 1, ANY),
    spec(IPPROTO_IP, abi::IP_MULTICAST_ALL, Flag, 1, ANY),
    spec(IPPROTO_IP, 50, Bytes(4), 0, ANY), // IP_UNICAST_IF
    spec(IPPROTO_IPV6, abi::IPV6_UNICAST_HOPS, OrDefault(0, 255), 64, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_MULTICAST_IF, Number(0, MAX), 0, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_MULTICAST_HOPS, OrDefault(0, 255), 1, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_MULTICAST_LOOP, Flag, 1, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_MTU_DISCOVER, Number(0, 5), 1, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_MTU, ReadOnly, 1_500, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_RECVERR, Flag, 0, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_V6ONLY, Flag, 0, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_RECVPKTINFO, Flag, 0, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_RECVHOPLIMIT, Flag, 0, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_RECVTCLASS, Flag, 0, ANY),
    spec(IPPROTO_IPV6, abi::IPV6_TCLASS, OrDefault(0, 255), 0, ANY),
    spec(IPPROTO_IPV6, 62, Flag, 0, ANY),                  // IPV6_DONTFRAG
    spec(IPPROTO_IPV6, 33, Flag, 0, ANY),                  // IPV6_FLOWINFO_SEND
    spec(IPPROTO_IPV6, 11, Flag, 0, ANY),                  // IPV6_FLOWINFO
    spec(IPPROTO_IPV6, 60, Flag, 0, ANY),                  // IPV6_RECVPATHMTU
    spec(IPPROTO_IPV6, 70, Flag, 1, ANY),                  // IPV6_AUTOFLOWLABEL
    spec(IPPROTO_IPV6, 72, Number(0, MAX), 2, ANY),        // IPV6_ADDR_PREFERENCES
    spec(IPPROTO_IPV6, 73, Number(0, 255), 0, ANY),        // IPV6_MINHOPCOUNT
    spec(IPPROTO_IPV6, 74, Flag, 0, ANY),                  // IPV6_RECVORIGDSTADDR
    spec(IPPROTO_IPV6, 75, Refused(Errno::EPERM), 0, ANY), // IPV6_TRANSPARENT
    spec(IPPROTO_IPV6, 78, Flag, 0, ANY),                  // IPV6_FREEBIND
    spec(IPPROTO_IPV6, 29, Flag, 1, ANY),                  // IPV6_MULTICAST_ALL
    spec(IPPROTO_IPV6, 7, Number(-1, MAX), -1, DATAGRAM),  // IPV6_CHECKSUM
    spec(IPPROTO_TCP, abi::TCP_NODELAY, Flag, 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_MAXSEG, Number(88, 32_767), 536, STREAM),
    spec(IPPROTO_TCP, abi::TCP_CORK, Flag, 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_KEEPIDLE, Number(1, 32_767), 7_200, STREAM),
    spec(IPPROTO_TCP, abi::TCP_KEEPINTVL, Number(1, 32_767), 75, STREAM),
    spec(IPPROTO_TCP, abi::TCP_KEEPCNT, Number(1, 127), 9, STREAM),
    spec(IPPROTO_TCP, abi::TCP_SYNCNT, Number(1, 127), 6, STREAM),
    spec(IPPROTO_TCP, abi::TCP_LINGER2, Number(-1, MAX), 60, STREAM),
    spec(IPPROTO_TCP, abi::TCP_FASTOPEN, Number(0, MAX), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_FASTOPEN_CONNECT, Number(0, 1), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_DEFER_ACCEPT, Number(0, MAX), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_WINDOW_CLAMP, Number(0, MAX), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_INFO, ReadOnly, 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_QUICKACK, Flag, 1, STREAM),
    spec(IPPROTO_TCP, abi::TCP_THIN_LINEAR_TIMEOUTS, Flag, 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_THIN_DUPACK, Flag, 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_USER_TIMEOUT, Number(0, MAX), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_REPAIR, Refused(Errno::EPERM), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_NOTSENT_LOWAT, Number(i32::MIN, MAX), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_ULP, Refused(Errno::ENOENT), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_INQ, Number(0, 1), 0, STREAM),
    spec(IPPROTO_TCP, abi::TCP_SAVE_SYN, Refused(Errno::ENOPROTOOPT), 0, STREAM),
    spec(UDP, abi::UDP_CORK, Refused(Errno::ENOPROTOOPT), 0, DATAGRAM),
    spec(UDP, abi::UDP_SEGMENT, Number(0, 65_535), 0, DATAGRAM),
    spec(UDP, abi::UDP_GRO, Flag, 0, DATAGRAM),
    spec(RAW, 1, Bytes(4), 0, DATAGRAM),             // ICMP_FILTER
    spec(IPPROTO_ICMPV6, 1, Bytes(32), 0, DATAGRAM), // ICMP6_FILTER
];

/// The option `name` of `level`, for a socket of kind `who`.
pub fn find(level: i32, name: i32, who: u8) -> Option<&'static Spec> {
    SPECS
        .iter()
        .find(|spec| spec.level == level && spec.name == name && spec.who & who != 0)
}

/// True when sockets of kind `who` have options of this level.
pub fn has_level(level: i32, who: u8) -> bool {
    SPECS.iter().any(|spec| spec.level == level && spec.who & who != 0)
}

/// What people call a level.
pub fn level_name(level: i32) -> &'static str {
    match level {
        SOL_SOCKET => "SOL_SOCKET",
        IPPROTO_IP => "IPPROTO_IP",
        IPPROTO_IPV6 => "IPPROTO_IPV6",
        IPPROTO_TCP => "IPPROTO_TCP",
        UDP => "IPPROTO_UDP",
        RAW => "SOL_RAW",
        _ => "level",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_option_is_listed_twice() {
        for (at, a) in SPECS.iter().enumerate() {
            for b in &SPECS[at + 1..] {
                assert!(
                    (a.level, a.name) != (b.level, b.name) || a.who & b.who == 0,
                    "{a:?} {b:?}"
                );
            }
        }
    }
}
