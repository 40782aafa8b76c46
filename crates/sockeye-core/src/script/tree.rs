//! A script as a tree: what was written, with its places, nothing resolved yet.

use super::fault::At;
use super::python::Statement;
use crate::time::Duration;

/// A script that was read.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name, for messages.
    pub name: String,
    /// The comment lines before its first statement.
    pub head: Vec<String>,
    pub(super) flags: Vec<Flag>,
    pub(super) events: Vec<Event>,
}

/// `--name=value`
#[derive(Clone, Debug)]
pub(super) struct Flag {
    pub(super) at: At,
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: At,
    /// As it was written, in one line.
    pub(super) text: String,
    pub(super) when: When,
    pub(super) action: Action,
}

/// When something is done, or should be seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    /// `0.1`: since the start of the script.
    At(Duration),
    /// `+0.1`: since the event before.
    After(Duration),
    /// `0.1~0.2`
    Between(Duration, Duration),
    /// `+0.1~+0.2`
    AfterBetween(Duration, Duration),
    /// `*`
    Anytime,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Packet(Packet),
    Call(Call),
    /// A shell command.
    Command(String),
    Code(Vec<Statement>),
}

/// A packet to send into what is under test (`<`), or to expect from it (`>`).
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) inbound: bool,
    pub(super) ip: IpFields,
    pub(super) inner: Inner,
}

/// `[ect0, ttl 5, port 5001, badsum]`
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IpFields {
    /// The ECN bits.
    pub(super) ecn: Option<Ecn>,
    /// The whole type of service.
    pub(super) tos: Option<u8>,
    pub(super) ttl: Option<u8>,
    /// The remote's port, for more than one connection.
    pub(super) port: Option<u16>,
    /// A wrong transport checksum.
    pub(super) badsum: bool,
    /// A new connection between the same ports.
    pub(super) new: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ecn {
    Not,
    Ect0,
    Ect1,
    /// Either of the two.
    Ect01,
    Ce,
}

#[derive(Clone, Debug)]
pub(super) enum Inner {
    Tcp(Segment),
    Udp { len: usize },
    Icmp(Icmp),
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) flags: u8,
    pub(super) range: Range,
    pub(super) ack: Option<u32>,
    pub(super) window: Option<u16>,
    pub(super) urgent: Option<u16>,
    /// `None`: `<...>`, any.
    pub(super) options: Option<Vec<TcpOption>>,
}

/// `1:1461(1460)`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) len: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TcpOption {
    End,
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        value: u32,
        echo: u32,
    },
    /// `FO cookie`; empty asks for one. `None`: `FO ...`, any cookie.
    FastOpen(Option<Vec<u8>>),
    /// `FOEXP cookie`: the same as an experiment of RFC 6994.
    FastOpenExperiment(Vec<u8>),
    /// `uto 30s`, `uto 5m`: granularity bit and value.
    UserTimeout(u16),
    /// `0xfe04abcd`: bytes as they stand.
    Raw(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(super) struct Icmp {
    pub(super) at: At,
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) mtu: Option<u32>,
    pub(super) quoted: Quoted,
}

/// Which of the packets sent before an ICMP message quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoted {
    /// The last one.
    Last,
    Tcp(Range),
    Udp,
}

/// A socket statement.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: At,
    /// Until when it blocks.
    pub(super) until: Option<Duration>,
    pub(super) name: String,
    pub(super) args: Vec<Expr>,
    pub(super) result: Expr,
    /// The error's name.
    pub(super) errno: Option<(At, String)>,
}

/// A C-like expression.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub(super) at: At,
    pub(super) kind: ExprKind,
}

#[derive(Clone, Debug)]
pub(super) enum ExprKind {
    Ellipsis,
    Int(i64),
    Name(String),
    Text(Vec<u8>),
    /// `a | b`
    Or(Box<Expr>, Box<Expr>),
    /// `[a, b]`
    Array(Vec<Expr>),
    /// `{name=a, b}`; positional fields have no name.
    Struct(Vec<(Option<String>, Expr)>),
    /// `htons(80)`
    Apply(String, Vec<Expr>),
}
