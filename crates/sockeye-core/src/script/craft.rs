//! Packets of a script, as bytes.

use super::fault::{Wrong, wrong};
use super::flow::Flow;
use super::tree::{Ecn, Icmp, IpFields, Range, Segment};
use crate::packet::Head;
use crate::wire::{checksum, ipv4, ipv6, protocol};
use std::net::IpAddr;

/// What the payload of a stream is made of, at one of the script's sequence numbers.
pub(super) fn pattern(seq: u32) -> u8 {
    (seq ^ seq >> 8 ^ seq >> 16) as u8
}

/// A segment from the script.
pub(super) fn segment(flow: &mut Flow, ip: &IpFields, segment: &Segment) -> Result<Vec<u8>, String> {
    const SYN: u8 = 2;
    let options = flow.encode(segment.options.as_deref().unwrap_or_default());
    if options.len() > 40 {
        return Err(format!("the options take {} bytes: 40 is the most", options.len()));
    }
    let syn = segment.flags & SYN != 0;
    let start = if syn {
        flow.remote_syn = segment.range.start;
        flow.remote_number(0)
    } else {
        flow.remote_number(segment.range.start)
    };
    let ack = match segment.ack {
        Some(ack) if syn => flow.local_number(ack.wrapping_sub(flow.local_syn)),
        Some(ack) => flow.local_number(ack),
        None => 0,
    };
    let mut bytes = Vec::with_capacity(60 + segment.range.len as usize);
    bytes.extend(flow.remote.port().to_be_bytes());
    bytes.extend(flow.local.port().to_be_bytes());
    bytes.extend(start.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([((20 + options.len()) / 4 << 4) as u8, segment.flags]);
    bytes.extend(segment.window.unwrap_or(0).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(segment.urgent.unwrap_or(0).to_be_bytes());
    bytes.extend(options);
    let Range { start, len } = segment.range;
    // A SYN takes a number of its own, before its data.
    let start = if syn { 1 } else { start };
    bytes.extend((0..len).map(|n| pattern(start.wrapping_add(n))));
    packet(flow, ip, protocol::TCP, bytes, 16)
}

/// A datagram from the script.
pub(super) fn datagram(flow: &Flow, ip: &IpFields, len: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(8 + len);
    bytes.extend(flow.remote.port().to_be_bytes());
    bytes.extend(flow.local.port().to_be_bytes());
    bytes.extend(((8 + len).min(65_535) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((0..len).map(|n| pattern(1 + n as u32)));
    packet(flow, ip, protocol::UDP, bytes, 6)
}

/// Fills in the transport's checksum, and puts an IP header in front.
fn packet(flow: &Flow, ip: &IpFields, protocol: u8, mut inner: Vec<u8>, checksum_at: usize) -> Result<Vec<u8>, String> {
    let (src, dst) = (flow.remote.ip(), flow.local.ip());
    let sum = checksum::transport(src, dst, protocol, [&inner[..]], inner.len());
    let sum = if ip.badsum { sum ^ 0x5555 } else { sum };
    // A zero in UDP would say that there is none. RFC 768.
    let sum = if sum == 0 && protocol == protocol::UDP {
        0xffff
    } else {
        sum
    };
    inner[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut bytes = ip_header(src, dst, protocol, ip, inner.len())?;
    bytes.extend(inner);
    Ok(bytes)
}

fn ip_header(src: IpAddr, dst: IpAddr, protocol: u8, ip: &IpFields, len: usize) -> Result<Vec<u8>, String> {
    let ecn = match ip.ecn {
        None | Some(Ecn::Not) => 0,
        Some(Ecn::Ect1) => 1,
        Some(Ecn::Ect0 | Ecn::Ect01) => 2,
        Some(Ecn::Ce) => 3,
    };
    let tos = ip.tos.unwrap_or(0) | ecn;
    let ttl = ip.ttl.unwrap_or(255);
    let mut head = Head::for_output();
    let too_long = |_| format!("{len} bytes do not fit one IP packet");
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let total_len = u16::try_from(len + ipv4::HEADER_LEN).map_err(too_long)?;
            let header = ipv4::Header {
                header_len: ipv4::HEADER_LEN as u8,
                tos,
                total_len,
                id: 0,
                dont_fragment: false,
                more_fragments: false,
                offset: 0,
                ttl,
                protocol,
                src,
                dst,
            };
            ipv4::build(&mut head, &header);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = ipv6::Header {
                traffic_class: tos,
                flow_label: 0,
                payload_len: u16::try_from(len).map_err(too_long)?,
                next_header: protocol,
                hop_limit: ttl,
                src,
                dst,
            };
            ipv6::build(&mut head, &header);
        }
        _ => return Err("both addresses must be of one family".into()),
    }
    Ok(head.as_slice().to_vec())
}

/// An ICMP error about a packet that what is under test sent on `flow`.
pub(super) fn icmp(flow: &mut Flow, ip: &IpFields, icmp: &Icmp, quoted: Range) -> Result<Vec<u8>, Wrong> {
    let v6 = flow.local.is_ipv6();
    let (kind, code) = icmp_numbers(icmp, v6)?;
    let mut bytes = vec![kind, code, 0, 0];
    // The MTU: RFC 1191 §4, RFC 4443 §3.2.
    bytes.extend(icmp.mtu.unwrap_or(0).to_be_bytes());
    let mut original = Vec::new();
    original.extend(flow.local.port().to_be_bytes());
    original.extend(flow.remote.port().to_be_bytes());
    let inner_len = if flow.protocol == protocol::TCP {
        original.extend(flow.local_number(quoted.start).to_be_bytes());
        original.extend([0; 4]);
        original.extend([0x50, 16, 0, 0, 0, 0, 0, 0]);
        20 + quoted.len as usize
    } else {
        original.extend((8 + quoted.len as u16).to_be_bytes());
        original.extend([0, 0]);
        8 + quoted.len as usize
    };
    let placed = |text: String| (icmp.at, text);
    let (src, dst) = (flow.local.ip(), flow.remote.ip());
    let quote = ip_header(src, dst, flow.protocol, &IpFields::default(), inner_len.min(65_000)).map_err(placed)?;
    bytes.extend(quote);
    bytes.extend(original);
    let sum = if v6 {
        checksum::transport(dst, src, protocol::ICMPV6, [&bytes[..]], bytes.len())
    } else {
        checksum::checksum(&bytes)
    };
    let sum = if ip.badsum { sum ^ 0x5555 } else { sum };
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    let number = if v6 { protocol::ICMPV6 } else { protocol::ICMP };
    let mut packet = ip_header(dst, src, number, ip, bytes.len()).map_err(placed)?;
    packet.extend(bytes);
    Ok(packet)
}

type Named = &'static [(&'static str, u8)];

/// Types of ICMP, with their codes. RFC 792, RFC 1812 §5.2.7.1.
const V4: &[(&str, u8, Named)] = &[
    (
        "unreachable",
        3,
        &[
            ("net_unreachable", 0),
            ("host_unreachable", 1),
            ("protocol_unreachable", 2),
            ("port_unreachable", 3),
            ("frag_needed", 4),
            ("source_route_failed", 5),
            ("net_unknown", 6),
            ("host_unknown", 7),
            ("source_host_isolated", 8),
            ("net_prohibited", 9),
            ("host_prohibited", 10),
            ("packet_filtered", 13),
        ],
    ),
    ("source_quench", 4, &[]),
    ("redirect", 5, &[("net", 0), ("host", 1)]),
    ("time_exceeded", 11, &[("ttl", 0), ("reassembly", 1)]),
    ("parameter_problem", 12, &[]),
];

/// Types of ICMPv6, with their codes. RFC 4443 §3.
const V6: &[(&str, u8, Named)] = &[
    (
        "unreachable",
        1,
        &[
            ("no_route", 0),
            ("net_unreachable", 0),
            ("admin_prohibited", 1),
            ("beyond_scope", 2),
            ("address_unreachable", 3),
            ("host_unreachable", 3),
            ("port_unreachable", 4),
        ],
    ),
    ("packet_too_big", 2, &[]),
    ("time_exceeded", 3, &[("ttl", 0), ("reassembly", 1)]),
    (
        "parameter_problem",
        4,
        &[("header_field", 0), ("next_header", 1), ("option", 2)],
    ),
];

/// Type and code of an ICMP message by their names.
pub(super) fn icmp_numbers(icmp: &Icmp, v6: bool) -> Result<(u8, u8), Wrong> {
    let types = if v6 { V6 } else { V4 };
    let Some((_, kind, codes)) = types.iter().find(|(name, ..)| *name == icmp.kind) else {
        let known: Vec<&str> = types.iter().map(|(name, ..)| *name).collect();
        return wrong(
            icmp.at,
            format!("`{}` is no ICMP type: {} are", icmp.kind, known.join(", ")),
        );
    };
    let Some(code) = &icmp.code else {
        return Ok((*kind, 0));
    };
    match codes.iter().find(|(name, _)| name == code) {
        Some((_, code)) => Ok((*kind, *code)),
        None => {
            let known: Vec<&str> = codes.iter().map(|(name, _)| *name).collect();
            wrong(
                icmp.at,
                format!("`{code}` is no code of {}: {} are", icmp.kind, known.join(", ")),
            )
        }
    }
}
