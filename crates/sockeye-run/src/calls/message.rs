//! Ancillary data of datagrams: what a program may ask for one datagram (`sendmsg`), and what it wants to know of one (`recvmsg`).

use crate::address::Family;
use crate::options::{Options, number, table};
use rustix::io::Errno;
use sockeye_core::socket::{ErrorReport, Outgoing};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `struct cmsghdr` without its data.
const HEADER: usize = 16;

/// What one control message of `recvmsg` is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) to: SocketAddr,
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) drops: u64,
}

/// Takes what a program asks for one datagram.
pub(super) fn parse(control: &[u8], into: &mut Outgoing) -> Result<(), Errno> {
    let mut rest = control;
    while rest.len() >= HEADER {
        let len = u64::from_ne_bytes(std::array::from_fn(|i| rest[i])) as usize;
        let data = rest.get(HEADER..len).ok_or(Errno::INVAL)?;
        let (level, kind) = (number(&rest[8..]).unwrap_or(0), number(&rest[12..]).unwrap_or(0));
        one(level, kind, data, into)?;
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(())
}

fn one(level: i32, kind: i32, data: &[u8], into: &mut Outgoing) -> Result<(), Errno> {
    let byte = || {
        let value = number(data).or_else(|| data.first().map(|&byte| i32::from(byte)));
        value.and_then(|value| u8::try_from(value).ok()).ok_or(Errno::INVAL)
    };
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let source: [u8; 4] = data.get(4..8).and_then(|at| at.try_into().ok()).ok_or(Errno::INVAL)?;
            into.from = Some(Ipv4Addr::from(source))
                .filter(|source| !source.is_unspecified())
                .map(IpAddr::V4);
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let source: [u8; 16] = data.get(..16).and_then(|at| at.try_into().ok()).ok_or(Errno::INVAL)?;
            into.from = Some(Ipv6Addr::from(source))
                .filter(|source| !source.is_unspecified())
                .map(|source| source.to_ipv4_mapped().map_or(IpAddr::V6(source), IpAddr::V4));
        }
        (libc::IPPROTO_IP, libc::IP_TOS) => into.tos = Some(byte()?),
        (libc::IPPROTO_IP, libc::IP_TTL) => into.ttl = Some(byte()?),
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => into.tos = exact_or_default(data)?,
        (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => into.ttl = exact_or_default(data)?,
        (table::UDP, libc::UDP_SEGMENT) => {
            let size = data.get(..2).ok_or(Errno::INVAL)?;
            into.segment_size = Some(u16::from_ne_bytes([size[0], size[1]])).filter(|&size| size > 0);
        }
        (libc::SOL_SOCKET, _) => {}
        _ => return Err(Errno::INVAL),
    }
    Ok(())
}

/// A number of 0 to 255 in an `int` and nothing else; -1 stands for the socket's own. RFC 3542 §6.3 and §6.5.
fn exact_or_default(data: &[u8]) -> Result<Option<u8>, Errno> {
    let value = i32::from_ne_bytes(data.try_into().map_err(|_| Errno::INVAL)?);
    match value {
        -1 => Ok(None),
        value => u8::try_from(value).map(Some).map_err(|_| Errno::INVAL),
    }
}

/// As much of `control` as `room` bytes hold, as the kernel cuts it: messages in order, the last one short if need be, and none without its
/// whole header. True when something was left out.
pub(super) fn fit(control: &[u8], room: usize) -> (Vec<u8>, bool) {
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
pub(super) fn build(options: &Options, family: Family, arrival: &Arrival) -> Vec<u8> {
    let mut control = Vec::new();
    about_socket(&mut control, options, arrival);
    let index: i32 = if arrival.to.ip().is_loopback() { 1 } else { 2 };
    let mut push_if = |level, flag, kind, data: &[u8]| {
        if options.flag(level, flag) {
            push(&mut control, level, kind, data);
        }
    };
    let ip = libc::IPPROTO_IP;
    if let IpAddr::V4(to) = arrival.to.ip() {
        let info = [&index.to_ne_bytes()[..], &to.octets(), &to.octets()].concat();
        push_if(ip, libc::IP_PKTINFO, libc::IP_PKTINFO, &info);
        push_if(
            ip,
            libc::IP_RECVTTL,
            libc::IP_TTL,
            &i32::from(arrival.ttl).to_ne_bytes(),
        );
        push_if(ip, libc::IP_RECVTOS, libc::IP_TOS, &[arrival.tos]);
        let to = Family::V4.encode(arrival.to);
        push_if(ip, libc::IP_RECVORIGDSTADDR, libc::IP_RECVORIGDSTADDR, &to);
    }
    let ip6 = libc::IPPROTO_IPV6;
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
        push_if(ip6, libc::IPV6_RECVPKTINFO, libc::IPV6_PKTINFO, &info);
        push_if(ip6, libc::IPV6_RECVHOPLIMIT, libc::IPV6_HOPLIMIT, &ttl);
        push_if(ip6, libc::IPV6_RECVTCLASS, libc::IPV6_TCLASS, &tos);
    }
    control
}

/// When it came, and how many did not fit.
fn about_socket(control: &mut Vec<u8>, options: &Options, arrival: &Arrival) {
    let sol = libc::SOL_SOCKET;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let stamp = |part: u32| [(since.as_secs() as i64).to_ne_bytes(), i64::from(part).to_ne_bytes()].concat();
    if options.flag(sol, libc::SO_TIMESTAMPNS) {
        push(control, sol, libc::SO_TIMESTAMPNS, &stamp(since.subsec_nanos()));
    } else if options.flag(sol, libc::SO_TIMESTAMP) {
        push(control, sol, libc::SO_TIMESTAMP, &stamp(since.subsec_micros()));
    }
    if options.flag(sol, libc::SO_RXQ_OVFL) && arrival.drops > 0 {
        push(control, sol, libc::SO_RXQ_OVFL, &(arrival.drops as u32).to_ne_bytes());
    }
}

/// The entry of the error queue that tells of an ICMP error: `struct sock_extended_err` and who reported it.
pub(super) fn error_report(family: Family, report: &ErrorReport) -> Vec<u8> {
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
        Family::V4 => push(&mut control, libc::IPPROTO_IP, libc::IP_RECVERR, &data),
        Family::V6 => push(&mut control, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &data),
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
        push(&mut control, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        push(&mut control, libc::IPPROTO_IP, libc::IP_TOS, &[4]);
        push(&mut control, table::UDP, libc::UDP_SEGMENT, &1_200_u16.to_ne_bytes());
        let mut outgoing = Outgoing::default();
        parse(&control, &mut outgoing).unwrap();
        assert_eq!(outgoing.from, Some(Ipv4Addr::new(127, 0, 0, 9).into()));
        assert_eq!((outgoing.tos, outgoing.segment_size), (Some(4), Some(1_200)));
        assert_eq!(parse(&control[..20], &mut outgoing), Err(Errno::INVAL));
        let mut unknown = Vec::new();
        push(&mut unknown, libc::IPPROTO_IP, 250, &[0; 4]);
        assert_eq!(parse(&unknown, &mut outgoing), Err(Errno::INVAL));
    }
}
