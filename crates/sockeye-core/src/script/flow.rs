//! One connection as a script sees it: sequence numbers from 0, timestamps of its own, and how these map to what is on the wire.

use super::tree::TcpOption;
use crate::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// TCP's number, or UDP's.
pub(super) type Protocol = u8;

#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) protocol: Protocol,
    /// Of what is under test.
    pub(super) local: SocketAddr,
    /// Of the script.
    pub(super) remote: SocketAddr,
    /// What to add to the script's numbers for its own stream.
    pub(super) remote_base: u32,
    /// What to add for the stream of what is under test; known once it sent something.
    pub(super) local_base: Option<u32>,
    /// The numbers that the script gives to both SYNs. After them both streams count from 0 again.
    pub(super) remote_syn: u32,
    pub(super) local_syn: u32,
    /// Timestamps of what is under test, by what the script calls them.
    timestamps: BTreeMap<u32, u32>,
    /// How many milliseconds two of them may differ that the script calls the same.
    timestamp_slack: u32,
}

impl Flow {
    pub(super) fn new(protocol: Protocol, local: SocketAddr, remote: SocketAddr, slack: Duration) -> Self {
        Self {
            protocol,
            local,
            remote,
            // Some number that is not 0, so that a slip does not go unseen.
            remote_base: 0x5c1e_0000 + u32::from(remote.port()),
            local_base: None,
            remote_syn: 0,
            local_syn: 0,
            timestamps: BTreeMap::new(),
            timestamp_slack: slack.as_millis() as u32,
        }
    }

    /// A new connection between the same ports.
    pub(super) fn start_over(&mut self) {
        self.local_base = None;
        self.timestamps.clear();
        self.remote_base = self.remote_base.wrapping_add(1 << 24);
    }

    /// The timestamp on the wire for one of the script's that echoes ours.
    pub(super) fn echo(&self, script: u32) -> u32 {
        self.timestamps.get(&script).copied().unwrap_or(script)
    }

    /// True when `live` may be what the script calls `script`; learned when it is new.
    pub(super) fn learn(&mut self, script: u32, live: u32) -> bool {
        let known = *self.timestamps.entry(script).or_insert(live);
        live.wrapping_sub(known).cast_signed().unsigned_abs() <= self.timestamp_slack
    }

    /// What the script would call `live`, for messages.
    fn called(&self, live: u32) -> u32 {
        let known = self.timestamps.iter().find(|(_, value)| **value == live);
        known.map_or(live, |(script, _)| *script)
    }

    fn base(&self) -> u32 {
        self.local_base.unwrap_or(0)
    }

    /// A number of the script for our stream, on the wire.
    pub(super) fn local_number(&mut self, script: u32) -> u32 {
        // Whoever acknowledges before anything came has the numbers as they are.
        script.wrapping_add(*self.local_base.get_or_insert(0))
    }

    pub(super) fn remote_number(&self, script: u32) -> u32 {
        script.wrapping_add(self.remote_base)
    }

    /// Options as bytes, padded.
    pub(super) fn encode(&mut self, options: &[TcpOption]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for option in options {
            match option {
                TcpOption::End => bytes.push(0),
                TcpOption::Nop => bytes.push(1),
                TcpOption::Mss(mss) => {
                    bytes.extend([2, 4]);
                    bytes.extend(mss.to_be_bytes());
                }
                TcpOption::WindowScale(shift) => bytes.extend([3, 3, *shift]),
                TcpOption::SackPermitted => bytes.extend([4, 2]),
                TcpOption::Sack(blocks) => {
                    bytes.extend([5, 2 + 8 * blocks.len() as u8]);
                    for (left, right) in blocks {
                        bytes.extend(self.local_number(*left).to_be_bytes());
                        bytes.extend(self.local_number(*right).to_be_bytes());
                    }
                }
                TcpOption::Timestamps { value, echo } => {
                    bytes.extend([8, 10]);
                    bytes.extend(value.to_be_bytes());
                    bytes.extend(self.echo(*echo).to_be_bytes());
                }
                TcpOption::FastOpen(cookie) => {
                    let cookie = cookie.as_deref().unwrap_or_default();
                    bytes.extend([34, 2 + cookie.len() as u8]);
                    bytes.extend(cookie);
                }
                TcpOption::FastOpenExperiment(cookie) => {
                    bytes.extend([254, 4 + cookie.len() as u8, 0xf9, 0x89]);
                    bytes.extend(cookie);
                }
                TcpOption::UserTimeout(bits) => {
                    bytes.extend([28, 4]);
                    bytes.extend(bits.to_be_bytes());
                }
                TcpOption::Raw(raw) => bytes.extend(raw),
            }
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// Options of a segment that came from what is under test, as the script would write them.
    pub(super) fn decode(&self, mut bytes: &[u8]) -> Vec<TcpOption> {
        let mut options = Vec::new();
        while let [kind, rest @ ..] = bytes {
            if *kind < 2 {
                // What follows the end is padding.
                if *kind == 0 {
                    break;
                }
                options.push(TcpOption::Nop);
                bytes = rest;
                continue;
            }
            let len = rest.first().map_or(0, |len| usize::from(*len));
            if len < 2 || len > bytes.len() {
                options.push(TcpOption::Raw(bytes.to_vec()));
                break;
            }
            options.push(self.decode_one(&bytes[..len]));
            bytes = &bytes[len..];
        }
        options
    }

    fn decode_one(&self, option: &[u8]) -> TcpOption {
        let value = &option[2..];
        let long = |at: usize| u32::from_be_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
        match (option[0], value.len()) {
            (2, 2) => TcpOption::Mss(u16::from_be_bytes([value[0], value[1]])),
            (3, 1) => TcpOption::WindowScale(value[0]),
            (4, 0) => TcpOption::SackPermitted,
            (5, n) if n % 8 == 0 && n > 0 => {
                let relative = |at: usize| long(at).wrapping_sub(self.remote_base);
                let blocks = (0..n / 8).map(|block| (relative(8 * block), relative(8 * block + 4)));
                TcpOption::Sack(blocks.collect())
            }
            (8, 8) => TcpOption::Timestamps {
                value: long(0),
                echo: long(4),
            },
            (34, _) => TcpOption::FastOpen(Some(value.to_vec())),
            (254, _) if value.starts_with(&[0xf9, 0x89]) => TcpOption::FastOpenExperiment(value[2..].to_vec()),
            (28, 2) => TcpOption::UserTimeout(u16::from_be_bytes([value[0], value[1]])),
            _ => TcpOption::Raw(option.to_vec()),
        }
    }

    /// Options of a segment as a script writes them.
    pub(super) fn show(&self, options: &[TcpOption]) -> String {
        let shown: Vec<String> = options.iter().map(|option| self.show_one(option)).collect();
        if shown.is_empty() {
            String::new()
        } else {
            format!(" <{}>", shown.join(","))
        }
    }

    fn show_one(&self, option: &TcpOption) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match option {
            TcpOption::End => "eol".into(),
            TcpOption::Nop => "nop".into(),
            TcpOption::Mss(mss) => format!("mss {mss}"),
            TcpOption::WindowScale(shift) => format!("wscale {shift}"),
            TcpOption::SackPermitted => "sackOK".into(),
            TcpOption::Sack(blocks) => {
                let blocks: Vec<String> = blocks.iter().map(|(left, right)| format!("{left}:{right}")).collect();
                format!("sack {}", blocks.join(" "))
            }
            TcpOption::Timestamps { value, echo } => format!("TS val {} ecr {echo}", self.called(*value)),
            TcpOption::FastOpen(None) => "FO ...".into(),
            TcpOption::FastOpen(Some(cookie)) if cookie.is_empty() => "FO".into(),
            TcpOption::FastOpen(Some(cookie)) => format!("FO {}", hex(cookie)),
            TcpOption::FastOpenExperiment(cookie) => format!("FOEXP {}", hex(cookie)),
            TcpOption::UserTimeout(bits) if bits >> 15 == 1 => format!("uto {}m", bits & 0x7fff),
            TcpOption::UserTimeout(bits) => format!("uto {bits}s"),
            TcpOption::Raw(raw) => format!("0x{}", hex(raw)),
        }
    }

    /// A segment as a script writes it.
    pub(super) fn show_segment(&self, header: &crate::wire::tcp::Header, len: u32, options: &[u8]) -> String {
        use crate::wire::tcp::Flags;
        let start = header.seq.wrapping_sub(self.base());
        let mut text = format!("{:?} {start}:{}({len})", header.flags, start.wrapping_add(len));
        if header.flags.0 == 0 {
            text.insert(0, '-');
        }
        if header.flags.has(Flags::ACK) {
            text.push_str(&format!(" ack {}", header.ack.wrapping_sub(self.remote_base)));
        }
        text.push_str(&format!(" win {}", header.window));
        if header.flags.has(Flags::URG) {
            text.push_str(&format!(" urg {}", header.urgent));
        }
        text + &self.show(&self.decode(options))
    }
}
