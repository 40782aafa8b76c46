//! The IPv6 header and the chain of extension headers behind it (RFC 8200 §3, §4): bytes to fields and back.
//!
//! The walk has limits, as RFC 8504 §5.3 allows: so many headers, so many bytes, so many options.

use super::protocol;
use crate::counters::DropReason;
use crate::packet::Head;
use std::net::Ipv6Addr;

/// Length of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Extension headers walked at most.
const MAX_HEADERS: usize = 8;
/// Bytes of extension headers walked at most.
pub const MAX_CHAIN: usize = 256;
/// Options read in one header, padding included, at most.
const MAX_OPTIONS: usize = 16;

/// The fields of the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Traffic class: DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits. RFC 6437.
    pub flow_label: u32,
    /// Bytes behind the fixed header.
    pub payload_len: u16,
    /// What follows the fixed header.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
}

/// Reads the fixed header from the start of `bytes`.
///
/// # Errors
/// `Truncated` when `bytes` is too short, `Malformed` for another version.
pub fn parse(bytes: &[u8]) -> Result<Header, DropReason> {
    let b: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    let first = u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
    if first >> 28 != 6 {
        return Err(DropReason::Malformed);
    }
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&b[at..at + 16]);
        Ipv6Addr::from(octets)
    };
    Ok(Header {
        traffic_class: (first >> 20) as u8,
        flow_label: first & 0xf_ffff,
        payload_len: u16::from_be_bytes([b[4], b[5]]),
        next_header: b[6],
        hop_limit: b[7],
        src: address(8),
        dst: address(24),
    })
}

/// Prepends the fixed header.
pub fn build(head: &mut Head, header: &Header) {
    let out = head.prepend(HEADER_LEN);
    let first = 6 << 28 | u32::from(header.traffic_class) << 20 | header.flow_label & 0xf_ffff;
    out[0..4].copy_from_slice(&first.to_be_bytes());
    out[4..6].copy_from_slice(&header.payload_len.to_be_bytes());
    out[6] = header.next_header;
    out[7] = header.hop_limit;
    out[8..24].copy_from_slice(&header.src.octets());
    out[24..40].copy_from_slice(&header.dst.octets());
}

/// True for a header that only leads to the next one.
pub fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
    )
}

/// A Fragment header. RFC 8200 §4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What the fragmented part starts with.
    pub next_header: u8,
    /// Offset of this fragment in the fragmentable part, in bytes.
    pub offset: u16,
    /// Not the last one.
    pub more: bool,
    /// Which datagram.
    pub id: u32,
}

/// Length of a Fragment header.
pub const FRAGMENT_LEN: usize = 8;

/// Reads a Fragment header.
fn parse_fragment(b: &[u8; FRAGMENT_LEN]) -> Fragment {
    let offset = u16::from_be_bytes([b[2], b[3]]);
    Fragment {
        next_header: b[0],
        offset: offset & !7,
        more: offset & 1 != 0,
        id: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
    }
}

/// Prepends a Fragment header.
pub fn build_fragment(head: &mut Head, fragment: &Fragment) {
    let out = head.prepend(FRAGMENT_LEN);
    out[0] = fragment.next_header;
    out[1] = 0;
    out[2..4].copy_from_slice(&(fragment.offset & !7 | u16::from(fragment.more)).to_be_bytes());
    out[4..8].copy_from_slice(&fragment.id.to_be_bytes());
}

/// Where a walk along the chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The header it ended at: a transport, "no next header", something unknown, or what a fragment starts with.
    pub protocol: u8,
    /// Bytes from the end of the fixed header to there.
    pub len: usize,
    /// The byte, counted from the start of the fixed header, that names that last header.
    pub pointer: usize,
    /// The Fragment header met last, unless it says that this is the whole datagram (RFC 6946). The walk ends behind it.
    pub fragment: Option<(Fragment, usize)>,
}

/// Why a walk did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Drop it silently.
    Drop(DropReason),
    /// Drop it and tell the sender, with this code and pointer. RFC 4443 §3.4. `multicast_too`: even when the packet came by multicast.
    Problem {
        /// 0 erroneous field, 1 unknown next header, 2 unknown option.
        code: u8,
        /// Offset of the offence from the start of the fixed header.
        pointer: u32,
        /// The option's type asks for it also about multicast. RFC 8200 §4.2.
        multicast_too: bool,
    },
}

/// Walks along the extension headers in `bytes`, which follow the fixed header that names `next_header` first.
///
/// # Errors
/// A [`Stop`] for a chain that ends early, is longer than the limits, or holds what RFC 8200 §4 tells to refuse.
pub fn walk(next_header: u8, bytes: &[u8]) -> Result<Chain, Stop> {
    let mut chain = Chain {
        protocol: next_header,
        len: 0,
        pointer: 6,
        fragment: None,
    };
    for nth in 0..=MAX_HEADERS {
        if !is_extension(chain.protocol) {
            return Ok(chain);
        }
        if nth == MAX_HEADERS {
            break;
        }
        let at = chain.len;
        let rest = bytes.get(at..).ok_or(Stop::Drop(DropReason::Truncated))?;
        let start: &[u8; 8] = rest.first_chunk().ok_or(Stop::Drop(DropReason::Truncated))?;
        let len = match chain.protocol {
            protocol::FRAGMENT => FRAGMENT_LEN,
            protocol::AUTHENTICATION => (usize::from(start[1]) + 2) * 4, // RFC 4302 §2.2
            _ => (usize::from(start[1]) + 1) * 8,
        };
        if at + len > MAX_CHAIN {
            return Err(Stop::Drop(DropReason::Limit));
        }
        let body = rest.get(..len).ok_or(Stop::Drop(DropReason::Truncated))?;
        match chain.protocol {
            // RFC 8200 §4.3: only right behind the fixed header.
            protocol::HOP_BY_HOP if nth > 0 => return Err(problem(1, chain.pointer)),
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS => options(body, HEADER_LEN + at)?,
            // RFC 8200 §4.4: no routing type is known here; with segments left that is an error, else it is skipped.
            protocol::ROUTING if start[3] != 0 => return Err(problem(0, HEADER_LEN + at + 2)),
            protocol::FRAGMENT => {
                let fragment = parse_fragment(start);
                if fragment.more || fragment.offset != 0 {
                    chain.fragment = Some((fragment, at));
                }
            }
            _ => {}
        }
        chain.pointer = HEADER_LEN + at;
        chain.protocol = start[0];
        chain.len = at + len;
        if chain.fragment.is_some() {
            return Ok(chain);
        }
    }
    Err(Stop::Drop(DropReason::Limit))
}

fn problem(code: u8, pointer: usize) -> Stop {
    Stop::Problem {
        code,
        pointer: pointer as u32,
        multicast_too: false,
    }
}

/// Looks at the options of a hop-by-hop or destination options header that starts at `start`. RFC 8200 §4.2.
fn options(header: &[u8], start: usize) -> Result<(), Stop> {
    let mut at = 2;
    for _ in 0..MAX_OPTIONS {
        match header.get(at..) {
            None | Some([]) => return Ok(()),
            Some([0, ..]) => at += 1, // Pad1
            Some([kind, len, ..]) => {
                let end = at + 2 + usize::from(*len);
                if end > header.len() {
                    return Err(problem(0, start + at + 1));
                }
                // PadN and router alert (RFC 2711) are known; the two highest bits say what to do with others.
                match (kind, kind >> 6) {
                    (1 | 5, _) | (_, 0) => {}
                    (_, 1) => return Err(Stop::Drop(DropReason::Malformed)),
                    (_, action) => {
                        return Err(Stop::Problem {
                            code: 2,
                            pointer: (start + at) as u32,
                            multicast_too: action == 2,
                        });
                    }
                }
                at = end;
            }
            Some([_]) => return Err(problem(0, start + at)),
        }
    }
    Err(Stop::Drop(DropReason::Limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_round_trip() {
        let header = Header {
            traffic_class: 0xb8,
            flow_label: 0x12345,
            payload_len: 9,
            next_header: 6,
            hop_limit: 64,
            src: "fd00::1".parse().unwrap(),
            dst: "fd00::2".parse().unwrap(),
        };
        let mut head = Head::for_output();
        build(&mut head, &header);
        assert_eq!(parse(head.as_slice()), Ok(header));
        assert_eq!(parse(&head.as_slice()[..39]), Err(DropReason::Truncated));
        let fragment = Fragment {
            next_header: 17,
            offset: 1232,
            more: true,
            id: 99,
        };
        let mut head = Head::for_output();
        build_fragment(&mut head, &fragment);
        assert_eq!(walk(44, head.as_slice()).unwrap().fragment, Some((fragment, 0)));
    }

    #[test]
    fn chains() {
        let drop = |reason| Err(Stop::Drop(reason));
        let trouble = |code, pointer, multicast_too| {
            Err(Stop::Problem {
                code,
                pointer,
                multicast_too,
            })
        };
        for (case, first, bytes, want) in [
            ("none", 6, &[][..], Ok((6, 0))),
            ("hop by hop with PadN", 0, &[17, 0, 1, 4, 0, 0, 0, 0], Ok((17, 8))),
            (
                "then destination options",
                0,
                &[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0],
                Ok((6, 16)),
            ),
            (
                "hop by hop not first",
                60,
                &[0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0],
                trouble(1, 40, false),
            ),
            ("routing used up", 43, &[6, 0, 0, 0, 0, 0, 0, 0], Ok((6, 8))),
            (
                "routing with segments left",
                43,
                &[6, 0, 0, 1, 0, 0, 0, 0],
                trouble(0, 42, false),
            ),
            ("unknown option to skip", 60, &[6, 0, 0x1e, 4, 0, 0, 0, 0], Ok((6, 8))),
            (
                "unknown option, silent",
                60,
                &[6, 0, 0x5e, 4, 0, 0, 0, 0],
                drop(DropReason::Malformed),
            ),
            (
                "unknown option, tell",
                60,
                &[6, 0, 0x9e, 4, 0, 0, 0, 0],
                trouble(2, 42, true),
            ),
            (
                "unknown option, tell but not about multicast",
                60,
                &[6, 0, 0xde, 4, 0, 0, 0, 0],
                trouble(2, 42, false),
            ),
            (
                "option beyond its header",
                60,
                &[6, 0, 1, 5, 0, 0, 0, 0],
                trouble(0, 43, false),
            ),
            (
                "whole datagram in one fragment",
                44,
                &[17, 0, 0, 0, 0, 0, 0, 9],
                Ok((17, 8)),
            ),
            ("ends early", 0, &[6, 1, 1, 12, 0, 0, 0, 0], drop(DropReason::Truncated)),
            ("too long", 0, &[6, 255, 1, 12, 0, 0, 0, 0], drop(DropReason::Limit)),
            ("no next header", 60, &[59, 0, 1, 4, 0, 0, 0, 0], Ok((59, 8))),
        ] {
            assert_eq!(
                walk(first, bytes).map(|chain| (chain.protocol, chain.len)),
                want,
                "{case}"
            );
        }
        let endless = [60, 0, 1, 4, 0, 0, 0, 0].repeat(40);
        assert_eq!(
            walk(60, &endless).map(|chain| (chain.protocol, chain.len)),
            drop(DropReason::Limit)
        );
    }
}
