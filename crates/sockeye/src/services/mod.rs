//! The built-in services, as state machines: bytes in, bytes out, no sockets. The gateway's are driven by `gateway::attend`; [`Services`] puts
//! them on the sockets of any [`Host`](crate::Host).
//!
//! | port | service | specification |
//! |---|---|---|
//! | 7 | echo | RFC 862 |
//! | 9 | discard | RFC 863 |
//! | 13 | daytime | RFC 867 |
//! | 19 | character generator | RFC 864 |
//! | 53 | names over TCP (at the name server's address) | RFC 7766 |
//! | 80 | HTTP | RFC 9110, RFC 9112 |

pub(crate) mod clock;
mod framed;
pub(crate) mod http;
mod serve;
mod simple;

pub(crate) use framed::Framed;
pub use serve::Services;
pub(crate) use simple::datagram;

use sockeye_core::Instant;
use sockeye_core::buf::Rope;

/// Bytes that a service may have waiting on their way out.
pub(crate) const OUTPUT: usize = 256 << 10;
/// Bytes that a service may have waiting on their way in.
pub(crate) const INPUT: usize = 64 << 10;

/// A service in conversation.
#[derive(Debug)]
pub(crate) enum Service {
    Echo,
    Discard,
    Daytime,
    Chargen { line: usize },
    Http(http::Http),
    Names(Framed),
}

/// What a service works with in one step.
pub(crate) struct Io<'a> {
    /// What the client sent; the service takes what it understands.
    pub(crate) input: &'a mut Rope,
    /// The client will send no more than `input`.
    pub(crate) ended: bool,
    /// Where answers go.
    pub(crate) output: &'a mut Rope,
    pub(crate) now: Instant,
    /// What the connection looks like, for those who show it.
    pub(crate) report: &'a dyn Fn() -> http::Report,
}

impl Io<'_> {
    /// How much may be added to the output now.
    pub(crate) fn room(&self) -> usize {
        OUTPUT.saturating_sub(self.output.len())
    }
}

/// What a service wants after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More input, or room for more output.
    Go,
    /// As `Go`, and another step at this time at the latest.
    GoUntil(Instant),
    /// Nothing more: close when the output is gone.
    Close,
}

impl Service {
    /// The service at a port of the gateway, when there is one.
    pub(crate) fn at(port: u16) -> Option<Self> {
        Some(match port {
            7 => Self::Echo,
            9 => Self::Discard,
            13 => Self::Daytime,
            19 => Self::Chargen { line: 0 },
            80 => Self::Http(http::Http::new()),
            _ => return None,
        })
    }

    /// Does what can be done now.
    pub(crate) fn step(&mut self, io: &mut Io<'_>) -> Step {
        match self {
            Self::Echo => simple::echo(io),
            Self::Discard => simple::discard(io),
            Self::Daytime => simple::daytime(io),
            Self::Chargen { line } => simple::chargen(io, line),
            Self::Http(http) => http.step(io),
            Self::Names(framed) => framed.step(io),
        }
    }
}
