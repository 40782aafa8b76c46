//! What came out, against what a script expects, as packetdrill compares: numbers relative to the start of each stream, timestamps by
//! what the script calls them, absent options as none, and the window only where it is given.

use super::craft::{icmp_numbers, pattern};
use super::flow::Flow;
use super::tree::{Ecn, Icmp, IpFields, Segment, TcpOption};
use crate::time::Duration;
use crate::wire::layout::Layout;
use crate::wire::tcp::{Flags, HEADER_LEN, Header, parse};
use crate::wire::{ipv4, ipv6, protocol};
use std::net::{IpAddr, SocketAddr};

/// A packet that came out of what is under test.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) time: Duration,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    tos: u8,
    ttl: u8,
    pub(super) inner: LiveInner,
}

#[derive(Clone, Debug)]
pub(super) enum LiveInner {
    Tcp {
        header: Header,
        options: Vec<u8>,
        payload: Vec<u8>,
    },
    Udp {
        source: u16,
        destination: u16,
        len: usize,
    },
    Icmp {
        kind: u8,
        code: u8,
        /// The last four bytes of its header.
        info: u32,
    },
    Other,
}

impl Live {
    /// Takes a packet apart; `None` when it is no IP packet.
    pub(super) fn read(time: Duration, bytes: &[u8]) -> Option<Self> {
        let layout = Layout::find(bytes, 0)?;
        let (src, dst) = layout.addresses(bytes);
        let (tos, ttl) = if layout.v6 {
            let header = ipv6::parse(bytes).ok()?;
            (header.traffic_class, header.hop_limit)
        } else {
            let header = ipv4::parse(bytes).ok()?;
            (header.tos, header.ttl)
        };
        let inner = bytes.get(layout.l4..)?;
        let inner = match layout.protocol {
            protocol::TCP => {
                let (header, _, len) = parse(inner).ok()?;
                LiveInner::Tcp {
                    header,
                    options: inner[HEADER_LEN..len].to_vec(),
                    payload: inner[len..].to_vec(),
                }
            }
            protocol::UDP => LiveInner::Udp {
                source: u16::from_be_bytes([inner[0], inner[1]]),
                destination: u16::from_be_bytes([inner[2], inner[3]]),
                len: inner.len() - 8,
            },
            protocol::ICMP | protocol::ICMPV6 => LiveInner::Icmp {
                kind: inner[0],
                code: inner[1],
                info: u32::from_be_bytes([inner[4], inner[5], inner[6], inner[7]]),
            },
            _ => LiveInner::Other,
        };
        Some(Self {
            time,
            src,
            dst,
            tos,
            ttl,
            inner,
        })
    }

    /// Ours and theirs, for a protocol with ports.
    pub(super) fn ends(&self) -> Option<(u8, SocketAddr, SocketAddr)> {
        let (protocol, source, destination) = match &self.inner {
            LiveInner::Tcp { header, .. } => (protocol::TCP, header.source, header.destination),
            LiveInner::Udp {
                source, destination, ..
            } => (protocol::UDP, *source, *destination),
            LiveInner::Icmp { .. } | LiveInner::Other => return None,
        };
        Some((
            protocol,
            SocketAddr::new(self.src, source),
            SocketAddr::new(self.dst, destination),
        ))
    }

    /// As a script would write it.
    pub(super) fn show(&self, flow: Option<&Flow>) -> String {
        let ecn = ["", "[ect1] ", "[ect0] ", "[ce] "][usize::from(self.tos & 3)];
        let inner = match &self.inner {
            LiveInner::Tcp {
                header,
                options,
                payload,
            } => {
                let unknown;
                let flow = match flow {
                    Some(flow) => flow,
                    None => {
                        unknown = Flow::new(
                            protocol::TCP,
                            (self.src, 0).into(),
                            (self.dst, 0).into(),
                            Duration::ZERO,
                        );
                        &unknown
                    }
                };
                flow.show_segment(header, payload.len() as u32, options)
            }
            LiveInner::Udp { len, .. } => format!("udp ({len})"),
            LiveInner::Icmp { kind, code, info } => format!("icmp type {kind} code {code} mtu {}", info & 0xffff),
            LiveInner::Other => "something else".to_owned(),
        };
        format!("{} > {ecn}{inner}", seconds(self.time))
    }
}

/// A time as a script writes it.
pub(super) fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

/// How far a packet matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matched {
    Whole,
    /// So many bytes of what is expected were there: the rest must follow.
    UpTo(u32),
}

/// Compares the IP header, where the script names its fields.
pub(super) fn ip(expected: &IpFields, live: &Live) -> Result<(), String> {
    let ecn = live.tos & 3;
    let right = match expected.ecn {
        None => true,
        Some(Ecn::Not) => ecn == 0,
        Some(Ecn::Ect0) => ecn == 2,
        Some(Ecn::Ect1) => ecn == 1,
        Some(Ecn::Ect01) => ecn == 1 || ecn == 2,
        Some(Ecn::Ce) => ecn == 3,
    };
    if !right {
        let names = ["noecn", "ect1", "ect0", "ce"];
        return Err(format!("the IP header says {}", names[usize::from(ecn)]));
    }
    if let Some(tos) = expected.tos
        && tos & !3 != live.tos & !3
    {
        return Err(format!("tos is {:#x}, not {tos:#x}", live.tos));
    }
    if let Some(ttl) = expected.ttl
        && ttl != live.ttl
    {
        return Err(format!("ttl is {}, not {ttl}", live.ttl));
    }
    Ok(())
}

/// Compares a segment, of which `done` bytes were matched by earlier ones.
pub(super) fn segment(
    flow: &mut Flow,
    expected: &Segment,
    live: &LiveInner,
    done: u32,
    written: bool,
) -> Result<Matched, String> {
    let LiveInner::Tcp {
        header,
        options,
        payload,
    } = live
    else {
        return Err("it is no TCP segment".into());
    };
    let len = payload.len() as u32;
    let left = expected.range.len - done;
    let syn = expected.flags & Flags::SYN.0 != 0;
    if syn {
        flow.local_syn = expected.range.start;
    }
    let (zero, acked_zero) = if syn { (flow.local_syn, flow.remote_syn) } else { (0, 0) };
    let start = expected.range.start.wrapping_sub(zero).wrapping_add(done);
    // The first segment says where the stream begins.
    let base = *flow.local_base.get_or_insert(header.seq.wrapping_sub(start));
    if header.seq.wrapping_sub(base) != start {
        return Err(format!("it begins at {}, not {start}", header.seq.wrapping_sub(base)));
    }
    let last = len == left;
    if len > left || (!last && len == 0) {
        return Err(format!("it has {len} bytes, not {left}"));
    }
    flags(Flags(expected.flags), header.flags, done == 0, last)?;
    let number = |value: u32| value.wrapping_sub(flow.remote_base).wrapping_add(acked_zero);
    if let Some(ack) = expected.ack
        && number(header.ack) != ack
    {
        return Err(format!("ack is {}, not {ack}", number(header.ack)));
    }
    if let Some(window) = expected.window
        && header.window != window
    {
        return Err(format!("win is {}, not {window}", header.window));
    }
    if let Some(urgent) = expected.urgent
        && header.urgent != urgent
    {
        return Err(format!("urg is {}, not {urgent}", header.urgent));
    }
    if let Some(expected) = &expected.options {
        compare_options(flow, expected, options)?;
    }
    if written {
        // A SYN takes a number of its own, before its data.
        let start = start.wrapping_add(u32::from(header.flags.has(Flags::SYN)));
        let wrong = (0..len).find(|n| payload[*n as usize] != pattern(start.wrapping_add(*n)));
        if let Some(wrong) = wrong {
            return Err(format!("byte {} is not what was written", start.wrapping_add(wrong)));
        }
    }
    Ok(if last {
        Matched::Whole
    } else {
        Matched::UpTo(done + len)
    })
}

/// Whether a run of segments that stands for one may carry these flags: CWR on its first, PSH and FIN on its last.
fn flags(expected: Flags, live: Flags, first: bool, last: bool) -> Result<(), String> {
    let once = if last { 0 } else { Flags::PSH.0 | Flags::FIN.0 } | if first { 0 } else { Flags::CWR.0 };
    let missing = expected.0 & !live.0 & !once;
    let added = live.0 & !expected.0;
    let early = !last && live.has(Flags::FIN);
    if missing == 0 && added == 0 && !early {
        return Ok(());
    }
    Err(format!("its flags are {live:?}, not {expected:?}"))
}

/// Options in their order. NOPs say nothing, and are not compared.
fn compare_options(flow: &mut Flow, expected: &[TcpOption], live: &[u8]) -> Result<(), String> {
    let live = flow.decode(live);
    let told = |options: &[TcpOption]| -> Vec<TcpOption> {
        let told = options
            .iter()
            .filter(|option| !matches!(option, TcpOption::Nop | TcpOption::End));
        told.cloned().collect()
    };
    let (wanted, came) = (told(expected), told(&live));
    let mut same = wanted.len() == came.len();
    if same {
        for (expected, live) in wanted.iter().zip(&came) {
            same &= match (expected, live) {
                (
                    TcpOption::Timestamps { value, echo },
                    TcpOption::Timestamps {
                        value: live_value,
                        echo: live_echo,
                    },
                ) => echo == live_echo && flow.learn(*value, *live_value),
                (TcpOption::FastOpen(None), TcpOption::FastOpen(_)) => true,
                _ => expected == live,
            };
        }
    }
    if same {
        return Ok(());
    }
    let shown = |options: &[TcpOption]| match flow.show(options).trim() {
        "" => "none".to_owned(),
        shown => shown.to_owned(),
    };
    Err(format!("its options are {}, not {}", shown(&live), shown(expected)))
}

/// Compares an ICMP message.
pub(super) fn message(expected: &Icmp, live: &Live) -> Result<(), String> {
    let LiveInner::Icmp { kind, code, info } = live.inner else {
        return Err("it is no ICMP message".into());
    };
    let (want_kind, want_code) = icmp_numbers(expected, live.src.is_ipv6()).map_err(|(_, text)| text)?;
    if (kind, code) != (want_kind, want_code) {
        return Err(format!(
            "type and code are {kind} and {code}, not {want_kind} and {want_code}"
        ));
    }
    match expected.mtu {
        Some(mtu) if mtu != info => Err(format!("mtu is {info}, not {mtu}")),
        _ => Ok(()),
    }
}
