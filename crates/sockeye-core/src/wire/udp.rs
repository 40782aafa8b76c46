//! The UDP header (RFC 768): bytes to fields and back.

use crate::counters::DropReason;
use crate::packet::Head;

/// Length of the header.
pub const HEADER_LEN: usize = 8;

/// The fields of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source port; 0 when the sender wants no answer.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Bytes of header and payload together.
    pub len: u16,
    /// The checksum as it stands; 0 over IPv4 means there is none.
    pub checksum: u16,
}

/// Reads a header from the start of `bytes`.
///
/// # Errors
/// `Truncated` when `bytes` is too short, `Malformed` when the length field is below 8.
pub fn parse(bytes: &[u8]) -> Result<Header, DropReason> {
    let b: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    let header = Header {
        source: u16::from_be_bytes([b[0], b[1]]),
        destination: u16::from_be_bytes([b[2], b[3]]),
        len: u16::from_be_bytes([b[4], b[5]]),
        checksum: u16::from_be_bytes([b[6], b[7]]),
    };
    if usize::from(header.len) < HEADER_LEN {
        Err(DropReason::Malformed)
    } else {
        Ok(header)
    }
}

/// Prepends a header for `payload` bytes. The checksum field is left 0: see [`crate::packet::Csum::Partial`].
pub fn build(head: &mut Head, source: u16, destination: u16, payload: usize) {
    let out = head.prepend(HEADER_LEN);
    // A super-segment may be longer than the field; segmentation writes the true lengths.
    let len = u16::try_from(payload + HEADER_LEN).unwrap_or(u16::MAX);
    out[0..2].copy_from_slice(&source.to_be_bytes());
    out[2..4].copy_from_slice(&destination.to_be_bytes());
    out[4..6].copy_from_slice(&len.to_be_bytes());
    out[6..8].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_round_trip() {
        let mut head = Head::for_output();
        build(&mut head, 53, 4_000, 100);
        assert_eq!(
            parse(head.as_slice()),
            Ok(Header {
                source: 53,
                destination: 4_000,
                len: 108,
                checksum: 0
            })
        );
        assert_eq!(parse(&[0; 7]), Err(DropReason::Truncated));
        assert_eq!(parse(&[0, 1, 0, 2, 0, 7, 0, 0]), Err(DropReason::Malformed));
    }
}
