//! ICMP (RFC 792) and ICMPv6 (RFC 4443) messages, both families as one: bytes to meaning and back.
//!
//! Echo has fields of its own; every error carries the start of the packet it is about. What else there is stays bytes.

use crate::counters::DropReason;
use crate::packet::Head;
use crate::socket::Unreachable;

/// Length of the header of echo and error messages.
pub const HEADER_LEN: usize = 8;

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// ICMP over IPv4.
    V4,
    /// ICMPv6.
    V6,
}

/// A message by its first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Echo request.
    EchoRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// Echo reply.
    EchoReply {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// An error about a packet that is quoted behind the header.
    Error(Unreachable),
    /// A field of the quoted packet was not understood: where.
    ParameterProblem {
        /// ICMPv6: 0 erroneous field, 1 unknown next header, 2 unknown option.
        code: u8,
        /// Offset of the offence in the quoted packet.
        pointer: u32,
    },
    /// Fragments of the quoted datagram did not all come in time.
    ReassemblyTimeout,
    /// Anything else: its type. Redirects, router and neighbour discovery, timestamps.
    Other(u8),
}

/// Reads the first eight bytes of a message. The checksum is the caller's.
///
/// # Errors
/// `Truncated` when there are fewer.
pub fn parse(family: Family, bytes: &[u8]) -> Result<Message, DropReason> {
    let b: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    let (ident, sequence) = (u16::from_be_bytes([b[4], b[5]]), u16::from_be_bytes([b[6], b[7]]));
    let word = u32::from(ident) << 16 | u32::from(sequence);
    Ok(match (family, b[0], b[1]) {
        (Family::V4, 8, _) | (Family::V6, 128, _) => Message::EchoRequest { ident, sequence },
        (Family::V4, 0, _) | (Family::V6, 129, _) => Message::EchoReply { ident, sequence },
        (Family::V4, 3, 4) => Message::Error(Unreachable::TooBig(u32::from(sequence))), // RFC 1191 §4
        (Family::V4, 3, code) => Message::Error(match code {
            0 | 6 | 8 | 11 => Unreachable::Network,
            2 => Unreachable::Protocol,
            3 => Unreachable::Port,
            9 | 10 | 13..=15 => Unreachable::Prohibited,
            _ => Unreachable::Host,
        }),
        (Family::V4, 11, 0) | (Family::V6, 3, 0) => Message::Error(Unreachable::HopLimit),
        (Family::V4, 11, _) | (Family::V6, 3, _) => Message::ReassemblyTimeout,
        (Family::V4, 12, code) => Message::ParameterProblem {
            code,
            pointer: u32::from(b[4]),
        },
        (Family::V6, 1, code) => Message::Error(match code {
            0 => Unreachable::Network,
            4 => Unreachable::Port,
            1 | 5 | 6 => Unreachable::Prohibited,
            _ => Unreachable::Host,
        }),
        (Family::V6, 2, _) => Message::Error(Unreachable::TooBig(word)),
        // RFC 4443 §3.4: "unknown next header" is ICMPv6's "protocol unreachable".
        (Family::V6, 4, 1) => Message::Error(Unreachable::Protocol),
        (Family::V6, 4, code) => Message::ParameterProblem { code, pointer: word },
        (_, kind, _) => Message::Other(kind),
    })
}

/// True for a type that reports an error: never to be answered with another. RFC 1122 §3.2.2, RFC 4443 §2.4 (e).
pub fn is_error(family: Family, kind: u8) -> bool {
    match family {
        Family::V4 => matches!(kind, 3 | 4 | 5 | 11 | 12),
        Family::V6 => kind < 128 || kind == 137,
    }
}

/// Prepends the header of `message`; its checksum field is left 0 (see [`crate::packet::Csum::Partial`]).
/// `Other` becomes a header of zeros behind its type.
pub fn build(head: &mut Head, family: Family, message: Message) {
    let (kind, code, word) = fields(family, message);
    let out = head.prepend(HEADER_LEN);
    out[0] = kind;
    out[1] = code;
    out[2..4].fill(0);
    out[4..8].copy_from_slice(&word.to_be_bytes());
}

/// Type, code and second word of a message.
pub fn fields(family: Family, message: Message) -> (u8, u8, u32) {
    let pair = |ident, sequence| u32::from(ident) << 16 | u32::from(sequence);
    match (family, message) {
        (Family::V4, Message::EchoRequest { ident, sequence }) => (8, 0, pair(ident, sequence)),
        (Family::V4, Message::EchoReply { ident, sequence }) => (0, 0, pair(ident, sequence)),
        (Family::V4, Message::Error(why)) => match why {
            Unreachable::Network => (3, 0, 0),
            Unreachable::Host => (3, 1, 0),
            Unreachable::Protocol => (3, 2, 0),
            Unreachable::Port => (3, 3, 0),
            Unreachable::TooBig(mtu) => (3, 4, mtu.min(0xffff)),
            Unreachable::Prohibited => (3, 13, 0),
            Unreachable::HopLimit => (11, 0, 0),
        },
        (Family::V4, Message::ReassemblyTimeout) => (11, 1, 0),
        (Family::V4, Message::ParameterProblem { pointer, .. }) => (12, 0, pointer << 24),
        (Family::V6, Message::EchoRequest { ident, sequence }) => (128, 0, pair(ident, sequence)),
        (Family::V6, Message::EchoReply { ident, sequence }) => (129, 0, pair(ident, sequence)),
        (Family::V6, Message::Error(why)) => match why {
            Unreachable::Network => (1, 0, 0),
            Unreachable::Prohibited => (1, 1, 0),
            Unreachable::Host => (1, 3, 0),
            Unreachable::Port => (1, 4, 0),
            Unreachable::TooBig(mtu) => (2, 0, mtu),
            Unreachable::HopLimit => (3, 0, 0),
            // The pointer names the next header field of the fixed header; a longer chain is the caller's to point into.
            Unreachable::Protocol => (4, 1, 6),
        },
        (Family::V6, Message::ReassemblyTimeout) => (3, 1, 0),
        (Family::V6, Message::ParameterProblem { code, pointer }) => (4, code, pointer),
        (_, Message::Other(kind)) => (kind, 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_round_trip() {
        let errors = [
            Unreachable::Network,
            Unreachable::Host,
            Unreachable::Protocol,
            Unreachable::Port,
            Unreachable::Prohibited,
            Unreachable::TooBig(1_400),
            Unreachable::HopLimit,
        ];
        for family in [Family::V4, Family::V6] {
            let others = [
                Message::EchoRequest { ident: 1, sequence: 2 },
                Message::EchoReply { ident: 3, sequence: 4 },
                Message::ParameterProblem { code: 0, pointer: 9 },
                Message::ReassemblyTimeout,
            ];
            for message in errors.map(Message::Error).into_iter().chain(others) {
                let mut head = Head::for_output();
                build(&mut head, family, message);
                assert_eq!(parse(family, head.as_slice()), Ok(message), "{family:?}");
                let echo = matches!(message, Message::EchoRequest { .. } | Message::EchoReply { .. });
                assert_eq!(is_error(family, head.as_slice()[0]), !echo, "{family:?} {message:?}");
            }
        }
        assert_eq!(parse(Family::V4, &[8; 7]), Err(DropReason::Truncated));
    }
}
