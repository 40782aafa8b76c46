//! The TCP header (RFC 9293 §3.1) and its options: bytes to fields and back. No state, no judgement on the fields.

use crate::counters::DropReason;
use crate::packet::Head;

/// Length of a header without options.
pub const HEADER_LEN: usize = 20;
/// Room for options in one header.
pub const MAX_OPTIONS: usize = 40;

/// Control bits. RFC 9293 §3.1, RFC 3168 §6.1.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

#[allow(missing_docs, reason = "RFC 9293 §3.1 names them")]
impl Flags {
    pub const NONE: Self = Self(0);
    pub const FIN: Self = Self(1);
    pub const SYN: Self = Self(2);
    pub const RST: Self = Self(4);
    pub const PSH: Self = Self(8);
    pub const ACK: Self = Self(16);
    pub const URG: Self = Self(32);
    pub const ECE: Self = Self(64);
    pub const CWR: Self = Self(128);
}

impl Flags {
    /// True when every bit of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Debug for Flags {
    /// As tcpdump and packetdrill write them: `S.`, `P.`, `F.`, `R`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (bit, name) in [
            (2, 'S'),
            (1, 'F'),
            (4, 'R'),
            (8, 'P'),
            (32, 'U'),
            (64, 'E'),
            (128, 'W'),
            (16, '.'),
        ] {
            if self.0 & bit != 0 {
                write!(f, "{name}")?;
            }
        }
        Ok(())
    }
}

/// The fixed fields of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window, as it stands in the header (not scaled).
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
}

/// A timestamps option. RFC 7323 §3.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// `TSval`: the sender's clock.
    pub value: u32,
    /// `TSecr`: the clock value echoed.
    pub echo: u32,
}

/// SACK blocks, at most four. RFC 2018 §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(u32, u32); 4],
    len: u8,
}

impl SackBlocks {
    /// No block.
    pub const NONE: Self = Self {
        blocks: [(0, 0); 4],
        len: 0,
    };

    /// Adds a block `[left, right)`; a fifth is not kept.
    pub fn push(&mut self, left: u32, right: u32) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.len)) {
            *slot = (left, right);
            self.len += 1;
        }
    }

    /// The blocks, in the order of the option.
    pub fn as_slice(&self) -> &[(u32, u32)] {
        &self.blocks[..usize::from(self.len)]
    }

    /// True without blocks.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps the first `n` blocks.
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n as u8);
    }
}

/// A Fast Open option: a cookie of 4 to 16 bytes, or none to ask for one. RFC 7413 §4.1.1.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FastOpen {
    bytes: [u8; 16],
    len: u8,
    /// It came, or goes, as an experiment of RFC 6994, as before the option had a number.
    pub experimental: bool,
}

impl FastOpen {
    /// A cookie; of one that is longer than 16 bytes the first 16.
    pub fn cookie(cookie: &[u8]) -> Self {
        let mut bytes = [0; 16];
        let len = cookie.len().min(16);
        bytes[..len].copy_from_slice(&cookie[..len]);
        Self {
            bytes,
            len: len as u8,
            experimental: false,
        }
    }

    /// The cookie; empty in a request.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Its length in a header, kind and length included.
    fn option_len(&self) -> usize {
        let magic = if self.experimental {
            FAST_OPEN_EXPERIMENT.len()
        } else {
            0
        };
        2 + magic + self.as_slice().len()
    }

    /// True when it asks for a cookie.
    pub fn is_request(&self) -> bool {
        self.len == 0
    }

    /// `None` for a length that no cookie has.
    fn read(value: &[u8]) -> Option<Self> {
        matches!(value.len(), 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16).then(|| Self::cookie(value))
    }
}

impl std::fmt::Debug for FastOpen {
    /// As tcpdump and packetdrill write it: hexadecimal digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The options of a header, as far as we know them; others are skipped (RFC 9293 §3.1 MUST-6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size. RFC 9293 §3.7.1.
    pub mss: Option<u16>,
    /// Window scale shift. RFC 7323 §2.
    pub window_scale: Option<u8>,
    /// SACK permitted. RFC 2018 §2.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks.
    pub sack: SackBlocks,
    /// Fast Open. RFC 7413.
    pub fast_open: Option<FastOpen>,
    /// User timeout: a granularity bit and 15 bits of time. RFC 5482 §3.2.
    pub user_timeout: Option<u16>,
}

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const USER_TIMEOUT: u8 = 28;
const FAST_OPEN: u8 = 34;
/// RFC 6994 §3: experiments share this kind and tell each other apart by what follows.
const EXPERIMENT: u8 = 254;
/// Fast Open before it had a kind of its own. RFC 7413 appendix A.
const FAST_OPEN_EXPERIMENT: [u8; 2] = [0xf9, 0x89];

/// Reads a header and its options from the start of `bytes`. Returns them with the header's length.
///
/// # Errors
/// `Truncated` when `bytes` is shorter than the header, `Malformed` when the data offset is below 5.
pub fn parse(bytes: &[u8]) -> Result<(Header, Options, usize), DropReason> {
    let fixed: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    let len = usize::from(fixed[12] >> 4) * 4;
    if len < HEADER_LEN {
        return Err(DropReason::Malformed);
    }
    let options = bytes.get(HEADER_LEN..len).ok_or(DropReason::Truncated)?;
    let header = Header {
        source: be16(&fixed[0..2]),
        destination: be16(&fixed[2..4]),
        seq: be32(&fixed[4..8]),
        ack: be32(&fixed[8..12]),
        flags: Flags(fixed[13]),
        window: be16(&fixed[14..16]),
        urgent: be16(&fixed[18..20]),
    };
    Ok((header, parse_options(options), len))
}

/// Reads options; an illegal length ends the reading (RFC 9293 §3.1 MUST-7), what came before it counts.
fn parse_options(mut bytes: &[u8]) -> Options {
    let mut options = Options::default();
    // The common case by far: two NOPs and timestamps, so that the values are aligned. RFC 7323 appendix A.
    if let [NOP, NOP, TIMESTAMPS, 10, rest @ ..] = bytes
        && rest.len() == 8
    {
        options.timestamps = Some(Timestamps {
            value: be32(&rest[..4]),
            echo: be32(&rest[4..]),
        });
        return options;
    }
    while let [kind, rest @ ..] = bytes {
        match *kind {
            END => break,
            NOP => bytes = rest,
            kind => {
                let Some(&len) = rest.first() else { break };
                if len < 2 || usize::from(len) > bytes.len() {
                    break;
                }
                options.read(kind, &bytes[2..usize::from(len)]);
                bytes = &bytes[usize::from(len)..];
            }
        }
    }
    options
}

impl Options {
    /// Takes one option; one of the wrong length is as if it were not there.
    fn read(&mut self, kind: u8, value: &[u8]) {
        match (kind, value.len()) {
            (MSS, 2) => self.mss = Some(be16(value)),
            (WINDOW_SCALE, 1) => self.window_scale = Some(value[0]),
            (SACK_PERMITTED, 0) => self.sack_permitted = true,
            (TIMESTAMPS, 8) => {
                self.timestamps = Some(Timestamps {
                    value: be32(&value[..4]),
                    echo: be32(&value[4..]),
                });
            }
            (USER_TIMEOUT, 2) => self.user_timeout = Some(be16(value)),
            (FAST_OPEN, _) => self.fast_open = FastOpen::read(value),
            (EXPERIMENT, _) => {
                if let Some(cookie) = value.strip_prefix(&FAST_OPEN_EXPERIMENT) {
                    self.fast_open = FastOpen::read(cookie).map(|option| FastOpen {
                        experimental: true,
                        ..option
                    });
                }
            }
            (SACK, n) if n % 8 == 0 => {
                for block in value.chunks_exact(8) {
                    self.sack.push(be32(&block[..4]), be32(&block[4..]));
                }
            }
            _ => {}
        }
    }

    /// Bytes these options take in a header, padding included.
    pub fn len(&self) -> usize {
        let timestamps = if self.timestamps.is_some() { 12 } else { 0 };
        let sack = if self.sack.is_empty() {
            0
        } else {
            4 + 8 * self.sack.as_slice().len()
        };
        let syn = if self.mss.is_some() { 4 } else { 0 } + if self.window_scale.is_some() { 4 } else { 0 };
        // SACK-permitted takes the place of the timestamps' padding, as everybody writes it.
        let permitted = if self.sack_permitted && self.timestamps.is_none() {
            4
        } else {
            0
        };
        let fast_open = self
            .fast_open
            .map_or(0, |option| option.option_len().next_multiple_of(4));
        let user_timeout = if self.user_timeout.is_some() { 4 } else { 0 };
        timestamps + sack + syn + permitted + fast_open + user_timeout
    }

    /// True without options.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn write(&self, mut out: &mut [u8]) {
        let mut put = |bytes: &[u8]| {
            let (now, rest) = std::mem::take(&mut out).split_at_mut(bytes.len());
            now.copy_from_slice(bytes);
            out = rest;
        };
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            put(&[MSS, 4, a, b]);
        }
        match (self.sack_permitted, self.timestamps.is_some()) {
            (true, true) => put(&[SACK_PERMITTED, 2]),
            (true, false) => put(&[NOP, NOP, SACK_PERMITTED, 2]),
            (false, true) => put(&[NOP, NOP]),
            (false, false) => {}
        }
        if let Some(Timestamps { value, echo }) = self.timestamps {
            put(&[TIMESTAMPS, 10]);
            put(&value.to_be_bytes());
            put(&echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            put(&[NOP, WINDOW_SCALE, 3, shift]);
        }
        if let Some(timeout) = self.user_timeout {
            let [a, b] = timeout.to_be_bytes();
            put(&[USER_TIMEOUT, 4, a, b]);
        }
        if let Some(option) = self.fast_open {
            let len = option.option_len();
            if option.experimental {
                put(&[EXPERIMENT, len as u8]);
                put(&FAST_OPEN_EXPERIMENT);
            } else {
                put(&[FAST_OPEN, len as u8]);
            }
            put(option.as_slice());
            put(&[NOP; 3][..len.next_multiple_of(4) - len]);
        }
        if !self.sack.is_empty() {
            put(&[NOP, NOP, SACK, 2 + 8 * self.sack.len]);
            for (left, right) in self.sack.as_slice() {
                put(&left.to_be_bytes());
                put(&right.to_be_bytes());
            }
        }
    }
}

/// Prepends a header with options to `head`. The checksum field is left 0: see [`crate::packet::Csum::Partial`].
pub fn build(head: &mut Head, header: &Header, options: &Options) {
    let len = HEADER_LEN + options.len();
    let out = head.prepend(len);
    out[0..2].copy_from_slice(&header.source.to_be_bytes());
    out[2..4].copy_from_slice(&header.destination.to_be_bytes());
    out[4..8].copy_from_slice(&header.seq.to_be_bytes());
    out[8..12].copy_from_slice(&header.ack.to_be_bytes());
    out[12] = (len / 4 << 4) as u8;
    out[13] = header.flags.0;
    out[14..16].copy_from_slice(&header.window.to_be_bytes());
    out[16..18].fill(0);
    out[18..20].copy_from_slice(&header.urgent.to_be_bytes());
    options.write(&mut out[HEADER_LEN..]);
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_round_trip() {
        let mut sack = SackBlocks::default();
        sack.push(10, 20);
        sack.push(30, 40);
        let ts = Some(Timestamps { value: 7, echo: 9 });
        for options in [
            Options::default(),
            Options {
                timestamps: ts,
                ..Options::default()
            },
            Options {
                mss: Some(1460),
                window_scale: Some(7),
                sack_permitted: true,
                timestamps: ts,
                ..Options::default()
            },
            Options {
                mss: Some(1460),
                sack_permitted: true,
                ..Options::default()
            },
            Options {
                timestamps: ts,
                sack,
                ..Options::default()
            },
            Options {
                sack,
                ..Options::default()
            },
            Options {
                mss: Some(1460),
                window_scale: Some(7),
                sack_permitted: true,
                timestamps: ts,
                fast_open: Some(FastOpen::cookie(&[7; 16])),
                ..Options::default()
            },
            Options {
                fast_open: Some(FastOpen::default()),
                user_timeout: Some(0x8005),
                ..Options::default()
            },
            Options {
                mss: Some(1460),
                fast_open: Some(FastOpen::cookie(&[1, 2, 3, 4, 5, 6, 7, 8])),
                ..Options::default()
            },
        ] {
            let header = Header {
                source: 1,
                destination: 2,
                seq: 3,
                ack: 4,
                flags: Flags::SYN.and(Flags::ACK),
                window: 5,
                urgent: 6,
            };
            let mut head = Head::for_output();
            build(&mut head, &header, &options);
            assert_eq!(head.len() % 4, 0);
            assert_eq!(parse(head.as_slice()), Ok((header, options, head.len())));
        }
    }

    #[test]
    fn odd_options_do_no_harm() {
        for (case, bytes, want) in [
            (
                "unknown kind is skipped",
                &[99, 4, 0, 0, MSS, 4, 5, 180][..],
                Some(1460),
            ),
            ("zero length ends the list", &[99, 0, MSS, 4, 5, 180], None),
            ("length one ends the list", &[99, 1, MSS, 4, 5, 180], None),
            ("length beyond the end", &[MSS, 40, 5, 180], None),
            ("wrong length for the kind", &[MSS, 3, 5, 0], None),
            ("end of list hides the rest", &[END, MSS, 4, 5, 180, 0, 0, 0], None),
            ("kind without length", &[NOP, NOP, NOP, MSS], None),
        ] {
            assert_eq!(parse_options(bytes).mss, want, "{case}");
        }
    }

    #[test]
    fn fast_open_cookies_come_in_two_dresses() {
        let old = |option: FastOpen| FastOpen {
            experimental: true,
            ..option
        };
        for (bytes, want) in [
            (&[FAST_OPEN, 2][..], Some(FastOpen::default())),
            (&[FAST_OPEN, 6, 1, 2, 3, 4], Some(FastOpen::cookie(&[1, 2, 3, 4]))),
            (&[EXPERIMENT, 4, 0xf9, 0x89], Some(old(FastOpen::default()))),
            (
                &[EXPERIMENT, 8, 0xf9, 0x89, 1, 2, 3, 4],
                Some(old(FastOpen::cookie(&[1, 2, 3, 4]))),
            ),
            (&[EXPERIMENT, 8, 0xf9, 0x88, 1, 2, 3, 4], None),
            (&[EXPERIMENT, 3, 0xf9], None),
            (&[FAST_OPEN, 7, 1, 2, 3, 4, 5], None),
            (
                &[
                    FAST_OPEN, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
                ],
                None,
            ),
        ] {
            assert_eq!(parse_options(bytes).fast_open, want, "{bytes:?}");
        }
    }

    #[test]
    fn short_or_impossible_headers_are_refused() {
        assert_eq!(parse(&[0; 19]).unwrap_err(), DropReason::Truncated);
        assert_eq!(parse(&[0; 20]).unwrap_err(), DropReason::Malformed);
        let mut bytes = [0; 20];
        bytes[12] = 6 << 4;
        assert_eq!(parse(&bytes).unwrap_err(), DropReason::Truncated);
    }
}
