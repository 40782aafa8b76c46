//! ARP for IPv4 over Ethernet (RFC 826): bytes to fields and back.

use super::ethernet::Mac;
use crate::counters::DropReason;
use crate::packet::Head;
use std::net::Ipv4Addr;

/// Length of a message.
pub const LEN: usize = 28;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Request or reply.
    pub operation: Operation,
    /// Hardware address of the sender.
    pub sender_mac: Mac,
    /// Address of the sender; 0.0.0.0 in a probe (RFC 5227 §2.1.1).
    pub sender: Ipv4Addr,
    /// Hardware address of the target; without meaning in a request.
    pub target_mac: Mac,
    /// Address that is asked for.
    pub target: Ipv4Addr,
}

/// Ethernet and IPv4, with addresses of 6 and 4 bytes.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

/// Reads a message from the start of `bytes`; padding may follow.
///
/// # Errors
/// `Truncated` when `bytes` is too short, `Malformed` for other media, protocols and operations.
pub fn parse(bytes: &[u8]) -> Result<Message, DropReason> {
    let b: &[u8; LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    if b[..6] != ETHERNET_IPV4 {
        return Err(DropReason::Malformed);
    }
    let operation = match u16::from_be_bytes([b[6], b[7]]) {
        1 => Operation::Request,
        2 => Operation::Reply,
        _ => return Err(DropReason::Malformed),
    };
    let mac = |at: usize| [b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5]];
    let ip = |at: usize| Ipv4Addr::new(b[at], b[at + 1], b[at + 2], b[at + 3]);
    Ok(Message {
        operation,
        sender_mac: mac(8),
        sender: ip(14),
        target_mac: mac(18),
        target: ip(24),
    })
}

/// Prepends a message.
pub fn build(head: &mut Head, message: &Message) {
    let out = head.prepend(LEN);
    out[..6].copy_from_slice(&ETHERNET_IPV4);
    let operation: u16 = match message.operation {
        Operation::Request => 1,
        Operation::Reply => 2,
    };
    out[6..8].copy_from_slice(&operation.to_be_bytes());
    out[8..14].copy_from_slice(&message.sender_mac);
    out[14..18].copy_from_slice(&message.sender.octets());
    out[18..24].copy_from_slice(&message.target_mac);
    out[24..28].copy_from_slice(&message.target.octets());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};

    #[test]
    fn round_trip() {
        let message = Message {
            operation: Operation::Reply,
            sender_mac: [2, 0, 0, 0, 0, 1],
            sender: Ipv4Addr::new(10, 0, 2, 2),
            target_mac: [2, 0, 0, 0, 0, 2],
            target: Ipv4Addr::new(10, 0, 2, 15),
        };
        let mut head = Head::for_output();
        build(&mut head, &message);
        assert_eq!(parse(head.as_slice()), Ok(message));
        for (case, at, value) in [
            ("hardware", 1, 6),
            ("protocol", 2, 9),
            ("length", 4, 8),
            ("operation", 7, 3),
        ] {
            let mut bytes = head.as_slice().to_vec();
            bytes[at] = value;
            assert_eq!(parse(&bytes), Err(DropReason::Malformed), "{case}");
        }
    }

    #[test]
    fn any_bytes() {
        let mut rng = Keys::new(1, "arp").stream("bytes");
        for _ in 0..100_000 {
            let mut bytes: Vec<u8> = (0..below(&mut rng, 40)).map(|_| below(&mut rng, 256) as u8).collect();
            if bytes.len() > 6 {
                bytes[..6].copy_from_slice(&ETHERNET_IPV4);
            }
            let _ = parse(&bytes);
        }
    }
}
