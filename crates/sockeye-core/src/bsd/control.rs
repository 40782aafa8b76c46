//! Ancillary data of datagrams: what a program may ask for one datagram (`sendmsg`), and what it wants to know of one (`recvmsg`).

use super::abi;
use super::address::Family;
use super::options::{Options, number};
use crate::error::Errno;
use crate::socket::{ErrorReport, Outgoing};
use crate::time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `struct cmsghdr` without its data.
const HEADER: usize = 16;

/// What one control message of `recvmsg` is made from.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// To which of our addresses it was sent.
    pub to: SocketAddr,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Hop limit as it arrived.
    pub ttl: u8,
    /// Datagrams that found the queue full so far.
    pub drops: u64,
    /// When it is looked at: time since the epoch of the program's clock.
    pub at: Duration,
}

/// Takes what a program asks for one datagram.
///
/// # Errors
/// `EINVAL` for what is malformed or unknown.
pub fn parse(control: &[u8], into: &mut Outgoing) -> Result<(), Errno> {
    let mut rest = control;
    while rest.len() >= HEADER {
        let len = u64::from_ne_bytes(std::array::from_fn(|i| rest[i])) as usize;
        let data = rest.get(HEADER..len).ok_or(Errno::EINVAL)?;
        let (level, kind) = (number(&rest[8..]).unwrap_or(0), number(&rest[12..]).unwrap_or(0));
        one(level, kind, data, into)?;
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(())
}

fn one(level: i32, kind: i32, data: &[u8], into: &mut Outgoing) -> Result<(), Errno> {
    let byte = || {
        let value = number(data).or_else(|| data.first().map(|&byte| i32::from(byte)));
        value.and_then(|value| u8::try_from(value).ok()).ok_or(Errno::EINVAL)
    };
    match (level, kind) {
        (abi::IPPROTO_IP, abi::IP_PKTINFO) => {
            let source: [u8; 4] = data.get(4..8).and_then(|at| at.try_into().ok()).ok_or(Errno::EINVAL)?;
            into.from = Some(Ipv4Addr::from(source))
                .filter(|source| !source.is_unspecified())
                .map(IpAddr::V4);
        }
        (abi::IPPROTO_IPV6, abi::IPV6_PKTINFO) => {
            let source: [u8; 16] = data.get(..16).and_then(|at| at.try_into().ok()).ok_or(Errno::EINVAL)?;
            into.from = Some(Ipv6Addr::from(source))
                .filter(|source| !source.is_unspecified())
                .map(|source| source.to_ipv4_mapped().map_or(IpAddr::V6(source), IpAddr::V4));
        }
        (abi::IPPROTO_IP, abi::IP_TOS) => into.tos = Some(byte()?),
        (abi::IPPROTO_IP, abi::IP_TTL) => into.ttl = Some(byte()?),
        (abi::IPPROTO_IPV6, abi::IPV6_TCLASS) => into.tos = exact_or_default(data)?,
        (abi::IPPROTO_IPV6, abi::IPV6_HOPLIMIT) => into.ttl = exact_or_default(data)?,
        (abi::IPPROTO_UDP, abi::UDP_SEGMENT) => {
            let size = data.get(..2).ok_or(Errno::EINVAL)?;
            into.segment_size = Some(u16::from_ne_bytes([size[0], size[1]])).filter(|&size| size > 0);
        }
        (abi::SOL_SOCKET, _) => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// A number of 0 to 255 in an `int` and nothing else; -1 stands for the socket's own. RFC 3542 §6.3 and §6.5.
fn exact_or_default(data: &[u8]) -> Result<Option<u8>, Errno> {
    let value = i32::from_ne_bytes(data.try_into().map_err(|_| Errno::EINVAL)?);
    match value {
        -1 => Ok(None),
        value => u8::try_from(value).map(Some).map_err(|_| Errno::EINVAL),
    }
}

/// As much of `control` as `room` bytes hold, as the kernel cuts it: messages in order, the last one short if need be, and none without its
/// whole header. True when something was left out.
pub fn fit(control: &[u8], room: usize) -> (Vec<u8>, bool) {
    let mut fitted = Vec::new();
    let mut rest = control;
    while rest.len() >= HEADER {
        let len = u64::from_ne_bytes(std::array::from_fn(|i| rest[i])) as usize;
        let left = room - fitted.len();
        if left < HEADER {
            return (fitted, true);
        }
        if left < len {
            fitted.extend((left as u64).to_ne_bytes());
            fitted.extend(&rest[8..left]);
            return (fitted, true);
        }
        let space = len.next_multiple_of(8).min(rest.len());
        fitted.extend(&rest[..space.min(left)]);
        rest = &rest[space..];
    }
    (fitted, false)
}

/// What the program wants to know of a datagram that arrived.
pub fn build(options: &Options, family: Family, arrival: &Arrival) -> Vec<u8> {
    let mut control = Vec::new();
    about_socket(&mut control, options, arrival);
    let index: i32 = if arrival.to.ip().is_loopback() { 1 } else { 2 };
    let mut push_if = |level, flag, kind, data: &[u8]| {
        if options.flag(level, flag) {
            push(&mut control, level, kind, data);
        }
    };
    let ip = abi::IPPROTO_IP;
    if let IpAddr::V4(to) = arrival.to.ip() {
        let info = [&index.to_ne_bytes()[..], &to.octets(), &to.octets()].concat();
        push_if(ip, abi::IP_PKTINFO, abi::IP_PKTINFO, &info);
        push_if(ip, abi::IP_RECVTTL, abi::IP_TTL, &i32::from(arrival.ttl).to_ne_bytes());
        push_if(ip, abi::IP_RECVTOS, abi::IP_TOS, &[arrival.tos]);
        let to = Family::V4.encode(arrival.to);
        push_if(ip, abi::IP_RECVORIGDSTADDR, abi::IP_RECVORIGDSTADDR, &to);
    }
    let ip6 = abi::IPPROTO_IPV6;
    if family == Family::V6 {
        let to = match arrival.to.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let info = [&to.octets()[..], &index.to_ne_bytes()].concat();
        let (ttl, tos) = (
            i32::from(arrival.ttl).to_ne_bytes(),
            i32::from(arrival.tos).to_ne_bytes(),
        );
        push_if(ip6, abi::IPV6_RECVPKTINFO, abi::IPV6_PKTINFO, &info);
        push_if(ip6, abi::IPV6_RECVHOPLIMIT, abi::IPV6_HOPLIMIT, &ttl);
        push_if(ip6, abi::IPV6_RECVTCLASS, abi::IPV6_TCLASS, &tos);
    }
    control
}

/// When it came, and how many did not fit.
fn about_socket(control: &mut Vec<u8>, options: &Options, arrival: &Arrival) {
    let sol = abi::SOL_SOCKET;
    let since = arrival.at;
    let stamp = |part: u32| [(since.as_secs() as i64).to_ne_bytes(), i64::from(part).to_ne_bytes()].concat();
    if options.flag(sol, abi::SO_TIMESTAMPNS) {
        push(control, sol, abi::SO_TIMESTAMPNS, &stamp(since.subsec_nanos()));
    } else if options.flag(sol, abi::SO_TIMESTAMP) {
        push(control, sol, abi::SO_TIMESTAMP, &stamp(since.subsec_micros()));
    }
    if options.flag(sol, abi::SO_RXQ_OVFL) && arrival.drops > 0 {
        push(control, sol, abi::SO_RXQ_OVFL, &(arrival.drops as u32).to_ne_bytes());
    }
}

/// The entry of the error queue that tells of an ICMP error: `struct sock_extended_err` and who reported it.
pub fn error_report(family: Family, report: &ErrorReport) -> Vec<u8> {
    const ORIGIN_ICMP: u8 = 2;
    const ORIGIN_ICMP6: u8 = 3;
    let origin = if report.from.is_ipv4() {
        ORIGIN_ICMP
    } else {
        ORIGIN_ICMP6
    };
    let mut data = (report.error.errno() as u32).to_ne_bytes().to_vec();
    data.extend([origin, report.icmp_type, report.icmp_code, 0]);
    data.extend(report.info.to_ne_bytes());
    data.extend([0; 4]);
    data.extend(family.encode(SocketAddr::new(report.from, 0)));
    let mut control = Vec::new();
    match family {
        Family::V4 => push(&mut control, abi::IPPROTO_IP, abi::IP_RECVERR, &data),
        Family::V6 => push(&mut control, abi::IPPROTO_IPV6, abi::IPV6_RECVERR, &data),
    }
    control
}

/// The entry of the error queue that tells of sends without copying: numbers `first` to `last` have ended, and were copied.
pub fn zerocopy_report(family: Family, first: u32, last: u32) -> Vec<u8> {
    const ORIGIN_ZEROCOPY: u8 = 5;
    const COPIED: u8 = 1;
    let mut data = vec![0; 4];
    data.extend([ORIGIN_ZEROCOPY, 0, COPIED, 0]);
    data.extend(first.to_ne_bytes());
    data.extend(last.to_ne_bytes());
    // Nobody reported it.
    let (level, kind, name) = match family {
        Family::V4 => (abi::IPPROTO_IP, abi::IP_RECVERR, 16),
        Family::V6 => (abi::IPPROTO_IPV6, abi::IPV6_RECVERR, 28),
    };
    data.resize(data.len() + name, 0);
    let mut control = Vec::new();
    push(&mut control, level, kind, &data);
    control
}

/// TCP_INQ: how much of a stream there is to read after this. An end of stream counts as a byte, so that one goes on reading. tcp(7).
pub fn readable(options: &Options, bytes: usize, eof: bool) -> Vec<u8> {
    let mut control = Vec::new();
    if options.flag(abi::IPPROTO_TCP, abi::TCP_INQ) {
        let bytes = if bytes == 0 { i32::from(eof) } else { bytes as i32 };
        push(&mut control, abi::IPPROTO_TCP, abi::TCP_INQ, &bytes.to_ne_bytes());
    }
    control
}

fn push(control: &mut Vec<u8>, level: i32, kind: i32, data: &[u8]) {
    control.extend(((HEADER + data.len()) as u64).to_ne_bytes());
    control.extend(level.to_ne_bytes());
    control.extend(kind.to_ne_bytes());
    control.extend(data);
    control.resize(control.len().next_multiple_of(8), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_is_cut_as_the_kernel_cuts_it() {
        let mut control = Vec::new();
        push(&mut control, 41, 1, &[1; 4]);
        push(&mut control, 41, 2, &[2; 4]);
        assert_eq!(control.len(), 48);
        // Room, what is left of it, whether something is missing, and the length that the last header claims.
        for (room, len, cut, last) in [
            (100, 48, false, 20),
            (48, 48, false, 20),
            (44, 44, false, 20),
            (43, 43, true, 19),
            (40, 40, true, 16),
            (39, 24, true, 20),
            (20, 20, false, 20),
            (17, 17, true, 17),
            (15, 0, true, 0),
            (0, 0, true, 0),
        ] {
            let whole = if room == 20 { &control[..24] } else { &control[..] };
            let (fitted, missing) = fit(whole, room);
            assert_eq!((fitted.len(), missing), (len, cut), "{room}");
            let at = if len > 24 { 24 } else { 0 };
            let claimed = fitted
                .get(at..at + 8)
                .map_or(0, |bytes| u64::from_ne_bytes(bytes.try_into().unwrap()));
            assert_eq!(claimed, last, "{room}");
        }
    }

    #[test]
    fn a_message_reads_back() {
        let mut control = Vec::new();
        let info = [&0_i32.to_ne_bytes()[..], &[127, 0, 0, 9], &[0; 4]].concat();
        push(&mut control, abi::IPPROTO_IP, abi::IP_PKTINFO, &info);
        push(&mut control, abi::IPPROTO_IP, abi::IP_TOS, &[4]);
        push(
            &mut control,
            abi::IPPROTO_UDP,
            abi::UDP_SEGMENT,
            &1_200_u16.to_ne_bytes(),
        );
        let mut outgoing = Outgoing::default();
        parse(&control, &mut outgoing).unwrap();
        assert_eq!(outgoing.from, Some(Ipv4Addr::new(127, 0, 0, 9).into()));
        assert_eq!((outgoing.tos, outgoing.segment_size), (Some(4), Some(1_200)));
        assert_eq!(parse(&control[..20], &mut outgoing), Err(Errno::EINVAL));
        let mut unknown = Vec::new();
        push(&mut unknown, abi::IPPROTO_IP, 250, &[0; 4]);
        assert_eq!(parse(&unknown, &mut outgoing), Err(Errno::EINVAL));
    }
}
