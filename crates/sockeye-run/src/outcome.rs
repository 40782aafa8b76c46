//! How a run ended, and what happened on the way: everything the footer says.

use sockeye::gateway::{Flow, GatewayCounters, LinkReport};
use sockeye_core::counters::Counters;
use std::fmt;
use std::io;
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The program's exit status; 128+N when signal N ended it.
    pub status: u8,
    /// The seed of the run: with it the same chances come again.
    pub seed: u64,
    /// From the start of the program to the end of the run.
    pub duration: Duration,
    /// What the program did with sockets.
    pub sockets: SocketCounters,
    /// What Netem did to packets, per direction; the program's loopback is included.
    pub link: LinkReport,
    /// The program's host.
    pub host: Counters,
    /// The gateway's own host, the other end of the link.
    pub gateway_host: Counters,
    /// What the gateway relayed and answered.
    pub gateway: GatewayCounters,
    /// Conversations through the gateway, and with its services: those that go on, then the latest ended.
    pub flows: Vec<Flow>,
    /// Shortest and longest smoothed round trip that the program's connections saw.
    pub rtt: Option<(Duration, Duration)>,
    /// Why the capture is not complete.
    pub pcap_error: Option<String>,
    /// Connections whose last bytes did not reach their peers in time.
    pub undelivered: usize,
}

/// What the program did with sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounters {
    /// Sockets made.
    pub sockets: u64,
    /// TCP connections that the program opened and that were established.
    pub connected: u64,
    /// TCP connections that the program accepted.
    pub accepted: u64,
    /// Connection attempts that failed.
    pub failed: u64,
    /// Calls that the kernel handed to us.
    pub calls: u64,
    /// Calls that were refused because we do not serve what they ask.
    pub refused: u64,
}

/// Why a program could not be run.
#[derive(Debug)]
pub enum SpawnError {
    /// The program was not found: 127.
    NotFound(String),
    /// The program is there but cannot be executed: 126.
    CannotExecute(String),
    /// Something of ours: 125.
    Failed(String),
}

impl SpawnError {
    /// The exit status that says so, as `env` and `docker` have it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Failed(_) => 125,
            Self::CannotExecute(_) => 126,
            Self::NotFound(_) => 127,
        }
    }

    pub(crate) fn failed(what: &str, error: impl Into<io::Error>) -> Self {
        Self::Failed(format!("{what}: {}", error.into()))
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(text) | Self::CannotExecute(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for SpawnError {}
