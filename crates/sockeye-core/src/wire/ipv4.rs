//! The IPv4 header (RFC 791 §3.1): bytes to fields and back. Options are checked and otherwise skipped over (RFC 1122 §3.2.1.8), never built.

use super::checksum;
use crate::counters::DropReason;
use crate::packet::Head;
use std::net::Ipv4Addr;

/// Length of a header without options.
pub const HEADER_LEN: usize = 20;

/// The fields of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of header, options included: 20..=60.
    pub header_len: u8,
    /// Type of service: DSCP (RFC 2474) and ECN (RFC 3168).
    pub tos: u8,
    /// Bytes of header and payload together.
    pub total_len: u16,
    /// Identification, for fragments. RFC 6864.
    pub id: u16,
    /// Routers may not fragment it.
    pub dont_fragment: bool,
    /// Not the last fragment.
    pub more_fragments: bool,
    /// Offset of this fragment in the datagram, in bytes.
    pub offset: u16,
    /// Time to live: hops left.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
}

impl Header {
    /// True for one fragment of a larger datagram.
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.offset != 0
    }
}

/// Reads a header from the start of `bytes`. The checksum is left to [`verify`].
///
/// # Errors
/// `Truncated` when `bytes` is shorter than the header; `Malformed` for another version, a header below 20 bytes, or a total length
/// below the header's.
pub fn parse(bytes: &[u8]) -> Result<Header, DropReason> {
    let b: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    let header_len = usize::from(b[0] & 15) * 4;
    let total_len = u16::from_be_bytes([b[2], b[3]]);
    if b[0] >> 4 != 4 || header_len < HEADER_LEN || usize::from(total_len) < header_len {
        return Err(DropReason::Malformed);
    }
    if bytes.len() < header_len {
        return Err(DropReason::Truncated);
    }
    let fragment = u16::from_be_bytes([b[6], b[7]]);
    Ok(Header {
        header_len: header_len as u8,
        tos: b[1],
        total_len,
        id: u16::from_be_bytes([b[4], b[5]]),
        dont_fragment: fragment & 0x4000 != 0,
        more_fragments: fragment & 0x2000 != 0,
        offset: (fragment & 0x1fff) * 8,
        ttl: b[8],
        protocol: b[9],
        src: Ipv4Addr::new(b[12], b[13], b[14], b[15]),
        dst: Ipv4Addr::new(b[16], b[17], b[18], b[19]),
    })
}

/// What makes the options of a header unacceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionFault {
    /// An impossible length; where it stands, from the start of the header. Worth a parameter problem.
    Length(u8),
    /// A source route, which only serves to get around filters nowadays. RFC 7126 §4.3, §4.4.
    SourceRoute,
}

/// Looks through the options of `header`, which is the whole header.
///
/// # Errors
/// The first [`OptionFault`].
pub fn check_options(header: &[u8]) -> Result<(), OptionFault> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    let mut at = HEADER_LEN;
    while let Some(&kind) = header.get(at) {
        match kind {
            END => break,
            NOP => at += 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(OptionFault::SourceRoute),
            _ => {
                let len = usize::from(header.get(at + 1).copied().unwrap_or(0));
                if len < 2 || at + len > header.len() {
                    return Err(OptionFault::Length(at as u8 + 1));
                }
                at += len;
            }
        }
    }
    Ok(())
}

/// True when the checksum over the whole header (options included) is right. RFC 1122 §3.2.1.2.
pub fn verify(header: &[u8]) -> bool {
    checksum::checksum(header) == 0
}

/// Prepends a header without options, checksum included. `header_len` is taken as 20.
pub fn build(head: &mut Head, header: &Header) {
    let out = head.prepend(HEADER_LEN);
    let flags = if header.dont_fragment { 0x4000 } else { 0 } | if header.more_fragments { 0x2000 } else { 0 };
    out[0] = 0x45;
    out[1] = header.tos;
    out[2..4].copy_from_slice(&header.total_len.to_be_bytes());
    out[4..6].copy_from_slice(&header.id.to_be_bytes());
    out[6..8].copy_from_slice(&(flags | header.offset / 8).to_be_bytes());
    out[8] = header.ttl;
    out[9] = header.protocol;
    out[10..12].fill(0);
    out[12..16].copy_from_slice(&header.src.octets());
    out[16..20].copy_from_slice(&header.dst.octets());
    let check = checksum::checksum(out);
    out[10..12].copy_from_slice(&check.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_round_trip() {
        for (dont_fragment, more_fragments, offset) in [(true, false, 0), (false, true, 8), (false, false, 65_528)] {
            let header = Header {
                header_len: 20,
                tos: 3,
                total_len: 99,
                id: 7,
                dont_fragment,
                more_fragments,
                offset,
                ttl: 64,
                protocol: 17,
                src: [10, 0, 0, 1].into(),
                dst: [10, 0, 0, 2].into(),
            };
            let mut head = Head::for_output();
            build(&mut head, &header);
            assert!(verify(head.as_slice()));
            assert_eq!(parse(head.as_slice()), Ok(header));
            assert_eq!(header.is_fragment(), !dont_fragment);
        }
    }

    #[test]
    fn options_table() {
        use OptionFault::{Length, SourceRoute};
        for (case, options, want) in [
            ("none", &[][..], Ok(())),
            ("padding", &[1, 1, 1, 0], Ok(())),
            ("behind the end", &[0, 131, 3, 4], Ok(())),
            ("router alert", &[148, 4, 0, 0], Ok(())),
            ("record route and padding", &[7, 7, 4, 0, 0, 0, 0, 1], Ok(())),
            ("length 0", &[7, 0, 0, 0], Err(Length(21))),
            ("length 1", &[1, 7, 1, 0], Err(Length(22))),
            ("beyond the header", &[7, 5, 0, 0], Err(Length(21))),
            ("no length", &[1, 1, 1, 7], Err(Length(24))),
            ("loose source route", &[1, 131, 3, 4], Err(SourceRoute)),
            ("strict source route", &[137, 3, 4, 0], Err(SourceRoute)),
        ] {
            let header = [&[0; 20][..], options].concat();
            assert_eq!(check_options(&header), want, "{case}");
        }
    }

    #[test]
    fn impossible_headers_are_refused() {
        let mut bytes = [0; 20];
        for (case, first, total, want) in [
            ("version", 0x65, 20, DropReason::Malformed),
            ("header too short", 0x44, 20, DropReason::Malformed),
            ("total below header", 0x45, 19, DropReason::Malformed),
            ("options missing", 0x46, 24, DropReason::Truncated),
        ] {
            bytes[0] = first;
            bytes[3] = total;
            assert_eq!(parse(&bytes), Err(want), "{case}");
        }
        assert_eq!(parse(&bytes[..19]), Err(DropReason::Truncated));
    }
}
